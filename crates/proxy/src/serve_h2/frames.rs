//! What the `h2` crate ends by itself, read off the frames that it writes to a client.
//!
//! That crate refuses what breaks HTTP/2 before leeward sees a request, and tells nobody but the
//! client. Its RST_STREAM and GOAWAY frames say why. Reads frame headers and error codes only, alters
//! nothing. Called by `io` with every byte that a client took.

use leeward_metrics::{Http2Ended, Http2Error};

/// Bytes of a frame's header.
const HEADER: usize = 9;
/// Bytes of an RST_STREAM: its error code is all that it says.
const RST_STREAM: usize = HEADER + 4;
/// Bytes of a GOAWAY up to the end of its error code, which follows a stream number.
const GOAWAY: usize = HEADER + 8;
const TYPE_RST_STREAM: u8 = 3;
const TYPE_GOAWAY: u8 = 7;

/// Follows the frames of one direction of a connection, however the bytes are cut.
pub(super) struct FrameReader {
    /// The beginning of the frame that is being read.
    begun: [u8; GOAWAY],
    have: usize,
    /// How much of its beginning is wanted.
    wanted: usize,
    /// Bytes of its payload behind that, which nobody wants.
    left: usize,
}

impl FrameReader {
    pub(super) fn new() -> Self {
        Self {
            begun: [0; GOAWAY],
            have: 0,
            wanted: HEADER,
            left: 0,
        }
    }

    /// Reads on; `found` is told of each error.
    pub(super) fn read(
        &mut self,
        mut bytes: &[u8],
        found: &mut impl FnMut(Http2Ended, Http2Error),
    ) {
        while !bytes.is_empty() {
            if self.have == 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
            }
            let taken = bytes.len().min(self.wanted - self.have);
            self.begun[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == self.wanted {
                self.begin(found);
            }
        }
    }

    /// As much of a frame is there as was wanted.
    fn begin(&mut self, found: &mut impl FnMut(Http2Ended, Http2Error)) {
        let begun = &self.begun;
        let kind = begun[3];
        if self.have == HEADER {
            self.left =
                usize::from(begun[0]) << 16 | usize::from(begun[1]) << 8 | usize::from(begun[2]);
            let whole = match kind {
                TYPE_RST_STREAM => RST_STREAM,
                TYPE_GOAWAY => GOAWAY,
                _ => HEADER,
            };
            // One that is too short for its kind is skipped like any other.
            if whole > HEADER && self.left >= whole - HEADER {
                self.left -= whole - HEADER;
                self.wanted = whole;
                return;
            }
        } else {
            let end = self.have;
            let code = [
                begun[end - 4],
                begun[end - 3],
                begun[end - 2],
                begun[end - 1],
            ];
            let ended = match kind {
                TYPE_RST_STREAM => Http2Ended::Stream,
                _ => Http2Ended::Connection,
            };
            if let Some(error) = Http2Error::of_code(u32::from_be_bytes(code)) {
                found(ended, error);
            }
        }
        (self.have, self.wanted) = (0, HEADER);
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

    fn reset(code: u32) -> Vec<u8> {
        frame(TYPE_RST_STREAM, 1, &code.to_be_bytes())
    }

    fn goaway(code: u32, said: &[u8]) -> Vec<u8> {
        let payload = [&7_u32.to_be_bytes(), &code.to_be_bytes(), said].concat();
        frame(TYPE_GOAWAY, 0, &payload)
    }

    #[test]
    fn errors_are_read_however_the_bytes_are_cut() {
        let frames = [
            frame(4, 0, &[0; 12]),
            reset(1),
            // Data that looks like a reset.
            frame(0, 1, &reset(1)),
            // Leeward's own: CANCEL, INTERNAL_ERROR, NO_ERROR.
            reset(8),
            reset(2),
            reset(0),
            goaway(0, b"bye"),
            reset(7),
            frame(0, 1, b""),
            // Too short, which that crate never writes.
            frame(TYPE_RST_STREAM, 1, &[0, 0]),
            frame(TYPE_GOAWAY, 0, &[0; 7]),
            goaway(0xb, b"too_many_resets"),
            goaway(0x9, b""),
        ]
        .concat();
        for size in 1..=frames.len() {
            let mut seen = Vec::new();
            let mut reader = FrameReader::new();
            for part in frames.chunks(size) {
                reader.read(part, &mut |ended, error| seen.push((ended, error)));
            }
            let wanted = [
                (Http2Ended::Stream, Http2Error::Protocol),
                (Http2Ended::Stream, Http2Error::RefusedStream),
                (Http2Ended::Connection, Http2Error::Calm),
                (Http2Ended::Connection, Http2Error::Compression),
            ];
            assert_eq!(seen, wanted, "in parts of {size}");
        }
    }
}
