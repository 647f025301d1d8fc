//! The engine itself: takes one fact in, lets what it touches decide, says what changed.
//!
//! It owns the order of things and nothing else: the fleet's state machines judge (`endpoint`,
//! `place`), `infer` draws conclusions, `pool` decides who serves. Only what a fact touched is
//! looked at, so failure costs about the same as health (P8). The control task in `proxy` drives it.

use crate::endpoint::Rules;
use crate::fleet::Fleet;
use crate::id::{EndpointId, PoolId, ProviderId};
use crate::input::{Input, Outcome, Overdue, ProbeResult, Tally, Target};
use crate::journal::Journal;
use crate::output::{Change, Output};
use crate::policy::Policy;
use crate::rng::Rng;
use crate::table::{EndpointInfo, Table};
use crate::time::Time;
use crate::timers::{Timer, Timers};
use crate::verdict::{Cause, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A deadline that is missed by more than this was missed because the whole process stood still.
const JUMP: Duration = Duration::from_secs(5);
/// For this long after a jump, requests that fail are those that stood still with the process.
const JUMP_GRACE: Duration = Duration::from_secs(1);
/// A pool that turned a request away within this is short of room.
const SHEDDING: Duration = Duration::from_secs(1);

/// Takes facts in, gives decisions out; see the crate's documentation.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) now: Time,
    pub(crate) fleet: Fleet,
    pub(crate) timers: Timers,
    pub(crate) journal: Journal,
    pub(crate) dirty: Dirty,
    /// The stream that jitters probes.
    pub(crate) jitter: Rng,
    /// What the table says of endpoints, by id.
    pub(crate) directory: Arc<Vec<Option<EndpointInfo>>>,
    /// When the process last stood still and went on.
    resumed: Option<Time>,
    table: Arc<Table>,
    /// What the sweep saw after the last input.
    #[cfg(debug_assertions)]
    pub(crate) audit: crate::invariants::Audit,
}

/// What has to be decided anew before the input is done with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirty {
    pub providers: BTreeSet<ProviderId>,
    /// With the cause that its events carry; the last one wins, it is the most far-reaching.
    pub pools: BTreeMap<PoolId, Cause>,
    /// Whether the table has to be published whatever the pools say.
    pub table: bool,
}

impl Engine {
    /// An engine that knows nothing yet. The same seed and the same inputs at the same times give
    /// the same outputs.
    pub fn new(seed: u64) -> Engine {
        Engine {
            now: Time::ZERO,
            fleet: Fleet::default(),
            timers: Timers::default(),
            journal: Journal::default(),
            dirty: Dirty::default(),
            jitter: Rng::new(seed ^ 0x6a69_7474_6572),
            directory: Arc::default(),
            resumed: None,
            table: Arc::default(),
            #[cfg(debug_assertions)]
            audit: crate::invariants::Audit::default(),
        }
    }

    /// Takes one fact in and decides all that follows from it. Read the decisions with
    /// [`Engine::poll_output`].
    ///
    /// Time that goes backwards counts as standing still. Ids that mean nothing are ignored, and so
    /// is a policy whose ids do not fit together (`leeward-config` makes none).
    pub fn handle(&mut self, input: Input, now: Time) {
        // The end of time is no moment that anything could follow.
        let now = now.max(self.now).min(Time(u64::MAX - 1));
        self.notice_jump(now);
        self.now = now;
        #[cfg(debug_assertions)]
        let told = crate::invariants::Told::of(&input);
        match input {
            Input::Policy(policy) => self.load(*policy),
            Input::Addresses {
                backend,
                addresses,
                retained,
                expired,
            } => {
                self.resolved(backend, [addresses, retained], expired);
            }
            Input::Probe { endpoint, result } => self.probed(endpoint, &result),
            Input::Traffic { endpoint, tally } => self.served(endpoint, tally),
            Input::Silence { endpoint, overdue } => self.waited_for(endpoint, overdue),
            Input::OrdersWait { endpoint, overdue } => self.orders_wait(endpoint, overdue),
            Input::Operator {
                target,
                word,
                lasts,
                reason,
            } => {
                self.speak(&[target], word, lasts, reason, false);
            }
            Input::Words {
                targets,
                word,
                lasts,
                reason,
                forced,
            } => self.speak(&targets, word, lasts, reason, forced),
            Input::Window { pool, open } => self.window(pool, open),
            Input::Memory { memory, away } => self.recall(&memory, away),
            Input::Together(facts) => self.observe_all(facts),
            Input::Wake => {}
        }
        self.fire();
        self.settle();
        self.publish();
        #[cfg(debug_assertions)]
        self.check_invariants(told);
    }

