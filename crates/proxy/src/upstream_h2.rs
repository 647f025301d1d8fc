//! HTTP/2 connections of one worker to one endpoint: shared, made one at a time, left in time.
//!
//! A [`Ticket`] is one stream on one of them, lent to one attempt. Dropped before its answer ended
//! it is reset (RST_STREAM), so that a backend does not go on with what nobody waits for. Uses the
//! `h2` crate itself rather than hyper's client over it: P1 needs the number of a stream and the
//! remote's own word about it (docs/decisions/0005). Called by `upstream`.

mod connection;
mod exchange;
mod frames;

pub(crate) use connection::Connection as SharedConnection;
pub(crate) use exchange::{H2Answer, StreamEnd, StreamFailed};

use crate::connect::ConnectError;
use crate::path_info::PathInfo;
use crate::upstream_io::{UpstreamStream, Wire};
use bytes::Bytes;
use connection::{Connection, handshake};
use http::{Request, Response};
use http_body::Body;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The shared connections to one endpoint.
#[derive(Default)]
pub(crate) struct Shared {
    connections: RefCell<Vec<Rc<Connection>>>,
    /// A connection is being made: whoever needs one waits for it.
    dialing: Cell<bool>,
    dialed: Notify,
    /// Connections made or not made so far.
    dials: Cell<u64>,
    /// How the last one failed, and which it was.
    failed: RefCell<Option<(u64, ConnectError)>>,
}

/// What waiting for a connection came to.
pub(crate) enum Dialed {
    /// Look again: there may be room now.
    Look,
    /// It is this caller's turn to make one, and to say so by [`Shared::made`].
    Dial,
    /// There is none to be had.
    Failed(ConnectError),
}

impl Shared {
    /// A stream on a connection that has room, and proved itself alive within this time where that
    /// is asked for.
    pub(crate) fn pick(&self, proven: Option<Duration>) -> Option<Ticket> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.is_over());
        let found = connections.iter().find(|connection| {
            connection.has_room() && proven.is_none_or(|within| connection.is_proven(within))
        })?;
        Some(Ticket::new(found.clone()))
    }

    /// A connection that was made for one stream, which it lends, has room for others.
    pub(crate) fn join(&self, connection: Rc<Connection>) -> Ticket {
        self.connections.borrow_mut().insert(0, connection.clone());
        Ticket::new(connection)
    }

    /// Waits for the connection that somebody else makes.
    pub(crate) async fn wait(&self) -> Dialed {
        let dial = self.dials.get();
        if !self.dialing.replace(true) {
            return Dialed::Dial;
        }
        self.dialed.notified().await;
        match &*self.failed.borrow() {
            Some((which, error)) if *which >= dial => Dialed::Failed(error.clone()),
            _ => Dialed::Look,
        }
    }

    /// The connection that was to be made is there, or is not. Those that have not proved
    /// themselves within this time are left for it.
    pub(crate) fn made(
        &self,
        made: Result<Option<Rc<Connection>>, ConnectError>,
        proven: Duration,
    ) {
        match made {
            Ok(Some(connection)) => {
                let mut connections = self.connections.borrow_mut();
                for old in connections.iter().filter(|old| !old.is_proven(proven)) {
                    old.leave();
                }
                connections.insert(0, connection);
            }
            Ok(None) => {}
            Err(error) => *self.failed.borrow_mut() = Some((self.dials.get(), error)),
        }
        self.dials.set(self.dials.get() + 1);
        self.dialing.set(false);
        self.dialed.notify_waiters();
    }

    /// Leaves what has carried nothing for this long.
    pub(crate) fn close_expired(&self, than: Duration, now: Instant) {
        let connections = self.connections.borrow();
        for idle in connections.iter().filter(|c| c.is_idle(than, now)) {
            idle.leave();
        }
    }
}

impl Drop for Shared {
    /// The endpoint is gone, or is reached in another way: no new streams on these.
    fn drop(&mut self) {
        for connection in self.connections.get_mut() {
            connection.leave();
        }
    }
}

/// Makes HTTP/2 of a connection that has just been made; `guard` lives as long as it does.
pub(crate) async fn share(
    stream: UpstreamStream,
    wire: Rc<Wire>,
    max_streams: usize,
    guard: impl Sized + 'static,
) -> Result<Rc<Connection>, ConnectError> {
    handshake(stream, wire, max_streams, guard).await
}

/// A connection for one request; it is reset when this is dropped.
pub(crate) struct Single(Ticket);

impl Single {
    /// Asks over a connection that has just been made. Errors: what went wrong, in words.
    pub(crate) async fn ask<B>(
        stream: UpstreamStream,
        wire: Rc<Wire>,
        request: Request<B>,
        https: bool,
    ) -> Result<(Response<H2Answer>, Self), String>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
    {
        let connection = handshake(stream, wire, 1, ()).await;
        let connection = connection.map_err(|error| error.detail)?;
        let mut single = Self(Ticket::new(connection));
        let answer = single.0.send(request, https);
        match answer.await {
            Ok(response) => Ok((response, single)),
            Err(failed) => Err(failed.detail),
        }
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// One stream of a shared connection, lent to one attempt.
pub(crate) struct Ticket {
    connection: Rc<Connection>,
    reused: bool,
    pump: Option<AbortHandle>,
}

impl Ticket {
    fn new(connection: Rc<Connection>) -> Self {
        let reused = connection.take_stream();
        Self {
            connection,
            reused,
            pump: None,
        }
    }

    /// Whether the connection carried a request before.
    pub(crate) fn reused(&self) -> bool {
        self.reused
    }

    pub(crate) fn wire(&self) -> &Rc<Wire> {
        self.connection.wire()
    }

    /// Opens the stream and sends `request`; the future is the head of its answer.
    pub(crate) fn send<B>(
        &mut self,
        request: Request<B>,
        https: bool,
    ) -> impl Future<Output = Result<Response<H2Answer>, StreamFailed>> + use<B>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
    {
        let frames = self.connection.frames().clone();
        let opened = match self.connection.sender() {
            Some(sender) => exchange::open(sender, request, https),
            None => Err(StreamFailed::never_opened(
                &"the connection takes no new streams",
            )),
        };
        if let Ok(opened) = &opened {
            self.pump = opened.pump.clone();
        }
        async move { opened?.answer(frames).await }
    }

    /// No new streams on its connection: an order on it was given up.
    pub(crate) fn leave(&self) {
        self.connection.leave();
    }

    /// Ends the connection, and every stream on it, when its path is dead: nothing came since `read`
    /// bytes had come, and the kernel sends again what nobody acknowledges, or asks again and again
    /// for room that is not given.
    pub(crate) fn kill_if_dead(&self, read: u64) -> bool {
        let wire = self.wire();
        let dead = self.connection.has_ended()
            || wire.read() == read && wire.path().is_some_and(PathInfo::is_dead);
        if dead {
            self.connection.kill();
        }
        dead
    }

    /// Ends the connection, which is gone anyway, so that nothing more is sent on it.
    pub(crate) fn kill(&self) {
        self.connection.kill();
    }
}

impl Drop for Ticket {
    /// What is left of the request's body is not sent: its stream is reset, unless it has ended.
    fn drop(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.abort();
        }
        self.connection.release_stream();
    }
}
