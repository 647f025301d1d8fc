//! Upgrades: raw streams after the backend's 101, and not a byte before.

use crate::support::backend::{Act, Backend, DieBy, PeerEnd, Step};
use crate::support::client::Client;
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use crate::support::wire::{pattern, text};

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

async fn one() -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).text()).await;
    (backend, proxy)
}

/// An upgraded connection whose backend sends everything back.
async fn echoing() -> (Backend, Proxy, Client) {
    let (backend, proxy) = one().await;
    backend.act(Act::Script(vec![Step::send(SWITCH), Step::Echo]));
    let mut client = proxy.client().await;
    client.send(ASK).await;
    let head = client.head().await.expect("a 101");
    assert_eq!(head.status(), 101);
    assert_eq!(head.get("upgrade"), Some("websocket"));
    assert_eq!(
        head.get("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    (backend, proxy, client)
}

async fn expect_bytes(client: &mut Client, expected: &[u8]) {
    let mut got = Vec::new();
    while got.len() < expected.len() {
        let more = client.some().await;
        assert!(
            !more.is_empty(),
            "closed after {} of {} bytes",
            got.len(),
            expected.len()
        );
        got.extend(more);
    }
    assert!(got == expected);
}

#[tokio::test]
async fn after_the_101_bytes_pass_both_ways_as_they_are() {
    let (backend, _proxy, mut client) = echoing().await;
    let head = backend.last().head;
    assert_eq!(head.get("upgrade"), Some("websocket"));
    assert_eq!(
        head.get("sec-websocket-key"),
        Some("dGhlIHNhbXBsZSBub25jZQ==")
    );
    assert!(
        head.get("connection")
            .is_some_and(|v| v.eq_ignore_ascii_case("upgrade"))
    );
    for content in [
        b"\0\xff\r\n\r\nGET / HTTP/9\r\n".to_vec(),
        pattern(100_000),
        b"x".to_vec(),
    ] {
        client.send(&content).await;
        expect_bytes(&mut client, &content).await;
    }
}

#[tokio::test]
async fn bytes_that_come_with_the_101_reach_the_client() {
    let (backend, proxy) = one().await;
    backend.act(Act::Script(vec![
        Step::send(&format!("{SWITCH}early bird")),
        Step::Echo,
    ]));
    let mut client = proxy.client().await;
    client.send(ASK).await;
    assert_eq!(client.head().await.expect("a 101").status(), 101);
    expect_bytes(&mut client, b"early bird").await;
    client.send("hello").await;
    expect_bytes(&mut client, b"hello").await;
}

#[tokio::test]
async fn a_declined_upgrade_is_an_ordinary_answer_and_smuggles_nothing() {
    let (backend, proxy) = one().await;
    let smuggled = "GET /read/smuggled HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    let mut client = proxy.client().await;
    client.send(format!("{ASK}{smuggled}")).await;
    let declined = client.answer("GET").await;
    assert!(declined.is_ok(), "{}", declined.status());
    let after = client.try_answer("GET").await;
    let seen = backend.requests();
    assert!(
        seen.iter()
            .all(|seen| !text(&seen.head.raw).contains("6.6.6.6")),
        "{seen:?}"
    );
    match after {
        Some(answer) if answer.status() == 200 => assert_eq!(seen.len(), 2),
        _ => assert_eq!(seen.len(), 1),
    }
}

#[tokio::test]
async fn raw_bytes_before_the_101_do_not_reach_a_backend_that_declines() {
    let (backend, proxy) = one().await;
    let declined = "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n";
    backend.act(Act::Script(vec![Step::Hold, Step::send(declined)]));
    let mut client = proxy.client().await;
    client.send(ASK).await;
    client
        .send(b"\x81\x85raw bytes without a 101\r\n\r\n")
        .await;
    eventually("the request arrives", SOON, async || {
        backend.requests().pop()
    })
    .await;
    backend.release();
    assert_eq!(client.answer("GET").await.status(), 400);
    client.finish().await;
    while !client.some().await.is_empty() {}
    let seen = backend.requests();
    assert!(
        seen.iter()
            .all(|seen| !text(&seen.head.raw).contains("raw bytes")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_opens_no_tunnel() {
    let (backend, proxy) = one().await;
    backend.act(Act::Script(vec![Step::send(SWITCH), Step::Echo]));
    let mut client = proxy.client().await;
    let answer = client.get("/ws/plain").await;
    assert_eq!(answer.status(), 502, "{}", answer.text());
    proxy
        .wait_for_metric(
            "leeward_upstream_attempts_total",
            &[("outcome", "reset")],
            1.0,
        )
        .await;
}

#[tokio::test]
async fn a_backend_that_dies_takes_its_client_along() {
    let (backend, _proxy, mut client) = echoing().await;
    client.send("hello").await;
    expect_bytes(&mut client, b"hello").await;
    backend.reset_connections();
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_backend_that_closes_in_order_closes_its_client_in_order() {
    let (backend, proxy) = one().await;
    let steps = [Step::send(SWITCH), Step::send("bye"), Step::End(DieBy::Fin)];
    backend.act(Act::Script(steps.to_vec()));
    let mut client = proxy.client().await;
    client.send(ASK).await;
    assert_eq!(client.head().await.expect("a 101").status(), 101);
    expect_bytes(&mut client, b"bye").await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_backend() {
    let (backend, _proxy, mut client) = echoing().await;
    client.send("hello").await;
    expect_bytes(&mut client, b"hello").await;
    drop(client);
    let end = eventually("leeward lets go", SOON, async || backend.peer_ends().pop()).await;
    assert!([PeerEnd::Fin, PeerEnd::Rst].contains(&end));
}

#[tokio::test]
async fn a_stream_whose_backend_refuses_is_placed_elsewhere() {
    let (dead, alive) = (Backend::start("dead"), Backend::start("alive"));
    dead.refuse();
    alive.act(Act::Script(vec![Step::send(SWITCH), Step::Echo]));
    let policy = Policy::of(&[("aws/one", &dead), ("gcp/one", &alive)])
        .pool("failover: { tiers: [[aws/one], [gcp/one]] }");
    let proxy = Proxy::start(&policy.text()).await;
    let mut client = proxy.client().await;
    client.send(ASK).await;
    assert_eq!(client.head().await.expect("a 101").status(), 101);
}
