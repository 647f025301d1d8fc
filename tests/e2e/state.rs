//! What outlives the process: a restart in the middle of an outage, and a state folder that is bad.

use crate::support::backend::Backend;
use crate::support::policy::{Policy, QUICK_PROBE};
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const FAILOVER: &str = "failover: { tiers: [[aws/one], [gcp/one]], hold_down: { first: 6s, max: 6s }, ramp: 500ms, keep_warm: 0% }";

fn with_state(policy: Policy) -> String {
    policy.top("state_dir: state").text()
}

/// A folder with an empty `state` in it.
pub(crate) fn folder() -> TempDir {
    let dir = TempDir::new();
    std::fs::create_dir(dir.path("state")).unwrap();
    dir
}

async fn pair() -> (Backend, Backend, Proxy) {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool(FAILOVER);
    let proxy = Proxy::start_in(folder(), &with_state(policy)).await;
    (aws, gcp, proxy)
}

pub(crate) fn unix_now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs_f64()
}

/// What is written of now, as far as it can be read.
fn memory(proxy: &Proxy) -> Value {
    let text = std::fs::read(proxy.dir().path("state/state.json")).unwrap_or_default();
    serde_json::from_slice::<Value>(&text).unwrap_or_default()["memory"].clone()
}

pub(crate) async fn wait_for_memory(proxy: &Proxy, what: &str, holds: impl Fn(&Value) -> bool) {
    let look = async || holds(&memory(proxy)).then_some(());
    eventually(what, SOON, look).await;
}

/// Takes aws out and waits until its state and the writer's are on the disk; when it went down.
async fn outage(aws: &Backend, proxy: &Proxy) -> f64 {
    aws.refuse();
    aws.reset_connections();
    proxy.wait_for_verdict("aws/one", "down").await;
    let moved = async || (proxy.pool().await["writer"] == "gcp").then_some(());
    eventually("the writer moves", SOON, moved).await;
    wait_for_memory(proxy, "the outage is written down", |memory| {
        memory["sites"][0]["held"]["verdict"] == "down" && memory["pools"][0]["writer"] == "gcp"
    })
    .await;
    time_of(proxy, "down").await
}

/// When aws/one got this verdict for the first time, by the journal.
async fn time_of(proxy: &Proxy, verdict: &str) -> f64 {
    let events = proxy.events(0).await;
    let mut about = events.iter().filter(|e| e["subject"]["name"] == "aws/one");
    let event = about.find(|e| e["to"] == verdict).expect("an event");
    event["time"].as_f64().unwrap()
}

#[tokio::test]
async fn a_dead_site_stays_away_over_a_restart_until_its_hold_down_is_over() {
    let (aws, gcp, mut proxy) = pair().await;
    let down_at = outage(&aws, &proxy).await;
    proxy.kill();
    aws.accept();
    proxy.start_again().await;
    let mut client = proxy.client().await;
    for n in 0..50 {
        assert_eq!(client.get("/read/x").await.backend(), "gcp");
        let order = client.order("/order", &format!("o-{n}")).await;
        assert_eq!(order.backend(), "gcp");
    }
    let status = proxy.status().await;
    for list in ["providers", "sites"] {
        let place = &status[list][0];
        assert_eq!(place["verdict"], "down", "{place}");
        assert_eq!(place["cause"], "remembered", "{place}");
        let left = place["hold_down_left_ms"].as_f64().unwrap() / 1000.0;
        assert!((left - (down_at + 6.0 - unix_now())).abs() < 1.0, "{place}");
    }
    assert_eq!(status["pools"][0]["writer"], "gcp");
    while proxy.verdict("aws/one").await == "down" {
        assert!(client.get("/read/x").await.is_ok());
    }
    let back_at = time_of(&proxy, "recovering").await;
    assert!(back_at - down_at > 5.9, "back after {}", back_at - down_at);
    proxy.wait_for_verdict("aws/one", "healthy").await;
    assert_eq!(client.get("/read/x").await.backend(), "aws");
    assert_eq!(proxy.pool().await["writer"], "gcp");
    assert!(aws.executed().is_empty());
    assert_eq!(gcp.executed().len(), 50);
}

