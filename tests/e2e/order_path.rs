//! Orders that fail at a place whose reads succeed: their writer moves, and nothing else does.

use crate::support::backend::{Act, Backend};
use crate::support::load::{Load, assert_truth, failed_reads};
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use serde_json::Value;
use std::time::Duration;

const TIERS: &str = "[[aws/one], [gcp/one]]";

async fn pair(orders: &str) -> (Backend, Backend, Proxy) {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool(&quick_failover(TIERS))
        .pool(orders);
    let proxy = Proxy::start(&policy.text()).await;
    (aws, gcp, proxy)
}

/// Six clients that read and two that order.
async fn load(proxy: &Proxy) -> Load {
    let load = Load::start(proxy.plain(), 6, 2, Duration::from_millis(5));
    load.wait_for(400).await;
    load
}

async fn writer_is(proxy: &Proxy, provider: &str) {
    let moved = async || (proxy.pool().await["writer"] == provider).then_some(());
    eventually("the writer moves", SOON, moved).await;
}

fn changes(events: &[Value], change: &str) -> usize {
    events.iter().filter(|e| e["change"] == change).count()
}

#[tokio::test]
async fn orders_that_fail_while_reads_succeed_move_their_writer_and_nothing_else() {
    for act in [Act::Status(500), Act::Status(503)] {
        let (aws, gcp, proxy) = pair("").await;
        let load = load(&proxy).await;
        aws.act_on_posts(act.clone());
        writer_is(&proxy, "gcp").await;
        load.wait_for(300).await;
        let events = proxy.events(0).await;
        let told = load.stop().await;
        assert_eq!(failed_reads(&told), [""; 0]);
        assert_truth(&told, &[aws.executed(), gcp.executed()].concat());
        let failed = told.iter().filter(|t| !t.is_read() && !t.is_ok()).count();
        // All come from one address: a few 500 may be its own doing.
        let most = if matches!(act, Act::Status(503)) {
            15
        } else {
            30
        };
        assert!((1..=most).contains(&failed), "{failed} orders failed");
        let moved = events.iter().find(|e| e["change"] == "writer");
        assert_eq!(
            moved.map(|e| e["cause"].clone()),
            Some("orders_fail".into())
        );
        assert_eq!(changes(&events, "tier"), 0, "reads stay");
        assert_eq!(proxy.verdict("aws").await, "healthy");
        assert_eq!(proxy.get("/read/x").await.backend(), "aws");
        let decided = [("change", "order_path"), ("subject", "endpoint")];
        proxy
            .wait_for_metric("leeward_decisions_total", &decided, 1.0)
            .await;
    }
}

#[tokio::test]
async fn orders_that_hang_while_reads_are_answered_move_their_writer() {
    let (aws, gcp, proxy) = pair("orders: { fenced: true }").await;
    let load = load(&proxy).await;
    aws.act_on_posts(Act::Hang);
    writer_is(&proxy, "gcp").await;
    load.wait_for(300).await;
    let told = load.stop().await;
    assert_eq!(failed_reads(&told), [""; 0]);
    assert_truth(&told, &[aws.executed(), gcp.executed()].concat());
    let failed = told.iter().filter(|t| !t.is_read() && !t.is_ok()).count();
    assert!((1..=6).contains(&failed), "{failed} orders failed");
    assert_eq!(proxy.verdict("aws").await, "healthy");
    assert_eq!(proxy.get("/read/x").await.backend(), "aws");
}

#[tokio::test]
async fn where_an_operator_moves_the_writer_it_stays_and_that_is_said() {
    let (aws, _gcp, proxy) = pair("orders: { move: operator }").await;
    let load = load(&proxy).await;
    aws.act_on_posts(Act::Status(503));
    let held = [("pool", "main")];
    proxy
        .wait_for_metric("leeward_pool_orders_held", &held, 1.0)
        .await;
    assert_eq!(proxy.pool().await["writer"], "aws");
    aws.act_on_posts(None);
    let over = async || (proxy.pool().await["orders_held"] == false).then_some(());
    eventually("orders succeed again", SOON, over).await;
    assert_eq!(failed_reads(&load.stop().await), [""; 0]);
    assert_eq!(proxy.pool().await["writer"], "aws");
}

#[tokio::test]
async fn orders_that_are_refused_move_nothing() {
    let (aws, _gcp, proxy) = pair("").await;
    let load = load(&proxy).await;
    for status in [400, 403, 409, 422, 429] {
        aws.act_on_posts(Act::Status(status));
        load.wait_for(150).await;
    }
    load.stop().await;
    let events = proxy.events(0).await;
    assert_eq!(changes(&events, "writer"), 0);
    assert_eq!(changes(&events, "order_path"), 0);
}
