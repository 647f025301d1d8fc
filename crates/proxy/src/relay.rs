//! A backend's body on its way to the client, under guard.
//!
//! Watches that it goes on and that it ends where it said it would, and ends a long one whose
//! endpoint is left. Its end settles the exchange:
//! the connection goes back, the outcome is tallied. A body cut short is an error to hyper, which
//! then cuts the client's connection: half an order book never looks like a whole one. A call of gRPC
//! ends with trailers that say so instead.

use crate::access_log::Flag;
use crate::admit::Permit;
use crate::body::{BodyError, ClientBody, ResponseBody};
use crate::classify;
use crate::exchange::{Exchange, Head};
use crate::grpc;
use crate::headers::prepare_trailers;
use crate::lease::{AnswerBody, Lease};
use crate::leaving;
use crate::respond;
use crate::tunnel::Tunnel;
use crate::upstream_h1::Upgraded;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use leeward_failover::{Class, Leaving, Outcome};
use leeward_metrics::RequestOutcome;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// A backend's body, and everything that its end settles.
pub(crate) struct Relay {
    incoming: AnswerBody,
    settle: Option<Settle>,
    ends: Ends,
    stall: Option<Pin<Box<Sleep>>>,
    progressed: bool,
    /// Ready when it has to end because its endpoint is left; made once it has lasted for long.
    must_end: Option<Pin<Box<dyn Future<Output = Leaving>>>>,
}

/// How an answer ends.
struct Ends {
    /// One that stands still for so long is cut; a stream never is.
    stall_after: Option<Duration>,
    /// It is one of gRPC, to a client that takes it for one: where it breaks off, its trailers say so.
    call: bool,
    /// It owes a `grpc-status`.
    owes_status: bool,
    /// It broke off, and its trailers have gone.
    told: bool,
}

impl Ends {
    /// Of an answer with these fields.
    fn of(fields: &HeaderMap, exchange: &Exchange) -> Self {
        let call = exchange.call && grpc::is_call(fields);
        let idle = exchange.held.serving.policy.limits.body_idle;
        Self {
            stall_after: (exchange.class != Class::Stream).then_some(idle),
            call,
            owes_status: call && grpc::code(fields).is_none(),
            told: false,
        }
    }
}

/// An answer that lasts for longer is ended when its endpoint is left; a shorter one ends by itself,
/// or stands still.
const LONG: Duration = Duration::from_secs(2);

/// What the end of an answer settles.
pub(crate) struct Settle {
    pub(crate) lease: Lease,
    pub(crate) client_body: ClientBody,
    pub(crate) exchange: Exchange,
    /// What a whole answer is to the client.
    pub(crate) outcome: RequestOutcome,
    /// What a whole answer says of the endpoint, and the time to its head; `None` when that has
    /// been tallied.
    pub(crate) tally: Option<(Outcome, Head)>,
    /// Its room at the site; dropped with the rest at the end.
    pub(crate) permit: Option<Permit>,
}

