//! What an attempt is lent: a connection of its own, or a stream of a shared one.
//!
//! Owns the difference between the two, so that `attempt` and `relay` need not know it. Made by
//! `upstream`.

use crate::body::{BodyError, ClientBody, RequestBody};
use crate::framing::Names;
use crate::upstream::{Busy, Upstream};
use crate::upstream_h1::{Connection, Upgraded};
use crate::upstream_h2::{H2Answer, StreamEnd, StreamFailed, Ticket};
use crate::upstream_io::Wire;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::oneshot;

/// One connection, or one stream of a shared one, lent to one attempt.
pub(crate) struct Lease {
    lent: Lent,
    reused: bool,
    busy: Busy,
}

pub(crate) enum Lent {
    Connection(Connection),
    Stream(Ticket),
    /// It has been given back or given up.
    Nothing,
}

impl Lease {
    pub(crate) fn new(lent: Lent, reused: bool, busy: Busy) -> Self {
        Self { lent, reused, busy }
    }

    /// Whether it carried a request before.
    pub(crate) fn reused(&self) -> bool {
        self.reused
    }

    pub(crate) fn upstream(&self) -> &Rc<Upstream> {
        self.busy.upstream()
    }

    /// Whether its connection is nobody else's.
    pub(crate) fn is_exclusive(&self) -> bool {
        matches!(self.lent, Lent::Connection(_))
    }

    pub(crate) fn wire(&self) -> Option<&Rc<Wire>> {
        match &self.lent {
            Lent::Connection(connection) => Some(connection.wire()),
            Lent::Stream(ticket) => Some(ticket.wire()),
            Lent::Nothing => None,
        }
    }

    /// Sends `request`, whose fields have these names; the future is the head of its answer.
    pub(crate) fn send(
        &mut self,
        request: http::Request<RequestBody>,
        names: Option<Rc<Names>>,
    ) -> Option<Answering> {
        let https = self.busy.upstream().io.connect.tls.is_some();
        match &mut self.lent {
            Lent::Connection(connection) => {
                Some(Answering::Http1(Box::pin(connection.send(request, names))))
            }
            Lent::Stream(ticket) => Some(Answering::Http2(Box::pin(ticket.send(request, https)))),
            Lent::Nothing => None,
        }
    }

    /// The names of the fields of the answer that came, as they were written; `None` where they are in
    /// lower case, as in HTTP/2.
    pub(crate) fn names(&self) -> Option<Rc<Names>> {
        match &self.lent {
            Lent::Connection(connection) => connection.names(),
            Lent::Stream(_) | Lent::Nothing => None,
        }
    }

    /// Asks for the stream itself once the backend has switched protocols.
    pub(crate) fn on_upgrade(&self) -> oneshot::Receiver<Upgraded> {
        let (sender, receiver) = oneshot::channel();
        if let Lent::Connection(connection) = &self.lent {
            connection.on_upgrade(sender);
        }
        receiver
    }

    /// The exchange ended well: the connection may carry another, unless the client's body is still
    /// on its way.
    pub(crate) fn give_back(mut self, body: &ClientBody, now: Instant) {
        match std::mem::replace(&mut self.lent, Lent::Nothing) {
            Lent::Connection(connection) if body.is_complete() => {
                self.busy.upstream().put_back(connection, now)
            }
            Lent::Connection(connection) => connection.give_up(),
            // The end of a stream is nobody else's.
            Lent::Stream(_) | Lent::Nothing => {}
        }
    }

    /// The connection has become a tunnel: it is nobody's to reuse or to reset from here.
    pub(crate) fn release(mut self) {
        self.lent = Lent::Nothing;
    }

    /// Ends a connection by reset: from here on the kernel accepts and delivers nothing more. A
    /// stream is reset alone.
    pub(crate) fn give_up(&mut self) {
        if let Lent::Connection(connection) = std::mem::replace(&mut self.lent, Lent::Nothing) {
            connection.give_up();
        }
    }

    /// As [`Self::give_up`] for a request without an answer in time. Whether the connection itself
    /// has ended by that, so that its count of bytes stands: a shared one goes on for others,
    /// unless its path is dead, of which one sign is that nothing came since `read` bytes had come.
    /// After an order it takes no new streams.
    pub(crate) fn abandon(&mut self, order: bool, read: u64) -> bool {
        let ended = match &self.lent {
            Lent::Stream(ticket) => {
                if order {
                    ticket.leave();
                }
                ticket.kill_if_dead(read)
            }
            Lent::Connection(_) | Lent::Nothing => true,
        };
        self.give_up();
        ended
    }

    /// As [`Self::give_up`] for a request that broke: whether its connection has ended.
    pub(crate) fn end(&mut self, error: &Broken) -> bool {
        let ended = match (&self.lent, error) {
            (Lent::Stream(ticket), Broken::Stream(failed)) => {
                let gone = failed.cause == StreamEnd::Connection;
                if gone {
                    ticket.kill();
                }
                gone
            }
            _ => true,
        };
        self.give_up();
        ended
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// The head of an answer that is on its way. It has a box of its own: both futures are large, and each
/// of those that wait for one would have room for it more than once.
pub(crate) enum Answering {
    Http1(Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>>>>),
    Http2(Pin<Box<dyn Future<Output = Result<http::Response<H2Answer>, StreamFailed>>>>),
}

impl Future for Answering {
    type Output = Result<http::Response<AnswerBody>, Broken>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Http1(answer) => answer.as_mut().poll(cx).map(|answered| {
                answered
                    .map(|answer| answer.map(AnswerBody::Http1))
                    .map_err(Broken::Connection)
            }),
            Self::Http2(answer) => answer.as_mut().poll(cx).map(|answered| {
                answered
                    .map(|answer| answer.map(AnswerBody::Http2))
                    .map_err(Broken::Stream)
            }),
        }
    }
}

/// Why a request brought no answer, by the way it went.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Over a connection of its own.
    Connection(hyper::Error),
    /// Over a stream.
    Stream(StreamFailed),
}

/// The body of a backend's answer.
pub(crate) enum AnswerBody {
    Http1(Incoming),
    Http2(H2Answer),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            AnswerBody::Http1(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|_| BodyError::Backend))),
            AnswerBody::Http2(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|_| BodyError::Backend))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Http1(body) => body.is_end_stream(),
            AnswerBody::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Http1(body) => body.size_hint(),
            AnswerBody::Http2(body) => body.size_hint(),
        }
    }
}
