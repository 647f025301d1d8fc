//! Serves one client connection over HTTP/2: frames by hyper and the `h2` crate, time limits, counts
//! and drain by leeward.
//!
//! Owns the connection from the end of its TLS handshake, or from its preface, to its close. Each
//! stream is one request for `handler`. Every bound of the protocol is named here (edge advisories:
//! rapid reset, resets by own errors, CONTINUATION and empty frames). CONNECT is refused, the
//! extended one (RFC 8441) too: it is not announced. Called by `listener` and `detect`.

mod frames;
mod head;
mod io;
mod streams;

use crate::body_guard::BodyGuard;
use crate::detect::PREFACE;
use crate::framing::{FramingLimits, check_head};
use crate::handler::handle_h2;
use crate::serve::{ClientConn, ClientStream, close};
use crate::worker::Worker;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use io::{Counts, H2Io, Progress};
use leeward_config::policy::Limits;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use streams::{Streams, Watched};
use tokio::time::Instant;

/// Bytes of one request body that a client may send before leeward has passed them on.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all request bodies of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a frame's payload that a client may send.
const MAX_FRAME: u32 = 16 * 1024;
/// Bytes of one answer that wait for the client, beyond the piece that came last.
const SEND_BUFFER: usize = 128 * 1024;
/// Bytes of the table by which a client compresses fields.
const HEADER_TABLE: u32 = 4096;
/// Streams that a client has reset before leeward took them on (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that leeward has reset for the client's errors (RUSTSEC-2024-0003).
const ERROR_RESETS: usize = 1024;
/// A client that says nothing for this long is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long it has to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection without requests may take to end after GOAWAY.
const GOODBYE: Duration = Duration::from_secs(10);

/// How a connection ended.
enum Left {
    /// By itself, or by its client.
    Ended,
    /// Nothing was left to be said, or the client broke a bound.
    Dropped,
    /// The client took nothing: what it has may be a part of an answer.
    Reset,
}

/// Serves `stream` until it ends.
pub(crate) async fn serve_h2<S: ClientStream>(
    worker: &Rc<Worker>,
    stream: S,
    peer: SocketAddr,
    listener: usize,
    tls: bool,
) {
    let (limits, slots) = {
        let held = worker.snapshot();
        let io = held.serving.listeners.get(listener);
        (held.serving.policy.limits, io.map(|io| io.slots))
    };
    let counts = Counts {
        cells: worker.cells.clone(),
        slots,
    };
    let (io, keeper) = H2Io::new(stream, counts);
    let progress = io.progress();
    let conn = ClientConn::new(worker, peer, listener, tls, None);
    let _registered = worker.register(&conn);
    let streams = Streams::new(limits.write_stall);
    let service = service_fn({
        let (worker, conn, streams) = (worker.clone(), conn.clone(), streams.clone());
        move |request| respond(&worker, &conn, &streams, &limits, request)
    });
    let http = builder(&limits, streams.clone()).serve_connection(TokioIo::new(io), service);
    let left = {
        let mut http = Box::pin(http);
        let mut driver = Driver::new(&conn, &progress, &streams, limits);
        poll_fn(|cx| driver.poll(http.as_mut(), |http| http.graceful_shutdown(), cx)).await
    };
    if let Some(slots) = slots {
        let cells = &worker.cells;
        cells.add(slots.received_bytes, progress.bytes_in());
        cells.add(slots.sent_bytes, progress.bytes_out());
    }
    let Some(stream) = keeper.take() else {
        return;
    };
    match left {
        Left::Ended => close(stream).await,
        Left::Dropped => {}
        Left::Reset => {
            // Failing leaves an ordinary close of an unfinished connection.
            let _ = stream.socket().set_zero_linger();
        }
    }
}

fn builder(limits: &Limits, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .header_table_size(HEADER_TABLE)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .auto_date_header(false);
    builder
}

/// What a stream's service comes to.
type Answered = Result<hyper::Response<Watched>, std::convert::Infallible>;

/// The service of one stream.
fn respond(
    worker: &Rc<Worker>,
    conn: &Rc<ClientConn>,
    streams: &Streams,
    limits: &Limits,
    request: hyper::Request<hyper::body::Incoming>,
) -> Pin<Box<dyn Future<Output = Answered>>> {
    let framing = FramingLimits {
        header_bytes: limits.header_bytes,
        header_count: limits.header_count,
        max_body: limits.max_body,
    };
    let (mut head, body) = request.into_parts();
    let check = check_head(&head, &framing).map(|()| BodyGuard::new(limits));
    head::as_http1(&mut head);
    let request = hyper::Request::from_parts(head, body);
    let (worker, conn, watch) = (worker.clone(), conn.clone(), streams.announce());
    Box::pin(async move {
        // A reset that came with the request is seen before any work is done for it.
        yield_once().await;
        let response = handle_h2(worker, conn, check, request).await;
        watch.answered();
        response.map(|response| response.map(|body| Watched::new(body, watch)))
    })
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A deadline that has passed.
enum Overdue {
    /// The client has not said that it speaks HTTP/2.
    NoPreface,
    /// Nothing is asked and nothing is owed.
    Idle,
    /// GOAWAY is out, all is said, and the client stays.
    Goodbye,
    /// The client takes nothing.
    WriteStalled,
}

/// leeward's deadlines of one connection.
struct Driver<'a> {
    conn: &'a ClientConn,
    progress: &'a Progress,
    streams: &'a Streams,
    limits: Limits,
    started: Instant,
    /// Since when GOAWAY is out, or about to be.
    leaving: Option<Instant>,
    check: Pin<Box<tokio::time::Sleep>>,
}

