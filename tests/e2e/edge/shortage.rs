//! leeward itself runs out of descriptors: its backends keep their verdicts, its clients are told the truth.

use crate::support::backend::Backend;
use crate::support::client::{Answer, Client};
use crate::support::metrics::Metrics;
use crate::support::policy::{Policy, QUICK_PROBE};
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use serde_json::Value;

const SHORT: &str = "leeward_local_shortages_total";
const OF_PROBES: [(&str, &str); 2] = [("purpose", "probe"), ("reason", "file_descriptors")];
const OF_REQUESTS: [(&str, &str); 2] = [("purpose", "request"), ("reason", "file_descriptors")];

/// Asks the admin side over a connection that is there already: no other can be had.
async fn ask(admin: &mut Client, target: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    admin.ask(request).await
}

async fn count(admin: &mut Client, labels: &[(&str, &str)]) -> f64 {
    let scrape = Metrics::new(ask(admin, "/metrics").await.text());
    scrape.sum(SHORT, labels).unwrap_or(0.0)
}

/// What is held of every endpoint, site and provider.
async fn verdicts(admin: &mut Client) -> Vec<String> {
    let text = ask(admin, "/api/v1/status").await.text();
    let status: Value = serde_json::from_str(&text).expect("JSON");
    let engine = &status["engine"];
    let lists = [
        &engine["providers"],
        &engine["sites"],
        &engine["pools"][0]["endpoints"],
    ];
    let all = lists
        .into_iter()
        .flat_map(|list| list.as_array().expect("a list"));
    all.map(|held| held["verdict"].as_str().expect("a verdict").to_owned())
        .collect()
}

#[tokio::test]
async fn without_descriptors_no_backend_is_blamed_and_an_order_is_told_not_sent() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)]).pool(QUICK_PROBE);
    let limit = ["prlimit", "--nofile=90:90"];
    let proxy = Proxy::launch(TempDir::new(), &policy.text(), &limit).await;
    proxy.wait_for_verdict("gcp/one", "healthy").await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    let mut admin = Client::connect(proxy.admin_address()).await;
    let mut early = proxy.client().await;
    // Nothing of leeward's can be had from a connection to a backend that stands idle: there is none.
    let before = ask(&mut admin, "/api/v1/events?since=0").await.text();
    let mut crowd = Vec::new();
    // More than it takes to leave a backend, each: two probes and three connections.
    eventually("probes find no descriptor", SOON * 2, async || {
        crowd.push(Client::connect(proxy.plain()).await);
        (count(&mut admin, &OF_PROBES).await >= 12.0).then_some(())
    })
    .await;
    for number in 0..8 {
        let order = early.order("/order/x", &format!("o{number}")).await;
        assert_eq!((order.status(), order.outcome()), (503, Some("not-sent")));
        assert!(order.head.get("retry-after").is_some());
        assert!(order.text().contains("cannot open another connection"));
        assert_eq!(early.get("/read/x").await.status(), 503);
    }
    assert!(count(&mut admin, &OF_REQUESTS).await >= 16.0);
    assert_eq!(verdicts(&mut admin).await, ["healthy"; 6]);
    let after = ask(&mut admin, "/api/v1/events?since=0").await.text();
    assert_eq!(before, after, "nothing was decided");
    drop(crowd);
    eventually("orders are taken again", SOON, async || {
        early.order("/order/x", "o9").await.is_ok().then_some(())
    })
    .await;
    assert_eq!(
        (aws.executed(), gcp.executed().len()),
        (vec!["o9".to_owned()], 0)
    );
    let said = proxy
        .log()
        .matches("backends cannot be reached or probed")
        .count();
    assert!((1..30).contains(&said), "{said} lines for the same thing");
}
