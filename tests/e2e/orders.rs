//! P1 under an outage: a provider dies while reads and orders flow, and the backends' own record of
//! order ids is held against what clients were told.

use crate::support::backend::{Act, Backend};
use crate::support::load::{Load, Told, assert_truth, failed_reads};
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::process::BackendProcess;
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually, settled};
use std::time::{Duration, Instant};

const PACE: Duration = Duration::from_millis(5);
const THINK: Duration = Duration::from_millis(10);

/// `aws` first, `gcp` when it is gone; a read has three seconds, an order one.
fn policy(backends: &[(&str, String)]) -> String {
    Policy::of_urls(backends)
        .pool(QUICK_PROBE)
        .pool(&quick_failover("[[aws/one], [gcp/one]]"))
        .routes(
            "
  - { name: read, match: { path_prefix: /read }, class: public_read, pool: main, deadline: 3s }
  - { name: order, match: { path: /order }, class: order, pool: main, deadline: 1s }
",
        )
        .text()
}

/// Waits until orders run at `gcp`, which proves that the writer has moved.
pub(crate) async fn orders_have_moved(executed: impl Fn() -> usize) {
    let before = executed();
    let moved = async || (executed() > before + 20).then_some(());
    eventually("orders run at the other provider", SOON * 2, moved).await;
}

pub(crate) fn all(parts: &[Vec<String>]) -> Vec<String> {
    parts.concat()
}

/// How many orders were told something else than 200.
pub(crate) fn failed_orders(told: &[Told]) -> Vec<String> {
    told.iter()
        .filter(|t| !t.is_read() && !t.is_ok())
        .map(Told::summary)
        .collect()
}

#[tokio::test]
async fn a_sigkill_loses_no_read_and_doubles_no_order() {
    let mut aws = BackendProcess::start("aws", THINK).await;
    let gcp = BackendProcess::start("gcp", THINK).await;
    let proxy = Proxy::start(&policy(&[("aws/one", aws.url()), ("gcp/one", gcp.url())])).await;
    let load = Load::start(proxy.plain(), 4, 4, PACE);
    load.wait_for(300).await;
    aws.kill();
    orders_have_moved(|| gcp.executed().len()).await;
    let told = load.stop().await;
    assert_eq!(failed_reads(&told), [""; 0]);
    assert_truth(&told, &all(&[aws.executed(), gcp.executed()]));
    let failed = failed_orders(&told);
    assert!(
        failed.len() <= 40,
        "{} orders failed before the writer moved: {failed:?}",
        failed.len()
    );
    assert_eq!(proxy.pool().await["writer"], "gcp");
}

/// A stopped process keeps its sockets: what its kernel took may run later, so it is unknown.
#[tokio::test]
async fn a_sigstop_doubles_no_order_and_what_was_delivered_is_unknown() {
    let aws = BackendProcess::start("aws", THINK).await;
    let gcp = BackendProcess::start("gcp", THINK).await;
    let proxy = Proxy::start(&policy(&[("aws/one", aws.url()), ("gcp/one", gcp.url())])).await;
    let load = Load::start(proxy.plain(), 4, 4, PACE);
    load.wait_for(300).await;
    aws.stop();
    orders_have_moved(|| gcp.executed().len()).await;
    let moved = Instant::now();
    load.wait_for(100).await;
    let told = load.stop().await;
    aws.go_on();
    settled(
        "what the stopped process runs later",
        Duration::from_millis(500),
        || aws.executed().len(),
    )
    .await;
    assert_truth(&told, &all(&[aws.executed(), gcp.executed()]));
    let late: Vec<Told> = told.iter().filter(|t| t.asked > moved).cloned().collect();
    assert_eq!(failed_reads(&late), [""; 0]);
    assert_eq!(failed_orders(&late), [""; 0]);
    // A read may fail only when its time was up: no retry could have saved it then.
    for read in told.iter().filter(|t| t.is_read() && !t.is_ok()) {
        assert!(
            read.waited >= Duration::from_millis(2990),
            "{}",
            read.summary()
        );
    }
    for order in told.iter().filter(|t| !t.is_read() && !t.is_ok()) {
        assert!(
            order.waited < Duration::from_millis(2000),
            "waited past its deadline: {}",
            order.summary()
        );
    }
}

#[tokio::test]
async fn refused_connections_lose_no_read_and_double_no_order() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let proxy = Proxy::start(&policy(&[("aws/one", aws.url()), ("gcp/one", gcp.url())])).await;
    let load = Load::start(proxy.plain(), 4, 4, PACE);
    load.wait_for(300).await;
    aws.refuse();
    aws.reset_connections();
    orders_have_moved(|| gcp.executed().len()).await;
    let told = load.stop().await;
    assert_eq!(failed_reads(&told), [""; 0]);
    assert_truth(&told, &all(&[aws.executed(), gcp.executed()]));
}

/// The backend runs each order and answers 503 all the same: whoever repeats one, doubles it.
#[tokio::test]
async fn a_storm_of_503_loses_no_read_and_doubles_no_order() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let proxy = Proxy::start(&policy(&[("aws/one", aws.url()), ("gcp/one", gcp.url())])).await;
    let load = Load::start(proxy.plain(), 4, 4, PACE);
    load.wait_for(300).await;
    aws.act(Act::Status(503));
    orders_have_moved(|| gcp.executed().len()).await;
    let told = load.stop().await;
    assert_eq!(failed_reads(&told), [""; 0]);
    assert_truth(&told, &all(&[aws.executed(), gcp.executed()]));
    let failed = told
        .iter()
        .filter(|t| !t.is_read() && !t.is_ok())
        .filter_map(|t| t.answer.as_ref());
    let relayed: Vec<_> = failed
        .filter(|answer| answer.head.get("x-backend").is_some())
        .collect();
    assert!(!relayed.is_empty());
    for answer in relayed {
        assert_eq!(
            (answer.status(), answer.outcome()),
            (503, None),
            "the backend's own word"
        );
    }
}

#[tokio::test]
async fn a_provider_that_comes_back_doubles_no_order() {
    let mut aws = BackendProcess::start("aws", THINK).await;
    let gcp = BackendProcess::start("gcp", THINK).await;
    let proxy = Proxy::start(&policy(&[("aws/one", aws.url()), ("gcp/one", gcp.url())])).await;
    let load = Load::start(proxy.plain(), 3, 3, PACE);
    for _ in 0..2 {
        load.wait_for(100).await;
        aws.kill();
        proxy.wait_for_verdict("aws/one", "down").await;
        aws.restart().await;
        proxy.wait_for_verdict("aws/one", "healthy").await;
    }
    load.wait_for(100).await;
    let told = load.stop().await;
    assert_eq!(failed_reads(&told), [""; 0]);
    assert_truth(&told, &all(&[aws.executed(), gcp.executed()]));
}
