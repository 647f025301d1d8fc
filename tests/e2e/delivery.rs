//! P1 byte by byte: what an order is called when its connection dies, and what may be repeated.

use crate::support::backend::{Act, Backend, DieBy, Options, PeerEnd, Step};
use crate::support::client::{Answer, Client, order};
use crate::support::policy::{Policy, STOIC};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use crate::support::wire::pattern;
use std::time::{Duration, Instant};

/// A chunked order; the id is in the field.
fn chunked_order(id: &str) -> String {
    format!(
        "POST /order HTTP/1.1\r\nHost: api.example\r\nX-Order-Id: {id}\r\nTransfer-Encoding: chunked\r\n\r\n\
         9\r\n{{\"id\":\"x\"\r\n1\r\n}}\r\n0\r\n\r\n"
    )
}

/// Asks on a connection of its own.
async fn ask(proxy: &Proxy, request: &str) -> Answer {
    proxy.client().await.ask(request).await
}

/// Bytes that an order has by the time it stands at the backend, head and body.
async fn length_at_backend(proxy: &Proxy, backend: &Backend, request: &str) -> u64 {
    assert!(ask(proxy, request).await.is_ok());
    let seen = backend.last();
    let framing = if seen.head.get("transfer-encoding").is_some() {
        64
    } else {
        0
    };
    (seen.head.raw.len() + seen.body.bytes.len() + framing) as u64
}

/// Lets the connection die after each number of bytes and compares the label with the record.
async fn sweep(by: DieBy, make: fn(&str) -> String) {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).pool(STOIC).text()).await;
    let length = length_at_backend(&proxy, &backend, &make("first")).await;
    let mut labels = Vec::new();
    for bytes in 0..=length {
        backend.act(Act::Die(bytes, by));
        let (seen_before, id) = (backend.requests().len(), format!("{by:?}-{bytes}"));
        let answer = ask(&proxy, &make(&id)).await;
        let ran = backend.executed().contains(&id);
        let arrived = backend.requests().len() > seen_before;
        match (answer.status(), answer.outcome()) {
            (200, None) => assert!(ran, "{id}: told done"),
            (504, Some("unknown")) => labels.push("unknown"),
            (503, Some("not-sent")) => {
                assert!(!ran && !arrived, "{id}: told not sent, but bytes arrived");
                assert!(answer.head.get("retry-after").is_some());
                labels.push("not-sent");
            }
            other => panic!("{id}: {other:?} {}", answer.text()),
        }
    }
    assert!(
        labels.iter().filter(|label| **label == "unknown").count() > 100,
        "{labels:?}"
    );
    let mut executed = backend.executed();
    let count = executed.len();
    executed.sort();
    executed.dedup();
    assert_eq!(executed.len(), count, "no order ran twice");
}

#[tokio::test]
async fn a_connection_that_is_reset_at_any_byte_leaves_a_true_label() {
    sweep(DieBy::Rst, |id| order("/order", id)).await;
}

#[tokio::test]
async fn a_connection_that_is_closed_at_any_byte_leaves_a_true_label() {
    sweep(DieBy::Fin, |id| order("/order", id)).await;
}

#[tokio::test]
async fn a_connection_that_dies_at_any_byte_of_a_chunked_order_leaves_a_true_label() {
    sweep(DieBy::Rst, chunked_order).await;
}

/// With a healthy neighbour an order may be placed there, but only when the first got none of it.
#[tokio::test]
async fn an_order_that_died_on_the_way_runs_at_most_once_among_neighbours() {
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let policy = Policy::of(&[("aws/one", &one), ("aws/two", &two)]).pool(STOIC);
    let proxy = Proxy::start(
        &policy
            .pool("failover: { tiers: [[aws/one], [aws/two]] }")
            .text(),
    )
    .await;
    let length = length_at_backend(&proxy, &one, &order("/order", "first")).await;
    for bytes in (0..=length).step_by(3) {
        for by in [DieBy::Rst, DieBy::Fin] {
            one.act(Act::Die(bytes, by));
            let (before, id) = (one.requests().len(), format!("{by:?}-{bytes}"));
            let answer = ask(&proxy, &order("/order", &id)).await;
            let runs = [&one, &two].map(|b| b.executed().iter().filter(|e| **e == id).count());
            assert!(runs[0] + runs[1] <= 1, "{id} ran {runs:?}");
            if runs[1] == 1 {
                assert_eq!(
                    one.requests().len(),
                    before,
                    "{id}: bytes arrived at one, yet it ran at two"
                );
            }
            let told = answer.status() == 200;
            assert!(
                told || answer.outcome().is_some(),
                "{id}: {}",
                answer.status()
            );
            assert!(
                answer.outcome() != Some("not-sent") || runs == [0, 0],
                "{id}"
            );
        }
    }
}

