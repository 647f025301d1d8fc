//! Frames of HTTP/2 as they stand on the wire (RFC 9113 section 4), and fields without compression.
//!
//! Says anything, right or wrong. Reads frames and keeps them as they came; fields that come in
//! Huffman's code stay so: judging is the tests' work.

use crate::support::wait::SOON;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.into(),
        }
    }

    pub(crate) fn settings() -> Self {
        Self::new(SETTINGS, 0, 0, [])
    }

    pub(crate) fn reset(stream: u32, reason: u32) -> Self {
        Self::new(RST_STREAM, 0, stream, reason.to_be_bytes())
    }

    pub(crate) fn go_away(last: u32, reason: u32) -> Self {
        let payload = [last.to_be_bytes(), reason.to_be_bytes()].concat();
        Self::new(GOAWAY, 0, 0, payload)
    }

    /// A head of these fields, pseudo-fields among them, in this order.
    pub(crate) fn head(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Self {
        let fields = fields.iter();
        let block: Vec<u8> = fields
            .flat_map(|(name, value)| Self::field(name, value))
            .collect();
        Self::new(HEADERS, flags | END_HEADERS, stream, block)
    }

    /// A literal field without indexing, with a new name (RFC 7541 section 6.2.2).
    pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
        let mut field = vec![0];
        for text in [name, value] {
            let len = u8::try_from(text.len()).expect("a short field");
            assert!(len < 127, "a short field");
            field.push(len);
            field.extend_from_slice(text.as_bytes());
        }
        field
    }

    /// The reason of a reset, or of a GOAWAY.
    pub(crate) fn reason(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let bytes = self.payload[at..at + 4].try_into().unwrap();
        u32::from_be_bytes(bytes)
    }

    /// Whether the sender says no more on this stream.
    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let len = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![len[1], len[2], len[3], self.kind, self.flags];
        bytes.extend_from_slice(&self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// A connection that carries frames.
pub(crate) struct Frames {
    stream: TcpStream,
    /// Bytes that may still be read.
    allowed: usize,
    /// The beginning of a frame whose rest may not be read, or does not come.
    cut: Vec<u8>,
}

impl Frames {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            allowed: usize::MAX,
            cut: Vec::new(),
        }
    }

    /// Reads so many bytes and no more.
    pub(crate) fn allow(&mut self, bytes: usize) {
        self.allowed = bytes;
    }

    /// The kind of the frame in the middle of which reading has ended, where that much of it came.
    pub(crate) fn cut_kind(&self) -> Option<u8> {
        self.cut.get(3).copied()
    }

    /// Ends the connection: by RST, or by FIN and time for the peer to see it.
    pub(crate) async fn die(mut self, by_reset: bool) {
        if by_reset {
            return self.reset();
        }
        self.stream.shutdown().await.ok();
        // Ended by the peer, which has nothing more to wait for.
        let gone = async { while self.stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {} };
        tokio::time::timeout(SOON, gone).await.ok();
    }

    /// Reads exactly these bytes, as far as that is allowed.
    async fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let allowed = bytes.len().min(self.allowed);
        let mut have = 0;
        while have < allowed {
            let read = self.stream.read(&mut bytes[have..allowed]).await?;
            if read == 0 {
                break;
            }
            self.cut.extend_from_slice(&bytes[have..have + read]);
            have += read;
        }
        self.allowed -= have;
        if have < bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Connects as a client and says what a client says first.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut frames = Self::new(stream);
        frames.send_raw(PREFACE).await;
        frames.send(&[Frame::settings()]).await;
        frames
    }

    /// Sends exactly these, in one piece.
    pub(crate) async fn send(&mut self, frames: &[Frame]) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        self.send_raw(&bytes).await;
    }

    /// Sends exactly this, as far as the peer takes it.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.ok();
    }

    /// The next frame; `None` at the end of the connection, whichever way it ends.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        self.try_next().await.ok()
    }

    async fn try_next(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.fill(&mut head).await?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; len as usize];
        self.fill(&mut payload).await?;
        self.cut.clear();
        Ok(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// Reads until a frame of this kind and stream comes, or the connection ends. Answers settings
    /// and pings on the way.
    pub(crate) async fn wait_for(&mut self, kinds: &[u8], stream: u32) -> Option<Frame> {
        let found = async {
            loop {
                let frame = self.next().await?;
                if kinds.contains(&frame.kind) && frame.stream == stream {
                    return Some(frame);
                }
                self.be_polite(&frame).await;
            }
        };
        let found = tokio::time::timeout(SOON * 2, found).await;
        found.expect("a frame, or the end of the connection")
    }

    /// Acknowledges what has to be.
    pub(crate) async fn be_polite(&mut self, frame: &Frame) {
        if matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK == 0 {
            let payload = match frame.kind {
                PING => frame.payload.clone(),
                _ => Vec::new(),
            };
            self.send(&[Frame::new(frame.kind, ACK, 0, payload)]).await;
        }
    }

    /// The preface of a client, read as a server does.
    pub(crate) async fn read_preface(&mut self) -> bool {
        let mut preface = [0; PREFACE.len()];
        let read = self.fill(&mut preface).await;
        self.cut.clear();
        read.is_ok() && preface == PREFACE
    }

    /// Ends the connection by RST.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().ok();
    }
}
