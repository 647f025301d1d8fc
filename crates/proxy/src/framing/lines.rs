//! Lines and fields, as heads and trailers both have them (RFC 9112 §2.2 and §5).
//!
//! Owns the search for line ends and the form of a field line. Refuses every line that does not
//! end with CRLF, folded lines, and names that are no tokens. Called by `head` and `chunked`.

use super::bytes;
use super::refusal::Refusal;
use memchr::memchr;

/// A longer name is no good, and from 64 KiB hyper could not hold it.
const MAX_NAME: usize = 8 * 1024;

/// Where in a section of lines the reading stands. The section may grow between calls; what was
/// searched is not searched again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    /// Where the next line begins, in bytes from the section's first.
    pub(super) next: usize,
    /// There is no LF between `next` and here.
    searched: usize,
}

impl Lines {
    /// The next whole line of `section`, without its CRLF; `None` while it is not whole.
    pub(super) fn next<'a>(&mut self, section: &'a [u8]) -> Result<Option<&'a [u8]>, Refusal> {
        let from = self.searched.max(self.next);
        let unsearched = section.get(from..).unwrap_or_default();
        let Some(found) = memchr(b'\n', unsearched) else {
            self.searched = section.len();
            return Ok(None);
        };
        let end = from + found;
        let line = &section[self.next..end];
        let Some((b'\r', line)) = line.split_last() else {
            return Err(Refusal::LineEnd);
        };
        self.next = end + 1;
        Ok(Some(line))
    }
}

/// Takes a field line apart: the name as it was written, the value without white space around it.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::Fold);
    }
    let colon = line
        .iter()
        .position(|&byte| !bytes::is_token_byte(byte))
        .filter(|&at| at > 0 && line[at] == b':')
        .ok_or(Refusal::FieldName)?;
    if colon > MAX_NAME {
        return Err(Refusal::HeadTooLarge);
    }
    let value = &line[colon + 1..];
    if bytes::has_control(value) {
        return Err(if value.contains(&b'\r') {
            Refusal::LineEnd
        } else {
            Refusal::FieldValue
        });
    }
    Ok((&line[..colon], bytes::trim(value)))
}
