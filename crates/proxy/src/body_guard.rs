//! Watches over a client's body that came over HTTP/2: one stream of many on its connection.
//!
//! Owns the bounds that `client_io` keeps on an HTTP/1 connection: bytes, time without progress,
//! least rate, trailers. The time that the client waits for leeward (flow control) does not count.
//! Called by `body` for each poll.

use crate::body::BodyError;
use crate::framing::{FramingLimits, Refusal, check_trailers};
use bytes::Bytes;
use http_body::{Body, Frame};
use leeward_config::policy::Limits;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// A poll of a body.
type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

/// The bounds of one body and where it stands.
pub(crate) struct BodyGuard {
    framing: FramingLimits,
    idle: Duration,
    min_rate: u64,
    bytes: u64,
    /// Since when the client owes the next frame.
    waiting_since: Option<Instant>,
    /// How long it made leeward wait, the present wait not counted.
    waited: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    unwanted: bool,
    refused: Option<Refusal>,
}

impl BodyGuard {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            framing: FramingLimits {
                header_bytes: limits.header_bytes,
                header_count: limits.header_count,
                max_body: limits.max_body,
            },
            idle: limits.body_idle,
            min_rate: limits.body_min_rate,
            bytes: 0,
            waiting_since: None,
            waited: Duration::ZERO,
            timer: None,
            unwanted: false,
            refused: None,
        }
    }

    /// Why the body may not pass.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    /// Nobody waits for the rest: the client owes nothing more.
    pub(crate) fn unwanted(&mut self) {
        self.unwanted = true;
    }

    /// What becomes of a poll of `body`.
    pub(crate) fn judge<B: Body>(
        &mut self,
        polled: Polled,
        body: &B,
        cx: &mut Context<'_>,
    ) -> Polled {
        let frame = match polled {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.poll_overdue(cx));
                return self.refuse(Refusal::BodyTimeout);
            }
        };
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        match &frame {
            Some(Ok(frame)) => match self.look_at(frame) {
                Err(refusal) => return self.refuse(refusal),
                Ok(()) if self.left().is_zero() && !self.unwanted => {
                    return self.refuse(Refusal::BodyTimeout);
                }
                Ok(()) => {}
            },
            // hyper takes RST_STREAM with NO_ERROR for the end of a body. It is one that was cut.
            None if !body.is_end_stream() => {
                return Poll::Ready(Some(Err(BodyError::Client)));
            }
            _ => {}
        }
        Poll::Ready(frame)
    }

    fn look_at(&mut self, frame: &Frame<Bytes>) -> Result<(), Refusal> {
        if let Some(trailers) = frame.trailers_ref() {
            return check_trailers(trailers, &self.framing);
        }
        let len = frame.data_ref().map_or(0, Bytes::len);
        self.bytes = self.bytes.saturating_add(len as u64);
        if self.bytes > self.framing.max_body {
            return Err(Refusal::BodyTooLarge);
        }
        Ok(())
    }

    /// Ready when the client has made leeward wait for too long.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.unwanted {
            return Poll::Pending;
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let due = since + self.idle.min(self.left());
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }

    /// The time that the bytes so far may take at the least rate, less what they took.
    fn left(&self) -> Duration {
        match self.bytes.checked_div(self.min_rate) {
            None => Duration::MAX,
            Some(owed) => {
                let allowed = Duration::from_secs(owed.saturating_add(1));
                self.idle.max(allowed).saturating_sub(self.waited)
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Polled {
        self.refused = Some(refusal);
        Poll::Ready(Some(Err(BodyError::Client)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;
    use tokio::time::advance;

    /// A body that says of its end what the test says.
    struct Ends(bool);

    impl Body for Ends {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Polled {
            Poll::Pending
        }

        fn is_end_stream(&self) -> bool {
            self.0
        }
    }

    fn guard() -> BodyGuard {
        BodyGuard::new(&Limits {
            max_body: 10,
            ..Limits::default()
        })
    }

    fn judged(guard: &mut BodyGuard, polled: Polled, ends: bool) -> Polled {
        let mut cx = Context::from_waker(Waker::noop());
        guard.judge(polled, &Ends(ends), &mut cx)
    }

    fn piece(len: usize) -> Polled {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; len])))))
    }

    fn is_cut(polled: &Polled) -> bool {
        matches!(polled, Poll::Ready(Some(Err(BodyError::Client))))
    }

    #[test]
    fn a_body_that_was_reset_without_an_error_has_not_ended() {
        assert!(matches!(
            judged(&mut guard(), Poll::Ready(None), true),
            Poll::Ready(None)
        ));
        assert!(is_cut(&judged(&mut guard(), Poll::Ready(None), false)));
    }

    #[test]
    fn a_body_beyond_its_bound_is_refused() {
        let mut guard = guard();
        assert!(!is_cut(&judged(&mut guard, piece(10), false)));
        assert!(is_cut(&judged(&mut guard, piece(1), false)));
        assert_eq!(guard.refused(), Some(Refusal::BodyTooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_time_that_the_client_makes_leeward_wait_counts() {
        let mut guard = guard();
        assert!(!is_cut(&judged(&mut guard, piece(1), false)));
        // Nobody asked for the next piece meanwhile.
        advance(Duration::from_secs(100)).await;
        assert!(judged(&mut guard, Poll::Pending, false).is_pending());
        advance(Duration::from_secs(29)).await;
        assert!(judged(&mut guard, Poll::Pending, false).is_pending());
        advance(Duration::from_secs(2)).await;
        assert!(is_cut(&judged(&mut guard, Poll::Pending, false)));
        assert_eq!(guard.refused(), Some(Refusal::BodyTimeout));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_nobody_wants_any_more_is_in_no_hurry() {
        let mut guard = guard();
        guard.unwanted();
        assert!(judged(&mut guard, Poll::Pending, false).is_pending());
        advance(Duration::from_secs(1000)).await;
        assert!(judged(&mut guard, Poll::Pending, false).is_pending());
    }
}
