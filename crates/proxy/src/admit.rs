//! Admission: room at a site is taken before an attempt goes there, and given back at its end.
//!
//! `place` chooses the endpoint of an attempt. Where that is full for the request's class, or its
//! whole site, another one with room is looked for; where there is none, the request is to be shed:
//! at once, nobody waits. What is full is decided by `leeward_failover::limit`.
//!
//! What is shared: each worker counts what it has in flight and learns from latency for itself. Two
//! things belong to all workers, one of each for an endpoint, and neither is written while a site is
//! far from its limits. The number behind a declared capacity is only touched while the table calls
//! the lane tight; a rate learned from back-pressure lives behind a lock while there is one.
//! Otherwise a request reads one flag of the endpoint, on a line that nobody writes.
//!
//! Called by `job`. It judges no health.

mod gates;
mod room;
mod sites;

use gates::Refused;
pub(crate) use gates::{Gates, Permit};
pub(crate) use room::Room;
pub(crate) use sites::{Sites, sites};

use crate::body::ResponseBody;
use crate::exchange::Exchange;
use crate::respond;
use crate::upstream::Upstream;
use crate::worker::{Held, Worker};
use http::{Response, StatusCode};
use leeward_failover::select::{Full, Pick, Want, select_beside};
use leeward_failover::{EndpointId, PoolId, SiteId, Time};
use leeward_metrics::RequestOutcome;
use std::rc::Rc;

/// Where an attempt goes.
pub(crate) enum Placed {
    /// There, where it has room until the permit is dropped.
    At(Rc<Upstream>, Permit),
    /// Every site that may take it is full.
    Full,
    /// There is no endpoint that may take it.
    Nowhere,
}

/// After so many endpoints of a site that were full the site is taken to be: shedding has to be cheap.
const ASKED_OF_A_SITE: usize = 4;

/// Finds a place for one attempt.
pub(crate) fn place(worker: &Rc<Worker>, held: &Held, want: &Want<'_>, now: Time) -> Placed {
    worker.gates.asked(want);
    let mut seen = Seen::default();
    loop {
        let load = |endpoint| worker.load(endpoint, now);
        let full = Full {
            sites: &seen.sites,
            endpoints: &seen.endpoints,
        };
        let pick = worker.draw(|rng| select_beside(&held.table, want, full, rng, load));
        let first = seen
            .first
            .and_then(|site| worker.gates.get(want.pool, site));
        let Some(pick) = pick else {
            let Some(first) = first else {
                return Placed::Nowhere;
            };
            // An attempt that follows another, or is made beside one, is not missed.
            if want.tried.is_empty() {
                worker.cells.inc(first.slots().shed(want.class));
                if let Some(endpoint) = seen.endpoints.first() {
                    worker.tallies.shed(*endpoint);
                }
            }
            return Placed::Full;
        };
        let Some(upstream) = worker.upstream(held, pick.endpoint) else {
            return Placed::Nowhere;
        };
        let lane = held.table.pools.get(want.pool.index());
        let lane = lane.and_then(|pool| pool.lanes.iter().find(|lane| lane.site == pick.site));
        let gate = worker.gates.get(want.pool, pick.site);
        let (Some(gate), Some(lane)) = (gate, lane) else {
            return Placed::Nowhere;
        };
        let spills = seen.first.is_some_and(|first| first != pick.site);
        match gate.admit(worker, (lane, &upstream), want, spills, now) {
            Ok(permit) => {
                if let Some(first) = first.filter(|_| spills) {
                    worker.cells.inc(first.slots().spilled(want.class));
                }
                return Placed::At(upstream, permit);
            }
            Err(refused) => seen.add(&pick, refused),
        }
    }
}

/// What had no room for a request, in the order in which it was asked.
#[derive(Default)]
struct Seen {
    first: Option<SiteId>,
    sites: Vec<SiteId>,
    endpoints: Vec<EndpointId>,
    /// How many of `endpoints` are of the site that was asked last.
    of_last: (Option<SiteId>, usize),
}

impl Seen {
    fn add(&mut self, pick: &Pick, refused: Refused) {
        self.first.get_or_insert(pick.site);
        let asked = match self.of_last {
            (Some(site), asked) if site == pick.site => asked + 1,
            _ => 1,
        };
        self.of_last = (Some(pick.site), asked);
        self.endpoints.push(pick.endpoint);
        if refused == Refused::BySite || asked == ASKED_OF_A_SITE {
            self.sites.push(pick.site);
        }
    }
}

/// The answer to a request for which there is no room: none of it was sent anywhere.
pub(crate) fn shed(exchange: Exchange) -> Response<ResponseBody> {
    let text = "every backend that could take this request is full; it was not sent";
    turned_away(exchange, text)
}

/// Counts a request that a worker has no time for yet.
pub(crate) fn count_delayed(exchange: &Exchange, pool: PoolId) {
    if let Some(slots) = exchange.held.serving.pools.get(pool.index()) {
        exchange.worker.cells.inc(slots.delayed);
    }
}

/// The answer to a request that a worker has no time for.
pub(crate) fn shed_behind(exchange: Exchange, pool: PoolId) -> Response<ResponseBody> {
    if let Some(slots) = exchange.held.serving.pools.get(pool.index()) {
        exchange.worker.cells.inc(slots.behind);
    }
    let text = "leeward has more to do than it can; the request was not sent";
    turned_away(exchange, text)
}

fn turned_away(exchange: Exchange, text: &'static str) -> Response<ResponseBody> {
    let seconds = 1 + exchange.worker.draw(|rng| rng.next_u64()) % 3;
    let status = StatusCode::SERVICE_UNAVAILABLE;
    exchange.end_with(RequestOutcome::Shed, status, text);
    respond::unanswered(respond::Fate::Shed, status, text, seconds)
}
