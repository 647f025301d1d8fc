//! Failover: who serves when a place is sick, how it comes home, and what never happens (P4, P7).

use crate::support::backend::{Act, Backend, DieBy, Step};
use crate::support::load::{Load, failed_reads};
use crate::support::policy::{Policy, QUICK_PROBE, STOIC, quick_failover};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

const TIERS: &str = "[[aws/one], [gcp/one]]";
const SICK: &str = "HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n";

async fn pair(more: &str) -> (Backend, Backend, Proxy) {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool(&quick_failover(TIERS))
        .pool(more);
    let proxy = Proxy::start(&policy.text()).await;
    (aws, gcp, proxy)
}

/// Makes a backend fail and its probes with it.
fn fall_sick(backend: &Backend) {
    backend.act(Act::Status(503));
    backend.act_on_probes(Act::say(SICK));
}

fn get_well(backend: &Backend) {
    backend.act(Act::Serve);
    backend.act_on_probes(Act::Serve);
}

/// The journal's events about a place, in short: `down by probes_failed`.
async fn history(proxy: &Proxy, name: &str) -> Vec<String> {
    let events = proxy.events(0).await;
    let about = events
        .iter()
        .filter(|e| e["subject"]["name"] == name && e["change"] == "verdict");
    about
        .map(|e| format!("{} by {}", word(&e["to"]), word(&e["cause"])))
        .collect()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// The share of reads that a site gets, from the status.
fn share(pool: &Value, site: &str) -> f64 {
    let shares = pool["shares"].as_array().expect("shares");
    shares
        .iter()
        .find(|s| s[0] == site)
        .and_then(|s| s[1].as_f64())
        .unwrap_or(0.0)
}

#[tokio::test]
async fn reads_leave_a_dead_site_and_come_home_slowly() {
    let (aws, _gcp, proxy) = pair("").await;
    assert_eq!(proxy.get("/read/x").await.backend(), "aws");
    aws.refuse();
    aws.reset_connections();
    proxy.wait_for_verdict("aws/one", "down").await;
    assert_eq!(proxy.get("/read/x").await.backend(), "gcp");
    assert_eq!(proxy.pool().await["active_tier"], 2);
    aws.accept();
    proxy.wait_for_verdict("aws/one", "recovering").await;
    let mut shares = Vec::new();
    let home = async || {
        let pool = proxy.pool().await;
        shares.push(share(&pool, "aws/one"));
        (proxy.verdict("aws/one").await == "healthy").then_some(())
    };
    eventually("aws/one is healthy", SOON, home).await;
    assert!(shares[0] < 1.0, "a ramp, not a jump: {shares:?}");
    assert!(shares.is_sorted(), "{shares:?}");
    assert_eq!(proxy.get("/read/x").await.backend(), "aws");
    let history = history(&proxy, "aws/one").await;
    let turns: Vec<&str> = history
        .iter()
        .map(|turn| turn.split(' ').next().unwrap())
        .collect();
    assert!(
        turns.ends_with(&["down", "recovering", "healthy"]),
        "{history:?}"
    );
}

#[tokio::test]
async fn the_journal_has_no_gaps_and_each_event_its_evidence() {
    let (aws, _gcp, proxy) = pair("").await;
    fall_sick(&aws);
    proxy.wait_for_verdict("aws/one", "down").await;
    let events = proxy.events(0).await;
    let numbers: Vec<u64> = events.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    for event in &events {
        assert!(
            event["evidence"].is_object() && event["cause"].is_string(),
            "{event}"
        );
    }
    let down = events
        .iter()
        .find(|e| e["to"] == "down")
        .expect("an event of going down");
    assert!(!down["evidence"].as_object().unwrap().is_empty(), "{down}");
    let tail = proxy.events(numbers.len() as u64 - 1).await;
    assert_eq!(tail[0], events[numbers.len() - 1]);
}

#[tokio::test]
async fn probes_alone_take_a_site_out() {
    let (aws, _gcp, proxy) = pair("").await;
    aws.act_on_probes(Act::say(SICK));
    proxy.wait_for_verdict("aws/one", "down").await;
    assert_eq!(proxy.get("/read/x").await.backend(), "gcp");
    let status = proxy.status().await.to_string();
    assert!(
        status.contains("503"),
        "the evidence names what was seen: {status}"
    );
}

#[tokio::test]
async fn probes_that_hang_take_a_site_out() {
    let (aws, _gcp, proxy) = pair("").await;
    aws.act_on_probes(Act::Hang);
    proxy.wait_for_verdict("aws/one", "down").await;
    proxy
        .wait_for_metric("leeward_probes_total", &[("result", "timeout")], 2.0)
        .await;
}

#[tokio::test]
async fn traffic_alone_takes_a_site_out_and_reads_survive() {
    for broken in [
        Act::Status(503),
        Act::Status(500),
        Act::Script(vec![Step::End(DieBy::Rst)]),
        Act::say("nonsense\r\n\r\n"),
    ] {
        let (aws, _gcp, proxy) = pair("").await;
        let load = Load::start(proxy.plain(), 4, 0, Duration::from_millis(5));
        load.wait_for(200).await;
        aws.act(broken.clone());
        proxy.wait_for_verdict("aws/one", "down").await;
        let told = load.stop().await;
        assert_eq!(failed_reads(&told), [""; 0], "{broken:?}");
        assert_eq!(proxy.get("/read/x").await.backend(), "gcp");
    }
}

#[tokio::test]
async fn when_all_looks_bad_reads_are_still_served_and_it_is_said() {
    let (aws, gcp, proxy) = pair("").await;
    for backend in [&aws, &gcp] {
        backend.act_on_probes(Act::say(SICK));
    }
    let panics = async || (proxy.pool().await["panic"] == true).then_some(());
    eventually("the pool distrusts its detector", SOON, panics).await;
    proxy
        .wait_for_metric("leeward_pool_panic", &[("pool", "main")], 1.0)
        .await;
    assert_eq!(proxy.admin("/readyz").await.status(), 200);
    // Traffic that does well may acquit the places and end the panic: both are right from here on.
    for _ in 0..20 {
        assert!(proxy.get("/read/x").await.is_ok());
    }
    for backend in [&aws, &gcp] {
        get_well(backend);
    }
    let calm = async || (proxy.pool().await["panic"] == false).then_some(());
    eventually("it trusts it again", SOON, calm).await;
    let events = proxy.events(0).await;
    assert!(
        events
            .iter()
            .any(|e| e["change"] == "panic" && e["on"] == true),
        "{events:?}"
    );
}

#[tokio::test]
async fn backends_that_are_dead_from_the_start_do_not_make_leeward_unready() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    aws.refuse();
    gcp.refuse();
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)]).pool(QUICK_PROBE);
    let proxy = Proxy::start(&policy.text()).await;
    let answer = proxy.get("/read/x").await;
    assert_eq!((answer.status(), answer.outcome()), (503, Some("not-sent")));
    gcp.accept();
    let served = async || proxy.get("/read/x").await.is_ok().then_some(());
    eventually("the one that is back serves", SOON, served).await;
}

