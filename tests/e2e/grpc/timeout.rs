//! `grpc-timeout`: it shortens a deadline, what is passed on is true, and clients in a hurry harm nobody.

use super::{policy, primary_and_standby};
use crate::support::h2::breaker::{Act, Breaker};
use crate::support::h2::client::{Got, H2Client, url};
use crate::support::h2::site::Site;
use crate::support::nobody::Nobody;
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use http::{HeaderMap, Request};
use serde_json::Value;
use std::time::{Duration, Instant};

const ORDER: &[u8] = br#"{"id":"one"}"#;

/// A call of this method whose client waits so long, by its own words.
async fn call(client: &mut H2Client, method: &str, timeout: Option<&str>) -> Got {
    let mut request = Request::post(url(method))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    client.ask(request.body(()).unwrap(), ORDER, None).await
}

/// How long a backend was told that it has, microseconds.
fn told(site: &Site) -> u64 {
    let asked = site.last();
    let value = asked.fields["grpc-timeout"].to_str().unwrap();
    let digits = value.strip_suffix('u');
    let digits = digits.unwrap_or_else(|| panic!("{value} is not what is left"));
    digits.parse().unwrap()
}

#[tokio::test]
async fn the_client_s_timeout_ends_a_call_sooner_and_never_later() {
    let breaker = Breaker::start(Act::Hang);
    let proxy = Proxy::start(&policy(&[("aws/one", breaker.entry())]).text()).await;
    let mut client = H2Client::connect(proxy.plain()).await;
    // The route has 1 s.
    for (timeout, from, to) in [("250m", 250, 900), ("9S", 1000, 5000)] {
        let began = Instant::now();
        let got = call(&mut client, "/test.Order/Place", Some(timeout)).await;
        let took = began.elapsed();
        assert_eq!(got.fields["grpc-status"], "4");
        assert_eq!(got.outcome(), Some("unknown"), "it was sent");
        let span = Duration::from_millis(from)..Duration::from_millis(to);
        assert!(span.contains(&took), "{timeout}: {took:?}");
    }
}

#[tokio::test]
async fn a_call_whose_time_is_up_when_it_comes_is_not_sent() {
    let breaker = Breaker::start(Act::Serve);
    let proxy = Proxy::start(&policy(&[("aws/one", breaker.entry())]).text()).await;
    let mut client = H2Client::connect(proxy.plain()).await;
    let got = call(&mut client, "/test.Order/Place", Some("0n")).await;
    assert_eq!(got.outcome(), Some("not-sent"));
    assert_eq!(breaker.begun(), 0);
    let got = call(&mut client, "/test.Order/Place", Some("1S")).await;
    assert_eq!((got.status, breaker.executed().len()), (200, 1));
}

#[tokio::test]
async fn what_is_passed_on_is_what_is_left() {
    let (hangs, site) = (Breaker::start(Act::Hang), Site::start());
    let policy = primary_and_standby(hangs.entry(), site.entry("protocol: http2"));
    let proxy = Proxy::start(&policy.text()).await;
    let mut client = H2Client::connect(proxy.plain()).await;
    // A part of the time is over when the read is tried at the other one.
    let got = call(&mut client, "/test.Read/Who", Some("2S")).await;
    assert!(got.is_ok(), "{got:?}");
    let left = told(&site);
    assert!((100_000..1_900_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_timeout_passes_as_it_came_unless_the_route_gives_less() {
    let site = Site::start();
    let proxy = Proxy::start(&policy(&[("aws/one", site.entry("protocol: http2"))]).text()).await;
    let mut client = H2Client::connect(proxy.plain()).await;
    let passed = |site: &Site| site.last().fields.get("grpc-timeout").cloned();
    for as_it_is in ["0000800m", "1S", "1s", "", "123456789m", "-1S", "1 S"] {
        let got = call(&mut client, "/test.Order/Place", Some(as_it_is)).await;
        assert!(got.is_ok(), "{as_it_is}: {got:?}");
        assert_eq!(passed(&site).expect("a timeout"), as_it_is);
    }
    call(&mut client, "/test.Order/Place", None).await;
    assert_eq!(passed(&site), None, "leeward makes none");
    call(&mut client, "/test.Order/Place", Some("1H")).await;
    assert!((900_000..=1_000_000).contains(&told(&site)));
    let got = call(&mut client, "/test.Stream/Feed", Some("1H")).await;
    assert!(got.is_ok());
    assert_eq!(
        passed(&site).expect("a timeout"),
        "1H",
        "a stream has no deadline"
    );
}

/// P11: what a client asks for is no fault of a backend.
#[tokio::test]
async fn clients_in_a_hurry_take_no_backend_down() {
    let breaker = Breaker::start(Act::Hang);
    let health = "health: { consecutive: 3, min_requests: 3 }";
    let policy = policy(&[("aws/one", breaker.entry())]).pool(health);
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    let mut client = H2Client::connect(proxy.plain()).await;
    for _ in 0..12 {
        let got = call(&mut client, "/test.Order/Place", Some("20m")).await;
        assert_eq!(got.fields["grpc-status"], "4");
    }
    let attempts = "leeward_upstream_attempts_total";
    let timeouts = [("outcome", "timeout")];
    let counted = async || proxy.metrics().await.sum(attempts, &timeouts);
    assert_eq!(counted().await, Some(0.0));
    // One that waits as long as the policy says does speak.
    call(&mut client, "/test.Order/Place", Some("30S")).await;
    proxy.wait_for_metric(attempts, &timeouts, 1.0).await;
}

#[tokio::test]
async fn the_access_log_has_the_code_that_a_call_ended_with() {
    let site = Site::start();
    let nobody = Nobody::new();
    let log = "access_log: { to: access.jsonl }";
    let of = |url: String| policy(&[("aws/one", url)]).top(log).text();
    let serving = Proxy::start(&of(site.entry("protocol: http2"))).await;
    let alone = Proxy::start(&of(nobody.url())).await;
    let mut client = H2Client::connect(serving.plain()).await;
    let ended = HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from_static("5"),
    )]);
    for (target, trailers) in [
        ("/test.Read/echo", Some(ended.clone())),
        ("/test.Stream/echo", Some(ended)),
        ("/test.Read/Who", None),
    ] {
        let request = Request::post(url(target))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(());
        let got = client.ask(request.unwrap(), b"x", trailers).await;
        assert_eq!(got.status, 200);
    }
    let mut client = H2Client::connect(alone.plain()).await;
    call(&mut client, "/test.Order/Place", None).await;
    let codes = async |proxy: &Proxy, count: usize| {
        let path = proxy.dir().path("access.jsonl");
        let look = async || {
            let text = std::fs::read_to_string(&path).ok()?;
            let lines = text.lines().map(serde_json::from_str::<Value>);
            let lines = lines.collect::<Result<Vec<_>, _>>().ok()?;
            let codes = lines.iter().map(|line| line.get("grpc_status").cloned());
            (lines.len() == count).then(|| codes.collect::<Vec<_>>())
        };
        eventually("lines in the log", SOON, look).await
    };
    let five = || Some(Value::from(5));
    assert_eq!(codes(&serving, 3).await, [five(), five(), None]);
    assert_eq!(codes(&alone, 1).await, [Some(Value::from(14))]);
}
