//! Connections of one worker to one endpoint: reuse, lending, giving up.
//!
//! A [`Lease`] is one connection lent to one attempt, or one stream of a shared one (HTTP/2, made by
//! `upstream_h2`). It goes back only when both messages ended well; dropped in any other state it
//! ends by reset, so that a backend never goes on with a request that nobody waits for. Uses
//! `connect`; judges nothing.

use crate::connect::{ConnectError, ConnectSpec, connect};
use crate::lease::{Lease, Lent};
use crate::snapshot::EndpointIo;
use crate::upstream_h1::Connection;
use crate::upstream_h2::{Dialed, Shared, SharedConnection, share};
use crate::waiting::Waiting;
use leeward_config::policy::Protocol;
use leeward_failover::Time;
use leeward_failover::limit::{Recent, Sent};
use leeward_metrics::Cells;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One endpoint as one worker sees it.
pub(crate) struct Upstream {
    pub(crate) io: Arc<EndpointIo>,
    pub(crate) cells: Cells,
    idle: RefCell<VecDeque<Idle>>,
    shared: Shared,
    /// The backend may speak either, and chose HTTP/1.1 when it was last asked. It is asked again
    /// with each new connection: what stands there may have changed.
    speaks_http1: Cell<bool>,
    in_flight: Cell<u32>,
    recent: RefCell<Recent>,
    /// Attempts that wait for an answer.
    pub(crate) waiting: Waiting,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.io.room.forget(&self.cells);
    }
}

/// When an idle connection may be used again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reuse {
    pub(crate) max_idle: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) order_within: Duration,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// What an attempt asks of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Any that is open.
    Any,
    /// One that proved itself alive a moment ago, or a new one: for orders.
    Proven,
    /// A new one.
    New,
}

impl Upstream {
    pub(crate) fn new(io: Arc<EndpointIo>, cells: Cells) -> Rc<Self> {
        Rc::new(Self {
            io,
            cells,
            idle: RefCell::new(VecDeque::new()),
            shared: Shared::default(),
            speaks_http1: Cell::new(false),
            in_flight: Cell::new(0),
            recent: RefCell::default(),
            waiting: Waiting::new(),
        })
    }

    /// How busy this worker keeps it: what is under way counts most, then what was sent lately. Where
    /// answers come fast nothing is under way most of the time, and a backend that gets all of the
    /// orders would get half of the reads beside them.
    pub(crate) fn load(&self, now: Time) -> u32 {
        const UNDER_WAY: u32 = 8;
        let under_way = self.in_flight.get().saturating_mul(UNDER_WAY);
        under_way.saturating_add(self.recent.borrow_mut().count(now))
    }

    /// An attempt was let in.
    pub(crate) fn enter(&self, now: Time) {
        self.recent.borrow_mut().add(now);
    }

    /// What this worker let in lately.
    pub(crate) fn sent(&self, now: Time) -> Sent {
        self.recent.borrow_mut().sent(now)
    }

    /// Lends a connection that speaks `protocol` and is there already, fresh enough and free; `None`
    /// where that takes any waiting.
    pub(crate) fn lend_at_once(
        self: &Rc<Self>,
        need: Freshness,
        protocol: Protocol,
        now: Instant,
    ) -> Option<Lease> {
        let lent = match (&self.io.shared, protocol) {
            (Some(_), Protocol::Http2 | Protocol::Auto) if !self.speaks_http1.get() => {
                let ticket = self.shared.pick(self.proven(need))?;
                if ticket.reused() {
                    self.cells.inc(self.io.slots.reused);
                }
                Lent::Stream(ticket)
            }
            _ => Lent::Connection(self.idle_at_once(need, now)?),
        };
        let reused = match &lent {
            Lent::Stream(ticket) => ticket.reused(),
            _ => true,
        };
        Some(Lease::new(lent, reused, Busy::new(self)))
    }

