//! Clients that break HTTP: a clean refusal, a closed connection, and no backend ever sees it.

use crate::badinput_cases::{CHUNKS, HEADS};
use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use crate::support::wire::text;

async fn one(more: &str) -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).top(more).text()).await;
    (backend, proxy)
}

/// Sends something and a good request behind it, which must not be served either.
async fn refused(proxy: &Proxy, name: &str, bytes: &str, statuses: &[u16]) {
    let mut client = proxy.client().await;
    client.try_send(bytes).await;
    let answer = client
        .try_answer("GET")
        .await
        .unwrap_or_else(|| panic!("{name}: closed without an answer"));
    assert!(
        statuses.contains(&answer.status()),
        "{name}: {} {}",
        answer.status(),
        answer.text()
    );
    assert!(
        answer
            .head
            .get("connection")
            .is_some_and(|v| v.eq_ignore_ascii_case("close")),
        "{name}"
    );
    client
        .try_send("GET /read/behind HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    assert!(
        client.try_answer("GET").await.is_none(),
        "{name}: the connection goes on"
    );
}

#[tokio::test]
async fn heads_that_break_http_are_refused_and_never_reach_a_backend() {
    let (backend, proxy) = one("").await;
    for (name, bytes, statuses) in HEADS {
        refused(&proxy, name, bytes, statuses).await;
    }
    assert!(backend.requests().is_empty(), "{:?}", backend.requests());
    assert!(proxy.get("/read/x").await.is_ok());
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
}

