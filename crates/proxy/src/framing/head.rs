//! The head of a request (RFC 9112 §3, §5 and §6).
//!
//! Owns what a head must be so that every reader of it agrees where its body ends. Reads line by
//! line as the bytes come, each line once. Refuses everything ambiguous. Called by `Framer`.

use super::lines::{self, Lines};
use super::names::Notes;
use super::refusal::Refusal;
use super::{FramingLimits, bytes, target};
use std::ops::Range;

/// No registered method is longer than 17 bytes.
const MAX_METHOD: usize = 64;
/// A request line that is longer than this cannot be a good one.
const MAX_REQUEST_LINE: usize = MAX_METHOD + target::MAX_TARGET + " HTTP/1.1 \r\n".len();

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// After this many bytes, none among them.
    Known(u64),
    /// With its last chunk.
    Chunked,
}

/// A head that is whole and good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its bytes, from the first one offered to the end of the empty line.
    pub(super) len: usize,
    pub(super) body: BodyLength,
    /// It asks for an upgrade: what follows may be no HTTP.
    pub(super) upgrade: bool,
}

/// What is known of a head of which the end has not been seen.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadReader {
    lines: Lines,
    has_request_line: bool,
    http10: bool,
    get: bool,
    fields: usize,
    /// Where in the head the authority of an absolute target stands.
    authority: Option<Range<usize>>,
    has_host: bool,
    content_length: Option<u64>,
    chunked: bool,
    names_upgrade: bool,
    has_upgrade: bool,
}

impl HeadReader {
    /// Reads on. `head` begins with the head's first byte, also when called again.
    pub(super) fn read(
        &mut self,
        head: &[u8],
        limits: &FramingLimits,
        names: &mut Notes,
    ) -> Result<Option<Head>, Refusal> {
        loop {
            let start = self.lines.next;
            let Some(line) = self.lines.next(head)? else {
                self.check_unfinished(head, limits)?;
                return Ok(None);
            };
            self.check_length(self.lines.next, limits)?;
            if self.has_request_line {
                if line.is_empty() {
                    return self.finish(limits).map(Some);
                }
                let name = self.field(head, line, limits)?;
                names.push(name);
            } else if !line.is_empty() {
                self.request_line(line, start)?;
            } else if start > 0 {
                return Err(Refusal::EmptyLines);
            }
        }
    }

    /// Whether nothing but an empty line has come so far.
    pub(super) fn is_blank(&self, head: &[u8]) -> bool {
        !self.has_request_line && b"\r\n".starts_with(head)
    }

    /// Refuses as soon as it is clear that the line which is not whole cannot be a good one.
    fn check_unfinished(&self, head: &[u8], limits: &FramingLimits) -> Result<(), Refusal> {
        self.check_length(head.len(), limits)?;
        if self.has_request_line {
            return Ok(());
        }
        let line = &head[self.lines.next..];
        if line.len() > MAX_REQUEST_LINE {
            return Err(Refusal::TargetTooLong);
        }
        match line.first() {
            Some(&first) if !bytes::is_token_byte(first) && first != b'\r' => {
                Err(Refusal::RequestLine)
            }
            _ => Ok(()),
        }
    }

    fn check_length(&self, len: usize, limits: &FramingLimits) -> Result<(), Refusal> {
        match (len > limits.header_bytes, self.has_request_line) {
            (false, _) => Ok(()),
            (true, false) => Err(Refusal::TargetTooLong),
            (true, true) => Err(Refusal::HeadTooLarge),
        }
    }

