//! What bounds a site, and what does not.

use super::{failed_orders, is_shed};
use crate::support::backend::{Act, Backend};
use crate::support::load::{Load, Told, assert_truth, failed_reads};
use crate::support::policy::{Policy, QUICK_PROBE, STOIC, quick_failover};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use std::time::Duration;

const PACE: Duration = Duration::from_millis(10);
const LIMITED: &str =
    "HTTP/1.1 429 Too Many\r\nX-Backend: aws\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn what_a_site_cannot_carry_goes_to_the_next() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of_urls(&[
        ("aws/one", format!("{}, capacity: 12/s", aws.url())),
        ("gcp/one", format!("{}, capacity: 2000/s", gcp.url())),
    ])
    .pool(QUICK_PROBE)
    .pool(&quick_failover("[[aws/one], [gcp/one]]"));
    let proxy = Proxy::start(&policy.text()).await;
    let load = Load::start(proxy.plain(), 4, 0, PACE);
    load.wait_for(200).await;
    aws.bound(13.0, 10.0);
    load.wait_for(500).await;
    let carried = aws.carried();
    let told = load.stop().await;
    assert_eq!(failed_reads(&told), [""; 0]);
    assert!(carried.refused <= 10 && carried.used() > 0.5, "{carried:?}");
    let status = proxy.pool().await;
    assert!(status["demand"].as_f64() > Some(0.0), "{status}");
    assert_eq!(status["capacity"][0]["tight"], true, "{status}");
}

#[tokio::test]
async fn max_share_holds_in_an_evacuation_and_yields_when_nothing_else_is_left() {
    let backends = ["aws", "akash", "gcp"].map(Backend::start);
    let [aws, akash, gcp] = &backends;
    let sites = [("aws/one", aws), ("akash/one", akash), ("gcp/one", gcp)];
    let policy = Policy::of(&sites)
        .pool(QUICK_PROBE)
        .pool(&quick_failover("[[aws/one], [akash/one], [gcp/one]]"));
    let text = policy.text().replace(
        "akash: { sites: [one] }",
        "akash: { sites: [one], max_share: 10% }",
    );
    let proxy = Proxy::start(&text).await;
    let load = Load::start(proxy.plain(), 4, 0, PACE);
    load.wait_for(200).await;
    aws.refuse();
    aws.reset_connections();
    proxy.wait_for_verdict("aws/one", "down").await;
    let before = (akash.requests().len(), gcp.requests().len());
    load.wait_for(600).await;
    let at_akash = akash.requests().len() - before.0;
    let at_gcp = gcp.requests().len() - before.1;
    let share = at_akash as f64 / (at_akash + at_gcp) as f64;
    assert!((0.05..=0.15).contains(&share), "{at_akash} of {at_gcp}");
    gcp.refuse();
    gcp.reset_connections();
    let serves = async || (proxy.get("/read/x").await.backend() == "akash").then_some(());
    eventually("akash serves", SOON, serves).await;
    proxy.wait_for_verdict("gcp/one", "down").await;
    let from = load.count();
    load.wait_for(300).await;
    let told = load.stop().await;
    let last: Vec<Told> = told.into_iter().skip(from).collect();
    assert_eq!(failed_reads(&last), [""; 0]);
}

#[tokio::test]
async fn a_429_takes_nothing_from_a_site() {
    let aws = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &aws)]).pool(QUICK_PROBE);
    let proxy = Proxy::start(&policy.text()).await;
    aws.act(Act::say(LIMITED));
    let load = Load::start(proxy.plain(), 4, 2, PACE);
    load.wait_for(500).await;
    let told = load.stop().await;
    for told in &told {
        let status = told.answer.as_ref().map(|answer| answer.status());
        assert_eq!(status, Some(429), "{}", told.summary());
    }
    let metrics = proxy.metrics().await;
    let site = [("site", "aws/one")];
    assert_eq!(metrics.sum("leeward_site_learned_rate", &site), Some(0.0));
    assert_eq!(metrics.sum("leeward_site_shed_total", &site), Some(0.0));
    assert_eq!(
        metrics.sum("leeward_site_requests_limit", &site),
        Some(16_384.0)
    );
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
}

/// Orders of one client keep to one backend; what that has left is not half of its site's.
#[tokio::test]
async fn reads_go_beside_the_backend_that_orders_fill() {
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let at = |backend: &Backend| ("aws/one", format!("{}, capacity: 40/s", backend.url()));
    let policy = Policy::of_urls(&[at(&one), at(&two)])
        .pool(QUICK_PROBE)
        .pool(STOIC);
    let proxy = Proxy::start(&policy.text()).await;
    let load = Load::start(proxy.plain(), 12, 1, Duration::from_millis(30));
    load.wait_for(400).await;
    for backend in [&one, &two] {
        backend.bound(40.0, 20.0);
    }
    load.wait_for(2500).await;
    let carried = [one.carried(), two.carried()];
    let told = load.stop().await;
    assert_eq!(failed_orders(&told), [""; 0]);
    for carried in &carried {
        assert!(carried.refused <= 5 && carried.used() > 0.85, "{carried:?}");
    }
    let ran = [one.executed().len(), two.executed().len()];
    assert_eq!(ran.iter().min(), Some(&0), "orders have one path: {ran:?}");
    assert!(told.iter().filter(|told| is_shed(told)).count() > 50);
}

#[tokio::test]
async fn orders_beyond_a_declared_capacity_are_shed_and_never_run() {
    let aws = Backend::start("aws");
    let policy = Policy::of_urls(&[("aws/one", format!("{}, capacity: 20/s", aws.url()))])
        .pool(QUICK_PROBE)
        .pool(STOIC);
    let proxy = Proxy::start(&policy.text()).await;
    let load = Load::start(proxy.plain(), 0, 4, PACE);
    load.wait_for(400).await;
    // Twice what can be answered: what is shed is part of the demand.
    let main = [("pool", "main")];
    proxy
        .wait_for_metric("leeward_pool_demand", &main, 40.0)
        .await;
    let told = load.stop().await;
    let shed = told.iter().filter(|told| is_shed(told)).count();
    assert_eq!(failed_orders(&told).len(), shed, "nothing else failed");
    assert!(shed > 80, "{shed} of {}", told.len());
    assert_truth(&told, &aws.executed());
}

#[tokio::test]
async fn room_comes_back_whatever_becomes_of_an_answer() {
    let aws = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &aws)]).pool(STOIC);
    let proxy = Proxy::start(&policy.text()).await;
    let in_flight = || async {
        let site = [("site", "aws/one")];
        proxy
            .metrics()
            .await
            .sum("leeward_site_requests_in_flight", &site)
    };
    aws.act(Act::Hang);
    let mut waiting = proxy.client().await;
    waiting
        .send("GET /read/x HTTP/1.1\r\nHost: api.example\r\n\r\n")
        .await;
    let one = async || (in_flight().await == Some(1.0)).then_some(());
    eventually("one is in flight", SOON, one).await;
    drop(waiting);
    let none = async || (in_flight().await == Some(0.0)).then_some(());
    eventually("nothing is in flight", SOON, none).await;
    aws.act(Act::Serve);
    assert!(proxy.get("/read/bytes/100000").await.is_ok());
    eventually("nothing is in flight", SOON, none).await;
}
