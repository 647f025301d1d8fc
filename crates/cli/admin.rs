//! Asks a leeward that runs, over its admin side: one question, one answer.
//!
//! Owns where the admin side is found, the token that it is shown, and how long an answer is waited
//! for. Knows no question.
//! Called by the verbs that speak to a running proxy.

use crate::args::{Admin, Token};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::request::Builder;
use http::uri::{Authority, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use leeward_config::policy::DEFAULT_ADMIN;
use leeward_config::{Files, Options, load_with};
use serde_json::Value;
use std::io::Read;
use std::time::Duration;
use tokio::net::TcpStream;

/// Longest wait for a whole answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read at most.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Where a token is looked for that no file names.
const TOKEN: &str = "LEEWARD_ADMIN_TOKEN";
/// Bytes of a token at most.
const MOST_OF_TOKEN: u64 = 4096;

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
/// The admin side cannot be found (bad usage), does not answer, or refuses the token.
pub(crate) fn post(admin: &Admin, path: &str, body: &Value) -> Result<Answer, Failed> {
    let request = hyper::Request::post(path).header(CONTENT_TYPE, "application/json");
    ask(admin, request, body.to_string())
}

/// Asks for `path` of the admin side.
///
/// # Errors
/// As [`post`].
pub(crate) fn get(admin: &Admin, path: &str) -> Result<Answer, Failed> {
    ask(admin, hyper::Request::get(path), String::new())
}

/// The URL of the admin side, for people.
///
/// # Errors
/// It cannot be found.
pub(crate) fn url(admin: &Admin) -> Result<String, Failed> {
    find(admin).map(|authority| format!("http://{authority}"))
}

fn ask(admin: &Admin, request: Builder, body: String) -> Result<Answer, Failed> {
    let authority = find(admin)?;
    let token = token(&admin.token)?;
    let shown = token.is_some();
    let mut request = request
        .header(HOST, authority.as_str())
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| bad_usage(error.to_string()))?;
    if let Some(token) = token {
        request.headers_mut().insert(AUTHORIZATION, token);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(format!("no runtime: {error}")))?;
    let answered = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, exchange(&authority, request)).await });
    let answer = answered
        .unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}; is that leeward?")))
        .map_err(|text| failed(format!("http://{authority}: {text}")))?;
    if answer.status == 401 {
        let text = if shown {
            "the token is refused; is it one of this proxy's?"
        } else {
            "a token is asked for; give its file with --token-file"
        };
        return Err(failed(format!("http://{authority}: {text}")));
    }
    Ok(answer)
}

/// What a question was answered with, where that says anything to people who read: the body.
///
/// # Errors
/// The answer is none to such a question: refused, or not of an admin side.
pub(crate) fn read(admin: &Admin, path: &str) -> Result<Value, Failed> {
    let answer = get(admin, path)?;
    let error = answer.body["error"].as_str();
    let text = match (answer.status, error) {
        (200, _) if answer.body.is_object() => return Ok(answer.body),
        (400, Some(error)) => return Err(bad_usage(error.to_owned())),
        (_, Some(error)) => error.to_owned(),
        (403, None) => "the token has no right to this".to_owned(),
        (503, None) => "the proxy does not know its own state now; traffic goes on".to_owned(),
        (status, None) => {
            format!("answers {status} as no admin side of leeward would; give its URL with --admin")
        }
    };
    Err(failed(format!("{}: {text}", url(admin)?)))
}

/// The field that shows the token, where there is one. It is never printed.
fn token(wanted: &Token) -> Result<Option<HeaderValue>, Failed> {
    let (text, of) = match &wanted.token_file {
        Some(path) => {
            let of = path.display().to_string();
            let read = std::fs::File::open(path).and_then(|file| {
                let mut text = String::new();
                file.take(MOST_OF_TOKEN + 1).read_to_string(&mut text)?;
                Ok(text)
            });
            (
                read.map_err(|error| bad_usage(format!("{of}: {error}")))?,
                of,
            )
        }
        None => match std::env::var(TOKEN) {
            Ok(text) if text.trim().is_empty() => return Ok(None),
            Ok(text) => (text, TOKEN.to_owned()),
            Err(std::env::VarError::NotPresent) => return Ok(None),
            Err(error) => return Err(bad_usage(format!("{TOKEN}: {error}"))),
        },
    };
    let text = text.trim();
    let is_token = |c: char| c.is_ascii_graphic();
    if text.is_empty() || text.len() as u64 > MOST_OF_TOKEN || !text.chars().all(is_token) {
        return Err(bad_usage(format!(
            "{of}: that is no token: one word of plain text"
        )));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {text}"))
        .map_err(|_| bad_usage(format!("{of}: that is no token")))?;
    value.set_sensitive(true);
    Ok(Some(value))
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
        .map_err(|error| {
            format!("no leeward answers there: {error}; is it running, and is that its admin side?")
        })?;
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
