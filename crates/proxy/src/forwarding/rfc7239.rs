//! The field `Forwarded` (RFC 7239): its elements from the right, one element read, one written.
//!
//! Read from the right because the left is the client's word, which must not be able to swallow
//! what trusted peers wrote behind it, by an open quote for instance. Parsers that split at commas
//! without regard to quotes are no use for that.

use super::node::Node;
use std::fmt;

/// One element, to be written.
#[derive(Clone, Debug)]
pub(super) struct Element<'a> {
    /// Who.
    pub(super) node: Node,
    /// What the request asked for.
    pub(super) host: Option<&'a str>,
    /// How it came.
    pub(super) proto: Option<&'a str>,
}

/// What an element said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    /// Who; unknown where the element does not say.
    pub(super) node: Node,
    pub(super) host: Option<String>,
    pub(super) proto: Option<String>,
}

/// The elements of one line, the last one first, trimmed.
pub(super) fn from_the_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let comma = last_comma(line);
        rest = comma.map(|comma| &line[..comma]);
        let element = comma.map_or(line, |comma| &line[comma + 1..]);
        Some(element.trim_ascii())
    })
}

/// The last comma that is not within quotes.
fn last_comma(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in line.iter().enumerate().rev() {
        match byte {
            b'"' if !(quoted && is_escaped(line, at)) => quoted = !quoted,
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Whether an odd number of backslashes stands before it.
fn is_escaped(line: &[u8], at: usize) -> bool {
    let before = line[..at].iter().rev();
    before.take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Reads one element; `None` for anything but the grammar of RFC 7239 section 4, a parameter given
/// twice, and values that cannot be what they are called.
pub(super) fn parse(element: &str) -> Option<Parsed> {
    let (mut node, mut host, mut proto, mut by) = (None, None, None, None);
    let mut rest = element;
    loop {
        let mut extension = None;
        let (name, behind) = rest.split_once('=')?;
        let name = name.trim_ascii();
        let (value, behind) = value(behind)?;
        let slot = match name {
            _ if !is_token(name) => return None,
            _ if name.eq_ignore_ascii_case("for") => &mut node,
            _ if name.eq_ignore_ascii_case("host") => &mut host,
            _ if name.eq_ignore_ascii_case("proto") => &mut proto,
            _ if name.eq_ignore_ascii_case("by") => &mut by,
            _ => &mut extension,
        };
        if slot.replace(value).is_some() {
            return None;
        }
        let behind = behind.trim_ascii();
        if behind.is_empty() {
            break;
        }
        rest = behind.strip_prefix(';')?;
    }
    let good = host.as_deref().is_none_or(is_host) && proto.as_deref().is_none_or(is_scheme);
    let node = match node {
        None => Node::Unknown,
        Some(node) => Node::of_rfc7239(&node)?,
    };
    good.then_some(Parsed { node, host, proto })
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        let (token, behind) = text.split_at(end);
        return is_token(token).then(|| (token.to_owned(), behind));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(inner)
}

/// The name of a URI scheme (RFC 3986 section 3.1), of no more than a sane length.
pub(super) fn is_scheme(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.len() <= 16
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(inner)
}

/// What a Host field may say: a host and perhaps a port, no user, and not several of them.
pub(super) fn is_host(text: &str) -> bool {
    text.len() <= 255 && !text.contains(['@', ',']) && text.parse::<http::uri::Authority>().is_ok()
}

impl fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("for=")?;
        write_value(f, &self.node.rfc7239())?;
        for (name, value) in [("host", self.host), ("proto", self.proto)] {
            if let Some(value) = value {
                write!(f, ";{name}=")?;
                write_value(f, value)?;
            }
        }
        Ok(())
    }
}

/// Colons and brackets stand in quotes.
fn write_value(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    use fmt::Write;
    if is_token(value) {
        return f.write_str(value);
    }
    f.write_char('"')?;
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}
