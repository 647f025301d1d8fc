//! A hyper server on a scripted connection, and a second reader to compare it with.

use crate::client_io::{ClientIo, ClientWatch};
use crate::framing::{Framer, FramingLimits, Refused};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use leeward_config::policy::Limits;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the service saw of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request1 {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) fields: usize,
    pub(super) body: Vec<u8>,
    pub(super) whole: bool,
}

/// What came of a connection.
pub(super) struct Outcome {
    /// Good requests, in order.
    pub(super) seen: Vec<Request1>,
    /// All bytes that the client got.
    pub(super) answers: String,
    pub(super) watch: Rc<ClientWatch>,
    /// hyper ended the connection by itself, before the client did.
    pub(super) closed: bool,
}

impl Outcome {
    /// Status codes of the answers, in order.
    pub(super) fn statuses(&self) -> Vec<&str> {
        self.starts()
            .map(|at| &self.answers[at + 9..at + 12])
            .collect()
    }

    /// The last answer.
    pub(super) fn last(&self) -> &str {
        self.starts().last().map_or("", |at| &self.answers[at..])
    }

    /// Where answers begin.
    fn starts(&self) -> impl Iterator<Item = usize> {
        let versions = self.answers.match_indices("HTTP/1.").map(|(at, _)| at);
        versions.filter(|at| {
            let rest = self.answers.as_bytes().get(at + 8..at + 13);
            rest.is_some_and(|rest| rest[0] == b' ' && rest[1].is_ascii_digit())
        })
    }
}

/// A connection that yields pieces, one a read, and then waits until it is told to end.
#[derive(Default)]
pub(super) struct Script {
    pieces: VecDeque<Vec<u8>>,
    ended: bool,
    written: Vec<u8>,
}

pub(super) struct ScriptIo(pub(super) Rc<RefCell<Script>>);

