//! The names of fields as they were written, from one HTTP/1 connection to the other (P3).
//!
//! hyper knows names in lower case only, unless it is told to keep a second map of them, which costs
//! a fifth of a small request. So names are noted where the bytes of a head come in, and written back
//! where hyper's bytes of it go out: letters change their case in place, nothing else does, and no
//! length. A head that hyper did not write at the beginning of a write goes as it is.
//!
//! `framing` notes the names of requests, [`Cased`] those of answers; how names are noted and put back
//! is [`Names`]'s. Knows no meaning of any field and refuses nothing: what it does not recognise stays
//! in lower case.

use crate::framing::{Names, is_interim};
use memchr::{memchr, memmem};
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A head of an answer that is longer keeps no name: hyper gives up at about this size too.
const MAX_HEAD: usize = 400 * 1024;
/// What is written together and is no more than this is copied into one piece, bytes.
const SMALL: usize = 4096;
/// Room that is kept for putting writes together, bytes.
const SCRATCH_KEPT: usize = 64 * 1024;
/// Slices of one write at most; what is behind them waits for the next.
const MAX_SLICES: usize = 16;

/// What the two ends of a connection's bytes and those who use it tell each other.
#[derive(Default)]
pub(crate) struct Casing {
    /// For the head that is written next.
    give: Cell<Option<Rc<Names>>>,
    /// Of the answer that came last.
    took: Cell<Option<Rc<Names>>>,
    /// An answer is expected.
    expects: Cell<bool>,
    /// hyper holds bytes that the last write did not take: the next one begins with those.
    behind: Cell<bool>,
}

impl Casing {
    /// The head that hyper writes next has these names.
    pub(crate) fn give(&self, names: Option<Rc<Names>>) {
        self.give.set(names.filter(|_| !self.behind.get()));
    }

    /// A request is about to be sent: the next bytes that come are its answer.
    pub(crate) fn expect(&self) {
        self.took.set(None);
        self.expects.set(true);
    }

    /// The names of the answer that came.
    pub(crate) fn take(&self) -> Option<Rc<Names>> {
        self.took.take()
    }
}

/// The writing side: puts names back into heads on their way out, and writes what is small in one
/// piece: a call that takes several costs more than to copy them.
#[derive(Debug, Default)]
pub(crate) struct HeadWriter {
    /// What hyper offered first and the kernel did not take, with its names put back.
    staged: Vec<u8>,
    /// How much of it has been taken since.
    done: usize,
}

thread_local! {
    /// Where a write is put together; no connection needs one of its own.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl HeadWriter {
    /// Writes as [`AsyncWrite::poll_write_vectored`] does.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        casing: &Casing,
    ) -> Poll<io::Result<usize>> {
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        let polled = if self.staged.is_empty() {
            self.poll_new(io, cx, bufs, offered, casing.give.take())
        } else {
            self.poll_staged(io, cx, bufs)
        };
        match polled {
            Poll::Ready(Ok(taken)) => casing.behind.set(taken < offered),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => casing.behind.set(true),
        }
        polled
    }

    /// Bytes of which none were offered before.
    fn poll_new<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        offered: usize,
        names: Option<Rc<Names>>,
    ) -> Poll<io::Result<usize>> {
        let copied = match (bufs.len(), &names) {
            (2.., _) if offered <= SMALL => bufs.len(),
            (1.., Some(_)) => 1,
            _ => return write(io, cx, bufs),
        };
        let mut scratch = SCRATCH.take();
        for buf in &bufs[..copied] {
            scratch.extend_from_slice(buf);
        }
        if let Some(names) = names {
            names.write_back(&mut scratch);
        }
        let polled = write_both(io, cx, &scratch, &bufs[copied..], 0);
        let taken = match &polled {
            Poll::Ready(Ok(taken)) => *taken,
            Poll::Ready(Err(_)) => scratch.len(),
            Poll::Pending => 0,
        };
        self.staged
            .extend_from_slice(scratch.get(taken..).unwrap_or_default());
        scratch.clear();
        scratch.shrink_to(SCRATCH_KEPT);
        SCRATCH.set(scratch);
        polled
    }

    /// What was not taken of what was offered before, and what is behind it: hyper offers both again.
    fn poll_staged<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let left = &self.staged[self.done..];
        let taken = ready!(write_both(io, cx, left, bufs, left.len()))?;
        self.done += taken.min(left.len());
        if self.done == self.staged.len() {
            (self.staged, self.done) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(taken))
    }
}