/// Nobody asks aws for anything while it is away, though it is there: the backend's own record.
#[tokio::test]
async fn a_dead_site_gets_no_request_before_its_hold_down_is_over() {
    let (aws, _gcp, mut proxy) = pair().await;
    let down_at = outage(&aws, &proxy).await;
    let before = aws.requests().len();
    proxy.kill();
    aws.accept();
    proxy.start_again().await;
    let mut client = proxy.client().await;
    while unix_now() < down_at + 5.5 {
        assert!(client.get("/read/x").await.is_ok());
        assert_eq!(aws.requests().len(), before);
    }
    let served = async || (client.get("/read/x").await.backend() == "aws").then_some(());
    eventually("aws serves again", SOON, served).await;
}

/// The best of three: the machine does other things as well.
#[tokio::test]
async fn reads_are_served_within_a_second_of_a_restart() {
    let (aws, _gcp, mut proxy) = pair().await;
    outage(&aws, &proxy).await;
    let mut took = Vec::new();
    for _ in 0..3 {
        proxy.kill();
        let began = Instant::now();
        proxy.start_again().await;
        assert_eq!(proxy.get("/read/x").await.backend(), "gcp");
        took.push(began.elapsed());
    }
    let best = took.iter().min().unwrap();
    assert!(*best < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn remembered_addresses_serve_though_the_name_does_not_resolve() {
    let backend = Backend::start("aws");
    let url = "http://nowhere.invalid:1";
    let dir = folder();
    let memory = json!({ "version": 1, "backends": [
        { "pool": "main", "site": "aws/one", "url": url, "addresses": [backend.address()] },
        { "pool": "main", "site": "mars/one", "url": url, "addresses": ["192.0.2.1:1"] },
    ]});
    let written_ms = (unix_now() * 1000.0) as u64;
    let state = json!({ "written_ms": written_ms, "memory": memory });
    dir.write("state/state.json", &state.to_string());
    let policy = Policy::of_urls(&[("aws/one", url.to_owned())]).pool(QUICK_PROBE);
    let proxy = Proxy::launch(dir, &with_state(policy), &[]).await;
    let answer = proxy.get("/read/x").await;
    assert_eq!(answer.backend(), "aws", "{answer:?}");
    assert!(proxy.client().await.order("/order", "o").await.is_ok());
    proxy.wait_for_verdict("aws/one", "healthy").await;
    let kept = |memory: &Value| {
        memory["backends"][0]["addresses"][0] == backend.address().to_string().as_str()
    };
    wait_for_memory(&proxy, "the address is kept on", kept).await;
}

#[tokio::test]
async fn addresses_that_are_days_old_are_not_used() {
    let backend = Backend::start("aws");
    let url = "http://nowhere.invalid:1";
    let dir = folder();
    let state = json!({ "written_ms": 0, "memory": { "version": 1, "backends": [
        { "pool": "main", "site": "aws/one", "url": url, "addresses": [backend.address()] },
    ]}});
    dir.write("state/state.json", &state.to_string());
    let policy = Policy::of_urls(&[("aws/one", url.to_owned())]).pool(QUICK_PROBE);
    let proxy = Proxy::launch(dir, &with_state(policy), &[]).await;
    assert_eq!(proxy.get("/read/x").await.status(), 503);
}

#[tokio::test]
async fn a_state_file_that_cannot_be_used_is_set_aside_and_leeward_serves() {
    let newer = r#"{"written_ms":1,"memory":{"version":99}}"#;
    for content in ["", "not JSON", "{\"written_ms\":", newer] {
        let backend = Backend::start("aws");
        let dir = folder();
        dir.write("state/state.json", content);
        let policy = Policy::of(&[("aws/one", &backend)]).pool(QUICK_PROBE);
        let proxy = Proxy::start_in(dir, &with_state(policy)).await;
        assert!(proxy.get("/read/x").await.is_ok());
        let aside = std::fs::read_to_string(proxy.dir().path("state/state.json.bad")).unwrap();
        assert_eq!(aside, content);
        let log = proxy.log();
        assert!(log.contains("starting without it"), "{log}");
        wait_for_memory(&proxy, "a good one is written", |memory| {
            memory["version"] == 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_state_folder_that_cannot_be_used_is_said_and_ends_the_start() {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]);
    let dir = TempDir::new();
    dir.write("file", "");
    let cases = [
        ("missing", "there is no folder"),
        ("file", "there is no folder"),
        ("/proc", "has to be a folder that leeward can write to"),
    ];
    for (path, words) in cases {
        let text = policy.clone().top(&format!("state_dir: {path}")).text();
        let ended = Proxy::run_to_end(&dir, &text).await;
        assert_eq!(ended.code, Some(2), "{path}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{path}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn two_leewards_do_not_share_a_state_folder() {
    let (_aws, gcp, proxy) = pair().await;
    let dir = TempDir::new();
    let state = proxy.dir().path("state");
    let policy = Policy::of(&[("gcp/one", &gcp)]).top(&format!("state_dir: {}", state.display()));
    let ended = Proxy::run_to_end(&dir, &policy.text()).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("in use by another leeward"));
}

#[tokio::test]
async fn the_journal_goes_on_over_restarts() {
    let (aws, _gcp, mut proxy) = pair().await;
    outage(&aws, &proxy).await;
    let before = proxy.events(0).await;
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let newest = before.last().unwrap()["seq"].as_u64().unwrap();
        let journal = proxy.dir().path("state/journal.jsonl");
        eventually("the journal is written", SOON, async || {
            let text = std::fs::read_to_string(&journal).ok()?;
            let last: Value = serde_json::from_str(text.lines().last()?).ok()?;
            (last["seq"].as_u64()? >= newest).then_some(())
        })
        .await;
        proxy.signal(signal);
        if signal == Signal::SIGTERM {
            proxy.signal(signal);
        }
        proxy.ended().await;
        proxy.start_again().await;
        let after = async || {
            let events = proxy.events(0).await;
            let remembered = |e: &Value| e["cause"] == "remembered" && e["to"] == "down";
            (events.iter().filter(|e| remembered(e)).count() >= 3).then_some(events)
        };
        let after = eventually("the outage is remembered", SOON, after).await;
        assert_eq!(after[..before.len()], before[..]);
        let numbers: Vec<u64> = after.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
        assert!(
            numbers.iter().copied().eq(1..=numbers.len() as u64),
            "{numbers:?}"
        );
        let tail = proxy.events(newest).await;
        assert_eq!(tail[0]["seq"].as_u64(), Some(newest + 1));
        assert_eq!(tail[0]["cause"], "policy_loaded");
    }
    let written = [("file", "journal"), ("result", "written")];
    proxy
        .wait_for_metric("leeward_state_writes_total", &written, 1.0)
        .await;
}

#[tokio::test]
async fn a_reload_leaves_the_state_folder_as_it_is_and_says_so() {
    let (aws, gcp, proxy) = pair().await;
    std::fs::create_dir(proxy.dir().path("other")).unwrap();
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)]).top("state_dir: other");
    let next = proxy.dir().write("next", &policy.text());
    std::fs::rename(next, proxy.dir().path("policy.yaml")).unwrap();
    let said = async || proxy.log().contains("state_dir has changed").then_some(());
    eventually("it is said", SOON, said).await;
    assert!(proxy.get("/read/x").await.is_ok());
    assert!(!proxy.dir().path("other/state.json").exists());
}

#[tokio::test]
async fn a_state_folder_that_goes_away_is_said_once_and_traffic_goes_on() {
    let (aws, _gcp, proxy) = pair().await;
    let written = [("file", "state"), ("result", "written")];
    let failed = [("file", "state"), ("result", "failed")];
    let writes = "leeward_state_writes_total";
    proxy.wait_for_metric(writes, &written, 1.0).await;
    let state = proxy.dir().path("state");
    std::fs::rename(&state, proxy.dir().path("away")).unwrap();
    aws.refuse();
    aws.reset_connections();
    proxy.wait_for_verdict("aws/one", "down").await;
    proxy.wait_for_metric(writes, &failed, 2.0).await;
    assert_eq!(proxy.get("/read/x").await.backend(), "gcp");
    let said = proxy
        .log()
        .matches("what is known cannot be written")
        .count();
    assert_eq!(said, 1, "{}", proxy.log());
    std::fs::rename(proxy.dir().path("away"), &state).unwrap();
    wait_for_memory(&proxy, "it is written again", |memory| {
        memory["sites"][0]["held"]["verdict"] == "down"
    })
    .await;
}
