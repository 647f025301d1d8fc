//! What must always hold of orders (decisions 9 and 13): one writer, a detour that is none of its
//! moves, and order paths that open by proof or by a word, never by time.
//!
//! Looks at what changed between two inputs, so it remembers what it saw; `invariants` calls it.

use super::Told;
use crate::engine::Engine;
use crate::fleet::PoolState;
use crate::id::{EndpointId, PoolId, ProviderId};
use crate::input::Target;
use crate::order_path::Fitness;
use crate::output::{Change, Event};
use crate::policy::{Mover, Writer};
use crate::table::{Lane, LaneEndpoint};
use crate::verdict::{Cause, Verdict};
use std::collections::BTreeMap;

/// What was seen after the last input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit {
    /// The last line of the journal.
    seq: u64,
    /// What was held of each order path that was not healthy.
    paths: BTreeMap<EndpointId, Verdict>,
    /// By pool: the writer, and who took its orders.
    writers: Vec<(Option<ProviderId>, Option<ProviderId>)>,
}

impl Engine {
    /// Panics where orders are not treated as they must be.
    pub(crate) fn check_orders(&mut self, told: Told) {
        let before = std::mem::take(&mut self.audit);
        let events: Vec<Event> = match told {
            // A memory numbers the journal anew.
            Told::Memory => Vec::new(),
            _ => self.journal.since(before.seq),
        };
        if told != Told::Memory {
            self.check_order_paths(&before.paths, &events);
        }
        for (index, pool) in self.fleet.pools.iter().enumerate() {
            let id = PoolId::from(index);
            self.check_detour(id, pool);
            self.check_closed(id, pool);
            // Ids of providers mean something else under another policy.
            if let Some(before) = before.writers.get(index).filter(|_| told == Told::Fact) {
                self.check_moves(id, pool, *before, &events);
            }
        }
        let paths = self.fleet.all_endpoints();
        let paths = paths.map(|e| (e.id, e.orders.held.verdict));
        let writers = self.fleet.pools.iter();
        self.audit = Audit {
            seq: self.journal.seq(),
            paths: paths
                .filter(|(_, held)| *held != Verdict::Healthy)
                .collect(),
            writers: writers.map(|p| (p.writer, p.table.writer)).collect(),
        };
    }

    /// An order path changes with a line in the journal, and opens by orders that succeed or by a
    /// word. Time ends a hold-down and nothing else.
    fn check_order_paths(&self, before: &BTreeMap<EndpointId, Verdict>, events: &[Event]) {
        let turns = |event: &&Event| matches!(event.change, Change::OrderPath { .. });
        let events: Vec<&Event> = events.iter().filter(turns).collect();
        for endpoint in self.fleet.all_endpoints() {
            let is = endpoint.orders.held.verdict;
            let before = before.get(&endpoint.id).copied();
            let mut held = before.unwrap_or(Verdict::Healthy);
            if held == is && events.is_empty() {
                continue;
            }
            let name = self.fleet.subject(Target::Endpoint(endpoint.id)).name;
            for event in events.iter().filter(|event| event.subject.name == name) {
                let Change::OrderPath { from, to } = event.change else {
                    continue;
                };
                assert_eq!(held, from, "orders: what the path of {name} was");
                assert!(
                    may_change(from, to, event.cause) && !event.evidence.is_empty()
                        || event.cause == Cause::Operator && to == Verdict::Healthy,
                    "orders: the path of {name} goes from {from:?} to {to:?} by {}",
                    event.cause.as_str()
                );
                held = to;
            }
            assert_eq!(
                held, is,
                "orders: the path of {name} changes without a line in the journal"
            );
        }
    }