#[tokio::test]
async fn orders_have_one_writer_which_moves_and_does_not_come_home_by_itself() {
    let (aws, gcp, proxy) = pair("").await;
    assert_eq!(proxy.pool().await["writer"], "aws");
    assert_eq!(
        proxy.client().await.order("/order", "a").await.backend(),
        "aws"
    );
    fall_sick(&aws);
    let moved = async || (proxy.pool().await["writer"] == "gcp").then_some(());
    eventually("the writer moves", SOON, moved).await;
    assert_eq!(
        proxy.client().await.order("/order", "b").await.backend(),
        "gcp"
    );
    get_well(&aws);
    proxy.wait_for_verdict("aws/one", "healthy").await;
    assert_eq!(
        proxy.get("/read/x").await.backend(),
        "aws",
        "reads are home"
    );
    assert_eq!(proxy.pool().await["writer"], "gcp");
    assert_eq!(
        proxy.client().await.order("/order", "c").await.backend(),
        "gcp"
    );
    assert_eq!(
        proxy.client().await.order("/cancel", "d").await.backend(),
        "gcp"
    );
    assert_eq!(gcp.executed(), ["b", "c", "d"]);
    let events = proxy.events(0).await;
    assert_eq!(
        events.iter().filter(|e| e["change"] == "writer").count(),
        1,
        "{events:?}"
    );
}

