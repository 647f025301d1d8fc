//! What leeward says to a gRPC client by itself: in gRPC's words, and truly.

use super::{Call, PROBE, Server, call, policy};
use crate::support::h2::client::{H2Client, url};
use crate::support::nobody::Nobody;
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use http::{HeaderMap, Request};
use serde_json::Value;

/// A policy of a backend that nobody listens for.
fn alone(nobody: &Nobody) -> Policy {
    policy(&[("aws/one", nobody.url())])
}

#[tokio::test]
async fn a_call_that_was_not_sent_is_unavailable_and_may_be_repeated() {
    let nobody = Nobody::new();
    let proxy = Proxy::start(&alone(&nobody).text()).await;
    for method in ["Order/Place", "Read/Who"] {
        let ended = call(proxy.plain(), &["unary", method, "x"]).await;
        assert_eq!(ended.code, "UNAVAILABLE", "{ended:?}");
        assert!(ended.details.contains("not sent"), "{}", ended.details);
        // A client takes an answer that is all head for trailers.
        assert_eq!(ended.trailers["leeward-outcome"], "not-sent", "{ended:?}");
        assert!(ended.trailers["retry-after"].is_string());
    }
    let ended = call(proxy.plain(), &["unary", "Else/Where", "x"]).await;
    assert_eq!(ended.code, "UNIMPLEMENTED", "{ended:?}");
}

#[tokio::test]
async fn an_order_that_may_have_been_executed_is_not_called_unavailable() {
    let mut server = Server::start("aws");
    let policy = policy(&[("aws/one", server.entry())]).pool(PROBE);
    let proxy = Proxy::start(&policy.text()).await;
    let ended = call(proxy.plain(), &["unary", "Order/Place", "slow"]).await;
    assert_eq!(ended.code, "DEADLINE_EXCEEDED", "{ended:?}");
    assert!(ended.details.contains("unknown"), "{}", ended.details);
    assert_eq!(ended.trailers["leeward-outcome"], "unknown");
    assert_eq!(server.executed(), 1);
}

/// The bytes of it: all in the head, and 200, as every client of gRPC wants it.
#[tokio::test]
async fn an_answer_of_leeward_s_own_is_all_head() {
    let nobody = Nobody::new();
    let proxy = Proxy::start(
        &alone(&nobody)
            .top("access_log: { to: access.jsonl }")
            .text(),
    )
    .await;
    let mut client = H2Client::connect(proxy.plain()).await;
    let ask = |content: &str| {
        Request::post(url("/test.Order/Place"))
            .header("content-type", content)
            .body(())
            .unwrap()
    };
    let got = client
        .ask(ask("application/grpc"), b"x", None::<HeaderMap>)
        .await;
    assert_eq!((got.status, got.body.len()), (200, 0));
    assert!(got.trailers.is_none());
    assert_eq!(got.fields["content-type"], "application/grpc");
    assert_eq!(got.fields["grpc-status"], "14");
    assert_eq!(got.outcome(), Some("not-sent"));
    let seconds: u64 = got.fields["retry-after"].to_str().unwrap().parse().unwrap();
    let pushback = got.fields["grpc-retry-pushback-ms"].to_str().unwrap();
    assert_eq!(pushback, (seconds * 1000).to_string());
    // Whoever does not speak gRPC gets HTTP's words.
    let got = client
        .ask(ask("application/json"), b"x", None::<HeaderMap>)
        .await;
    assert_eq!((got.status, got.outcome()), (503, Some("not-sent")));
    assert!(!got.fields.contains_key("grpc-status"));
    let requests = [("route", "order"), ("outcome", "not_sent")];
    proxy
        .wait_for_metric("leeward_requests_total", &requests, 2.0)
        .await;
    let log = proxy.dir().path("access.jsonl");
    let statuses = eventually("two lines in the log", SOON, async || {
        let text = std::fs::read_to_string(&log).ok()?;
        let lines: Vec<_> = text.lines().map(serde_json::from_str::<Value>).collect();
        let statuses = lines
            .into_iter()
            .map(|line| Some(line.ok()?["status"].clone()));
        statuses
            .collect::<Option<Vec<_>>>()
            .filter(|all| all.len() == 2)
    });
    assert_eq!(statuses.await, [200, 503]);
}

/// An order whose answer breaks off after its head was executed, most likely.
#[tokio::test]
async fn an_order_whose_answer_breaks_off_is_not_called_unavailable() {
    let mut server = Server::start("aws");
    let proxy = Proxy::start(&policy(&[("aws/one", server.entry())]).text()).await;
    let mut call = Call::start(proxy.plain(), &["feed", "Order/Fills", "x"], None);
    assert_eq!(call.message(), "a first fill");
    server.kill();
    let ended = tokio::task::spawn_blocking(move || call.end()).await;
    let ended = ended.unwrap();
    assert_eq!(ended.code, "DEADLINE_EXCEEDED", "{ended:?}");
    assert_eq!(ended.trailers["leeward-outcome"], "unknown");
    assert_eq!(ended.trailers["grpc-retry-pushback-ms"], "-1");
}
