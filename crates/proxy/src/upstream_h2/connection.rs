//! One HTTP/2 connection to a backend: its handshake, its bounds, its life and its end.
//!
//! Owns the task that drives it. Requests share it; it is left (no new streams) when it is old, when
//! the backend says GOAWAY or when an order on it was given up, and reset only when its path is
//! dead: a reset makes every other order on it unknown.

use super::frames::{FrameWatch, Watched};
use crate::connect::ConnectError;
use crate::error::Step;
use crate::upstream_io::{UpstreamStream, Wire};
use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong};
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// Bytes of one answer that a backend may send before the client has taken them.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes of a frame's payload that a backend may send.
const MAX_FRAME: u32 = 16 * 1024;
/// Bytes of the fields of an answer, as HTTP/2 counts them.
const MAX_HEADERS: u32 = 64 * 1024;
/// Bytes of the table by which a backend compresses fields.
const HEADER_TABLE: u32 = 4096;
/// Bytes of one request that wait for the backend, beyond the piece that came last.
const SEND_BUFFER: usize = 256 * 1024;
/// Streams before the backend's settings are known; none are opened before that.
const FIRST_STREAMS: usize = 100;
/// Streams given up that are remembered, so that what still comes for them is no error, and how
/// long.
const RESET_STREAMS: usize = 1000;
const RESET_MEMORY: Duration = Duration::from_secs(10);
/// Streams that leeward has reset for the backend's errors before it leaves.
const ERROR_RESETS: usize = 1024;
/// Resets by the backend that wait to be looked at.
const PENDING_RESETS: usize = 20;
/// What small DATA frames may cost beyond their payload (RUSTSEC-2026-0258).
const FRAME_BUDGET: usize = 1024 * 1024;
/// When a backend is asked whether it is there.
const PINGS: Pings = Pings {
    after: Duration::from_secs(10),
    timeout: Duration::from_secs(10),
};

/// When a backend is asked whether it is there.
#[derive(Clone, Copy)]
struct Pings {
    /// It owes an answer and has said nothing for this long.
    after: Duration,
    /// How long it has to answer.
    timeout: Duration,
}

/// A connection that requests share.
pub(crate) struct Connection {
    /// `None` once no new stream may be opened.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    wire: Rc<Wire>,
    frames: Rc<FrameWatch>,
    max_streams: usize,
    pings: Pings,
    streams: Cell<usize>,
    carried: Cell<bool>,
    quiet_since: Cell<Instant>,
    ended: Cell<bool>,
    wake: Notify,
    task: OnceCell<AbortHandle>,
}

/// Makes HTTP/2 of a connection that has just been made. Ready once the backend has shown that it
/// speaks HTTP/2. `guard` lives as long as the connection.
pub(super) async fn handshake(
    stream: UpstreamStream,
    wire: Rc<Wire>,
    max_streams: usize,
    guard: impl Sized + 'static,
) -> Result<Rc<Connection>, ConnectError> {
    handshake_with(stream, wire, max_streams, PINGS, guard).await
}

async fn handshake_with(
    stream: UpstreamStream,
    wire: Rc<Wire>,
    max_streams: usize,
    pings: Pings,
    guard: impl Sized + 'static,
) -> Result<Rc<Connection>, ConnectError> {
    let frames = Rc::<FrameWatch>::default();
    let stream = Watched {
        stream,
        frames: frames.clone(),
    };
    let made = builder(max_streams).handshake(stream).await;
    let (sender, driven) = made.map_err(|error| failed(&error.to_string()))?;
    let connection = Rc::new(Connection {
        sender: RefCell::new(Some(sender)),
        wire,
        frames,
        max_streams,
        pings,
        streams: Cell::default(),
        carried: Cell::default(),
        quiet_since: Cell::new(Instant::now()),
        ended: Cell::default(),
        wake: Notify::new(),
        task: OnceCell::new(),
    });
    let task = tokio::task::spawn_local({
        let connection = connection.clone();
        async move {
            let _guard = guard;
            connection.drive(driven).await;
        }
    });
    // Set once, here.
    let _ = connection.task.set(task.abort_handle());
    let unwanted = Unwanted(Some(connection));
    let spoken = poll_fn(|cx| match &unwanted.0 {
        Some(connection) => connection.frames.poll_settings(cx),
        None => std::task::Poll::Pending,
    });
    tokio::select! {
        () = spoken => {}
        _ = task => return Err(failed("the backend does not speak HTTP/2")),
    }
    unwanted.keep().ok_or_else(|| failed("no connection"))
}

fn failed(detail: &str) -> ConnectError {
    ConnectError {
        step: Step::Connect,
        timed_out: false,
        detail: detail.to_owned(),
    }
}

/// A connection that nobody has yet: ended when the one who makes it gives up.
struct Unwanted(Option<Rc<Connection>>);

impl Unwanted {
    fn keep(mut self) -> Option<Rc<Connection>> {
        self.0.take()
    }
}

impl Drop for Unwanted {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.kill();
        }
    }
}

fn builder(max_streams: usize) -> client::Builder {
    // Room for every stream at once, so that a client that takes nothing of its answer holds up no
    // other answer on the connection.
    let streams = u32::try_from(max_streams).unwrap_or(u32::MAX);
    let window = STREAM_WINDOW.saturating_mul(streams).min(u32::MAX >> 1);
    let mut builder = client::Builder::new();
    builder
        .initial_max_send_streams(FIRST_STREAMS)
        .max_concurrent_streams(0)
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(MAX_HEADERS)
        .header_table_size(HEADER_TABLE)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(RESET_STREAMS)
        .reset_stream_duration(RESET_MEMORY)
        .max_local_error_reset_streams(Some(ERROR_RESETS))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .data_frame_budget(FRAME_BUDGET);
    builder
}

