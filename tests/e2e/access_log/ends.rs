//! Each kind of end has its line.

use super::{attempts, line, line_of, logging, policy};
use crate::support::backend::{Act, Backend, DieBy, Step};
use crate::support::h2::client::{H2Client, url};
use crate::support::policy::{Policy, QUICK_PROBE, STOIC};
use crate::support::proxy::Proxy;
use serde_json::{Value, json};

/// These keys of a line have these values.
fn assert_says(line: &Value, said: &Value) {
    for (key, value) in said.as_object().expect("keys") {
        assert_eq!(&line[key], value, "{key} of {line:#}");
    }
}

#[tokio::test]
async fn an_answered_request_says_what_it_was_and_where_it_went() {
    let (aws, _gcp, proxy) = logging().await;
    let mut client = proxy.client().await;
    let answer = client.order("/order/new", "o-1").await;
    assert!(answer.is_ok());
    let line = line_of(&proxy, "/order/new").await;
    let sent = answer.body.bytes.len();
    let got = aws.last().body.bytes.len();
    assert_says(
        &line,
        &json!({
            "listener": "plain", "route": "order", "class": "order", "pool": "main",
            "method": "POST", "target_cut": false, "http": "1.1", "client": "127.0.0.1",
            "tls": false, "status": 200, "outcome": "success", "ended_by": "backend",
            "reason": null, "flags": [], "bytes_in": got, "bytes_out": sent, "trace_id": null,
        }),
    );
    assert!(
        line["time"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z'))
    );
    assert!(
        line["peer"]
            .as_str()
            .is_some_and(|peer| peer.starts_with("127.0.0.1:"))
    );
    assert_eq!(attempts(&line), ["aws success maybe"]);
    let attempt = &line["attempts"][0];
    assert_eq!(attempt["address"], aws.address().to_string());
    assert_eq!(attempt["backend"], aws.url());
    assert_eq!(
        (&attempt["site"], &attempt["status"]),
        (&"aws/one".into(), &200.into())
    );
    let took = |value: &Value| value.as_f64().expect("a time");
    let (head, whole) = (took(&line["head_ms"]), took(&line["took_ms"]));
    assert!(0.0 < took(&attempt["took_ms"]) && head <= whole && took(&attempt["took_ms"]) <= head);
}

#[tokio::test]
async fn a_retried_read_shows_both_attempts_in_order() {
    let (aws, _gcp, proxy) = logging().await;
    aws.act_once(Act::Status(502));
    assert_eq!(proxy.get("/read/again").await.backend(), "gcp");
    let line = line_of(&proxy, "/read/again").await;
    assert_eq!(
        attempts(&line),
        ["aws gateway_error maybe", "gcp success maybe"]
    );
    assert_says(
        &line,
        &json!({ "status": 200, "outcome": "success", "ended_by": "backend" }),
    );
    aws.act_once(Act::Script(vec![Step::End(DieBy::Rst)]));
    assert_eq!(proxy.get("/read/broken").await.backend(), "gcp");
    let line = line_of(&proxy, "/read/broken").await;
    assert_eq!(attempts(&line)[1], "gcp success maybe");
    let ended = line["attempts"][0]["ended"].as_str().expect("a word");
    assert!(
        ["reset", "broken_reuse", "stale"].contains(&ended),
        "{line:#}"
    );
    assert!(line["attempts"][0]["detail"].is_string());
}

#[tokio::test]
async fn an_order_of_unknown_fate_says_so_and_why() {
    let (aws, _gcp, proxy) = logging().await;
    aws.act_once(Act::Hang);
    let answer = proxy.client().await.order("/order/late", "o-1").await;
    assert_eq!((answer.status(), answer.outcome()), (504, Some("unknown")));
    let line = line_of(&proxy, "/order/late").await;
    assert_eq!(attempts(&line), ["aws deadline maybe"]);
    assert_says(
        &line,
        &json!({
            "status": 504, "outcome": "unknown", "ended_by": "leeward", "flags": ["deadline"],
            "head_ms": null, "bytes_out": answer.body.bytes.len(),
        }),
    );
    aws.refuse();
    aws.close_idle_connections();
    let answer = proxy.client().await.order("/order/lost", "o-2").await;
    assert_eq!(answer.outcome(), Some("not-sent"));
    let line = line_of(&proxy, "/order/lost").await;
    assert_says(
        &line,
        &json!({ "outcome": "not_sent", "ended_by": "leeward" }),
    );
    assert!(
        attempts(&line).iter().all(|said| said.ends_with("nothing")),
        "{line:#}"
    );
}

#[tokio::test]
async fn what_is_shed_has_no_attempt() {
    let aws = Backend::start("aws");
    let policy = Policy::of_urls(&[("aws/one", format!("{}, capacity: 1/s", aws.url()))])
        .pool(QUICK_PROBE)
        .pool(STOIC)
        .top(super::TO_FILE);
    let proxy = Proxy::start(&policy.text()).await;
    let mut client = proxy.client().await;
    let mut shed = None;
    for n in 0..200 {
        let target = format!("/read/{n}");
        if client.get(&target).await.outcome() == Some("shed") {
            shed = Some(target);
            break;
        }
    }
    let line = line_of(&proxy, &shed.expect("one is shed")).await;
    assert_says(
        &line,
        &json!({ "status": 503, "outcome": "shed", "ended_by": "leeward", "attempts": [] }),
    );
}

#[tokio::test]
async fn what_is_refused_says_why() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let routes = "[{ name: read, match: { path_prefix: /read }, class: public_read, pool: main }]";
    let text = policy(&aws, &gcp).routes(routes).top(super::TO_FILE).text();
    let proxy = Proxy::start(&text).await;
    proxy.client().await.ask("GET /x HTTP/1.1\r\n\r\n").await;
    let line = line(&proxy, "a refusal", |line| line["reason"] == "host_missing").await;
    assert_says(
        &line,
        &json!({
            "status": 400, "outcome": "refused", "ended_by": "leeward", "attempts": [],
            "method": null, "target": null, "route": null, "class": null, "pool": null,
        }),
    );
    assert_eq!(proxy.get("/nowhere?key=hidden").await.status(), 404);
    let line = line_of(&proxy, "/nowhere").await;
    assert_says(
        &line,
        &json!({ "reason": "no_route", "status": 404, "target_cut": true }),
    );
}

