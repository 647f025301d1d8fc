//! Serves one client connection over HTTP/1: HTTP by hyper, time limits and drain by leeward.
//!
//! Owns the connection from the end of its TLS handshake to its close. A connection that has
//! switched protocols is handed to `tunnel`. Called by `listener` for each connection that does not
//! speak HTTP/2 (`serve_h2`).

use crate::client_io::{ClientIo, ClientWatch, Overdue};
use crate::forwarding::{Forwarding, address_key};
use crate::framing::Refusal;
use crate::handler::handle;
use crate::tunnel::Tunnel;
use crate::worker::Worker;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use leeward_config::policy::{Clients, Limits};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

/// What requests of one client connection share.
pub(crate) struct ClientConn {
    /// Position of its listener in the policy.
    pub(crate) listener: usize,
    /// Who is at the other end, by its PROXY header where it had to send one.
    pub(crate) peer: SocketAddr,
    pub(crate) tls: bool,
    forwarding: RefCell<Rc<Forwarding>>,
    /// The peer's address as an affinity key.
    pub(crate) address_key: u64,
    /// Progress and deadlines of an HTTP/1 connection; HTTP/2 keeps its own, by stream.
    pub(crate) watch: Option<Rc<ClientWatch>>,
    /// The connection has to end by reset: an answer was cut short.
    pub(crate) cut: Cell<bool>,
    /// The connection becomes this once its 101 is out.
    pub(crate) tunnel: Cell<Option<Tunnel>>,
    drain: Cell<bool>,
    waker: Cell<Option<Waker>>,
    requests: Cell<u64>,
}

impl ClientConn {
    pub(crate) fn new(
        worker: &Worker,
        peer: SocketAddr,
        listener: usize,
        tls: bool,
        watch: Option<Rc<ClientWatch>>,
    ) -> Rc<Self> {
        let held = worker.snapshot();
        let rules = &held.serving.listeners[listener].clients;
        let forwarding = Forwarding::new(peer.ip(), tls, rules);
        Rc::new(Self {
            listener,
            peer,
            tls,
            forwarding: RefCell::new(Rc::new(forwarding)),
            address_key: address_key(peer.ip()),
            watch,
            cut: Cell::new(false),
            tunnel: Cell::new(None),
            drain: Cell::new(false),
            waker: Cell::new(None),
            requests: Cell::new(0),
        })
    }

    /// The service has a request, or is done with it and the body of its answer.
    pub(crate) fn set_in_flight(&self, in_flight: bool) {
        if let Some(watch) = &self.watch {
            watch.set_in_flight(in_flight);
        }
    }

    /// Whether the connection shall end once what is in flight has been answered. When it need not
    /// yet, the task behind `cx` hears of it.
    pub(crate) fn poll_drain(&self, cx: &Context<'_>) -> bool {
        if !self.drain.get() {
            remember(&self.waker, cx.waker());
        }
        self.drain.get()
    }

    /// Counts a request; its position on the connection, from 0.
    pub(crate) fn next_request(&self) -> u64 {
        let index = self.requests.get();
        self.requests.set(index + 1);
        index
    }

    /// The forwarding fields of its requests under these rules, the newest of its listener.
    pub(crate) fn forwarding(&self, rules: &Arc<Clients>) -> Rc<Forwarding> {
        let mut forwarding = self.forwarding.borrow_mut();
        if let Some(renewed) = forwarding.under(rules) {
            *forwarding = Rc::new(renewed);
        }
        forwarding.clone()
    }

    /// Ends the connection once what is in flight has been answered.
    pub(crate) fn drain(&self) {
        self.drain.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }
}

/// A client's connection, plain or TLS.
pub(crate) trait ClientStream: AsyncRead + AsyncWrite + Unpin {
    /// The socket under it.
    fn socket(&self) -> &TcpStream;
}

impl ClientStream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl ClientStream for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// How a connection left HTTP.
enum Left {
    Ended(hyper::Result<()>),
    Overdue,
}

/// Serves `stream` until it ends.
pub(crate) async fn serve<S: ClientStream>(
    worker: &Rc<Worker>,
    stream: S,
    peer: SocketAddr,
    listener: usize,
    tls: bool,
) {
    let limits = worker.snapshot().serving.policy.limits;
    let io = ClientIo::new(stream, &limits);
    let watch = io.watch();
    let conn = ClientConn::new(worker, peer, listener, tls, Some(watch.clone()));
    let _registered = worker.register(&conn);
    let service = service_fn({
        let (worker, conn, watch) = (worker.clone(), conn.clone(), watch.clone());
        // Boxed: hyper keeps the future's room for as long as the connection lives, idle or not.
        move |request| Box::pin(handle(worker.clone(), conn.clone(), watch.clone(), request))
    });
    let mut http = builder(&limits).serve_connection(TokioIo::new(io), service);
    let left = drive(&mut http, &conn, &watch, &limits).await;
    let parts = http.into_parts();
    // Boxed: an idle connection keeps no room for how it may end.
    Box::pin(end(
        worker,
        &conn,
        left,
        parts.io.into_inner(),
        parts.read_buf,
    ))
    .await;
    let slots = worker
        .snapshot()
        .serving
        .listeners
        .get(listener)
        .map(|listener| listener.slots);
    if let Some(slots) = slots {
        worker.cells.add(slots.received_bytes, watch.bytes_in());
        worker.cells.add(slots.sent_bytes, watch.bytes_out());
    }
}

