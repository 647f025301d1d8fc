//! `POST /api/v1/evacuate`, `drain`, `restore`: operators' words over the admin side.
//!
//! Owns who may say one. A word changes where orders go, so a web page that somebody on this machine
//! looks at must not be able to say it: the connection has to come from this machine, Host has to
//! name this machine (a name that was rebound does not), Origin may only be the admin side itself,
//! and the body has to be declared as JSON, which a page cannot do across sites without being asked
//! first; nothing here ever answers that question. What follows from a word is the engine's business.

use super::connections::Peer;
use super::{Admin, PATIENCE};
use crate::control::ControlMessage;
use crate::operator::{Answer, Report, Saying};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use leeward_failover::OperatorWord;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
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
                  body: Bytes| async move {
                let peer = peer.map(|Extension(peer)| peer);
                match take(word, peer, &headers, &body) {
                    Ok(saying) => say(&admin, saying).await,
                    Err((status, text)) => failed(status, &text, &[]),
                }
            },
        )
    };
    Router::new()
        .route("/api/v1/evacuate", word(OperatorWord::Evacuated))
        .route("/api/v1/drain", word(OperatorWord::Draining))
        .route("/api/v1/restore", word(OperatorWord::Active))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
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
    peer: Option<Peer>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Saying, Refusal> {
    comes_from_here(peer, headers).map_err(|text| (StatusCode::FORBIDDEN, text.to_owned()))?;
    if !is_json(headers) {
        let text = "Content-Type has to be application/json".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let asked: Asked = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    if asked.targets.is_empty() || asked.targets.len() > MOST_TARGETS {
        return Err(bad(format!("1 to {MOST_TARGETS} targets are needed")));
    }
    if asked.reason.chars().count() > LONGEST_REASON || asked.reason.contains(char::is_control) {
        return Err(bad(format!(
            "a reason is one line of {LONGEST_REASON} characters at most"
        )));
    }
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

async fn say(admin: &Admin, saying: Saying) -> Response {
    let (answer, said) = oneshot::channel();
    let asked = async {
        let message = ControlMessage::Say { saying, answer };
        admin.shared.control.send(message).await.ok()?;
        said.await.ok()
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Some(Answer::Said(report))) => Json(report).into_response(),
        Ok(Some(Answer::Refused(report))) => refused(&report),
        Ok(Some(Answer::Unknown(names))) => failed(StatusCode::NOT_FOUND, &names.join("; "), &[]),
        _ => {
            let text = "the control task does not answer; whether it heard the word is unknown: ask for the status";
            failed(StatusCode::SERVICE_UNAVAILABLE, text, &[])
        }
    }
}

fn refused(report: &Report) -> Response {
    let text =
        "refused: it would take away what is needed; `force` with a reason says it all the same";
    let Ok(Value::Object(report)) = serde_json::to_value(report) else {
        return failed(StatusCode::CONFLICT, text, &[]);
    };
    let report: Vec<(String, Value)> = report.into_iter().collect();
    failed(StatusCode::CONFLICT, text, &report)
}

fn failed(status: StatusCode, text: &str, more: &[(String, Value)]) -> Response {
    let mut body = serde_json::Map::from_iter(more.iter().cloned());
    body.insert("error".to_owned(), json!(text));
    (status, Json(Value::Object(body))).into_response()
}

/// Whether a request comes from this machine, and from no page of another site.
pub(super) fn comes_from_here(peer: Option<Peer>, headers: &HeaderMap) -> Result<(), &'static str> {
    if !peer.is_some_and(|Peer(address)| address.to_canonical().is_loopback()) {
        return Err("words are only taken from this machine");
    }
    let one = |name| {
        let mut all = headers.get_all(name).iter();
        let first = all.next().map(|value| value.to_str().unwrap_or("?"));
        (first, all.next().is_some())
    };
    let (Some(host), false) = one(header::HOST) else {
        return Err("Host is needed, once");
    };
    if !is_local(host) {
        return Err("Host has to be localhost or a loopback address");
    }
    let (origin, more) = one(header::ORIGIN);
    let own = |origin: &str| {
        origin
            .strip_prefix("http://")
            .is_some_and(|rest| rest.eq_ignore_ascii_case(host))
    };
    if more || origin.is_some_and(|origin| !own(origin)) {
        return Err("pages of other sites may not say words");
    }
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return Err("pages of other sites may not say words");
    }
    Ok(())
}

fn is_local(host: &str) -> bool {
    let by_address = host.parse().map(|whole: SocketAddr| whole.ip());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = by_address.or_else(|_| bare.parse::<IpAddr>());
    if let Ok(address) = address {
        return address.is_loopback();
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost")
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fields: &[(&'static str, &str)]) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a field"));
        }
        let here = Peer(IpAddr::from([127, 0, 0, 1]));
        comes_from_here(Some(here), &headers)
    }

    #[test]
    fn this_machine_may_say_words() {
        for host in [
            "127.0.0.1:9900",
            "localhost:9900",
            "localhost",
            "[::1]:9900",
            "[::1]",
        ] {
            assert_eq!(asked(&[("host", host)]), Ok(()), "{host}");
        }
        let own = [
            ("host", "localhost:9900"),
            ("origin", "http://localhost:9900"),
        ];
        assert_eq!(asked(&own), Ok(()));
    }

    #[test]
    fn names_that_were_rebound_and_other_sites_may_not() {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "192.0.2.7:9900",
            "",
            "localhost.x",
        ] {
            assert!(asked(&[("host", host)]).is_err(), "{host}");
        }
        for origin in [
            "null",
            "http://evil.example",
            "https://localhost:9900",
            "http://localhost:1",
        ] {
            let fields = [("host", "localhost:9900"), ("origin", origin)];
            assert!(asked(&fields).is_err(), "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            let fields = [("host", "localhost:9900"), ("sec-fetch-site", site)];
            assert!(asked(&fields).is_err(), "{site}");
        }
        assert!(asked(&[]).is_err());
        assert!(asked(&[("host", "localhost"), ("host", "localhost")]).is_err());
    }

    #[test]
    fn other_machines_may_not() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "localhost".parse().expect("a field"));
        let there = Peer(IpAddr::from([192, 0, 2, 7]));
        assert!(comes_from_here(Some(there), &headers).is_err());
        assert!(comes_from_here(None, &headers).is_err());
    }
}
