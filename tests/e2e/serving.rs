//! What an ordinary request and its answer look like on both sides of leeward.

use crate::support::backend::{Act, Backend, DieBy, Step};
use crate::support::client::Client;
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually, settled};
use crate::support::wire::{End, pattern, text};
use std::time::Duration;

const MEBIBYTE: usize = 1024 * 1024;

async fn one() -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).text()).await;
    (backend, proxy)
}

#[tokio::test]
async fn methods_and_bodies_pass_both_ways() {
    let (backend, proxy) = one().await;
    let mut client = proxy.client().await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let request =
            format!("{method} /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
        let answer = client.ask(request).await;
        assert!(answer.is_ok(), "{method}: {}", answer.text());
        assert_eq!(answer.text(), "hello", "{method}");
        assert_eq!(backend.last().head.method(), method);
        assert_eq!(backend.last().body.bytes, b"hello", "{method}");
    }
}

#[tokio::test]
async fn a_head_answer_keeps_its_length_and_has_no_body() {
    let (_backend, proxy) = one().await;
    let mut client = proxy.client().await;
    let answer = client
        .ask("HEAD /read/bytes/1234 HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.head.get("content-length"), Some("1234"));
    assert_eq!(client.get("/read/bytes/3").await.body.bytes, pattern(3));
}

#[tokio::test]
async fn answers_without_a_body_do_not_hold_the_connection_up() {
    let (_backend, proxy) = one().await;
    let mut client = proxy.client().await;
    for status in [204, 304] {
        let answer = client.get(&format!("/read/status/{status}")).await;
        assert_eq!(answer.status(), status);
        assert!(answer.head.get("transfer-encoding").is_none());
        assert!(client.get("/read/x").await.is_ok());
    }
}

#[tokio::test]
async fn statuses_below_500_are_relayed_untouched_and_never_retried() {
    let (backend, proxy) = one().await;
    let mut client = proxy.client().await;
    for status in [400, 401, 403, 404, 408, 409, 413, 418, 429, 431] {
        let raw = format!(
            "HTTP/1.1 {status} As Asked\r\nRetry-After: 7\r\nX-Backend: aws\r\nContent-Length: 5\r\n\r\nsorry"
        );
        backend.act(Act::say(&raw));
        let before = backend.requests().len();
        let answer = client.get("/read/limited").await;
        assert_eq!((answer.status(), answer.text().as_str()), (status, "sorry"));
        assert_eq!(answer.head.get("retry-after"), Some("7"));
        assert_eq!(answer.outcome(), None);
        assert_eq!(backend.requests().len(), before + 1, "{status}");
    }
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
}

#[tokio::test]
async fn chunked_bodies_and_trailers_pass_both_ways() {
    let (backend, proxy) = one().await;
    let mut client = proxy.client().await;
    let answer = client
        .ask(
            "POST /echo HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Check\r\n\r\n5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\nX-Check: abc\r\n\r\n",
        )
        .await;
    let trailer = [("X-Check".to_owned(), "abc".to_owned())];
    let lower = |t: &[(String, String)]| {
        t.iter()
            .map(|(n, v)| (n.to_lowercase(), v.clone()))
            .collect::<Vec<_>>()
    };
    let seen = backend.last();
    assert_eq!(text(&seen.body.bytes), "hello!");
    assert_eq!(lower(&seen.body.trailers), lower(&trailer));
    assert_eq!(answer.text(), "hello!");
    assert_eq!(lower(&answer.body.trailers), lower(&trailer));
    assert_eq!(answer.body.end, End::Whole);
}

#[tokio::test]
async fn ten_mebibytes_pass_both_ways_byte_for_byte() {
    let (backend, proxy) = one().await;
    let content = pattern(10 * MEBIBYTE);
    let mut client = proxy.client().await;
    let length = content.len();
    client
        .send(format!(
            "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n"
        ))
        .await;
    client.send(&content).await;
    let answer = client.answer("PUT").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.body.bytes == content && backend.last().body.bytes == content);

    client
        .send("PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for chunk in content.chunks(77_777) {
        client.send(format!("{:x}\r\n", chunk.len())).await;
        client.send(chunk).await;
        client.send("\r\n").await;
    }
    client.send("0\r\n\r\n").await;
    let answer = client.answer("PUT").await;
    assert!(answer.is_ok() && answer.body.bytes == content && backend.last().body.bytes == content);
}