#[tokio::test]
async fn an_automatic_failback_brings_the_writer_home_after_the_reads() {
    let (aws, _gcp, proxy) = pair("orders: { failback: automatic }").await;
    fall_sick(&aws);
    let moved = async || (proxy.pool().await["writer"] == "gcp").then_some(());
    eventually("the writer moves", SOON, moved).await;
    get_well(&aws);
    let home = async || (proxy.pool().await["writer"] == "aws").then_some(());
    eventually("the writer is home", SOON * 2, home).await;
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
    assert_eq!(
        proxy.client().await.order("/order", "a").await.backend(),
        "aws"
    );
}

#[tokio::test]
async fn a_writer_that_only_an_operator_moves_stays_and_its_orders_are_not_sent() {
    let (aws, gcp, proxy) = pair("orders: { move: operator }").await;
    aws.refuse();
    aws.reset_connections();
    proxy.wait_for_verdict("aws/one", "down").await;
    for id in ["a", "b", "c"] {
        let answer = proxy.client().await.order("/order", id).await;
        assert_eq!((answer.status(), answer.outcome()), (503, Some("not-sent")));
    }
    assert_eq!(proxy.get("/read/x").await.backend(), "gcp");
    assert!(gcp.executed().is_empty());
    assert_eq!(proxy.pool().await["writer"], "aws");
}

#[tokio::test]
async fn a_standby_sees_reads_all_the_time_and_never_an_order() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool(&format!("failover: {{ tiers: {TIERS}, keep_warm: 20% }}"));
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("gcp/one", "healthy").await;
    let mut client = proxy.client().await;
    for n in 0..400 {
        assert!(client.get("/read/x").await.is_ok());
        if n % 4 == 0 {
            assert!(client.order("/order", &n.to_string()).await.is_ok());
        }
    }
    let warm = gcp.requests().len();
    assert!((40..=130).contains(&warm), "{warm} of 400");
    assert!(gcp.executed().is_empty());
}

#[tokio::test]
async fn an_affinity_key_keeps_its_site_and_only_the_keys_of_a_dead_one_move() {
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let policy = Policy::of(&[("aws/one", &one), ("aws/two", &two)])
        .pool(QUICK_PROBE)
        .pool("affinity: { header: X-API-KEY }")
        .pool("failover: { tiers: [[aws/one, aws/two]], hold_down: { first: 30s } }");
    let proxy = Proxy::start(&policy.text()).await;
    let ask = async |key: usize, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nX-API-KEY: key-{key}\r\n\r\n");
        proxy.client().await.ask(request).await.backend().to_owned()
    };
    let mut homes = BTreeMap::new();
    for key in 0..40 {
        let home = ask(key, "/read/x").await;
        for path in ["/read/y", "/private/z", "/order", "/cancel"] {
            assert_eq!(ask(key, path).await, home, "key {key} on {path}");
        }
        homes.insert(key, home);
    }
    let at_one = homes.values().filter(|home| *home == "one").count();
    assert!((8..=32).contains(&at_one), "{at_one} of 40 keys at one");
    fall_sick(&one);
    proxy.wait_for_verdict("aws/one", "down").await;
    for key in 0..40 {
        assert_eq!(ask(key, "/read/x").await, "two", "key {key}");
    }
}

