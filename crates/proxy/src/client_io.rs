//! The bytes between a client and hyper.
//!
//! Owns what hyper gets to see of a client: bytes that the framer lets pass, whole heads only. The
//! part of a head that has come is held here until the rest has. In the place of a request that is
//! refused hyper gets a stand-in, so that the refusal is answered in its turn behind the answers
//! to earlier requests; the service knows it by [`ClientWatch::refused`]. Nothing passes after it.
//! Refuses to hold anything for an idle connection. Made by the serve loop, driven by hyper.

mod reason;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use watch::{ClientWatch, Overdue};

use crate::casing::HeadWriter;
use crate::framing::{Framer, FramingLimits, Phase, Refusal, Refused};
use leeward_config::policy::Limits;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use watch::Order;

/// What hyper reads in the place of a refused request. It makes hyper close after the answer.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: leeward.invalid\r\nConnection: close\r\n\r\n";
/// Bytes that a client may send behind a request for an upgrade before it is answered; beyond that
/// it has to wait.
const MAX_EARLY: usize = 16 * 1024;
/// A client's connection, as hyper gets it.
pub(crate) struct ClientIo<S> {
    io: S,
    framer: Framer,
    watch: Rc<ClientWatch>,
    writer: HeadWriter,
    /// Bytes that hyper has not seen: `ready` that may pass, behind them the beginning of something
    /// that is not whole. Without memory when empty.
    held: Vec<u8>,
    /// How many of `held` may pass.
    ready: usize,
    /// What to do once they have.
    then: Then,
}

/// What follows the bytes that may pass.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// What the client sends.
    Client,
    /// The stand-in for a request that was refused.
    StandIn(Refusal),
    /// Nothing: the stand-in has been given.
    Nothing,
    /// The body that is being read fails.
    Fail(Refusal),
}

impl<S> ClientIo<S> {
    /// Takes over a connection from its first byte.
    pub(crate) fn new(io: S, limits: &Limits) -> Self {
        let framer = Framer::new(FramingLimits {
            header_bytes: limits.header_bytes,
            header_count: limits.header_count,
            max_body: limits.max_body,
        });
        let watch = Rc::new(ClientWatch::new(Instant::now()));
        let held = Vec::new();
        Self {
            io,
            framer,
            watch,
            writer: HeadWriter::default(),
            held,
            ready: 0,
            then: Then::Client,
        }
    }

    /// The state of the connection, for those who do not own it.
    pub(crate) fn watch(&self) -> Rc<ClientWatch> {
        Rc::clone(&self.watch)
    }

    /// The connection itself, for its socket.
    pub(crate) fn get_ref(&self) -> &S {
        &self.io
    }

    /// The connection after an upgrade, and the bytes that hyper has not seen.
    pub(crate) fn into_inner(self) -> (S, Vec<u8>) {
        (self.io, self.held)
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Resume => {
                self.framer.resume();
                self.examine_held();
                self.report(0, Instant::now());
            }
            Order::Refuse(refusal) if matches!(self.then, Then::Client) => {
                self.held.truncate(self.ready);
                self.then = match self.framer.phase() {
                    Phase::Body | Phase::Paused => Then::Fail(refusal),
                    _ => Then::StandIn(refusal),
                };
            }
            Order::Refuse(_) => {}
        }
    }

    /// Takes bytes that the client sent and that stand in hyper's buffer from `start` on. Leaves
    /// there what may pass; none of it when older bytes come first.
    fn examine(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let bytes = &buf.filled()[start..];
        if !self.held.is_empty() {
            self.held.extend_from_slice(bytes);
            buf.set_filled(start);
            return self.examine_held();
        }
        let passed = match self.framer.accept(bytes) {
            Ok(passed) => {
                self.held.extend_from_slice(&bytes[passed..]);
                passed
            }
            Err(refused) => self.refused(refused),
        };
        buf.set_filled(start + passed);
    }

    /// Looks at what is held behind the bytes that may pass.
    fn examine_held(&mut self) {
        match self.framer.accept(&self.held[self.ready..]) {
            Ok(passed) => self.ready += passed,
            Err(refused) => {
                self.ready += self.refused(refused);
                self.held.truncate(self.ready);
            }
        }
    }

    /// Notes a refusal; how many of the bytes may still pass.
    fn refused(&mut self, refused: Refused) -> usize {
        let Refused {
            passed,
            refusal,
            in_body,
        } = refused;
        self.then = if in_body {
            Then::Fail(refusal)
        } else {
            Then::StandIn(refusal)
        };
        passed
    }

    /// Gives hyper held bytes that may pass, as many as it has room for.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let len = self.ready.min(buf.remaining());
        buf.put_slice(&self.held[..len]);
        self.held.drain(..len);
        self.ready -= len;
        if self.ready == 0 {
            // An idle connection keeps no memory, and a slow one no more than it needs.
            self.held.shrink_to_fit();
        }
    }

    fn report(&mut self, len: usize, now: Instant) {
        self.watch.named(self.framer.names());
        self.watch
            .framed(self.framer.phase(), self.framer.heads(), len, now);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(order) = this.watch.take_order() {
            this.obey(order);
        }
        let start = buf.filled().len();
        loop {
            if this.ready > 0 || buf.remaining() == 0 {
                this.give(buf);
                return Poll::Ready(Ok(()));
            }
            match this.then {
                Then::Client => {}
                Then::StandIn(refusal) => {
                    this.watch.set_refused(this.framer.heads(), refusal);
                    this.held = STAND_IN.to_vec();
                    this.ready = STAND_IN.len();
                    this.then = Then::Nothing;
                    continue;
                }
                Then::Nothing => return Poll::Pending,
                Then::Fail(refusal) => {
                    this.watch.set_body_refused(refusal);
                    let error = io::Error::new(io::ErrorKind::InvalidData, refusal.reason());
                    return Poll::Ready(Err(error));
                }
            }
            let full = this.framer.phase() == Phase::Paused && this.held.len() >= MAX_EARLY;
            if full || Pin::new(&mut this.io).poll_read(cx, buf)?.is_pending() {
                this.watch.read_waits(cx.waker());
                return Poll::Pending;
            }
            let len = buf.filled().len() - start;
            if len == 0 {
                return Poll::Ready(Ok(()));
            }
            let now = Instant::now();
            this.watch.read_progress(len, now);
            this.examine(buf, start);
            this.report(len, now);
            if buf.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let casing = this.watch.casing();
        let bufs = [IoSlice::new(buf)];
        let written = this.writer.poll_write(&mut this.io, cx, &bufs, casing);
        this.wrote(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let casing = this.watch.casing();
        let written = this.writer.poll_write(&mut this.io, cx, bufs, casing);
        this.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.emptied(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.io).poll_shutdown(cx);
        this.emptied(shut)
    }
}

impl<S> ClientIo<S> {
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(len)) => self.watch.write_progress(len),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.watch.write_waits(),
        }
        written
    }

    fn emptied(&self, emptied: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        match emptied {
            Poll::Ready(_) => self.watch.write_done(),
            Poll::Pending => self.watch.write_waits(),
        }
        emptied
    }
}
