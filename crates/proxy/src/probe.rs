//! Performs one probe of one endpoint, over the same path as traffic. Judges nothing: what a
//! failed probe means is the engine's to say.

mod grpc;

use crate::certificate;
use crate::connect::connect;
use crate::error::Step;
use crate::snapshot::EndpointIo;
use crate::upstream_h2::Single;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use leeward_config::policy::{Comparison, HttpProbe, JsonCheck, Pool, Probe};
use leeward_failover::{ProbeFailure, ProbeResult};
use leeward_metrics::Shortage;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What to probe with.
pub(crate) struct ProbeSpec {
    probe: Probe,
    timeout: Duration,
}

/// Why a probe failed: at which step, and in words.
type Failed = (ProbeFailure, String);

/// Why a probe did not pass.
enum Missed {
    Failed(Failed),
    /// It could not be made: that says nothing of the endpoint.
    Unmade(Shortage),
}

impl From<Failed> for Missed {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl ProbeSpec {
    pub(crate) fn new(pool: &Pool, timeout: Duration) -> Self {
        Self {
            probe: pool.probe.clone(),
            timeout,
        }
    }
}

/// Probes once, within the timeout. Errors: what leeward lacked to make the probe.
pub(crate) async fn probe(io: &EndpointIo, spec: &ProbeSpec) -> Result<ProbeResult, Shortage> {
    let started = Instant::now();
    match tokio::time::timeout(spec.timeout, run(io, spec)).await {
        Ok(Ok(asked)) => {
            io.answers_after(asked.elapsed());
            Ok(ProbeResult::Passed {
                took: started.elapsed(),
            })
        }
        Ok(Err(Missed::Failed((cause, detail)))) => Ok(ProbeResult::Failed { cause, detail }),
        Ok(Err(Missed::Unmade(short))) => Err(short),
        Err(_) => Ok(ProbeResult::Failed {
            cause: ProbeFailure::Timeout,
            detail: format!("no whole answer within {:?}", spec.timeout),
        }),
    }
}

/// When the question that was answered was asked: once there was a connection, where that is not the
/// question.
async fn run(io: &EndpointIo, spec: &ProbeSpec) -> Result<Instant, Missed> {
    let began = Instant::now();
    let mut wanted = io.usual_connect().clone();
    // The connection's own limit is what is left of the probe's: it names the step that hung.
    wanted.timeout = spec
        .timeout
        .saturating_sub(Duration::from_millis(1))
        .min(wanted.timeout);
    let (stream, wire) = connect(io.address, &wanted).await.map_err(|error| {
        let cause = match (error.step, error.timed_out) {
            (Step::Short(short), _) => return Missed::Unmade(short),
            (Step::Tls, _) => ProbeFailure::Tls,
            (_, true) => ProbeFailure::ConnectTimeout,
            (_, false) => ProbeFailure::Refused,
        };
        Missed::Failed((cause, error.detail))
    })?;
    let connected = Instant::now();
    if let Some(ends) = certificate::first_end(stream.certificates()) {
        io.certificate_ends.store(ends, Ordering::Relaxed);
    }
    let agreed = stream.agreed_to_http2();
    let needs_http2 = match &spec.probe {
        Probe::Tcp => return Ok(began),
        Probe::Http(_) => io.shared.is_some() && !io.may_speak_http1(),
        Probe::Grpc(_) => true,
    };
    if needs_http2 && agreed == Some(false) {
        let detail = "the backend does not agree to HTTP/2".to_owned();
        return Err((ProbeFailure::Tls, detail).into());
    }
    let http = match &spec.probe {
        Probe::Http(http) => http,
        Probe::Grpc(probe) => {
            grpc::ask((stream, wire), io, probe, spec.timeout).await?;
            return Ok(connected);
        }
        Probe::Tcp => return Ok(began),
    };
    if io.shared.is_some() && agreed.unwrap_or(true) {
        let asked = Single::ask(stream, wire, request(io, http)?, agreed.is_some()).await;
        let (response, _single) = asked.map_err(|detail| (ProbeFailure::Reset, detail))?;
        check(response, http).await?;
        return Ok(connected);
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let driving = tokio::task::spawn_local(connection);
    let result: Result<(), Failed> = async {
        let response = sender
            .send_request(request(io, http)?)
            .await
            .map_err(|error| broken(&error))?;
        check(response, http).await
    }
    .await;
    driving.abort();
    wire.reset();
    Ok(result.map(|()| connected)?)
}

fn broken(error: &hyper::Error) -> Failed {
    let cause = if error.is_parse() || error.is_parse_too_large() {
        ProbeFailure::Protocol
    } else {
        ProbeFailure::Reset
    };
    (cause, error.to_string())
}

fn request(io: &EndpointIo, http: &HttpProbe) -> Result<Request<Empty<Bytes>>, Failed> {
    let host = http.host.as_deref().unwrap_or(&io.authority);
    let mut request = Request::get(http.path.as_str())
        .header(HOST, host)
        .header(USER_AGENT, "leeward-probe")
        .body(Empty::new())
        .map_err(|error| {
            (
                ProbeFailure::Protocol,
                format!("the probe cannot be sent: {error}"),
            )
        })?;
    for (name, value) in &http.headers {
        request.headers_mut().insert(name, value.clone());
    }
    request
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

async fn check<B>(response: Response<B>, http: &HttpProbe) -> Result<(), Failed>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let status = response.status().as_u16();
    if !http
        .status
        .iter()
        .any(|(from, to)| (*from..=*to).contains(&status))
    {
        return Err((
            ProbeFailure::Status,
            format!("status {status}, expected {}", ranges(&http.status)),
        ));
    }
    check_headers(response.headers(), http)?;
    if http.body_contains.is_none() && http.json.is_empty() {
        return Ok(());
    }
    let body = Limited::new(response.into_body(), http.max_body)
        .collect()
        .await;
    let body =
        body.map_err(
            |error| match error.downcast_ref::<http_body_util::LengthLimitError>() {
                Some(_) => (
                    ProbeFailure::Protocol,
                    format!("body larger than {} bytes", http.max_body),
                ),
                None => (ProbeFailure::Reset, format!("body ended early: {error}")),
            },
        )?;
    let body = body.to_bytes();
    if let Some(text) = &http.body_contains
        && memchr::memmem::find(&body, text.as_bytes()).is_none()
    {
        return Err((
            ProbeFailure::Content,
            format!("body does not contain {text:?}"),
        ));
    }
    check_json(&body, &http.json)
}

fn check_headers(headers: &HeaderMap, http: &HttpProbe) -> Result<(), Failed> {
    for (name, wanted) in &http.expect_headers {
        let holds = match wanted {
            None => headers.contains_key(name),
            Some(wanted) => headers.get_all(name).iter().any(|value| value == wanted),
        };
        if !holds {
            let seen = headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()));
            let detail = match (seen, wanted) {
                (Some(seen), Some(wanted)) => format!("{name} is {seen:?}, expected {wanted:?}"),
                _ => format!("no field {name}"),
            };
            return Err((ProbeFailure::Content, detail));
        }
    }
    Ok(())
}