#[tokio::test]
async fn a_client_that_goes_away_is_named_as_the_one_who_ended_it() {
    let (aws, _gcp, proxy) = logging().await;
    aws.act_once(Act::Hang);
    let mut client = proxy.client().await;
    let ask = "GET /private/gone HTTP/1.1\r\nHost: h\r\n\r\n";
    client.send(ask).await;
    let asked = async || (!aws.requests().is_empty()).then_some(());
    crate::support::wait::eventually("the backend is asked", super::SOON, asked).await;
    client.reset();
    let line = line_of(&proxy, "/private/gone").await;
    assert_says(
        &line,
        &json!({ "outcome": "client_gone", "ended_by": "client", "status": null }),
    );
    assert_eq!(attempts(&line), ["aws given_up maybe"]);
    assert!(
        line["attempts"][0]["took_ms"]
            .as_f64()
            .is_some_and(|took| took > 0.0)
    );
}

#[tokio::test]
async fn a_cut_answer_is_blamed_on_its_backend_with_what_came_of_it() {
    let (aws, _gcp, proxy) = logging().await;
    let half = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}",
        "x".repeat(500)
    );
    aws.act_once(Act::Script(vec![Step::send(&half), Step::End(DieBy::Rst)]));
    proxy.get("/read/half").await;
    let line = line_of(&proxy, "/read/half").await;
    assert_eq!(attempts(&line), ["aws truncated maybe"]);
    assert_says(
        &line,
        &json!({
            "outcome": "truncated", "ended_by": "backend", "flags": ["backend_cut"],
            "status": 200, "bytes_out": 500,
        }),
    );
}

