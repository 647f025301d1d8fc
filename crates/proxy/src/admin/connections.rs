//! Connections to the admin side: a bound on how many, time limits on what is not said, TLS.
//!
//! The read-only bind may face a network, so nobody may keep it from the supervisor: when there are
//! too many connections the oldest one goes, not the new one.

use crate::tls::names_of;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// Connections open at most.
const MAX_OPEN: usize = 256;
/// Longest wait for the head of a request, the first one or another, and for a TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request head at most. It is held in memory while it comes.
const MAX_HEAD: usize = 16 * 1024;
/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// Whether it speaks TLS.
    pub(super) secure: bool,
    /// The DNS names of the certificate that it showed and that was verified.
    pub(super) certificate: Option<Arc<[String]>>,
    /// Ends the connection, for whoever finds that nothing is taken at the other end.
    pub(super) cut: Arc<Notify>,
}

/// Serves `app` until the runtime ends; over TLS where `tls` says so for a new connection.
pub(super) async fn serve(
    app: Router,
    listener: TcpListener,
    tls: impl Fn() -> Option<Arc<ServerConfig>>,
) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "the admin side cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        open.retain(|task| !task.is_finished());
        if open.len() >= MAX_OPEN
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let (app, tls) = (app.clone(), tls());
        let task = tokio::task::spawn_local(async move {
            match tls {
                None => speak(stream, app, peer.ip(), None).await,
                Some(tls) => speak_tls(stream, app, peer.ip(), tls).await,
            }
        });
        open.push_back(task.abort_handle());
    }
}

async fn speak_tls(stream: TcpStream, app: Router, peer: IpAddr, tls: Arc<ServerConfig>) {
    let handshake = TlsAcceptor::from(tls).accept(stream);
    let stream = match tokio::time::timeout(HEAD_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake with the admin side failed");
            return;
        }
        Err(_) => return,
    };
    let shown = stream.get_ref().1.peer_certificates();
    let names = shown.and_then(|chain| chain.first()).map(names_of);
    speak(stream, app, peer, Some(names.map(Into::into))).await;
}

/// `tls` is there where the stream is encrypted, with the names that the peer has shown.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    app: Router,
    peer: IpAddr,
    tls: Option<Option<Arc<[String]>>>,
) {
    let cut = Arc::new(Notify::new());
    let peer = Peer {
        address: peer,
        secure: tls.is_some(),
        certificate: tls.flatten(),
        cut: cut.clone(),
    };
    let service = TowerToHyperService::new(app.layer(Extension(peer)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                tracing::debug!(%error, "a connection to the admin side broke");
            }
        }
        () = cut.notified() => {}
    }
}
