//! Which bytes may stand where (RFC 9110 §5.6.2, RFC 3986, and what `http::Uri` holds unchanged).
//!
//! Owns the classes of bytes and the few comparisons over them. Called by the rest of `framing`.

const TOKEN: u8 = 1;
const PATH: u8 = 2;
const QUERY: u8 = 4;
const NAME: u8 = 8;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        table[byte] = class(byte as u8);
        byte += 1;
    }
    table
}

const fn class(byte: u8) -> u8 {
    let mut class = 0;
    if byte.is_ascii_alphanumeric() || contains(b"!#$%&'*+-.^_`|~", byte) {
        class |= TOKEN;
    }
    if byte.is_ascii_alphanumeric() || contains(b"-._~", byte) {
        class |= NAME;
    }
    // The rest of a path or query: any byte that needs no percent-encoding for the URL parsers of
    // browsers. Bytes from 0x80 must be UTF-8 together, which is looked at once for the whole.
    let visible = byte > b' ' && byte < 0x7f;
    if byte >= 0x80 || (visible && !contains(b"#<>?`", byte)) {
        class |= PATH;
    }
    if byte >= 0x80 || (visible && !contains(b"\"#<>", byte)) {
        class |= QUERY;
    }
    class
}

const fn contains(set: &[u8], byte: u8) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

/// Whether this byte may stand in a token: a method, a field name.
pub(super) fn is_token_byte(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & TOKEN != 0
}

/// Whether this is a token: not empty, and nothing else in it.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(TOKEN, bytes)
}

/// Whether all may stand in a path, before its `?`.
pub(super) fn is_path(bytes: &[u8]) -> bool {
    all(PATH, bytes)
}

/// Whether all may stand in a query.
pub(super) fn is_query(bytes: &[u8]) -> bool {
    all(QUERY, bytes)
}

/// Whether this is the name of a host: letters, digits, `-`, `.`, `_`, `~`. Narrower than RFC
/// 3986, which also knows percent-encoding and punctuation that no DNS name has.
pub(super) fn is_host_name(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(NAME, bytes)
}

/// Whether all bytes are of this class. Without a branch for each: nearly always they are.
fn all(class: u8, bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(class, |left, &byte| left & CLASSES[usize::from(byte)])
        != 0
}

/// Whether a field value has a control byte other than HTAB in it. Without a branch, so that the
/// compiler can take many bytes at once.
pub(super) fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, &byte| {
        found | ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f)
    })
}

/// The value without white space around it (OWS: SP and HTAB).
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// The elements of a comma-separated list, trimmed; empty ones too.
pub(super) fn elements(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

/// A number of decimal digits and nothing else; `None` also when it does not fit.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
