//! Judges what came of a question for health: SERVING passes, everything else fails and says why.
//!
//! Reads bytes of others: bounded, and no panic whatever they are. The fuzzer takes this source by
//! itself (`fuzz/`), so it needs nothing of this crate but what `grpc` knows of codes. Called by the
//! probe.

use crate::grpc;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use leeward_failover::ProbeFailure;
use prost::Message;
use std::fmt::Display;

/// At which step it failed, and in words.
pub(crate) type Failed = (ProbeFailure, String);

/// Before a message: whether it is compressed, and its length.
pub(crate) const PREFIX: usize = 5;
/// Bytes of an answer's message at most; one that says SERVING has two.
const MAX_MESSAGE: usize = 4096;
/// Characters of a backend's own words that are repeated.
const WORDS: usize = 80;
const NOT_FOUND: u32 = 5;
const UNIMPLEMENTED: u32 = 12;

/// Judges an answer to a question about `service`.
pub(crate) async fn check<B>(response: Response<B>, service: &str) -> Result<(), Failed>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let status = response.status();
    if status != StatusCode::OK {
        let detail = format!("status {} instead of an answer of gRPC", status.as_u16());
        return Err((ProbeFailure::Status, detail));
    }
    let (head, body) = response.into_parts();
    if !grpc::is_call(&head.headers) {
        let detail = match head.headers.get(CONTENT_TYPE) {
            Some(found) => format!(
                "the content-type is {:?}, not application/grpc",
                short(found)
            ),
            None => "an answer without a content-type, expected application/grpc".to_owned(),
        };
        return Err((ProbeFailure::Protocol, detail));
    }
    if grpc::code(&head.headers).is_some() {
        // All of it is in the head.
        ended(&head.headers, service)?;
        return Err(protocol(&"grpc-status 0 without a message"));
    }
    let (answer, trailers) = read(body).await?;
    match trailers {
        Some(trailers) => ended(&trailers, service)?,
        None => return Err(protocol(&"the answer ended without a grpc-status")),
    }
    serving(&answer)
}

/// The message of an answer with what is before it, and its trailers.
async fn read<B>(mut body: B) -> Result<(BytesMut, Option<HeaderMap>), Failed>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let mut answer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let detail = format!("the answer was cut: {error}");
            (ProbeFailure::Reset, detail)
        })?;
        match frame.into_data() {
            Ok(data) => {
                answer.extend_from_slice(&data);
                if announced(&answer).is_some_and(|length| length > MAX_MESSAGE)
                    || answer.len() > PREFIX + MAX_MESSAGE
                {
                    let detail = format!("a message larger than {MAX_MESSAGE} bytes");
                    return Err((ProbeFailure::Protocol, detail));
                }
            }
            Err(frame) => return Ok((answer, frame.into_trailers().ok())),
        }
    }
    Ok((answer, None))
}

/// The length of the message that comes.
fn announced(answer: &[u8]) -> Option<usize> {
    let &[_, a, b, c, d, ..] = answer else {
        return None;
    };
    usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()
}

/// Whether the call itself went well.
fn ended(fields: &HeaderMap, service: &str) -> Result<(), Failed> {
    let code = match grpc::code(fields) {
        Some(Ok(0)) => return Ok(()),
        Some(Ok(code)) => code,
        Some(Err(())) => {
            let found = fields.get(grpc::STATUS).map(short).unwrap_or_default();
            return Err(protocol(&format_args!(
                "grpc-status is {found:?}, no number"
            )));
        }
        None => return Err(protocol(&"trailers without a grpc-status")),
    };
    let words = fields.get(grpc::MESSAGE).map(short).unwrap_or_default();
    let mut detail = format!("grpc-status {code} {}", grpc::name(code));
    match code {
        NOT_FOUND => detail.push_str(&format!(": nothing is known of service {service:?}")),
        UNIMPLEMENTED => detail.push_str(": no service grpc.health.v1.Health there"),
        _ => {}
    }
    if !words.is_empty() {
        detail.push_str(&format!(": {words}"));
    }
    Err((ProbeFailure::Status, detail))
}