impl AsyncRead for ScriptIo {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut script = self.0.borrow_mut();
        let Some(mut piece) = script.pieces.pop_front() else {
            return if script.ended {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            };
        };
        let rest = piece.split_off(piece.len().min(buf.remaining()));
        buf.put_slice(&piece);
        if !rest.is_empty() {
            script.pieces.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ScriptIo {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().written.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Answers like leeward's service: refusals with their status, everything else with 200 and its
/// position. Upgrades are declined.
pub(super) async fn service(
    watch: Rc<ClientWatch>,
    seen: Rc<RefCell<Vec<Request1>>>,
    index: u64,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    watch.set_in_flight(true);
    let answer = |status: u16, text: String| {
        let answer = Response::builder()
            .status(status)
            .body(Full::new(text.into()));
        Ok(answer.expect("a good answer"))
    };
    if let Some(refusal) = watch.refused(index) {
        watch.set_in_flight(false);
        return answer(refusal.status(), refusal.reason().to_owned());
    }
    let (head, mut body) = request.into_parts();
    let mut record = Request1 {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        fields: head.headers.len(),
        body: Vec::new(),
        whole: true,
    };
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => record.body.extend_from_slice(&data),
            Ok(Err(_trailers)) => {}
            Err(_) => {
                record.whole = false;
                break;
            }
        }
    }
    let whole = record.whole;
    seen.borrow_mut().push(record);
    watch.set_in_flight(false);
    watch.resume();
    match watch.body_refused() {
        Some(refusal) if !whole => answer(refusal.status(), refusal.reason().to_owned()),
        _ => answer(200, format!("answer {index}")),
    }
}

/// Serves a client that sends these pieces, waits until nothing moves any more, and leaves.
pub(super) fn serve(pieces: impl IntoIterator<Item = Vec<u8>>, limits: &Limits) -> Outcome {
    let pieces = pieces
        .into_iter()
        .filter(|piece| !piece.is_empty())
        .collect();
    let script = Rc::new(RefCell::new(Script {
        pieces,
        ..Script::default()
    }));
    let io = ClientIo::new(ScriptIo(Rc::clone(&script)), limits);
    let (watch, seen) = (io.watch(), Rc::new(RefCell::new(Vec::new())));
    let served = Cell::new(0);
    let conn = http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(
            TokioIo::new(io),
            service_fn(|request| {
                let index = served.replace(served.get() + 1);
                service(Rc::clone(&watch), Rc::clone(&seen), index, request)
            }),
        );
    let mut conn = pin!(conn);
    let mut cx = Context::from_waker(Waker::noop());
    let mut closed = false;
    // Every wake is answered by polling again: hyper and the service need a few rounds a request.
    let mut quiet = 0;
    while quiet < 4 && !closed {
        let before = (script.borrow().pieces.len(), script.borrow().written.len());
        closed = conn.as_mut().poll(&mut cx).is_ready();
        let after = (script.borrow().pieces.len(), script.borrow().written.len());
        quiet = if before == after { quiet + 1 } else { 0 };
    }
    script.borrow_mut().ended = true;
    for _ in 0..8 {
        if closed || conn.as_mut().poll(&mut cx).is_ready() {
            break;
        }
    }
    let answers = String::from_utf8_lossy(&script.borrow().written).into_owned();
    let seen = seen.borrow().clone();
    Outcome {
        seen,
        answers,
        watch,
        closed,
    }
}

/// What the framer lets pass of these bytes, and why it stopped.
pub(super) fn framed(input: &[u8], limits: &Limits) -> (usize, u64, Option<Refused>) {
    let mut framer = Framer::new(FramingLimits {
        header_bytes: limits.header_bytes,
        header_count: limits.header_count,
        max_body: limits.max_body,
    });
    let mut passed = 0;
    loop {
        match framer.accept(&input[passed..]) {
            Ok(len) => passed += len,
            Err(refused) => return (passed + refused.passed, framer.heads(), Some(refused)),
        }
        if framer.phase() != crate::framing::Phase::Paused {
            return (passed, framer.heads(), None);
        }
        framer.resume();
    }
}

/// Reads bytes that the framer let pass: simple-minded, which is all that they may need. Also says
/// whether the connection goes on behind them.
pub(super) fn read_simply(mut bytes: &[u8]) -> (Vec<Request1>, bool) {
    let mut requests = Vec::new();
    while let Some(end) = find(bytes, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 4..];
        let mut lines = head.trim_start_matches("\r\n").split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (words.next().expect("method"), words.next().expect("target"));
        let fields: Vec<(String, &str)> = lines
            .map(|line| line.split_once(':').expect("a field"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
            .collect();
        let value = |name: &str| {
            fields
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| *value)
        };
        let mut request = Request1 {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: fields.len(),
            body: Vec::new(),
            whole: true,
        };
        if let Some(length) = value("content-length") {
            let length: usize = length.parse().expect("a length");
            request.whole = bytes.len() >= length;
            let (body, rest) = bytes.split_at(length.min(bytes.len()));
            request.body = body.to_vec();
            bytes = rest;
        } else if value("transfer-encoding").is_some() {
            bytes = read_chunks(bytes, &mut request);
        }
        let option = |wanted: &str| {
            let mut connection = fields.iter().filter(|(name, _)| name == "connection");
            connection.any(|(_, value)| has_option(value, wanted))
        };
        let http10 = words.next() == Some("HTTP/1.0");
        let last = option("close") || (http10 && !option("keep-alive"));
        let whole = request.whole;
        requests.push(request);
        if last || !whole {
            return (requests, !whole);
        }
    }
    (requests, true)
}

fn has_option(value: &str, wanted: &str) -> bool {
    value
        .split(',')
        .any(|option| option.trim().eq_ignore_ascii_case(wanted))
}

fn read_chunks<'a>(mut bytes: &'a [u8], request: &mut Request1) -> &'a [u8] {
    request.whole = false;
    while let Some(end) = find(bytes, b"\r\n") {
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let size = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).expect("a size");
        bytes = &bytes[end + 2..];
        if size == 0 {
            let end = if bytes.starts_with(b"\r\n") {
                Some(0)
            } else {
                find(bytes, b"\r\n\r\n")
            };
            let Some(end) = end else { return bytes };
            request.whole = true;
            return &bytes[if end == 0 { 2 } else { end + 4 }..];
        }
        let (data, rest) = bytes.split_at(size.min(bytes.len()));
        request.body.extend_from_slice(data);
        if rest.len() < 2 {
            return rest;
        }
        bytes = &rest[2..];
    }
    bytes
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
