//! Small answers that are held until they are whole: one that is cut can be fetched elsewhere, and an
//! order's client is told that its outcome is unknown instead of half of an answer.
//!
//! Bounded: only answers whose declared length is small. Owns the collecting; whether another attempt
//! follows is decided by the caller.

use crate::body::BodyError;
use crate::headers::prepare_trailers;
use crate::lease::AnswerBody;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Which answers are held, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    /// Bytes at most.
    pub(crate) most: usize,
    /// A body that stands still for so long is cut.
    pub(crate) stall: Duration,
}

/// The whole body of an answer.
pub(crate) struct Whole {
    data: Bytes,
    trailers: Option<Box<HeaderMap>>,
}

impl Hold {
    /// Whether an answer is held: it has a body of a declared length that is small.
    pub(crate) fn wants(self, response: &Response<AnswerBody>) -> bool {
        let body = response.body();
        let has_none = matches!(response.status().as_u16(), 204 | 304);
        !has_none
            && !body.is_end_stream()
            && body
                .size_hint()
                .exact()
                .is_some_and(|length| length <= self.most as u64)
    }

    /// Collects the body.
    ///
    /// # Errors
    /// It broke off, or stood still for too long.
    pub(crate) async fn collect(
        self,
        body: &mut AnswerBody,
        deadline: Option<Instant>,
    ) -> Result<Whole, BodyError> {
        let mut parts = Parts::default();
        let length = body.size_hint().exact().unwrap_or_default();
        let stalled = Instant::now() + self.stall;
        let until = deadline.map_or(stalled, |deadline| deadline.min(stalled));
        // What came with the head needs no timer.
        while !body.is_end_stream() {
            let next = timeout_at(until, poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx))).await;
            match next {
                Err(_) => return Err(BodyError::Stalled),
                Ok(None) => break,
                Ok(Some(frame)) => parts.take(frame?, length as usize),
            }
        }
        Ok(parts.join())
    }
}

/// A body in the making. Most come in one piece, which is passed on as it is.
#[derive(Default)]
struct Parts {
    first: Bytes,
    joined: BytesMut,
    trailers: Option<Box<HeaderMap>>,
}

impl Parts {
    /// `length` is that of the whole body.
    fn take(&mut self, frame: Frame<Bytes>, length: usize) {
        match frame.into_data() {
            Ok(data) if self.first.is_empty() && self.joined.is_empty() => self.first = data,
            Ok(data) => {
                if !self.first.is_empty() {
                    self.joined.reserve(length);
                    self.joined
                        .extend_from_slice(&std::mem::take(&mut self.first));
                }
                self.joined.extend_from_slice(&data);
            }
            Err(frame) => {
                if let Ok(mut trailers) = frame.into_trailers() {
                    prepare_trailers(&mut trailers);
                    self.trailers = Some(Box::new(trailers));
                }
            }
        }
    }

    fn join(self) -> Whole {
        let data = if self.joined.is_empty() {
            self.first
        } else {
            self.joined.freeze()
        };
        Whole {
            data,
            trailers: self.trailers,
        }
    }
}

impl Whole {
    /// The bytes that are left of it.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// The trailers, until they have gone.
    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    /// The next part of it.
    pub(crate) fn next(&mut self) -> Option<Frame<Bytes>> {
        if !self.data.is_empty() {
            return Some(Frame::data(std::mem::take(&mut self.data)));
        }
        let trailers = self.trailers.take()?;
        Some(Frame::trailers(*trailers))
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_over(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }

    /// Bytes that are left of it.
    pub(crate) fn bytes(&self) -> u64 {
        self.data.len() as u64
    }
}
