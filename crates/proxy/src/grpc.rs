//! The words of gRPC: which message is one, how a call ended, and leeward's own answers to a call.
//!
//! A call ends with a `grpc-status` in its trailers, or in its head where the answer has nothing else,
//! while HTTP says 200 of both. Everything else in leeward goes by the HTTP status, so the two tables
//! that say which one means the same are here. What that says of health is `classify`'s. Called by
//! `attempt`, `relay`, `handler` and the probe. Source: gRPC's PROTOCOL-HTTP2.md and statuscodes.md.

mod code;
pub(crate) mod timeout;

pub(crate) use code::{CALL, MESSAGE, STATUS, code, is_call, name};

use crate::body::ResponseBody;
use crate::respond::OUTCOME;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

/// When a client may try again, in milliseconds; below zero for never.
pub(crate) const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

const DEADLINE_EXCEEDED: u32 = 4;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;

/// The HTTP status that says the same about who answered as the code in these fields; `None` where
/// they have none.
pub(crate) fn means(fields: &HeaderMap) -> Option<StatusCode> {
    Some(code(fields)?.map_or(StatusCode::INTERNAL_SERVER_ERROR, as_http))
}

/// Client's faults stay below 500 (P11). So do codes by which a client could speak against a backend
/// all by itself: DEADLINE_EXCEEDED, since the deadline is its own, and UNIMPLEMENTED, which is
/// HTTP's 404. A code that nobody knows means UNKNOWN.
fn as_http(code: u32) -> StatusCode {
    match code {
        0 => StatusCode::OK,
        1 | 3 | 9 | 11 => StatusCode::BAD_REQUEST,
        DEADLINE_EXCEEDED => StatusCode::REQUEST_TIMEOUT,
        5 | UNIMPLEMENTED => StatusCode::NOT_FOUND,
        6 | 10 => StatusCode::CONFLICT,
        7 => StatusCode::FORBIDDEN,
        RESOURCE_EXHAUSTED => StatusCode::TOO_MANY_REQUESTS,
        UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
        16 => StatusCode::UNAUTHORIZED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// leeward's own answer, as a client of gRPC reads it: all of it in the head, 200, and the code that
/// says the same. An answer of a backend passes as it is.
pub(crate) fn own_answer(response: Response<ResponseBody>) -> Response<ResponseBody> {
    let (mut head, body) = response.into_parts();
    let ResponseBody::Text(text) = body else {
        return Response::from_parts(head, body);
    };
    let code = own_code(head.status);
    let retry_after = head.headers.get(RETRY_AFTER);
    let seconds: Option<u64> = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    end(&mut head.headers, code, text.trim_ascii_end());
    if let Some(seconds) = seconds {
        head.headers
            .insert(PUSHBACK, HeaderValue::from(seconds.saturating_mul(1000)));
    }
    let call = HeaderValue::from_static(CALL);
    head.headers.insert(CONTENT_TYPE, call);
    head.status = StatusCode::OK;
    Response::from_parts(head, ResponseBody::Empty)
}

/// The code that says the same as a status of leeward's own.
pub(crate) fn own_code(status: StatusCode) -> u32 {
    match status.as_u16() {
        502 | 503 => UNAVAILABLE,
        504 => DEADLINE_EXCEEDED,
        404 => UNIMPLEMENTED,
        413 => RESOURCE_EXHAUSTED,
        _ => INTERNAL,
    }
}

/// The trailers of an answer that broke off on its way. `writes` where a client that sees
/// UNAVAILABLE could take it for an order that was not executed, and repeat it.
pub(crate) fn broken_off(writes: bool, text: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let code = if writes {
        DEADLINE_EXCEEDED
    } else {
        UNAVAILABLE
    };
    end(&mut trailers, code, text.as_bytes());
    trailers.insert(OUTCOME, HeaderValue::from_static("unknown"));
    trailers
}

/// DEADLINE_EXCEEDED is gRPC's word for what may have been done (statuscodes.md): clients that
/// repeat what is UNAVAILABLE do not repeat that, and are told not to.
fn end(fields: &mut HeaderMap, code: u32, text: &[u8]) {
    fields.insert(STATUS, HeaderValue::from(code));
    if code == DEADLINE_EXCEEDED {
        fields.insert(PUSHBACK, HeaderValue::from_static("-1"));
    }
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'%';
    if text.iter().all(plain)
        && let Ok(text) = HeaderValue::from_bytes(text)
    {
        fields.insert(MESSAGE, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify;
    use crate::respond::{self, Fate};
    use leeward_failover::Outcome;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        pairs.collect()
    }

    #[test]
    fn a_call_is_known_by_its_content_type_alone() {
        for of_grpc in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
            "Application/GRPC",
        ] {
            assert!(is_call(&fields(&[("content-type", of_grpc)])), "{of_grpc}");
        }
        for other in ["application/grpc-web", "application/grp", "text/html", ""] {
            assert!(!is_call(&fields(&[("content-type", other)])), "{other}");
        }
        assert!(!is_call(&HeaderMap::new()));
    }

    #[test]
    fn a_client_s_fault_never_speaks_against_a_backend_and_its_own_does() {
        let says = |code: &'static str| {
            let fields = fields(&[("grpc-status", code)]);
            classify::health(means(&fields).unwrap(), &fields)
        };
        for code in [
            "0", "1", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "16",
        ] {
            assert_eq!(says(code), Outcome::Success, "{code}");
        }
        assert_eq!(says("14"), Outcome::GatewayError);
        for code in ["2", "13", "15", "17", "99999999999", "-1", "+1", "ok", ""] {
            assert_eq!(says(code), Outcome::ServerError, "{code}");
        }
        assert_eq!(means(&HeaderMap::new()), None);
    }

    #[test]
    fn unavailable_with_a_time_to_come_back_is_back_pressure() {
        let full = fields(&[("grpc-status", "14"), ("grpc-retry-pushback-ms", "500")]);
        let status = means(&full).unwrap();
        assert_eq!(classify::health(status, &full), Outcome::Backpressure);
    }

    #[test]
    fn what_may_have_been_done_is_never_called_unavailable() {
        let told = |fate, status| {
            let status = StatusCode::from_u16(status).unwrap();
            own_answer(respond::unanswered(fate, status, "in words", 2))
        };
        let response = told(Fate::Unknown, 504);
        assert_eq!(response.status(), 200);
        assert!(matches!(response.body(), ResponseBody::Empty));
        let headers = response.headers();
        assert_eq!(headers[STATUS], "4");
        assert_eq!(headers[PUSHBACK], "-1");
        assert_eq!(headers[MESSAGE], "in words");
        assert_eq!(headers["leeward-outcome"], "unknown");
        assert_eq!(headers[CONTENT_TYPE], "application/grpc");
        let response = told(Fate::NotSent, 503);
        assert_eq!(response.headers()[STATUS], "14");
        assert_eq!(response.headers()[PUSHBACK], "2000");
        assert_eq!(broken_off(true, "")[STATUS], "4");
        assert_eq!(broken_off(false, "")[STATUS], "14");
    }
}
