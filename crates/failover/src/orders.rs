//! What is learned of order paths, applied: journalled, and pools decided anew.
//!
//! `order_path` judges, `spread` and `writer` go by it. The engine calls this with each batch of
//! outcomes and each report of orders that wait.

use crate::engine::Engine;
use crate::id::{EndpointId, PoolId};
use crate::input::{Outcome, Overdue, Tally, Target};
use crate::order_path::{Around, Fitness};
use crate::output::Change;
use crate::table::Lane;
use crate::time::Time;
use crate::timers::Timer;
use crate::trust::LaneView;
use crate::verdict::{Cause, Verdict};
use std::time::Duration;

/// Orders that fail at a writer that does not move are told of after this long: who could take its
/// place answers in less.
const TOLD_AFTER: Duration = Duration::from_secs(1);
/// A pool has reads where any succeeded this long ago.
const HAS_READS: Duration = Duration::from_secs(30);

impl Engine {
    /// Takes in what orders met at an endpoint. Returns what is left for its own verdict to judge by:
    /// orders that fail where reads succeed say nothing of what reads meet.
    pub(crate) fn orders_served(&mut self, id: EndpointId, tally: &Tally) -> Tally {
        let now = self.now;
        let around = self.around(id, tally);
        let fleet = &mut self.fleet;
        let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
            return *tally;
        };
        let pool = &fleet.policy.pools[endpoint.pool.index()];
        let before = endpoint.orders.fitness();
        let from = endpoint.orders.served(tally, around, pool, now);
        let judged = if endpoint.orders.reads_vouch(now) {
            tally.without_failed_orders()
        } else {
            *tally
        };
        self.order_path_changed(id, before, from);
        judged
    }

    /// What stands around an endpoint, where its orders are judged.
    fn around(&mut self, id: EndpointId, tally: &Tally) -> Around {
        let now = self.now;
        let Some(endpoint) = self.fleet.endpoint(id) else {
            return Around::default();
        };
        let (pool, provider) = (endpoint.pool.index(), endpoint.info.provider);
        let reads = tally.count(Outcome::Success) > tally.orders.count(Outcome::Success);
        let state = &mut self.fleet.pools[pool];
        if reads {
            state.read_at = now;
        }
        let failing = tally.orders.failures() > 0;
        let lanes = self.fleet.pools[pool].lanes.iter().filter(|_| failing);
        let mut others = lanes.flat_map(|lane| &lane.endpoints);
        let doubted = others.any(|other| {
            let other = self
                .fleet
                .endpoint(*other)
                .filter(|e| e.info.provider == provider);
            other.is_some_and(|e| e.id != id && e.orders.fitness() == Fitness::Unfit)
        });
        Around {
            taken: self.takes_orders(id),
            doubted,
            probed: self.stands_in(id),
        }
    }

    /// When a probe passed at an endpoint that may speak for its reads: its pool has some.
    fn stands_in(&self, id: EndpointId) -> Option<Time> {
        let endpoint = self.fleet.endpoint(id)?;
        let pool = endpoint.pool.index();
        let params = &self.fleet.policy.pools[pool];
        let has_reads = self.now.since(self.fleet.pools[pool].read_at) < HAS_READS;
        let passed = endpoint.last_good.filter(|_| endpoint.answers(params));
        passed.filter(|_| has_reads)
    }

    /// Whether all that waits for an endpoint are orders, and it has answered reads, or a probe in their
    /// place, since the oldest was sent: its order path judges that, and its reads stay.
    pub(crate) fn is_of_orders_alone(&mut self, id: EndpointId, overdue: Overdue) -> bool {
        if !overdue.is_of_orders_alone() {
            return false;
        }
        let (now, probed) = (self.now, self.stands_in(id));
        let endpoint = self.fleet.endpoint_mut(id);
        endpoint.is_some_and(|endpoint| {
            let since = now - overdue.oldest;
            endpoint.orders.is_vouched_since(since, probed, now)
        })
    }

    /// Orders wait for an endpoint that answers none.
    pub(crate) fn orders_wait(&mut self, id: EndpointId, overdue: Overdue) {
        let now = self.now;
        if !self.is_silence(id, overdue) {
            return;
        }
        let probed = self.stands_in(id);
        let fleet = &mut self.fleet;
        let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
            return;
        };
        let pool = &fleet.policy.pools[endpoint.pool.index()];
        let before = endpoint.orders.fitness();
        let from = endpoint.orders.waited_for(overdue, probed, pool, now);
        self.order_path_changed(id, before, from);
    }

    /// A hold-down of an order path may be over, or nobody waits there any more.
    pub(crate) fn order_path_woken(&mut self, id: EndpointId) {
        let now = self.now;
        let fleet = &mut self.fleet;
        let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
            return;
        };
        let pool = &fleet.policy.pools[endpoint.pool.index()];
        let before = endpoint.orders.fitness();
        let from = endpoint.orders.woken(pool, now);
        self.order_path_changed(id, before, from);
    }

    /// An operator says that a place is well: reads and probes could not say it of its order paths.
    pub(crate) fn restore_order_paths(&mut self, target: Target) {
        let sites = self.fleet.sites_of(target);
        let ids: Vec<EndpointId> = match target {
            Target::Endpoint(id) => vec![id],
            _ => {
                let all = self.fleet.all_endpoints();
                let here = all.filter(|endpoint| sites.contains(&endpoint.info.site));
                here.map(|endpoint| endpoint.id).collect()
            }
        };
        for id in ids {
            let now = self.now;
            let fleet = &mut self.fleet;
            let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
                continue;
            };
            let health = &fleet.policy.pools[endpoint.pool.index()].health;
            let before = endpoint.orders.fitness();
            let from = endpoint.orders.restore(health, now);
            self.order_path_changed(id, before, from);
        }
    }

    /// Journals what is now held of an endpoint's order path, and has its pool decided anew.
    pub(crate) fn order_path_changed(
        &mut self,
        id: EndpointId,
        before: Fitness,
        from: Option<Verdict>,
    ) {
        let Some(endpoint) = self.fleet.endpoint(id) else {
            return;
        };
        let (pool, path) = (endpoint.pool, &endpoint.orders);
        let (deadline, turned) = (path.deadline(), path.fitness() != before);
        let held = from.map(|from| (from, path.held.clone()));
        // One whose time has come has not been looked at yet.
        self.timers.set(Timer::Orders(id), deadline, self.now);
        if turned {
            let cause = held.as_ref().map_or(Cause::Overdue, |(_, held)| held.cause);
            self.dirty.pools.insert(pool, cause);
        }
        let Some((from, held)) = held else { return };
        let change = Change::OrderPath {
            from,
            to: held.verdict,
        };
        let subject = self.fleet.subject(Target::Endpoint(id));
        self.journal
            .event(self.now, subject, change, held.cause, held.evidence);
    }

    /// Whether a pool's orders go to an endpoint, as published.
    fn takes_orders(&self, id: EndpointId) -> bool {
        let Some(endpoint) = self.fleet.endpoint(id) else {
            return false;
        };
        let table = &self.fleet.pools[endpoint.pool.index()].table;
        let lane = |lane: &&Lane| lane.site == endpoint.info.site && lane.usable;
        let takes = |lane: &Lane| {
            let mut here = lane.endpoints.iter();
            here.any(|e| e.id == id && e.order_weight > 0.0)
        };
        let writes = table
            .writer
            .is_none_or(|writer| writer == endpoint.info.provider);
        writes && table.lanes.iter().find(lane).is_some_and(takes)
    }

    /// Since when a lane is in full service, for reads and for orders.
    pub(crate) fn takes_orders_since(&self, lane: &Lane, in_service: Time) -> Time {
        let endpoints = lane.endpoints.iter();
        let paths = endpoints.filter_map(|e| Some(&self.fleet.endpoint(e.id)?.orders.held));
        let on_trial = paths.filter(|held| held.verdict == Verdict::Recovering);
        on_trial.fold(in_service, |since, held| since.max(held.since))
    }

    /// Tells, once, that orders fail at a pool's writer and nobody else takes them, and once that they
    /// do not fail any more. Returns when that is to be looked at again.
    pub(crate) fn journal_orders_held(
        &mut self,
        id: PoolId,
        views: &[LaneView],
        cause: Cause,
    ) -> Time {
        let pool = &self.fleet.pools[id.index()];
        let failing = pool.orders_fail && !pool.trust.is_panic();
        let told_at = pool
            .writer_lost_at
            .map_or(Time::NEVER, |at| at + TOLD_AFTER);
        // Until somebody takes orders who has proved itself, nothing is over.
        let own = views.iter().filter(|v| Some(v.provider) == pool.writer);
        let mut own = own.flat_map(|view| &view.endpoints);
        let fit = own.any(|e| e.orders < Fitness::OnTrial);
        let on = failing && self.now >= told_at || pool.orders_held && !fit;
        if on != pool.orders_held {
            let params = &self.fleet.policy.pools[id.index()].orders;
            let others = views.iter().filter(|v| Some(v.provider) != pool.writer);
            let able = others.flat_map(|view| &view.endpoints);
            let kept = match params.moves {
                crate::policy::Mover::Operator => "the policy leaves the writer to an operator",
                crate::policy::Mover::Automatic
                    if able.clone().any(|e| e.orders < Fitness::Unfit) =>
                {
                    "it has only just moved, and nobody else has proved itself"
                }
                crate::policy::Mover::Automatic => "nobody else takes orders",
            };
            let writer = pool.writer.map_or("", |id| self.fleet.provider_name(id));
            let mut evidence = vec![("writer", writer.to_owned())];
            let cause = if on {
                evidence.push(("kept", kept.to_owned()));
                Cause::OrdersFail
            } else {
                cause
            };
            let subject = self.fleet.pool_subject(id);
            let change = Change::OrdersHeld { on };
            self.journal
                .event(self.now, subject, change, cause, evidence);
            self.fleet.pools[id.index()].orders_held = on;
        }
        if failing && !on { told_at } else { Time::NEVER }
    }
}
