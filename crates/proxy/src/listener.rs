//! Listening sockets: binding them, accepting from them, spreading what was accepted.
//!
//! Every worker has its own socket on every listener's address (SO_REUSEPORT). The kernel spreads
//! connections by hash, so long-lived ones can pile up on one worker: it then hands new ones over.
//! What comes before HTTP is done here: the PROXY header, the bounds on connections, TLS.
//! Called by `app` (bind) and `worker` (accept).

use crate::detect::serve_detected;
use crate::error::StartError;
use crate::per_client::Place;
use crate::proxy_protocol;
use crate::reserve::Reserve;
use crate::serve::serve;
use crate::serve_h2::serve_h2;
use crate::serving::ListenerIo;
use crate::tls::ALPN_H2;
use crate::worker::{Worker, WorkerMessage};
use leeward_config::policy::Listener;
use leeward_metrics::{ConnectionRefusal, Gauge};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// Connections that the kernel holds for us between two accepts.
const BACKLOG: i32 = 4096;
/// A worker hands a connection over when it has this many more than another.
const UNEVEN: usize = 4;
/// Pause after an accept that failed for want of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// One socket a worker on the address of `listener`.
///
/// The first socket takes the address for itself alone, so that a second leeward is refused; only
/// then is it opened to the sockets of this process's other workers.
pub(crate) fn bind(listener: &Listener, workers: usize) -> Result<Vec<TcpListener>, StartError> {
    let failed = |error: io::Error| {
        let hint = if error.kind() == io::ErrorKind::AddrInUse {
            " (is another leeward, or another server, running there?)"
        } else {
            ""
        };
        StartError::new(format!(
            "listener `{}` cannot listen on {}: {error}{hint}",
            listener.name, listener.bind
        ))
    };
    let first = socket(listener.bind, false).map_err(failed)?;
    let address = first.local_addr().map_err(failed)?.as_socket();
    let address = address.unwrap_or(listener.bind);
    first.set_reuse_port(true).map_err(failed)?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(socket(address, true).map_err(failed)?);
    }
    Ok(sockets.into_iter().map(TcpListener::from).collect())
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    set_options(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// What every connection has. Those that are accepted inherit it: five calls less for each.
fn set_options(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(10))
            .with_retries(6),
    )
}

