//! What may not pass over HTTP/2, frame by frame.

use super::h2c;
use crate::support::backend::Backend;
use crate::support::h2::client::{H2Client, get, url};
use crate::support::h2::frames::{DATA, END_STREAM, Frame, Frames, GOAWAY, HEADERS, RST_STREAM};
use crate::support::proxy::Proxy;
use crate::support::wait::SOON;
use http::Request;
use std::time::{Duration, Instant};

const GOOD: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "api.example"),
    (":path", "/read/x"),
];

/// `GOOD` with these in the place of fields of the same name, and behind them.
fn head<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let pseudo = changes
        .iter()
        .filter(|(name, value)| name.starts_with(':') && !value.is_empty());
    let kept = GOOD.iter().filter(|(name, _)| !changed(name));
    let more = changes.iter().filter(|(name, _)| !name.starts_with(':'));
    pseudo.chain(kept).chain(more).copied().collect()
}

/// Heads that may not pass: what is wrong with them, and what differs from `GOOD`.
const BAD: &[(&str, &[(&str, &str)])] = &[
    ("a field of the connection", &[("connection", "close")]),
    ("an upgrade", &[("upgrade", "websocket")]),
    ("a coding", &[("transfer-encoding", "chunked")]),
    ("keep-alive", &[("keep-alive", "timeout=5")]),
    ("te", &[("te", "gzip")]),
    ("a name with capitals", &[("X-A", "1")]),
    ("a line end in a value", &[("x-a", "1\r\nx-b: 2")]),
    ("a NUL in a value", &[("x-a", "\0")]),
    ("blanks around a value", &[("x-a", " 1")]),
    ("a name with a colon", &[("x:a", "1")]),
    ("an unknown pseudo-field", &[(":x", "1")]),
    ("a status", &[(":status", "200")]),
    ("no method", &[(":method", "")]),
    ("no scheme", &[(":scheme", "")]),
    ("no path", &[(":path", "")]),
    ("no authority", &[(":authority", "")]),
    ("a strange scheme", &[(":scheme", "ftp")]),
    ("a path without its slash", &[(":path", "read/x")]),
    ("a query without a path", &[(":path", "?x")]),
    (
        "a whole URL for a path",
        &[(":path", "http://api.example/read/x")],
    ),
    ("a star", &[(":path", "*")]),
    ("a blank in the path", &[(":path", "/read/x y")]),
    ("a raw quote in the query", &[(":path", "/read/x?\"")]),
    (
        "two hosts",
        &[("host", "api.example"), ("host", "api.example")],
    ),
    ("another host", &[("host", "other.example")]),
    ("a user", &[(":authority", "me@api.example")]),
    ("a bad port", &[(":authority", "api.example:0")]),
    (
        "two lengths",
        &[("content-length", "0"), ("content-length", "0")],
    ),
    ("a length that is none", &[("content-length", "+0")]),
    ("a length without a body", &[("content-length", "5")]),
    ("an expectation", &[("expect", "a-miracle")]),
    ("TRACE", &[(":method", "TRACE")]),
    (
        "a method of 70 letters",
        &[(
            ":method",
            "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG",
        )],
    ),
    (
        "extended CONNECT",
        &[(":method", "CONNECT"), (":protocol", "websocket")],
    ),
];

async fn one(limits: &str) -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&h2c(backend.url()).top(limits).text()).await;
    (backend, proxy)
}