/// Whether the message is one, and says SERVING.
fn serving(answer: &[u8]) -> Result<(), Failed> {
    let (Some(length), Some(message)) = (announced(answer), answer.get(PREFIX..)) else {
        return Err(protocol(&format_args!(
            "grpc-status 0 with {} bytes, which is no message",
            answer.len()
        )));
    };
    if answer.first() != Some(&0) {
        return Err(protocol(&"a compressed message, which nobody asked for"));
    }
    if message.len() < length {
        let came = message.len();
        return Err(protocol(&format_args!(
            "a message cut short: {came} of {length} bytes"
        )));
    }
    if message.len() > length {
        return Err(protocol(&"more than one message"));
    }
    // `HealthCheckResponse` has one field, a number of number 1: on the wire it is what `Int32Value` is.
    let status = i32::decode(message)
        .map_err(|error| protocol(&format_args!("no HealthCheckResponse: {error}")))?;
    let name = match status {
        1 => return Ok(()),
        0 => "UNKNOWN",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => {
            let detail = format!("serving status {status}, expected SERVING");
            return Err((ProbeFailure::Content, detail));
        }
    };
    Err((ProbeFailure::Content, format!("{name}, expected SERVING")))
}

pub(crate) fn protocol(detail: &dyn Display) -> Failed {
    (ProbeFailure::Protocol, detail.to_string())
}