#[tokio::test]
async fn a_refused_order_is_not_sent_and_comes_through_when_the_backend_is_back() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).pool(STOIC).text()).await;
    backend.refuse();
    for (n, request) in [
        order("/order", "a"),
        chunked_order("b"),
        big_order("c", 100_000),
    ]
    .iter()
    .enumerate()
    {
        let answer = ask(&proxy, request).await;
        assert_eq!(
            (answer.status(), answer.outcome()),
            (503, Some("not-sent")),
            "{n}"
        );
        assert!(answer.head.get("retry-after").is_some());
        assert_eq!(answer.text().trim_end().lines().count(), 1);
    }
    backend.accept();
    assert!(ask(&proxy, &order("/order", "d")).await.is_ok());
    assert_eq!(backend.executed(), ["d"]);
}

#[tokio::test]
async fn a_refused_order_is_placed_at_a_neighbour_of_the_same_provider() {
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let policy = Policy::of(&[("aws/one", &one), ("aws/two", &two)]).pool(STOIC);
    let proxy = Proxy::start(
        &policy
            .pool("failover: { tiers: [[aws/one], [aws/two]] }")
            .text(),
    )
    .await;
    one.refuse();
    for id in ["a", "b", "c"] {
        let answer = ask(&proxy, &order("/order", id)).await;
        assert_eq!((answer.status(), answer.backend()), (200, "two"));
    }
    assert_eq!(two.executed(), ["a", "b", "c"]);
}

fn big_order(id: &str, bytes: usize) -> String {
    let body = "x".repeat(bytes);
    format!(
        "POST /order HTTP/1.1\r\nHost: h\r\nX-Order-Id: {id}\r\nContent-Length: {bytes}\r\n\r\n{body}"
    )
}

fn short_orders(backend: &Backend) -> String {
    let routes = "[ { match: { path: /order }, class: order, pool: main, deadline: 400ms } ]";
    Policy::of(&[("aws/one", backend)])
        .pool(STOIC)
        .routes(routes)
        .text()
}

#[tokio::test]
async fn an_order_without_an_answer_is_unknown_at_its_deadline_and_its_connection_is_reset() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&short_orders(&backend)).await;
    backend.act(Act::Hang);
    let asked = Instant::now();
    let answer = ask(&proxy, &order("/order", "o-1")).await;
    assert_eq!((answer.status(), answer.outcome()), (504, Some("unknown")));
    let waited = asked.elapsed();
    assert!(
        waited >= Duration::from_millis(390) && waited < Duration::from_millis(1500),
        "{waited:?}"
    );
    let end = eventually("the connection ends", SOON, async || {
        backend.peer_ends().pop()
    })
    .await;
    assert_eq!(end, PeerEnd::Rst);
    assert_eq!(backend.executed(), ["o-1"]);
}

#[tokio::test]
async fn an_answer_that_is_slow_but_in_time_is_relayed() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&short_orders(&backend)).await;
    backend.act(Act::After(Duration::from_millis(200)));
    let asked = Instant::now();
    assert!(ask(&proxy, &order("/order", "o-1")).await.is_ok());
    assert!(asked.elapsed() >= Duration::from_millis(200));
}

/// The backend's kernel takes the first few KiB; the rest waits in leeward's. A connection that is
/// merely closed would still deliver it, and the order would run after its client was told 504.
#[tokio::test]
async fn an_order_that_was_given_up_is_not_delivered_afterwards() {
    let options = Options {
        receive_buffer: Some(4096),
        ..Options::default()
    };
    let backend = Backend::with("aws", options);
    let proxy = Proxy::start(&short_orders(&backend)).await;
    backend.act(Act::StopReading);
    for bytes in [60_000, 500_000] {
        let answer = ask(&proxy, &big_order("o-1", bytes)).await;
        assert_eq!((answer.status(), answer.outcome()), (504, Some("unknown")));
    }
    backend.release();
    let both = async || (backend.requests().len() == 2).then_some(());
    eventually(
        "the backend reads on and finds the connections gone",
        SOON,
        both,
    )
    .await;
    assert!(backend.requests().iter().all(|seen| !seen.whole));
    assert!(backend.executed().is_empty());
}