#[tokio::test]
async fn a_tunnel_has_its_line_when_it_ends() {
    let (aws, _gcp, proxy) = logging().await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n";
    aws.act(Act::Script(vec![Step::send(switch), Step::Echo]));
    let mut client = proxy.client().await;
    client
        .send("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    assert_eq!(client.head().await.expect("a head").status(), 101);
    client.send("hello").await;
    assert_eq!(client.some().await, b"hello");
    client.finish().await;
    let line = line_of(&proxy, "/ws").await;
    assert_says(
        &line,
        &json!({
            "class": "stream", "status": 101, "outcome": "informational", "ended_by": "client",
            "bytes_in": 5, "bytes_out": 5,
        }),
    );
    assert_eq!(attempts(&line), ["aws success maybe"]);
}

#[tokio::test]
async fn a_hedged_read_shows_both_attempts() {
    let (aws, _gcp, proxy) = logging().await;
    let mut client = proxy.client().await;
    for _ in 0..40 {
        assert!(client.get("/read/warm").await.is_ok());
    }
    aws.act_once(Act::Hang);
    assert_eq!(client.get("/read/slow").await.backend(), "gcp");
    let line = line_of(&proxy, "/read/slow").await;
    assert_eq!(attempts(&line), ["aws given_up maybe", "gcp success maybe"]);
    assert_says(&line, &json!({ "flags": ["hedged"], "outcome": "success" }));
    let began = |at: usize| line["attempts"][at]["began_ms"].as_f64().expect("a time");
    let lasted = line["attempts"][0]["took_ms"].as_f64().expect("a time");
    assert!(
        began(0) < began(1) && began(1) < lasted,
        "side by side: {line:#}"
    );
}

#[tokio::test]
async fn an_evacuation_shows_in_the_line_of_what_it_moved() {
    let (aws, _gcp, proxy) = logging().await;
    aws.act_once(Act::Hang);
    let address = proxy.plain();
    let waits = tokio::spawn(async move {
        let mut client = crate::support::client::Client::connect(address).await;
        client.get("/private/moved").await
    });
    let asked = async || (!aws.requests().is_empty()).then_some(());
    crate::support::wait::eventually("the backend is asked", super::SOON, asked).await;
    let said = crate::operator::say(&proxy, &["evacuate", "aws", "--reason", "a test"]);
    assert_eq!(said.0, Some(0), "{said:?}");
    assert_eq!(waits.await.expect("an answer").backend(), "gcp");
    let line = line_of(&proxy, "/private/moved").await;
    assert_eq!(attempts(&line), ["aws left maybe", "gcp success maybe"]);
    assert_says(
        &line,
        &json!({ "flags": ["rescued", "left"], "outcome": "success" }),
    );
}

#[tokio::test]
async fn requests_over_http2_are_logged_alike() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let text = policy(&aws, &gcp)
        .listeners("plain: { bind: \"127.0.0.1:0\", h2c: true }")
        .top(super::TO_FILE)
        .text();
    let proxy = Proxy::start(&text).await;
    let mut client = H2Client::connect(proxy.plain()).await;
    assert!(client.get("/read/two").await.is_ok());
    let line = line_of(&proxy, "/read/two").await;
    assert_says(
        &line,
        &json!({ "http": "2", "outcome": "success", "method": "GET" }),
    );
    let trace = http::Request::builder()
        .method("TRACE")
        .uri(url("/read/no"));
    client.ask(trace.body(()).unwrap(), b"", None).await;
    let line = line_of(&proxy, "/read/no").await;
    assert_says(
        &line,
        &json!({ "http": "2", "outcome": "refused", "method": "TRACE" }),
    );
    assert_eq!(line["reason"], "trace");
}
