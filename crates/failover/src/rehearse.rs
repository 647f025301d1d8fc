//! What the engine would decide if places fell silent: a copy of it, in time that nobody waits for.
//!
//! Nothing is estimated. The copy is told what probes would find there, at its own deadlines, and
//! decides by itself, so that what is rehearsed is what would happen by probes alone; requests that
//! fail are usually seen sooner. The engine that is copied hears nothing of it. `leeward explain`
//! asks, by way of the proxy.

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::id::EndpointId;
use crate::input::{Input, ProbeFailure, ProbeResult, Target};
use crate::output::{Event, Output};
use crate::policy::{Policy, Pool};
use crate::time::Time;
use crate::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Steps of a rehearsal at most: one that is asked for while traffic runs must come to an end.
const MOST_STEPS: usize = 50_000;
/// How long everything may take to be found well.
const CALM: Duration = Duration::from_secs(60);
/// How long after the last decision that mattered nothing more is expected to follow from it.
const QUIET: Duration = Duration::from_millis(500);
/// How long a probe takes that passes.
const PASSED_IN: Duration = Duration::from_millis(1);

/// A copy of the engine, when what was asked had come to pass.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// As it then is.
    pub engine: Engine,
    /// When that is, on its clock.
    pub now: Time,
    /// What it decided on the way.
    pub events: Vec<Event>,
    /// Whether it came to the end: everything was found well, or down. Otherwise probes alone did not
    /// find that in time, or there was too much to play.
    pub complete: bool,
}

impl Engine {
    /// An engine that has this policy and has found everything well. A backend without a literal
    /// address gets one that stands for all that its name resolves to.
    pub fn in_calm(policy: &Policy) -> Rehearsal {
        let engine = Engine::calm(policy);
        let mut play = Play::new(engine, BTreeSet::new(), Time::ZERO);
        play.run(Time::ZERO + CALM, is_calm);
        play.finish_probes();
        play.over()
    }

    /// What follows where nothing at `targets` answers any more from `now` on, and everything else
    /// answers as it did last.
    pub fn rehearse(&self, targets: &[Target], now: Time) -> Rehearsal {
        let dead = self.endpoints_at(targets);
        let pools = dead.iter().filter_map(|id| self.fleet.endpoint(*id));
        let pools = pools.map(|endpoint| &self.fleet.policy.pools[endpoint.pool.index()]);
        let longest = pools.map(longest).max().unwrap_or_default();
        let now = now.max(self.now);
        let silent = dead.clone();
        let mut play = Play::new(self.clone(), dead, now);
        play.run(now + longest, |engine| {
            let down = |id: &EndpointId| {
                let endpoint = engine.fleet.endpoint(*id);
                endpoint.is_none_or(|endpoint| endpoint.held.verdict == Verdict::Down)
            };
            silent.iter().all(down)
        });
        play.over()
    }

    /// Every endpoint at these places.
    fn endpoints_at(&self, targets: &[Target]) -> BTreeSet<EndpointId> {
        let mut found = BTreeSet::new();
        for target in targets {
            let sites = self.fleet.sites_of(*target);
            let here = |endpoint: &&Endpoint| {
                sites.contains(&endpoint.info.site) || *target == Target::Endpoint(endpoint.id)
            };
            found.extend(self.fleet.all_endpoints().filter(here).map(|e| e.id));
        }
        found
    }
}

/// Whether everything has been looked at and found well.
fn is_calm(engine: &Engine) -> bool {
    let well = |endpoint: &Endpoint| endpoint.held.verdict == Verdict::Healthy;
    engine.probed_once() && engine.fleet.all_endpoints().all(well)
}

/// How long probes alone take at most to find an endpoint of a pool down, requests among them that
/// went well a moment ago.
fn longest(pool: &Pool) -> Duration {
    let round = pool.probe.interval.saturating_add(pool.probe.timeout);
    let rounds = round.saturating_mul(pool.probe.fall.saturating_add(2));
    rounds
        .saturating_add(pool.health.window)
        .saturating_add(QUIET)
}

