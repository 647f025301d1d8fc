//! The head of a request over HTTP/2, made what it would be over HTTP/1 (RFC 9113 section 8.3.1 and
//! 8.2.3), so that everything behind it need not ask which it was.

use http::header::{COOKIE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri};

/// Puts the authority into Host and joins the pieces of a cookie.
pub(super) fn as_http1(head: &mut Parts) {
    if let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.entry(HOST).or_insert(host);
    }
    if head.uri.authority().is_some() {
        let path = head.uri.path_and_query().cloned().map(Uri::from);
        head.uri = path.unwrap_or_else(|| Uri::from_static("/"));
    }
    join_cookies(&mut head.headers);
}

fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (pieces.next(), pieces.next()) else {
        return;
    };
    let mut whole = first.as_bytes().to_vec();
    for piece in std::iter::once(second).chain(pieces) {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(piece.as_bytes());
    }
    // Values without control bytes make a value without control bytes.
    if let Ok(whole) = HeaderValue::from_bytes(&whole) {
        headers.insert(COOKIE, whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn the_authority_becomes_host_and_the_pieces_of_a_cookie_one_field() {
        let mut head = Request::get("https://api.example:8443/a?b=%7e")
            .header("cookie", "a=1")
            .header("x-other", "1")
            .header("cookie", "b=2")
            .header("cookie", "c=\"3\"")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        as_http1(&mut head);
        assert_eq!(head.uri, "/a?b=%7e");
        assert_eq!(head.headers[HOST], "api.example:8443");
        let cookies: Vec<_> = head.headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=\"3\""]);
        assert_eq!(head.headers["x-other"], "1");
    }

    #[test]
    fn a_client_s_own_host_stays_as_it_was_written() {
        let mut head = Request::get("https://api.example/a")
            .header("host", "API.example")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        as_http1(&mut head);
        assert_eq!(head.headers[HOST], "API.example");
    }
}
