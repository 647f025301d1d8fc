//! P1 over HTTP/2: what a backend does to a stream, and what the client is told of its order.

use super::H2C;
use crate::support::h2::breaker::{Act, Breaker};
use crate::support::h2::client::{Got, H2Client};
use crate::support::policy::{Policy, STOIC};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use std::time::{Duration, Instant};

/// Orders by HTTP/2 within half a second, whatever happened before.
pub(super) fn policy(backends: &[(&str, &Breaker)]) -> Policy {
    let entries: Vec<_> = backends
        .iter()
        .map(|(site, b)| (*site, b.entry()))
        .collect();
    Policy::of_urls(&entries)
        .listeners(H2C)
        .pool(STOIC)
        .pool("orders: { protocol: http2 }")
        .routes(
            "
  - { name: read, match: { path_prefix: /read }, class: public_read, pool: main }
  - { name: order, match: { path: /order }, class: order, pool: main, deadline: 500ms }
",
        )
}

async fn one(act: Act) -> (Breaker, Proxy, H2Client) {
    let breaker = Breaker::start(act);
    let proxy = Proxy::start(&policy(&[("aws/one", &breaker)]).text()).await;
    let client = H2Client::connect(proxy.plain()).await;
    (breaker, proxy, client)
}

pub(super) fn told(got: &Got) -> (u16, Option<&str>) {
    (got.status, got.outcome())
}

pub(super) const UNKNOWN: (u16, Option<&str>) = (504, Some("unknown"));
pub(super) const NOT_SENT: (u16, Option<&str>) = (503, Some("not-sent"));

#[tokio::test]
async fn only_the_backends_own_word_proves_that_an_order_was_not_sent() {
    let cases = [
        (Act::Refuse, NOT_SENT),
        (Act::GoAwayBelow, NOT_SENT),
        (Act::GoAwayAndBreak, NOT_SENT),
        (Act::GoAwayAt, UNKNOWN),
        (Act::Cancel, UNKNOWN),
        (Act::Die, UNKNOWN),
        (Act::Hang, UNKNOWN),
    ];
    for (act, wanted) in cases {
        for used_before in [false, true] {
            let (breaker, _proxy, mut client) = one(act).await;
            if used_before {
                breaker.act_once(Act::Serve);
                assert_eq!(client.order("/order", "first").await.text(), "ran\n");
            }
            let got = client.order("/order", "o-1").await;
            assert_eq!(told(&got), wanted, "{act:?} {used_before} {}", got.text());
            let ran = breaker.executed().iter().filter(|id| *id == "o-1").count();
            // Not sent: it did not run. Unknown: it ran once, in these cases.
            assert_eq!(ran, usize::from(wanted == UNKNOWN), "{act:?} {used_before}");
        }
    }
}

/// The order before the one that the GOAWAY takes back has run, and no later accident on its
/// connection makes it `not-sent`.
#[tokio::test]
async fn a_goaway_below_one_order_says_nothing_of_the_one_before() {
    for act in [Act::GoAwayBelow, Act::GoAwayAndBreak] {
        let (breaker, _proxy, client) = one(Act::Serve).await;
        breaker.act_once(Act::Hang);
        breaker.act_once(act);
        let (mut first, mut second) = (client.again(), client.again());
        let ask = async |sender: &mut h2::client::SendRequest<bytes::Bytes>, id: &str| {
            let url = crate::support::h2::client::url("/order");
            let request = http::Request::post(url).body(()).unwrap();
            let (answer, mut stream) = sender.send_request(request, false).unwrap();
            let body = format!("{{\"id\":\"{id}\"}}");
            stream.send_data(body.into(), true).unwrap();
            crate::support::h2::client::read(answer.await.unwrap()).await
        };
        let later = async {
            let there = async || (breaker.executed() == ["o-1"]).then_some(());
            eventually("the first is there", SOON, there).await;
            ask(&mut second, "o-2").await
        };
        let (got, other) = tokio::join!(ask(&mut first, "o-1"), later);
        assert_eq!(told(&got), UNKNOWN, "{act:?}");
        // The other one comes through on a new connection.
        assert_eq!(other.text(), "ran\n", "{act:?}: {other:?}");
        assert_eq!(breaker.executed(), ["o-1", "o-2"], "{act:?}");
    }
}

#[tokio::test]
async fn an_order_that_was_not_sent_comes_through_elsewhere() {
    for act in [Act::Refuse, Act::GoAwayBelow] {
        let (bad, good) = (Breaker::start(act), Breaker::start(Act::Serve));
        let proxy = Proxy::start(&policy(&[("aws/one", &bad), ("aws/two", &good)]).text()).await;
        for number in 0..10 {
            // Affinity keeps one client at one place: each of these may be another.
            let mut client = H2Client::connect(proxy.plain()).await;
            let got = client.order("/order", &format!("o-{number}")).await;
            assert_eq!(got.text(), "ran\n", "{act:?}: {got:?}");
        }
        assert_eq!(bad.executed(), [""; 0]);
        assert_eq!(good.executed().len(), 10);
    }
}

