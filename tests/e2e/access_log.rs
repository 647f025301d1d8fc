//! The access log: a line for each request, and nothing that it does disturbs one.

mod ends;
mod said;
mod sinks;

use crate::support::backend::Backend;
use crate::support::policy::{Policy, QUICK_PROBE, STOIC, quick_failover};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use serde_json::Value;
use std::path::Path;

const TO_FILE: &str = "access_log: { to: access.jsonl }";

/// aws before gcp, and whatever the traffic meets, it stays so.
fn policy(aws: &Backend, gcp: &Backend) -> Policy {
    Policy::of(&[("aws/one", aws), ("gcp/one", gcp)])
        .pool(QUICK_PROBE)
        .pool(STOIC)
        .pool(&quick_failover("[[aws/one], [gcp/one]]"))
}

/// The same with a log in a file.
async fn logging() -> (Backend, Backend, Proxy) {
    logging_with(TO_FILE).await
}

async fn logging_with(log: &str) -> (Backend, Backend, Proxy) {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let proxy = Proxy::start(&policy(&aws, &gcp).top(log).text()).await;
    (aws, gcp, proxy)
}

/// The lines of a file so far; each is whole.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    let parsed = text[..whole].lines().map(serde_json::from_str);
    parsed.collect::<Result<_, _>>().expect("lines of JSON")
}

/// The one line in the log's file for which `is` holds, once it is there.
async fn line(proxy: &Proxy, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let path = proxy.dir().path("access.jsonl");
    let mut found = eventually(what, SOON, async || {
        let found: Vec<Value> = lines(&path).into_iter().filter(|line| is(line)).collect();
        (!found.is_empty()).then_some(found)
    })
    .await;
    assert_eq!(found.len(), 1, "{what}: {found:?}");
    found.remove(0)
}

/// The line of this target.
async fn line_of(proxy: &Proxy, target: &str) -> Value {
    line(proxy, target, |line| line["target"] == target).await
}

/// How its attempts ended, each with its provider.
fn attempts(line: &Value) -> Vec<String> {
    let attempts = line["attempts"].as_array().expect("attempts").iter();
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    let said = |a: &Value| {
        let words = [&a["provider"], &a["ended"], &a["sent"]];
        words.map(word).join(" ")
    };
    attempts.map(said).collect()
}
