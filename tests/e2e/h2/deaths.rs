//! P1 byte by byte over HTTP/2: what an order is called when its backend's connection dies.

use super::orders::{NOT_SENT, UNKNOWN, policy, told};
use crate::support::h2::breaker::{Act, Breaker};
use crate::support::h2::client::H2Client;
use crate::support::proxy::Proxy;
use std::collections::BTreeSet;

/// More bytes than a new connection with one order has.
const NEW: usize = 400;

/// Sends an order and compares what is said of it with the backend's own record.
async fn judge(breaker: &Breaker, client: &mut H2Client, id: &str) -> &'static str {
    let begun = breaker.begun();
    let got = client.order("/order", id).await;
    let runs = breaker.executed().iter().filter(|ran| *ran == id).count();
    assert!(runs <= 1, "{id} ran {runs} times");
    match told(&got) {
        (200, None) => {
            assert_eq!(runs, 1, "{id}: told done, never ran");
            "done"
        }
        UNKNOWN => "unknown",
        NOT_SENT => {
            assert_eq!(runs, 0, "{id}: told not sent, and it ran");
            assert_eq!(
                breaker.begun(),
                begun,
                "{id}: told not sent, but bytes came"
            );
            "not-sent"
        }
        other => panic!("{id}: {other:?} {}", got.text()),
    }
}

/// Lets each connection die after so many bytes, from the first of its preface on. `orders` are sent
/// one after the other: the first ones make the connection a used one.
async fn sweep(by_reset: bool, bytes: std::ops::Range<usize>, orders: usize, wanted: &[&str]) {
    let breaker = Breaker::start(Act::Serve);
    let proxy = Proxy::start(&policy(&[("aws/one", &breaker)]).text()).await;
    let mut client = H2Client::connect(proxy.plain()).await;
    let mut labels = BTreeSet::new();
    let mut last = "";
    for bytes in bytes {
        breaker.die_after(bytes, by_reset);
        for number in 0..orders {
            let id = format!("{bytes}-{number}");
            last = judge(&breaker, &mut client, &id).await;
            labels.insert(last);
        }
    }
    assert_eq!(last, "done", "the sweep goes beyond the end");
    assert!(labels.iter().eq(wanted), "{labels:?}");
    let mut executed = breaker.executed();
    let count = executed.len();
    executed.sort();
    executed.dedup();
    assert_eq!(executed.len(), count, "no order ran twice");
}

#[tokio::test]
async fn a_connection_that_is_reset_at_any_byte_leaves_a_true_label() {
    sweep(true, 0..NEW, 1, &["done", "not-sent", "unknown"]).await;
}

#[tokio::test]
async fn a_connection_that_is_closed_at_any_byte_leaves_a_true_label() {
    sweep(false, 0..NEW, 1, &["done", "not-sent", "unknown"]).await;
}

#[tokio::test]
async fn a_used_connection_that_is_reset_at_any_byte_leaves_a_true_label() {
    sweep(true, 150..NEW, 2, &["done", "unknown"]).await;
}
