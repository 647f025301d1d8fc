//! What HTTP/2 leaves to be refused in a request (RFC 9113 section 8).
//!
//! The `h2` crate owns the frames: it refuses connection-specific fields, pseudo-header fields in
//! the wrong place, field names with capitals, bodies that differ from their Content-Length. The
//! rules here are those of HTTP/1.1, so that a request means the same whichever way it comes:
//! which methods, which targets, one authority, one length. Alters nothing. Called by `serve_h2`.

use super::refusal::Refusal;
use super::{FramingLimits, bytes, chunked, target};
use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

/// No registered method is longer than 17 bytes.
const MAX_METHOD: usize = 64;

/// Looks at a head that the `h2` crate has let pass. Errors: what is wrong with it.
pub(crate) fn check_head(head: &Parts, limits: &FramingLimits) -> Result<(), Refusal> {
    match head.method {
        Method::CONNECT => return Err(Refusal::Connect),
        Method::TRACE => return Err(Refusal::Trace),
        _ if head.method.as_str().len() > MAX_METHOD => return Err(Refusal::Method),
        _ => {}
    }
    if head.headers.len() > limits.header_count {
        return Err(Refusal::TooManyFields);
    }
    check_target(head)?;
    check_authority(head)?;
    check_fields(&head.headers, limits)
}

/// Looks at the trailers of a request.
pub(crate) fn check_trailers(trailers: &HeaderMap, limits: &FramingLimits) -> Result<(), Refusal> {
    if trailers.len() > limits.header_count {
        return Err(Refusal::TrailersTooLarge);
    }
    for (name, value) in trailers {
        if chunked::is_forbidden(name.as_str().as_bytes()) || has_outer_blanks(value) {
            return Err(Refusal::Trailer);
        }
    }
    Ok(())
}

fn check_target(head: &Parts) -> Result<(), Refusal> {
    let good_scheme = |scheme: &str| matches!(scheme, "http" | "https");
    if !head.uri.scheme_str().is_none_or(good_scheme) {
        return Err(Refusal::TargetForm);
    }
    let path = head
        .uri
        .path_and_query()
        .map_or("", http::uri::PathAndQuery::as_str);
    if !path.starts_with(['/', '*']) {
        return Err(Refusal::TargetForm);
    }
    target::check(head.method.as_str().as_bytes(), path.as_bytes()).map(|_| ())
}

/// One authority: in `:authority`, in Host, or the same in both (RFC 9113 section 8.3.1).
fn check_authority(head: &Parts) -> Result<(), Refusal> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(Refusal::HostTwice);
    }
    let authority = head
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let named = authority.or(host).ok_or(Refusal::HostMissing)?;
    if !target::is_authority(named) {
        return Err(Refusal::Host);
    }
    match host {
        Some(host) if !host.eq_ignore_ascii_case(named) => Err(Refusal::HostDiffers),
        _ => Ok(()),
    }
}

fn check_fields(headers: &HeaderMap, limits: &FramingLimits) -> Result<(), Refusal> {
    if headers.values().any(has_outer_blanks) {
        return Err(Refusal::FieldValue);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let length = bytes::decimal(length.as_bytes()).ok_or(Refusal::ContentLength)?;
        if lengths.next().is_some() {
            return Err(Refusal::ContentLength);
        }
        if length > limits.max_body {
            return Err(Refusal::BodyTooLarge);
        }
    }
    let known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if !headers.get_all(EXPECT).iter().all(known) {
        return Err(Refusal::Expect);
    }
    Ok(())
}

/// White space around a value (RFC 9113 section 8.2.1): HTTP/1.1 could not pass it on.
fn has_outer_blanks(value: &HeaderValue) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let value = value.as_bytes();
    blank(value.first()) || blank(value.last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    type Case = (
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
        Refusal,
    );

    const LIMITS: FramingLimits = FramingLimits {
        header_bytes: 65536,
        header_count: 4,
        max_body: 1000,
    };

    fn checked(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        check_head(&request.body(()).unwrap().into_parts().0, &LIMITS)
    }

    #[test]
    fn ordinary_requests_pass() {
        assert_eq!(checked("GET", "https://api.example/a?b=c", &[]), Ok(()));
        assert_eq!(checked("GET", "/a", &[("host", "api.example")]), Ok(()));
        let both = [("host", "API.example:8443")];
        assert_eq!(checked("POST", "https://api.example:8443/", &both), Ok(()));
        let length = [("content-length", "1000"), ("expect", "100-continue")];
        assert_eq!(checked("PUT", "https://api.example/", &length), Ok(()));
    }

    #[test]
    fn what_http_1_refuses_is_refused_here_too() {
        let url = "https://api.example/a";
        let cases: [Case; 14] = [
            ("TRACE", url, &[], Refusal::Trace),
            ("CONNECT", "api.example:443", &[], Refusal::Connect),
            ("GET", "/a", &[], Refusal::HostMissing),
            ("GET", "https://me@api.example/a", &[], Refusal::Host),
            ("GET", "https://a!b/a", &[], Refusal::Host),
            ("GET", "ftp://api.example/a", &[], Refusal::TargetForm),
            ("GET", url, &[("host", "b.example")], Refusal::HostDiffers),
            (
                "GET",
                url,
                &[("host", "api.example"), ("host", "api.example")],
                Refusal::HostTwice,
            ),
            ("GET", "/a", &[("host", "a b")], Refusal::Host),
            (
                "PUT",
                url,
                &[("content-length", "1001")],
                Refusal::BodyTooLarge,
            ),
            (
                "PUT",
                url,
                &[("content-length", "+1")],
                Refusal::ContentLength,
            ),
            (
                "PUT",
                url,
                &[("content-length", "1"), ("content-length", "1")],
                Refusal::ContentLength,
            ),
            ("PUT", url, &[("expect", "a-miracle")], Refusal::Expect),
            (
                "GET",
                url,
                &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")],
                Refusal::TooManyFields,
            ),
        ];
        for (method, uri, fields, refusal) in cases {
            assert_eq!(
                checked(method, uri, fields),
                Err(refusal),
                "{method} {uri} {fields:?}"
            );
        }
    }

    #[test]
    fn a_value_with_white_space_around_it_cannot_be_passed_on() {
        let mut request = Request::get("https://api.example/").body(()).unwrap();
        for value in [" a", "a ", "\ta", " "] {
            let value = HeaderValue::from_static(value);
            request.headers_mut().insert("x-a", value);
            let head = request.clone().into_parts().0;
            assert_eq!(check_head(&head, &LIMITS), Err(Refusal::FieldValue));
        }
    }

    #[test]
    fn trailers_that_would_change_the_request_are_refused() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("1"));
        assert_eq!(check_trailers(&trailers, &LIMITS), Ok(()));
        for name in [
            "host",
            "content-length",
            "x-forwarded-for",
            "leeward-outcome",
        ] {
            let mut trailers = HeaderMap::new();
            trailers.insert(name, HeaderValue::from_static("1"));
            assert_eq!(
                check_trailers(&trailers, &LIMITS),
                Err(Refusal::Trailer),
                "{name}"
            );
        }
    }
}