#[tokio::test]
async fn an_order_is_never_repeated_after_anything_else() {
    for act in [Act::GoAwayAt, Act::Cancel, Act::Die, Act::Hang] {
        let (bad, good) = (Breaker::start(act), Breaker::start(act));
        let proxy = Proxy::start(&policy(&[("aws/one", &bad), ("aws/two", &good)]).text()).await;
        let mut client = H2Client::connect(proxy.plain()).await;
        let got = client.order("/order", "o-1").await;
        assert_eq!(told(&got), UNKNOWN, "{act:?}");
        let ran = [bad.executed(), good.executed()].concat();
        assert_eq!(ran, ["o-1"], "{act:?}");
    }
}

#[tokio::test]
async fn an_order_that_is_given_up_is_reset_and_its_connection_left_to_the_others() {
    let (breaker, proxy, mut client) = one(Act::Serve).await;
    assert_eq!(client.order("/order", "first").await.text(), "ran\n");
    // A read that is slow on the same connection must not lose it.
    breaker.act_once(Act::Hang);
    let (read, _) = client
        .open(crate::support::h2::client::get("/read/x"), true)
        .await;
    let there = async || (breaker.requests() == 2).then_some(());
    eventually("the read is there", SOON, there).await;
    breaker.act_once(Act::Hang);
    let started = Instant::now();
    let got = client.order("/order", "o-1").await;
    assert_eq!(told(&got), UNKNOWN);
    assert!(started.elapsed() < Duration::from_secs(2));
    let reset = async || (breaker.resets() == [8]).then_some(());
    eventually("its stream is reset", SOON, reset).await;
    assert_eq!(breaker.connections(), 1);
    let open = proxy
        .metrics()
        .await
        .sum("leeward_upstream_connections_open", &[]);
    assert_eq!(open, Some(1.0), "the read's connection stands");
    assert_eq!(client.order("/order", "o-2").await.text(), "ran\n");
    assert_eq!(
        breaker.connections(),
        2,
        "no new order on the old connection"
    );
    drop(read);
    let closed = async || {
        let metrics = proxy.metrics().await;
        (metrics.sum("leeward_upstream_connections_open", &[]) == Some(1.0)).then_some(())
    };
    eventually("the old one ends with its last stream", SOON, closed).await;
}

/// A backend whose kernel takes no more is as good as gone: what it has not got is not delivered to
/// it later, when the client has long been told that nobody knows.
#[tokio::test]
async fn an_order_on_a_path_that_is_dead_is_not_delivered_afterwards() {
    let breaker = Breaker::start(Act::Serve);
    let proxy = Proxy::start(&policy(&[("aws/one", &breaker)]).pool("probe: tcp").text()).await;
    let mut client = H2Client::connect(proxy.plain()).await;
    assert_eq!(client.order("/order", "first").await.text(), "ran\n");
    breaker.pause(true);
    let request = http::Request::post(crate::support::h2::client::url("/order"));
    let body = format!("{{\"id\":\"o-1\",\"padding\":\"{}\"}}", "x".repeat(60_000));
    let got = client
        .ask(request.body(()).unwrap(), body.as_bytes(), None)
        .await;
    assert_eq!(told(&got), UNKNOWN);
    let gone = async || {
        let metrics = proxy.metrics().await;
        (metrics.sum("leeward_upstream_connections_open", &[]) == Some(0.0)).then_some(())
    };
    eventually("the connection has been reset", SOON, gone).await;
    breaker.pause(false);
    assert_eq!(client.order("/order", "o-2").await.text(), "ran\n");
    assert_eq!(breaker.executed(), ["first", "o-2"]);
}

/// Orders one after the other, on connections that said something within this time.
async fn with_reuse_within(time: &str) -> (Breaker, Proxy, H2Client) {
    let breaker = Breaker::start(Act::Serve);
    let policy = policy(&[("aws/one", &breaker)]).pool(&format!("order_reuse_within: {time}"));
    let proxy = Proxy::start(&policy.text()).await;
    let client = H2Client::connect(proxy.plain()).await;
    (breaker, proxy, client)
}

#[tokio::test]
async fn an_order_takes_no_connection_that_has_been_silent_for_too_long() {
    let (breaker, _proxy, mut client) = with_reuse_within("10s").await;
    for id in ["o-1", "o-2", "o-3"] {
        assert_eq!(client.order("/order", id).await.text(), "ran\n");
    }
    assert_eq!(breaker.connections(), 1);
    let (breaker, _proxy, mut client) = with_reuse_within("1ms").await;
    let another = async || {
        assert_eq!(client.order("/order", "o").await.text(), "ran\n");
        (breaker.connections() > 1).then_some(())
    };
    eventually("an order on another connection", SOON, another).await;
}