/// A backend's own words, as many as are of use.
fn short(value: &HeaderValue) -> String {
    let text = value.as_bytes().escape_ascii().to_string();
    text.chars().take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderName;
    use http_body::Frame;
    use proptest::prelude::*;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    const CALL: (&str, &str) = ("content-type", "application/grpc");
    const OK: &[(&str, &str)] = &[("grpc-status", "0")];
    const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

    /// What comes after the head, all of it at once.
    struct Frames(Vec<Result<Frame<Bytes>, &'static str>>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            let next = (!self.0.is_empty()).then(|| self.0.remove(0));
            Poll::Ready(next)
        }
    }

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        pairs.collect()
    }

    fn judged_of(status: u16, fields: &[(&str, &str)], frames: Frames) -> Result<(), Failed> {
        let mut response = Response::new(frames);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        *response.headers_mut() = map(fields);
        let check = std::pin::pin!(check(response, "a.B"));
        match check.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("all of it is there"),
        }
    }

    /// What an answer of gRPC with these pieces and trailers comes to.
    fn judged(pieces: &[&[u8]], trailers: &[(&str, &str)]) -> Result<(), Failed> {
        let data = pieces
            .iter()
            .map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
        let end = (!trailers.is_empty()).then(|| Frame::trailers(map(trailers)));
        judged_of(200, &[CALL], Frames(data.chain(end).map(Ok).collect()))
    }

    #[track_caller]
    fn fails(result: Result<(), Failed>, cause: ProbeFailure, words: &str) {
        let (found, detail) = result.unwrap_err();
        assert_eq!((found, detail.as_str()), (cause, words));
    }

    #[test]
    fn serving_passes_however_it_comes_in_pieces() {
        assert_eq!(judged(&[SERVING], OK), Ok(()));
        let bytes: Vec<&[u8]> = SERVING.chunks(1).collect();
        assert_eq!(judged(&bytes, OK), Ok(()));
        // A field that a later version may have.
        assert_eq!(judged(&[&[0, 0, 0, 0, 5, 18, 1, 65, 8, 1]], OK), Ok(()));
    }

    #[test]
    fn anything_but_serving_fails_by_its_name() {
        let says = |status: u8| judged(&[&[0, 0, 0, 0, 2, 8, status]], OK);
        let content = ProbeFailure::Content;
        fails(says(0), content, "UNKNOWN, expected SERVING");
        fails(says(2), content, "NOT_SERVING, expected SERVING");
        fails(says(3), content, "SERVICE_UNKNOWN, expected SERVING");
        fails(says(9), content, "serving status 9, expected SERVING");
        // UNKNOWN is what is not written.
        fails(judged(&[&[0; 5]], OK), content, "UNKNOWN, expected SERVING");
    }

    #[test]
    fn a_call_that_failed_says_with_which_code() {
        let status = ProbeFailure::Status;
        let words = "grpc-status 12 UNIMPLEMENTED: no service grpc.health.v1.Health there";
        let in_head = judged_of(200, &[CALL, ("grpc-status", "12")], Frames(Vec::new()));
        fails(in_head, status, words);
        fails(judged(&[], &[("grpc-status", "12")]), status, words);
        let words = "grpc-status 5 NOT_FOUND: nothing is known of service \"a.B\": unknown";
        let trailers = [("grpc-status", "5"), ("grpc-message", "unknown")];
        fails(judged(&[], &trailers), status, words);
        let long = "x".repeat(5000);
        let trailers = [("grpc-status", "14"), ("grpc-message", long.as_str())];
        let detail = judged(&[SERVING], &trailers).unwrap_err().1;
        assert!(detail.starts_with("grpc-status 14 UNAVAILABLE: xxx") && detail.len() < 120);
        let page = Frames(vec![Ok(Frame::data(Bytes::from_static(b"<html>")))]);
        let words = "status 502 instead of an answer of gRPC";
        fails(
            judged_of(502, &[("content-type", "text/html")], page),
            status,
            words,
        );
    }

    #[test]
    fn what_is_no_answer_of_grpc_is_told_apart() {
        let protocol = ProbeFailure::Protocol;
        let none = || Frames(Vec::new());
        let words = "the content-type is \"text/html\", not application/grpc";
        fails(
            judged_of(200, &[("content-type", "text/html")], none()),
            protocol,
            words,
        );
        let words = "an answer without a content-type, expected application/grpc";
        fails(judged_of(200, &[], none()), protocol, words);
        let words = "grpc-status 0 without a message";
        let in_head = judged_of(200, &[CALL, ("grpc-status", "0")], none());
        fails(in_head, protocol, words);
        let words = "the answer ended without a grpc-status";
        fails(judged(&[SERVING], &[]), protocol, words);
        let words = "trailers without a grpc-status";
        fails(judged(&[SERVING], &[("x", "1")]), protocol, words);
        let words = "grpc-status is \"fine\", no number";
        fails(
            judged(&[SERVING], &[("grpc-status", "fine")]),
            protocol,
            words,
        );
    }

    #[test]
    fn a_message_that_is_cut_huge_or_compressed_fails() {
        let protocol = ProbeFailure::Protocol;
        let cut = Frames(vec![
            Ok(Frame::data(Bytes::from_static(&SERVING[..6]))),
            Err("stream reset"),
        ]);
        let words = "the answer was cut: stream reset";
        fails(judged_of(200, &[CALL], cut), ProbeFailure::Reset, words);
        let words = "a message cut short: 1 of 2 bytes";
        fails(judged(&[&SERVING[..6]], OK), protocol, words);
        let words = "grpc-status 0 with 4 bytes, which is no message";
        fails(judged(&[&SERVING[..4]], OK), protocol, words);
        fails(
            judged(&[SERVING, SERVING], OK),
            protocol,
            "more than one message",
        );
        let words = "a message larger than 4096 bytes";
        fails(judged(&[&[0, 255, 255, 255, 255]], OK), protocol, words);
        fails(
            judged(&[&[0; PREFIX], &[0; MAX_MESSAGE + 1]], OK),
            protocol,
            words,
        );
        let words = "a compressed message, which nobody asked for";
        fails(judged(&[&[1, 0, 0, 0, 2, 8, 1]], OK), protocol, words);
        let detail = judged(&[&[0, 0, 0, 0, 1, 8]], OK).unwrap_err().1;
        assert!(detail.starts_with("no HealthCheckResponse: "), "{detail}");
    }

    proptest! {
        #[test]
        fn whatever_comes_passes_only_where_it_says_serving(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            framed in any::<bool>(),
        ) {
            let mut answer = Vec::new();
            if framed {
                answer.extend_from_slice(&[0, 0, 0, 0, bytes.len() as u8]);
            }
            answer.extend_from_slice(&bytes);
            let passed = judged(&[&answer], OK).is_ok();
            let says = answer.get(PREFIX..).map(i32::decode);
            prop_assert!(!passed || matches!(says, Some(Ok(1))));
        }
    }
}