/// Writes `first`, then what is in `bufs` behind its first `skipped` bytes.
fn write_both<S: AsyncWrite + Unpin>(
    io: &mut S,
    cx: &mut Context<'_>,
    first: &[u8],
    bufs: &[IoSlice<'_>],
    mut skipped: usize,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    slices[0] = IoSlice::new(first);
    let mut used = 1;
    for buf in bufs {
        let behind = buf.get(skipped..).unwrap_or_default();
        skipped = skipped.saturating_sub(buf.len());
        if !behind.is_empty() && used < MAX_SLICES {
            slices[used] = IoSlice::new(behind);
            used += 1;
        }
    }
    write(io, cx, &slices[..used])
}

fn write<S: AsyncWrite + Unpin>(
    io: &mut S,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    match bufs {
        [one] => Pin::new(io).poll_write(cx, one),
        _ => Pin::new(io).poll_write_vectored(cx, bufs),
    }
}

/// An upstream connection of HTTP/1 that keeps the names of fields.
pub(crate) struct Cased<S> {
    io: S,
    casing: Rc<Casing>,
    writer: HeadWriter,
    /// The beginning of an answer's head that has not come whole.
    partial: Vec<u8>,
    /// Of the last answer: the next one mostly has the same.
    known: Rc<Names>,
}

impl<S> Cased<S> {
    pub(crate) fn new(io: S) -> (Self, Rc<Casing>) {
        let casing = Rc::<Casing>::default();
        let cased = Self {
            io,
            casing: casing.clone(),
            writer: HeadWriter::default(),
            partial: Vec::new(),
            known: Rc::default(),
        };
        (cased, casing)
    }

    /// The connection itself, once it speaks no HTTP any more.
    pub(crate) fn into_inner(self) -> S {
        self.io
    }

    /// Looks for the head of an answer in bytes that came.
    fn read(&mut self, bytes: &[u8]) {
        if self.partial.is_empty() {
            let left = self.heads(bytes).len();
            if self.casing.expects.get() {
                self.partial = bytes[bytes.len() - left..].to_vec();
            }
            return;
        }
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(bytes);
        let left = self.heads(&partial).len();
        if self.casing.expects.get() && left <= MAX_HEAD {
            partial.drain(..partial.len() - left);
            self.partial = partial;
        } else {
            self.casing.expects.set(false);
        }
    }

    /// Takes the names of the first whole head that is no interim answer; returns what has not been
    /// looked at, or has to be looked at again.
    fn heads<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while let Some(first) = memchr(b'\n', bytes) {
            let fields = &bytes[first + 1..];
            let interim = is_interim(bytes);
            let known = self.known.end_of(fields);
            let Some(end) = known.or_else(|| end_of_head(bytes, first)) else {
                break;
            };
            bytes = &fields[end..];
            if interim {
                continue;
            }
            if known.is_none() {
                self.known = Rc::new(names_of(&fields[..end]));
            }
            let names = Some(self.known.clone());
            self.casing.took.set(names.filter(|names| names.matter()));
            self.casing.expects.set(false);
            break;
        }
        bytes
    }
}

/// How far a head goes behind its first line, which ends at `first`; `None` where it is not whole.
fn end_of_head(bytes: &[u8], first: usize) -> Option<usize> {
    let from = first.saturating_sub(1);
    let found = memmem::find(&bytes[from..], b"\r\n\r\n")?;
    (from + found + 4).checked_sub(first + 1)
}

/// The names of a whole head behind its first line.
fn names_of(mut fields: &[u8]) -> Names {
    let mut names = Names::default();
    while let Some(end) = memchr(b'\n', fields) {
        if let Some(colon) = memchr(b':', &fields[..end]) {
            names.push(&fields[..colon]);
        }
        fields = &fields[end + 1..];
    }
    names
}

impl<S: AsyncRead + Unpin> AsyncRead for Cased<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        if this.casing.expects.get() {
            this.read(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cased<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.writer.poll_write(&mut this.io, cx, bufs, &this.casing)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "casing_tests.rs"]
mod tests;