    fn request_line(&mut self, line: &[u8], start: usize) -> Result<(), Refusal> {
        let mut parts = line.splitn(3, |&byte| byte == b' ');
        let (Some(method), Some(uri), Some(version)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::RequestLine);
        };
        if !bytes::is_token(method) || uri.is_empty() {
            return Err(Refusal::RequestLine);
        }
        self.http10 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Refusal::Version);
            }
            _ => return Err(Refusal::RequestLine),
        };
        match method {
            b"GET" => self.get = true,
            b"CONNECT" => return Err(Refusal::Connect),
            b"TRACE" => return Err(Refusal::Trace),
            _ if method.len() > MAX_METHOD => return Err(Refusal::Method),
            _ => {}
        }
        if let Some(authority) = target::check(method, uri)? {
            // It stands behind the scheme and its `://`.
            let scheme = uri
                .iter()
                .position(|&byte| byte == b':')
                .map_or(0, |colon| colon + 3);
            let from = start + method.len() + 1 + scheme;
            self.authority = Some(from..from + authority.len());
        }
        self.has_request_line = true;
        Ok(())
    }

    /// Looks at a field; returns its name.
    fn field<'a>(
        &mut self,
        head: &[u8],
        line: &'a [u8],
        limits: &FramingLimits,
    ) -> Result<&'a [u8], Refusal> {
        self.fields += 1;
        if self.fields > limits.header_count {
            return Err(Refusal::TooManyFields);
        }
        let (name, value) = lines::field(line)?;
        // Most fields are none of these: their length says so.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                if std::mem::replace(&mut self.has_host, true) {
                    return Err(Refusal::HostTwice);
                }
                if !target::is_authority(value) {
                    return Err(Refusal::Host);
                }
                let authority = self.authority.clone().map_or(value, |span| &head[span]);
                if !value.eq_ignore_ascii_case(authority) {
                    return Err(Refusal::HostDiffers);
                }
            }
            6 if name.eq_ignore_ascii_case(b"expect") => expect(value)?,
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.has_upgrade = true;
                if bytes::elements(value).any(is_h2c) {
                    return Err(Refusal::H2c);
                }
            }
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value)?,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = bytes::decimal(value).ok_or(Refusal::ContentLength)?;
                if self.content_length.replace(length).is_some() {
                    return Err(Refusal::ContentLength);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                transfer_encoding(value)?;
                if self.http10 || std::mem::replace(&mut self.chunked, true) {
                    return Err(Refusal::TransferEncoding);
                }
            }
            _ => {}
        }
        Ok(name)
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for option in bytes::elements(value) {
            match option.len() {
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.names_upgrade = true,
                4 if option.eq_ignore_ascii_case(b"host") => return Err(Refusal::Connection),
                14 if option.eq_ignore_ascii_case(b"content-length") => {
                    return Err(Refusal::Connection);
                }
                17 if option.eq_ignore_ascii_case(b"transfer-encoding") => {
                    return Err(Refusal::Connection);
                }
                _ if option.is_empty() || bytes::is_token(option) => {}
                // hyper would not find `close` beside it.
                _ => return Err(Refusal::Connection),
            }
        }
        Ok(())
    }

    fn finish(&self, limits: &FramingLimits) -> Result<Head, Refusal> {
        if !self.has_host && !self.http10 {
            return Err(Refusal::HostMissing);
        }
        let body = match (self.content_length, self.chunked) {
            (Some(_), true) => return Err(Refusal::LengthAndCoding),
            (Some(length), false) if length > limits.max_body => return Err(Refusal::BodyTooLarge),
            (Some(length), false) => BodyLength::Known(length),
            (None, true) => BodyLength::Chunked,
            (None, false) => BodyLength::Known(0),
        };
        // Without the Connection option, and in HTTP/1.0, an Upgrade field means nothing (RFC
        // 9110 §7.8).
        let upgrade = self.has_upgrade && self.names_upgrade && !self.http10;
        if upgrade && !(self.get && body == BodyLength::Known(0)) {
            return Err(Refusal::Upgrade);
        }
        Ok(Head {
            len: self.lines.next,
            body,
            upgrade,
        })
    }
}

/// The one expectation that exists.
fn expect(value: &[u8]) -> Result<(), Refusal> {
    match value.eq_ignore_ascii_case(b"100-continue") {
        true => Ok(()),
        false => Err(Refusal::Expect),
    }
}

/// `h2c`, also with a version behind it.
fn is_h2c(protocol: &[u8]) -> bool {
    let name = protocol
        .split(|&byte| byte == b'/')
        .next()
        .unwrap_or_default();
    bytes::trim(name).eq_ignore_ascii_case(b"h2c")
}

/// Exactly `chunked`. Registered codings, before a last `chunked` or alone, are known but not
/// served.
fn transfer_encoding(value: &[u8]) -> Result<(), Refusal> {
    const CODINGS: [&[u8]; 6] = [
        b"gzip",
        b"x-gzip",
        b"deflate",
        b"compress",
        b"x-compress",
        b"identity",
    ];
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = bytes::elements(value).rev().peekable();
    codings.next_if(|last| last.eq_ignore_ascii_case(b"chunked"));
    let registered = |coding: &[u8]| {
        CODINGS
            .iter()
            .any(|known| coding.eq_ignore_ascii_case(known))
    };
    if codings.peek().is_some() && codings.all(registered) {
        return Err(Refusal::TransferCoding);
    }
    Err(Refusal::TransferEncoding)
}
