//! The account of one request: opened when its head is in, closed exactly once.
//!
//! Dropped without having been ended it counts as a client that went away, so that cancelled work
//! is never lost from the numbers.

use crate::serve::ClientConn;
use crate::snapshot::ListenerIo;
use crate::upstream::Upstream;
use crate::worker::{Held, Worker};
use leeward_failover::{Class, Outcome};
use leeward_metrics::{RefusedReason, RequestOutcome};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The account of one request.
pub(crate) struct Exchange {
    pub(crate) worker: Rc<Worker>,
    pub(crate) conn: Rc<ClientConn>,
    pub(crate) held: Held,
    /// Position of its route; `None` before one is found, or when none matches.
    pub(crate) route: Option<usize>,
    pub(crate) class: Class,
    pub(crate) started: Instant,
    ended: bool,
}

impl Exchange {
    pub(crate) fn new(worker: &Rc<Worker>, conn: &Rc<ClientConn>) -> Self {
        conn.set_in_flight(true);
        Self {
            held: worker.snapshot(),
            worker: worker.clone(),
            conn: conn.clone(),
            route: None,
            class: Class::Order,
            started: Instant::now(),
            ended: false,
        }
    }

    pub(crate) fn listener(&self) -> &ListenerIo {
        &self.held.serving.listeners[self.conn.listener]
    }

    /// Tallies one attempt at `upstream`; `latency` is the time to its response head.
    pub(crate) fn note(&self, upstream: &Upstream, outcome: Outcome, latency: Duration) {
        self.worker.tallies.note(upstream.io.id, outcome, latency);
        self.worker.cells.inc(upstream.io.slots.attempts(outcome));
        if outcome == Outcome::Success {
            self.worker
                .cells
                .observe(upstream.io.provider.head, latency);
        }
    }

    /// Counts a request that never came to a route.
    pub(crate) fn count_refused(&self, reason: RefusedReason) {
        self.worker
            .cells
            .inc(self.listener().refused.refused(reason));
    }

    /// The client's connection ends by reset, so that it cannot take what it has for the whole.
    pub(crate) fn cut_client(&self) {
        self.conn.cut.set(true);
    }

    pub(crate) fn end(mut self, outcome: RequestOutcome) {
        self.close(outcome);
    }

    fn close(&mut self, outcome: RequestOutcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // A request that never came to a route is counted where it was refused.
        if let Some(route) = self.route {
            let listener = self.listener();
            let (requests, duration) = (
                listener.route_slots[route].requests(outcome),
                listener.downstream(self.class).duration,
            );
            self.worker.cells.inc(requests);
            self.worker.cells.observe(duration, self.started.elapsed());
        }
        self.conn.set_in_flight(false);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.close(RequestOutcome::ClientGone);
    }
}