/// What follows once hyper is done: another protocol, a close, a reset.
async fn end<S: ClientStream>(
    worker: &Rc<Worker>,
    conn: &ClientConn,
    left: Left,
    io: ClientIo<S>,
    read: bytes::Bytes,
) {
    match (left, conn.tunnel.take()) {
        (Left::Ended(Ok(())), Some(tunnel)) => {
            let (stream, held) = io.into_inner();
            tunnel.run(worker, conn, stream, &[&read, &held]).await;
        }
        (Left::Ended(result), _) => {
            if result.is_err() || conn.cut.get() {
                reset_if(conn.cut.get(), io.get_ref());
            } else {
                close(io.into_inner().0).await;
            }
        }
        (Left::Overdue, _) => reset_if(conn.cut.get(), io.get_ref()),
    }
}

/// What hyper takes by itself; beyond it the count costs an allocation a request.
const HYPER_HEADERS: usize = 100;

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Names keep their case by `casing`, and time limits are leeward's own: `ClientWatch`.
        .header_read_timeout(None)
        .auto_date_header(false)
        .half_close(false);
    if limits.header_count > HYPER_HEADERS {
        builder.max_headers(limits.header_count);
    }
    builder
}

/// Polls hyper until the connection ends, is overdue or has become something else.
async fn drive<S, V, B>(
    http: &mut http1::Connection<TokioIo<ClientIo<S>>, V>,
    conn: &ClientConn,
    watch: &ClientWatch,
    limits: &Limits,
) -> Left
where
    S: ClientStream,
    V: hyper::service::HttpService<hyper::body::Incoming, ResBody = B> + Unpin,
    V::Future: Unpin,
    V::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut check = std::pin::pin!(tokio::time::sleep_until(
        watch.next_check(Instant::now(), limits)
    ));
    let mut told_to_drain = false;
    let mut timed_out = false;
    poll_fn(move |cx| {
        if !told_to_drain && conn.poll_drain(cx) {
            told_to_drain = true;
            Pin::new(&mut *http).graceful_shutdown();
        }
        if let Poll::Ready(result) = http.poll_without_shutdown(cx) {
            return Poll::Ready(Left::Ended(result));
        }
        while check.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            match watch.overdue(now, limits) {
                Some(Overdue::HeaderTimeout) if !timed_out => {
                    // Answered in its turn, once; then it is closed like any other.
                    timed_out = true;
                    watch.refuse(Refusal::HeadTimeout);
                }
                Some(Overdue::BodyIdle | Overdue::BodyTooSlow) if !timed_out => {
                    timed_out = true;
                    watch.refuse(Refusal::BodyTimeout);
                }
                Some(Overdue::WriteStalled) => {
                    conn.cut.set(true);
                    return Poll::Ready(Left::Overdue);
                }
                Some(_) => return Poll::Ready(Left::Overdue),
                None => {}
            }
            let next = watch
                .next_check(now, limits)
                .max(now + Duration::from_millis(1));
            check.as_mut().reset(next);
        }
        Poll::Pending
    })
    .await
}

fn remember(slot: &Cell<Option<Waker>>, waker: &Waker) {
    match slot.take() {
        Some(known) if known.will_wake(waker) => slot.set(Some(known)),
        _ => slot.set(Some(waker.clone())),
    }
}

/// How long a closed connection is read on, so that what the client still sends does not turn the
/// close into a reset that would destroy an answer on its way (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);
/// How much of it is read.
const LINGER_BYTES: usize = 1024 * 1024;

/// Closes a connection on which everything has been said.
pub(crate) async fn close<S: ClientStream>(mut stream: S) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let drained = async {
        let mut scratch = [0u8; 2048];
        let mut left = LINGER_BYTES;
        while let Ok(read) = tokio::io::AsyncReadExt::read(&mut stream, &mut scratch).await {
            left = left.saturating_sub(read);
            if read == 0 || left == 0 {
                return;
            }
        }
    };
    // Whoever goes on sending for longer has been answered long ago.
    let _ = tokio::time::timeout(LINGER, drained).await;
}

fn reset_if<S: ClientStream>(cut: bool, stream: &S) {
    if cut {
        // Failing leaves an ordinary close of an unfinished message.
        let _: io::Result<()> = stream.socket().set_zero_linger();
    }
}
