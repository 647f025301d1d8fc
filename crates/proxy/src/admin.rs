//! The admin side: metrics, health of the proxy itself, status, journal, the page.
//!
//! Runs on a thread of its own, so that neither a busy data path nor a scrape can delay the other.
//! All of it is on one bind; a second one, for the network, has what supervisors and Prometheus ask
//! for and nothing that tells of providers. `door` says who may use the first; the files of the page
//! tell nothing and are there for everybody. Whoever needs the engine asks the control task and waits
//! a bounded time; all but `words` only reads.

mod access;
mod calls;
mod connections;
mod diff;
mod door;
mod explain;
mod headline;
mod page;
mod samples;
mod standing;
mod stream;
mod words;

pub(crate) use access::Access;
pub(crate) use calls::{Call, Calls};
pub(crate) use samples::Samples;

use crate::control::ControlMessage;
use crate::drain::Phase;
use crate::journal::Journal;
use crate::record::Ring;
use crate::reload::{lock, unix_now};
use crate::worker::Shared;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router, middleware};
use connections::Peer;
use headline::{Facts, Headline};
use leeward_failover::Status;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    pub(crate) calls: Arc<Calls>,
    pub(crate) samples: Arc<Samples>,
    /// Streams of events that are open.
    pub(crate) streams: Arc<AtomicUsize>,
}

/// Entries of the journal in one answer at most.
const EVENTS: usize = 1000;
/// Longest wait for the control task.
const PATIENCE: Duration = Duration::from_secs(1);
/// What clients met lately is what they met within this.
const RECENT: Duration = Duration::from_secs(6);

/// Serves all of it on `full` and the harmless part on `read_only`, until the runtime ends.
pub(crate) async fn serve(
    admin: Admin,
    full: tokio::net::TcpListener,
    read_only: Option<tokio::net::TcpListener>,
) {
    let alive = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz));
    let metrics = Router::new().route("/metrics", get(metrics));
    let guarded = metrics
        .clone()
        .route("/api/v1/status", get(status))
        .route("/api/v1/events", get(events))
        .route("/api/v1/explain", get(explain::explain))
        .route("/api/v1/calls", get(calls))
        .route("/api/v1/samples", get(samples))
        .route("/api/v1/record", get(record))
        .layer(middleware::from_fn_with_state(admin.clone(), door::guard))
        .merge(diff::routes())
        .merge(words::routes());
    let all = alive
        .clone()
        .merge(guarded)
        .merge(page::routes())
        .layer(middleware::map_response(careful))
        .with_state(admin.clone());
    let shared = admin.shared.clone();
    let tls = || shared.snapshot.load().serving.access.tls().cloned();
    let sampling = admin.clone();
    let second = async {
        if let Some(listener) = read_only {
            let app = alive.merge(metrics).with_state(admin);
            connections::serve(app, listener, || None).await;
        }
    };
    tokio::join!(
        connections::serve(all, full, tls),
        second,
        samples::keep(&sampling)
    );
}

/// Browsers shall keep nothing, guess nothing, and give nothing to pages of other sites.
async fn careful(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in [
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
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

/// What the engine holds, if it answers in time.
async fn ask_engine(admin: &Admin) -> Option<Status> {
    let (ask, answer) = oneshot::channel();
    let asked = async {
        let message = ControlMessage::Status(ask);
        admin.shared.control.send(message).await.ok()?;
        answer.await.ok()
    };
    tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
}

async fn status(State(admin): State<Admin>) -> Response {
    let Some(status) = ask_engine(&admin).await else {
        let text = "the control task does not answer; traffic goes on with the last table\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let snapshot = admin.shared.snapshot.load_full();
    let reloads = lock(&admin.shared.reloads).clone();
    let open: Vec<usize> = admin
        .shared
        .peers
        .iter()
        .map(|peer| peer.open.load(Ordering::Relaxed))
        .collect();
    let standing = standing::standing(&snapshot);
    let now = unix_now();
    let uptime = admin.shared.began.elapsed().as_secs_f64();
    let turned_away = ["shed", "not_sent", "unavailable"];
    let headline = Headline::of(&Facts {
        status: &status,
        standing: &standing,
        began: now - uptime,
        shed: admin.samples.rate(&turned_away, RECENT),
        unknown: admin.samples.unknown(),
        rejected: reloads.rejected.is_some(),
    });
    axum::Json(json!({
        "version": admin.version,
        "phase": admin.shared.phase().as_str(),
        "ready": admin.ready.load(Ordering::Relaxed),
        "time": now,
        "uptime_seconds": uptime,
        "headline": headline,
        "policy": { "hash": snapshot.serving.policy.hash, "reloads": reloads },
        "connections_by_worker": open,
        "standing": standing,
        "engine": status,
    }))
    .into_response()
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

/// The journal, once or as it grows.
async fn events(
    State(admin): State<Admin>,
    peer: Option<Extension<Peer>>,
    Query(query): Query<Since>,
    headers: HeaderMap,
) -> Response {
    if let Some(Extension(peer)) = peer.filter(|_| stream::is_wanted(&headers)) {
        return stream::open(&admin, &peer, &headers, query.since);
    }
    let events = admin.journal.after(query.since, EVENTS);
    axum::Json(json!({ "events": events })).into_response()
}

async fn calls(State(admin): State<Admin>, Query(query): Query<Since>) -> Response {
    axum::Json(json!({ "calls": admin.calls.after(query.since) })).into_response()
}

async fn samples(State(admin): State<Admin>, Query(query): Query<Since>) -> Response {
    let every = samples::EVERY.as_secs_f64();
    let samples = admin.samples.after(query.since);
    axum::Json(json!({ "every_seconds": every, "samples": samples })).into_response()
}
