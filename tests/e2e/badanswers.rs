//! Backends that break HTTP: a 502 or a visibly cut body, and it counts against them.

use crate::support::backend::{Act, Backend, DieBy, Step};
use crate::support::policy::{Policy, STOIC};
use crate::support::proxy::Proxy;
use crate::support::wire::End;

/// Answers that are no answers.
const BROKEN: &[(&str, &str)] = &[
    ("not HTTP", "nonsense\r\n\r\n"),
    ("a line of SSH", "SSH-2.0-OpenSSH_9.2\r\n"),
    (
        "a status of two digits",
        "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "a status in words",
        "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("HTTP/2", "HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    (
        "length beside chunks",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    ),
    (
        "a length in words",
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
    ),
    (
        "a negative length",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    ),
    (
        "an endless length",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nok",
    ),
    (
        "a folded field",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "a NUL in a field",
        "HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "a space before the colon",
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    ),
    ("half a head", "HTTP/1.1 200 OK\r\nContent-Le"),
];

/// Bodies that end before their end.
const CUT: &[(&str, &str)] = &[
    (
        "less than its length",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    ),
    (
        "less than its length, which is too much to be held",
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf",
    ),
    (
        "no last chunk",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ),
    (
        "half a chunk",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
    ),
    (
        "a size that is no number",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n",
    ),
    (
        "half a trailer",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX-Sum: 3",
    ),
];

async fn one() -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)])
        .pool(STOIC)
        .pool("retry: { attempts: 1 }");
    (backend, Proxy::start(&policy.text()).await)
}

async fn attempts(proxy: &Proxy, outcome: &str) -> f64 {
    let metrics = proxy.metrics().await;
    metrics
        .sum("leeward_upstream_attempts_total", &[("outcome", outcome)])
        .unwrap_or(0.0)
}

#[tokio::test]
async fn an_answer_that_is_no_http_becomes_a_502_and_counts_against_the_backend() {
    let (backend, proxy) = one().await;
    for (name, bytes) in BROKEN {
        backend.act(Act::say_and_close(bytes));
        let before = attempts(&proxy, "reset").await;
        let answer = proxy.get("/read/x").await;
        assert_eq!(answer.status(), 502, "{name}: {}", answer.text());
        assert!(answer.outcome().is_some(), "{name}");
        proxy
            .wait_for_metric(
                "leeward_upstream_attempts_total",
                &[("outcome", "reset")],
                before + 1.0,
            )
            .await;
    }
}

#[tokio::test]
async fn an_order_whose_answer_is_no_http_is_unknown() {
    let (backend, proxy) = one().await;
    for (n, (name, bytes)) in BROKEN.iter().enumerate() {
        backend.act(Act::say_and_close(bytes));
        let answer = proxy.client().await.order("/order", &n.to_string()).await;
        assert_eq!(
            (answer.status(), answer.outcome()),
            (504, Some("unknown")),
            "{name}"
        );
    }
    assert_eq!(backend.executed().len(), BROKEN.len());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_visibly_cut_and_counts_against_the_backend() {
    let (backend, proxy) = one().await;
    for by in [DieBy::Fin, DieBy::Rst] {
        for (name, bytes) in CUT {
            backend.act(Act::Script(vec![Step::send(bytes), Step::End(by)]));
            let before = attempts(&proxy, "truncated").await + attempts(&proxy, "reset").await;
            let mut client = proxy.client().await;
            client.send("GET /read/x HTTP/1.1\r\nHost: h\r\n\r\n").await;
            match client.try_answer("GET").await {
                // Small ones are held until they are whole: the client hears of it in words.
                Some(answer) if answer.status() == 502 => {}
                Some(answer) => {
                    assert_ne!(answer.body.end, End::Whole, "{name}");
                    assert!(client.is_closed().await, "{name}");
                }
                None => assert!(client.is_closed().await, "{name}"),
            }
            let after = attempts(&proxy, "truncated").await + attempts(&proxy, "reset").await;
            assert_eq!(after, before + 1.0, "{name} by {by:?}");
        }
    }
}

/// HTTP/1.0 clients know the end only by the connection: a cut must not look like an end in order.
#[tokio::test]
async fn a_cut_body_does_not_look_whole_to_an_http_1_0_client() {
    let (backend, proxy) = one().await;
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    backend.act(Act::Script(vec![Step::send(chunks), Step::End(DieBy::Rst)]));
    let mut client = proxy.client().await;
    client.send("GET /read/x HTTP/1.0\r\nHost: h\r\n\r\n").await;
    if let Some(answer) = client.try_answer("GET").await {
        assert!(
            answer.status() == 502 || answer.body.end == End::Reset,
            "{:?}",
            answer.body.end
        );
    }
}

#[tokio::test]
async fn a_head_beyond_every_bound_becomes_a_502() {
    let (backend, proxy) = one().await;
    let huge = format!(
        "HTTP/1.1 200 OK\r\nX-Huge: {}\r\nContent-Length: 0\r\n\r\n",
        "a".repeat(4_000_000)
    );
    let many = format!(
        "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
        "X-A: b\r\n".repeat(20_000)
    );
    let mut before = 0;
    for round in 0..10 {
        for bytes in [&huge, &many] {
            backend.act(Act::say_and_close(bytes));
            assert_eq!(proxy.get("/read/x").await.status(), 502);
        }
        if round == 0 {
            before = proxy.memory();
        }
    }
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < 8 * 1024 * 1024, "leeward grew by {grown} bytes");
}

#[tokio::test]
async fn what_follows_an_answer_never_becomes_the_next_one() {
    let (backend, proxy) = one().await;
    backend.act(Act::say(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned",
    ));
    let mut client = proxy.client().await;
    for _ in 0..5 {
        let answer = client.get("/read/x").await;
        assert_eq!(answer.text(), "first");
    }
}

#[tokio::test]
async fn a_body_where_none_may_be_never_becomes_the_next_answer() {
    let (backend, proxy) = one().await;
    for status in [204, 304] {
        let bytes = format!("HTTP/1.1 {status} X\r\nContent-Length: 8\r\n\r\npoisoned");
        backend.act(Act::say(&bytes));
        let mut client = proxy.client().await;
        assert_eq!(client.get("/read/x").await.status(), status);
        backend.act(Act::Serve);
        assert_eq!(client.get("/read/x").await.text(), "aws\n");
    }
    backend.act(Act::say(
        "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned",
    ));
    let mut client = proxy.client().await;
    assert_eq!(
        client
            .ask("HEAD /read/x HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .status(),
        200
    );
    backend.act(Act::Serve);
    assert_eq!(client.get("/read/x").await.text(), "aws\n");
}

#[tokio::test]
async fn a_body_until_the_end_of_the_connection_reaches_the_client_whole() {
    let (backend, proxy) = one().await;
    backend.act(Act::say_and_close(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
    ));
    let mut client = proxy.client().await;
    let answer = client.get("/read/x").await;
    assert!(answer.is_ok());
    assert_eq!(answer.text(), "until the end");
    backend.act(Act::say_and_close("HTTP/1.0 200 OK\r\n\r\nold style"));
    assert_eq!(proxy.get("/read/x").await.text(), "old style");
}
