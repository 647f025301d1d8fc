//! Answers that can be used and say something else than before: more, fewer, others, wrong ones.

use super::{
    REFUSED, SICK, assert_served_by, dns, endpoints, family, policy, wait_for, wait_for_result,
    wait_until_gone, wait_until_served_by,
};
use crate::support::backend::Act;
use crate::support::dns::{Dns, Say};
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use std::net::IpAddr;

#[tokio::test]
async fn a_huge_answer_is_cut_and_does_not_drive_out_what_works() {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    let proxy = Proxy::start(&policy(&backends, &[&server], "").text()).await;
    wait_for(&proxy, "127.0.0.1", true, "healthy").await;
    let many = (0..2000_u16).map(|n| {
        let [high, low] = n.to_be_bytes();
        IpAddr::from([127, 1, high, low])
    });
    server.says(
        "api.test",
        Say::Addresses(many.chain(["127.0.0.1".parse().unwrap()]).collect()),
    );
    proxy
        .wait_for_metric(REFUSED, &[("reason", "too_many")], 1937.0)
        .await;
    wait_for(&proxy, "127.0.0.1", true, "healthy").await;
    assert_eq!(endpoints(&proxy).await.len(), 64);
    assert_served_by(&proxy, "127.0.0.1").await;
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
}

#[tokio::test]
async fn a_huge_answer_at_a_cold_start_is_cut() {
    let (backends, server) = (family(1), Dns::start());
    let many = (0..200_u8).map(|n| IpAddr::from([127, 0, 0, n]));
    server.says("api.test", Say::Addresses(many.collect()));
    let text = policy(&backends, &[&server], "").text();
    let proxy = Proxy::launch(TempDir::new(), &text, &[]).await;
    proxy
        .wait_for_metric(REFUSED, &[("reason", "too_many")], 136.0)
        .await;
    wait_until_served_by(&proxy, "127.0.0.1").await;
    assert_eq!(endpoints(&proxy).await.len(), 64);
}

#[tokio::test]
async fn a_shrinking_answer_keeps_the_address_as_a_stand_in() {
    let (backends, server) = (family(2), Dns::start());
    server.says("api.test", Say::addresses(&["127.0.0.1", "127.0.0.2"]));
    let proxy = Proxy::start(&policy(&backends, &[&server], "").text()).await;
    wait_for(&proxy, "127.0.0.2", true, "healthy").await;
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    wait_for(&proxy, "127.0.0.2", false, "healthy").await;
    assert_served_by(&proxy, "127.0.0.1").await;
    // The listed one dies: the other one is still probed, and serves at once.
    let probes = backends[1].probes().len();
    let probed = async || (backends[1].probes().len() > probes).then_some(());
    eventually("it is probed", SOON, probed).await;
    backends[0].refuse();
    backends[0].reset_connections();
    wait_for(&proxy, "127.0.0.1", true, "down").await;
    assert_served_by(&proxy, "127.0.0.2").await;
    // It comes back, and the stand-in goes.
    backends[0].accept();
    wait_for(&proxy, "127.0.0.1", true, "healthy").await;
    assert_served_by(&proxy, "127.0.0.1").await;
}

#[tokio::test]
async fn an_address_that_is_not_listed_goes_when_its_time_is_over() {
    let (backends, server) = (family(2), Dns::start());
    server.says("api.test", Say::addresses(&["127.0.0.1", "127.0.0.2"]));
    let proxy = Proxy::start(&policy(&backends, &[&server], ", keep: 1s").text()).await;
    wait_for(&proxy, "127.0.0.2", true, "healthy").await;
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    wait_until_gone(&proxy, "127.0.0.2").await;
    assert_served_by(&proxy, "127.0.0.1").await;
}

#[tokio::test]
async fn the_last_addresses_of_a_pool_stay_however_long_nothing_is_heard() {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    let proxy = Proxy::start(&policy(&backends, &[&server], ", keep: 0s").text()).await;
    wait_for(&proxy, "127.0.0.1", true, "healthy").await;
    server.says("api.test", Say::NxDomain);
    wait_for_result(&proxy, "nxdomain").await;
    wait_for_result(&proxy, "nxdomain").await;
    assert_served_by(&proxy, "127.0.0.1").await;
}