impl<'a> Driver<'a> {
    fn new(
        conn: &'a ClientConn,
        progress: &'a Progress,
        streams: &'a Streams,
        limits: Limits,
    ) -> Self {
        let started = Instant::now();
        Self {
            conn,
            progress,
            streams,
            started,
            leaving: None,
            check: Box::pin(tokio::time::sleep_until(started + least(&limits))),
            limits,
        }
    }

    /// Polls `http` until it ends or a deadline ends it; `go_away` makes it say GOAWAY.
    fn poll<C: Future>(
        &mut self,
        mut http: Pin<&mut C>,
        go_away: impl Fn(Pin<&mut C>),
        cx: &mut Context<'_>,
    ) -> Poll<Left> {
        loop {
            if self.leaving.is_none() && self.conn.poll_drain(cx) {
                self.leaving = Some(Instant::now());
                go_away(http.as_mut());
            }
            if http.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Left::Ended);
            }
            if self.streams.flooded() {
                return Poll::Ready(Left::Dropped);
            }
            if self.check.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match self.deadline() {
                Some((at, overdue)) if at <= now => match overdue {
                    Overdue::WriteStalled => return Poll::Ready(Left::Reset),
                    Overdue::NoPreface | Overdue::Goodbye => return Poll::Ready(Left::Dropped),
                    Overdue::Idle => self.conn.drain(),
                },
                _ => {}
            }
            let next = self
                .deadline()
                .map_or(now + least(&self.limits), |(at, _)| {
                    at.min(now + least(&self.limits))
                });
            self.check
                .as_mut()
                .reset(next.max(now + Duration::from_millis(1)));
        }
    }

    fn deadline(&self) -> Option<(Instant, Overdue)> {
        let Limits {
            header_timeout,
            idle_timeout,
            write_stall,
            ..
        } = self.limits;
        if let Some(since) = self.progress.write_blocked_since() {
            return Some((since + write_stall, Overdue::WriteStalled));
        }
        let quiet = self.streams.quiet_since().map(|at| at.max(self.started));
        if self.progress.bytes_in() < PREFACE.len() as u64 {
            return Some((self.started + header_timeout, Overdue::NoPreface));
        }
        Some(match (quiet?, self.leaving) {
            (quiet, None) => (quiet + idle_timeout, Overdue::Idle),
            (quiet, Some(leaving)) => {
                let last = quiet.max(leaving).max(self.progress.last_write());
                (last + GOODBYE, Overdue::Goodbye)
            }
        })
    }
}

/// No deadline can come up sooner than this, whatever happens.
fn least(limits: &Limits) -> Duration {
    let Limits {
        header_timeout,
        idle_timeout,
        write_stall,
        ..
    } = *limits;
    let least = header_timeout
        .min(idle_timeout)
        .min(write_stall)
        .min(GOODBYE);
    least.max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::local_runtime;
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    const PING: u8 = 6;
    const ACK: u8 = 1;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![len[1], len[2], len[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    /// Asks for something that is never answered, then answers so many pings and nothing more.
    /// Returns how many there were when the connection ended.
    async fn client(mut stream: DuplexStream, answers: usize) -> usize {
        // GET https: / of the static table, and an authority.
        let head = [0x82, 0x87, 0x84, 0x41, 0x01, b'h'];
        let settings = frame(4, 0, 0, &[]);
        let hello = [&PREFACE[..], &settings, &frame(1, 5, 1, &head)].concat();
        stream.write_all(&hello).await.unwrap();
        let mut pings = 0;
        loop {
            let mut header = [0; 9];
            if stream.read_exact(&mut header).await.is_err() {
                return pings;
            }
            let len = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let mut payload = vec![0; len as usize];
            stream.read_exact(&mut payload).await.unwrap();
            if header[3] == PING && header[4] & ACK == 0 {
                pings += 1;
                if pings <= answers {
                    let pong = frame(PING, ACK, 0, &payload);
                    stream.write_all(&pong).await.unwrap();
                }
            }
        }
    }

    /// Serves that client; how many pings it got and how long it was served.
    fn served(answers: usize) -> (usize, Duration) {
        local_runtime().unwrap().block_on(async {
            tokio::time::pause();
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let limits = Limits::default();
            let service = service_fn(|_| std::future::pending::<Result<_, Infallible>>());
            let streams = Streams::new(limits.write_stall);
            let http = builder(&limits, streams)
                .serve_connection::<_, _, http_body_util::Empty<bytes::Bytes>>(
                    TokioIo::new(ours),
                    service,
                );
            let began = Instant::now();
            let (served, pings) = tokio::join!(http, client(theirs, answers));
            assert!(served.is_err(), "it ends by leeward's doing");
            (pings, began.elapsed())
        })
    }

    #[test]
    fn a_client_that_does_not_answer_a_ping_is_not_there() {
        let (pings, served) = served(0);
        assert_eq!(pings, 1);
        assert_eq!(served.as_secs(), (PING_EVERY + PING_TIMEOUT).as_secs());
    }

    #[test]
    fn a_client_that_answers_pings_is_served_on() {
        let (pings, served) = served(5);
        assert_eq!(pings, 6);
        assert!(served >= PING_EVERY * 6 + PING_TIMEOUT, "{served:?}");
    }
}
