//! Recorded runs replay to the identical journal.

use super::{A_WHILE, said};
use crate::support::backend::{Act, Backend, Step};
use crate::support::load::Load;
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::proxy::{Proxy, leeward};
use crate::support::temp::TempDir;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::Path;

/// aws before gcp, recorded.
async fn recorded() -> (Backend, Backend, Proxy) {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let dir = TempDir::new();
    std::fs::create_dir(dir.path("state")).unwrap();
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool("health: { failing: 33% }")
        .pool(&quick_failover("[[aws/one], [gcp/one]]"))
        .top(
            "journal: { record: run.jsonl }\nstate_dir: state\ndrain: { linger: 0s, timeout: 1s }",
        );
    let proxy = Proxy::start_in(dir, &policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    proxy.wait_for_verdict("gcp/one", "healthy").await;
    (aws, gcp, proxy)
}

/// What a replay says, with its exit code.
fn replay(path: &Path) -> (Option<i32>, Value) {
    let output = std::process::Command::new(leeward())
        .arg("replay")
        .arg(path)
        .arg("--json")
        .output()
        .unwrap();
    let told = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), told)
}

/// A run with a failover, errors, an operator's word and the way home.
async fn live(aws: &Backend, proxy: &Proxy) {
    let load = Load::start(proxy.plain(), 3, 2, A_WHILE / 100);
    load.wait_for(30).await;
    aws.refuse();
    aws.reset_connections();
    proxy.wait_for_verdict("aws/one", "down").await;
    load.wait_for(30).await;
    aws.accept();
    proxy.wait_for_verdict("aws/one", "healthy").await;
    said(
        proxy,
        &["evacuate", "aws", "--for", "1s", "--reason", "a test"],
    );
    load.wait_for(30).await;
    said(
        proxy,
        &["evacuate", "aws", "gcp", "--force", "--reason", "a test"],
    );
    said(proxy, &["restore", "aws", "gcp"]);
    aws.act(Act::Script(vec![Step::send(
        "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
    )]));
    load.wait_for(30).await;
    aws.act(Act::Serve);
    load.stop().await;
}

#[tokio::test]
async fn a_live_run_with_a_failover_replays_to_the_identical_journal() {
    let (aws, _gcp, mut proxy) = recorded().await;
    live(&aws, &proxy).await;
    let decisions = proxy.events(0).await;
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.ended().await.code, Some(0));
    let path = proxy.dir().path("run.jsonl");
    let (code, told) = replay(&path);
    assert_eq!(
        (code, &told["identical"]),
        (Some(0), &true.into()),
        "{told:#}"
    );
    assert_eq!(told["end"], "stopped");
    let replayed = told["events"].as_u64().unwrap() as usize;
    assert!(
        replayed >= decisions.len() && decisions.len() > 15,
        "{told:#}"
    );

    // The replay is no tautology: a record that was tampered with does not pass.
    let text = std::fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("\"word\":\"evacuated\""))
        .collect();
    let tampered = proxy.dir().write("tampered.jsonl", &without.join("\n"));
    let (code, told) = replay(&tampered);
    assert_eq!(code, Some(1), "{told:#}");
    assert_eq!(told["difference"]["recorded"]["change"], "operator");
}

#[tokio::test]
async fn a_run_that_began_with_a_memory_and_was_killed_replays() {
    let (aws, _gcp, mut proxy) = recorded().await;
    said(&proxy, &["evacuate", "aws", "--for", "1h"]);
    let kept = proxy.dir().path("state/state.json");
    crate::support::wait::eventually("the word is kept", crate::support::wait::SOON, async || {
        std::fs::read_to_string(&kept)
            .ok()?
            .contains("evacuated")
            .then_some(())
    })
    .await;
    proxy.kill();
    proxy.start_again().await;
    proxy.wait_for_verdict("gcp/one", "healthy").await;
    said(&proxy, &["restore", "aws"]);
    aws.refuse();
    proxy.wait_for_verdict("aws/one", "down").await;
    proxy.kill();
    for file in ["run.jsonl.1", "run.jsonl"] {
        let (code, told) = replay(&proxy.dir().path(file));
        assert_eq!(code, Some(0), "{file}: {told:#}");
        assert_eq!(told["identical"], true, "{file}: {told:#}");
        assert_eq!(told["end"], Value::Null, "{file}: {told:#}");
    }
    let text = std::fs::read_to_string(proxy.dir().path("run.jsonl")).unwrap();
    assert!(text.contains("\"input\":{\"memory\""));
}

#[tokio::test]
async fn the_newest_part_is_on_the_admin_side_and_replays_too() {
    let (aws, _gcp, proxy) = recorded().await;
    aws.refuse();
    proxy.wait_for_verdict("aws/one", "down").await;
    let record = proxy.admin("/api/v1/record").await;
    assert_eq!(
        record.head.get("content-type"),
        Some("application/x-ndjson")
    );
    let path = proxy.dir().write("ring.jsonl", &record.text());
    let (code, told) = replay(&path);
    assert_eq!(
        (code, &told["identical"]),
        (Some(0), &true.into()),
        "{told:#}"
    );
    assert!(told["events"].as_u64().unwrap() > 6, "{told:#}");
}

#[tokio::test]
async fn what_is_no_record_is_bad_usage() {
    let dir = TempDir::new();
    let path = dir.write("other.jsonl", "{\"a\":1}\n");
    assert_eq!(replay(&path).0, Some(2));
    assert_eq!(replay(&dir.path("no-such-file")).0, Some(2));
}
