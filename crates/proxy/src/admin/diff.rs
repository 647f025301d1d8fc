//! `POST /api/v1/diff`: what another policy would change here, by what is held now.
//!
//! Owns how such a question is put. The policy is compiled as a reload would compile it, with this
//! process's environment and beside the policy that serves; a copy of the engine takes it. So whoever
//! may not say a word may not ask either: an answer tells what variables and files there are. One
//! question at a time is thought about, off the thread that answers scrapes.

use super::connections::Peer;
use super::{Admin, PATIENCE, door};
use crate::control::{ControlMessage, Copied};
use crate::snapshot::Endpoints;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use leeward_config::diff::{Running, compare};
use leeward_config::policy::Role;
use leeward_config::{Files, Options, parse_files};
use leeward_failover::EndpointId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{Semaphore, oneshot};

/// Bytes of a body at most: those of the largest policy, and what JSON makes of its quotes.
const MOST_BYTES: usize = 24 * 1024 * 1024;

/// The route.
pub(super) fn routes() -> Router<Admin> {
    let turn = Arc::new(Semaphore::new(1));
    let ask = move |State(admin): State<Admin>,
                    peer: Option<Extension<Peer>>,
                    headers: HeaderMap,
                    body: Json<Asked>| {
        let turn = turn.clone();
        async move {
            let peer = peer.map(|Extension(peer)| peer);
            let serving = admin.shared.snapshot.load().serving.clone();
            match door::admit(&serving.access, peer.as_ref(), &headers) {
                Ok(who) if who.role >= Role::Operate => {}
                Ok(_) => {
                    let text = "comparing policies takes the role `operate`";
                    return failed(StatusCode::FORBIDDEN, text);
                }
                Err(refused) => return refused.into_response(),
            }
            match turn.try_acquire() {
                Ok(_turn) => answer(&admin, body.0).await,
                Err(_) => failed(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "another policy is being compared; ask again",
                ),
            }
        }
    };
    Router::new()
        .route("/api/v1/diff", post(ask))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
}

/// A policy: its files with the names that problems are to have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    files: Vec<(String, String)>,
}

async fn answer(admin: &Admin, asked: Asked) -> Response {
    let (ask, copy) = oneshot::channel();
    let held = async {
        let asked = admin.shared.control.send(ControlMessage::Copy(ask));
        asked.await.ok()?;
        copy.await.ok()
    };
    let Ok(Some(held)) = tokio::time::timeout(PATIENCE, held).await else {
        let text = "the control task does not answer; traffic goes on with the last table";
        return failed(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let endpoints = admin.shared.snapshot.load().endpoints.clone();
    let thought = tokio::task::spawn_blocking(move || think(&asked.files, &held, &endpoints));
    match thought.await {
        Ok((status, body)) => (status, Json(body)).into_response(),
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn think(files: &[(String, String)], held: &Copied, endpoints: &Endpoints) -> (StatusCode, Value) {
    let old = &held.serving.policy;
    let options = Options {
        files: Files::MayBeMissing,
        ..Options::default()
    };
    let loaded = parse_files(files, &old.base, &options);
    let Some(new) = loaded.policy else {
        let errors = loaded.problems.iter().filter(|problem| problem.is_error());
        let errors: Vec<String> = errors.map(ToString::to_string).collect();
        let text = "this policy would not be taken";
        let body = json!({ "error": text, "problems": errors });
        return (StatusCode::UNPROCESSABLE_ENTITY, body);
    };
    let running = Running {
        engine: &held.engine,
        now: held.now,
        streams: &|endpoint| open(endpoints, endpoint),
    };
    let diff = compare(old, &new, Some(&running));
    match serde_json::to_value(diff) {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            let body = json!({ "error": error.to_string() });
            (StatusCode::INTERNAL_SERVER_ERROR, body)
        }
    }
}

/// Streams that are open at an endpoint.
fn open(endpoints: &Endpoints, id: EndpointId) -> u64 {
    let io = endpoints.get(id.index()).and_then(Option::as_ref);
    io.map_or(0, |io| io.streams.load(Ordering::Relaxed))
}

fn failed(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}
