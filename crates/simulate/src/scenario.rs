//! An incident as a file: what failed, when and where, and what has to hold at the end.
//!
//! Reads `examples/incidents/*.yaml`. Times are minutes of the incident; `minute` says how long one
//! of them lasts in the world, so that hours can be played in a second.

use crate::expect::{Expected, judge};
use crate::fault::{Mode, Phase, Shape};
use crate::plan::{Deed, Load, Plan, Rules};
use crate::world::World;
use leeward_failover::{Class, OperatorWord, Time};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A scenario file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Which incident.
    pub incident: String,
    /// What happened, in a few sentences.
    pub about: String,
    /// The policy, relative to this file.
    policy: String,
    #[serde(default)]
    seed: u64,
    /// How long a minute of the incident lasts here.
    minute: Span,
    /// When the world ends, in minutes.
    end: f64,
    /// Requests a second, by pool and class.
    load: BTreeMap<String, BTreeMap<Class, f64>>,
    /// Addresses of backends, by the first label of their host; 1 where nothing is said.
    #[serde(default)]
    addresses: BTreeMap<String, usize>,
    phases: Vec<PhaseText>,
    #[serde(default)]
    words: Vec<WordText>,
    /// What has to hold.
    pub expect: Expected,
    /// What should hold, and does not yet.
    #[serde(default)]
    pub owed: Expected,
}

/// A time span in words: `250ms`, `10s`, `5m`, `1h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Span, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: f64 = digits
            .parse()
            .map_err(|_| format!("no time span: {text}"))?;
        let seconds = match &text[digits.len()..] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(format!("no time span: {text}")),
        };
        Ok(Span(Duration::from_secs_f64((number * seconds).max(0.0))))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhaseText {
    from: f64,
    to: f64,
    /// Places, see [`Plan::at`].
    at: Vec<String>,
    mode: Mode,
    #[serde(default)]
    share: Option<f64>,
    /// The part of the addresses that is hit, wholly.
    #[serde(default)]
    addresses: Option<f64>,
    #[serde(default)]
    codes: Vec<u16>,
    #[serde(default)]
    ms: Option<(u64, u64)>,
    #[serde(default)]
    factor: Option<f64>,
    #[serde(default)]
    classes: Vec<Class>,
    #[serde(default)]
    fading: bool,
    #[serde(default)]
    wave: Option<Wave>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wave {
    period: Span,
    duty: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WordText {
    at: f64,
    place: String,
    word: OperatorWord,
    #[serde(default)]
    lasts: Option<f64>,
}

/// A scenario that was played.
#[derive(Debug)]
pub struct Played {
    /// The world at its end.
    pub world: World,
    /// What should have held and did not, the shadow's findings among it.
    pub broken: Vec<String>,
    /// What is owed, each with whether it holds by now.
    pub owed: Vec<(String, bool)>,
}

impl Scenario {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Scenario, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        serde_saphyr::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// The world of this scenario; `path` is where it was read from.
    pub fn plan(&self, path: &Path) -> Result<Plan, String> {
        let policy = path.parent().unwrap_or(Path::new(".")).join(&self.policy);
        let text =
            std::fs::read_to_string(&policy).map_err(|e| format!("{}: {e}", policy.display()))?;
        let rules = Rules::compile(&text)?;
        let mut plan = Plan::around(rules, self.seed, self.time(self.end), |url| {
            let host = crate::plan::host_of(url);
            let label = host.split('.').next().unwrap_or(host);
            self.addresses.get(label).copied().unwrap_or(1)
        });
        for (pool, classes) in &self.load {
            for (class, rate) in classes {
                plan.loads.push(Load {
                    pool: pool.clone(),
                    class: *class,
                    rate: *rate,
                    client: None,
                });
            }
        }
        for text in &self.phases {
            let phase = self.phase(&plan, text)?;
            plan.phases.push(phase);
        }
        for text in &self.words {
            let deed = Deed::Word {
                place: text.place.clone(),
                word: text.word,
                lasts: text.lasts.map(|minutes| self.minute.0.mul_f64(minutes)),
            };
            plan.deeds.push((self.time(text.at), deed));
        }
        Ok(plan)
    }

    /// Plays it and judges what came of it.
    pub fn play(&self, path: &Path) -> Result<Played, String> {
        let mut world = World::new(self.plan(path)?);
        world.run();
        let mut broken: Vec<String> = world
            .shadow
            .violations()
            .iter()
            .map(ToString::to_string)
            .collect();
        let time = |minutes: f64| self.time(minutes);
        let judged = judge(&world, &self.expect, &time);
        broken.extend(
            judged
                .into_iter()
                .filter(|(_, holds)| !holds)
                .map(|(what, _)| what),
        );
        if world.ledger.duplicates() > 0 {
            broken.push(format!(
                "{} orders were executed twice",
                world.ledger.duplicates()
            ));
        }
        let owed = judge(&world, &self.owed, &time);
        Ok(Played {
            world,
            broken,
            owed,
        })
    }

    /// A moment of the incident, in minutes, as one of the world. The first ten seconds are calm.
    fn time(&self, minutes: f64) -> Time {
        Time::ZERO + Duration::from_secs(10) + self.minute.0.mul_f64(minutes.max(0.0))
    }

    fn phase(&self, plan: &Plan, text: &PhaseText) -> Result<Phase, String> {
        let mut servers = Vec::new();
        for place in &text.at {
            let there = plan.at(place);
            if there.is_empty() {
                return Err(format!("nothing stands at {place}"));
            }
            servers.extend(there);
        }
        servers.sort_unstable();
        servers.dedup();
        if let Some(part) = text.addresses {
            let count = (servers.len() as f64 * part).round().max(1.0) as usize;
            servers.truncate(count);
        }
        let mut phase = Phase::new(text.mode, self.time(text.from), self.time(text.to), servers);
        phase.share = text.share.unwrap_or(1.0);
        phase.ms = text.ms.unwrap_or((0, 0));
        phase.factor = text.factor.unwrap_or(1.0);
        phase.classes.clone_from(&text.classes);
        phase.label = text.at.join(", ");
        if !text.codes.is_empty() {
            phase.codes.clone_from(&text.codes);
        }
        if text.fading {
            phase.shape = Shape::LinearToZero;
        }
        if let Some(wave) = &text.wave {
            phase.shape = Shape::Square {
                period: wave.period.0,
                duty: wave.duty,
            };
        }
        Ok(phase)
    }
}