    /// Lends a connection that speaks `protocol`: one that is fresh enough, or a new one.
    pub(crate) async fn lend(
        self: &Rc<Self>,
        need: Freshness,
        protocol: Protocol,
    ) -> Result<Lease, ConnectError> {
        let busy = Busy::new(self);
        match (&self.io.shared, protocol) {
            (Some(spec), Protocol::Auto) if self.speaks_http1.get() => {
                self.lend_either(busy, need, spec).await
            }
            (Some(spec), Protocol::Http2 | Protocol::Auto) => {
                self.lend_stream(busy, need, spec).await
            }
            _ => self.lend_connection(busy, need).await,
        }
    }

    /// Lends a connection that speaks HTTP/1.1.
    async fn lend_connection(
        self: &Rc<Self>,
        busy: Busy,
        need: Freshness,
    ) -> Result<Lease, ConnectError> {
        let lent = match self.idle(need).await {
            Some(connection) => return Ok(Lease::new(Lent::Connection(connection), true, busy)),
            None => self.connect_alone().await?,
        };
        Ok(Lease::new(Lent::Connection(lent), false, busy))
    }

    /// Lends a connection of a backend that chose HTTP/1.1 when it was last asked: one of those, or
    /// a new one, of whichever version it chooses now.
    async fn lend_either(
        self: &Rc<Self>,
        busy: Busy,
        need: Freshness,
        spec: &ConnectSpec,
    ) -> Result<Lease, ConnectError> {
        if let Some(connection) = self.idle(need).await {
            return Ok(Lease::new(Lent::Connection(connection), true, busy));
        }
        let (stream, wire) = connect(self.io.address, spec).await?;
        self.cells.inc(self.io.slots.created);
        let lent = if stream.agreed_to_http2() == Some(true) {
            self.speaks_http1.set(false);
            let sharing = share(stream, wire, self.io.max_streams, Open::new(self));
            let made = within(spec.timeout, sharing).await?;
            Lent::Stream(self.shared.join(made))
        } else {
            Lent::Connection(Connection::make(stream, wire, Open::new(self)).await?)
        };
        Ok(Lease::new(lent, false, busy))
    }

    /// A connection of HTTP/1.1 that is there already and fresh enough.
    fn idle_at_once(&self, need: Freshness, now: Instant) -> Option<Connection> {
        if need == Freshness::New {
            return None;
        }
        let found = self.pop(need, now)?;
        if found.connection.is_ready() {
            self.cells.inc(self.io.slots.reused);
            return Some(found.connection);
        }
        // It has yet to be asked whether it is open.
        self.idle.borrow_mut().push_back(found);
        None
    }

    /// As [`Self::idle_at_once`], also one that is about to be free.
    async fn idle(&self, need: Freshness) -> Option<Connection> {
        if need == Freshness::New {
            return None;
        }
        while let Some(Idle { mut connection, .. }) = self.pop(need, Instant::now()) {
            // Ready at once unless the backend has just closed it.
            if connection.is_ready() || connection.becomes_ready().await {
                self.cells.inc(self.io.slots.reused);
                return Some(connection);
            }
        }
        None
    }

    /// Within what time a shared connection has to have proved itself alive; `None` for any.
    fn proven(&self, need: Freshness) -> Option<Duration> {
        (need != Freshness::Any).then_some(self.io.reuse.order_within)
    }

    async fn connect_alone(self: &Rc<Self>) -> Result<Connection, ConnectError> {
        let (stream, wire) = connect(self.io.address, &self.io.connect).await?;
        self.cells.inc(self.io.slots.created);
        Connection::make(stream, wire, Open::new(self)).await
    }

    /// Lends a stream of a shared connection. Where the backend turns out to speak HTTP/1.1 (and may),
    /// the connection just made for one.
    async fn lend_stream(
        self: &Rc<Self>,
        busy: Busy,
        need: Freshness,
        spec: &ConnectSpec,
    ) -> Result<Lease, ConnectError> {
        // Those that have ended are not lent: there is no need to ask for a new one.
        loop {
            if let Some(ticket) = self.shared.pick(self.proven(need)) {
                let reused = ticket.reused();
                if reused {
                    self.cells.inc(self.io.slots.reused);
                }
                return Ok(Lease::new(Lent::Stream(ticket), reused, busy));
            }
            if self.speaks_http1.get() {
                return self.lend_either(busy, need, spec).await;
            }
            match self.shared.wait().await {
                Dialed::Look => {}
                Dialed::Failed(error) => return Err(error),
                Dialed::Dial => {
                    // Goes on when this request does not: others wait for it too.
                    tokio::task::spawn_local(self.clone().dial(spec.clone()));
                }
            }
        }
    }