#[tokio::test]
async fn heads_that_break_http_are_refused_and_never_reach_a_backend() {
    let (backend, proxy) = one("").await;
    for (name, changes) in BAD {
        let mut client = Frames::connect(proxy.plain()).await;
        client
            .send(&[Frame::head(1, END_STREAM, &head(changes))])
            .await;
        let said = client.wait_for(&[HEADERS, RST_STREAM], 1).await;
        if let Some(said) = said
            && said.kind == HEADERS
        {
            // Not 200, whichever way it is written.
            assert_ne!(said.payload[0], 0x88, "{name}");
        }
        assert!(backend.requests().is_empty(), "{name} reached the backend");
    }
    let plain_connect = [(":method", "CONNECT"), (":authority", "api.example:443")];
    let mut client = Frames::connect(proxy.plain()).await;
    client
        .send(&[Frame::head(1, END_STREAM, &plain_connect)])
        .await;
    let said = client.wait_for(&[HEADERS, RST_STREAM], 1).await;
    assert_ne!(said.expect("a refusal").payload[0], 0x88);
    let mut client = Frames::connect(proxy.plain()).await;
    client.send(&[Frame::head(1, END_STREAM, &GOOD)]).await;
    let said = client.wait_for(&[HEADERS, RST_STREAM], 1).await.unwrap();
    assert_eq!((said.kind, said.payload[0]), (HEADERS, 0x88));
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn what_leeward_refuses_is_told_and_counted_and_the_connection_goes_on() {
    let (backend, proxy) = one("limits: { header_count: 10, max_body: 100 }").await;
    let mut client = H2Client::connect(proxy.plain()).await;
    let request = Request::trace(url("/read/x")).body(()).unwrap();
    assert_eq!(client.ask(request, b"", None).await.status, 405);
    let request = Request::get(url("/read/x")).header("host", "other.example");
    let got = client.ask(request.body(()).unwrap(), b"", None).await;
    assert_eq!(
        (got.status, got.text().as_str()),
        (400, "Host differs from the target\n")
    );
    let mut request = get("/read/x");
    for number in 0..11 {
        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
        request.headers_mut().insert(name, "1".parse().unwrap());
    }
    assert_eq!(client.ask(request, b"", None).await.status, 431);
    let request = Request::post(url("/order")).body(()).unwrap();
    assert_eq!(client.ask(request, &[b'x'; 101], None).await.status, 413);
    let request = Request::post(url("/order")).header("content-length", "101");
    let got = client
        .ask(request.body(()).unwrap(), &[b'x'; 101], None)
        .await;
    assert_eq!(got.status, 413);
    assert!(backend.requests().iter().all(|seen| !seen.whole));
    assert!(client.get("/read/x").await.is_ok());
    for (reason, count) in [
        ("bad_method", 1.0),
        ("bad_host", 1.0),
        ("header_too_large", 1.0),
        ("bad_framing", 2.0),
    ] {
        let labels = [("reason", reason)];
        proxy
            .wait_for_metric("leeward_requests_refused_total", &labels, count)
            .await;
    }
}

/// What breaks the rules of HTTP/2 is refused below leeward, and counted all the same.
#[tokio::test]
async fn what_the_http_2_library_refuses_is_counted() {
    let (backend, proxy) = one("limits: { max_streams: 1 }").await;
    let counted = async |ended: &str, reason: &str| {
        let labels = [("listener", "plain"), ("ended", ended), ("reason", reason)];
        let name = "leeward_downstream_protocol_errors_total";
        proxy.wait_for_metric(name, &labels, 1.0).await;
        let all = proxy.metrics().await.sum(name, &[]);
        all.expect("a series")
    };
    assert_eq!(
        proxy
            .metrics()
            .await
            .sum("leeward_downstream_protocol_errors_total", &[]),
        Some(0.0)
    );
    let malformed = Frame::head(1, END_STREAM, &head(&[("connection", "close")]));
    let mut client = Frames::connect(proxy.plain()).await;
    client.send(&[malformed]).await;
    assert!(client.wait_for(&[RST_STREAM], 1).await.is_some());
    assert_eq!(counted("stream", "protocol_error").await, 1.0);
    // Data where no stream was ever opened.
    client.send(&[Frame::new(DATA, 0, 99, *b"x")]).await;
    assert!(client.wait_for(&[GOAWAY], 0).await.is_some());
    assert_eq!(counted("connection", "protocol_error").await, 2.0);
    let mut client = Frames::connect(proxy.plain()).await;
    client.send(&[Frame::new(DATA, 0, 1, [0; 16_385])]).await;
    assert!(client.wait_for(&[GOAWAY], 0).await.is_some());
    assert_eq!(counted("connection", "frame_size_error").await, 3.0);
    let mut client = Frames::connect(proxy.plain()).await;
    let open = head(&[(":method", "POST"), (":path", "/order")]);
    let heads = [Frame::head(1, 0, &open), Frame::head(3, 0, &open)];
    client.send(&heads).await;
    assert!(client.wait_for(&[RST_STREAM], 3).await.is_some());
    assert_eq!(counted("stream", "refused_stream").await, 4.0);
    // What leeward refuses itself, or what its clients take back, is none of these.
    client.send(&[Frame::reset(1, 8)]).await;
    assert_eq!(
        H2Client::connect(proxy.plain())
            .await
            .get("/read/x")
            .await
            .status,
        200
    );
    assert_eq!(counted("stream", "refused_stream").await, 4.0);
    assert!(
        backend
            .requests()
            .iter()
            .all(|seen| !seen.whole || seen.head.method() == "GET")
    );
}

#[tokio::test]
async fn a_head_beyond_its_bound_gets_431() {
    let (backend, proxy) = one("limits: { header_bytes: 4KiB }").await;
    let mut client = H2Client::connect(proxy.plain()).await;
    // Below the bound that leeward announces the client's own library would refuse.
    let settings = client.get("/read/x").await;
    assert!(settings.is_ok());
    let request = Request::get(url("/read/x")).header("x-big", "x".repeat(5000));
    let (answer, _) = client.open(request.body(()).unwrap(), true).await;
    assert_eq!(answer.await.unwrap().status(), 431);
    assert_eq!(backend.requests().len(), 1);
    assert!(client.get("/read/x").await.is_ok());
}

#[tokio::test]
async fn trailers_that_would_change_the_request_never_complete_at_a_backend() {
    let (backend, proxy) = one("").await;
    for name in [
        "host",
        "content-length",
        "x-forwarded-for",
        "leeward-outcome",
    ] {
        let mut client = Frames::connect(proxy.plain()).await;
        client
            .send(&[
                Frame::head(1, 0, &head(&[(":method", "POST"), (":path", "/order")])),
                Frame::new(DATA, 0, 1, *b"{}"),
                Frame::head(1, END_STREAM, &[(name, "1")]),
            ])
            .await;
        let said = client.wait_for(&[HEADERS, RST_STREAM], 1).await.unwrap();
        assert!(said.kind == RST_STREAM || said.payload[0] != 0x88, "{name}");
    }
    assert!(backend.requests().iter().all(|seen| !seen.whole));
}

#[tokio::test]
async fn a_body_that_stalls_or_crawls_ends_its_request_alone() {
    let limits = "limits: { body_idle: 300ms, body_min_rate: 1000 }";
    let (backend, proxy) = one(limits).await;
    let mut client = H2Client::connect(proxy.plain()).await;
    let request = || Request::post(url("/order")).body(()).unwrap();
    let (stalled, mut stream) = client.open(request(), false).await;
    stream.send_data("{".into(), false).unwrap();
    let (crawling, mut slow) = client.open(request(), false).await;
    let crawl = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while slow.send_data("x".into(), false).is_ok() {
            pace.tick().await;
        }
    };
    let told = async {
        let stalled = stalled.await.unwrap().status().as_u16();
        let started = Instant::now();
        let crawling = crawling.await.unwrap().status().as_u16();
        assert!(started.elapsed() < SOON);
        (stalled, crawling)
    };
    let told = tokio::select! {
        told = told => told,
        () = async { crawl.await; std::future::pending().await } => unreachable!(),
    };
    assert_eq!(told, (408, 408));
    assert!(backend.requests().iter().all(|seen| !seen.whole));
    assert!(client.get("/read/x").await.is_ok());
}

#[tokio::test]
async fn who_says_no_preface_or_nothing_more_is_let_go() {
    let limits = "limits: { header_timeout: 300ms, idle_timeout: 500ms }";
    let (_backend, proxy) = one(limits).await;
    // Half a preface is no request of HTTP/1 either.
    let mut half = proxy.client().await;
    half.send("PRI * HT").await;
    assert_eq!(half.answer("GET").await.status(), 408);
    let mut idle = Frames::connect(proxy.plain()).await;
    let said = idle.wait_for(&[GOAWAY], 0).await.expect("GOAWAY");
    assert_eq!(said.reason(), 0);
    while let Some(frame) = idle.next().await {
        idle.be_polite(&frame).await;
    }
}
