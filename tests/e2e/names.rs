//! Backends that are names: resolved beside the data path, and never lost to a bad resolver (P6).

use crate::support::backend::Backend;
use crate::support::policy::{Policy, QUICK_PROBE};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};

#[tokio::test]
async fn a_name_is_resolved_and_each_address_is_an_endpoint() {
    let backend = Backend::start("aws");
    let url = format!("http://localhost:{}", backend.address().port());
    let policy = Policy::of_urls(&[("aws/one", url)]).pool(QUICK_PROBE);
    let proxy = Proxy::start(&policy.text()).await;
    let served = async || proxy.get("/read/x").await.is_ok().then_some(());
    eventually("the name's address serves", SOON, served).await;
    let pool = proxy.pool().await;
    let endpoints = pool["endpoints"].as_array().expect("endpoints");
    let address = backend.address().to_string();
    assert!(
        endpoints.iter().any(|e| e["address"] == address.as_str()),
        "{pool}"
    );
}

/// The second backend's name never resolves; that disturbs nobody.
#[tokio::test]
async fn literal_addresses_serve_when_the_name_does_not_resolve() {
    let backend = Backend::start("aws");
    let address = backend.address();
    let with_address = format!(
        "http://nowhere.invalid:{}, addresses: [127.0.0.1]",
        address.port()
    );
    let without = "http://also-nowhere.invalid:1".to_owned();
    let policy = Policy::of_urls(&[("aws/one", with_address), ("gcp/one", without)]);
    let proxy = Proxy::start(
        &policy
            .pool("failover: { tiers: [[aws/one], [gcp/one]] }")
            .text(),
    )
    .await;
    for _ in 0..5 {
        assert!(proxy.get("/read/x").await.is_ok());
    }
    assert!(proxy.client().await.order("/order", "o").await.is_ok());
}

#[tokio::test]
async fn a_pool_without_any_address_answers_not_sent() {
    let policy = Policy::of_urls(&[("aws/one", "http://nowhere.invalid:1".to_owned())]);
    let proxy = Proxy::start(&policy.text()).await;
    for target in ["/read/x", "/order"] {
        let answer = proxy.client().await.order(target, "o").await;
        assert_eq!(
            (answer.status(), answer.outcome()),
            (503, Some("not-sent")),
            "{target}"
        );
    }
}