/// The kernel's buffers on the way hold a few MiB; leeward itself must hold next to nothing.
#[tokio::test]
async fn a_client_that_does_not_read_holds_the_backend_back_and_costs_no_memory() {
    let (backend, proxy) = one().await;
    assert!(proxy.get("/read/bytes/100000").await.is_ok());
    let before = proxy.memory();
    let mut client = proxy.client().await;
    client
        .send("GET /read/stream/1600 HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    assert_eq!(client.head().await.expect("a head").status(), 200);
    let streamed = settled(
        "what the backend could send",
        Duration::from_millis(400),
        || backend.streamed(),
    )
    .await;
    assert!(
        streamed < 40 * MEBIBYTE as u64,
        "the backend was let send {streamed} bytes"
    );
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < 8 * MEBIBYTE, "leeward grew by {grown} bytes");
}

#[tokio::test]
async fn a_backend_that_does_not_read_holds_the_client_back_and_costs_no_memory() {
    let (backend, proxy) = one().await;
    assert!(proxy.get("/read/bytes/100000").await.is_ok());
    let before = proxy.memory();
    backend.act(Act::StopReading);
    let client = proxy.client().await;
    let mut wire = client.into_wire();
    wire.send(b"PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 104857600\r\n\r\n")
        .await
        .unwrap();
    let chunk = pattern(MEBIBYTE);
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(400), wire.send(&chunk))
        .await
        .is_ok()
    {
        sent += chunk.len();
        assert!(
            sent < 40 * MEBIBYTE,
            "leeward took {sent} bytes that nobody reads"
        );
    }
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < 8 * MEBIBYTE, "leeward grew by {grown} bytes");
}