/// Accepts until it is aborted.
pub(crate) async fn accept(worker: Rc<Worker>, socket: tokio::net::TcpListener, listener: usize) {
    let reserve = Reserve::new();
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                let held = worker.snapshot();
                worker
                    .cells
                    .inc(held.serving.listeners[listener].slots.accepted);
                if let Some(stream) = hand_over(&worker, stream, peer, listener) {
                    start(&worker, stream, peer, listener);
                }
            }
            Err(error) if is_exhausted(&error) => {
                if !refuse_one(&worker, &socket, listener, &reserve).await {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            Err(error) => failed(&worker, listener, &error).await,
        }
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// No file descriptor is left: a connection that waits is closed by means of the reserve, so that
/// its client can go elsewhere. Whether that could be done.
async fn refuse_one(
    worker: &Worker,
    socket: &tokio::net::TcpListener,
    listener: usize,
    reserve: &Reserve,
) -> bool {
    if reserve.may_warn() {
        tracing::warn!(
            listener,
            "no file descriptor is left: new connections are refused; raise the limit (ulimit -n)"
        );
    }
    let refused = reserve.refuse_one(socket).await;
    if refused {
        let slots = worker.snapshot().serving.listeners[listener].slots;
        worker
            .cells
            .inc(slots.refused(ConnectionRefusal::FileDescriptors));
    }
    // A flood of those must not keep the worker from its connections.
    tokio::task::yield_now().await;
    refused
}

/// An accept that failed. Those that cost one connection are counted; those that would fail again
/// at once (no memory) are waited out, while the kernel holds the connections.
async fn failed(worker: &Worker, listener: usize, error: &io::Error) {
    let slots = worker.snapshot().serving.listeners[listener].slots;
    worker.cells.inc(slots.refused(ConnectionRefusal::Accept));
    tracing::debug!(listener, %error, "accept failed");
    let passing = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    );
    if !passing {
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Gives a connection to the worker that has the fewest, when that is worth it.
fn hand_over(
    worker: &Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    listener: usize,
) -> Option<TcpStream> {
    let peers = &worker.shared.peers;
    if peers.len() < 2 {
        return Some(stream);
    }
    let mine = peers[worker.index].open.load(Ordering::Relaxed);
    let least = peers
        .iter()
        .min_by_key(|peer| peer.open.load(Ordering::Relaxed))?;
    if mine < least.open.load(Ordering::Relaxed) + UNEVEN.max(mine / 8) {
        return Some(stream);
    }
    let Ok(permit) = least.inbox.try_reserve() else {
        return Some(stream);
    };
    match stream.into_std() {
        Ok(socket) => permit.send(WorkerMessage::Connection {
            socket,
            peer,
            listener,
        }),
        Err(error) => tracing::debug!(%error, "a connection broke while it was handed over"),
    }
    None
}

/// Takes over a connection that another worker accepted.
pub(crate) fn adopt(
    worker: &Rc<Worker>,
    socket: std::net::TcpStream,
    peer: SocketAddr,
    listener: usize,
) {
    if let Ok(stream) = TcpStream::from_std(socket) {
        start(worker, stream, peer, listener);
    }
}

/// Serves a connection in a task of its own.
fn start(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, listener: usize) {
    let held = worker.snapshot();
    let Some(io) = held.serving.listeners.get(listener) else {
        return;
    };
    let open = OpenConn::new(worker, io);
    if io.open.load(Ordering::Relaxed) > io.max_connections {
        worker.cells.inc(io.slots.refused(ConnectionRefusal::Limit));
        return;
    }
    let worker = worker.clone();
    // Boxed: a task's future is copied six times until it runs and when it has ended.
    tokio::task::spawn_local(Box::pin(async move {
        let open = open;
        run(&worker, stream, peer, listener).await;
        drop(open);
    }));
}

/// What comes before HTTP, then HTTP.
async fn run(worker: &Rc<Worker>, mut stream: TcpStream, peer: SocketAddr, listener: usize) {
    let Some(peer) = client(worker, &mut stream, peer, listener).await else {
        return;
    };
    let Ok(_place) = place(worker, peer, listener) else {
        return;
    };
    // Each in a box of its own: a connection keeps the room of what it has become, and of nothing before.
    let (tls, h2c) = {
        let held = worker.snapshot();
        let io = &held.serving.listeners[listener];
        (io.tls().cloned(), io.h2c)
    };
    match tls {
        None if h2c => Box::pin(serve_detected(worker, stream, peer, listener)).await,
        None => Box::pin(serve(worker, stream, peer, listener, false)).await,
        Some(config) => match Box::pin(shake(worker, config, stream, peer, listener)).await {
            Some((stream, true)) => Box::pin(serve_h2(worker, stream, peer, listener, true)).await,
            Some((stream, false)) => Box::pin(serve(worker, stream, peer, listener, true)).await,
            None => {}
        },
    }
}

/// The TLS handshake; the stream, and whether HTTP/2 was agreed to. `None` when it has failed.
async fn shake(
    worker: &Rc<Worker>,
    config: Arc<ServerConfig>,
    stream: TcpStream,
    peer: SocketAddr,
    listener: usize,
) -> Option<(TlsStream<TcpStream>, bool)> {
    let (slots, limit) = {
        let held = worker.snapshot();
        let limit = held.serving.policy.limits.tls_handshake;
        (held.serving.listeners[listener].slots, limit)
    };
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let accept = async {
        if worker.turnstile.handshake().await {
            worker.cells.inc(slots.tls_delayed);
        }
        acceptor.accept(stream).await
    };
    match tokio::time::timeout(limit, accept).await {
        Ok(Ok(stream)) => {
            worker.cells.inc(slots.tls_handshakes);
            let http2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
            return Some((stream, http2));
        }
        Ok(Err(error)) => {
            worker
                .cells
                .inc(slots.refused(ConnectionRefusal::TlsHandshake));
            tracing::debug!(client = %peer, %error, "a TLS handshake failed");
        }
        Err(_) => worker
            .cells
            .inc(slots.refused(ConnectionRefusal::TlsTimeout)),
    }
    None
}

/// Who is at the other end: the peer itself, or whom it names where the policy wants a PROXY header
/// of it. `None` when there is no such header: the connection is over.
async fn client(
    worker: &Rc<Worker>,
    stream: &mut TcpStream,
    peer: SocketAddr,
    listener: usize,
) -> Option<SocketAddr> {
    let (slots, limit) = {
        let held = worker.snapshot();
        let io = &held.serving.listeners[listener];
        let wanted = &io.clients.proxy_protocol;
        if !wanted.from.contains(peer.ip()) {
            return Some(peer);
        }
        (io.slots, wanted.timeout)
    };
    let refused = |why| worker.cells.inc(slots.refused(why));
    // Boxed, or every connection would keep its room for as long as it lives.
    match tokio::time::timeout(limit, Box::pin(proxy_protocol::read(stream))).await {
        Ok(Ok(said)) => {
            worker.cells.inc(slots.proxy_headers(said.how));
            Some(said.client.unwrap_or(peer))
        }
        Ok(Err(error)) => {
            refused(ConnectionRefusal::ProxyHeader);
            tracing::debug!(%peer, "{}", error.as_str());
            None
        }
        Err(_) => {
            refused(ConnectionRefusal::ProxyTimeout);
            None
        }
    }
}

/// The client has as many connections as one may.
struct Full;

/// Counts the connection as one of its client's, where the policy bounds those. Peers that speak
/// for others are no clients.
fn place(worker: &Rc<Worker>, client: SocketAddr, listener: usize) -> Result<Option<Place>, Full> {
    let held = worker.snapshot();
    let io = &held.serving.listeners[listener];
    let Some(most) = io.max_per_client else {
        return Ok(None);
    };
    if io.clients.trusted.from.contains(client.ip()) {
        return Ok(None);
    }
    let place = io.per_client.enter(client.ip(), most);
    if place.is_none() {
        let refused = io.slots.refused(ConnectionRefusal::PerClientLimit);
        worker.cells.inc(refused);
    }
    place.map(Some).ok_or(Full)
}

/// Counts an open client connection for as long as it lives.
struct OpenConn {
    worker: Rc<Worker>,
    of_listener: Arc<AtomicUsize>,
    gauge: Gauge,
}

impl OpenConn {
    fn new(worker: &Rc<Worker>, io: &ListenerIo) -> Self {
        worker.shared.peers[worker.index]
            .open
            .fetch_add(1, Ordering::Relaxed);
        io.open.fetch_add(1, Ordering::Relaxed);
        worker.cells.up(io.slots.open);
        Self {
            worker: worker.clone(),
            of_listener: io.open.clone(),
            gauge: io.slots.open,
        }
    }
}

impl Drop for OpenConn {
    fn drop(&mut self) {
        self.worker.shared.peers[self.worker.index]
            .open
            .fetch_sub(1, Ordering::Relaxed);
        self.of_listener.fetch_sub(1, Ordering::Relaxed);
        self.worker.cells.down(self.gauge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_sends_at_once_and_looks_for_clients_that_are_gone() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listening = TcpListener::from(socket(address.parse().unwrap(), false).unwrap());
            listening.set_nonblocking(false).unwrap();
            let _client = std::net::TcpStream::connect(listening.local_addr().unwrap()).unwrap();
            let (accepted, _) = listening.accept().unwrap();
            let accepted = Socket::from(accepted);
            assert!(accepted.tcp_nodelay().unwrap());
            assert!(accepted.keepalive().unwrap());
            let time = accepted.tcp_keepalive_time().unwrap();
            assert_eq!(time, Duration::from_secs(60));
            assert_eq!(accepted.tcp_keepalive_retries().unwrap(), 6);
        }
    }
}