#[tokio::test]
async fn a_decentralized_provider_keeps_its_addresses_for_less_long() {
    let (backends, server) = (family(2), Dns::start());
    let port = backends[0].address().port();
    server.says("cloud.test", Say::addresses(&["127.0.0.1"]));
    server.says("lease.test", Say::addresses(&["127.0.0.2"]));
    let urls = [
        ("aws/one", format!("http://cloud.test:{port}")),
        ("akash/one", format!("http://lease.test:{port}")),
    ];
    let text = Policy::of_urls(&urls)
        .pool(QUICK_PROBE)
        .pool(&quick_failover("[[aws/one], [akash/one]]"))
        .top(&dns(&[&server], ", keep_decentralized: 1s"))
        .text()
        .replace("akash: { sites", "akash: { kind: decentralized, sites");
    let proxy = Proxy::start(&text).await;
    wait_for(&proxy, "127.0.0.2", true, "healthy").await;
    server.says("cloud.test", Say::NxDomain);
    server.says("lease.test", Say::NxDomain);
    wait_until_gone(&proxy, "127.0.0.2").await;
    assert_served_by(&proxy, "127.0.0.1").await;
}

#[tokio::test]
async fn a_moving_answer_takes_traffic_along_when_the_new_address_has_answered() {
    let (backends, server) = (family(2), Dns::start());
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    let proxy = Proxy::start(&policy(&backends, &[&server], "").text()).await;
    wait_for(&proxy, "127.0.0.1", true, "healthy").await;
    backends[1].act_on_probes(Act::say(SICK));
    server.says("api.test", Say::addresses(&["127.0.0.2"]));
    wait_for(&proxy, "127.0.0.2", true, "down").await;
    assert_served_by(&proxy, "127.0.0.1").await;
    assert_eq!(
        backends[1].requests().len(),
        0,
        "no traffic before a probe has passed"
    );
    backends[1].act_on_probes(Act::Serve);
    wait_for(&proxy, "127.0.0.2", true, "healthy").await;
    assert_served_by(&proxy, "127.0.0.2").await;
}

#[tokio::test]
async fn a_lying_answer_adds_dead_addresses_and_nobody_notices() {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    let proxy = Proxy::start(&policy(&backends, &[&server], "").text()).await;
    wait_for(&proxy, "127.0.0.1", true, "healthy").await;
    server.says(
        "api.test",
        Say::addresses(&["127.0.0.7", "127.0.0.8", "127.0.0.9"]),
    );
    for ip in ["127.0.0.7", "127.0.0.8", "127.0.0.9"] {
        wait_for(&proxy, ip, true, "down").await;
    }
    assert_served_by(&proxy, "127.0.0.1").await;
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
}

#[tokio::test]
async fn private_addresses_are_refused_where_public_ones_were() {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", Say::addresses(&["2001:db8::1"]));
    let text = policy(&backends, &[&server], "").text();
    let proxy = Proxy::launch(TempDir::new(), &text, &[]).await;
    wait_for(&proxy, "[2001:db8::1]", true, "down").await;
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    proxy
        .wait_for_metric(REFUSED, &[("reason", "private")], 2.0)
        .await;
    let known = endpoints(&proxy).await;
    assert_eq!(
        known,
        [("[2001:db8::1]".to_owned(), true, "down".to_owned())]
    );
    assert_eq!(backends[0].probes().len(), 0);
}

#[tokio::test]
async fn private_addresses_are_taken_where_the_policy_allows_them() {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", Say::addresses(&["2001:db8::1"]));
    let text = policy(&backends, &[&server], ", private: allow").text();
    let proxy = Proxy::launch(TempDir::new(), &text, &[]).await;
    wait_for(&proxy, "[2001:db8::1]", true, "down").await;
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    wait_until_served_by(&proxy, "127.0.0.1").await;
}
