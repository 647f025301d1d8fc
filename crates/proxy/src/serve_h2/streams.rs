//! The streams of one client connection: how many live, which stand still, how many were given up.
//!
//! Owns the tasks that hyper starts, one a stream. A stream whose client opens no window for what
//! it asked for is reset after `limits.write_stall`; a connection that resets most of what it asks
//! for is given up. Called by hyper as its executor.

use crate::body::{BodyError, ResponseBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Requests that a client may reset before their answer, where they are most of its requests.
const MAX_GIVEN_UP: u64 = 500;

/// The streams of one connection.
#[derive(Clone)]
pub(super) struct Streams(Rc<State>);

struct State {
    live: Cell<u32>,
    quiet_since: Cell<Instant>,
    asked: Cell<u64>,
    given_up: Cell<u64>,
    /// The stream that the service was just called for; its task comes next.
    announced: RefCell<Option<Rc<StreamWatch>>>,
    stall: Duration,
}

impl Streams {
    /// None yet. `stall` is how long a client may leave its answer waiting.
    pub(super) fn new(stall: Duration) -> Self {
        Self(Rc::new(State {
            live: Cell::default(),
            quiet_since: Cell::new(Instant::now()),
            asked: Cell::default(),
            given_up: Cell::default(),
            announced: RefCell::default(),
            stall,
        }))
    }

    /// Since when there has been none; `None` while there are.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        (self.0.live.get() == 0).then(|| self.0.quiet_since.get())
    }

    /// Whether the client resets most of what it asks for, and asks for much.
    pub(super) fn flooded(&self) -> bool {
        let (asked, given_up) = (self.0.asked.get(), self.0.given_up.get());
        given_up >= MAX_GIVEN_UP && given_up * 2 > asked
    }

    /// A stream has come: hyper starts its task right after the service returns.
    pub(super) fn announce(&self) -> Rc<StreamWatch> {
        let watch = Rc::<StreamWatch>::default();
        self.0.asked.set(self.0.asked.get() + 1);
        *self.0.announced.borrow_mut() = Some(watch.clone());
        watch
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let watch = self.0.announced.borrow_mut().take().unwrap_or_default();
        let live = Live::new(self.0.clone(), watch.clone());
        let stall = self.0.stall;
        // Boxed: a task's future is copied six times until it runs and when it has ended.
        let stream = Box::pin(stream);
        tokio::task::spawn_local(async move {
            let _live = live;
            watch.guard(stream, stall).await;
        });
    }
}

/// Counts a stream for as long as it lives.
struct Live(Rc<State>, Rc<StreamWatch>);

impl Live {
    fn new(state: Rc<State>, watch: Rc<StreamWatch>) -> Self {
        state.live.set(state.live.get() + 1);
        Self(state, watch)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let Self(state, watch) = self;
        state.live.set(state.live.get().saturating_sub(1));
        state.quiet_since.set(Instant::now());
        if !watch.answered.get() {
            state.given_up.set(state.given_up.get() + 1);
        }
    }
}

/// What is known of one stream.
#[derive(Default)]
pub(super) struct StreamWatch {
    answered: Cell<bool>,
    /// Since when a piece of the answer waits for the client's window.
    waiting_since: Cell<Option<Instant>>,
}

impl StreamWatch {
    /// The service has answered.
    pub(super) fn answered(&self) {
        self.answered.set(true);
    }

    /// Runs a stream to its end, or drops it when its client leaves it waiting: hyper then resets
    /// it.
    async fn guard(&self, stream: impl Future<Output = ()>, stall: Duration) {
        let mut stream = std::pin::pin!(stream);
        let mut timer: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|cx| {
            if stream.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let Some(since) = self.waiting_since.get() else {
                return Poll::Pending;
            };
            let due = since + stall;
            let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            // Pushed on only when it fires, so that a body in flow costs no timer a piece.
            while timer.as_mut().poll(cx).is_ready() {
                if due <= Instant::now() {
                    return Poll::Ready(());
                }
                timer.as_mut().reset(due);
            }
            Poll::Pending
        })
        .await;
    }
}

/// Bytes that the `h2` crate gets at a time. It takes a piece as soon as its first byte may go, so
/// that much of an answer may wait in there without a sign of it.
const PIECE: usize = 16 * 1024;

/// The body of an answer; hyper asks for the next piece once the one before has found room.
pub(super) struct Watched {
    body: ResponseBody,
    /// What is left of a frame that was larger than a piece.
    rest: Bytes,
    watch: Rc<StreamWatch>,
}

impl Watched {
    pub(super) fn new(body: ResponseBody, watch: Rc<StreamWatch>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            watch,
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.watch.waiting_since.set(None);
        if self.rest.is_empty() {
            let polled = Pin::new(&mut self.body).poll_frame(cx);
            let Poll::Ready(Some(Ok(frame))) = polled else {
                return polled;
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        self.watch.waiting_since.set(Some(Instant::now()));
        let len = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
