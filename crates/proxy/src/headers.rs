//! Header fields on their way through: what must go, what is added, what has to be left alone.
//!
//! Hop-by-hop fields end here in both directions (RFC 9110 section 7.6.1), then leeward's own are
//! added. Everything else passes byte for byte (P3).

use crate::forwarding::{Forwarding, Seen};
use http::header::{
    self, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Request, Response, Version};
use leeward_config::policy::HostHeader;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Fields with this prefix are leeward's own words; nobody else's pass.
const OWN_PREFIX: &str = "leeward-";

/// What a request's hop-by-hop fields asked for before they were removed.
#[derive(Debug, Default)]
pub(crate) struct Hop {
    /// The protocols of an upgrade, when one was asked for.
    pub(crate) upgrade: Option<HeaderValue>,
    /// Whether the client takes trailers.
    pub(crate) trailers: bool,
}

/// Makes a client's request fit to be sent to any backend; the Host field comes later, by
/// [`set_host`], since it may differ by backend.
pub(crate) fn prepare_request<B>(
    request: &mut Request<B>,
    forwarding: &Forwarding,
    seen: &Seen,
) -> Hop {
    let headers = request.headers_mut();
    let mut hop = Hop::default();
    let present = Present::of(headers);
    if present.has(CONNECTION_FIELD) && contains_token(headers, &CONNECTION, "upgrade") {
        hop.upgrade = headers.get(UPGRADE).cloned();
    }
    hop.trailers = present.has(TE_FIELD) && contains_token(headers, &TE, "trailers");
    strip_hop_by_hop(headers, present);
    strip_own(headers, present);
    forwarding.apply(headers, seen, present.has(FORWARDING_FIELD));
    if let Some(protocols) = &hop.upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocols.clone());
    } else if hop.trailers {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    *request.version_mut() = Version::HTTP_11;
    hop
}

/// Makes a body of unknown length one of HTTP/1.1: hyper would leave it off a GET unless told. A
/// request that came over HTTP/2 need not say that there is one.
pub(crate) fn frame_body(headers: &mut HeaderMap, exists: bool) {
    if exists && !headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Sets the Host field that `wanted` asks for. A request of HTTP/1.0 without one gets the backend's.
pub(crate) fn set_host(headers: &mut HeaderMap, wanted: &HostHeader, authority: &str) {
    let value = match wanted {
        HostHeader::Client if headers.contains_key(HOST) => return,
        HostHeader::Client | HostHeader::Backend => authority,
        HostHeader::Literal(host) => host,
    };
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HOST, value);
    }
}

/// Makes a backend's answer fit for the client. `upgraded` keeps what a 101 needs.
pub(crate) fn prepare_response<B>(response: &mut Response<B>, upgraded: bool) {
    let headers = response.headers_mut();
    let protocol = if upgraded {
        headers.get(UPGRADE).cloned()
    } else {
        None
    };
    let present = Present::of(headers);
    strip_hop_by_hop(headers, present);
    strip_own(headers, present);
    if upgraded {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(protocol) = protocol {
            headers.insert(UPGRADE, protocol);
        }
    }
}

/// Makes the trailers of a backend's answer fit for the client.
pub(crate) fn prepare_trailers(trailers: &mut HeaderMap) {
    let present = Present::of(trailers);
    strip_hop_by_hop(trailers, present);
    strip_own(trailers, present);
}

/// Whether an answer's framing says two things at once (RFC 9112 section 6.3): the next answer on
/// that connection could be anybody's.
pub(crate) fn framing_is_ambiguous(headers: &HeaderMap) -> bool {
    let Some(encoding) = headers.get(TRANSFER_ENCODING) else {
        return false;
    };
    headers.contains_key(header::CONTENT_LENGTH)
        || headers.get_all(TRANSFER_ENCODING).iter().count() > 1
        || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked")
}

/// Whether a request of this method can have its answer's body held back (RFC 9110 section 9.3.2).
pub(crate) fn answer_has_no_body(method: &Method) -> bool {
    method == Method::HEAD
}

