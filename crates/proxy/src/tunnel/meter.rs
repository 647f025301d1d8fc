//! Counts what passes between a client and its tunnel, and sees which side ended first.

use crate::access_log::Side;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What passed so far.
#[derive(Default)]
pub(super) struct Tally {
    received: Cell<u64>,
    sent: Cell<u64>,
    /// The side of which the end was seen first.
    ended_by: Cell<Option<Side>>,
}

impl Tally {
    /// Bytes from the client.
    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    /// Bytes to the client.
    pub(super) fn sent(&self) -> u64 {
        self.sent.get()
    }

    pub(super) fn receive(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
    }

    /// Who ended it; the backend where the client did not.
    pub(super) fn ended_by(&self) -> Side {
        self.ended_by.get().unwrap_or(Side::Backend)
    }

    fn ends(&self, by: Side) {
        if self.ended_by.get().is_none() {
            self.ended_by.set(Some(by));
        }
    }
}

/// A client's connection under a tally.
pub(super) struct Meter<'a, S> {
    client: &'a mut S,
    tally: &'a Tally,
}

impl<'a, S> Meter<'a, S> {
    pub(super) fn new(client: &'a mut S, tally: &'a Tally) -> Self {
        Self { client, tally }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Meter<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let read = Pin::new(&mut *self.client).poll_read(cx, buf);
        let bytes = buf.filled().len() - before;
        match &read {
            Poll::Ready(Ok(())) if bytes > 0 || room == 0 => self.tally.receive(bytes),
            Poll::Ready(_) => self.tally.ends(Side::Client),
            Poll::Pending => {}
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Meter<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.client).poll_write(cx, bytes);
        match &written {
            Poll::Ready(Ok(bytes)) => {
                self.tally.sent.set(self.tally.sent.get() + *bytes as u64);
            }
            Poll::Ready(Err(_)) => self.tally.ends(Side::Client),
            Poll::Pending => {}
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.client).poll_flush(cx)
    }

    /// The backend has nothing more to say.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tally.ends(Side::Backend);
        Pin::new(&mut *self.client).poll_shutdown(cx)
    }
}
