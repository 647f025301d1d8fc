//! The account of one request: opened when its head is in, closed exactly once.
//!
//! Dropped without having been ended it counts as a client that went away, so that cancelled work
//! is never lost from the numbers.

use crate::access_log::{Account, Flag, Tracked};
use crate::forwarding::{Forwarding, Seen, address_key};
use crate::framing::Names;
use crate::grpc;
use crate::serve::ClientConn;
use crate::serving::ListenerIo;
use crate::upstream::Upstream;
use crate::worker::{Held, Worker};
use http::{HeaderMap, Request, StatusCode};
use leeward_config::policy::Affinity;
use leeward_failover::select::affinity_key;
use leeward_failover::{Class, Leaving, Outcome};
use leeward_metrics::{RefusedReason, RequestOutcome};
use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// When the head of an answer came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    /// From the beginning of the attempt.
    pub(crate) latency: Duration,
    /// Whether that was longer than its like usually take.
    pub(crate) late: bool,
}

/// The account of one request.
pub(crate) struct Exchange {
    pub(crate) worker: Rc<Worker>,
    pub(crate) conn: Rc<ClientConn>,
    pub(crate) held: Held,
    /// Position of its route; `None` before one is found, or when none matches.
    pub(crate) route: Option<usize>,
    pub(crate) class: Class,
    /// Whose request it is, by the word of a trusted peer where there is one.
    pub(crate) client: IpAddr,
    /// When its head was in.
    pub(crate) started: Instant,
    /// When its first attempt could begin: then, or when it was its turn.
    pub(crate) begun: Instant,
    /// Whether it is a call of gRPC over HTTP/2, which leeward answers in gRPC's words.
    pub(crate) call: bool,
    /// How the names of the request's fields were written; `None` where they are in lower case.
    pub(crate) names: Option<Rc<Names>>,
    /// Whose it is, by its affinity key; known of every order and cancel.
    key: Cell<u64>,
    /// Its notes for the access log, where there is one.
    pub(crate) account: Option<Box<Account>>,
    ended: bool,
}

impl Exchange {
    pub(crate) fn new(worker: &Rc<Worker>, conn: &Rc<ClientConn>) -> Self {
        conn.set_in_flight(true);
        let held = worker.snapshot();
        let started = Instant::now();
        Self {
            account: Account::open(held.serving.policy.access_log.as_ref()),
            held,
            worker: worker.clone(),
            conn: conn.clone(),
            route: None,
            class: Class::Order,
            client: conn.peer.ip(),
            started,
            begun: started,
            call: false,
            names: None,
            key: Cell::new(0),
            ended: false,
        }
    }

    pub(crate) fn listener(&self) -> &ListenerIo {
        &self.held.serving.listeners[self.conn.listener]
    }

    /// The forwarding fields of this request.
    pub(crate) fn forwarding(&self) -> Rc<Forwarding> {
        self.conn.forwarding(&self.listener().clients)
    }

    /// Takes note of what forwarding fields say of the client.
    pub(crate) fn see(&mut self, seen: &Seen) {
        self.client = seen.client.unwrap_or(self.client);
        for field in &seen.malformed {
            let slots = self.listener().slots;
            self.worker.cells.inc(slots.forwarding_ignored(*field));
            tracing::debug!(
                peer = %self.conn.peer,
                field = field.as_str(),
                "a trusted peer's forwarding field is malformed: ignored"
            );
        }
    }

    /// Takes note of what is asked, for the access log.
    pub(crate) fn describe<B>(&mut self, request: &Request<B>) {
        if let Some(account) = &mut self.account {
            account.describe(self.held.serving.policy.access_log.as_ref(), request);
        }
    }

    /// Takes a note for the access log.
    pub(crate) fn log(&self, note: impl FnOnce(&Account)) {
        if let Some(account) = &self.account {
            note(account);
        }
    }