    /// Takes in what came together: a thousand endpoints that fail at once are one decision.
    fn observe_all(&mut self, facts: Vec<Input>) {
        for fact in facts {
            match fact {
                Input::Probe { endpoint, result } => self.probed(endpoint, &result),
                Input::Traffic { endpoint, tally } => self.served(endpoint, tally),
                Input::Silence { endpoint, overdue } => self.waited_for(endpoint, overdue),
                Input::OrdersWait { endpoint, overdue } => self.orders_wait(endpoint, overdue),
                _ => {}
            }
        }
    }

    /// When to call [`Engine::handle`] with [`Input::Wake`] at the latest; [`Time::NEVER`] when
    /// nothing is due. Always later than the last input.
    pub fn next_deadline(&self) -> Time {
        self.timers.next()
    }

    /// The next thing to do, until `None`. To be drained after each input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.journal.pop()
    }

    /// Whether every endpoint has had a probe's result, and every backend has an endpoint.
    pub fn probed_once(&self) -> bool {
        let known = |backend: &crate::fleet::BackendState| !backend.endpoints.is_empty();
        self.fleet.backends.iter().all(known)
            && self
                .fleet
                .all_endpoints()
                .all(|endpoint| endpoint.probes.any)
    }

    /// What is known of an endpoint; `None` when it is gone.
    pub fn endpoint(&self, id: EndpointId) -> Option<EndpointInfo> {
        self.directory.get(id.index()).copied().flatten()
    }

    /// The policy that it goes by.
    pub fn policy(&self) -> &Policy {
        &self.fleet.policy
    }

    /// The name of a place or an endpoint, as in the journal.
    pub fn name_of(&self, target: Target) -> String {
        self.fleet.subject(target).name
    }

    /// The newest table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// A process that stood still (stopped, or its machine paused) meets nothing but timeouts when
    /// it goes on, and they say nothing of any backend: what was being measured is forgiven.
    fn notice_jump(&mut self, now: Time) {
        let expected = self.timers.next();
        if expected == Time::NEVER || now <= expected + JUMP {
            return;
        }
        self.resumed = Some(now);
        for slot in &mut self.fleet.endpoints {
            let Some(endpoint) = slot else { continue };
            let params = &self.fleet.policy.pools[endpoint.pool.index()].probe;
            endpoint.slot.resume(params, &mut self.jitter, now);
            self.timers.set(
                Timer::Probe(endpoint.id),
                endpoint.slot.deadline(params),
                now,
            );
        }
    }

    fn probed(&mut self, id: EndpointId, result: &ProbeResult) {
        let now = self.now;
        let fleet = &mut self.fleet;
        let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
            return;
        };
        let pool = &fleet.policy.pools[endpoint.pool.index()];
        let forgiven = endpoint.slot.ended();
        self.timers
            .set(Timer::Probe(id), endpoint.slot.deadline(&pool.probe), now);
        match result {
            ProbeResult::Unmade => return,
            ProbeResult::Failed { .. } if forgiven => return,
            ProbeResult::Passed { .. } | ProbeResult::Failed { .. } => {}
        }
        let before = (endpoint.probes.any, endpoint.answers(pool));
        let changed = endpoint.probed(result, Rules { pool, now });
        if (endpoint.probes.any, endpoint.answers(pool)) != before {
            // The first answers end a pool's first round; in a panic, who answers is less bad.
            self.dirty
                .pools
                .entry(endpoint.pool)
                .or_insert(Cause::ProbesPassed);
        }
        if matches!(result, ProbeResult::Passed { .. }) {
            self.proved(id);
            self.confirm_soon(id);
        }
        if let Some(changed) = changed {
            self.endpoint_changed(id, changed.from);
        }
    }

    /// A lost endpoint answered a probe again. While its pool turns requests away, every moment until it has
    /// proved itself is theirs: the next probe does not wait for its turn.
    fn confirm_soon(&mut self, id: EndpointId) {
        let Some(endpoint) = self.fleet.endpoint(id) else {
            return;
        };
        let pool = endpoint.pool.index();
        let unproved = endpoint.held.verdict == Verdict::Down
            && !endpoint.answers(&self.fleet.policy.pools[pool]);
        let sheds = |at: Time| self.now < at + SHEDDING;
        if unproved && self.fleet.pools[pool].shed_at.is_some_and(sheds) {
            self.hurry(id);
        }
    }

    fn served(&mut self, id: EndpointId, mut tally: Tally) {
        let now = self.now;
        if self.stood_still_lately() {
            tally = successes_of(&tally);
        }
        let asked = tally;
        let tally = self.orders_served(id, &tally);
        let fleet = &mut self.fleet;
        let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
            return;
        };
        let pool = &fleet.policy.pools[endpoint.pool.index()];
        let info = endpoint.info;
        let state = &mut fleet.pools[endpoint.pool.index()];
        let excused = state.excused(info, &tally, now, |site| fleet.sites[site.index()].provider);
        let changed = endpoint.served(&tally, excused, Rules { pool, now });
        let suspect = tally.failures() > 0 && endpoint.held.verdict == Verdict::Suspect;
        self.demanded(id, &asked);
        if tally.count(Outcome::Success) > 0 {
            self.proved(id);
        }
        if let Some(changed) = changed {
            self.endpoint_changed(id, changed.from);
        }
        if suspect {
            self.hurry(id);
        }
    }

    /// Requests wait for an endpoint. It is probed at once: what the probe finds decides.
    fn waited_for(&mut self, id: EndpointId, overdue: Overdue) {
        let now = self.now;
        if !self.is_silence(id, overdue) {
            return;
        }
        let of_orders = self.is_of_orders_alone(id, overdue);
        let fleet = &mut self.fleet;
        let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
            return;
        };
        let pool = &fleet.policy.pools[endpoint.pool.index()];
        let first = !endpoint.silence.is_suspicious();
        let rules = Rules { pool, now };
        let changed = match of_orders {
            true => endpoint.orders_wait(rules),
            false => endpoint.waited_for(overdue, rules),
        };
        let deadline = endpoint.deadline();
        match changed {
            Some(changed) => self.endpoint_changed(id, changed.from),
            None => self.arm(Timer::Endpoint(id), deadline),
        }
        if first && !of_orders {
            self.hurry(id);
        }
    }

    /// Whether waiting says anything of an endpoint: not of one that is left already, nor when the
    /// process itself stood still.
    pub(crate) fn is_silence(&self, id: EndpointId, overdue: Overdue) -> bool {
        let up = |endpoint: &crate::endpoint::Endpoint| endpoint.held.verdict != Verdict::Down;
        overdue.requests > 0
            && !self.stood_still_lately()
            && self.fleet.endpoint(id).is_some_and(up)
    }

    /// Whether the process has only just gone on after it stood still.
    pub(crate) fn stood_still_lately(&self) -> bool {
        let still = |at: Time| self.now < at + JUMP_GRACE;
        self.resumed.is_some_and(still)
    }

    /// An endpoint gave good news. Where a writer was lost, it may move there now.
    fn proved(&mut self, id: EndpointId) {
        let Some(pool) = self.fleet.endpoint(id).map(|endpoint| endpoint.pool) else {
            return;
        };
        let state = &self.fleet.pools[pool.index()];
        if state.writer_lost_at.is_some() || state.awaits_detour {
            self.dirty.pools.entry(pool).or_insert(Cause::ProbesPassed);
        }
    }

    /// Probes an endpoint at once, or as soon as one may.
    pub(crate) fn hurry(&mut self, id: EndpointId) {
        let Some(endpoint) = self.fleet.endpoint_mut(id) else {
            return;
        };
        endpoint.slot.hurry(self.now);
        self.probe_due(id);
    }

    /// Probes an endpoint at once: orders wait for somebody who answers.
    pub(crate) fn rush(&mut self, id: EndpointId) {
        let now = self.now;
        if let Some(endpoint) = self.fleet.endpoint_mut(id) {
            endpoint.slot.rush(now);
            self.probe_due(id);
        }
    }

    /// Looks at everything whose time has come.
    fn fire(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Probe(id) => self.probe_due(id),
                Timer::Endpoint(id) => self.endpoint_woken(id),
                Timer::Orders(id) => self.order_path_woken(id),
                Timer::Site(id) => {
                    self.dirty
                        .providers
                        .extend(self.fleet.sites.get(id.index()).map(|s| s.provider));
                }
                Timer::Provider(id) => {
                    self.dirty.providers.insert(id);
                }
                Timer::Pool(id) => {
                    self.dirty.pools.insert(id, Cause::HoldDownOver);
                }
                Timer::Word(target) => self.lapse(target),
                Timer::Demand(id) => self.look_at_demand(id),
            }
        }
    }

    fn probe_due(&mut self, id: EndpointId) {
        let fleet = &mut self.fleet;
        let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
            return;
        };
        let params = &fleet.policy.pools[endpoint.pool.index()].probe;
        if endpoint.slot.begins(params, &mut self.jitter, self.now) {
            self.journal.push(Output::Probe(id));
        }
        self.timers
            .set(Timer::Probe(id), endpoint.slot.deadline(params), self.now);
    }

    fn endpoint_woken(&mut self, id: EndpointId) {
        let now = self.now;
        let fleet = &mut self.fleet;
        let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
            return;
        };
        let pool = &fleet.policy.pools[endpoint.pool.index()];
        if let Some(changed) = endpoint.woken(Rules { pool, now }) {
            self.endpoint_changed(id, changed.from);
        }
    }

    /// Journals what is now held of an endpoint, and has its site and pool decided anew.
    pub(crate) fn endpoint_changed(&mut self, id: EndpointId, from: Verdict) {
        let Some(endpoint) = self.fleet.endpoint(id) else {
            return;
        };
        let held = &endpoint.held;
        let (to, cause, evidence) = (held.verdict, held.cause, held.evidence.clone());
        let (deadline, pool, site) = (endpoint.deadline(), endpoint.pool, endpoint.info.site);
        let (counts, backend) = (endpoint.counts, endpoint.info.backend);
        let subject = self.fleet.subject(Target::Endpoint(id));
        self.journal.event(
            self.now,
            subject,
            Change::Verdict { from, to },
            cause,
            evidence,
        );
        let site = &mut self.fleet.sites[site.index()];
        if counts {
            site.census.remove(from);
            site.census.add(to);
        }
        self.dirty.providers.insert(site.provider);
        self.dirty.pools.insert(pool, cause);
        self.recount(backend);
        self.arm(Timer::Endpoint(id), deadline);
    }

    /// Draws the conclusions: places first, then the pools that have anything there.
    pub(crate) fn settle(&mut self) {
        while let Some(provider) = self.dirty.providers.pop_first() {
            self.infer(provider);
        }
        while let Some((pool, cause)) = self.dirty.pools.pop_first() {
            self.dirty.table |= self.decide_pool(pool, cause);
        }
    }

    fn publish(&mut self) {
        if std::mem::take(&mut self.dirty.table) {
            self.table = Arc::new(Table {
                version: self.table.version + 1,
                pools: self
                    .fleet
                    .pools
                    .iter()
                    .map(|pool| Arc::clone(&pool.table))
                    .collect(),
                endpoints: Arc::clone(&self.directory),
            });
            self.journal.push(Output::Table(Arc::clone(&self.table)));
        }
    }

    /// Sets a timer, or clears it where its time has passed: nothing is left to wait for.
    pub(crate) fn arm(&mut self, timer: Timer, when: Time) {
        if when > self.now {
            self.timers.set(timer, when, self.now);
        } else {
            self.timers.clear(timer);
        }
    }
}

fn successes_of(tally: &Tally) -> Tally {
    let mut successes = Tally {
        latency_micros: tally.latency_micros,
        shed: tally.shed,
        ..Tally::default()
    };
    successes.counts[Outcome::Success as usize] = tally.count(Outcome::Success);
    successes
}
