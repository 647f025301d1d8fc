//! Who may use the admin side, what they may do there, and that it is written down.

mod stream;

use crate::support::backend::Backend;
use crate::support::certs::Ca;
use crate::support::client::{Answer, Client};
use crate::support::policy::Policy;
use crate::support::proxy::{Proxy, json};
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::process::Command;

const OPERATE: &str = "operate-5b1f0c7a2f6d";
const READ: &str = "read-9a0d3c1e77b2";
const TOKENS: &str =
    "tokens: { oncall: { file: oncall, role: operate }, grafana: { file: grafana, role: read } }";

fn policy(aws: &Backend, gcp: &Backend, admin: &str) -> String {
    let policy = Policy::of(&[("aws/one", aws), ("gcp/one", gcp)])
        .pool("failover: { tiers: [[aws/one], [gcp/one]] }")
        .text();
    policy.replace(
        "admin: { bind: \"127.0.0.1:0\" }",
        &format!("admin: {{ bind: \"127.0.0.1:0\", {admin} }}"),
    )
}

/// One that wants tokens.
async fn guarded(more: &str) -> (Backend, Backend, Proxy) {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let dir = TempDir::new();
    dir.write("oncall", &format!("{OPERATE}\n"));
    dir.write("grafana", READ);
    std::fs::create_dir(dir.path("state")).unwrap();
    let text = policy(&aws, &gcp, TOKENS);
    let proxy = Proxy::start_in(dir, &text.replace("workers:", &format!("{more}workers:"))).await;
    (aws, gcp, proxy)
}

/// Asks the admin side with these fields and this body.
pub(crate) async fn ask(
    proxy: &Proxy,
    request: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Answer {
    let host = proxy.admin_address();
    let mut text = format!("{request} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if request.starts_with("POST") {
        let length = body.len();
        text.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {length}\r\n"
        ));
    }
    let mut client = Client::connect(host).await;
    client.ask(format!("{text}\r\n{body}")).await
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn as_one(proxy: &Proxy, token: &str, request: &str, body: &str) -> Answer {
    ask(proxy, request, &[("Authorization", &bearer(token))], body).await
}

async fn operator_of_aws(proxy: &Proxy) -> Value {
    let status = json(&as_one(proxy, READ, "GET /api/v1/status", "").await);
    status["engine"]["providers"][0]["operator"].clone()
}

const EVACUATE: &str = "POST /api/v1/evacuate";
const AWS: &str = r#"{"targets":["aws"],"reason":"a test"}"#;

#[tokio::test]
async fn where_tokens_are_named_nothing_is_told_without_one() {
    let (_aws, _gcp, proxy) = guarded("").await;
    for path in [
        "/metrics",
        "/api/v1/status",
        "/api/v1/events",
        "/api/v1/calls",
        "/api/v1/samples",
        "/api/v1/record",
    ] {
        let request = format!("GET {path}");
        let answer = ask(&proxy, &request, &[], "").await;
        assert_eq!(answer.status(), 401, "{path}");
        assert!(answer.head.get("www-authenticate").is_some(), "{path}");
        let wrong = as_one(&proxy, "operate-5b1f0c7a2f6e", &request, "").await;
        assert_eq!(wrong.status(), 401, "{path}");
        for token in [READ, OPERATE] {
            let answer = as_one(&proxy, token, &request, "").await;
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(answer.head.get("access-control-allow-origin"), None);
            assert_eq!(answer.head.get("set-cookie"), None);
            assert_eq!(answer.head.get("cache-control"), Some("no-store"));
        }
    }
    for path in ["/livez", "/readyz", "/", "/page/app.js"] {
        let answer = ask(&proxy, &format!("GET {path}"), &[], "").await;
        assert_eq!(answer.status(), 200, "{path} has nothing to hide");
    }
}

