//! From what happened to what it means: for an endpoint's health, for another try, for the client.
//!
//! One table each, no I/O. 4xx never speak against a backend and are never tried again (P11).

use crate::error::{AttemptError, Step};
use crate::grpc;
use crate::respond::Fate;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Response, StatusCode};
use leeward_failover::retry::Sent;
use leeward_failover::{Class, Outcome};
use leeward_metrics::RequestOutcome;

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There was no endpoint to send it to.
    Unplaced,
    /// leeward itself had run out of what it takes to reach one.
    Short,
    /// The last attempt failed so, and no other was allowed.
    Attempt(AttemptError),
}

/// The status that an answer is judged by: HTTP's own, or where that is 200 and the answer is one of
/// gRPC, what its `grpc-status` means, in its trailers where those are there, else in its head.
pub(crate) fn means<B>(answer: &Response<B>, trailers: Option<&HeaderMap>) -> StatusCode {
    let status = answer.status();
    if status != StatusCode::OK {
        return status;
    }
    let said = trailers.and_then(grpc::means);
    said.or_else(|| grpc::means(answer.headers()))
        .unwrap_or(status)
}

/// What a whole answer with this status says of the endpoint. 503 that names a time to come back, in
/// Retry-After or by gRPC's field for it, says that it is full, not that it is sick.
pub(crate) fn health(status: StatusCode, fields: &HeaderMap) -> Outcome {
    let says_when = || fields.contains_key(RETRY_AFTER) || fields.contains_key(grpc::PUSHBACK);
    match status.as_u16() {
        503 if says_when() => Outcome::Backpressure,
        502..=504 => Outcome::GatewayError,
        500.. => Outcome::ServerError,
        _ => Outcome::Success,
    }
}

/// Whether an answer with this status may be replaced by another backend's. Orders never; a cancel
/// only when its backend says that it could not reach what is behind it.
pub(crate) fn repeatable(class: Class, status: StatusCode) -> bool {
    match class {
        Class::PublicRead | Class::PrivateRead => matches!(status.as_u16(), 500 | 502..=504),
        Class::Cancel => matches!(status.as_u16(), 502..=504),
        Class::Order | Class::Stream | Class::Tcp => false,
    }
}

/// What a relayed answer counts as.
pub(crate) fn relayed(status: StatusCode) -> RequestOutcome {
    match status.as_u16() {
        ..=199 => RequestOutcome::Informational,
        200..=399 => RequestOutcome::Success,
        400..=499 => RequestOutcome::ClientError,
        _ => RequestOutcome::ServerError,
    }
}

/// What a client is told when no backend answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) fate: Fate,
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
    pub(crate) outcome: RequestOutcome,
}

/// The answer for a request of `class` of which `sent` is known over all its attempts.
pub(crate) fn unanswered(class: Class, sent: Sent, failure: &Failure) -> Told {
    let writes = class.goes_to_writer();
    if sent == Sent::Nothing {
        let text = match failure {
            Failure::Unplaced => "no backend can take this request now; it was not sent",
            Failure::Short => {
                "this proxy cannot open another connection now; the request was not sent"
            }
            Failure::Attempt(AttemptError {
                step: Step::Hurried,
                ..
            }) => "the client's time was up before it could be sent; the request was not sent",
            Failure::Attempt(_) => "no backend could be reached; the request was not sent",
        };
        let outcome = if writes {
            RequestOutcome::NotSent
        } else {
            RequestOutcome::Unavailable
        };
        return Told {
            fate: Fate::NotSent,
            status: StatusCode::SERVICE_UNAVAILABLE,
            text,
            outcome,
        };
    }
    let step = match failure {
        Failure::Unplaced | Failure::Short => None,
        Failure::Attempt(error) => Some(error.step),
    };
    let (status, text) = match step {
        Some(Step::ClientBody) => (StatusCode::BAD_REQUEST, "the request's body ended early"),
        _ if writes => (
            StatusCode::GATEWAY_TIMEOUT,
            "no answer from the backend; whether the request was executed is unknown",
        ),
        Some(Step::Deadline | Step::Hurried | Step::Left) => (
            StatusCode::GATEWAY_TIMEOUT,
            "no answer from a backend in time",
        ),
        _ => (
            StatusCode::BAD_GATEWAY,
            "the backend broke off before an answer",
        ),
    };
    let outcome = if writes {
        RequestOutcome::Unknown
    } else {
        RequestOutcome::Unavailable
    };
    Told {
        fate: Fate::Unknown,
        status,
        text,
        outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(step: Step, sent: Sent) -> Failure {
        Failure::Attempt(AttemptError {
            step,
            sent,
            detail: String::new(),
        })
    }

    #[test]
    fn four_hundreds_never_speak_against_a_backend_and_are_never_repeated() {
        for code in [400, 401, 403, 408, 409, 418, 429] {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(health(status, &HeaderMap::new()), Outcome::Success);
            assert!(
                Class::ALL.iter().all(|class| !repeatable(*class, status)),
                "{code}"
            );
        }
    }

    #[test]
    fn no_status_makes_an_order_go_elsewhere() {
        for code in 100..1000 {
            let status = StatusCode::from_u16(code).unwrap();
            assert!(!repeatable(Class::Order, status));
        }
    }

    #[test]
    fn an_order_is_unknown_unless_every_attempt_is_proven_not_sent() {
        for step in [
            Step::Connect,
            Step::Tls,
            Step::Stale,
            Step::Reset,
            Step::Deadline,
        ] {
            let told = unanswered(Class::Order, Sent::Maybe, &failed(step, Sent::Nothing));
            assert_eq!((told.status.as_u16(), told.fate), (504, Fate::Unknown));
            let told = unanswered(Class::Order, Sent::Nothing, &failed(step, Sent::Nothing));
            assert_eq!((told.status.as_u16(), told.fate), (503, Fate::NotSent));
        }
        let told = unanswered(Class::Order, Sent::Nothing, &Failure::Unplaced);
        assert_eq!((told.status.as_u16(), told.fate), (503, Fate::NotSent));
    }

    #[test]
    fn gateway_errors_are_told_apart_from_server_errors() {
        let mut headers = HeaderMap::new();
        assert_eq!(
            health(StatusCode::INTERNAL_SERVER_ERROR, &headers),
            Outcome::ServerError
        );
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(health(unavailable, &headers), Outcome::GatewayError);
        headers.insert(RETRY_AFTER, http::HeaderValue::from_static("1"));
        assert_eq!(health(unavailable, &headers), Outcome::Backpressure);
    }
}
