//! What a policy would change, said by the command line; guards that a reload and an operator's word
//! are held against.

use crate::operator::say;
use crate::support::backend::{Act, Backend, Step};
use crate::support::client::Client;
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::proxy::{Proxy, json, leeward};
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

const ASK: &str =
    "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

/// Runs the command line; its exit code and what it says, on stdout and on stderr.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = std::process::Command::new(leeward())
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// aws before gcp, with these capacities.
fn two(aws: &Backend, gcp: &Backend, capacities: [u32; 2]) -> Policy {
    let [one, other] = capacities;
    Policy::of_urls(&[
        ("aws/one", format!("{}, capacity: {one}/s", aws.url())),
        ("gcp/one", format!("{}, capacity: {other}/s", gcp.url())),
    ])
    .pool(QUICK_PROBE)
    .pool(&quick_failover("[[aws/one], [gcp/one]]"))
}

async fn serving(policy: &Policy) -> Proxy {
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    proxy.wait_for_verdict("gcp/one", "healthy").await;
    proxy
}

async fn reloads(proxy: &Proxy) -> Value {
    json(&proxy.admin("/api/v1/status").await)["policy"].clone()
}

#[test]
fn two_policies_are_compared_in_words_and_as_json() {
    let dir = TempDir::new();
    let policy = "version: 1\nlisteners: { a: { bind: 127.0.0.1:1 } }\n\
                  providers: { aws: { sites: [a] }, gcp: { sites: [c] } }\n\
                  pools:\n  web:\n    orders: { writer: any }\n    failover: { tiers: [[aws], [gcp]] }\n    \
                  backends:\n      - { url: http://a.example, site: aws/a }\n      \
                  - { url: http://c.example, site: gcp/c }\n";
    let old = dir.write("old.yaml", policy);
    let same = dir.write("same.yaml", &format!("# By somebody else.\n\n{policy}"));
    let turned = policy.replace("[[aws], [gcp]]", "[[gcp], [aws]]");
    let new = dir.write("new.yaml", &turned);
    let bad = dir.write("bad.yaml", &turned.replace("sites", "places"));
    let (code, stdout, _) = run(&["diff", path(&old), path(&same)]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "no difference in meaning\n")
    );
    let (code, stdout, _) = run(&["diff", path(&old), path(&new)]);
    assert_eq!(code, Some(1), "{stdout}");
    let first =
        "moves 100% of order traffic from aws to gcp; resets the health of 0; changes 1 setting\n";
    assert!(stdout.starts_with(first), "{stdout}");
    let (code, stdout, _) = run(&["diff", path(&old), path(&new), "--json"]);
    assert_eq!(code, Some(1), "{stdout}");
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(told["same"], false);
    assert_eq!(told["diff"]["moves"][0]["from"], "aws");
    assert_eq!(told["diff"]["endpoints"]["kept"], 2);
    let (code, stdout, stderr) = run(&["diff", path(&bad), path(&new)]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(
        stderr.contains("bad.yaml:3:21: error: unknown key `places`"),
        "{stderr}"
    );
    let missing = dir.path("missing.yaml");
    assert_eq!(run(&["diff", path(&old), path(&missing)]).0, Some(2));
    assert_eq!(run(&["diff"]).0, Some(2));
}

#[test]
fn the_schema_is_printed_as_it_is_in_the_docs() {
    let (code, stdout, _) = run(&["schema"]);
    assert_eq!(code, Some(0));
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.schema.json");
    assert_eq!(stdout, std::fs::read_to_string(docs).unwrap());
}

#[tokio::test]
async fn what_a_proxy_serves_and_holds_is_compared_with_a_policy() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = two(&aws, &gcp, [200, 100]).top("journal: { record: run.jsonl }");
    let proxy = serving(&policy).await;
    aws.act(Act::Script(vec![Step::send(SWITCH), Step::Echo]));
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut client = proxy.client().await;
        client.send(ASK).await;
        assert_eq!(client.head().await.expect("a 101").status(), 101);
        streams.push(client);
    }
    // Paths in it are relative to the folder of the policy that serves.
    let dir = TempDir::new();
    let same = dir.write("same.yaml", &policy.text());
    let (code, stdout, stderr) = say(&proxy, &["diff", path(&same)]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "no difference in meaning\n"),
        "{stderr}"
    );

    let without = Policy::of_urls(&[("gcp/one", format!("{}, capacity: 100/s", gcp.url()))]);
    let without = without
        .pool(QUICK_PROBE)
        .pool(&quick_failover("[[gcp/one]]"));
    let new = dir.write("new.yaml", &without.text());
    eventually("all streams are counted", SOON, async || {
        let (code, stdout, stderr) = say(&proxy, &["diff", path(&new)]);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stdout.contains("traffic from aws to gcp"), "{stdout}");
        assert!(stdout.contains("removes 1 endpoint"), "{stdout}");
        stdout
            .contains("takes the endpoints of 3 open streams away")
            .then_some(())
    })
    .await;
    drop(streams);
    eventually("no stream is left", SOON, async || {
        let (_, stdout, _) = say(&proxy, &["diff", path(&new)]);
        (!stdout.contains("open streams")).then_some(())
    })
    .await;
    // What has moved already does not move again.
    let (code, _, stderr) = say(&proxy, &["evacuate", "aws"]);
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stdout, _) = say(&proxy, &["diff", path(&new)]);
    assert_eq!(code, Some(1));
    assert!(!stdout.contains("traffic from aws"), "{stdout}");
    assert_eq!(reloads(&proxy).await["reloads"]["rejected"], Value::Null);
}

