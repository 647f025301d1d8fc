//! Requests, each with what becomes of it.

use super::{LIMITS, Phase, Refusal, framer, whole};
use Refusal as R;

/// Whole requests that pass, all bytes of them, as one head, and leave the connection idle.
#[rustfmt::skip]
pub(crate) const GOOD: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "get / HTTP/1.1\r\nhOsT:a\r\n\r\n",
    "M-SEARCH!#$%&'*+.^_`|~09 / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD //a/../b/./%zz%2F%2f?x=%zz&&== HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a|b^c[d]{e}\"f\\g~;,:@!$&'()*+= HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /?a|b^c[d]{e}`f\\g~;,:@!$&'()*+=?/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /é?ü=ñ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /? HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /?? HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a.example:8080/x?y HTTP/1.1\r\nHost: A.example:8080\r\n\r\n",
    "GET HTTPS://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "GET http://[::1]:80/ HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "GET http://a/ HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a_b-c~d.example.:65535\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: 192.0.2.1:1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: \t a \t \r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Blank: \t \r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: tab\tinside, \"quotes\", é, \u{fffd}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: token\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection:\r\nConnection: , keep-alive ,\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, TE\r\nTE: trailers\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\r\n\r",
    "POST / HTTP/1.1\r\ncontent-LENGTH:\t 003 \r\nHost: a\r\n\r\nabc",
    "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: \tCHUNKED \r\n\r\n3\r\nabc\r\n00\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000003\r\n0\r\n\r\n0000000000000000\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\te\"\r\nabc\r\n0;x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Checksum: 1\r\nX-Other:\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
];

