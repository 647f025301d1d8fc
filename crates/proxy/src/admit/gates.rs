//! What one worker keeps of the sites of its pools, and the permits that it gives out.

use super::room::Push;
use super::sites::{SiteIo, Sites};
use crate::upstream::Upstream;
use crate::worker::Worker;
use leeward_failover::limit::Limiter;
use leeward_failover::select::Want;
use leeward_failover::{Class, Lane, Outcome, PoolId, SiteId, Time};
use leeward_metrics::{Cells, SiteSlots};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One worker's side of every site, by `PoolId` and `SiteId`.
#[derive(Default)]
pub(crate) struct Gates {
    pools: RefCell<Vec<PoolGates>>,
}

struct PoolGates {
    /// First attempts so far: what shares are shares of.
    asked: u64,
    sites: Vec<Option<Rc<Gate>>>,
}

/// One site of a pool, as one worker sees it.
pub(crate) struct Gate {
    site: Arc<SiteIo>,
    cells: Cells,
    limiter: RefCell<Limiter>,
    ration: Cell<Ration>,
    /// The limit as the metrics have it.
    shown: Cell<u32>,
}

impl Gates {
    /// Follows a policy: a site that was there before keeps what was learned of it.
    pub(crate) fn follow(&self, sites: &Sites, cells: &Cells) {
        let mut pools = self.pools.borrow_mut();
        let before = pools.drain(..).flat_map(|p| p.sites).flatten();
        // A request that is under way sees how long this takes.
        let before: HashMap<*const SiteIo, Rc<Gate>> =
            before.map(|gate| (Arc::as_ptr(&gate.site), gate)).collect();
        let gate = |site: &Option<Arc<SiteIo>>| {
            let site = site.as_ref()?;
            let known = before.get(&Arc::as_ptr(site));
            Some(known.map_or_else(|| Gate::new(site.clone(), cells.clone()), Rc::clone))
        };
        pools.extend(sites.iter().map(|sites| PoolGates {
            asked: 0,
            sites: sites.iter().map(gate).collect(),
        }));
        for gate in pools.iter().flat_map(|pool| &pool.sites).flatten() {
            gate.ration.set(Ration::default());
        }
    }

    /// Counts a request by its first attempt.
    pub(super) fn asked(&self, want: &Want<'_>) {
        if want.tried.is_empty()
            && let Some(pool) = self.pools.borrow_mut().get_mut(want.pool.index())
        {
            pool.asked += 1;
        }
    }

    pub(super) fn get(&self, pool: PoolId, site: SiteId) -> Option<Rc<Gate>> {
        let pools = self.pools.borrow();
        pools.get(pool.index())?.sites.get(site.index())?.clone()
    }

    fn count(&self, pool: PoolId) -> u64 {
        let pools = self.pools.borrow();
        pools.get(pool.index()).map_or(0, |pool| pool.asked)
    }
}

impl Gate {
    fn new(site: Arc<SiteIo>, cells: Cells) -> Rc<Self> {
        let gate = Self {
            site,
            cells,
            limiter: RefCell::default(),
            ration: Cell::default(),
            shown: Cell::new(0),
        };
        gate.show();
        Rc::new(gate)
    }

    pub(super) fn slots(&self) -> &SiteSlots {
        &self.site.slots
    }

    /// Lets an attempt in, where there is room for its class. It `spills` when it found another site
    /// full.
    pub(super) fn admit(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        (lane, upstream): (&Lane, &Rc<Upstream>),
        want: &Want<'_>,
        spills: bool,
        now: Time,
    ) -> Result<Permit, Refused> {
        let class = want.class;
        if !self.limiter.borrow().has_room(class) {
            return Err(Refused::BySite);
        }
        // Orders are bound to their writer, and whoever failed elsewhere has to go somewhere. What the
        // table's share brings is within the bound; what spills here has to find some of it left.
        let rationed = lane.most < 1.0 && want.tried.is_empty() && !class.goes_to_writer();
        let ration = rationed.then(|| {
            let asked = worker.gates.count(want.pool);
            self.ration.get().grown(asked, lane.most)
        });
        if spills && ration.is_some_and(|ration| ration.tokens < 1.0) {
            return Err(Refused::BySite);
        }
        let declared = lane.declared(upstream.io.id, class);
        let room = &upstream.io.room;
        let rate = declared.filter(|_| lane.tight);
        if rate.is_some_and(|rate| !room.take_declared(rate, class, now))
            || !room.take_learned(class, now, &self.cells)
        {
            return Err(Refused::ByEndpoint);
        }
        if let Some(ration) = ration {
            self.ration.set(ration.less_one(lane.most));
        }
        upstream.enter(now);
        self.limiter.borrow_mut().enter();
        self.cells.up(self.site.slots.in_flight);
        Ok(Permit {
            gate: self.clone(),
            upstream: upstream.clone(),
            worker: worker.clone(),
            class,
            declared: declared.map(|rate| rate.own),
            entered: now,
        })
    }

