//! Names, addresses and header fields: the small things of HTTP that several sections share.

use crate::fields::{expected, present, text};
use crate::report::Report;
use crate::shape::routes::MAX_HEADERS;
use crate::tree::{Entry, Kind, Node};
use http::header::HeaderName;
use std::net::{IpAddr, SocketAddr};

/// An address and port to listen on.
pub(super) fn address(report: &Report<'_>, node: &Node) -> Option<SocketAddr> {
    const WHAT: &str = "an address and port such as 0.0.0.0:8443";
    let text = text(report, node, WHAT)?;
    let address: Option<SocketAddr> = text.parse().ok();
    if address.is_none() {
        let port = text.trim_start_matches(['*', ':']);
        let hint = if port.parse::<u16>().is_ok() {
            Some(format!(
                "for every address write `0.0.0.0:{port}` or `[::]:{port}`"
            ))
        } else if text.starts_with("localhost:") {
            Some(format!(
                "write `{}`",
                text.replace("localhost", "127.0.0.1")
            ))
        } else if text.parse::<IpAddr>().is_ok() {
            Some("add a port".to_owned())
        } else {
            Some("names are not looked up here".to_owned())
        };
        expected(report, node, WHAT, hint);
    }
    address
}

/// Whether a text is a host name or an IPv4 address. Underscores are let through: they occur.
pub(super) fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(inner)
    };
    let bare = host.strip_suffix('.').unwrap_or(host);
    // A last label of digits makes it an address, and then it has to be a good one.
    let last = bare.rsplit('.').next().unwrap_or_default();
    let digits = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    host.len() <= 253
        && bare.split('.').all(label)
        && (!digits || bare.parse::<std::net::Ipv4Addr>().is_ok())
}

/// Header fields with what is asked of each: `true` for its presence, anything else for its value.
pub(super) fn conditions(report: &Report<'_>, node: &Node) -> Vec<(HeaderName, Option<String>)> {
    let mut found = Vec::new();
    for entry in named_headers(report, node) {
        let Some(name) = header_name(report, entry) else {
            continue;
        };
        let Some(node) = present(report, entry) else {
            continue;
        };
        let Some(scalar) = node.scalar() else {
            expected(
                report,
                node,
                "a value, or true for a field that has to be there",
                None,
            );
            continue;
        };
        match scalar.text.as_str() {
            "true" if scalar.plain => found.push((name, None)),
            "false" if scalar.plain => {
                let hint = "quote it where the text is meant: \"false\"";
                let text = "a field that has to be absent cannot be asked for";
                report.error_hint(node.pos, text, hint);
            }
            value => found.push((name, Some(value.to_owned()))),
        }
    }
    found
}

/// Entries of a mapping of header fields.
pub(super) fn named_headers<'a>(report: &Report<'_>, node: &'a Node) -> &'a [Entry] {
    let Kind::Mapping(entries) = &node.kind else {
        expected(report, node, "header fields such as { X-Kind: spot }", None);
        return &[];
    };
    if entries.len() > MAX_HEADERS {
        report.error(node.pos, format!("more than {MAX_HEADERS} header fields"));
        return &[];
    }
    entries
}

/// The key of an entry as the name of a header field.
pub(super) fn header_name(report: &Report<'_>, entry: &Entry) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(entry.key.as_bytes()).ok();
    if name.is_none() {
        report.error(
            entry.pos,
            format!("`{}` cannot be the name of a header field", entry.key),
        );
    }
    name
}

/// A path as it stands in a request: from a slash on, visible ASCII.
pub(super) fn path<'a>(
    report: &Report<'_>,
    node: &'a Node,
    query_allowed: bool,
) -> Option<&'a str> {
    let path = text(report, node, "a path such as /api/v3/order")?;
    let bad = path
        .bytes()
        .find(|byte| !(0x21..=0x7e).contains(byte) || *byte == b'#');
    if !path.starts_with('/') {
        let hint = Some("a path begins with a slash".to_owned());
        expected(report, node, "a path such as /api/v3/order", hint);
    } else if let Some(bad) = bad {
        let shown = char::from(bad).escape_default();
        let hint = "write it percent-encoded, as clients send it";
        report.error_hint(node.pos, format!("a path has no `{shown}`"), hint);
    } else if !query_allowed && path.contains('?') {
        report.error_hint(
            node.pos,
            "a route looks at the path, not at the query",
            "end before `?`",
        );
    } else {
        return Some(path);
    }
    None
}