/// 1.1 requests for each read, and three a second on top; never four for each.
#[tokio::test]
async fn the_budget_bounds_what_retries_add() {
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let policy = Policy::of(&[("aws/one", &one), ("aws/two", &two)])
        .pool(STOIC)
        .pool("retry: { budget: 10%, floor: 1/s, attempts: 4 }");
    let proxy = Proxy::start(&policy.text()).await;
    for backend in [&one, &two] {
        backend.act(Act::Script(vec![Step::End(DieBy::Rst)]));
    }
    let started = std::time::Instant::now();
    let mut client = proxy.client().await;
    for _ in 0..400 {
        assert!(client.get("/read/x").await.status() >= 500);
    }
    let sent = one.requests().len() + two.requests().len();
    let floor = 10 + started.elapsed().as_secs() as usize;
    assert!(
        sent <= 400 + 40 + floor + 5,
        "{sent} requests for 400 reads"
    );
    assert!(
        sent >= 400 + 40,
        "{sent} requests for 400 reads: the budget is not used"
    );
    let spent = [("pool", "main")];
    proxy
        .wait_for_metric("leeward_pool_retry_budget_exhausted_total", &spent, 300.0)
        .await;
}

#[tokio::test]
async fn a_probe_looks_into_the_body_as_the_policy_says() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let json = |lag: u32, ok: &str| {
        let body = format!("{{\"engine\":{{\"lag_ms\":{lag}}},\"status\":\"{ok}\"}}");
        Act::say(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    for backend in [&aws, &gcp] {
        backend.act_on_probes(json(20, "ok"));
    }
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)]).pool(&quick_failover(TIERS)).pool(
        "probe: { path: /healthz, interval: 100ms, timeout: 1s, rise: 2, fall: 2,
                  expect: { status: 200, json: { \"/engine/lag_ms\": \"< 500\", \"/status\": \"ok\" } } }",
    );
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    for bad in [
        json(500, "ok"),
        json(20, "stale"),
        Act::say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ] {
        aws.act_on_probes(bad);
        proxy.wait_for_verdict("aws/one", "down").await;
        assert_eq!(proxy.get("/read/x").await.backend(), "gcp");
        aws.act_on_probes(json(20, "ok"));
        proxy.wait_for_verdict("aws/one", "healthy").await;
    }
    proxy
        .wait_for_metric("leeward_probes_total", &[("result", "content")], 6.0)
        .await;
}

/// One schedule for each endpoint, however many workers there are.
#[tokio::test]
async fn probes_come_at_their_interval_with_the_policys_fields() {
    let aws = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &aws)]).workers(2).pool(
        "probe: { path: '/healthz?deep=1', interval: 100ms, timeout: 90ms, host: health.example,
                  headers: { X-Probe: leeward } }",
    );
    let proxy = Proxy::start(&policy.text()).await;
    let (before, since) = (aws.probes().len(), std::time::Instant::now());
    let ten = async || (aws.probes().len() >= before + 10).then_some(());
    eventually("ten probes", SOON, ten).await;
    let took = since.elapsed();
    assert!(took > Duration::from_millis(700), "ten probes in {took:?}");
    for head in aws.probes() {
        assert_eq!(head.target(), b"/healthz?deep=1");
        assert_eq!(
            (head.all("host"), head.get("x-probe")),
            (vec!["health.example"], Some("leeward"))
        );
    }
    assert!(aws.requests().is_empty());
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
}

/// An attempt is left for a better place, and only where there is one: a slow answer is an answer.
#[tokio::test]
async fn a_read_that_is_slow_everywhere_is_answered_within_its_deadline() {
    for count in [1, 2] {
        let all = ["one", "two"].map(Backend::start);
        let backends = &all[..count];
        for backend in backends {
            backend.act(Act::After(Duration::from_secs(2)));
        }
        let sites = ["aws/one", "gcp/one"];
        let pairs: Vec<_> = sites.into_iter().zip(backends).collect();
        let proxy = Proxy::start(&Policy::of(&pairs).pool(STOIC).text()).await;
        let answer = proxy.get("/read/x").await;
        assert!(answer.is_ok(), "{count} backends: {}", answer.text());
    }
}
