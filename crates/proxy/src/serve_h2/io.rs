//! The bytes between a client and hyper's HTTP/2: counted, watched for what that refuses, and not
//! lost when hyper lets go of them.
//!
//! hyper does not give the socket of an HTTP/2 connection back, and closing it at once would turn
//! the close into a reset that destroys an answer on its way. So it stays here: [`Keeper`] has it
//! once hyper is done.

use super::frames::FrameReader;
use crate::serve::ClientStream;
use leeward_metrics::{Cells, ListenerSlots};
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// A client's connection, as hyper gets it.
pub(super) struct H2Io<S> {
    stream: Rc<RefCell<Option<S>>>,
    progress: Rc<Progress>,
    written: FrameReader,
    counts: Counts,
}

/// Where errors of HTTP/2 are counted.
pub(super) struct Counts {
    pub(super) cells: Cells,
    /// `None` where the listener has gone meanwhile.
    pub(super) slots: Option<ListenerSlots>,
}

/// The connection itself, for when hyper is done with it.
pub(super) struct Keeper<S>(Rc<RefCell<Option<S>>>);

impl<S> Keeper<S> {
    pub(super) fn take(&self) -> Option<S> {
        self.0.borrow_mut().take()
    }
}

/// What the connection has carried, and since when it stands still.
pub(super) struct Progress {
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    last_write: Cell<Instant>,
    write_blocked_since: Cell<Option<Instant>>,
}

impl Progress {
    /// Bytes received from the client so far, after TLS.
    pub(super) fn bytes_in(&self) -> u64 {
        self.bytes_in.get()
    }

    /// Bytes sent to the client so far, before TLS.
    pub(super) fn bytes_out(&self) -> u64 {
        self.bytes_out.get()
    }

    /// When the client last took something.
    pub(super) fn last_write(&self) -> Instant {
        self.last_write.get()
    }

    /// Since when the client takes nothing of what is to be written.
    pub(super) fn write_blocked_since(&self) -> Option<Instant> {
        self.write_blocked_since.get()
    }

    fn waits(&self) {
        if self.write_blocked_since.get().is_none() {
            self.write_blocked_since.set(Some(Instant::now()));
        }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(len)) => {
                self.bytes_out.set(self.bytes_out.get() + *len as u64);
                self.last_write.set(Instant::now());
                self.write_blocked_since.set(None);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.waits(),
        }
        written
    }

    fn emptied(&self, emptied: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        match emptied {
            Poll::Ready(_) => self.write_blocked_since.set(None),
            Poll::Pending => self.waits(),
        }
        emptied
    }
}

impl<S: ClientStream> H2Io<S> {
    pub(super) fn new(stream: S, counts: Counts) -> (Self, Keeper<S>) {
        let stream = Rc::new(RefCell::new(Some(stream)));
        let keeper = Keeper(stream.clone());
        let progress = Rc::new(Progress {
            bytes_in: Cell::default(),
            bytes_out: Cell::default(),
            last_write: Cell::new(Instant::now()),
            write_blocked_since: Cell::default(),
        });
        let io = Self {
            stream,
            progress,
            written: FrameReader::new(),
            counts,
        };
        (io, keeper)
    }

    /// Looks at what the client has just taken: the first `len` bytes of `bufs`.
    fn watch(&mut self, bufs: &[io::IoSlice<'_>], len: usize) {
        let Counts { cells, slots } = &self.counts;
        let Some(slots) = slots else {
            return;
        };
        let mut left = len;
        for buf in bufs {
            let taken = &buf[..left.min(buf.len())];
            left -= taken.len();
            self.written.read(taken, &mut |ended, error| {
                cells.inc(slots.http2_errors(ended, error));
            });
        }
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        self.progress.clone()
    }

    fn with<T>(&self, act: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match self.stream.borrow_mut().as_mut() {
            Some(stream) => act(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        }
    }
}

impl<S: ClientStream> AsyncRead for H2Io<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = self.with(|stream| stream.poll_read(cx, buf));
        let bytes_in = &self.progress.bytes_in;
        bytes_in.set(bytes_in.get() + (buf.filled().len() - before) as u64);
        polled
    }
}

impl<S: ClientStream> AsyncWrite for H2Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.with(|stream| stream.poll_write(cx, buf));
        if let Poll::Ready(Ok(len)) = written {
            self.watch(&[io::IoSlice::new(buf)], len);
        }
        self.progress.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.with(|stream| stream.poll_write_vectored(cx, bufs));
        if let Poll::Ready(Ok(len)) = written {
            self.watch(bufs, len);
        }
        self.progress.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        let stream = self.stream.borrow();
        stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.with(|stream| stream.poll_flush(cx));
        self.progress.emptied(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.with(|stream| stream.poll_shutdown(cx));
        self.progress.emptied(shut)
    }
}
