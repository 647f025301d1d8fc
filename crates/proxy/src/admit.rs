//! Admission: room at a site is taken before an attempt goes there, and given back at its end.
//!
//! `place` chooses the endpoint of an attempt. Where the site that was chosen is full for the
//! request's class, another one with room is looked for; where there is none, the request is to be
//! shed: at once, nobody waits. What is full is decided by `leeward_failover::limit`.
//!
//! What is shared: each worker counts what it has in flight and learns from latency for itself. Two
//! things belong to all workers, one of each for a site of a pool, and neither is written while a
//! site is far from its limits. The number behind a declared capacity is only touched while the
//! table calls the lane tight; a rate learned from back-pressure lives behind a lock while there is
//! one. Otherwise a request reads one flag of the site, on a line that nobody writes.
//!
//! Called by `job`. It judges no health.

mod gates;
mod sites;

pub(crate) use gates::{Gates, Permit};
pub(crate) use sites::{Sites, sites};

use crate::body::ResponseBody;
use crate::exchange::Exchange;
use crate::respond;
use crate::upstream::Upstream;
use crate::worker::{Held, Worker};
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};
use leeward_failover::select::{Want, select, select_among};
use leeward_failover::{Lane, SiteId};
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

/// Finds a place for one attempt.
pub(crate) fn place(worker: &Rc<Worker>, held: &Held, want: &Want<'_>) -> Placed {
    let now = worker.shared.now();
    worker.gates.asked(want);
    let mut full: Vec<SiteId> = Vec::new();
    loop {
        let load = |endpoint| worker.load(endpoint);
        let open = |lane: &Lane| !full.contains(&lane.site);
        let pick = worker.draw(|rng| match full.is_empty() {
            true => select(&held.table, want, rng, load),
            false => select_among(&held.table, want, rng, load, open),
        });
        let first = full
            .first()
            .and_then(|site| worker.gates.get(want.pool, *site));
        let Some(pick) = pick else {
            let Some(first) = first else {
                return Placed::Nowhere;
            };
            // An attempt that follows another, or is made beside one, is not missed.
            if want.tried.is_empty() {
                worker.cells.inc(first.slots().shed(want.class));
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
        match gate.admit(worker, lane, want, !full.is_empty(), now) {
            Some(permit) => {
                if let Some(first) = first {
                    worker.cells.inc(first.slots().spilled(want.class));
                }
                return Placed::At(upstream, permit);
            }
            None => full.push(pick.site),
        }
    }
}

/// Whether a backend says that it is full: 503, and when to come back. Nothing else does; a 429 is
/// about one client (P11).
pub(crate) fn is_backpressure<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SERVICE_UNAVAILABLE
        && response.headers().contains_key(RETRY_AFTER)
}

/// The answer to a request for which there is no room: none of it was sent anywhere.
pub(crate) fn shed(exchange: Exchange) -> Response<ResponseBody> {
    let seconds = 1 + exchange.worker.draw(|rng| rng.next_u64()) % 3;
    exchange.end(RequestOutcome::Shed);
    respond::unanswered(
        respond::Fate::Shed,
        StatusCode::SERVICE_UNAVAILABLE,
        "every backend that could take this request is full; it was not sent",
        seconds,
    )
}
