//! What becomes of streams: upgraded connections and long answers.

use super::{A_WHILE, pair, pair_with, said};
use crate::support::backend::{Act, Backend, Step};
use crate::support::client::Client;
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::proxy::Proxy;
use crate::support::wait::SOON;
use crate::support::wire::{End, Framing};
use std::time::Instant;

const ASK: &str =
    "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const ENDLESS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";

/// An upgraded connection whose backend sends everything back.
async fn stream(proxy: &Proxy) -> Client {
    let mut client = proxy.client().await;
    client.send(ASK).await;
    assert_eq!(client.head().await.expect("a 101").status(), 101);
    assert!(echoes(&mut client).await);
    client
}

async fn echoes(client: &mut Client) -> bool {
    client.try_send("hello").await;
    client.some().await == b"hello"
}

fn echo(backend: &Backend) {
    backend.act(Act::Script(vec![Step::send(SWITCH), Step::Echo]));
}

#[tokio::test]
async fn an_evacuation_ends_streams_at_once() {
    let (aws, _gcp, proxy) = pair().await;
    echo(&aws);
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(stream(&proxy).await);
    }
    let began = Instant::now();
    said(&proxy, &["evacuate", "aws"]);
    for mut stream in streams {
        assert!(stream.is_closed().await);
    }
    assert!(began.elapsed() < SOON / 2, "{:?}", began.elapsed());
    let left = [("reason", "left")];
    proxy
        .wait_for_metric("leeward_pool_streams_ended_total", &left, 5.0)
        .await;
}

#[tokio::test]
async fn a_verdict_of_down_ends_streams_though_their_connections_stand() {
    let (aws, gcp, proxy) = pair().await;
    echo(&aws);
    let mut gone = stream(&proxy).await;
    aws.refuse();
    proxy.wait_for_verdict("aws/one", "down").await;
    assert!(gone.is_closed().await);
    echo(&gcp);
    let mut sheltered = stream(&proxy).await;
    assert!(echoes(&mut sheltered).await);
}

#[tokio::test]
async fn a_drain_ends_streams_over_its_window_and_a_restore_keeps_the_rest() {
    let (aws, _gcp, proxy) = pair_with("drain_streams: 3s").await;
    echo(&aws);
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(stream(&proxy).await);
    }
    said(&proxy, &["drain", "aws"]);
    let drained = [("reason", "drained")];
    let name = "leeward_pool_streams_ended_total";
    proxy.wait_for_metric(name, &drained, 2.0).await;
    said(&proxy, &["restore", "aws"]);
    let ended = proxy.metrics().await.sum(name, &drained).unwrap();
    assert!((2.0..6.0).contains(&ended), "{ended} of 6 at once");
    let mut open = 0;
    for stream in &mut streams {
        open += usize::from(echoes(stream).await);
    }
    assert_eq!(open as f64, 6.0 - ended);
    said(&proxy, &["drain", "aws"]);
    proxy.wait_for_metric(name, &drained, 6.0).await;
}

#[tokio::test]
async fn long_answers_end_with_their_endpoint_and_say_so() {
    let (aws, _gcp, proxy) = pair().await;
    aws.act(Act::Script(vec![Step::send(ENDLESS), Step::Hold]));
    let mut client = proxy.client().await;
    client.send("GET /ws HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.head().await.expect("a head").status(), 200);
    let began = Instant::now();
    said(&proxy, &["evacuate", "aws"]);
    while !client.some().await.is_empty() {}
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let left = [("reason", "left")];
    proxy
        .wait_for_metric("leeward_pool_streams_ended_total", &left, 1.0)
        .await;
    let told = [("outcome", "truncated")];
    proxy
        .wait_for_metric("leeward_requests_total", &told, 1.0)
        .await;
}

#[tokio::test]
async fn an_answer_that_ends_by_itself_may_end_where_an_operator_drains() {
    let (aws, _gcp, proxy) = pair_with("drain_streams: 20s").await;
    echo(&aws);
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(stream(&proxy).await);
    }
    // Too large to be held until it is whole: the client has its first half.
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello";
    aws.act_once(Act::Script(vec![
        Step::send(head),
        Step::Hold,
        Step::send(&"x".repeat(99_995)),
    ]));
    let mut client = proxy.client().await;
    client.send("GET /read/x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.head().await.expect("a head").status(), 200);
    said(&proxy, &["drain", "aws"]);
    let drained = [("reason", "drained")];
    proxy
        .wait_for_metric("leeward_pool_streams_ended_total", &drained, 1.0)
        .await;
    aws.release();
    let body = client.into_wire().body(Framing::Length(100_000)).await;
    assert_eq!((body.bytes.len(), body.end), (100_000, End::Whole));
}

#[tokio::test]
async fn all_probes_red_while_traffic_is_fine_drops_no_stream() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool(&quick_failover("[[aws/one], [gcp/one]]"))
        .routes("\n  - { match: { path: /ws }, class: stream, pool: main }\n  - { match: {}, class: public_read, pool: main }\n");
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    aws.act_once(Act::Script(vec![Step::send(SWITCH), Step::Echo]));
    let mut stream = stream(&proxy).await;
    let load = crate::support::load::Load::start(proxy.plain(), 4, 0, A_WHILE / 50);
    load.wait_for(20).await;
    let red = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
    for backend in [&aws, &gcp] {
        backend.act_on_probes(Act::Script(vec![Step::send(red)]));
    }
    let failed = [("result", "status")];
    proxy
        .wait_for_metric("leeward_probes_total", &failed, 20.0)
        .await;
    load.wait_for(50).await;
    assert!(echoes(&mut stream).await);
    let ended = "leeward_pool_streams_ended_total";
    assert_eq!(proxy.metrics().await.sum(ended, &[]), Some(0.0));
    load.stop().await;
}
