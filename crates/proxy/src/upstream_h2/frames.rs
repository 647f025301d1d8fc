//! What a backend says about a whole HTTP/2 connection, read off the frames beside the `h2` crate.
//!
//! Owns one fact that P1 needs and that crate does not give: the highest stream that a GOAWAY of
//! the *backend* leaves in doubt (RFC 9113 section 6.8). A stream above it was not looked at. Reads
//! frame headers only, alters nothing, refuses nothing: what is malformed is that crate's to refuse.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a frame's header.
const HEADER: usize = 9;
/// Bytes of a GOAWAY from its beginning to the end of its stream number.
const GOAWAY: usize = HEADER + 4;
const TYPE_SETTINGS: u8 = 4;
const TYPE_GOAWAY: u8 = 7;

/// What the backend has said so far.
#[derive(Default)]
pub(super) struct FrameWatch {
    /// The beginning of the frame that is being read.
    begun: Cell<[u8; GOAWAY]>,
    have: Cell<usize>,
    /// Bytes of the present frame's payload that are still to come.
    left: Cell<usize>,
    settings: Cell<bool>,
    last_stream: Cell<Option<u32>>,
    waiting: Cell<Option<Waker>>,
}

impl FrameWatch {
    /// Whether a stream of this number was not looked at, by the backend's own word.
    pub(super) fn was_not_looked_at(&self, stream: u32) -> bool {
        self.last_stream.get().is_some_and(|last| stream > last)
    }

    /// Whether the backend wants no new streams here.
    pub(super) fn is_going_away(&self) -> bool {
        self.last_stream.get().is_some()
    }

    /// Ready once the backend has sent its settings: then it speaks HTTP/2.
    pub(super) fn poll_settings(&self, cx: &Context<'_>) -> Poll<()> {
        if self.settings.get() {
            return Poll::Ready(());
        }
        self.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn read(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.left.get().min(bytes.len());
            if skipped > 0 && self.have.get() == 0 {
                self.left.set(self.left.get() - skipped);
                bytes = &bytes[skipped..];
                continue;
            }
            bytes = self.begin(bytes);
        }
    }

    /// Reads the header of a frame, and of a GOAWAY what matters of its payload.
    fn begin<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let (mut begun, mut have) = (self.begun.get(), self.have.get());
        let wanted = if have >= HEADER { GOAWAY } else { HEADER };
        let taken = bytes.len().min(wanted - have);
        begun[have..have + taken].copy_from_slice(&bytes[..taken]);
        have += taken;
        self.begun.set(begun);
        self.have.set(have);
        if have == HEADER {
            let len =
                usize::from(begun[0]) << 16 | usize::from(begun[1]) << 8 | usize::from(begun[2]);
            self.left.set(len);
            match begun[3] {
                // Its stream number is read on.
                TYPE_GOAWAY if len >= GOAWAY - HEADER => {}
                kind => {
                    if kind == TYPE_SETTINGS {
                        self.settings_came();
                    }
                    self.have.set(0);
                }
            }
        } else if have == GOAWAY {
            self.left.set(self.left.get() - (GOAWAY - HEADER));
            self.have.set(0);
            let last =
                u32::from_be_bytes([begun[9], begun[10], begun[11], begun[12]]) & (u32::MAX >> 1);
            // A later one can only take back more.
            let least = self.last_stream.get().map_or(last, |known| known.min(last));
            self.last_stream.set(Some(least));
        }
        &bytes[taken..]
    }

    fn settings_came(&self) {
        if !self.settings.replace(true)
            && let Some(waker) = self.waiting.take()
        {
            waker.wake();
        }
    }
}

/// A connection whose frames are watched on their way in.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) frames: Rc<FrameWatch>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.frames.read(&buf.filled()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![len[1], len[2], len[3], kind, 0];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    fn goaway(last: u32) -> Vec<u8> {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend_from_slice(&[0, 0, 0, 0]);
        payload.extend_from_slice(b"go away");
        frame(TYPE_GOAWAY, 0, &payload)
    }

    fn said() -> Vec<u8> {
        let mut said = frame(TYPE_SETTINGS, 0, &[0; 12]);
        // Data that looks like a GOAWAY for stream 0.
        said.extend(frame(0, 1, &goaway(0)));
        said.extend(goaway(u32::MAX >> 1));
        said.extend(frame(6, 0, &[0; 8]));
        said.extend(goaway(5));
        said.extend(frame(1, 3, b""));
        said.extend(goaway(9));
        said
    }

    #[test]
    fn a_goaway_is_read_however_the_bytes_are_cut() {
        let said = said();
        for size in 1..said.len() {
            let watch = FrameWatch::default();
            for part in said.chunks(size) {
                watch.read(part);
            }
            assert!(watch.settings.get());
            assert!(watch.is_going_away());
            let doubtful: Vec<u32> = (1..12).filter(|id| !watch.was_not_looked_at(*id)).collect();
            assert_eq!(doubtful, [1, 2, 3, 4, 5], "in parts of {size}");
        }
    }

    #[test]
    fn a_graceful_goaway_takes_nothing_back() {
        let watch = FrameWatch::default();
        watch.read(&goaway(u32::MAX >> 1));
        assert!(watch.is_going_away());
        assert!(!watch.was_not_looked_at(2_000_000_001));
    }

    #[test]
    fn a_goaway_that_is_too_short_says_nothing() {
        let watch = FrameWatch::default();
        watch.read(&frame(TYPE_GOAWAY, 0, &[0, 0]));
        watch.read(&frame(TYPE_SETTINGS, 0, &[]));
        assert!(!watch.is_going_away());
        assert!(watch.settings.get());
    }
}
