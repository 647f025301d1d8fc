//! HTTP/1.1 as it stands on the wire, for both ends of a test.
//!
//! Reads whatever comes, broken or not, and keeps every byte: judging is the tests' work. It never
//! repairs, never retries and never speaks on its own. The client and the backend both use it.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

/// A connection, plain or TLS, that can be ended the hard way.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {
    /// The socket underneath.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl Stream for tokio_rustls::client::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// The first line and the fields of a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// Every byte of it, the empty line included.
    pub(crate) raw: Vec<u8>,
    /// The request or status line without its end.
    pub(crate) line: Vec<u8>,
    /// Names and values, in order, names in their own case.
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    /// Splits `raw` into its parts; a part that is not there stays empty.
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let mut lines = raw
            .split(|b| *b == b'\n')
            .map(|l| l.strip_suffix(b"\r").unwrap_or(l));
        let line = lines.next().unwrap_or_default().to_vec();
        let fields = lines.filter(|l| !l.is_empty()).map(field).collect();
        Self {
            raw: raw.to_vec(),
            line,
            fields,
        }
    }

    /// The method of a request.
    pub(crate) fn method(&self) -> String {
        let end = self
            .line
            .iter()
            .position(|b| *b == b' ')
            .unwrap_or(self.line.len());
        text(&self.line[..end])
    }

    /// The target of a request, byte for byte.
    pub(crate) fn target(&self) -> &[u8] {
        let Some(first) = self.line.iter().position(|b| *b == b' ') else {
            return b"";
        };
        let last = self.line.iter().rposition(|b| *b == b' ').unwrap_or(first);
        self.line.get(first + 1..last).unwrap_or_default()
    }

    /// The status of an answer; 0 when there is none.
    pub(crate) fn status(&self) -> u16 {
        text(&self.line)
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or(0)
    }

    /// The first field of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// All fields of this name, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self
            .fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, v)| v.as_str()).collect()
    }
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks, the last of them empty.
    Chunked,
    /// The end of the connection.
    UntilEnd,
}

impl Framing {
    /// Of a request.
    pub(crate) fn of_request(head: &Head) -> Self {
        Self::declared(head).unwrap_or(Framing::Length(0))
    }

    /// Of the answer to a request with this method.
    pub(crate) fn of_answer(head: &Head, method: &str) -> Self {
        match head.status() {
            100..=199 | 204 | 304 => Framing::Length(0),
            _ if method == "HEAD" => Framing::Length(0),
            _ => Self::declared(head).unwrap_or(Framing::UntilEnd),
        }
    }

    fn declared(head: &Head) -> Option<Self> {
        if head
            .all("transfer-encoding")
            .iter()
            .any(|v| v.to_ascii_lowercase().contains("chunked"))
        {
            return Some(Framing::Chunked);
        }
        head.get("content-length")
            .and_then(|v| v.trim().parse().ok())
            .map(Framing::Length)
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// As its framing says.
    #[default]
    Whole,
    /// The connection was closed before that.
    Cut,
    /// The connection was reset before that.
    Reset,
}

/// The content of a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    /// The bytes without their framing.
    pub(crate) bytes: Vec<u8>,
    /// The fields after the last chunk.
    pub(crate) trailers: Vec<(String, String)>,
    /// How it ended.
    pub(crate) end: End,
}

/// A connection with a buffer for what was read too far.
pub(crate) struct Wire {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    buffer: Vec<u8>,
    /// Bytes that may still be taken from the socket.
    allowance: u64,
}