#[tokio::test]
async fn what_a_backend_sends_reaches_the_client_before_the_body_ends() {
    let (backend, proxy) = one().await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let steps = [
        Step::send(head),
        Step::Hold,
        Step::send("4\r\nlast\r\n0\r\n\r\n"),
    ];
    backend.act(Act::Script(steps.to_vec()));
    let mut client = proxy.client().await;
    client.send("GET /read/x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.head().await.expect("a head while the body is held");
    let mut part = Vec::new();
    while !text(&part).contains("first") {
        part.extend(client.some().await);
    }
    backend.release();
    while !text(&part).ends_with("0\r\n\r\n") {
        let more = client.some().await;
        assert!(!more.is_empty(), "the rest after {:?}", text(&part));
        part.extend(more);
    }
}

#[tokio::test]
async fn expect_continue_is_answered_before_the_body() {
    let (backend, proxy) = one().await;
    let mut client = proxy.client().await;
    client
        .send("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert_eq!(client.head().await.expect("an interim head").status(), 100);
    client.send("hello").await;
    let answer = client.answer("POST").await;
    assert!(answer.is_ok());
    assert_eq!(answer.text(), "hello");
    assert_eq!(backend.last().body.bytes, b"hello");
}

#[tokio::test]
async fn interim_answers_of_a_backend_do_not_disturb_the_final_one() {
    let (backend, proxy) = one().await;
    backend.act(Act::say(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ));
    let mut client = proxy.client().await;
    for _ in 0..3 {
        let answer = client.get("/read/x").await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
        assert!(
            answer
                .interim
                .iter()
                .all(|head| [100, 103].contains(&head.status()))
        );
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_body_that_it_can_read() {
    let (_backend, proxy) = one().await;
    let mut client = proxy.client().await;
    let answer = client
        .ask("GET /read/chunked/1000 HTTP/1.0\r\nHost: h\r\n\r\n")
        .await;
    assert_eq!(answer.status(), 200);
    assert!(
        answer.head.get("transfer-encoding").is_none(),
        "HTTP/1.0 knows no chunks"
    );
    assert_eq!(answer.body.bytes, pattern(1000));
    assert!(client.is_closed().await);
    let mut client = proxy.client().await;
    let answer = client
        .ask("GET /read/bytes/10 HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n")
        .await;
    assert_eq!(answer.body.bytes, pattern(10));
}

#[tokio::test]
async fn connections_are_reused_on_both_sides() {
    let (backend, proxy) = one().await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        assert!(client.get("/read/x").await.is_ok());
    }
    assert_eq!(backend.connections(), 1);
    let answer = client
        .ask("GET /read/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.is_ok());
    assert!(client.is_closed().await);
    assert!(proxy.get("/read/x").await.is_ok());
    assert_eq!(backend.connections(), 1, "a client's close is its own");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (_backend, proxy) = one().await;
    let mut client = proxy.client().await;
    let requests: String = (1..=20)
        .map(|n| format!("GET /read/bytes/{n} HTTP/1.1\r\nHost: h\r\n\r\n"))
        .collect();
    client.send(requests).await;
    for n in 1..=20 {
        assert_eq!(client.answer("GET").await.body.bytes, pattern(n));
    }
}

#[tokio::test]
async fn a_backend_that_answers_early_is_heard() {
    let (backend, proxy) = one().await;
    let refusal = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig";
    backend.act(Act::Early(vec![
        Step::send(refusal),
        Step::Hold,
        Step::End(DieBy::Fin),
    ]));
    let mut client = proxy.client().await;
    client
        .send("PUT /read/upload HTTP/1.1\r\nHost: h\r\nContent-Length: 50000000\r\n\r\n")
        .await;
    client.send(pattern(1000)).await;
    let answer = client.answer("PUT").await;
    assert_eq!((answer.status(), answer.text().as_str()), (413, "big"));
    backend.release();
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_backend() {
    let (backend, proxy) = one().await;
    backend.act(Act::Hang);
    let mut client = proxy.client().await;
    client.send("GET /read/x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    eventually("the request arrives", SOON, async || {
        backend.requests().pop()
    })
    .await;
    client.reset();
    eventually("leeward lets go", Duration::from_secs(3), async || {
        backend.peer_ends().pop()
    })
    .await;
}

#[tokio::test]
async fn a_request_that_no_route_matches_gets_404() {
    let backend = Backend::start("aws");
    let routes = "[ { match: { path: /known, host: [a.example, '*.b.example'] }, class: public_read, pool: main } ]";
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).routes(routes).text()).await;
    let mut client = Client::connect(proxy.plain()).await;
    for (host, target, status) in [
        ("a.example", "/known", 200),
        ("A.Example:8080", "/known?x", 200),
        ("x.b.example", "/known", 200),
        ("x.y.b.example", "/known", 404),
        ("c.example", "/known", 404),
        ("a.example", "/known/", 404),
        ("a.example", "//known", 404),
    ] {
        let answer = client
            .ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(answer.status(), status, "{host} {target}");
        assert!(
            status == 200 || answer.text().trim_end().lines().count() == 1,
            "{:?}",
            answer.text()
        );
    }
    assert_eq!(backend.requests().len(), 3);
}

#[tokio::test]
async fn a_connection_that_the_backend_closes_is_not_used_again() {
    let (backend, proxy) = one().await;
    backend.act(Act::say(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    ));
    let mut client = proxy.client().await;
    for n in 1..=5 {
        let answer = client.get("/read/x").await;
        assert_eq!(answer.text(), "ok");
        assert!(
            answer.head.get("connection").is_none(),
            "the backend's close is its own"
        );
        assert_eq!(backend.connections(), n);
    }
}

#[tokio::test]
async fn early_hints_reach_the_client_or_are_left_out_but_never_become_the_answer() {
    let (backend, proxy) = one().await;
    let hints = Step::send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    let last = Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    backend.act(Act::Script(vec![hints, Step::Hold, last]));
    let mut client = proxy.client().await;
    client.send("GET /read/x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    eventually("the request arrives", SOON, async || {
        backend.requests().pop()
    })
    .await;
    backend.release();
    let answer = client.answer("GET").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    for head in &answer.interim {
        assert_eq!((head.status(), head.get("link")), (103, Some("</a.css>")));
    }
}

#[tokio::test]
async fn an_ipv6_listener_serves() {
    let backend = Backend::start("aws");
    let listener = "plain: { bind: \"[::1]:0\" }";
    let proxy = Proxy::start(
        &Policy::of(&[("aws/one", &backend)])
            .listeners(listener)
            .text(),
    )
    .await;
    assert!(proxy.get("/read/x").await.is_ok());
    assert_eq!(backend.last().head.all("x-forwarded-for"), ["::1"]);
}