/// The head may have gone ahead, but the backend must see that the body broke off.
#[tokio::test]
async fn chunks_that_break_http_are_refused_and_never_complete_at_a_backend() {
    let (backend, proxy) = one("").await;
    for (name, chunks) in CHUNKS {
        let head = "POST /order HTTP/1.1\r\nHost: h\r\nX-Order-Id: o-1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = proxy.client().await;
        client.try_send(format!("{head}{chunks}")).await;
        let answer = client.try_answer("POST").await;
        let status = answer.map_or(400, |answer| answer.status());
        assert!([400, 413].contains(&status), "{name}: {status}");
        client
            .try_send("GET /read/behind HTTP/1.1\r\nHost: h\r\n\r\n")
            .await;
        assert!(
            client.try_answer("GET").await.is_none(),
            "{name}: the connection goes on"
        );
    }
    assert!(backend.executed().is_empty(), "{:?}", backend.requests());
    assert!(
        backend
            .requests()
            .iter()
            .all(|seen| !text(seen.head.target()).contains("behind"))
    );
    assert_eq!(
        proxy.verdict("aws/one").await,
        "healthy",
        "nothing of it is the backend's fault"
    );
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_with_431_or_414() {
    let (backend, proxy) = one("limits: { header_bytes: 16KiB, header_count: 50 }").await;
    let line = "X-Filler: 0123456789\r\n";
    refused(
        &proxy,
        "one huge field",
        &format!(
            "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
            "a".repeat(17_000)
        ),
        &[431],
    )
    .await;
    refused(
        &proxy,
        "too many fields",
        &format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", line.repeat(60)),
        &[431],
    )
    .await;
    refused(
        &proxy,
        "a huge target",
        &format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(40_000)),
        &[414, 431],
    )
    .await;
    refused(
        &proxy,
        "an endless name",
        &format!("GET / HTTP/1.1\r\nHost: h\r\n{}", "a".repeat(20_000)),
        &[431],
    )
    .await;
    refused(
        &proxy,
        "an endless request line",
        &"a".repeat(50_000),
        &[400, 414, 431],
    )
    .await;
    assert!(backend.requests().is_empty());
    let fields = line.repeat(45);
    let answer = proxy
        .client()
        .await
        .ask(format!("GET /read/x HTTP/1.1\r\nHost: h\r\n{fields}\r\n"))
        .await;
    assert!(answer.is_ok());
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_gets_408() {
    let (backend, proxy) = one("limits: { header_timeout: 300ms }").await;
    for start in ["G", "GET / HTTP/1.1\r\nHost: h\r\nX-Slow: "] {
        let mut client = proxy.client().await;
        client.send(start).await;
        let answer = client.answer("GET").await;
        assert_eq!(answer.status(), 408, "{start:?}");
        assert!(client.is_closed().await);
    }
    let mut client = proxy.client().await;
    assert!(client.get("/read/x").await.is_ok());
    client.send("GET /read").await;
    assert_eq!(
        client.answer("GET").await.status(),
        408,
        "the second head on a connection"
    );
    assert_eq!(backend.requests().len(), 1);
    proxy
        .wait_for_metric(
            "leeward_requests_refused_total",
            &[("reason", "header_timeout")],
            3.0,
        )
        .await;
}

#[tokio::test]
async fn a_connection_that_idles_is_closed_without_a_word() {
    let (_backend, proxy) = one("limits: { idle_timeout: 200ms, header_timeout: 200ms }").await;
    let mut client = proxy.client().await;
    assert!(client.is_closed().await, "before the first request");
    let mut client = proxy.client().await;
    assert!(client.get("/read/x").await.is_ok());
    assert!(client.is_closed().await, "after a request");
}

#[tokio::test]
async fn a_body_that_stalls_ends_the_request_and_is_not_the_backends_fault() {
    let (backend, proxy) = one("limits: { body_idle: 300ms }").await;
    let mut client = proxy.client().await;
    client.send("POST /unclassed HTTP/1.1\r\nHost: h\r\nX-Order-Id: o-1\r\nContent-Length: 100\r\n\r\nhalf").await;
    if let Some(answer) = client.try_answer("POST").await {
        assert!([400, 408].contains(&answer.status()), "{}", answer.status());
    }
    assert!(client.is_closed().await);
    assert!(backend.executed().is_empty());
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
}

/// Always some progress, never enough: only a least rate ends this one.
#[tokio::test]
async fn a_body_that_trickles_is_cut_off() {
    let limits = "limits: { body_idle: 300ms, body_min_rate: 1000 }";
    let (backend, mut proxy) = one(limits).await;
    let mut wire = proxy.client().await.into_wire();
    let head =
        "PUT /unclassed HTTP/1.1\r\nHost: h\r\nX-Order-Id: o-1\r\nContent-Length: 100000\r\n\r\n";
    wire.send(head.as_bytes()).await.unwrap();
    let cut = async || {
        let trickle = wire.send(b"x").await.is_err();
        let heard = tokio::time::timeout(std::time::Duration::from_millis(50), wire.some()).await;
        (trickle || heard.is_ok()).then_some(())
    };
    eventually("the request is ended", SOON, cut).await;
    assert!(backend.executed().is_empty());
    assert!(proxy.runs());
}

#[tokio::test]
async fn a_body_beyond_its_bound_gets_413_and_never_completes_at_a_backend() {
    let (backend, proxy) = one("limits: { max_body: 1KiB }").await;
    let big = "x".repeat(2000);
    let declared = format!(
        "POST /order HTTP/1.1\r\nHost: h\r\nX-Order-Id: o-1\r\nContent-Length: 2000\r\n\r\n{big}"
    );
    refused(&proxy, "declared", &declared, &[413]).await;
    assert!(backend.requests().is_empty());
    let chunked = format!(
        "POST /order HTTP/1.1\r\nHost: h\r\nX-Order-Id: o-2\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n{big}\r\n0\r\n\r\n"
    );
    let mut client = proxy.client().await;
    client.try_send(chunked).await;
    if let Some(answer) = client.try_answer("POST").await {
        assert_eq!(answer.status(), 413);
    }
    assert!(backend.executed().is_empty());
    let fits = "POST /order HTTP/1.1\r\nHost: h\r\nX-Order-Id: o-3\r\nContent-Length: 1000\r\n\r\n";
    assert!(
        proxy
            .client()
            .await
            .ask(format!("{fits}{}", &big[..1000]))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off() {
    let (backend, proxy) = one("limits: { write_stall: 500ms }").await;
    let mut client = proxy.client().await;
    client
        .send("GET /read/stream/1600 HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    let gone = async || {
        let metrics = proxy.metrics().await;
        (metrics.sum(
            "leeward_downstream_connections_open",
            &[("listener", "plain")],
        ) == Some(0.0))
        .then_some(())
    };
    eventually("the request arrives", SOON, async || {
        backend.requests().pop()
    })
    .await;
    eventually("leeward lets the client go", SOON, gone).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let backend = Backend::start("aws");
    let listener = "plain: { bind: \"127.0.0.1:0\", max_connections: 2 }";
    let proxy = Proxy::start(
        &Policy::of(&[("aws/one", &backend)])
            .listeners(listener)
            .text(),
    )
    .await;
    let mut first = proxy.client().await;
    let mut second = proxy.client().await;
    assert!(first.get("/read/x").await.is_ok() && second.get("/read/x").await.is_ok());
    let mut third = proxy.client().await;
    third
        .try_send("GET /read/x HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    assert!(
        third
            .try_answer("GET")
            .await
            .is_none_or(|answer| answer.status() == 503)
    );
    drop(second);
    let again = async || {
        let mut client = Client::connect(proxy.plain()).await;
        client
            .try_send("GET /read/x HTTP/1.1\r\nHost: h\r\n\r\n")
            .await;
        client
            .try_answer("GET")
            .await
            .filter(|answer| answer.status() == 200)
    };
    eventually("there is room again", SOON, again).await;
    assert!(first.get("/read/x").await.is_ok());
}

/// Changes one to three bytes of `request`, by a seed.
fn mangled(request: &[u8], seed: u64) -> Vec<u8> {
    const SPICE: &[u8] = b"\r\n\0 \t:;,/#?\"%\\\x7f\xff0aZ-";
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut roll = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut bytes = request.to_vec();
    for _ in 0..=roll(3) {
        let (at, spice) = (roll(bytes.len()), SPICE[roll(SPICE.len())]);
        match roll(3) {
            0 => bytes[at] = spice,
            1 => bytes.insert(at, spice),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

/// Whatever leeward lets through must be well formed, and leeward itself must live.
#[tokio::test]
async fn mangled_requests_are_refused_or_reach_the_backend_well_formed() {
    let (backend, mut proxy) = one("limits: { header_timeout: 1s, body_idle: 1s }").await;
    let requests = [
        "POST /read/a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "POST /read/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    ];
    for seed in 0..600 {
        let request = requests[seed as usize % requests.len()];
        let mut client = proxy.client().await;
        client.try_send(mangled(request.as_bytes(), seed)).await;
        client.finish().await;
        while !client.some().await.is_empty() {}
    }
    assert!(proxy.runs());
    assert!(proxy.get("/read/x").await.is_ok());
    for seen in backend.requests() {
        let head = &seen.head;
        assert_eq!(head.all("host").len(), 1, "{}", text(&head.raw));
        let framings = head.all("content-length").len() + head.all("transfer-encoding").len();
        assert!(framings <= 1, "{}", text(&head.raw));
        assert!(
            !text(&head.raw)
                .replace("\r\n", "")
                .contains(['\r', '\n', '\0']),
            "{}",
            text(&head.raw)
        );
    }
    let stderr = proxy.log();
    assert!(!stderr.contains("panicked"), "{stderr}");
}
