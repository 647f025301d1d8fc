//! Operators' words from outside: said by the command line, seen in what clients and streams meet.

mod failback;
mod guards;
mod replay;
mod still;
mod streams;

use crate::support::backend::Backend;
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::proxy::{Proxy, json, leeward};
use crate::support::wait::{SOON, eventually};
use serde_json::Value;
use std::process::Output;
use std::time::Duration;

/// aws before gcp.
async fn pair() -> (Backend, Backend, Proxy) {
    pair_with("").await
}

async fn pair_with(more: &str) -> (Backend, Backend, Proxy) {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool(&quick_failover("[[aws/one], [gcp/one]]"));
    let policy = if more.is_empty() {
        policy
    } else {
        policy.pool(more)
    };
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    proxy.wait_for_verdict("gcp/one", "healthy").await;
    (aws, gcp, proxy)
}

/// Runs the command line against a proxy.
pub(crate) fn say(proxy: &Proxy, arguments: &[&str]) -> (Option<i32>, String, String) {
    let address = format!("http://{}", proxy.admin_address());
    let Output {
        status,
        stdout,
        stderr,
    } = std::process::Command::new(leeward())
        .args(arguments)
        .args(["--admin", &address])
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// The same for what has to be said.
fn said(proxy: &Proxy, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = say(proxy, arguments);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    stdout
}

async fn wait_for_backend(proxy: &Proxy, path: &str, name: &str) {
    let what = format!("{path} is answered by {name}");
    eventually(&what, SOON, async || {
        (proxy.get(path).await.backend() == name).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_evacuation_moves_reads_and_orders_and_is_taken_back() {
    let (_aws, _gcp, proxy) = pair().await;
    let told = said(
        &proxy,
        &["evacuate", "aws/one", "--for", "30m", "--reason", "a test"],
    );
    assert!(
        told.starts_with("evacuated: aws/one, for 30m (a test)\n"),
        "{told}"
    );
    assert!(told.contains("orders move from aws to gcp"), "{told}");
    assert!(told.contains("100.0% ->   0.0%"), "{told}");
    wait_for_backend(&proxy, "/read/x", "gcp").await;
    let order = proxy.client().await.order("/order", "o-1").await;
    assert_eq!(order.backend(), "gcp");
    let site = proxy.status().await["sites"][0].clone();
    assert_eq!(site["operator"], "evacuated");
    assert_eq!(site["operator_reason"], "a test");
    assert!(site["operator_lapses_in_ms"].as_u64().unwrap() > 29 * 60_000);
    let endpoint = proxy.pool().await["endpoints"][0].clone();
    assert_eq!(
        (&endpoint["leaving"], &endpoint["share"]),
        (&"at_once".into(), &0.0.into())
    );

    said(&proxy, &["restore", "aws"]);
    let still = proxy.status().await["sites"][0]["operator"].clone();
    assert_eq!(still, "evacuated", "a site's word is not its provider's");
    said(&proxy, &["restore", "aws/one"]);
    wait_for_backend(&proxy, "/read/x", "aws").await;
    wait_for_backend(&proxy, "/cancel/x", "aws").await;
}

#[tokio::test]
async fn a_drain_looks_different_from_an_evacuation() {
    let (_aws, _gcp, proxy) = pair().await;
    let told = said(&proxy, &["drain", "aws"]);
    assert!(told.starts_with("draining: aws\n"), "{told}");
    let pool = proxy.pool().await;
    assert_eq!(pool["endpoints"][0]["leaving"], "slowly");
    assert_eq!(pool["endpoints"][1]["leaving"], "stays");
    assert_eq!(proxy.status().await["providers"][0]["operator"], "draining");
    let draining = [("provider", "aws"), ("word", "draining")];
    proxy
        .wait_for_metric("leeward_provider_operator", &draining, 1.0)
        .await;
}

#[tokio::test]
async fn a_word_lapses() {
    let (_aws, _gcp, proxy) = pair().await;
    said(&proxy, &["evacuate", "aws", "--for", "1s"]);
    wait_for_backend(&proxy, "/read/x", "gcp").await;
    wait_for_backend(&proxy, "/read/x", "aws").await;
    let events = proxy.events(0).await;
    let lapsed =
        |event: &&Value| event["cause"] == "operator_word_lapsed" && event["change"] == "operator";
    assert_eq!(events.iter().filter(lapsed).count(), 1);
}

#[tokio::test]
async fn a_dry_run_says_what_would_follow_and_changes_nothing() {
    let (_aws, _gcp, proxy) = pair().await;
    let before = proxy.events(0).await.len();
    let told = said(&proxy, &["evacuate", "aws", "--dry-run"]);
    assert!(told.starts_with("would be evacuated: aws\n"), "{told}");
    assert!(told.contains("orders move from aws to gcp"), "{told}");
    assert_eq!(proxy.events(0).await.len(), before);
    assert_eq!(proxy.get("/read/x").await.backend(), "aws");
}

#[tokio::test]
async fn an_endpoint_is_named_by_its_address() {
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let policy = Policy::of(&[("aws/one", &one), ("aws/one", &two)]).pool(QUICK_PROBE);
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    let address = one.address().to_string();
    let told = said(&proxy, &["evacuate", &address, "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["said"], true);
    assert_eq!(told["pools"][0]["after"]["endpoints"], 1);
    for _ in 0..20 {
        assert_eq!(proxy.get("/read/x").await.backend(), "two");
    }
    said(&proxy, &["restore", &format!("main/{address}")]);
    wait_for_backend(&proxy, "/read/x", "one").await;
}

#[tokio::test]
async fn orders_in_flight_finish_where_an_operator_drains() {
    let (aws, _gcp, proxy) = pair().await;
    aws.act(crate::support::backend::Act::Script(vec![
        crate::support::backend::Step::Hold,
        crate::support::backend::Step::send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"),
    ]));
    let mut client = proxy.client().await;
    let under_way = tokio::spawn(async move { client.order("/order", "o-1").await });
    eventually("the order arrives", SOON, async || aws.requests().pop()).await;
    said(&proxy, &["drain", "aws"]);
    wait_for_backend(&proxy, "/read/x", "gcp").await;
    aws.release();
    let order = under_way.await.unwrap();
    assert_eq!((order.status(), order.text()), (200, "done".to_owned()));
}

#[tokio::test]
async fn words_survive_a_restart() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let dir = crate::support::temp::TempDir::new();
    std::fs::create_dir(dir.path("state")).unwrap();
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool(&quick_failover("[[aws/one], [gcp/one]]"))
        .top("state_dir: state");
    let mut proxy = Proxy::start_in(dir, &policy.text()).await;
    proxy.wait_for_verdict("gcp/one", "healthy").await;
    said(
        &proxy,
        &["evacuate", "aws", "--for", "1h", "--reason", "the flood"],
    );
    said(
        &proxy,
        &[
            "drain",
            "gcp/one",
            "--dry-run",
            "--force",
            "--reason",
            "never said",
        ],
    );
    let kept = proxy.dir().path("state/state.json");
    eventually("the word is kept", SOON, async || {
        let text = std::fs::read_to_string(&kept).ok()?;
        text.contains("the flood").then_some(())
    })
    .await;
    proxy.kill();
    proxy.start_again().await;
    let place = proxy.status().await["providers"][0].clone();
    assert_eq!(place["operator"], "evacuated");
    assert_eq!(place["operator_reason"], "the flood");
    assert_eq!(proxy.get("/read/x").await.backend(), "gcp");
    let answer = json(&proxy.admin("/api/v1/status").await);
    let left = answer["engine"]["providers"][0]["operator_lapses_in_ms"].as_u64();
    assert!(left.is_some_and(|left| left > 50 * 60_000), "{left:?}");
    said(&proxy, &["restore", "aws"]);
    wait_for_backend(&proxy, "/read/x", "aws").await;
}

/// A moment in which something that must not happen would have happened.
const A_WHILE: Duration = Duration::from_secs(1);