/// A rehearsal under way.
struct Play {
    engine: Engine,
    now: Time,
    dead: BTreeSet<EndpointId>,
    /// Whether what is not dead passes its probes.
    answers: BTreeMap<EndpointId, bool>,
    /// Results that are still to come, the next one first.
    under_way: BTreeSet<(Time, EndpointId)>,
    events: Vec<Event>,
    complete: bool,
}

impl Play {
    fn new(mut engine: Engine, dead: BTreeSet<EndpointId>, now: Time) -> Play {
        engine.keep_demand();
        let endpoints = engine.fleet.all_endpoints();
        let answers = endpoints.map(|endpoint| (endpoint.id, endpoint.probes.fails == 0));
        let mut play = Play {
            answers: answers.collect(),
            dead,
            now,
            under_way: BTreeSet::new(),
            events: Vec::new(),
            complete: false,
            engine,
        };
        let asked: Vec<EndpointId> = play
            .engine
            .fleet
            .all_endpoints()
            .filter(|endpoint| endpoint.slot.is_under_way())
            .map(|endpoint| endpoint.id)
            .collect();
        for endpoint in asked {
            play.ask(endpoint);
        }
        play
    }

    /// Until `end`, or until `done` has held for a while without another decision.
    fn run(&mut self, end: Time, done: impl Fn(&Engine) -> bool) {
        let mut decided_at = self.now;
        for _ in 0..MOST_STEPS {
            if self.take_outputs() {
                decided_at = self.now;
            }
            if self.now >= decided_at + QUIET && done(&self.engine) {
                self.complete = true;
                return;
            }
            let answer = self.under_way.first().copied();
            let at = answer.map_or(Time::NEVER, |(at, _)| at);
            let deadline = self.engine.next_deadline();
            let next = at.min(deadline).min(decided_at.max(self.now) + QUIET);
            if next > end {
                return;
            }
            self.now = self.now.max(next);
            match answer {
                Some((at, endpoint)) if at <= self.now => {
                    self.under_way.remove(&(at, endpoint));
                    let result = self.result(endpoint);
                    let input = Input::Probe { endpoint, result };
                    self.engine.handle(input, self.now);
                }
                _ => self.engine.handle(Input::Wake, self.now),
            }
        }
    }

    /// Gives what is under way its result now: whoever takes the engine over knows of no probe of ours.
    fn finish_probes(&mut self) {
        for (_, endpoint) in std::mem::take(&mut self.under_way) {
            let result = self.result(endpoint);
            let input = Input::Probe { endpoint, result };
            self.engine.handle(input, self.now);
        }
    }

    /// Takes what the engine said; whether a decision was among it.
    fn take_outputs(&mut self) -> bool {
        let before = self.events.len();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Probe(endpoint) => self.ask(endpoint),
                Output::Event(event) => self.events.push(event),
                Output::Table(_) => {}
            }
        }
        self.events.len() > before
    }

    fn ask(&mut self, endpoint: EndpointId) {
        let takes = if self.passes(endpoint) {
            PASSED_IN
        } else {
            self.timeout(endpoint)
        };
        self.under_way.insert((self.now + takes, endpoint));
    }

    fn passes(&self, id: EndpointId) -> bool {
        !self.dead.contains(&id) && self.answers.get(&id).copied().unwrap_or(true)
    }

    fn timeout(&self, id: EndpointId) -> Duration {
        let fleet = &self.engine.fleet;
        fleet.endpoint(id).map_or(PASSED_IN, |endpoint| {
            fleet.policy.pools[endpoint.pool.index()].probe.timeout
        })
    }

    fn result(&self, id: EndpointId) -> ProbeResult {
        if self.passes(id) {
            return ProbeResult::Passed { took: PASSED_IN };
        }
        ProbeResult::Failed {
            cause: ProbeFailure::Timeout,
            detail: "no answer".to_owned(),
        }
    }

    fn over(self) -> Rehearsal {
        Rehearsal {
            engine: self.engine,
            now: self.now,
            events: self.events,
            complete: self.complete,
        }
    }
}