#[tokio::test]
async fn who_may_read_may_ask_what_would_follow_and_nothing_more() {
    let (_aws, _gcp, proxy) = guarded("").await;
    let dry = AWS.replace('}', r#","dry_run":true}"#);
    assert_eq!(as_one(&proxy, READ, EVACUATE, &dry).await.status(), 200);
    let refused = as_one(&proxy, READ, EVACUATE, AWS).await;
    assert_eq!(refused.status(), 403, "{}", refused.text());
    assert_eq!(operator_of_aws(&proxy).await, "active");
    assert_eq!(as_one(&proxy, OPERATE, EVACUATE, AWS).await.status(), 200);
    assert_eq!(operator_of_aws(&proxy).await, "evacuated");
}

#[tokio::test]
async fn every_call_is_written_down_with_who_and_what_came_of_it() {
    let (_aws, _gcp, proxy) = guarded("state_dir: state\n").await;
    ask(&proxy, EVACUATE, &[], AWS).await;
    as_one(&proxy, READ, EVACUATE, AWS).await;
    let both = r#"{"targets":["aws","gcp"]}"#;
    as_one(&proxy, OPERATE, EVACUATE, both).await;
    as_one(&proxy, OPERATE, EVACUATE, r#"{"targets":["azure"]}"#).await;
    as_one(&proxy, OPERATE, EVACUATE, "{").await;
    let elsewhere = [
        ("Authorization", bearer(OPERATE)),
        ("Origin", "http://evil.example".into()),
    ];
    let elsewhere: Vec<(&str, &str)> = elsewhere.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(ask(&proxy, EVACUATE, &elsewhere, AWS).await.status(), 403);
    as_one(&proxy, OPERATE, "POST /api/v1/drain", AWS).await;
    let calls = json(&as_one(&proxy, READ, "GET /api/v1/calls", "").await)["calls"].clone();
    let told: Vec<(Value, u64, Value)> = calls
        .as_array()
        .expect("a list")
        .iter()
        .map(|call| {
            assert_eq!(call["address"], "127.0.0.1");
            let status = call["status"].as_u64().expect("a status");
            (call["who"].clone(), status, call["targets"].clone())
        })
        .collect();
    let (oncall, grafana) = ("token oncall", "token grafana");
    let aws = serde_json::json!(["aws"]);
    let none = serde_json::json!([]);
    assert_eq!(
        told,
        [
            (Value::Null, 401, none.clone()),
            (grafana.into(), 403, aws.clone()),
            (oncall.into(), 409, serde_json::json!(["aws", "gcp"])),
            (oncall.into(), 404, serde_json::json!(["azure"])),
            (oncall.into(), 400, none.clone()),
            (Value::Null, 403, none),
            (oncall.into(), 200, aws),
        ]
    );
    let file = proxy.dir().path("state/journal.jsonl");
    eventually("the journal has it too", SOON, async || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let calls: Vec<Value> = lines.filter(|line| line["call"].is_object()).collect();
        let last = calls.last()?["call"].clone();
        (calls.len() == 7 && last["who"] == oncall && last["reason"] == "a test").then_some(())
    })
    .await;
    let log = proxy.log();
    assert!(log.contains("steering call"), "{log}");
    for secret in [OPERATE, READ] {
        assert!(!log.contains(secret), "a token is in the log");
    }
}

#[tokio::test]
async fn a_token_changes_with_its_file_while_it_serves() {
    let (_aws, _gcp, proxy) = guarded("").await;
    let new = "operate-0000000000aa";
    assert_eq!(as_one(&proxy, new, "GET /metrics", "").await.status(), 401);
    proxy.dir().write("oncall", new);
    let changed = async || {
        let answer = as_one(&proxy, new, "GET /metrics", "").await;
        (answer.status() == 200).then_some(())
    };
    eventually("the new token is known", SOON * 2, changed).await;
    let before = as_one(&proxy, OPERATE, "GET /metrics", "").await;
    assert_eq!(before.status(), 401, "the one from before is not");
    // A bad one changes nothing, and is told without its text.
    proxy.dir().write("oncall", "too short");
    proxy.signal(Signal::SIGHUP);
    let told = async || {
        let status = json(&as_one(&proxy, new, "GET /api/v1/status", "").await);
        let rejected = &status["policy"]["reloads"]["rejected"]["problems"];
        rejected.as_array().map(|all| all[0].to_string())
    };
    let problem = eventually("the problem is told", SOON * 2, told).await;
    assert!(
        problem.contains("token oncall") && !problem.contains("too short"),
        "{problem}"
    );
    let status = json(&as_one(&proxy, new, "GET /api/v1/status", "").await);
    let headline = &status["headline"];
    assert_ne!(headline["level"], "calm");
    assert!(
        headline["text"]
            .to_string()
            .contains("the last reload was refused"),
        "{headline}"
    );
}

#[tokio::test]
async fn a_name_that_was_rebound_reads_nothing() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)]).text();
    let proxy = Proxy::start(&policy).await;
    let mut client = Client::connect(proxy.admin_address()).await;
    for path in ["/api/v1/status", "/metrics"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
        let answer = client.ask(request).await;
        assert_eq!(answer.status(), 403, "{path}");
    }
    let page = ask(
        &proxy,
        "GET /api/v1/status",
        &[("Sec-Fetch-Site", "cross-site")],
        "",
    )
    .await;
    assert_eq!(page.status(), 403);
    assert_eq!(
        ask(&proxy, "GET /api/v1/status", &[], "").await.status(),
        200
    );
}

