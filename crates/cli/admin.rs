//! Asks a leeward that runs, over its admin side: one question, one answer.
//!
//! Owns where the admin side is found and how long an answer is waited for. Knows no question.
//! Called by the verbs that speak to a running proxy.

use crate::args::Admin;
use bytes::Bytes;
use http::uri::{Authority, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use leeward_config::policy::DEFAULT_ADMIN;
use leeward_config::{Files, Options, load_with};
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;

/// Longest wait for a whole answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read at most.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Why there is no answer, and the exit code that says so.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) text: String,
    pub(crate) code: u8,
}

fn bad_usage(text: String) -> Failed {
    Failed { text, code: 2 }
}

fn failed(text: String) -> Failed {
    Failed { text, code: 1 }
}

/// An answer: its status, and its body where that is JSON.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// Posts `body` as JSON to `path` of the admin side.
///
/// # Errors
/// The admin side cannot be found (bad usage) or does not answer.
pub(crate) fn post(admin: &Admin, path: &str, body: &Value) -> Result<Answer, Failed> {
    let authority = find(admin)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(format!("no runtime: {error}")))?;
    let request = hyper::Request::post(path)
        .header(http::header::HOST, authority.as_str())
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|error| bad_usage(error.to_string()))?;
    let answered = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, exchange(&authority, request)).await });
    answered
        .unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
        .map_err(|text| failed(format!("http://{authority}: {text}")))
}

/// Where the admin side is.
fn find(admin: &Admin) -> Result<Authority, Failed> {
    if let Some(path) = &admin.policy {
        let options = Options {
            files: Files::MayBeMissing,
            ..Options::default()
        };
        let policy = load_with(path, &options).policy;
        let shown = path.display();
        let policy = policy.ok_or_else(|| {
            bad_usage(format!(
                "{shown}: the policy is bad; `leeward check` says why"
            ))
        })?;
        let Some(bind) = policy.admin.filter(|bind| bind.port() != 0) else {
            let text = format!("{shown}: its admin side is off or has no fixed port");
            return Err(bad_usage(text));
        };
        return authority(&bind.to_string());
    }
    authority(
        &admin
            .admin
            .clone()
            .unwrap_or_else(|| DEFAULT_ADMIN.to_string()),
    )
}

/// `http://127.0.0.1:9900`, with or without the scheme and a slash at the end.
fn authority(url: &str) -> Result<Authority, Failed> {
    let bad = || bad_usage(format!("`{url}` is no URL such as http://127.0.0.1:9900"));
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let plain = uri.scheme_str().is_none_or(|scheme| scheme == "http");
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let authority = uri.into_parts().authority.filter(|_| plain && bare);
    authority.ok_or_else(bad)
}

async fn exchange(
    authority: &Authority,
    request: hyper::Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80)))
        .await
        .map_err(|error| format!("no leeward answers there: {error}"))?;
    let broke = |error: hyper::Error| format!("the connection broke: {error}");
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broke)?;
    tokio::spawn(async move {
        // How it ended shows in the answer.
        let _ = connection.await;
    });
    let (head, body) = sender
        .send_request(request)
        .await
        .map_err(broke)?
        .into_parts();
    let body = http_body_util::Limited::new(body, MOST_BYTES)
        .collect()
        .await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok(Answer {
        status: head.status.as_u16(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}
