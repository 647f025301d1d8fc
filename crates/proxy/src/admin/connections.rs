//! Connections to the admin side: a bound on how many, time limits on what is not said.
//!
//! The read-only bind may face a network, so nobody may keep it from the supervisor: when there are
//! too many connections the oldest one goes, not the new one.

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Connections open at most.
const MAX_OPEN: usize = 256;
/// Longest wait for the head of a request, the first one or another.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request head at most. It is held in memory while it comes.
const MAX_HEAD: usize = 16 * 1024;
/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Serves `app` until the runtime ends.
pub(super) async fn serve(app: Router, listener: TcpListener) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok((stream, peer)) => (stream, Peer(peer.ip())),
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
        let service = TowerToHyperService::new(app.clone().layer(Extension(peer)));
        let task = tokio::task::spawn_local(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection to the admin side broke");
            }
        });
        open.push_back(task.abort_handle());
    }
}