    /// The connection used last, as it is the least likely to be closed by the backend.
    fn pop(&self, need: Freshness, now: Instant) -> Option<Idle> {
        let mut idle = self.idle.borrow_mut();
        while let Some(candidate) = idle.back() {
            let connection = &candidate.connection;
            if connection.is_closed()
                || now.saturating_duration_since(candidate.since) > self.io.reuse.idle_timeout
            {
                idle.pop_back();
                continue;
            }
            let proven = need != Freshness::Proven
                || (now.saturating_duration_since(connection.wire().last_read())
                    <= self.io.reuse.order_within
                    && connection.wire().quiet());
            // Those behind it are older still.
            return if proven { idle.pop_back() } else { None };
        }
        None
    }

    async fn dial(self: Rc<Self>, spec: ConnectSpec) {
        let made = within(spec.timeout, self.share(&spec)).await;
        self.shared.made(made, self.io.reuse.order_within);
    }

    /// Connects and shares; `None` when the backend chose HTTP/1.1: then the connection is an idle
    /// one of those.
    async fn share(
        self: &Rc<Self>,
        spec: &ConnectSpec,
    ) -> Result<Option<Rc<SharedConnection>>, ConnectError> {
        let (stream, wire) = connect(self.io.address, spec).await?;
        self.cells.inc(self.io.slots.created);
        if stream.agreed_to_http2().unwrap_or(true) {
            let made = share(stream, wire, self.io.max_streams, Open::new(self)).await?;
            return Ok(Some(made));
        }
        if !self.io.may_speak_http1() {
            return Err(ConnectError {
                step: crate::error::Step::Tls,
                timed_out: false,
                detail: "the backend does not agree to HTTP/2".to_owned(),
            });
        }
        let connection = Connection::make(stream, wire, Open::new(self)).await?;
        self.speaks_http1.set(true);
        self.put_back(connection, Instant::now());
        Ok(None)
    }

    pub(crate) fn put_back(&self, connection: Connection, now: Instant) {
        if connection.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.io.reuse.max_idle {
            idle.pop_front();
        }
        idle.push_back(Idle {
            connection,
            since: now,
        });
    }

    /// Closes what was idle for too long. Called now and then by the worker.
    pub(crate) fn close_expired(&self, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        while idle.front().is_some_and(|oldest| {
            oldest.connection.is_closed()
                || now.duration_since(oldest.since) > self.io.reuse.idle_timeout
        }) {
            idle.pop_front();
        }
        drop(idle);
        self.shared.close_expired(self.io.reuse.idle_timeout, now);
    }
}

/// What comes of `making` an HTTP/2 connection in this time.
async fn within<T>(
    limit: Duration,
    making: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let made = tokio::time::timeout(limit, making).await;
    made.unwrap_or_else(|_| {
        Err(ConnectError {
            step: crate::error::Step::Connect,
            timed_out: true,
            detail: format!("no HTTP/2 connection within {limit:?}"),
        })
    })
}

/// Counts an attempt for as long as it lives.
pub(crate) struct Busy(Rc<Upstream>);

impl Busy {
    pub(crate) fn upstream(&self) -> &Rc<Upstream> {
        &self.0
    }

    fn new(upstream: &Rc<Upstream>) -> Self {
        upstream.in_flight.set(upstream.in_flight.get() + 1);
        upstream.cells.up(upstream.io.slots.in_flight);
        Self(upstream.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0
            .in_flight
            .set(self.0.in_flight.get().saturating_sub(1));
        self.0.cells.down(self.0.io.slots.in_flight);
    }
}

/// Counts an open connection for as long as it lives.
pub(crate) struct Open(Rc<Upstream>);

impl Open {
    fn new(upstream: &Rc<Upstream>) -> Self {
        upstream.cells.up(upstream.io.slots.open);
        Self(upstream.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.cells.down(self.0.io.slots.open);
    }
}