    /// Shows the limit where it has changed.
    fn show(&self) {
        let limit = self.limiter.borrow().limit();
        let before = self.shown.replace(limit);
        if limit != before {
            let by = i64::from(limit) - i64::from(before);
            self.cells.shift(self.site.slots.limit, by);
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let shown = i64::from(self.shown.get());
        self.cells.shift(self.site.slots.limit, -shown);
    }
}

/// Who has no room for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    BySite,
    ByEndpoint,
}

/// Room for one attempt, to the end of its answer.
pub(crate) struct Permit {
    gate: Rc<Gate>,
    upstream: Rc<Upstream>,
    worker: Rc<Worker>,
    class: Class,
    /// What the endpoint can carry by its backend's word.
    declared: Option<f64>,
    entered: Time,
}

impl Permit {
    /// The head of an answer that says this came after `latency`: what the limits learn from.
    pub(crate) fn head(&self, says: Outcome, latency: Duration) {
        let moment = Instant::now();
        let now = self.worker.shared.at(moment);
        if says == Outcome::Backpressure {
            let workers = self.worker.shared.peers.len() as f64;
            let push = Push {
                // The others have about as much.
                sent: self.upstream.sent(now).times(workers),
                declared: self.declared,
                entered: self.entered,
            };
            let room = &self.upstream.io.room;
            room.pushed_back(&push, now, &self.gate.cells);
        } else if matches!(self.class, Class::PublicRead | Class::PrivateRead)
            // Of a worker that is late itself, lateness says nothing of the site.
            && !self.worker.lag.is_late(moment)
            && !self.worker.turnstile.is_busy()
        {
            self.gate.limiter.borrow_mut().answered(latency, now);
            self.gate.show();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.limiter.borrow_mut().leave();
        self.gate.cells.down(self.gate.site.slots.in_flight);
    }
}

/// What is left of a site's share of the requests: it grows with each request of the pool and is
/// spent by those that go there; what spills over from others finds what is left of it.
#[derive(Clone, Copy)]
struct Ration {
    tokens: f64,
    /// The pool's requests that it has grown with.
    asked: u64,
}

impl Default for Ration {
    fn default() -> Self {
        Self {
            tokens: 1.0,
            asked: 0,
        }
    }
}

impl Ration {
    /// Over so many requests a share may be uneven.
    const UNEVEN: f64 = 100.0;

    fn grown(self, asked: u64, share: f64) -> Self {
        let more = asked.saturating_sub(self.asked) as f64 * share;
        Self {
            tokens: (self.tokens + more).min(Self::most(share)),
            asked,
        }
    }

    fn less_one(self, share: f64) -> Self {
        Self {
            tokens: (self.tokens - 1.0).max(-Self::most(share)),
            ..self
        }
    }

    fn most(share: f64) -> f64 {
        (share * Self::UNEVEN).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ration_gives_a_share_of_the_requests_and_keeps_little() {
        let mut ration = Ration::default();
        let mut given = 0;
        for asked in 1..=10_000 {
            ration = ration.grown(asked, 0.05);
            if ration.tokens >= 1.0 {
                ration = ration.less_one(0.05);
                given += 1;
            }
        }
        assert!((500..=501).contains(&given), "{given}");
        assert!(ration.grown(1_000_000, 0.05).tokens <= 5.0);
        assert!(ration.grown(1_000_000, 0.001).tokens <= 1.0);
    }
}
