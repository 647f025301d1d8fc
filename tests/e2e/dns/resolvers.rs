//! Resolvers: how a name is followed, several of them, one that dies, and addresses beside a name.

use super::{
    QUESTIONS, assert_served_by, dns, family, policy, wait_for, wait_for_result,
    wait_until_served_by,
};
use crate::support::dns::{Dns, Say};
use crate::support::policy::{Policy, QUICK_PROBE};
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use std::time::{Duration, Instant};

#[tokio::test]
async fn an_answer_that_is_cut_over_udp_comes_over_tcp() {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", Say::CutOnce(vec!["127.0.0.1".parse().unwrap()]));
    let proxy = Proxy::start(&policy(&backends, &[&server], "").text()).await;
    wait_until_served_by(&proxy, "127.0.0.1").await;
}

#[tokio::test]
async fn every_address_of_a_name_is_an_endpoint_of_both_families() {
    let (backends, server) = (family(2), Dns::start());
    server.says(
        "api.test",
        Say::addresses(&["127.0.0.1", "127.0.0.2", "::1"]),
    );
    let proxy = Proxy::start(&policy(&backends, &[&server], "").text()).await;
    wait_for(&proxy, "127.0.0.1", true, "healthy").await;
    wait_for(&proxy, "127.0.0.2", true, "healthy").await;
    // Nobody is there: that is the address's own affair, and no reason to leave the site.
    wait_for(&proxy, "[::1]", true, "down").await;
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
    for _ in 0..20 {
        assert!(proxy.get("/read/x").await.is_ok());
    }
    let port = backends[0].address().port();
    let labels = [
        ("state", "listed"),
        ("backend", &format!("http://api.test:{port}")),
    ];
    let listed = proxy.metrics().await.sum("leeward_dns_addresses", &labels);
    assert_eq!(listed, Some(3.0));
}

#[tokio::test]
async fn a_name_that_is_an_alias_is_followed() {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", Say::Alias("real.test".to_owned()));
    server.says("real.test", Say::addresses(&["127.0.0.1"]));
    let proxy = Proxy::start(&policy(&backends, &[&server], "").text()).await;
    wait_until_served_by(&proxy, "127.0.0.1").await;
}

#[tokio::test]
async fn a_cname_loop_over_several_names_ends() {
    let (backends, server) = (family(1), Dns::start());
    for (name, target) in [
        ("api.test", "b.test"),
        ("b.test", "c.test"),
        ("c.test", "b.test"),
    ] {
        server.says(name, Say::Alias(target.to_owned()));
    }
    let text = policy(&backends, &[&server], "").text();
    let proxy = Proxy::launch(TempDir::new(), &text, &[]).await;
    proxy
        .wait_for_metric(QUESTIONS, &[("result", "cname_loop")], 1.0)
        .await;
    assert!(
        server.asked("b.test") <= 20,
        "asked {} times",
        server.asked("b.test")
    );
}

#[tokio::test]
async fn two_resolvers_that_disagree_are_both_heard() {
    let (backends, one, two) = (family(2), Dns::start(), Dns::start());
    one.says("api.test", Say::addresses(&["127.0.0.1"]));
    two.says("api.test", Say::addresses(&["127.0.0.2"]));
    let proxy = Proxy::start(&policy(&backends, &[&one, &two], "").text()).await;
    wait_for(&proxy, "127.0.0.1", true, "healthy").await;
    wait_for(&proxy, "127.0.0.2", true, "healthy").await;
    one.says("api.test", Say::NxDomain);
    wait_for_result(&proxy, "nxdomain").await;
    wait_for(&proxy, "127.0.0.1", true, "healthy").await;
    wait_for(&proxy, "127.0.0.2", true, "healthy").await;
}

#[tokio::test]
async fn a_dead_resolver_beside_a_live_one_costs_nothing_at_a_cold_start() {
    let (backends, live) = (family(1), Dns::start());
    live.says("api.test", Say::addresses(&["127.0.0.1"]));
    let silent = Dns::start();
    silent.says("api.test", Say::Silence);
    let text = policy(&backends, &[&silent, &live], ", keep: 1h").text();
    let text = text.replace("timeout: 300ms, min", "timeout: 5s, min");
    let began = Instant::now();
    let proxy = Proxy::start(&text).await;
    wait_until_served_by(&proxy, "127.0.0.1").await;
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_resolver_that_dies_beside_a_live_one_changes_nothing() {
    let (backends, live, dies) = (family(2), Dns::start(), Dns::start());
    live.says("api.test", Say::addresses(&["127.0.0.1"]));
    dies.says("api.test", Say::addresses(&["127.0.0.1", "127.0.0.2"]));
    let proxy = Proxy::start(&policy(&backends, &[&live, &dies], "").text()).await;
    wait_for(&proxy, "127.0.0.2", true, "healthy").await;
    let address = dies.address().to_string();
    drop(dies);
    let failed = async || {
        let metrics = proxy.metrics().await;
        let of = |result| metrics.sum(QUESTIONS, &[("resolver", &address), ("result", result)]);
        (of("timeout").unwrap_or(0.0) + of("unreachable").unwrap_or(0.0) > 0.0).then_some(())
    };
    eventually("the dead one is noticed", SOON, failed).await;
    wait_for(&proxy, "127.0.0.1", true, "healthy").await;
    wait_for(&proxy, "127.0.0.2", true, "healthy").await;
    // The live one moves the name: that counts for both.
    live.says("api.test", Say::addresses(&["127.0.0.2"]));
    wait_for(&proxy, "127.0.0.1", false, "healthy").await;
    assert_served_by(&proxy, "127.0.0.2").await;
}

#[tokio::test]
async fn literal_addresses_serve_beside_a_name_that_fails() {
    let (backends, server) = (family(1), Dns::start());
    let port = backends[0].address().port();
    let url = format!("http://api.test:{port}, addresses: [127.0.0.1]");
    let policy = Policy::of_urls(&[("aws/one", url)])
        .pool(QUICK_PROBE)
        .top(&dns(&[&server], ""));
    let proxy = Proxy::start(&policy.text()).await;
    wait_for_result(&proxy, "nxdomain").await;
    assert_served_by(&proxy, "127.0.0.1").await;
    server.says("api.test", Say::addresses(&["127.0.0.5"]));
    wait_for(&proxy, "127.0.0.5", true, "down").await;
    assert_served_by(&proxy, "127.0.0.1").await;
}

#[tokio::test]
async fn names_are_asked_again_when_their_time_is_over() {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    let proxy = Proxy::start(&policy(&backends, &[&server], "").text()).await;
    let before = server.asked("api.test");
    let again = async || (server.asked("api.test") >= before + 10).then_some(());
    eventually("it is asked again and again", SOON, again).await;
    assert!(proxy.get("/read/x").await.is_ok());
}
