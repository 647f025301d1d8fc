//! `POST /api/v1/evacuate`, `drain`, `restore`: operators' words over the admin side.
//!
//! Owns what a word looks like from outside. Who may say one is asked at the `door`: the role
//! `operate`, or `read` for what would follow (`dry_run`). The body has to be declared as JSON, which a
//! page cannot do across sites without being asked first; nothing here ever answers that question.
//! Each call is noted (`calls`), with who and with what came of it. What follows from a word is the
//! engine's business.

use super::calls::Call;
use super::connections::Peer;
use super::door::{self, Who};
use super::{Admin, PATIENCE};
use crate::control::ControlMessage;
use crate::operator::{Answer, Report, Saying};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use leeward_config::policy::Role;
use leeward_failover::OperatorWord;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::oneshot;

/// Bytes of a body at most.
const MOST_BYTES: usize = 16 * 1024;
/// Targets of one word at most.
const MOST_TARGETS: usize = 64;
/// Characters of a reason at most: it stands in the journal and in each line of the log about it.
const LONGEST_REASON: usize = 400;
/// How long a word may last; one that shall last longer has no end.
const SPANS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 3600);

/// The routes.
pub(super) fn routes() -> Router<Admin> {
    let word = |word: OperatorWord| {
        post(
            move |State(admin): State<Admin>,
                  peer: Option<Extension<Peer>>,
                  headers: HeaderMap,
                  body: Result<Bytes, BytesRejection>| async move {
                let peer = peer.map(|Extension(peer)| peer);
                hear(&admin, word, peer, &headers, body).await
            },
        )
    };
    Router::new()
        .route("/api/v1/evacuate", word(OperatorWord::Evacuated))
        .route("/api/v1/drain", word(OperatorWord::Draining))
        .route("/api/v1/restore", word(OperatorWord::Active))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
}

/// Hears a word, whoever says it, and notes what came of it.
async fn hear(
    admin: &Admin,
    word: OperatorWord,
    peer: Option<Peer>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut call = Call {
        word: word.as_str(),
        address: peer
            .as_ref()
            .map_or_else(String::new, |peer| peer.address.to_canonical().to_string()),
        ..Call::default()
    };
    let serving = admin.shared.snapshot.load().serving.clone();
    let who = match door::admit(&serving.access, peer.as_ref(), headers) {
        Ok(who) => who,
        Err(refused) => {
            call.status = refused.status.as_u16();
            call.error = Some(refused.text.to_owned());
            admin.calls.note(call, &admin.shared.metrics);
            return refused.into_response();
        }
    };
    call.who = Some(who.name.clone());
    call.role = Some(who.role.as_str());
    let body = body.map_err(|rejected| (rejected.status(), rejected.body_text()));
    let heard = body.and_then(|body| take(word, &who, headers, &body, &mut call));
    let (dry_run, answered) = match heard {
        Ok(saying) => (saying.dry_run, say(admin, saying).await),
        Err((status, text)) => (false, Answered::failed(status, &text, &[])),
    };
    call.status = answered.status.as_u16();
    call.error = answered.error;
    if !dry_run {
        admin.calls.note(call, &admin.shared.metrics);
    }
    (answered.status, Json(answered.body)).into_response()
}

/// What the body says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    targets: Vec<String>,
    /// `30m`, as in the policy.
    #[serde(default, rename = "for")]
    lasts: Option<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    dry_run: bool,
}

type Refusal = (StatusCode, String);

/// The word that a request says, if it may.
fn take(
    word: OperatorWord,
    who: &Who,
    headers: &HeaderMap,
    body: &[u8],
    call: &mut Call,
) -> Result<Saying, Refusal> {
    if !is_json(headers) {
        let text = "Content-Type has to be application/json".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let asked: Asked = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    call.targets.clone_from(&asked.targets);
    call.forced = asked.force;
    call.lasts.clone_from(&asked.lasts);
    if who.role < Role::Operate && !asked.dry_run {
        let text = "this takes the role `operate`; `dry_run` only asks what would follow";
        return Err((StatusCode::FORBIDDEN, text.to_owned()));
    }
    if asked.targets.is_empty() || asked.targets.len() > MOST_TARGETS {
        return Err(bad(format!("1 to {MOST_TARGETS} targets are needed")));
    }
    if asked.reason.chars().count() > LONGEST_REASON || asked.reason.contains(char::is_control) {
        return Err(bad(format!(
            "a reason is one line of {LONGEST_REASON} characters at most"
        )));
    }
    call.reason.clone_from(&asked.reason);
    if asked.force && asked.reason.trim().is_empty() {
        return Err(bad("what is forced needs a reason".to_owned()));
    }
    let lasts = asked.lasts.as_deref().map(leeward_config::duration);
    let lasts = lasts
        .transpose()
        .map_err(|text| bad(format!("for: {text}")))?;
    if lasts.is_some() && word == OperatorWord::Active {
        return Err(bad("what is restored stays restored: no `for`".to_owned()));
    }
    if lasts.is_some_and(|span| !SPANS.contains(&span)) {
        return Err(bad("for: 1s to 8784h, or nothing for no end".to_owned()));
    }
    Ok(Saying {
        word,
        targets: asked.targets,
        lasts,
        reason: asked.reason,
        force: asked.force,
        dry_run: asked.dry_run,
    })
}

/// What a call is answered.
struct Answered {
    status: StatusCode,
    body: Value,
    error: Option<String>,
}

impl Answered {
    fn failed(status: StatusCode, text: &str, more: &[(String, Value)]) -> Self {
        let mut body = serde_json::Map::from_iter(more.iter().cloned());
        body.insert("error".to_owned(), json!(text));
        Self {
            status,
            body: Value::Object(body),
            error: Some(text.to_owned()),
        }
    }

    fn said(report: &Report) -> Self {
        match serde_json::to_value(report) {
            Ok(body) => Self {
                status: StatusCode::OK,
                body,
                error: None,
            },
            Err(error) => Self::failed(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string(), &[]),
        }
    }

    fn refused(report: &Report) -> Self {
        let text = "refused: it would take away what is needed; `force` with a reason says it all the same";
        let more = match serde_json::to_value(report) {
            Ok(Value::Object(report)) => report.into_iter().collect(),
            _ => Vec::new(),
        };
        Self::failed(StatusCode::CONFLICT, text, &more)
    }
}

async fn say(admin: &Admin, saying: Saying) -> Answered {
    let (answer, said) = oneshot::channel();
    let asked = async {
        let message = ControlMessage::Say { saying, answer };
        admin.shared.control.send(message).await.ok()?;
        said.await.ok()
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Some(Answer::Said(report))) => Answered::said(&report),
        Ok(Some(Answer::Refused(report))) => Answered::refused(&report),
        Ok(Some(Answer::Unknown(names))) => {
            Answered::failed(StatusCode::NOT_FOUND, &names.join("; "), &[])
        }
        _ => {
            let text = "the control task does not answer; whether it heard the word is unknown: ask for the status";
            Answered::failed(StatusCode::SERVICE_UNAVAILABLE, text, &[])
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}
