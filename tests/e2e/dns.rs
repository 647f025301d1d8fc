//! Names (P6): DNS may add and move addresses; what it says never takes away what works.
//!
//! Each test has DNS servers of its own that lie on demand. Backends stand on several loopback
//! addresses with the same port, since a name brings no port.

use crate::support::backend::{Act, Backend, Options};
use crate::support::dns::{Dns, Say};
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

const SICK: &str = "HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n";
const QUESTIONS: &str = "leeward_dns_questions_total";
const REFUSED: &str = "leeward_dns_refused_total";

/// Backends on 127.0.0.1, 127.0.0.2 and so on, all with one port. Each is named by its address.
fn family(count: u8) -> Vec<Backend> {
    let mut backends = vec![Backend::start("127.0.0.1")];
    let port = backends[0].address().port();
    for last in 2..=count {
        let bind = Some(SocketAddr::from(([127, 0, 0, last], port)));
        let options = Options {
            bind,
            ..Options::default()
        };
        backends.push(Backend::with(&format!("127.0.0.{last}"), options));
    }
    backends
}

/// The settings of DNS with these servers, quick enough for a test.
fn dns(servers: &[&Dns], more: &str) -> String {
    let list: Vec<String> = servers
        .iter()
        .map(|dns| format!("\"{}\"", dns.address()))
        .collect();
    format!(
        "dns: {{ resolvers: [{}], timeout: 300ms, min_ttl: 100ms, max_ttl: 200ms{more} }}",
        list.join(", ")
    )
}

/// A policy with one backend, `api.test` at the port of `backends`.
fn policy(backends: &[Backend], servers: &[&Dns], more: &str) -> Policy {
    let port = backends[0].address().port();
    Policy::of_urls(&[("aws/one", format!("http://api.test:{port}"))])
        .pool(QUICK_PROBE)
        .pool(&quick_failover("[[aws/one]]"))
        .top(&dns(servers, more))
}

/// The endpoints of the pool: address without port, listed, verdict.
async fn endpoints(proxy: &Proxy) -> Vec<(String, bool, String)> {
    let pool = proxy.pool().await;
    let endpoints = pool["endpoints"].as_array().expect("endpoints").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    endpoints
        .map(|e| {
            let address = text(&e["address"]);
            let ip = address.rsplit_once(':').expect("a port").0.to_owned();
            (
                ip,
                e["listed"].as_bool().expect("listed"),
                text(&e["verdict"]),
            )
        })
        .collect()
}

/// Waits until an address is listed or kept, with this verdict.
async fn wait_for(proxy: &Proxy, ip: &str, listed: bool, verdict: &str) {
    let wanted = (ip.to_owned(), listed, verdict.to_owned());
    let what = format!("{wanted:?}");
    let there = async || endpoints(proxy).await.contains(&wanted).then_some(());
    eventually(&what, SOON * 2, there).await;
}

async fn wait_until_gone(proxy: &Proxy, ip: &str) {
    let gone = async || {
        endpoints(proxy)
            .await
            .iter()
            .all(|(known, ..)| known != ip)
            .then_some(())
    };
    eventually(&format!("{ip} is gone"), SOON * 2, gone).await;
}

/// Waits until so many more questions have ended in this way.
async fn wait_for_result(proxy: &Proxy, result: &str) {
    let labels = [("result", result)];
    let before = proxy.metrics().await.sum(QUESTIONS, &labels).unwrap_or(0.0);
    proxy
        .wait_for_metric(QUESTIONS, &labels, before + 1.0)
        .await;
}

async fn assert_served_by(proxy: &Proxy, backend: &str) {
    for _ in 0..10 {
        let answer = proxy.get("/read/x").await;
        assert_eq!((answer.status(), answer.backend()), (200, backend));
    }
}

async fn wait_until_served_by(proxy: &Proxy, backend: &str) {
    let served = async || (proxy.get("/read/x").await.backend() == backend).then_some(());
    eventually(&format!("served by {backend}"), SOON * 2, served).await;
}

/// A bad answer while all is well: it is counted, and nothing else happens.
async fn a_bad_answer_while_running(say: Say, result: &str) {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    let proxy = Proxy::start(&policy(&backends, &[&server], "").text()).await;
    wait_for(&proxy, "127.0.0.1", true, "healthy").await;
    server.says("api.test", say);
    wait_for_result(&proxy, result).await;
    assert_served_by(&proxy, "127.0.0.1").await;
    wait_for_result(&proxy, result).await;
    let known = endpoints(&proxy).await;
    assert_eq!(
        known,
        [("127.0.0.1".to_owned(), true, "healthy".to_owned())]
    );
    assert!(proxy.client().await.order("/order", "o").await.is_ok());
}

/// A bad answer from the start: requests are answered truly, and the first good one is used.
async fn a_bad_answer_at_a_cold_start(say: Say, result: &str) {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", say);
    let text = policy(&backends, &[&server], "").text();
    let proxy = Proxy::launch(TempDir::new(), &text, &[]).await;
    proxy
        .wait_for_metric(QUESTIONS, &[("result", result)], 1.0)
        .await;
    let answer = proxy.client().await.order("/order", "o").await;
    assert_eq!((answer.status(), answer.outcome()), (503, Some("not-sent")));
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    wait_until_served_by(&proxy, "127.0.0.1").await;
}

/// A test for each kind of answer, running and at a cold start.
macro_rules! bad_answers {
    ($($running:ident, $cold:ident: $say:expr, $result:literal;)*) => {
        $(
            #[tokio::test]
            async fn $running() {
                a_bad_answer_while_running($say, $result).await;
            }

            #[tokio::test]
            async fn $cold() {
                a_bad_answer_at_a_cold_start($say, $result).await;
            }
        )*
    };
}

fn there() -> Vec<IpAddr> {
    vec!["127.0.0.9".parse().unwrap()]
}

bad_answers! {
    nxdomain_takes_nothing_away, nxdomain_at_a_cold_start_is_overcome:
        Say::NxDomain, "nxdomain";
    servfail_takes_nothing_away, servfail_at_a_cold_start_is_overcome:
        Say::ServFail, "servfail";
    a_resolver_that_refuses_takes_nothing_away, a_resolver_that_refuses_at_a_cold_start_is_overcome:
        Say::Refused, "servfail";
    a_timeout_takes_nothing_away, a_timeout_at_a_cold_start_is_overcome:
        Say::Silence, "timeout";
    an_empty_answer_takes_nothing_away, an_empty_answer_at_a_cold_start_is_overcome:
        Say::Nothing, "empty";
    an_answer_without_addresses_takes_nothing_away,
    an_answer_without_addresses_at_a_cold_start_is_overcome:
        Say::addresses(&[]), "empty";
    a_truncated_answer_takes_nothing_away, a_truncated_answer_at_a_cold_start_is_overcome:
        Say::CutAlways(there()), "truncated";
    a_cname_loop_takes_nothing_away, a_cname_loop_at_a_cold_start_is_overcome:
        Say::Alias("api.test".to_owned()), "cname_loop";
    an_answer_for_another_name_takes_nothing_away,
    an_answer_for_another_name_at_a_cold_start_is_overcome:
        Say::OtherName(there()), "other_name";
    an_answer_to_another_question_takes_nothing_away,
    an_answer_to_another_question_at_a_cold_start_is_overcome:
        Say::OtherQuestion(there()), "timeout";
    an_unreadable_answer_takes_nothing_away, an_unreadable_answer_at_a_cold_start_is_overcome:
        Say::Garbage, "malformed";
}

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
