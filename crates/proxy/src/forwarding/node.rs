//! Somebody in a chain of forwarding fields: an address, perhaps with a port, or somebody unnamed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Somebody in a chain of forwarding fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// An address.
    Address(IpAddr),
    /// An address and a port, or an obfuscated one, which is kept as text.
    WithPort(IpAddr, String),
    /// `unknown`: whoever wrote it does not know.
    Unknown,
    /// A name such as `_hidden`: whoever wrote it does not say (RFC 7239 section 6.3).
    Obfuscated(String),
}

impl Node {
    /// An entry of `X-Forwarded-For`: an address, IPv6 with or without brackets, perhaps with a
    /// port, or `unknown`.
    pub(super) fn of_x_forwarded(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("unknown") {
            return Some(Node::Unknown);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Node::Address(address));
        }
        if let Some(address) = bracketed(text) {
            return Some(Node::Address(address));
        }
        let socket: SocketAddr = text.parse().ok()?;
        Some(Node::WithPort(socket.ip(), socket.port().to_string())).filter(|_| no_zone(text))
    }

    /// A `for` of `Forwarded`, unquoted (RFC 7239 section 6): IPv6 in brackets only.
    pub(super) fn of_rfc7239(text: &str) -> Option<Self> {
        let (name, port) = split_port(text)?;
        let address = match name {
            _ if name.eq_ignore_ascii_case("unknown") => return Some(Node::Unknown),
            _ if is_obfuscated(name) => return Some(Node::Obfuscated(name.to_owned())),
            _ if name.starts_with('[') => bracketed(name)?,
            _ => IpAddr::V4(name.parse().ok()?),
        };
        Some(match port {
            None => Node::Address(address),
            Some(port) => Node::WithPort(address, port.to_owned()),
        })
    }

    /// The address, in IPv4 where it is IPv4 in truth.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Node::Address(address) | Node::WithPort(address, _) => Some(address.to_canonical()),
            Node::Unknown | Node::Obfuscated(_) => None,
        }
    }

    /// As an entry of `X-Forwarded-For`, which has no word for those who do not say.
    pub(super) fn x_forwarded(&self) -> String {
        match self {
            Node::Address(address) => address.to_string(),
            Node::WithPort(address, port) if port.starts_with('_') => address.to_string(),
            Node::WithPort(IpAddr::V4(address), port) => format!("{address}:{port}"),
            Node::WithPort(IpAddr::V6(address), port) => format!("[{address}]:{port}"),
            Node::Unknown | Node::Obfuscated(_) => "unknown".to_owned(),
        }
    }

    /// As a `for` of `Forwarded`, not yet quoted.
    pub(super) fn rfc7239(&self) -> String {
        match self {
            Node::Address(IpAddr::V4(address)) => address.to_string(),
            Node::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Node::WithPort(IpAddr::V4(address), port) => format!("{address}:{port}"),
            Node::WithPort(IpAddr::V6(address), port) => format!("[{address}]:{port}"),
            Node::Unknown => "unknown".to_owned(),
            Node::Obfuscated(name) => name.clone(),
        }
    }
}

/// `[2001:db8::1]`.
fn bracketed(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// Whether an address has no zone, which means something on the machine that wrote it only.
fn no_zone(text: &str) -> bool {
    !text.contains('%')
}

/// `name:port`; the port is a number or an obfuscated one.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    let end_of_name = text.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = text.get(end_of_name..)?.find(':') else {
        return Some((text, None));
    };
    let (name, port) = text.split_at(end_of_name + colon);
    let port = port.strip_prefix(':')?;
    let number = port.len() <= 5
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok();
    (number || is_obfuscated(port)).then_some((name, Some(port)))
}

/// RFC 7239 section 6.3: an underscore and letters, digits, dots, underscores and dashes.
fn is_obfuscated(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() > 1 && text.starts_with('_') && text.bytes().all(inner)
}
