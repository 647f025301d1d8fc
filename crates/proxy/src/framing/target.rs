//! The request target and Host (RFC 9112 §3.2, RFC 9110 §7.2).
//!
//! Owns which targets may pass: those that `http::Uri` gives back byte for byte, in origin form,
//! absolute form, or `*` with OPTIONS. Refuses fragments, users, hosts that are no DNS names or
//! addresses, and everything that would have to be altered on the way. Called by `head`.

use super::bytes;
use super::refusal::Refusal;
use memchr::memchr;
use std::net::Ipv6Addr;

/// Bytes of a target at most. `http::Uri` ends at 64 KiB.
pub(super) const MAX_TARGET: usize = 32 * 1024;

/// Looks at a target; the authority, when it is in absolute form.
pub(super) fn check<'a>(method: &[u8], target: &'a [u8]) -> Result<Option<&'a [u8]>, Refusal> {
    if target.len() > MAX_TARGET {
        return Err(Refusal::TargetTooLong);
    }
    match target.first() {
        Some(b'/') => path_and_query(target).map(|()| None),
        Some(b'*') if target.len() == 1 && method == b"OPTIONS" => Ok(None),
        Some(_) => absolute(target).map(Some),
        None => Err(Refusal::RequestLine),
    }
}

/// Whether this is `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(super) fn is_authority(value: &[u8]) -> bool {
    if let Some(rest) = value.strip_prefix(b"[") {
        let Some(end) = memchr(b']', rest) else {
            return false;
        };
        let address = std::str::from_utf8(&rest[..end]).ok();
        return address.is_some_and(|text| text.parse::<Ipv6Addr>().is_ok())
            && is_port_or_nothing(&rest[end + 1..]);
    }
    let host = memchr(b':', value).unwrap_or(value.len());
    bytes::is_host_name(&value[..host]) && is_port_or_nothing(&value[host..])
}

fn is_port_or_nothing(rest: &[u8]) -> bool {
    match rest.split_first() {
        None => true,
        Some((b':', digits)) => {
            digits.len() <= 5
                && bytes::decimal(digits).is_some_and(|port| (1..=65535).contains(&port))
        }
        Some(_) => false,
    }
}

fn absolute(target: &[u8]) -> Result<&[u8], Refusal> {
    let rest = without_prefix(target, b"http://")
        .or_else(|| without_prefix(target, b"https://"))
        .ok_or(Refusal::TargetForm)?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_authority(authority) {
        return Err(Refusal::TargetForm);
    }
    match path.first() {
        // An empty path means `/`; with a query behind it, a byte would have to be added.
        None => Ok(authority),
        Some(b'/') => path_and_query(path).map(|()| authority),
        Some(b'#') => Err(Refusal::Fragment),
        Some(_) => Err(Refusal::TargetForm),
    }
}

fn without_prefix<'a>(target: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = target.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn path_and_query(target: &[u8]) -> Result<(), Refusal> {
    let query = memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at(query);
    if !bytes::is_path(path) || !bytes::is_query(query) {
        let fragment = memchr(b'#', target).is_some();
        return Err(if fragment {
            Refusal::Fragment
        } else {
            Refusal::Target
        });
    }
    if !target.is_ascii() && std::str::from_utf8(target).is_err() {
        return Err(Refusal::Target);
    }
    Ok(())
}
