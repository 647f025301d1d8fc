//! What a line says and what it must never say: samples, traces, secrets.

use super::{line_of, lines, logging, logging_with, policy};
use crate::support::backend::{Act, Backend};
use crate::support::proxy::Proxy;
use serde_json::Value;

#[tokio::test]
async fn without_a_word_of_it_nothing_is_logged() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let proxy = Proxy::start(&policy(&aws, &gcp).text()).await;
    assert!(proxy.get("/read/x").await.is_ok());
    proxy.signal(nix::sys::signal::Signal::SIGUSR1);
    assert!(proxy.get("/read/x").await.is_ok(), "USR1 is no end");
    let metrics = proxy.metrics().await;
    assert_eq!(
        metrics.sum("leeward_access_log_lines_total", &[]),
        Some(0.0)
    );
    assert!(!proxy.dir().path("access.jsonl").exists());
}

#[tokio::test]
async fn a_sample_is_of_good_requests_alone() {
    let (aws, _gcp, proxy) = logging_with("access_log: { to: access.jsonl, sample: 0% }").await;
    let mut client = proxy.client().await;
    for _ in 0..50 {
        assert!(client.get("/read/good").await.is_ok());
        assert_eq!(client.get("/read/status/429").await.status(), 429);
    }
    aws.act_once(Act::Status(503));
    assert!(client.get("/read/retried").await.is_ok());
    assert_eq!(client.get("/order/status/500").await.status(), 500);
    line_of(&proxy, "/order/status/500").await;
    let targets: Vec<Value> = lines(&proxy.dir().path("access.jsonl"))
        .into_iter()
        .map(|line| line["target"].clone())
        .collect();
    assert_eq!(targets, ["/read/retried", "/order/status/500"]);
}

#[tokio::test]
async fn a_sample_is_about_as_large_as_it_should_be() {
    let (_aws, _gcp, proxy) = logging_with("access_log: { to: access.jsonl, sample: 20% }").await;
    let mut client = proxy.client().await;
    for _ in 0..1000 {
        assert!(client.get("/read/x").await.is_ok());
    }
    client.get("/order/status/500").await;
    line_of(&proxy, "/order/status/500").await;
    let drawn = lines(&proxy.dir().path("access.jsonl")).len();
    assert!((120..=280).contains(&drawn), "{drawn} of 1000");
}

#[tokio::test]
async fn a_trace_passes_unchanged_and_its_id_is_logged_where_it_is_valid() {
    let (aws, _gcp, proxy) = logging().await;
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let zero = "0".repeat(32);
    let cases = [
        ("valid", format!("00-{id}-00f067aa0ba902b7-01"), Some(id)),
        ("later", format!("cc-{id}-00f067aa0ba902b7-01-x"), Some(id)),
        ("zero", format!("00-{zero}-00f067aa0ba902b7-01"), None),
        (
            "upper",
            format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
            None,
        ),
        ("short", "00-1234".to_owned(), None),
    ];
    for (name, field, expected) in cases {
        let target = format!("/read/{name}");
        let ask = format!(
            "GET {target} HTTP/1.1\r\nHost: h\r\ntraceparent: {field}\r\ntracestate: a=b\r\n\r\n"
        );
        assert!(proxy.client().await.ask(ask).await.is_ok());
        let head = aws.last().head;
        assert_eq!(head.get("traceparent"), Some(field.as_str()));
        assert_eq!(head.get("tracestate"), Some("a=b"));
        assert_eq!(
            line_of(&proxy, &target).await["trace_id"].as_str(),
            expected,
            "{name}"
        );
    }
    proxy.get("/read/none").await;
    assert_eq!(
        aws.last().head.get("traceparent"),
        None,
        "leeward makes none"
    );
}

#[tokio::test]
async fn secrets_are_never_in_the_log() {
    let log = "access_log: { to: access.jsonl, query: public_read, fields: [user-agent] }";
    let (aws, _gcp, proxy) = logging_with(log).await;
    for (path, query) in [
        ("/order/a", "?signature=hush"),
        ("/cancel/a", "?signature=hush"),
        ("/private/a", "?signature=hush"),
        ("/unclassed", "?signature=hush"),
        ("/ws/hush-listen-key", "?token=hush"),
    ] {
        let ask = format!(
            "GET {path}{query} HTTP/1.1\r\nHost: h\r\nAuthorization: hush\r\nCookie: hush\r\n\
             X-API-KEY: hush\r\nUser-Agent: bot/1\r\n\r\n"
        );
        assert!(proxy.client().await.ask(ask).await.is_ok());
        assert!(String::from_utf8_lossy(&aws.last().head.raw).contains("hush"));
    }
    assert!(proxy.get("/read/shown?symbol=BTCUSDT").await.is_ok());
    line_of(&proxy, "/read/shown?symbol=BTCUSDT").await;
    let path = proxy.dir().path("access.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("hush"), "{text}");
    let stream = line_of(&proxy, "/ws").await;
    assert_eq!(stream["target_cut"], true);
    assert_eq!(stream["fields"]["user-agent"], "bot/1");
    assert_eq!(lines(&path).len(), 6);
}

#[tokio::test]
async fn queries_are_left_out_where_nobody_asks_for_them() {
    let (_aws, _gcp, proxy) = logging().await;
    assert!(proxy.get("/read/x?apikey=hush").await.is_ok());
    assert_eq!(line_of(&proxy, "/read/x").await["target_cut"], true);
}

#[tokio::test]
async fn a_field_with_credentials_cannot_be_asked_for() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let log = "access_log: { to: access.jsonl, fields: [Authorization] }";
    let dir = crate::support::temp::TempDir::new();
    let ended = Proxy::run_to_end(&dir, &policy(&aws, &gcp).top(log).text()).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("never logged"), "{}", ended.stderr);
}