impl Wire {
    /// Takes a connection over.
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            buffer: Vec::new(),
            allowance: u64::MAX,
        }
    }

    /// From here on takes `bytes` from the socket at most, and then behaves as if it had been closed.
    pub(crate) fn allow(&mut self, bytes: u64) {
        self.allowance = bytes;
    }

    /// Whether the allowance is used up.
    pub(crate) fn exhausted(&self) -> bool {
        self.allowance == 0
    }

    /// Sends exactly these bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await?;
        self.writer.flush().await
    }

    /// Reads a head up to its empty line; `Err` holds what came before the end of the connection.
    pub(crate) async fn head(&mut self) -> Result<Head, Vec<u8>> {
        let mut looked = 0;
        loop {
            if let Some(end) = end_of_head(&self.buffer, looked) {
                let raw: Vec<u8> = self.buffer.drain(..end).collect();
                return Ok(Head::parse(&raw));
            }
            looked = self.buffer.len();
            if !matches!(self.fill().await, Ok(n) if n > 0) {
                return Err(std::mem::take(&mut self.buffer));
            }
        }
    }

    /// Reads a body to its end, whichever way it ends.
    pub(crate) async fn body(&mut self, framing: Framing) -> Body {
        let mut body = Body::default();
        let read = match framing {
            Framing::Length(n) => self.exactly(n, &mut body.bytes).await,
            Framing::Chunked => self.chunks(&mut body).await,
            Framing::UntilEnd => self.rest(&mut body.bytes).await,
        };
        body.end = match read {
            Ok(()) => End::Whole,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => End::Reset,
            Err(_) => End::Cut,
        };
        body
    }

    /// Some bytes, at most 64 KiB; none at the end of the connection.
    pub(crate) async fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Waits until the peer says something; `false` when it closes instead.
    pub(crate) async fn spoken_to(&mut self) -> bool {
        !self.buffer.is_empty() || matches!(self.fill().await, Ok(n) if n > 0)
    }

    /// Sends FIN and reads on.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.writer.shutdown().await
    }

    /// Ends the connection with RST.
    pub(crate) fn reset(self) {
        let stream = self.into_stream();
        stream.tcp().set_zero_linger().ok();
    }

    /// Gives the connection back; what was read too far is lost.
    pub(crate) fn into_stream(self) -> Box<dyn Stream> {
        self.reader.unsplit(self.writer)
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let room = usize::try_from(self.allowance)
            .unwrap_or(usize::MAX)
            .min(64 * 1024);
        if room == 0 {
            return Ok(0);
        }
        let start = self.buffer.len();
        self.buffer.resize(start + room, 0);
        let read = self.reader.read(&mut self.buffer[start..]).await;
        let count = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(start + count);
        self.allowance = self.allowance.saturating_sub(count as u64);
        read
    }

    async fn exactly(&mut self, count: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let mut left = count;
        loop {
            let take = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            into.extend(self.buffer.drain(..take));
            left -= take as u64;
            if left == 0 {
                return Ok(());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn rest(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        loop {
            into.append(&mut self.buffer);
            if self.fill().await? == 0 {
                return Ok(());
            }
        }
    }

    async fn chunks(&mut self, body: &mut Body) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            let digits = line.split(|b| *b == b';').next().unwrap_or_default();
            let size = u64::from_str_radix(text(digits).trim(), 16)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            if size == 0 {
                break;
            }
            self.exactly(size, &mut body.bytes).await?;
            self.line().await?;
        }
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(());
            }
            body.trailers.push(field(&line));
        }
    }

    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.truncate(line.strip_suffix(b"\r\n").map_or(end, <[u8]>::len));
                return Ok(line);
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Bytes as text, for messages and comparisons.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `count` bytes that do not repeat at any power of two.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0..count)
        .map(|i| u8::try_from((i * 31 + i / 251) % 251).unwrap_or(0))
        .collect()
}

fn field(line: &[u8]) -> (String, String) {
    let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
    let value = line.get(colon + 1..).unwrap_or_default();
    (text(&line[..colon]), text(value).trim().to_owned())
}

fn end_of_head(buffer: &[u8], looked: usize) -> Option<usize> {
    let from = looked.saturating_sub(3);
    buffer[from..]
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map(|at| from + at + 4)
}
