//! P7: slowly home. Hold-downs last, grow while a place flaps, and the way back is a ramp.

use super::Found;
use crate::world::World;
use leeward_failover::{Cause, Change, Event, FailoverParams, SubjectKind, Time, Verdict};
use std::collections::BTreeMap;
use std::time::Duration;

/// Clocks are read in milliseconds where a process remembers.
const SLACK: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(crate) struct Home {
    /// Places that were left, each for its own sake: by kind and name.
    left: BTreeMap<(SubjectKind, String), Left>,
    /// Sites that return: since when.
    returning: BTreeMap<String, Time>,
}

#[derive(Clone, Copy, Debug)]
struct Left {
    at: Time,
    /// The least time that it has to stay away.
    least: Duration,
    /// Not before then, since it was seen to flap while it was away.
    not_before: Time,
    /// When it last came back.
    returned: Option<Time>,
}

impl Home {
    pub(crate) fn decided(&mut self, world: &World, events: &[Event], found: &mut Found) {
        for event in events {
            let Change::Verdict { from, to } = event.change else {
                continue;
            };
            let key = (event.subject.kind, event.subject.name.clone());
            match (from, to) {
                (Verdict::Down, Verdict::Down) => self.flaps(world, &key, event),
                (_, Verdict::Down) => self.leaves(world, key, event),
                (Verdict::Down, _) => self.returns(world, &key, event, found),
                _ => {}
            }
            if event.subject.kind == SubjectKind::Site {
                if to == Verdict::Recovering {
                    self.returning.insert(event.subject.name.clone(), event.at);
                } else {
                    self.returning.remove(&event.subject.name);
                }
            }
        }
        self.check_ramps(world, found);
    }

    /// Whether a site is on its way back.
    pub(crate) fn is_returning(&self, site: &str) -> bool {
        self.returning.contains_key(site)
    }

    pub(crate) fn look(&mut self, world: &World, found: &mut Found) {
        self.check_ramps(world, found);
    }

    fn leaves(&mut self, world: &World, key: (SubjectKind, String), event: &Event) {
        if matches!(event.cause, Cause::ProviderDown | Cause::Remembered) {
            return;
        }
        let params = params_of(world, &key);
        let before = self.left.get(&key).copied();
        let quiet = |left: &Left| {
            let since = left.returned.unwrap_or(left.at + left.least);
            event.at.since(since) >= params.hold_down_max.saturating_add(params.ramp)
        };
        let least = match before {
            Some(left) if !quiet(&left) => (left.least * 2).min(params.hold_down_max),
            _ => params.hold_down_first,
        };
        let left = Left {
            at: event.at,
            least: least.max(params.hold_down_first),
            not_before: event.at,
            returned: None,
        };
        self.left.insert(key, left);
    }

    fn flaps(&mut self, world: &World, key: &(SubjectKind, String), event: &Event) {
        let params = params_of(world, key);
        if let Some(left) = self.left.get_mut(key) {
            left.not_before = event.at + params.hold_down_first;
        }
    }

    fn returns(
        &mut self,
        world: &World,
        key: &(SubjectKind, String),
        event: &Event,
        found: &mut Found,
    ) {
        let Some(left) = self.left.get_mut(key) else {
            return;
        };
        if left.returned.is_some() {
            return;
        }
        left.returned = Some(event.at);
        let away = event.at.since(left.at);
        if away + SLACK < left.least {
            let what = format!(
                "{} returns after {:.1} s, its hold-down is {:.1} s at least",
                key.1,
                away.as_secs_f64(),
                left.least.as_secs_f64()
            );
            found.broken(world.now, "P7", what);
        }
        if event.at + SLACK < left.not_before {
            let what = format!("{} returns while it flaps", key.1);
            found.broken(world.now, "P7", what);
        }
    }

    /// A site that returns takes no more than its ramp allows while anybody else could.
    fn check_ramps(&mut self, world: &World, found: &mut Found) {
        for (index, pool) in world.table.pools.iter().enumerate() {
            let params = &world.rules.engine.pools[index];
            let name = |lane: &leeward_failover::Lane| {
                let site = world.rules.engine.sites.get(lane.site.index());
                site.map_or("", |site| site.name.as_str())
            };
            let solid = |lane: &leeward_failover::Lane| {
                let steady = lane
                    .endpoints
                    .iter()
                    .any(|e| e.weight > 0.0 && e.verdict != Verdict::Recovering);
                lane.usable && !self.returning.contains_key(name(lane)) && steady
            };
            if pool.panic || !pool.lanes.iter().any(solid) {
                continue;
            }
            for lane in &pool.lanes {
                let Some(since) = self.returning.get(name(lane)) else {
                    continue;
                };
                let tier = || pool.lanes.iter().filter(|other| other.tier == lane.tier);
                let weight = |of: &leeward_failover::Lane| {
                    let all = params.tiers.iter().flatten();
                    let entry = all.clone().find(|entry| entry.site == of.site);
                    entry.map_or(1.0, |entry| f64::from(entry.weight))
                };
                let normal = weight(lane) / tier().map(weight).sum::<f64>().max(1e-9);
                // The most patient ramp of all pools counts; this one is a lower bound.
                let ramp = params.failover.ramp.as_secs_f64().max(1e-9);
                let way = world.now.since(*since).as_secs_f64() / ramp;
                let most = normal * way.clamp(0.01, 1.0) + 0.02;
                // What would be turned away elsewhere may take its part of what is declared.
                let here = world
                    .servers
                    .iter()
                    .filter(|s| s.site == name(lane) && s.pool == params.name);
                let declared: f64 = here.filter_map(|s| s.capacity).sum();
                let most_rate = declared * way.clamp(0.01, 1.0) + 1.0;
                let fits = lane.rate.is_some_and(|rate| rate <= most_rate);
                if lane.share > most && !fits {
                    let what = format!(
                        "{} takes {:.0}% of {} on its ramp",
                        name(lane),
                        lane.share * 100.0,
                        params.name,
                    );
                    found.broken(world.now, "P7", what);
                }
            }
        }
    }
}

/// The failover parameters that hold for a place: those of the most patient pool there.
fn params_of(world: &World, key: &(SubjectKind, String)) -> FailoverParams {
    let engine = &world.rules.engine;
    let place = key.1.as_str();
    let there = engine.backends.iter().filter(|backend| {
        let site = &engine.sites[backend.site.index()];
        let pool = &engine.pools[backend.pool.index()].name;
        match key.0 {
            SubjectKind::Site => site.name == place,
            SubjectKind::Provider => engine.providers[site.provider.index()].name == place,
            _ => place.starts_with(&format!("{pool} {} ", site.name)),
        }
    });
    let params = there.map(|backend| engine.pools[backend.pool.index()].failover);
    params
        .reduce(|a, b| FailoverParams {
            hold_down_first: a.hold_down_first.max(b.hold_down_first),
            hold_down_max: a.hold_down_max.max(b.hold_down_max),
            ramp: a.ramp.max(b.ramp),
            ..a
        })
        .unwrap_or_default()
}
