//! Chunked bodies (RFC 9112 §7.1).
//!
//! Owns where a chunked body ends, and that it is written in one way only: a size of 1 to 16 hex
//! digits with nothing around it, extensions within a bound, CRLF where it belongs, trailers that
//! are good fields and change nothing about the request. At least as strict as hyper's decoder.
//! Called by `Framer`.

use super::lines::{self, Lines};
use super::refusal::Refusal;
use super::{FramingLimits, Refused};

/// Bytes of all chunk extensions of a body at most; hyper's bound.
const MAX_EXTENSIONS: u32 = 16 * 1024 - 1;
/// Bytes of all trailers of a body at most; hyper's bound.
const MAX_TRAILERS: usize = 16 * 1024 - 1;

/// Fields that frame, route, authenticate or describe a request, or belong to one connection:
/// they come too late as trailers (RFC 9110 §6.5.1), and a backend that merges trailers into the
/// head would be led astray.
const FORBIDDEN: [&[u8]; 24] = [
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"http2-settings",
    b"keep-alive",
    b"max-forwards",
    b"pragma",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"via",
    b"x-real-ip",
];
/// Families of such fields.
const FORBIDDEN_PREFIXES: [&[u8]; 2] = [b"x-forwarded-", b"leeward-"];

/// Where a chunked body stands.
#[derive(Clone, Debug, Default)]
pub(super) struct ChunkReader {
    at: At,
    /// Of the chunk whose size line is being read.
    digits: u8,
    size: u64,
    /// Of the whole body.
    body: u64,
    extensions: u32,
    trailers: Lines,
    trailer_fields: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    End,
}

impl ChunkReader {
    /// Reads on: how many of `bytes` belong to the body and may pass. Fewer than all when the body
    /// ended, or when its trailers are not whole.
    pub(super) fn read(&mut self, bytes: &[u8], limits: &FramingLimits) -> Result<usize, Refused> {
        let mut passed = 0;
        while let Some(&byte) = bytes.get(passed) {
            let step = match self.at {
                At::Data => Ok(self.skip(bytes.len() - passed)),
                At::Trailers => match self.read_trailers(&bytes[passed..], limits) {
                    Ok(None) => return Ok(passed),
                    Ok(Some(len)) => Ok(len),
                    Err(refusal) => Err(refusal),
                },
                At::End => return Ok(passed),
                _ => self.step(byte, limits).map(|()| 1),
            };
            match step {
                Ok(len) => passed += len,
                Err(refusal) => {
                    return Err(Refused {
                        passed,
                        refusal,
                        in_body: true,
                    });
                }
            }
        }
        Ok(passed)
    }

    /// Whether the body has ended.
    pub(super) fn is_done(&self) -> bool {
        self.at == At::End
    }

    fn skip(&mut self, available: usize) -> usize {
        let len = usize::try_from(self.size).map_or(available, |size| size.min(available));
        self.size -= len as u64;
        if self.size == 0 {
            self.at = At::DataCr;
        }
        len
    }

    fn step(&mut self, byte: u8, limits: &FramingLimits) -> Result<(), Refusal> {
        self.at = match (self.at, byte) {
            (At::Size, b'\r') if self.digits > 0 => At::SizeLf,
            (At::Size, b';') if self.digits > 0 => At::Extension,
            (At::Size, _) => {
                self.digit(byte, limits)?;
                At::Size
            }
            (At::Extension, b'\r') => At::SizeLf,
            (At::Extension, _) => {
                self.extension(byte)?;
                At::Extension
            }
            (At::SizeLf, b'\n') => {
                self.digits = 0;
                self.body += self.size;
                if self.size == 0 {
                    At::Trailers
                } else {
                    At::Data
                }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            _ => return Err(Refusal::Chunk),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8, limits: &FramingLimits) -> Result<(), Refusal> {
        let digit = char::from(byte).to_digit(16).filter(|_| self.digits < 16);
        let digit = digit.ok_or(Refusal::Chunk)?;
        self.digits += 1;
        // Sixteen digits always fit.
        self.size = self.size << 4 | u64::from(digit);
        match self.body.checked_add(self.size) {
            Some(body) if body <= limits.max_body => Ok(()),
            _ => Err(Refusal::BodyTooLarge),
        }
    }

    fn extension(&mut self, byte: u8) -> Result<(), Refusal> {
        if byte == 0x7f || (byte < b' ' && byte != b'\t') {
            return Err(Refusal::Chunk);
        }
        self.extensions += 1;
        if self.extensions > MAX_EXTENSIONS {
            return Err(Refusal::ChunkExtensions);
        }
        Ok(())
    }

    /// The length of the trailer section with its empty line, once it is whole.
    fn read_trailers(
        &mut self,
        section: &[u8],
        limits: &FramingLimits,
    ) -> Result<Option<usize>, Refusal> {
        let most = limits.header_bytes.min(MAX_TRAILERS);
        loop {
            let line = self.trailers.next(section)?;
            let end = if line.is_some() {
                self.trailers.next
            } else {
                section.len()
            };
            if end > most {
                return Err(Refusal::TrailersTooLarge);
            }
            match line {
                None => return Ok(None),
                Some([]) => {
                    self.at = At::End;
                    return Ok(Some(end));
                }
                Some(line) => self.trailer(line, limits)?,
            }
        }
    }

    fn trailer(&mut self, line: &[u8], limits: &FramingLimits) -> Result<(), Refusal> {
        self.trailer_fields += 1;
        if self.trailer_fields > limits.header_count {
            return Err(Refusal::TrailersTooLarge);
        }
        let (name, _) = lines::field(line)?;
        if is_forbidden(name) {
            return Err(Refusal::Trailer);
        }
        Ok(())
    }
}

/// Whether a field of this name comes too late as a trailer.
pub(super) fn is_forbidden(name: &[u8]) -> bool {
    let begins = |prefix: &&[u8]| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    FORBIDDEN
        .iter()
        .any(|field| name.eq_ignore_ascii_case(field))
        || FORBIDDEN_PREFIXES.iter().any(begins)
}