impl Connection {
    pub(super) fn wire(&self) -> &Rc<Wire> {
        &self.wire
    }

    pub(super) fn frames(&self) -> &Rc<FrameWatch> {
        &self.frames
    }

    /// Whether another stream may be opened.
    pub(super) fn has_room(&self) -> bool {
        let sender = self.sender.borrow();
        let Some(sender) = sender.as_ref() else {
            return false;
        };
        let allowed = self.max_streams.min(sender.current_max_send_streams());
        !self.is_over() && self.streams.get() < allowed
    }

    /// Whether it takes no new streams, now or ever.
    pub(super) fn is_over(&self) -> bool {
        self.ended.get() || self.frames.is_going_away() || self.sender.borrow().is_none()
    }

    /// Whether the connection itself has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Whether the backend said something within this time.
    pub(super) fn is_proven(&self, within: Duration) -> bool {
        self.wire.last_read().elapsed() <= within
    }

    /// Whether it has carried nothing for this long.
    pub(super) fn is_idle(&self, than: Duration, now: Instant) -> bool {
        self.streams.get() == 0 && now.duration_since(self.quiet_since.get()) > than
    }

    /// One more stream; whether there were others before.
    pub(super) fn take_stream(&self) -> bool {
        self.streams.set(self.streams.get() + 1);
        self.carried.replace(true)
    }

    pub(super) fn release_stream(&self) {
        self.streams.set(self.streams.get().saturating_sub(1));
        self.quiet_since.set(Instant::now());
    }

    /// The way to open a stream.
    pub(super) fn sender(&self) -> Option<SendRequest<Bytes>> {
        self.sender.borrow().clone()
    }

    /// No new streams; it ends with the last one that it has.
    pub(super) fn leave(&self) {
        drop(self.sender.take());
        self.wake.notify_one();
    }

    /// Ends it now by a reset, and every stream on it.
    pub(super) fn kill(&self) {
        drop(self.sender.take());
        self.ended.set(true);
        self.wire.reset();
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    async fn drive(&self, mut driven: client::Connection<Watched<UpstreamStream>, Bytes>) {
        let pings = driven.ping_pong();
        tokio::select! {
            _ = &mut driven => {}
            () = self.watch_silence(pings) => self.wire.reset(),
            // Whoever leaves wakes this task: the connection sees by itself that nobody is left.
            () = async { loop { self.wake.notified().await } } => {}
        }
        self.ended.set(true);
        drop(self.sender.take());
    }

    /// Ends when a backend that owes an answer is not there any more.
    async fn watch_silence(&self, pings: Option<PingPong>) {
        let Some(mut pings) = pings else {
            return std::future::pending().await;
        };
        let Pings {
            after,
            timeout: limit,
        } = self.pings;
        loop {
            let silent = self.wire.last_read().elapsed();
            if silent < after {
                sleep(after - silent).await;
            } else if self.streams.get() == 0 {
                sleep(after).await;
            } else if !matches!(timeout(limit, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::{ConnectSpec, connect};
    use crate::worker::local_runtime;
    use std::io::ErrorKind;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    const QUICK: Pings = Pings {
        after: Duration::from_millis(20),
        timeout: Duration::from_millis(500),
    };
    const PING: u8 = 6;
    const ACK: u8 = 1;
    const PREFACE: usize = 24;

    /// Says that it speaks HTTP/2, then answers pings for as long as `answers` says so, and says
    /// nothing else. Counts the pings; ends with the connection, and says how that ended.
    async fn backend(
        mut stream: TcpStream,
        answers: &Cell<bool>,
        pings: &Cell<usize>,
    ) -> ErrorKind {
        stream
            .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
            .await
            .unwrap();
        stream.read_exact(&mut [0; PREFACE]).await.unwrap();
        loop {
            let mut header = [0; 9];
            if let Err(error) = stream.read_exact(&mut header).await {
                return error.kind();
            }
            let len = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let mut payload = vec![0; len as usize];
            stream.read_exact(&mut payload).await.unwrap();
            if header[3] == PING && header[4] & ACK == 0 {
                pings.set(pings.get() + 1);
                if answers.get() {
                    header[4] = ACK;
                    stream
                        .write_all(&[&header[..], &payload].concat())
                        .await
                        .unwrap();
                }
            }
        }
    }

    #[test]
    fn a_backend_that_owes_an_answer_has_to_answer_pings() {
        local_runtime().unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let spec = ConnectSpec {
                tls: None,
                timeout: Duration::from_secs(5),
            };
            let address = listener.local_addr().unwrap();
            let (made, accepted) = tokio::join!(connect(address, &spec), listener.accept());
            let ((stream, wire), theirs) = (made.ok().unwrap(), accepted.unwrap().0);
            let (answers, pings) = (Cell::new(true), Cell::new(0));
            let ours = async {
                let made = handshake_with(stream, wire, 10, QUICK, ()).await;
                let connection = made.ok().unwrap();
                // Nobody waits for anything: nobody asks.
                sleep(QUICK.after * 5).await;
                assert_eq!(pings.get(), 0);
                connection.take_stream();
                while pings.get() < 5 {
                    sleep(QUICK.after).await;
                }
                assert!(!connection.has_ended() && !connection.is_over());
                answers.set(false);
                while !connection.has_ended() {
                    sleep(QUICK.after).await;
                }
                assert!(connection.is_over());
            };
            let both = async { tokio::join!(ours, backend(theirs, &answers, &pings)).1 };
            let ended = timeout(Duration::from_secs(20), both).await;
            assert_eq!(ended.expect("the end in time"), ErrorKind::ConnectionReset);
        });
    }
}
