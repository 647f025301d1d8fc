//! The metrics that say how much hangs on one provider, against a leeward that loses one.

use crate::support::backend::Backend;
use crate::support::certs::Ca;
use crate::support::load::Load;
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use std::time::Duration;

const CAPACITY: &str = "leeward_pool_provider_capacity_share";
const SHARE: &str = "leeward_pool_provider_share";
const USABLE: &str = "leeward_pool_tiers_usable";

async fn number(proxy: &Proxy, name: &str, provider: &str) -> Option<f64> {
    proxy
        .metrics()
        .await
        .sum(name, &[("pool", "main"), ("provider", provider)])
}

#[tokio::test]
async fn what_is_left_hangs_on_the_provider_that_is_left() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool(&quick_failover("[[aws], [gcp]]"));
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_metric(USABLE, &[], 2.0).await;
    assert_eq!(number(&proxy, SHARE, "aws").await, Some(1.0));
    assert_eq!(number(&proxy, CAPACITY, "aws").await, Some(0.5));
    assert_eq!(number(&proxy, "leeward_pool_tiers", "").await, None);
    aws.refuse();
    proxy.wait_for_verdict("aws", "down").await;
    proxy
        .wait_for_metric(CAPACITY, &[("provider", "gcp")], 1.0)
        .await;
    let metrics = proxy.metrics().await;
    assert_eq!(metrics.sum(SHARE, &[("provider", "gcp")]), Some(1.0));
    assert_eq!(metrics.sum(CAPACITY, &[("provider", "aws")]), Some(0.0));
    assert_eq!(metrics.sum(USABLE, &[]), Some(1.0));
    assert_eq!(metrics.sum("leeward_pool_tiers", &[]), Some(2.0));
    aws.accept();
    proxy.wait_for_metric(USABLE, &[], 2.0).await;
    assert_eq!(number(&proxy, CAPACITY, "aws").await, Some(0.5));
}

#[tokio::test]
async fn the_ends_of_certificates_on_both_sides_are_shown() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let leaf = ca.leaf(&["127.0.0.1"]);
    let backend = Backend::start_tls("aws", leaf.clone());
    dir.write("ca.pem", &ca.pem());
    dir.write("api.pem", &leaf.cert);
    dir.write("api.key", &leaf.key);
    let url = format!("{}, ca: ca.pem", backend.url());
    let policy = Policy::of_urls(&[("aws/one", url)]).pool(QUICK_PROBE).listeners(
        "secure: { bind: \"127.0.0.1:0\", tls: { certificates: [{ cert: api.pem, key: api.key }] } }",
    );
    let proxy = Proxy::start_in(dir, &policy.text()).await;
    // In the year 4000 or later, as the tests' certificates have it.
    let far = 64_060_588_800.0;
    let upstream = "leeward_upstream_certificate_expires_timestamp_seconds";
    proxy
        .wait_for_metric(upstream, &[("site", "aws/one")], far)
        .await;
    let metrics = proxy.metrics().await;
    let own = "leeward_certificate_expires_timestamp_seconds";
    let ends = metrics.sum(own, &[("listener", "secure")]);
    assert_eq!(ends, metrics.sum(upstream, &[]));
    assert!(metrics.text().contains("api.pem\""));
}

#[tokio::test]
async fn demand_is_shown_though_it_is_too_little_to_decide_anything() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let declared = |backend: &Backend| format!("{}, capacity: 100000/s", backend.url());
    let backends = [("aws/one", declared(&aws)), ("gcp/one", declared(&gcp))];
    let policy = Policy::of_urls(&backends).pool(QUICK_PROBE);
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("gcp/one", "healthy").await;
    let decided = proxy.events(0).await.len();
    let load = Load::start(proxy.plain(), 2, 0, Duration::from_millis(10));
    proxy
        .wait_for_metric("leeward_pool_demand", &[("pool", "main")], 20.0)
        .await;
    assert!(load.stop().await.iter().all(|told| told.is_ok()));
    assert_eq!(proxy.events(0).await.len(), decided);
}
