//! The names of fields as they were written, from one HTTP/1 connection to the other (P3).
//!
//! hyper knows names in lower case only, unless it is told to keep a second map of them, which costs
//! a fifth of a small request. So names are noted where the bytes of a head come in, and written back
//! where hyper's bytes of it go out: letters change their case in place, nothing else does, and no
//! length. A head that hyper did not write at the beginning of a write goes as it is.
//!
//! `framing` notes the names of requests, [`Cased`] those of answers. Knows no meaning of any field
//! and refuses nothing: what it does not recognise stays in lower case.

use memchr::{memchr, memmem};
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Names of a head that are noted at most; a head with more keeps none of them. Matching them is
/// quadratic where a client sends them in the worst order.
const MAX_NAMES: usize = 256;
/// A head of an answer that is longer keeps no name: hyper gives up at about this size too.
const MAX_HEAD: usize = 400 * 1024;
/// Slices of one write at most; what is behind them waits for the next.
const MAX_SLICES: usize = 16;

/// The names of one head, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    text: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<u32>,
    /// Whether any of them is not in lower case.
    mixed: bool,
}

impl Names {
    /// The next field is called so.
    pub(crate) fn push(&mut self, name: &[u8]) {
        self.mixed |= name.iter().any(u8::is_ascii_uppercase);
        self.text.extend_from_slice(name);
        // A head is far shorter than that.
        self.ends
            .push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// Whether there is anything to be written back.
    pub(crate) fn matter(&self) -> bool {
        self.mixed && self.ends.len() <= MAX_NAMES
    }

    /// Forgets all of them and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.mixed = false;
    }

    fn get(&self, index: usize) -> &[u8] {
        let end = |index: usize| self.ends[index] as usize;
        let start = index.checked_sub(1).map_or(0, end);
        &self.text[start..end(index)]
    }

    /// Writes the names back into the first head of `bytes` that is no interim answer.
    fn write_back(&self, mut bytes: &mut [u8]) {
        while is_interim(bytes) {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
                return;
            };
            bytes = &mut bytes[end + 4..];
        }
        let mut used = [false; MAX_NAMES];
        let mut next = 0;
        let Some(first) = memchr(b'\n', bytes) else {
            return;
        };
        bytes = &mut bytes[first + 1..];
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at_mut(end + 1);
            let Some(colon) = memchr(b':', line) else {
                return;
            };
            if let Some(found) = self.find(&line[..colon], &used, next) {
                line[..colon].copy_from_slice(self.get(found));
                used[found] = true;
                next = found + 1;
            }
            bytes = rest;
        }
    }

    /// The first of these names, beginning with the one that is `next`, that is like `name`. Fields
    /// of one name keep their order, so that the first one that is left is the right one.
    fn find(&self, name: &[u8], used: &[bool; MAX_NAMES], next: usize) -> Option<usize> {
        let fits = |index: &usize| !used[*index] && self.get(*index).eq_ignore_ascii_case(name);
        // Nearly always in the order in which they came; an earlier one of that name comes first.
        let likely = Some(next).filter(|next| *next < self.ends.len() && fits(next));
        match likely {
            Some(likely) if !(0..likely).any(|index| fits(&index)) => Some(likely),
            _ => (0..self.ends.len()).find(fits),
        }
    }
}

/// Whether `bytes` begin with the head of an interim answer (RFC 9110 section 15.2) other than 101.
fn is_interim(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 1") && !bytes.starts_with(b"HTTP/1.1 101")
}

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

/// The writing side: puts names back into heads on their way out.
#[derive(Debug, Default)]
pub(crate) struct HeadWriter {
    /// A first slice of hyper's with its names put back, and how much of it has been taken.
    staged: Vec<u8>,
    done: usize,
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
        if self.staged.is_empty()
            && let (Some(names), Some(first)) = (casing.give.take(), bufs.first())
        {
            self.staged.extend_from_slice(first);
            names.write_back(&mut self.staged);
        }
        let polled = self.poll_staged(io, cx, bufs);
        match polled {
            Poll::Ready(Ok(taken)) => casing.behind.set(taken < offered),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => casing.behind.set(true),
        }
        polled
    }

    fn poll_staged<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let left = &self.staged[self.done..];
        // hyper offers what was not taken again, perhaps with more behind it.
        let Some(behind) = bufs.first().and_then(|first| first.get(left.len()..)) else {
            self.staged = Vec::new();
            return write(io, cx, bufs);
        };
        if left.is_empty() {
            return write(io, cx, bufs);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        slices[0] = IoSlice::new(left);
        slices[1] = IoSlice::new(behind);
        let others = bufs.len().min(MAX_SLICES - 1).max(1) - 1;
        slices[2..2 + others].copy_from_slice(&bufs[1..1 + others]);
        let used = if behind.is_empty() && others == 0 {
            1
        } else {
            2 + others
        };
        let taken = ready!(write(io, cx, &slices[..used]))?;
        self.done += taken.min(left.len());
        if self.done == self.staged.len() {
            // An idle connection keeps no memory.
            (self.staged, self.done) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(taken))
    }
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
}

impl<S> Cased<S> {
    pub(crate) fn new(io: S) -> (Self, Rc<Casing>) {
        let casing = Rc::<Casing>::default();
        let cased = Self {
            io,
            casing: casing.clone(),
            writer: HeadWriter::default(),
            partial: Vec::new(),
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
    fn heads<'a>(&self, mut bytes: &'a [u8]) -> &'a [u8] {
        while let Some(end) = memmem::find(bytes, b"\r\n\r\n") {
            let (head, rest) = bytes.split_at(end + 2);
            let interim = is_interim(bytes);
            bytes = &rest[2..];
            if interim {
                continue;
            }
            self.casing.expects.set(false);
            self.casing.took.set(names_of(head).map(Rc::new));
            break;
        }
        bytes
    }
}

/// The names of a head that is whole, where they matter.
fn names_of(head: &[u8]) -> Option<Names> {
    let mut names = Names::default();
    let mut lines = head.split(|byte| *byte == b'\n');
    lines.next()?;
    for line in lines {
        if let Some(colon) = memchr(b':', line) {
            names.push(&line[..colon]);
        }
    }
    names.matter().then_some(names)
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
