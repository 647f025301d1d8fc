//! Requests that break HTTP, by name: the tables of [`crate::badinput`].

/// What is sent, and the statuses that are a right answer to it.
pub(crate) const HEADS: &[(&str, &str, &[u16])] = &[
    (
        "length beside chunks",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "chunks beside length",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "two lengths",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        &[400],
    ),
    (
        "the same length twice",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        &[400],
    ),
    (
        "a list of lengths",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello",
        &[400],
    ),
    (
        "a signed length",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello",
        &[400],
    ),
    (
        "a negative length",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        &[400],
    ),
    (
        "a length in hex",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nhello",
        &[400],
    ),
    (
        "an endless length",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        &[400, 413],
    ),
    (
        "an empty length",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n",
        &[400],
    ),
    (
        "space before the colon",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nhello",
        &[400],
    ),
    (
        "an unknown coding",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: cow\r\n\r\n",
        &[400, 501],
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "chunked in two fields",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "a coding after chunked",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "gzip and chunked",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "xchunked",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "a tab in chunked",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "chunks in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    ("no Host", "GET / HTTP/1.1\r\nX-A: b\r\n\r\n", &[400]),
    (
        "two Hosts",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        &[400],
    ),
    (
        "the same Host twice",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        &[400],
    ),
    (
        "a Host with a path",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        &[400],
    ),
    (
        "a Host with a user",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        &[400],
    ),
    (
        "a list of Hosts",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        &[400],
    ),
    (
        "a Host that differs",
        "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
        &[400],
    ),
    (
        "a folded field",
        "GET / HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n",
        &[400],
    ),
    (
        "a fold after the request line",
        "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
        &[400],
    ),
    ("bare LF", "GET / HTTP/1.1\nHost: h\n\n", &[400]),
    (
        "a bare LF among CRLF",
        "GET / HTTP/1.1\r\nHost: h\nX-A: b\r\n\r\n",
        &[400],
    ),
    (
        "a bare CR in a value",
        "GET / HTTP/1.1\r\nHost: h\r\nX-A: b\rc\r\n\r\n",
        &[400],
    ),
    (
        "a NUL in a value",
        "GET / HTTP/1.1\r\nHost: h\r\nX-A: b\0c\r\n\r\n",
        &[400],
    ),
    (
        "a NUL in a name",
        "GET / HTTP/1.1\r\nHost: h\r\nX\0A: b\r\n\r\n",
        &[400],
    ),
    (
        "a field without a name",
        "GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n",
        &[400],
    ),
    (
        "a field without a colon",
        "GET / HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n",
        &[400],
    ),
    (
        "a space in a name",
        "GET / HTTP/1.1\r\nHost: h\r\nX A: b\r\n\r\n",
        &[400],
    ),
    (
        "a space in the target",
        "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        &[400],
    ),
    (
        "a tab for a space",
        "GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n",
        &[400],
    ),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", &[400]),
    (
        "a space at the end",
        "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
        &[400],
    ),
    ("no version", "GET /\r\nHost: h\r\n\r\n", &[400]),
    ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", &[400, 505]),
    ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", &[400, 505]),
    (
        "http in small letters",
        "GET / http/1.1\r\nHost: h\r\n\r\n",
        &[400, 505],
    ),
    (
        "HTTP/2 without an upgrade",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[400, 505],
    ),
    (
        "a target without a slash",
        "GET order HTTP/1.1\r\nHost: h\r\n\r\n",
        &[400],
    ),
    (
        "a star with GET",
        "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
        &[400],
    ),
    (
        "another scheme",
        "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        &[400],
    ),
    (
        "CONNECT",
        "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
        &[400, 405, 501],
    ),
    (
        "CONNECT to a path",
        "CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n",
        &[400, 405, 501],
    ),
    (
        "TRACE",
        "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n",
        &[400, 405, 501],
    ),
    (
        "a method with a slash",
        "GE/T / HTTP/1.1\r\nHost: h\r\n\r\n",
        &[400, 501],
    ),
    (
        "an upgrade to h2c",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        &[400, 501],
    ),
    (
        "an upgrade to h2c behind websocket",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
        &[400, 501],
    ),
    (
        "an unknown expectation",
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n",
        &[400, 417],
    ),
    (
        "a Connection that names Content-Length",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello",
        &[400],
    ),
    (
        "not HTTP at all",
        "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n",
        &[400],
    ),
    (
        "empty lines without end",
        "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        &[400],
    ),
];

/// What is sent as a chunked body.
pub(crate) const CHUNKS: &[(&str, &str)] = &[
    ("a size that is no number", "xyz\r\nhello\r\n0\r\n\r\n"),
    ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a sign", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a size in C's hex", "0x5\r\nhello\r\n0\r\n\r\n"),
    (
        "a size that overflows",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    ),
    ("an empty size", "\r\nhello\r\n0\r\n\r\n"),
    ("a size with a bare LF", "5\nhello\r\n0\r\n\r\n"),
    ("a chunk longer than its size", "3\r\nhello\r\n0\r\n\r\n"),
    ("a chunk without CRLF behind it", "5\r\nhello0\r\n\r\n"),
    ("a bare LF behind a chunk", "5\r\nhello\n0\r\n\r\n"),
    ("a bare LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
    (
        "a trailer that frames",
        "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    ),
    (
        "a trailer without a colon",
        "5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
    ),
];