#[tokio::test]
async fn a_policy_that_would_not_be_taken_and_a_proxy_that_is_not_there_are_trouble() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = two(&aws, &gcp, [200, 100]);
    let proxy = serving(&policy).await;
    let dir = TempDir::new();
    let guarded = policy
        .clone()
        .top("guards: { capacity_without_provider: 50% }");
    let new = dir.write("new.yaml", &guarded.text());
    let (code, stdout, stderr) = say(&proxy, &["diff", path(&new)]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert!(
        stderr.contains("has 100/s of 300/s left, which is 33.3%, and 50% are asked for"),
        "{stderr}"
    );
    assert!(
        stderr.contains("leeward: this policy would not be taken"),
        "{stderr}"
    );
    let nobody = crate::support::nobody::Nobody::new();
    let address = nobody.url();
    let (code, _, stderr) = run(&["diff", path(&new), "--admin", &address]);
    assert_eq!(code, Some(2), "{stderr}");
    let (code, _, _) = run(&["diff", path(&new), path(&new), "--admin", &address]);
    assert_eq!(code, Some(2));
}

#[tokio::test]
async fn a_page_of_another_site_cannot_ask_for_a_difference() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let proxy = serving(&two(&aws, &gcp, [1, 1])).await;
    let body = r#"{"files":[["p.yaml","version: 1\n"]]}"#;
    for (host, kind, status) in [
        ("evil.example", "application/json", 403),
        ("localhost", "text/plain", 415),
        ("localhost", "application/json", 422),
    ] {
        let request = format!(
            "POST /api/v1/diff HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut client = Client::connect(proxy.admin_address()).await;
        assert_eq!(client.ask(request).await.status(), status, "{host} {kind}");
    }
}

#[tokio::test]
async fn a_reload_that_breaks_a_guard_keeps_the_policy_from_before_until_it_is_forced() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = two(&aws, &gcp, [200, 100]);
    let proxy = serving(&policy).await;
    let before = reloads(&proxy).await["hash"].clone();
    let replace = |guards: &str| {
        let text = policy.clone().top(guards).text();
        let next = proxy.dir().write("next", &text);
        std::fs::rename(next, proxy.dir().path("policy.yaml")).unwrap();
    };
    replace("guards: { capacity_without_provider: 50%, providers: 3 }");
    let problems = eventually("a policy is rejected", SOON, async || {
        let problems = reloads(&proxy).await["reloads"]["rejected"]["problems"].clone();
        problems.is_array().then(|| problems.to_string())
    })
    .await;
    for words in [
        "policy.yaml:",
        "pool `main` breaks a guard: without aws it has 100/s of 300/s left, which is 33.3%, and 50% are asked for",
        "pool `main` breaks a guard: it depends on 2 providers, and 3 are asked for",
        "`providers: 3`, line 4",
    ] {
        assert!(problems.contains(words), "{words}: {problems}");
    }
    assert_eq!(reloads(&proxy).await["hash"], before);
    assert!(proxy.get("/read/x").await.is_ok());

    replace("guards: { providers: 3, force: \"INC-42: metal is gone\" }");
    eventually("another policy", SOON, async || {
        (reloads(&proxy).await["hash"] != before).then_some(())
    })
    .await;
    let events = proxy.events(0).await;
    let forced = events
        .iter()
        .find_map(|event| event["evidence"]["forced"].as_str());
    let told = "INC-42: metal is gone: main: it depends on 2 providers, and 3 are asked for";
    assert_eq!(forced, Some(told));
}

#[tokio::test]
async fn a_word_that_breaks_a_guard_is_refused_with_the_numbers_unless_forced() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let guards = "guards: { capacity_without_provider: 30%, providers: 2 }";
    let proxy = serving(&two(&aws, &gcp, [200, 100]).top(guards)).await;
    let told = "main: 1 provider would be left, 2 are asked for by the guard `providers`";
    for verb in ["evacuate", "drain"] {
        let (code, _, stderr) = say(&proxy, &[verb, "aws"]);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(told), "{stderr}");
    }
    assert_eq!(proxy.status().await["providers"][0]["operator"], "active");
    let forced = ["evacuate", "aws", "--force", "--reason", "a fire"];
    let (code, stdout, stderr) = say(&proxy, &forced);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.starts_with("evacuated, forced: aws"), "{stdout}");
    let events = proxy.events(0).await;
    let word = events.iter().find(|event| event["change"] == "operator");
    assert_eq!(word.expect("the word")["evidence"]["forced"], told);
}
