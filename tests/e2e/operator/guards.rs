//! What an operator's word is refused for, and who may not say one.

use super::{pair, said, say};
use crate::support::client::{Answer, Client};
use crate::support::proxy::Proxy;
use serde_json::Value;

/// Posts a body to the admin side with these fields.
async fn post(proxy: &Proxy, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let mut request = format!("POST {path} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in fields {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut client = Client::connect(proxy.admin_address()).await;
    client.ask(format!("{request}\r\n{body}")).await
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const HOST: (&str, &str) = ("Host", "localhost:9900");
const AWS: &str = r#"{"targets":["aws"]}"#;

async fn operator_of_aws(proxy: &Proxy) -> Value {
    proxy.status().await["providers"][0]["operator"].clone()
}

#[tokio::test]
async fn the_last_capacity_is_refused_with_the_numbers_unless_forced() {
    let (_aws, _gcp, proxy) = pair().await;
    let (code, _, stderr) = say(&proxy, &["evacuate", "aws", "gcp"]);
    assert_eq!(code, Some(1), "{stderr}");
    let numbers = "main: nothing would be left of 2 endpoints that serve";
    assert!(stderr.contains(numbers), "{stderr}");
    assert_eq!(operator_of_aws(&proxy).await, "active");

    let (code, _, stderr) = say(&proxy, &["evacuate", "aws", "gcp", "--force"]);
    assert_eq!(code, Some(2), "{stderr}");
    let forced = ["evacuate", "aws", "gcp", "--force", "--reason", "I mean it"];
    let told = said(&proxy, &forced);
    assert!(
        told.starts_with("evacuated, forced: aws, gcp (I mean it)"),
        "{told}"
    );
    assert_eq!(operator_of_aws(&proxy).await, "evacuated");
    let events = proxy.events(0).await;
    let word = events.iter().find(|event| event["change"] == "operator");
    let evidence = &word.expect("the word")["evidence"];
    assert_eq!(evidence["forced"], numbers);
    assert!(evidence["kept"].is_string(), "{evidence}");
    assert!(
        proxy.get("/read/x").await.is_ok(),
        "the last capacity serves"
    );
}

#[tokio::test]
async fn a_word_that_leaves_too_little_capacity_is_refused_with_the_numbers() {
    use crate::support::backend::Backend;
    use crate::support::policy::Policy;
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of_urls(&[
        ("aws/one", format!("{}, capacity: 1000/s", aws.url())),
        ("gcp/one", format!("{}, capacity: 1/s", gcp.url())),
    ])
    .pool("health: { window: 60s }")
    .pool("failover: { tiers: [[aws/one], [gcp/one]] }");
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("gcp/one", "healthy").await;
    let mut client = proxy.client().await;
    for _ in 0..120 {
        assert!(client.get("/read/x").await.is_ok());
    }
    let busy = async || {
        let (code, _, stderr) = say(&proxy, &["drain", "aws"]);
        (code == Some(1)).then_some(stderr)
    };
    let soon = crate::support::wait::SOON;
    let told = crate::support::wait::eventually("a refusal", soon, busy).await;
    assert!(told.contains("1/s of 1001/s would be left"), "{told}");
}

#[tokio::test]
async fn unknown_targets_are_said_with_what_was_probably_meant() {
    let (_aws, _gcp, proxy) = pair().await;
    let (code, _, stderr) = say(&proxy, &["evacuate", "aws/onne", "gpc"]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("no provider or site `aws/onne`; did you mean `aws/one`?"),
        "{stderr}"
    );
    assert!(stderr.contains("`gpc`; did you mean `gcp`?"), "{stderr}");
    for target in ["192.0.2.1:1", "other/192.0.2.1:1"] {
        let (code, _, stderr) = say(&proxy, &["drain", target]);
        assert_eq!(code, Some(2), "{stderr}");
    }
    let (code, _, stderr) = say(&proxy, &["drain", "aws", "--for", "soon"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("`soon` is no duration"), "{stderr}");
}

#[tokio::test]
async fn nobody_there_is_a_failure_and_a_bad_url_bad_usage() {
    let nobody = crate::support::nobody::Nobody::new();
    let free = nobody.address().to_string();
    for (url, code) in [(free.as_str(), 1), ("https://localhost", 2), ("a b", 2)] {
        let output = std::process::Command::new(crate::support::proxy::leeward())
            .args(["restore", "aws", "--admin", url])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{url}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_say_a_word() {
    let (_aws, _gcp, proxy) = pair().await;
    let path = "/api/v1/evacuate";
    let plain = ("Content-Type", "text/plain");
    for (fields, status) in [
        (vec![("Host", "evil.example"), JSON], 403),
        (vec![HOST, JSON, ("Origin", "http://evil.example")], 403),
        (vec![HOST, JSON, ("Origin", "null")], 403),
        (vec![HOST, JSON, ("Sec-Fetch-Site", "cross-site")], 403),
        (vec![JSON], 403),
        (vec![HOST, plain], 415),
        (vec![HOST], 415),
    ] {
        let answer = post(&proxy, path, &fields, AWS).await;
        assert_eq!(answer.status(), status, "{fields:?}: {}", answer.text());
        assert_eq!(answer.head.get("access-control-allow-origin"), None);
    }
    let preflight =
        format!("OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://x\r\n\r\n");
    let mut client = Client::connect(proxy.admin_address()).await;
    assert_eq!(client.ask(preflight).await.status(), 405);
    assert_eq!(operator_of_aws(&proxy).await, "active");
    let own = [HOST, JSON, ("Origin", "http://localhost:9900")];
    assert_eq!(post(&proxy, path, &own, AWS).await.status(), 200);
    assert_eq!(operator_of_aws(&proxy).await, "evacuated");
}

#[tokio::test]
async fn bodies_that_make_no_sense_are_refused() {
    let (_aws, _gcp, proxy) = pair().await;
    let long = format!(r#"{{"targets":["aws"],"reason":"{}"}}"#, "x".repeat(401));
    let huge = format!(r#"{{"targets":["{}"]}}"#, "x".repeat(20_000));
    for (body, status) in [
        ("", 400),
        ("[]", 400),
        (r#"{"targets":[]}"#, 400),
        (r#"{"targets":["aws"],"four":1}"#, 400),
        (r#"{"targets":["aws"],"for":"0s"}"#, 400),
        (r#"{"targets":["aws"],"force":true}"#, 400),
        (r#"{"targets":["aws"],"reason":"a\nb"}"#, 400),
        (long.as_str(), 400),
        (huge.as_str(), 413),
    ] {
        let answer = post(&proxy, "/api/v1/drain", &[HOST, JSON], body).await;
        assert_eq!(answer.status(), status, "{body}: {}", answer.text());
    }
    let never = r#"{"targets":["aws"],"for":"1m"}"#;
    let answer = post(&proxy, "/api/v1/restore", &[HOST, JSON], never).await;
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert_eq!(operator_of_aws(&proxy).await, "active");
}
