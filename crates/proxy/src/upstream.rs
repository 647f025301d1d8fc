//! Connections of one worker to one endpoint: reuse, lending, giving up.
//!
//! A [`Lease`] is one connection lent to one attempt. It goes back only when both messages ended
//! well; dropped in any other state it ends by reset, so that a backend never goes on with a
//! request that nobody waits for. Uses `connect`; judges nothing.

use crate::body::{ClientBody, RequestBody};
use crate::connect::{ConnectError, connect};
use crate::snapshot::EndpointIo;
use crate::upstream_io::{UpstreamStream, Wire};
use bytes::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use leeward_metrics::Cells;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// One endpoint as one worker sees it.
pub(crate) struct Upstream {
    pub(crate) io: Arc<EndpointIo>,
    pub(crate) cells: Cells,
    idle: RefCell<VecDeque<Idle>>,
    in_flight: Cell<u32>,
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

/// hyper's handle of a connection and leeward's own.
struct Connection {
    sender: http1::SendRequest<RequestBody>,
    wire: Rc<Wire>,
    task: AbortHandle,
    upgrade: Rc<Cell<Option<oneshot::Sender<Upgraded>>>>,
}

/// The stream under a connection that switched protocols, and what came behind the 101.
pub(crate) struct Upgraded {
    pub(crate) stream: UpstreamStream,
    pub(crate) wire: Rc<Wire>,
    pub(crate) read_ahead: Bytes,
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
            in_flight: Cell::new(0),
        })
    }

    /// Attempts of this worker that are under way.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    /// Lends a connection: an idle one that is fresh enough, or a new one.
    pub(crate) async fn lend(self: &Rc<Self>, need: Freshness) -> Result<Lease, ConnectError> {
        let busy = Busy::new(self);
        if need != Freshness::New {
            while let Some(mut connection) = self.pop(need) {
                // Ready at once unless the backend has just closed it.
                if connection.sender.is_ready() || connection.sender.ready().await.is_ok() {
                    self.cells.inc(self.io.slots.reused);
                    return Ok(Lease {
                        connection: Some(connection),
                        reused: true,
                        busy,
                    });
                }
            }
        }
        let (stream, wire) = connect(self.io.address, &self.io.connect).await?;
        self.cells.inc(self.io.slots.created);
        let connection = self.handshake(stream, wire).await?;
        Ok(Lease {
            connection: Some(connection),
            reused: false,
            busy,
        })
    }

    /// The connection used last, as it is the least likely to be closed by the backend.
    fn pop(&self, need: Freshness) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let now = Instant::now();
        while let Some(candidate) = idle.back() {
            let connection = &candidate.connection;
            if connection.sender.is_closed()
                || now.duration_since(candidate.since) > self.io.reuse.idle_timeout
            {
                idle.pop_back();
                continue;
            }
            let proven = need != Freshness::Proven
                || (now.duration_since(connection.wire.last_read()) <= self.io.reuse.order_within
                    && connection.wire.quiet());
            // Those behind it are older still.
            return if proven {
                idle.pop_back().map(|idle| idle.connection)
            } else {
                None
            };
        }
        None
    }

    async fn handshake(
        self: &Rc<Self>,
        stream: UpstreamStream,
        wire: Rc<Wire>,
    ) -> Result<Connection, ConnectError> {
        let made = http1::Builder::new()
            .preserve_header_case(true)
            .handshake::<_, RequestBody>(TokioIo::new(stream))
            .await;
        let (sender, mut http) = made.map_err(|error| ConnectError {
            step: crate::error::Step::Connect,
            timed_out: false,
            detail: error.to_string(),
        })?;
        let upgrade: Rc<Cell<Option<oneshot::Sender<Upgraded>>>> = Rc::default();
        let open = Open::new(self);
        let task = tokio::task::spawn_local({
            let (upgrade, wire) = (upgrade.clone(), wire.clone());
            async move {
                let _open = open;
                let ended = poll_fn(|cx| http.poll_without_shutdown(cx)).await;
                if let (Ok(()), Some(taker)) = (ended, upgrade.take()) {
                    let parts = http.into_parts();
                    let (stream, read_ahead) = (parts.io.into_inner(), parts.read_buf);
                    // A taker that is gone leaves nobody to talk to.
                    let _ = taker.send(Upgraded {
                        stream,
                        wire,
                        read_ahead,
                    });
                }
            }
        });
        Ok(Connection {
            sender,
            wire,
            task: task.abort_handle(),
            upgrade,
        })
    }

    fn put_back(&self, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.io.reuse.max_idle {
            idle.pop_front();
        }
        idle.push_back(Idle {
            connection,
            since: Instant::now(),
        });
    }

    /// Closes what was idle for too long. Called now and then by the worker.
    pub(crate) fn close_expired(&self, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        while idle.front().is_some_and(|oldest| {
            oldest.connection.sender.is_closed()
                || now.duration_since(oldest.since) > self.io.reuse.idle_timeout
        }) {
            idle.pop_front();
        }
    }
}

/// One connection, lent to one attempt.
pub(crate) struct Lease {
    connection: Option<Connection>,
    reused: bool,
    busy: Busy,
}

impl Lease {
    /// Whether it carried a request before.
    pub(crate) fn reused(&self) -> bool {
        self.reused
    }

    pub(crate) fn upstream(&self) -> &Rc<Upstream> {
        &self.busy.0
    }

    pub(crate) fn wire(&self) -> Option<&Rc<Wire>> {
        self.connection.as_ref().map(|connection| &connection.wire)
    }

    /// Sends `request`; the future is hyper's own answer to it.
    pub(crate) fn send(
        &mut self,
        request: http::Request<RequestBody>,
    ) -> Option<impl Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>> + use<>>
    {
        Some(self.connection.as_mut()?.sender.send_request(request))
    }

    /// Asks for the stream itself once the backend has switched protocols.
    pub(crate) fn on_upgrade(&self) -> oneshot::Receiver<Upgraded> {
        let (sender, receiver) = oneshot::channel();
        if let Some(connection) = &self.connection {
            connection.upgrade.set(Some(sender));
        }
        receiver
    }

    /// The exchange ended well: the connection may carry another, unless the client's body is still
    /// on its way.
    pub(crate) fn give_back(mut self, body: &ClientBody) {
        if let Some(connection) = self.connection.take() {
            if body.is_complete() {
                self.busy.0.put_back(connection);
            } else {
                connection.give_up();
            }
        }
    }

    /// The connection has become a tunnel: it is nobody's to reuse or to reset from here.
    pub(crate) fn release(mut self) {
        self.connection = None;
    }

    /// Ends the connection by reset: from here on the kernel accepts and delivers nothing more.
    pub(crate) fn give_up(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.give_up();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl Connection {
    fn give_up(self) {
        self.wire.reset();
        self.task.abort();
    }
}

/// Counts an attempt for as long as it lives.
struct Busy(Rc<Upstream>);

impl Busy {
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
struct Open(Rc<Upstream>);

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
