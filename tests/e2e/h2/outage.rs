//! P1 under an outage, over HTTP/2 on both sides: a provider dies while reads and orders share a few
//! connections, and the backends' own record is held against what clients were told.

use super::H2C;
use crate::orders::{all, failed_orders, orders_have_moved};
use crate::support::load::{Load, Told, assert_truth, failed_reads};
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::process::BackendProcess;
use crate::support::proxy::Proxy;
use crate::support::wait::settled;
use std::time::{Duration, Instant};

const PACE: Duration = Duration::from_millis(5);
/// One request at a time, so that others wait on the same connection.
const THINK: Duration = Duration::from_millis(2);

/// `aws` first, `gcp` when it is gone; a read has three seconds, an order one.
fn policy(aws: &BackendProcess, gcp: &BackendProcess) -> String {
    let entry = |backend: &BackendProcess| format!("{}, protocol: http2", backend.url());
    Policy::of_urls(&[("aws/one", entry(aws)), ("gcp/one", entry(gcp))])
        .listeners(H2C)
        .pool(QUICK_PROBE)
        .pool("orders: { protocol: http2 }")
        .pool(&quick_failover("[[aws/one], [gcp/one]]"))
        .routes(
            "
  - { name: read, match: { path_prefix: /read }, class: public_read, pool: main, deadline: 3s }
  - { name: order, match: { path: /order }, class: order, pool: main, deadline: 1s }
",
        )
        .text()
}

async fn pair() -> (BackendProcess, BackendProcess, Proxy) {
    let aws = BackendProcess::start_http2("aws", THINK).await;
    let gcp = BackendProcess::start_http2("gcp", THINK).await;
    let proxy = Proxy::start(&policy(&aws, &gcp)).await;
    (aws, gcp, proxy)
}

#[tokio::test]
async fn a_sigkill_loses_no_read_and_doubles_no_order() {
    let (mut aws, gcp, proxy) = pair().await;
    let load = Load::start_http2(proxy.plain(), 4, 4, PACE).await;
    load.wait_for(300).await;
    aws.kill();
    orders_have_moved(|| gcp.executed().len()).await;
    let told = load.stop().await;
    assert_eq!(failed_reads(&told), [""; 0]);
    assert_truth(&told, &all(&[aws.executed(), gcp.executed()]));
    let failed = failed_orders(&told);
    assert!(failed.len() <= 40, "{}: {failed:?}", failed.len());
    assert_eq!(proxy.pool().await["writer"], "gcp");
}

#[tokio::test]
async fn a_sigstop_doubles_no_order_and_what_was_delivered_is_unknown() {
    let (aws, gcp, proxy) = pair().await;
    let load = Load::start_http2(proxy.plain(), 4, 4, PACE).await;
    load.wait_for(300).await;
    aws.stop();
    orders_have_moved(|| gcp.executed().len()).await;
    let moved = Instant::now();
    load.wait_for(100).await;
    let told = load.stop().await;
    aws.go_on();
    let ran = || aws.executed().len();
    settled(
        "what the stopped process runs later",
        Duration::from_millis(500),
        ran,
    )
    .await;
    assert_truth(&told, &all(&[aws.executed(), gcp.executed()]));
    let late: Vec<Told> = told.iter().filter(|t| t.asked > moved).cloned().collect();
    assert_eq!(failed_reads(&late), [""; 0]);
    assert_eq!(failed_orders(&late), [""; 0]);
    for told in told.iter().filter(|t| !t.is_ok()) {
        // A read may fail only when its time was up; an order never waits past its own.
        let waited = told.waited;
        let right = match told.is_read() {
            true => waited >= Duration::from_millis(2990),
            false => waited < Duration::from_millis(2000),
        };
        assert!(right, "{}", told.summary());
    }
}

#[tokio::test]
async fn a_provider_that_comes_back_doubles_no_order() {
    let (mut aws, gcp, proxy) = pair().await;
    let load = Load::start_http2(proxy.plain(), 3, 3, PACE).await;
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