    /// A detour is the orders' and not the writer's: only where a replaced writer is refused, only away
    /// from a writer in trouble, and only to somebody whose orders are well.
    fn check_detour(&self, id: PoolId, pool: &PoolState) {
        let params = &self.fleet.policy.pools[id.index()];
        let name = &params.name;
        assert_eq!(
            pool.table.writer,
            pool.detour.or(pool.writer),
            "orders: {name} publishes another writer than it has"
        );
        let Some(to) = pool.detour else { return };
        let orders = params.orders;
        let may = orders.fenced && orders.moves == Mover::Automatic;
        assert!(
            may && orders.writer == Writer::Single && pool.writer != Some(to),
            "orders: {name} makes a detour that it may not make"
        );
        let well = |e: &LaneEndpoint| {
            let known = self.fleet.endpoint(e.id);
            e.order_weight > 0.0 && known.is_some_and(|e| e.orders.fitness() == Fitness::Fit)
        };
        let mut there = of(pool, to).filter(|lane| lane.usable);
        assert!(
            there.any(|lane| lane.endpoints.iter().any(well)),
            "orders: {name} makes a detour to who takes no orders"
        );
    }

    /// A path that is shut takes orders only where its provider has no other.
    fn check_closed(&self, id: PoolId, pool: &PoolState) {
        let name = &self.fleet.policy.pools[id.index()].name;
        let shut = |e: &&LaneEndpoint| {
            let known = self.fleet.endpoint(e.id);
            // What is down takes orders only while nothing is trusted, and all of it is alike then.
            let up = e.verdict != Verdict::Down && !pool.table.panic;
            up && known.is_some_and(|known| known.orders.fitness() == Fitness::Unfit)
        };
        for lane in &pool.table.lanes {
            let own = || {
                let lanes = of(pool, lane.provider).filter(|lane| lane.usable);
                let endpoints = lanes.flat_map(|lane| &lane.endpoints);
                endpoints.filter(|e| e.order_weight > 0.0)
            };
            let single = self.fleet.policy.pools[id.index()].orders.writer == Writer::Single;
            let mixed = own().any(|e| shut(&e)) && own().any(|e| !shut(&e));
            assert!(
                !single || !mixed,
                "orders: {name} sends orders where they fail, beside others of one provider"
            );
        }
    }

    /// A writer moves with a line in the journal, and never because a detour ends or begins.
    fn check_moves(
        &self,
        id: PoolId,
        pool: &PoolState,
        (writer, published): (Option<ProviderId>, Option<ProviderId>),
        events: &[Event],
    ) {
        let params = &self.fleet.policy.pools[id.index()];
        let of_pool = || {
            let mut events = events.iter();
            std::iter::from_fn(move || events.find(|event| event.subject.name == params.name))
        };
        let mut at = writer.map(|writer| self.fleet.provider_name(writer));
        for event in of_pool() {
            let Change::Writer { from, to } = &event.change else {
                continue;
            };
            assert_eq!(at, Some(from.as_str()), "orders: a move of {}", params.name);
            let home = event.cause == Cause::WriterHome;
            assert!(
                !home || params.orders.failback == Mover::Automatic,
                "orders: {} goes home where only an operator brings it",
                params.name
            );
            at = Some(to.as_str());
        }
        let is = pool.writer.map(|writer| self.fleet.provider_name(writer));
        assert!(
            writer.is_none() || at == is,
            "orders: the writer of {} turns from {at:?} to {is:?} without a line in the journal",
            params.name
        );
        let moves =
            |change: &Change| matches!(change, Change::Writer { .. } | Change::Detour { .. });
        assert!(
            published.is_none()
                || published == pool.table.writer
                || of_pool().any(|event| moves(&event.change)),
            "orders: those of {} go elsewhere without a line in the journal",
            params.name
        );
    }
}

fn of(pool: &PoolState, provider: ProviderId) -> impl Iterator<Item = &Lane> {
    let lanes = pool.table.lanes.iter();
    lanes.filter(move |lane| lane.provider == provider)
}

/// What may become of an order path, and why.
const fn may_change(from: Verdict, to: Verdict, cause: Cause) -> bool {
    match (from, to) {
        (Verdict::Healthy | Verdict::Recovering, Verdict::Down) => matches!(
            cause,
            Cause::ConsecutiveFailures
                | Cause::FailureRatio
                | Cause::Silent
                | Cause::FailedInRamp
                | Cause::Remembered
        ),
        (Verdict::Down, Verdict::Recovering) => matches!(cause, Cause::HoldDownOver),
        (Verdict::Down | Verdict::Recovering, Verdict::Healthy) => {
            matches!(cause, Cause::TrafficSucceeds)
        }
        _ => false,
    }
}