/// Requests that are refused, and why.
#[rustfmt::skip]
pub(crate) const BAD: &[(&str, Refusal)] = &[
    // The request line.
    (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
    ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", R::RequestLine),
    ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
    ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
    ("GET /\r\n", R::RequestLine),
    ("GET\r\n", R::RequestLine),
    ("/ HTTP/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
    ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
    ("GÉT / HTTP/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", R::RequestLine),
    ("GET / HTTP/1.1x\r\nHost: a\r\n\r\n", R::RequestLine),
    ("GET / HTTP/11\r\nHost: a\r\n\r\n", R::RequestLine),
    ("GET / HTTP/1.\r\nHost: a\r\n\r\n", R::RequestLine),
    ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", R::RequestLine),
    ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", R::EmptyLines),
    ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", R::LineEnd),
    ("GET / HTTP/1.1\nHost: a\r\n\r\n", R::LineEnd),
    ("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", R::RequestLine),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", R::Version),
    ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", R::Version),
    ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", R::Version),
    ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", R::Version),
    ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", R::Connect),
    ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", R::Trace),
    ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n", R::Method),
    // The target.
    ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", R::Fragment),
    ("GET /?a#b HTTP/1.1\r\nHost: a\r\n\r\n", R::Fragment),
    ("GET http://a/#b HTTP/1.1\r\nHost: a\r\n\r\n", R::Fragment),
    ("GET http://a#b HTTP/1.1\r\nHost: a\r\n\r\n", R::Fragment),
    ("GET /<script> HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
    ("GET /a`b HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
    ("GET /?a=\"b\" HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
    ("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
    ("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
    ("GET /a\u{7f}b HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
    ("GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n", R::Target),
    ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
    ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
    ("GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
    ("OPTIONS *? HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
    ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
    ("GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
    ("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
    ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
    ("GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
    // Fields.
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", R::Fold),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", R::Fold),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\t\r\n\r\n", R::Fold),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", R::FieldName),
    ("GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n", R::FieldName),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", R::FieldName),
    ("GET / HTTP/1.1\r\nHost: a\r\nX Y: a\r\n\r\n", R::FieldName),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n", R::FieldName),
    ("GET / HTTP/1.1\r\nHost: a\r\nÜ: a\r\n\r\n", R::FieldName),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0\r\n\r\n", R::FieldValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\u{b}\r\n\r\n", R::FieldValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{7f}\r\n\r\n", R::FieldValue),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", R::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n", R::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\nX: a\r\n\r\n", R::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\r\n\n", R::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", R::FieldName),
    // Host.
    ("GET / HTTP/1.1\r\n\r\n", R::HostMissing),
    ("GET http://a/ HTTP/1.1\r\n\r\n", R::HostMissing),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", R::HostTwice),
    ("GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", R::HostTwice),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: a:0\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: []\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: é\r\n\r\n", R::Host),
    ("GET / HTTP/1.1\r\nHost: a%20b\r\n\r\n", R::Host),
    ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", R::HostDiffers),
    ("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", R::HostDiffers),
    ("GET http://a/ HTTP/1.0\r\nHost: b\r\n\r\n", R::HostDiffers),
    // How the body ends.
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", R::ContentLength),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", R::ContentLength),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nabc", R::ContentLength),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", R::ContentLength),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc", R::ContentLength),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", R::ContentLength),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3.0\r\n\r\nabc", R::ContentLength),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ٣\r\n\r\nabc", R::ContentLength),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nabc", R::ContentLength),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", R::ContentLength),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\ncontent-length: 4\r\n\r\nabc", R::ContentLength),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741825\r\n\r\nabc", R::BodyTooLarge),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", R::LengthAndCoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", R::LengthAndCoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", R::TransferEncoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", R::TransferEncoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", R::TransferEncoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n", R::TransferEncoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", R::TransferEncoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", R::TransferEncoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", R::TransferEncoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n", R::FieldValue),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", R::TransferEncoding),
    ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", R::TransferEncoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", R::TransferCoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", R::TransferCoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: X-Gzip\r\n\r\n", R::TransferCoding),
    // What else would change who reads what.
    ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", R::Expect),
    ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\n\r\n", R::Expect),
    ("GET / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n", R::Expect),
    ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n", R::H2c),
    ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket, H2C\r\n\r\n", R::H2c),
    ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c/2\r\n\r\n", R::H2c),
    ("POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", R::Upgrade),
    ("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx", R::Upgrade),
    ("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n", R::Upgrade),
    ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Host\r\n\r\n", R::Connection),
    ("POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\nx", R::Connection),
    ("POST / HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\n\r\n", R::Connection),
    ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, é\r\n\r\n", R::Connection),
    ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close x\r\n\r\n", R::Connection),
];

/// Chunked bodies that are refused, behind a head that passes: the bytes that may pass, the bytes
/// that may not, and why.
#[rustfmt::skip]
pub(crate) const BAD_CHUNKS: &[(&str, &str, Refusal)] = &[
    ("", "\r\n", R::Chunk),
    ("", ";x\r\n", R::Chunk),
    ("", " 3\r\n", R::Chunk),
    ("", "+3\r\n", R::Chunk),
    ("", "-1\r\n", R::Chunk),
    ("", "g\r\n", R::Chunk),
    ("0", "x3\r\n", R::Chunk),
    ("3", " \r\nabc\r\n", R::Chunk),
    ("3", "\t;x\r\nabc\r\n", R::Chunk),
    ("3", "\nabc\r\n", R::Chunk),
    ("3\r", "abc\r\n", R::Chunk),
    ("3\r\nabc", "d\r\n", R::Chunk),
    ("3\r\nabc", "\n0\r\n\r\n", R::Chunk),
    ("3\r\nabc\r", "0\r\n\r\n", R::Chunk),
    ("3\r\nabc\r\n", "\r\n0\r\n\r\n", R::Chunk),
    ("0000000000000000", "0\r\n\r\n", R::Chunk),
    ("3fffffff", "f\r\n", R::BodyTooLarge),
    ("40000000", "0", R::BodyTooLarge),
    ("1\r\nx\r\n4000000", "0", R::BodyTooLarge),
    ("3;a", "\n\r\nabc\r\n", R::Chunk),
    ("3;a\r", "b\r\nabc\r\n", R::Chunk),
    ("3;a", "\0\r\nabc\r\n", R::Chunk),
    ("0\r\n", "\n", R::LineEnd),
    ("0\r\n", "X: a\n\r\n", R::LineEnd),
    ("0\r\n", "X: a\r\n b\r\n\r\n", R::Fold),
    ("0\r\n", "X : a\r\n\r\n", R::FieldName),
    ("0\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", R::FieldName),
    ("0\r\n", "X: a\0\r\n\r\n", R::FieldValue),
    ("0\r\n", "X: a\rb\r\n\r\n", R::LineEnd),
    ("0\r\n", "Content-Length: 3\r\n\r\n", R::Trailer),
    ("0\r\n", "transfer-encoding: chunked\r\n\r\n", R::Trailer),
    ("0\r\n", "X: a\r\nHost: b\r\n\r\n", R::Trailer),
    ("0\r\n", "Connection: close\r\n\r\n", R::Trailer),
    ("0\r\n", "Authorization: x\r\n\r\n", R::Trailer),
    ("0\r\n", "X-Forwarded-For: x\r\n\r\n", R::Trailer),
    ("0\r\n", "Leeward-Outcome: x\r\n\r\n", R::Trailer),
];

pub(crate) const CHUNKED_HEAD: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

pub(crate) const CHUNKED: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";

#[test]
fn good_requests_pass_whole() {
    for input in GOOD {
        let seen = whole(input.as_bytes(), LIMITS);
        let wanted = (input.len(), 1, Phase::Idle, None);
        assert_eq!(
            (seen.passed, seen.heads, seen.phase, seen.refusal),
            wanted,
            "{input:?}"
        );
    }
}

#[test]
fn bad_requests_pass_not_one_byte() {
    for (input, refusal) in BAD {
        let seen = whole(input.as_bytes(), LIMITS);
        let wanted = (0, 0, Phase::Refused, Some(*refusal));
        assert_eq!(
            (seen.passed, seen.heads, seen.phase, seen.refusal),
            wanted,
            "{input:?}"
        );
    }
}

#[test]
fn bad_chunks_pass_up_to_what_is_wrong() {
    for (good, bad, refusal) in BAD_CHUNKS {
        let input = format!("{CHUNKED_HEAD}{good}{bad}");
        let seen = whole(input.as_bytes(), LIMITS);
        let wanted = (CHUNKED_HEAD.len() + good.len(), 1, Some(*refusal));
        assert_eq!((seen.passed, seen.heads, seen.refusal), wanted, "{input:?}");
    }
}

#[test]
fn a_good_request_before_a_bad_one_passes() {
    for good in GOOD {
        for (bad, refusal) in BAD.iter().filter(|(bad, _)| !bad.starts_with('\r')) {
            let seen = whole(format!("{good}{bad}").as_bytes(), LIMITS);
            let wanted = (good.len(), 1, Some(*refusal));
            assert_eq!(
                (seen.passed, seen.heads, seen.refusal),
                wanted,
                "{good:?} {bad:?}"
            );
        }
    }
}

#[test]
fn pipelined_requests_pass_together() {
    let input = GOOD.concat();
    let seen = whole(input.as_bytes(), LIMITS);
    assert_eq!((seen.passed, seen.heads), (input.len(), GOOD.len() as u64));
    assert_eq!((seen.phase, seen.refusal), (Phase::Idle, None));
}

#[test]
fn nothing_passes_behind_an_upgrade_until_it_is_declined() {
    let upgrade = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
        Upgrade: websocket\r\nContent-Length: 0\r\n\r\n";
    let next = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut framer = framer();
    assert_eq!(
        framer.accept(&[&upgrade[..], &next[..]].concat()),
        Ok(upgrade.len())
    );
    assert_eq!(framer.phase(), Phase::Paused);
    assert_eq!(framer.accept(next), Ok(0));
    assert_eq!(
        framer.accept(b"\x81\x80\0\0\0\0"),
        Ok(0),
        "frames are not looked at"
    );
    framer.resume();
    assert_eq!(framer.accept(next), Ok(next.len()));
    assert_eq!((framer.phase(), framer.heads()), (Phase::Idle, 2));
}

#[test]
fn an_empty_line_between_requests_is_no_beginning() {
    let mut framer = framer();
    for start in [&b""[..], b"\r", b"\r\n"] {
        assert_eq!(framer.accept(start), Ok(0));
        assert_eq!(framer.phase(), Phase::Idle);
    }
    assert_eq!(framer.accept(b"\r\nG"), Ok(0));
    assert_eq!(framer.phase(), Phase::Head);
}

#[test]
fn what_is_refused_stays_refused() {
    let mut framer = framer();
    let first = framer.accept(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(framer.accept(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), first);
    framer.resume();
    assert_eq!(framer.accept(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), first);
}

#[test]
fn every_refusal_is_an_error_of_the_client_or_of_what_it_asks() {
    for (_, refusal) in BAD {
        assert!(
            matches!(refusal.status(), 400..=431 | 501 | 505),
            "{refusal:?}"
        );
        assert!(
            refusal
                .as_str()
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        );
        assert!(refusal.reason().len() > 10, "{refusal:?}");
    }
}
