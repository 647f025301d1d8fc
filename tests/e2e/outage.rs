//! The outage bench in its short form: a provider crashes, vanishes behind a blackhole and answers 503
//! to everything, in network namespaces, under load. The bench judges; see docs/outage.md. And what this
//! bench and the one of peers say of themselves.
//!
//! It needs namespaces (root, or `unshare -rn`): where there are none it fails.

use crate::support::proxy::leeward;
use crate::support::temp::TempDir;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs the bench on the binary under test; its records come to lie in `out`.
fn bench(out: &Path, more: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/outage/run");
    let ran = Command::new(script)
        .args(["--short", "--seed", "7", "--leeward", &leeward(), "--out"])
        .arg(out)
        .args(more)
        .output()
        .expect("the bench can be started");
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{text}\n{errors}");
    text
}

/// No read fails, no order is executed twice, no label is untrue. In the blackhole nothing but the
/// kernel's word on the path (`TCP_INFO`) can tell it from a hang that soon.
#[test]
fn no_read_is_lost_and_no_order_done_twice_while_a_provider_dies() {
    let out = TempDir::new();
    let folder = out.path("outage");
    bench(&folder, &[]);
    let journal = folder.join("1-blackhole-leeward/leeward-events.json");
    let events = std::fs::read_to_string(journal).expect("the journal of the blackhole");
    let events: Value = serde_json::from_str(&events).expect("JSON");
    let causes: Vec<&str> = all(&events)
        .iter()
        .filter(|event| event["to"] == "down")
        .filter_map(|event| event["cause"].as_str())
        .collect();
    assert!(causes.contains(&"path_dead"), "{causes:?}");
}

/// The bench itself sees what it looks for.
#[test]
fn the_judge_of_the_outage_bench_sees_each_broken_promise() {
    selftest("outage");
}

/// The bench of peers, too: samples that are no good, answers that are wrong.
#[test]
fn the_bench_of_peers_sees_errors_noise_and_wrong_answers() {
    selftest("peers");
}

/// Runs what a bench says of itself.
fn selftest(bench: &str) {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    let script = benches.join(bench).join("selftest.py");
    let ran = Command::new("python3").arg(script).output();
    let ran = ran.expect("python3 can be started");
    let said = [ran.stdout, ran.stderr].concat();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn all(events: &Value) -> Vec<&Value> {
    let list = events.as_array().or_else(|| events["events"].as_array());
    list.map(|list| list.iter().collect()).unwrap_or_default()
}
