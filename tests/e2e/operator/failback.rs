//! Who says when a place comes home.

use super::{said, wait_for_backend};
use crate::support::backend::Backend;
use crate::support::policy::{Policy, QUICK_PROBE};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};

/// aws before gcp, with this failback; aws was lost and is well again.
async fn returned(failback: &str) -> (Backend, Backend, Proxy) {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let failover = format!(
        "failover: {{ tiers: [[aws/one], [gcp/one]], hold_down: {{ first: 300ms, max: 300ms }}, \
         ramp: 300ms, keep_warm: 0%, failback: {failback} }}"
    );
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool(&failover);
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    aws.refuse();
    proxy.wait_for_verdict("aws/one", "down").await;
    aws.accept();
    (aws, gcp, proxy)
}

async fn wait_for_cause(proxy: &Proxy, cause: &str) {
    eventually(&format!("aws/one {cause}"), SOON, async || {
        let site = proxy.status().await["sites"][0].clone();
        (site["cause"] == cause).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_site_waits_for_a_restore() {
    let (_aws, _gcp, proxy) = returned("manual").await;
    wait_for_cause(&proxy, "awaits_operator").await;
    assert_eq!(proxy.get("/read/x").await.backend(), "gcp");
    said(&proxy, &["restore", "aws/one"]);
    wait_for_backend(&proxy, "/read/x", "aws").await;
}

#[tokio::test]
async fn a_site_comes_home_in_a_window_that_is_open() {
    let (_aws, _gcp, proxy) = returned("{ windows: [{ from: 00:00, to: 24:00 }] }").await;
    wait_for_backend(&proxy, "/read/x", "aws").await;
}

#[tokio::test]
async fn a_site_waits_while_no_window_is_open() {
    // Open on one day of the week: not today, and not tomorrow.
    let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let days = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
    let day = days[(since / 86_400 + 3) as usize % 7];
    let windows = format!("{{ windows: [{{ days: {day}, from: 00:00, to: 24:00 }}] }}");
    let (_aws, _gcp, proxy) = returned(&windows).await;
    wait_for_cause(&proxy, "awaits_window").await;
    assert_eq!(proxy.get("/read/x").await.backend(), "gcp");
}
