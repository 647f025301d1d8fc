//! The reader of a gRPC health probe against whatever a backend answers.
//!
//! What must hold: no panic; what it finds does not depend on how the message was cut into frames;
//! nothing passes but a whole message of a call that ended well; and what it says of the rest is a short
//! line without control characters, since it goes into the journal and the log.
//!
//! The first byte of an input says what comes beside the message, the second how that is cut, the third
//! how long the value of `grpc-status` is, which follows; the rest is the message. Run by the fuzzer,
//! and over its corpus by the ordinary tests.

use super::answer;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame};
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// Characters of what is said of an answer at most.
const LONGEST: usize = 400;

/// What must hold of any answer; whether it passed.
pub(crate) fn check(data: &[u8]) -> bool {
    let Some((&[how, cut, length], rest)) = data.split_first_chunk::<3>() else {
        return false;
    };
    let (value, message) = rest.split_at(rest.len().min(usize::from(length)));
    let Ok(status) = HeaderValue::from_bytes(value) else {
        return false;
    };
    let whole = judged(how, &status, message, message.len().max(1));
    let size = usize::from(cut % 16) + 1;
    let pieces = judged(how, &status, message, size);
    assert_eq!(whole, pieces, "cutting changes what is found");
    match whole {
        Ok(()) => {
            let zero = !value.is_empty() && value.iter().all(|digit| *digit == b'0');
            assert!(zero, "a call that ended with {status:?} passes");
            let Some((&[compressed, a, b, c, d], says)) = message.split_first_chunk::<5>() else {
                panic!("{} bytes pass for a message", message.len());
            };
            assert_eq!(compressed, 0);
            assert_eq!(u32::from_be_bytes([a, b, c, d]) as usize, says.len());
            // SERVING is no default: it has to be written.
            assert!(says.len() >= 2);
            true
        }
        Err((_, detail)) => {
            assert!(detail.chars().count() <= LONGEST, "{detail}");
            assert!(
                !detail.is_empty() && !detail.contains(char::is_control),
                "{detail:?}"
            );
            false
        }
    }
}

/// What is found of a message that comes in pieces of this size.
fn judged(
    how: u8,
    status: &HeaderValue,
    message: &[u8],
    size: usize,
) -> Result<(), answer::Failed> {
    let has = |bit: u8| how & bit != 0;
    let of_grpc = HeaderValue::from_static("application/grpc+proto");
    let data = message.chunks(size).map(Bytes::copy_from_slice);
    let mut frames: VecDeque<_> = data.map(Frame::data).map(Ok).collect();
    if has(2) {
        frames.push_back(Err("stream reset"));
    }
    if !has(4) {
        let trailers =
            HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), status.clone())]);
        frames.push_back(Ok(Frame::trailers(trailers)));
    }
    let mut response = Response::new(Frames(frames));
    if has(8) {
        *response.status_mut() = StatusCode::BAD_GATEWAY;
    }
    let kind = if has(16) { status.clone() } else { of_grpc };
    response.headers_mut().insert("content-type", kind);
    if has(32) {
        response.headers_mut().insert("grpc-status", status.clone());
        response
            .headers_mut()
            .insert("grpc-message", status.clone());
    }
    let judging = pin!(answer::check(response, "exchange.v1.Orders"));
    match judging.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(found) => found,
        Poll::Pending => panic!("all of it is there"),
    }
}

/// What comes after the head, all of it at once.
struct Frames(VecDeque<Result<Frame<Bytes>, &'static str>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(self.0.pop_front())
    }
}
