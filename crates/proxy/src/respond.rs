//! leeward's own answers: one table from what happened to what the client is told.
//!
//! An answer to a failed request says whether the backend may have seen it, in `leeward-outcome`:
//! `not-sent`, `unknown` or `shed` (P1). The body is one line for people.

use crate::body::ResponseBody;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

/// What leeward says of a request that no backend answered whole.
pub(crate) const OUTCOME: HeaderName = HeaderName::from_static("leeward-outcome");

/// Whether a failed request may have been executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Proven: no backend received any of it. It may be sent again.
    NotSent,
    /// A backend may have received it.
    Unknown,
    /// Refused at leeward's own limits: no backend received any of it.
    Shed,
}

impl Fate {
    const fn as_str(self) -> &'static str {
        match self {
            Fate::NotSent => "not-sent",
            Fate::Unknown => "unknown",
            Fate::Shed => "shed",
        }
    }
}

/// A request that no backend answered. `seconds` is when to come back, jittered by the caller.
pub(crate) fn unanswered(
    fate: Fate,
    status: StatusCode,
    text: &str,
    seconds: u64,
) -> Response<ResponseBody> {
    let mut response = plain(status, text);
    response
        .headers_mut()
        .insert(OUTCOME, HeaderValue::from_static(fate.as_str()));
    if fate != Fate::Unknown {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A request that leeward refuses before any backend is thought of. The connection ends with it
/// when `close` says so.
pub(crate) fn refused(status: StatusCode, text: &str, close: bool) -> Response<ResponseBody> {
    let mut response = plain(status, text);
    if close {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What is said on a listener whose last connections are ending.
pub(crate) const CLOSING: &str = "this listener is closing; the request was not sent";

/// A request that came to a listener whose last connections are ending.
pub(crate) fn closing() -> Response<ResponseBody> {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut response = unanswered(Fate::NotSent, status, CLOSING, 1);
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn plain(status: StatusCode, text: &str) -> Response<ResponseBody> {
    let mut line = String::with_capacity(text.len() + 1);
    line.push_str(text);
    line.push('\n');
    let mut response = Response::new(ResponseBody::Text(Bytes::from(line)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
