//! One request over a shared HTTP/2 connection: its head, its body, its answer.
//!
//! Owns the stream. Says of a failure what P1 asks: whether the backend itself said that it did not
//! look at the request. What becomes of it is decided by the caller. Flow control goes end to end:
//! a piece of a body is asked for once the one before has found room.

use super::frames::FrameWatch;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::header::{self, CONNECTION, HOST, HeaderMap, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use tokio::task::AbortHandle;

/// A request that brought no answer.
#[derive(Debug)]
pub(crate) struct StreamFailed {
    pub(crate) cause: StreamEnd,
    /// In words.
    pub(crate) detail: String,
}

/// Why a stream ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The backend refused it: it has no room (RFC 9113 section 8.7).
    NoRoom,
    /// The backend left before it looked at it, or it was never handed over.
    NotLookedAt,
    /// The backend reset it for another reason, or leeward did.
    Stream,
    /// The backend broke the protocol.
    Protocol,
    /// The connection is gone.
    Connection,
}

impl StreamEnd {
    /// Whether nobody looked at the request, by the remote's own word or because it was never
    /// handed over (P1).
    pub(crate) fn proves_not_sent(self) -> bool {
        matches!(self, StreamEnd::NoRoom | StreamEnd::NotLookedAt)
    }
}

impl StreamFailed {
    /// Nothing of the request was handed to the connection.
    pub(super) fn never_opened(detail: &dyn std::fmt::Display) -> Self {
        Self {
            cause: StreamEnd::NotLookedAt,
            detail: detail.to_string(),
        }
    }
}

/// A stream that has been opened.
pub(super) struct Opened {
    answer: ResponseFuture,
    /// Its number.
    pub(super) id: u32,
    /// The task that sends the rest of the body, where there is a rest.
    pub(super) pump: Option<AbortHandle>,
    on_continue: Option<crate::body::Continue>,
}

/// Opens a stream and sends what is there of the request. Nothing was sent when this fails.
pub(super) fn open<B>(
    mut sender: SendRequest<Bytes>,
    request: Request<B>,
    https: bool,
) -> Result<Opened, StreamFailed>
where
    B: Body<Data = Bytes> + Unpin + 'static,
{
    let (mut head, body) = request.into_parts();
    let on_continue = head.extensions.remove::<crate::body::Continue>();
    as_http2(&mut head, https).map_err(|error| StreamFailed::never_opened(&error))?;
    let bodyless = body.is_end_stream();
    let (answer, stream) = sender
        .send_request(Request::from_parts(head, ()), bodyless)
        .map_err(|error| StreamFailed::never_opened(&error))?;
    let id = answer.stream_id().as_u32();
    let pump = if bodyless {
        None
    } else {
        Pump::start(body, stream)
    };
    Ok(Opened {
        answer,
        id,
        pump,
        on_continue,
    })
}

impl Opened {
    /// The head of the answer.
    pub(super) async fn answer(
        mut self,
        frames: Rc<FrameWatch>,
    ) -> Result<Response<H2Answer>, StreamFailed> {
        if let Some(signal) = self.on_continue.take() {
            while let Some(Ok(interim)) = poll_fn(|cx| self.answer.poll_informational(cx)).await {
                if interim.status() == StatusCode::CONTINUE {
                    signal.open();
                }
            }
        }
        let id = self.id;
        let response = self
            .answer
            .await
            .map_err(|error| failed(&error, frames.was_not_looked_at(id)))?;
        let (mut head, stream) = response.into_parts();
        head.version = Version::HTTP_11;
        let length = content_length(&head.headers);
        let body = H2Answer {
            stream,
            data_done: false,
            length,
        };
        Ok(Response::from_parts(head, body))
    }
}

/// The table of P1: REFUSED_STREAM counts only when the *remote* sent it, a GOAWAY only when the
/// remote named a stream below this one. Errors that the `h2` crate found by itself prove nothing.
fn failed(error: &h2::Error, not_looked_at: bool) -> StreamFailed {
    let refused = error.reason() == Some(Reason::REFUSED_STREAM);
    let cause = if error.is_remote() && error.is_reset() && refused {
        StreamEnd::NoRoom
    } else if not_looked_at {
        StreamEnd::NotLookedAt
    } else if error.is_io() {
        StreamEnd::Connection
    } else if error.is_library() {
        StreamEnd::Protocol
    } else if error.is_go_away() {
        StreamEnd::Connection
    } else {
        StreamEnd::Stream
    };
    StreamFailed {
        cause,
        detail: error.to_string(),
    }
}

/// The form of HTTP/2: the authority in the target, no fields of HTTP/1.1's framing.
fn as_http2(head: &mut http::request::Parts, https: bool) -> Result<(), http::Error> {
    let host = head.headers.remove(HOST);
    let authority = host
        .as_ref()
        .and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if https { Scheme::HTTPS } else { Scheme::HTTP });
    parts.path_and_query = head
        .uri
        .path_and_query()
        .cloned()
        .or_else(|| Some(PathAndQuery::from_static("/")));
    parts.authority = authority;
    head.uri = Uri::from_parts(parts)?;
    head.version = Version::HTTP_2;
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE] {
        head.headers.remove(name);
    }
    Ok(())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// Sends a body as the backend opens its window.
struct Pump<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// A piece that waits for room.
    piece: Bytes,
}

impl<B: Body<Data = Bytes> + Unpin + 'static> Pump<B> {
    /// Sends what can be sent at once; the task that sends the rest, if any.
    fn start(body: B, stream: SendStream<Bytes>) -> Option<AbortHandle> {
        let mut pump = Self {
            body,
            stream,
            piece: Bytes::new(),
        };
        let mut nobody = Context::from_waker(Waker::noop());
        if Pin::new(&mut pump).poll(&mut nobody).is_ready() {
            return None;
        }
        Some(tokio::task::spawn_local(pump).abort_handle())
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            while !self.piece.is_empty() {
                let room = self.stream.capacity();
                if room == 0 {
                    match ready!(self.stream.poll_capacity(cx)) {
                        Some(room) => room?,
                        // The stream is over.
                        None => return Poll::Ready(Ok(())),
                    };
                    continue;
                }
                let part = self.piece.split_to(room.min(self.piece.len()));
                self.stream.send_data(part, false)?;
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(self.stream.send_data(Bytes::new(), true)),
                // The backend must not take it for a whole one.
                Some(Err(_)) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Ok(()));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.stream.reserve_capacity(data.len());
                        self.piece = data;
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            return Poll::Ready(self.stream.send_trailers(trailers));
                        }
                    }
                },
            }
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin + 'static> Future for Pump<B> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Whatever went wrong, the answer's side says so too.
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(());
        }
        self.send(cx).map(|_| ())
    }
}

/// The body of an answer. Unlike hyper's, it takes no reset for an end: an answer that was cut is
/// visibly cut, whatever the reason was said to be.
pub(crate) struct H2Answer {
    stream: RecvStream,
    data_done: bool,
    length: Option<u64>,
}

impl Body for H2Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_done {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Only fails for more than was received.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_done = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|found| found.map(Frame::trailers)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }
}
