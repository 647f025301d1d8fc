//! Bodies on their way through: what a client sends, and what it gets.
//!
//! [`RequestBody`] streams a client's body to one attempt and keeps a bounded part, so that another
//! attempt can send it again. What a client gets is [`ResponseBody`]: leeward's own words, a backend's
//! body that is whole, or one under an [`crate::relay::Relay`].

use crate::body_guard::BodyGuard;
use crate::framing::Refusal;
use crate::relay::Relay;
use crate::whole::Whole;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Sleep;

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The client's connection broke, or its framing.
    Client,
    /// More was sent than is kept, so it cannot be sent again.
    NotKept,
    /// The backend's connection broke, or its framing.
    Backend,
    /// The backend sent nothing for too long.
    Stalled,
    /// The backend is left.
    Left,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyError::Client => "the client's body ended early",
            BodyError::NotKept => "the body is too large to be sent again",
            BodyError::Backend => "the backend's body ended early",
            BodyError::Left => "the backend is left, by its verdict or an operator's word",
            BodyError::Stalled => "the backend's body stood still for too long",
        })
    }
}

impl std::error::Error for BodyError {}

/// A client's body, shared by the attempts of one request.
pub(crate) struct Source {
    incoming: Incoming,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    keep: usize,
    /// More came than is kept: what was kept is gone.
    spilled: bool,
    trailers: Option<HeaderMap>,
    ended: bool,
    failed: bool,
    guard: Option<BodyGuard>,
    received: u64,
}

/// A client's body as one request sees it; `None` inside when there is none.
#[derive(Clone)]
pub(crate) struct ClientBody(Option<Rc<RefCell<Source>>>);

impl ClientBody {
    /// `keep` bytes at most are kept for another attempt. With a `guard` it is a body of HTTP/2.
    pub(crate) fn new(incoming: Incoming, keep: usize, guard: Option<BodyGuard>) -> Self {
        if incoming.is_end_stream() {
            return Self(None);
        }
        Self(Some(Rc::new(RefCell::new(Source {
            incoming,
            kept: Vec::new(),
            kept_bytes: 0,
            keep,
            spilled: false,
            trailers: None,
            ended: false,
            failed: false,
            guard,
            received: 0,
        }))))
    }

    /// Whether there is one at all.
    pub(crate) fn exists(&self) -> bool {
        self.0.is_some()
    }

    /// Nobody waits for the rest of it: the client owes nothing more.
    pub(crate) fn unwanted(&self) {
        if let Some(source) = &self.0
            && let Some(guard) = &mut source.borrow_mut().guard
        {
            guard.unwanted();
        }
    }

    /// Why it may not pass, where its guard has found it to be such a one.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.0.as_ref()?.borrow().guard.as_ref()?.refused()
    }

    /// The body for one more attempt, from its first byte. The attempt before must have ended.
    pub(crate) fn attempt(&self, gate: Option<Gate>) -> RequestBody {
        RequestBody {
            source: self.0.clone(),
            at: 0,
            gate: gate.map(Box::new),
        }
    }

    /// Whether another attempt can have all of it.
    pub(crate) fn replayable(&self) -> bool {
        self.0.as_ref().is_none_or(|source| {
            let source = source.borrow();
            !source.spilled && !source.failed
        })
    }

    /// Whether all of it came from the client.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.as_ref().is_none_or(|source| source.borrow().ended)
    }

    /// How many bytes of it came from the client, trailers not counted.
    pub(crate) fn received(&self) -> u64 {
        let source = self.0.as_ref().and_then(|source| source.try_borrow().ok());
        source.map_or(0, |source| source.received)
    }

    /// Whether the client broke it off.
    pub(crate) fn failed(&self) -> bool {
        self.0.as_ref().is_some_and(|source| source.borrow().failed)
    }
}

impl Source {
    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        let mut polled =
            polled.map(|frame| frame.map(|frame| frame.map_err(|_| BodyError::Client)));
        if let Some(guard) = &mut self.guard {
            polled = guard.judge(polled, &self.incoming, cx);
        }
        let frame = match std::task::ready!(polled) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.failed = true;
                return Poll::Ready(Some(Err(error)));
            }
            None => {
                self.ended = true;
                return Poll::Ready(None);
            }
        };
        if let Some(data) = frame.data_ref() {
            self.received += data.len() as u64;
            if !self.spilled && self.kept_bytes + data.len() <= self.keep {
                self.kept_bytes += data.len();
                self.kept.push(data.clone());
            } else {
                self.spilled = true;
                self.kept = Vec::new();
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
        if self.incoming.is_end_stream() {
            self.ended = true;
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

/// A client's body as one attempt sends it.
pub(crate) struct RequestBody {
    source: Option<Rc<RefCell<Source>>>,
    /// Kept chunks that this attempt has sent; `usize::MAX` once its trailers went.
    at: usize,
    gate: Option<Box<Gate>>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(gate) = &mut self.gate {
            std::task::ready!(gate.poll_open(cx));
            self.gate = None;
        }
        let Some(source) = self.source.clone() else {
            return Poll::Ready(None);
        };
        let mut source = source.borrow_mut();
        if let Some(chunk) = source.kept.get(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        if source.spilled && self.at == 0 {
            return Poll::Ready(Some(Err(BodyError::NotKept)));
        }
        if source.ended {
            let trailers = if self.at == usize::MAX {
                None
            } else {
                source.trailers.clone()
            };
            self.at = usize::MAX;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let frame = std::task::ready!(source.poll_incoming(cx));
        match &frame {
            Some(Ok(frame)) if frame.is_trailers() => self.at = usize::MAX,
            _ => self.at = self.at.saturating_add(1),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }
}

/// Holds a body back until the backend says `100 Continue`, or has been silent for so long that it
/// probably never will (RFC 9110 section 10.1.1).
pub(crate) struct Gate {
    signal: Continue,
    patience: Pin<Box<Sleep>>,
}

/// The other side of a [`Gate`].
#[derive(Clone, Default)]
pub(crate) struct Continue(Arc<Mutex<(bool, Option<Waker>)>>);

/// As long as curl waits.
const PATIENCE: Duration = Duration::from_secs(1);

impl Gate {
    pub(crate) fn new(signal: Continue) -> Self {
        Self {
            signal,
            patience: Box::pin(tokio::time::sleep(PATIENCE)),
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.signal.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        self.patience.as_mut().poll(cx)
    }
}

impl Continue {
    /// The backend said `100 Continue`.
    pub(crate) fn open(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }
}

/// What a client gets as a body.
pub(crate) enum ResponseBody {
    /// Nothing.
    Empty,
    /// leeward's own words.
    Text(Bytes),
    /// A backend's body that was held until it was whole.
    Whole(Whole),
    /// A backend's body on its way.
    Relay(Box<Relay>),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            ResponseBody::Empty => Poll::Ready(None),
            ResponseBody::Text(text) => {
                let text = std::mem::take(text);
                let frame = (!text.is_empty()).then(|| Ok(Frame::data(text)));
                Poll::Ready(frame)
            }
            ResponseBody::Whole(whole) => Poll::Ready(whole.next().map(Ok)),
            ResponseBody::Relay(relay) => relay.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Empty => true,
            ResponseBody::Text(text) => text.is_empty(),
            ResponseBody::Whole(whole) => whole.is_over(),
            ResponseBody::Relay(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Empty => SizeHint::with_exact(0),
            ResponseBody::Text(text) => SizeHint::with_exact(text.len() as u64),
            ResponseBody::Whole(whole) => SizeHint::with_exact(whole.bytes()),
            ResponseBody::Relay(relay) => relay.size_hint(),
        }
    }
}
