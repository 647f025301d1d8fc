//! How a client is told that it was refused.

use super::harness::serve;
use leeward_config::policy::Limits;

fn one(input: &str) -> super::harness::Outcome {
    serve([input.as_bytes().to_vec()], &Limits::default())
}

#[test]
fn a_refusal_has_its_turn_behind_earlier_requests() {
    let outcome = one("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok\
         GET /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
         GET /4 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(outcome.statuses(), ["200", "200", "400"]);
    assert!(
        outcome
            .answers
            .ends_with("Content-Length beside Transfer-Encoding")
    );
    assert_eq!(outcome.seen.len(), 2);
    assert!(outcome.closed);
    assert_eq!(outcome.watch.heads(), 2);
}

#[test]
fn every_status_reaches_the_client() {
    for (input, status) in [
        ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n",
            "413",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", "417"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "501"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
    ] {
        let outcome = one(input);
        assert_eq!(outcome.statuses(), [status], "{input:?}");
        assert!(outcome.closed && outcome.seen.is_empty(), "{input:?}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(40_000));
    assert_eq!(one(&long).statuses(), ["414"]);
    let large = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    assert_eq!(one(&large).statuses(), ["431"]);
}

#[test]
fn a_body_that_is_refused_fails_and_is_answered_by_the_service() {
    let outcome = one(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n3 \r\ndef\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(outcome.statuses(), ["400"]);
    assert_eq!(outcome.seen.len(), 1);
    assert_eq!(
        (&outcome.seen[0].body[..], outcome.seen[0].whole),
        (&b"abc"[..], false)
    );
    assert!(outcome.closed);
}

#[test]
fn a_chunked_body_beyond_the_limit_fails() {
    let limits = Limits {
        max_body: 5,
        ..Limits::default()
    };
    let input = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    let outcome = serve([input.to_vec()], &limits);
    assert_eq!(outcome.statuses(), ["413"]);
    assert!(!outcome.seen[0].whole);
}

#[test]
fn nothing_is_answered_behind_a_request_that_closes() {
    let outcome = one("GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nnonsense\r\n\r\n");
    assert_eq!(outcome.statuses(), ["200"]);
    assert!(outcome.closed);
}

#[test]
fn a_client_that_leaves_in_a_head_gets_nothing() {
    let outcome = one("GET / HTTP/1.1\r\nHost: a\r\n");
    assert_eq!(outcome.answers, "");
    assert!(outcome.seen.is_empty());
}

#[test]
fn a_head_that_hyper_would_not_hold_is_refused_before_it() {
    let limits = Limits {
        header_bytes: 16 << 20,
        ..Limits::default()
    };
    let request = |len: usize| {
        let without = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        let value = "x".repeat(len - without);
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n").into_bytes()
    };
    let outcome = serve([request(400 * 1024)], &limits);
    assert_eq!(outcome.statuses(), ["200"]);
    let outcome = serve([request(400 * 1024 + 1)], &limits);
    assert_eq!(outcome.statuses(), ["431"]);
    assert!(outcome.seen.is_empty());
}