    /// An attempt at `upstream` begins; its end is noted for the access log.
    pub(crate) fn track(&self, upstream: &Upstream, began: Instant) -> Tracked<'_> {
        Tracked::begin(self.account.as_deref(), upstream, began)
    }

    /// What keeps this client's requests on one path; `None` when nothing does.
    pub(crate) fn affinity<B>(&self, wanted: &Affinity, request: &Request<B>) -> Option<u64> {
        let by_field = header_key(wanted, request.headers());
        if by_field.is_none() && !self.class.goes_to_writer() {
            return None;
        }
        let key = by_field.unwrap_or_else(|| {
            if self.client == self.conn.peer.ip() {
                self.conn.address_key
            } else {
                address_key(self.client)
            }
        });
        self.key.set(key);
        Some(key)
    }

    /// Tallies one attempt at `upstream`.
    pub(crate) fn note(&self, upstream: &Upstream, outcome: Outcome, head: Head) {
        self.log(|account| account.noted(upstream.io.id, outcome));
        let client = self.class.goes_to_writer().then(|| self.key.get());
        self.worker
            .tallies
            .note(upstream.io.id, outcome, head, client);
        self.worker.cells.inc(upstream.io.slots.attempts(outcome));
        if outcome == Outcome::Success {
            self.worker
                .cells
                .observe(upstream.io.provider.head, head.latency);
        }
    }

    /// Over how long streams at `upstream` are ended when it is drained.
    pub(crate) fn drain_window(&self, upstream: &Upstream) -> Duration {
        let pools = &self.held.serving.policy.pools;
        pools
            .get(upstream.io.pool.index())
            .map_or(Duration::ZERO, |pool| pool.drain_streams)
    }

    /// Counts a stream that was ended because its endpoint is left or drained.
    pub(crate) fn count_ended(&self, upstream: &Upstream, why: Leaving) {
        let drained = why == Leaving::Slowly;
        self.log(|account| account.flag(if drained { Flag::Drained } else { Flag::Left }));
        if let Some(slots) = self.held.serving.pools.get(upstream.io.pool.index()) {
            self.worker.cells.inc(slots.streams_ended(drained));
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

    pub(crate) fn end(self, outcome: RequestOutcome) {
        self.end_at(outcome, Instant::now());
    }

    /// As [`Self::end`], where it is known what time it is.
    pub(crate) fn end_at(mut self, outcome: RequestOutcome, now: Instant) {
        self.close(outcome, now);
    }

    /// As [`Self::end`], where leeward answers for itself with this text.
    pub(crate) fn end_with(self, outcome: RequestOutcome, status: StatusCode, text: &str) {
        // The text has its end behind it; a call gets it in a field.
        self.log(|account| match self.call {
            true => {
                account.answers(200, 0);
                account.ends_call(grpc::own_code(status));
            }
            false => account.answers(status.as_u16(), text.len() + 1),
        });
        self.end(outcome);
    }

    fn close(&mut self, outcome: RequestOutcome, now: Instant) {
        self.ended = true;
        // A request that never came to a route is counted where it was refused.
        if let Some(route) = self.route {
            let listener = self.listener();
            let (requests, duration) = (
                listener.route_slots[route].requests(outcome),
                listener.downstream(self.class).duration,
            );
            self.worker.cells.inc(requests);
            let took = now.saturating_duration_since(self.started);
            self.worker.cells.observe(duration, took);
        }
        self.conn.set_in_flight(false);
        if let Some(account) = self.account.take() {
            account.close(self, outcome, now);
        }
    }
}

/// The affinity key that a request has by its fields, where the pool looks at one of them.
pub(crate) fn header_key(wanted: &Affinity, headers: &HeaderMap) -> Option<u64> {
    match wanted {
        Affinity::Header(name) => headers
            .get(name)
            .map(|value| affinity_key(value.as_bytes())),
        Affinity::Client => None,
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.ended {
            self.close(RequestOutcome::ClientGone, Instant::now());
        }
    }
}