#[tokio::test]
async fn an_admin_side_that_the_network_could_use_is_not_started() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let dir = TempDir::new();
    let open = policy(&aws, &gcp, "").replace("127.0.0.1:0\", ", "0.0.0.0:0\"");
    let ended = Proxy::run_to_end(&dir, &open).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("open to the network"),
        "{}",
        ended.stderr
    );
    let nowhere = policy(&aws, &gcp, "tokens: { a: { file: nowhere, role: read } }");
    let ended = Proxy::run_to_end(&dir, &nowhere).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("there is no file"),
        "{}",
        ended.stderr
    );
}

/// What curl is answered with a certificate, and the body.
fn curl(proxy: &Proxy, leaf: Option<&str>, path: &str, body: Option<&str>) -> (String, String) {
    let port = proxy.admin_address().port();
    let mut command = Command::new("curl");
    command.current_dir(proxy.dir().path(""));
    command.args(["--silent", "--show-error", "--cacert", "ca.pem"]);
    command.args(["--write-out", "\n%{http_code}"]);
    if let Some(leaf) = leaf {
        command.args([
            "--cert",
            &format!("{leaf}.pem"),
            "--key",
            &format!("{leaf}.key"),
        ]);
    }
    if let Some(body) = body {
        command.args(["--header", "Content-Type: application/json", "--data", body]);
    }
    let output = command
        .arg(format!("https://localhost:{port}{path}"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    let stderr = String::from_utf8_lossy(&output.stderr);
    (status.to_owned(), format!("{body}{stderr}"))
}

#[tokio::test]
async fn a_certificate_does_in_place_of_a_token() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let (ca, other) = (Ca::new(), Ca::new());
    let dir = TempDir::new();
    dir.write("ca.pem", &ca.pem());
    for (file, leaf) in [
        ("admin", ca.leaf(&["localhost"])),
        ("oncall", ca.leaf(&["oncall.ops.example"])),
        ("viewer", ca.leaf(&["viewer.ops.example"])),
        ("stranger", other.leaf(&["oncall.ops.example"])),
    ] {
        dir.write(&format!("{file}.pem"), &leaf.cert);
        dir.write(&format!("{file}.key"), &leaf.key);
    }
    let tls = "tls: { cert: admin.pem, key: admin.key, clients: { ca: ca.pem, operate: [oncall.ops.example] } }";
    let proxy = Proxy::launch(dir, &policy(&aws, &gcp, tls), &[]).await;
    let ready = async || (curl(&proxy, None, "/readyz", None).0 == "200").then_some(());
    eventually("leeward is ready", SOON * 2, ready).await;

    assert_eq!(curl(&proxy, None, "/api/v1/status", None).0, "401");
    let stranger = curl(&proxy, Some("stranger"), "/api/v1/status", None);
    assert_eq!(stranger.0, "000", "not even a handshake: {}", stranger.1);
    assert_eq!(
        curl(&proxy, Some("viewer"), "/api/v1/status", None).0,
        "200"
    );
    let drain = |leaf| curl(&proxy, Some(leaf), "/api/v1/drain", Some(AWS));
    assert_eq!(drain("viewer").0, "403");
    let (status, body) = drain("oncall");
    assert_eq!(status, "200", "{body}");
    let (_, calls) = curl(&proxy, Some("viewer"), "/api/v1/calls", None);
    let calls: Value = serde_json::from_str(&calls).unwrap();
    let who = |n: usize| calls["calls"][n]["who"].clone();
    assert_eq!(who(0), "certificate viewer.ops.example");
    assert_eq!(who(1), "certificate oncall.ops.example");
}