fn strip_hop_by_hop(headers: &mut HeaderMap, present: Present) {
    if present.has(CONNECTION_FIELD) {
        let listed: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            // The usual options are no fields of any other name.
            .filter(|token| !USUAL.iter().any(|usual| token.eq_ignore_ascii_case(usual)))
            .filter_map(|token| HeaderName::from_bytes(token).ok())
            .collect();
        for name in listed {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if present.has(HOP_FIELD | TE_FIELD | UPGRADE_FIELD) {
        for name in [KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
            headers.remove(name);
        }
    }
}

/// Removes leeward's own words, and names that backends which write `_` for `-` (CGI, WSGI) would
/// take for them or for a forwarding field.
fn strip_own(headers: &mut HeaderMap, present: Present) {
    if present.has(OWN_FIELD) {
        let own: Vec<HeaderName> = headers
            .keys()
            .filter(|name| is_own(name.as_str()))
            .cloned()
            .collect();
        for name in own {
            headers.remove(name);
        }
    }
}

fn is_own(name: &str) -> bool {
    // Each of them begins with one of these: most names need no closer look.
    if !name.starts_with(['l', 'x']) {
        return false;
    }
    if memchr::memchr(b'_', name.as_bytes()).is_none() {
        return name.starts_with(OWN_PREFIX);
    }
    let meant = name.replace('_', "-");
    meant.starts_with(OWN_PREFIX)
        || crate::forwarding::FIELDS
            .iter()
            .any(|field| field.as_str() == meant)
}

/// Options of the Connection field that name no field, or one that goes anyway.
const USUAL: [&[u8]; 4] = [b"keep-alive", b"close", b"upgrade", b"te"];

const CONNECTION_FIELD: u8 = 1;
const TE_FIELD: u8 = 1 << 1;
const UPGRADE_FIELD: u8 = 1 << 2;
/// The other hop-by-hop fields.
const HOP_FIELD: u8 = 1 << 3;
const OWN_FIELD: u8 = 1 << 4;
const FORWARDING_FIELD: u8 = 1 << 5;

/// Which kinds of fields a message has that something may have to be done about: one look at its
/// names instead of a look-up of each.
#[derive(Clone, Copy)]
struct Present(u8);

impl Present {
    fn of(headers: &HeaderMap) -> Self {
        Self(headers.keys().fold(0, |found, name| found | kind(name)))
    }

    const fn has(self, kinds: u8) -> bool {
        self.0 & kinds != 0
    }
}

fn kind(name: &HeaderName) -> u8 {
    let name = name.as_str();
    match name {
        "connection" => CONNECTION_FIELD,
        "te" => TE_FIELD,
        "upgrade" => UPGRADE_FIELD,
        "keep-alive" | "proxy-connection" | "transfer-encoding" => HOP_FIELD,
        "forwarded" | "x-real-ip" => FORWARDING_FIELD,
        _ if name.starts_with("x-forwarded-") => FORWARDING_FIELD,
        _ if is_own(name) => OWN_FIELD,
        _ => 0,
    }
}

fn contains_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn prepared(fields: &[(&str, &str)]) -> (Request<()>, Hop) {
        let mut builder = Request::builder().uri("/");
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        let mut request = builder.body(()).unwrap();
        let peer = "192.0.2.9".parse().unwrap();
        let forwarding = Forwarding::new(peer, true, &Arc::default());
        let hop = prepare_request(&mut request, &forwarding, &Seen::default());
        (request, hop)
    }

    #[test]
    fn fields_listed_in_connection_go_before_our_own_are_added() {
        let (request, _) = prepared(&[
            ("host", "api.example"),
            ("connection", "close, X-Secret, x-forwarded-for"),
            ("x-secret", "1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("keep-alive", "timeout=5"),
        ]);
        let headers = request.headers();
        assert!(!headers.contains_key("x-secret"));
        assert!(!headers.contains_key("connection"));
        assert!(!headers.contains_key("keep-alive"));
        assert_eq!(headers["x-forwarded-for"], "192.0.2.9");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "api.example");
    }

    #[test]
    fn a_spoofed_forwarding_field_never_survives() {
        let (request, _) = prepared(&[
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-for", "5.6.7.8"),
            ("x-real-ip", "1.2.3.4"),
            ("x-forwarded-host", "evil.example"),
        ]);
        let headers = request.headers();
        assert!(!headers.contains_key("forwarded"));
        assert!(!headers.contains_key("x-real-ip"));
        assert!(!headers.contains_key("x-forwarded-host"));
        assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
    }

    #[test]
    fn an_upgrade_is_told_apart_from_a_stray_upgrade_field() {
        let (request, hop) = prepared(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(hop.upgrade.unwrap(), "websocket");
        assert_eq!(request.headers()["upgrade"], "websocket");
        let (request, hop) = prepared(&[("upgrade", "websocket")]);
        assert!(hop.upgrade.is_none());
        assert!(!request.headers().contains_key("upgrade"));
    }

    #[test]
    fn every_field_of_our_own_is_looked_at_however_it_is_written() {
        let fields = crate::forwarding::FIELDS;
        let names = fields.iter().map(HeaderName::as_str);
        for name in names.chain(["leeward-outcome"]) {
            assert!(
                is_own(&name.replace('-', "_")) || !name.contains('-'),
                "{name}"
            );
        }
    }

    #[test]
    fn leeward_s_own_words_are_nobody_else_s() {
        let (request, _) = prepared(&[("leeward-outcome", "not-sent"), ("leeward-x", "1")]);
        assert!(
            request
                .headers()
                .keys()
                .all(|name| !name.as_str().starts_with("leeward-"))
        );
        let mut response = Response::builder()
            .header("Leeward-Outcome", "shed")
            .body(())
            .unwrap();
        prepare_response(&mut response, false);
        assert!(response.headers().is_empty());
    }

    #[test]
    fn an_answer_with_two_lengths_is_ambiguous() {
        let mut headers = HeaderMap::new();
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("Chunked"));
        assert!(!framing_is_ambiguous(&headers));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("3"));
        assert!(framing_is_ambiguous(&headers));
    }

    #[test]
    fn the_host_field_follows_the_policy() {
        let mut headers = HeaderMap::new();
        set_host(&mut headers, &HostHeader::Client, "b.example:8080");
        assert_eq!(headers[HOST], "b.example:8080");
        headers.insert(HOST, HeaderValue::from_static("client.example"));
        set_host(&mut headers, &HostHeader::Client, "b.example");
        assert_eq!(headers[HOST], "client.example");
        set_host(&mut headers, &HostHeader::Literal("x".into()), "b.example");
        assert_eq!(headers[HOST], "x");
        set_host(&mut headers, &HostHeader::Backend, "b.example");
        assert_eq!(headers[HOST], "b.example");
    }
}