#[tokio::test]
async fn an_order_is_never_repeated_whatever_the_backend_answers() {
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let proxy = Proxy::start(
        &Policy::of(&[("aws/one", &one), ("aws/two", &two)])
            .pool(STOIC)
            .text(),
    )
    .await;
    for target in ["/order", "/unrouted/by/class"] {
        for status in [500, 502, 503, 504, 429, 408, 425] {
            for backend in [&one, &two] {
                backend.act(Act::Status(status));
            }
            let before = one.requests().len() + two.requests().len();
            let answer = ask(&proxy, &order(target, "o")).await;
            assert_eq!((answer.status(), answer.outcome()), (status, None));
            assert_eq!(
                one.requests().len() + two.requests().len(),
                before + 1,
                "{target} {status}"
            );
        }
    }
}

/// How many requests reach backends that all break off after the request.
async fn requests_for(target: &str, backends: usize) -> usize {
    let backends: Vec<Backend> = (0..backends)
        .map(|n| Backend::start(&n.to_string()))
        .collect();
    let sites: Vec<String> = (0..backends.len()).map(|n| format!("aws/s{n}")).collect();
    let pairs: Vec<(&str, &Backend)> = sites.iter().map(String::as_str).zip(&backends).collect();
    let proxy = Proxy::start(&Policy::of(&pairs).pool(STOIC).text()).await;
    for backend in &backends {
        backend.act(Act::Script(vec![Step::End(DieBy::Rst)]));
    }
    let answer = ask(&proxy, &order(target, "o")).await;
    assert!(answer.status() >= 500, "{}", answer.status());
    assert_eq!(answer.outcome(), Some("unknown"));
    backends.iter().map(|b| b.requests().len()).sum()
}

#[tokio::test]
async fn each_class_is_tried_as_often_as_it_may_be() {
    assert_eq!(requests_for("/order", 6).await, 1);
    assert_eq!(requests_for("/cancel", 6).await, 2);
    assert_eq!(requests_for("/private/x", 6).await, 2);
    assert_eq!(requests_for("/read/x", 6).await, 4);
}

#[tokio::test]
async fn a_read_survives_a_connection_that_dies_at_the_moment_of_reuse() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).text()).await;
    let mut client = proxy.client().await;
    for by in [DieBy::Rst, DieBy::Fin] {
        backend.act(Act::DieOnReuse(by));
        for _ in 0..10 {
            assert!(client.get("/read/x").await.is_ok(), "{by:?}");
        }
    }
    backend.act(Act::Serve);
    for _ in 0..20 {
        backend.close_idle_connections();
        assert!(client.get("/read/x").await.is_ok());
    }
    assert_eq!(
        proxy.verdict("aws/one").await,
        "healthy",
        "nobody's failure"
    );
}

#[tokio::test]
async fn an_order_on_a_reused_connection_that_dies_gets_a_true_label() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).pool(STOIC).text()).await;
    let mut client = proxy.client().await;
    for by in [DieBy::Rst, DieBy::Fin] {
        backend.act(Act::DieOnReuse(by));
        for n in 0..20 {
            let id = format!("{by:?}-{n}");
            let answer = client.order("/order", &id).await;
            let ran = backend.executed().iter().filter(|e| **e == id).count();
            match (answer.status(), answer.outcome()) {
                (200, None) => assert_eq!(ran, 1),
                (504, Some("unknown")) => assert!(ran <= 1),
                (503, Some("not-sent")) => assert_eq!(ran, 0),
                other => panic!("{id}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_order_takes_no_connection_that_has_been_idle_for_too_long() {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]).pool("order_reuse_within: 1ms");
    let proxy = Proxy::start(&policy.text()).await;
    let mut client = proxy.client().await;
    let fresh = async || {
        assert!(client.get("/read/x").await.is_ok());
        let before = backend.connections();
        assert!(client.order("/order", "o").await.is_ok());
        (backend.connections() > before).then_some(())
    };
    eventually("an order on a connection of its own", SOON, fresh).await;
}

#[tokio::test]
async fn an_order_whose_client_leaves_midway_never_runs() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).pool(STOIC).text()).await;
    for reset in [true, false] {
        let before = backend.requests().len();
        let mut client = Client::connect(proxy.plain()).await;
        client.send("POST /order HTTP/1.1\r\nHost: h\r\nX-Order-Id: o-1\r\nContent-Length: 200000\r\n\r\n").await;
        client.send(pattern(100_000)).await;
        if reset {
            client.reset()
        } else {
            drop(client)
        }
        let gone = async || (backend.requests().len() > before).then_some(());
        eventually("the backend sees the end", SOON, gone).await;
        assert!(!backend.last().whole);
    }
    assert!(backend.executed().is_empty());
}