impl Relay {
    /// The body of an answer with these fields.
    pub(crate) fn new(incoming: AnswerBody, settle: Settle, fields: &HeaderMap) -> Self {
        Self {
            incoming,
            ends: Ends::of(fields, &settle.exchange),
            settle: Some(settle),
            stall: None,
            progressed: false,
            must_end: None,
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ends.told {
            return Poll::Ready(None);
        }
        if let Poll::Ready(why) = self.poll_left(cx) {
            return Poll::Ready(Some(self.left(why)));
        }
        let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if self.poll_stalled(cx).is_ready() {
                    let stalled = self.cut_short(Flag::Stalled, BodyError::Stalled);
                    return Poll::Ready(Some(stalled));
                }
                // It may have become a long one just now.
                let why = ready!(self.poll_left(cx));
                return Poll::Ready(Some(self.left(why)));
            }
        };
        self.progressed = true;
        match frame {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    self.say(trailers);
                    prepare_trailers(trailers);
                } else if let (Some(data), Some(settle)) = (frame.data_ref(), &self.settle) {
                    let sent = data.len();
                    settle.exchange.log(|account| account.count_sent(sent));
                }
                if self.incoming.is_end_stream() {
                    self.ended();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(_)) => {
                let cut = self.cut_short(Flag::BackendCut, BodyError::Backend);
                Poll::Ready(Some(cut))
            }
            None => {
                self.ended();
                Poll::Ready(None)
            }
        }
    }

    /// Ready when nothing came for `stall_after`. The timer is armed once and pushed on only when
    /// it fires, so that a body in flow costs none. When it fires first, the answer is a long one.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let after = self.ends.stall_after;
        let first = after.map_or(LONG, |after| after.min(LONG));
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(first)));
        loop {
            ready!(stall.as_mut().poll(cx));
            let newly_long = self.must_end.is_none();
            if newly_long && let Some(settle) = &self.settle {
                let endless = self.incoming.size_hint().exact().is_none();
                self.must_end = Some(settle.must_end(endless));
            }
            let Some(after) = after else {
                return Poll::Pending;
            };
            if newly_long && after > LONG {
                stall.as_mut().reset(Instant::now() + (after - LONG));
                continue;
            }
            if !std::mem::take(&mut self.progressed) {
                return Poll::Ready(());
            }
            stall.as_mut().reset(Instant::now() + after);
        }
    }

    /// Ready when it has to end because its endpoint is left.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Leaving> {
        match &mut self.must_end {
            Some(must_end) if self.settle.is_some() => must_end.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }

    fn left(&mut self, why: Leaving) -> Result<Frame<Bytes>, BodyError> {
        let told = self.break_off(BodyError::Left);
        if let Some(settle) = self.settle.take() {
            settle.left(why);
        }
        told
    }

    fn ended(&mut self) {
        if let Some(mut settle) = self.settle.take() {
            if self.ends.owes_status {
                settle.lacks_its_end();
            }
            settle.whole(std::time::Instant::now());
        }
    }

    fn cut_short(&mut self, why: Flag, error: BodyError) -> Result<Frame<Bytes>, BodyError> {
        let told = self.break_off(error);
        if let Some(settle) = self.settle.take() {
            settle.cut_short(why);
        }
        told
    }

    /// How the client learns that its answer ends here.
    fn break_off(&mut self, error: BodyError) -> Result<Frame<Bytes>, BodyError> {
        if !self.ends.call {
            return Err(error);
        }
        self.ends.told = true;
        let writes = self.settle.as_ref().is_some_and(Settle::writes);
        let trailers = grpc::broken_off(writes, &error.to_string());
        if let Some(settle) = &self.settle {
            settle.exchange.log(|account| account.carries(&trailers));
        }
        Ok(Frame::trailers(trailers))
    }

    /// Takes note of what trailers say of the call that they end.
    fn say(&mut self, trailers: &HeaderMap) {
        if let Some(status) = grpc::means(trailers) {
            self.ends.owes_status = false;
            if let Some(settle) = &mut self.settle {
                settle.exchange.log(|account| account.carries(trailers));
                settle.say(status, trailers);
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.ends.told || self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Relay {
    /// The client went away before the end: the backend did nothing wrong.
    fn drop(&mut self) {
        if let Some(settle) = self.settle.take() {
            settle.tally();
        }
    }
}

impl Settle {
    /// The whole answer came.
    pub(crate) fn whole(self, now: std::time::Instant) {
        self.tally();
        self.exchange.end_at(self.outcome, now);
        self.lease.give_back(&self.client_body, now);
    }

    /// The backend switched protocols: its connection is the tunnel's from now on.
    pub(crate) fn into_tunnel(self, stream: oneshot::Receiver<Upgraded>) {
        let conn = self.exchange.conn.clone();
        conn.tunnel.set(Some(Tunnel {
            stream,
            settle: self,
        }));
    }

    /// The account of a connection that has become a tunnel.
    pub(crate) fn into_exchange(self) -> Exchange {
        self.tally();
        // A stream has room to its head: it may stay for days.
        drop(self.permit);
        self.lease.release();
        self.exchange
    }

    /// The backend switched protocols though nobody had asked it to (RFC 9110 section 15.2.2).
    pub(crate) fn refuse_switch(self) -> Response<ResponseBody> {
        if let Some((_, head)) = self.tally {
            self.exchange
                .note(self.lease.upstream(), Outcome::Reset, head);
        }
        let status = StatusCode::BAD_GATEWAY;
        let text = "the backend switched protocols without being asked";
        self.exchange
            .end_with(RequestOutcome::Unavailable, status, text);
        respond::unanswered(respond::Fate::Unknown, status, text, 0)
    }

    /// Ready when a long answer has to end. One to an order never has to: cutting it short would take
    /// from the client what became of the order.
    fn must_end(&self, endless: bool) -> Pin<Box<dyn Future<Output = Leaving>>> {
        let Exchange { worker, class, .. } = &self.exchange;
        if class.goes_to_writer() {
            return Box::pin(std::future::pending());
        }
        let upstream = self.lease.upstream();
        let window = self.exchange.drain_window(upstream);
        Box::pin(leaving::must_end(worker, &upstream.io, window, endless))
    }

    /// The trailers of a call say what its head, which said 200, could not.
    fn say(&mut self, status: StatusCode, trailers: &HeaderMap) {
        if self.outcome != RequestOutcome::Success {
            return;
        }
        self.outcome = classify::relayed(status);
        if let Some((outcome, head)) = &mut self.tally
            && *outcome == Outcome::Success
        {
            *outcome = classify::health(status, trailers);
            if let Some(permit) = &self.permit
                && *outcome == Outcome::Backpressure
            {
                permit.head(*outcome, head.latency);
            }
        }
    }

    /// A call ended without a word on how it went: half an answer.
    fn lacks_its_end(&mut self) {
        self.outcome = RequestOutcome::Truncated;
        if let Some((outcome, _)) = &mut self.tally {
            *outcome = Outcome::Truncated;
        }
    }

    /// Whether what became of the request matters more than that its answer is gone.
    fn writes(&self) -> bool {
        self.exchange.class.goes_to_writer()
    }

    /// The endpoint is left: the answer ends here, and says nothing of it.
    fn left(self, why: Leaving) {
        self.exchange.count_ended(self.lease.upstream(), why);
        self.exchange.cut_client();
        self.exchange.end(RequestOutcome::Truncated);
    }

    fn cut_short(self, why: Flag) {
        self.exchange.log(|account| account.flag(why));
        if let Some((_, head)) = self.tally {
            self.exchange
                .note(self.lease.upstream(), Outcome::Truncated, head);
        }
        self.exchange.cut_client();
        self.exchange.end(RequestOutcome::Truncated);
    }

    fn tally(&self) {
        if let Some((outcome, head)) = self.tally {
            self.exchange.note(self.lease.upstream(), outcome, head);
        }
    }
}
