//! The admin side: metrics, health of the proxy itself, status and journal.
//!
//! Runs on a thread of its own, so that neither a busy data path nor a scrape can delay the other.
//! All of it is on one bind; a second one, for the network, has what supervisors and Prometheus ask
//! for and nothing that tells of providers. Whoever needs
//! the engine asks the control task and waits a bounded time; all but `words` only reads.

mod connections;
mod diff;
mod explain;
mod words;

use crate::control::ControlMessage;
use crate::drain::Phase;
use crate::journal::Journal;
use crate::record::Ring;
use crate::reload::{lock, unix_now};
use crate::worker::Shared;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// What the admin side reads.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) version: &'static str,
    pub(crate) ring: Arc<Ring>,
}

/// Entries of the journal in one answer at most.
const EVENTS: usize = 1000;
/// Longest wait for the control task.
const PATIENCE: Duration = Duration::from_secs(1);

/// Serves all of it on `full` and the harmless part on `read_only`, until the runtime ends.
pub(crate) async fn serve(
    admin: Admin,
    full: tokio::net::TcpListener,
    read_only: Option<tokio::net::TcpListener>,
) {
    let harmless = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz));
    let all = harmless
        .clone()
        .route("/api/v1/status", get(status))
        .route("/api/v1/events", get(events))
        .route("/api/v1/explain", get(explain::explain))
        .route("/api/v1/record", get(record))
        .merge(words::routes())
        .merge(diff::routes())
        .with_state(admin.clone());
    let second = async {
        if let Some(listener) = read_only {
            connections::serve(harmless.with_state(admin), listener).await;
        }
    };
    tokio::join!(connections::serve(all, full), second);
}

/// The newest part of the record, as it would stand in a file.
async fn record(State(admin): State<Admin>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, admin.ring.text()).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let kind = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (kind, admin.shared.metrics.render()).into_response()
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let phase = admin.shared.phase();
    if phase != Phase::Serving {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    if !admin.ready.load(Ordering::Relaxed) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "the first round of probes is under way\n",
        )
            .into_response();
    }
    "ok\n".into_response()
}

async fn status(State(admin): State<Admin>) -> Response {
    let (ask, answer) = oneshot::channel();
    let asked = async {
        admin
            .shared
            .control
            .send(ControlMessage::Status(ask))
            .await
            .ok()?;
        answer.await.ok()
    };
    let Ok(Some(status)) = tokio::time::timeout(PATIENCE, asked).await else {
        let text = "the control task does not answer; traffic goes on with the last table\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let serving = admin.shared.snapshot.load().serving.clone();
    let reloads = lock(&admin.shared.reloads).clone();
    let open: Vec<usize> = admin
        .shared
        .peers
        .iter()
        .map(|peer| peer.open.load(Ordering::Relaxed))
        .collect();
    axum::Json(json!({
        "version": admin.version,
        "time": unix_now(),
        "phase": admin.shared.phase().as_str(),
        "ready": admin.ready.load(Ordering::Relaxed),
        "uptime_seconds": admin.shared.began.elapsed().as_secs_f64(),
        "policy": { "hash": serving.policy.hash, "reloads": reloads },
        "connections_by_worker": open,
        "engine": status,
    }))
    .into_response()
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn events(State(admin): State<Admin>, Query(query): Query<Since>) -> Response {
    let events = admin.journal.after(query.since, EVENTS);
    axum::Json(json!({ "events": events })).into_response()
}