fn check_json(body: &[u8], checks: &[(String, JsonCheck)]) -> Result<(), Failed> {
    if checks.is_empty() {
        return Ok(());
    }
    let document: serde_json::Value = serde_json::from_slice(body)
        .map_err(|error| (ProbeFailure::Content, format!("body is not JSON: {error}")))?;
    for (pointer, wanted) in checks {
        let found = document
            .pointer(pointer)
            .unwrap_or(&serde_json::Value::Null);
        if !holds(found, wanted) {
            let mut seen = found.to_string();
            if let Some((cut, _)) = seen.char_indices().nth(80) {
                seen.truncate(cut);
            }
            let detail = format!("{pointer} is {seen}, expected {}", expected(wanted));
            return Err((ProbeFailure::Content, detail));
        }
    }
    Ok(())
}

/// Whether what is found in a document is what a policy wants.
#[expect(clippy::float_cmp, reason = "`==` in a policy means equal")]
pub(crate) fn holds(found: &serde_json::Value, wanted: &JsonCheck) -> bool {
    match wanted {
        JsonCheck::Present => !found.is_null(),
        JsonCheck::Bool(wanted) => found.as_bool() == Some(*wanted),
        JsonCheck::Text(wanted) => found.as_str() == Some(wanted),
        JsonCheck::Number(comparison, wanted) => {
            found.as_f64().is_some_and(|found| match comparison {
                Comparison::Less => found < *wanted,
                Comparison::LessOrEqual => found <= *wanted,
                Comparison::Greater => found > *wanted,
                Comparison::GreaterOrEqual => found >= *wanted,
                Comparison::Equal => found == *wanted,
                Comparison::NotEqual => found != *wanted,
            })
        }
    }
}

fn expected(wanted: &JsonCheck) -> String {
    match wanted {
        JsonCheck::Present => "a value".into(),
        JsonCheck::Bool(wanted) => wanted.to_string(),
        JsonCheck::Text(wanted) => format!("{wanted:?}"),
        JsonCheck::Number(comparison, wanted) => {
            let sign = match comparison {
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
                Comparison::Equal => "==",
                Comparison::NotEqual => "!=",
            };
            format!("{sign} {wanted}")
        }
    }
}

fn ranges(ranges: &[(u16, u16)]) -> String {
    let words: Vec<String> = ranges
        .iter()
        .map(|(from, to)| {
            if from == to {
                from.to_string()
            } else {
                format!("{from}-{to}")
            }
        })
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(body: &str, pointer: &str, wanted: JsonCheck) -> Result<(), Failed> {
        check_json(body.as_bytes(), &[(pointer.into(), wanted)])
    }

    #[test]
    fn assertions_on_json_hold_or_say_what_was_seen() {
        let body = r#"{"engine":{"lag_ms":120,"ok":true},"name":"a"}"#;
        let below = |limit| JsonCheck::Number(Comparison::Less, limit);
        assert!(json(body, "/engine/lag_ms", below(500.0)).is_ok());
        let (cause, detail) = json(body, "/engine/lag_ms", below(100.0)).unwrap_err();
        assert_eq!(cause, ProbeFailure::Content);
        assert_eq!(detail, "/engine/lag_ms is 120, expected < 100");
        assert!(json(body, "/engine/ok", JsonCheck::Bool(true)).is_ok());
        assert!(json(body, "/name", JsonCheck::Text("a".into())).is_ok());
        assert!(json(body, "/name", JsonCheck::Present).is_ok());
        assert!(json(body, "/gone", JsonCheck::Present).is_err());
        assert!(
            json("[", "/gone", JsonCheck::Present)
                .unwrap_err()
                .1
                .contains("not JSON")
        );
    }
}
