//! Silence: requests that wait for a backend that says nothing, and answers that break off.
//!
//! What a silence leads to is the engine's to decide and told by its stories; here it is seen on
//! sockets, and the clients do not notice.

use crate::support::backend::{Act, Backend, DieBy, PeerEnd, Step};
use crate::support::load::{Load, assert_truth, failed_reads};
use crate::support::policy::{Policy, QUICK_PROBE, STOIC, quick_failover};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use crate::support::wire::End;
use serde_json::Value;
use std::time::Duration;

const TIERS: &str = "[[aws/one], [gcp/one]]";
const FENCED: &str = "orders: { fenced: true }";
/// Requests after which a route's pace is known, and more.
const WARM: usize = 40;

async fn pair(more: &[&str]) -> (Backend, Backend, Proxy) {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool(&quick_failover(TIERS));
    let policy = more.iter().fold(policy, |policy, part| policy.pool(part));
    let proxy = Proxy::start(&policy.text()).await;
    (aws, gcp, proxy)
}

async fn warm_up(proxy: &Proxy, targets: &[&str]) {
    let mut client = proxy.client().await;
    for n in 0..WARM {
        for target in targets {
            let answer = match *target {
                "/order" => client.order(target, &format!("warm-{n}")).await,
                target => client.get(target).await,
            };
            assert!(answer.is_ok(), "{target}: {}", answer.status());
        }
    }
}

/// An answer of 100 bytes of which half comes.
fn cut() -> Act {
    let half = "x".repeat(50);
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{half}");
    Act::Script(vec![Step::send(&text), Step::End(DieBy::Rst)])
}

#[tokio::test]
async fn a_read_that_waits_longer_than_usual_is_hedged_at_another_provider() {
    let (aws, gcp, proxy) = pair(&[STOIC]).await;
    warm_up(&proxy, &["/read/x"]).await;
    // On a busy machine one of those may have been slow.
    let before = gcp.requests().len();
    aws.act_once(Act::Hang);
    let answer = proxy.get("/read/x").await;
    assert_eq!((answer.status(), answer.backend()), (200, "gcp"));
    proxy
        .wait_for_metric("leeward_pool_hedges_total", &[("pool", "main")], 1.0)
        .await;
    let ended = async || aws.peer_ends().contains(&PeerEnd::Rst).then_some(());
    eventually("the slow attempt is ended", SOON, ended).await;
    assert_eq!(gcp.requests().len(), before + 1);
}

#[tokio::test]
async fn what_is_not_a_public_read_is_never_hedged() {
    let (aws, gcp, proxy) = pair(&[STOIC]).await;
    warm_up(&proxy, &["/private/x", "/order"]).await;
    for target in ["/private/x", "/order"] {
        aws.act_once(Act::After(Duration::from_millis(300)));
        let mut client = proxy.client().await;
        let answer = match target {
            "/order" => client.order(target, "slow").await,
            target => client.get(target).await,
        };
        assert_eq!(
            (answer.status(), answer.backend()),
            (200, "aws"),
            "{target}"
        );
    }
    assert!(gcp.requests().is_empty());
}

#[tokio::test]
async fn a_standby_that_is_far_is_waited_for_as_long_as_the_way_takes() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let far = Duration::from_millis(120);
    gcp.act(Act::After(far));
    gcp.act_on_probes(Act::After(far));
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool("retry: { hedge: 50% }")
        .pool(&format!("failover: {{ tiers: {TIERS}, keep_warm: 10% }}"));
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("gcp/one", "healthy").await;
    warm_up(&proxy, &["/read/x"]).await;
    let mut client = proxy.client().await;
    let mut far_answers = 0;
    for _ in 0..300 {
        far_answers += usize::from(client.get("/read/x").await.backend() == "gcp");
    }
    assert!(far_answers >= 10, "{far_answers} of 300 from afar");
    let gone_round = |e: &&Value| e["change"] == "detour" && e.to_string().contains("gcp");
    let events = proxy.events(0).await;
    assert_eq!(events.iter().find(gone_round), None);
}

#[tokio::test]
async fn hedges_stay_within_their_budget() {
    let (aws, gcp, proxy) = pair(&[STOIC, "retry: { hedge: 0% }"]).await;
    warm_up(&proxy, &["/read/x"]).await;
    aws.act_once(Act::After(Duration::from_millis(200)));
    assert_eq!(proxy.get("/read/x").await.backend(), "aws");
    assert!(gcp.requests().is_empty());
}

#[tokio::test]
async fn reads_go_round_a_silent_backend_before_it_is_down() {
    let (aws, _gcp, proxy) = pair(&["retry: { hedge: 0% }"]).await;
    warm_up(&proxy, &["/read/load"]).await;
    let load = Load::start(proxy.plain(), 8, 0, Duration::from_millis(5));
    load.wait_for(200).await;
    aws.act(Act::Hang);
    let detour = async || {
        let events = proxy.events(0).await;
        let detours = |e: &Value| e["cause"] == "overdue" && e["evidence"]["detour"] == "yes";
        events.iter().any(detours).then_some(())
    };
    eventually("a detour begins", SOON, detour).await;
    load.wait_for(200).await;
    aws.act(Act::Serve);
    aws.release();
    let told = load.stop().await;
    assert_eq!(failed_reads(&told), [""; 0]);
    let rescued = [("pool", "main"), ("class", "public_read")];
    proxy
        .wait_for_metric("leeward_pool_rescues_total", &rescued, 1.0)
        .await;
    let home = async || (proxy.get("/read/x").await.backend() == "aws").then_some(());
    eventually("reads are back at aws", SOON, home).await;
}

#[tokio::test]
async fn orders_go_round_a_silent_writer_where_they_are_fenced_and_only_there() {
    for fenced in [true, false] {
        let more: &[&str] = if fenced { &[FENCED] } else { &[] };
        let (aws, gcp, proxy) = pair(more).await;
        warm_up(&proxy, &["/read/load", "/order"]).await;
        let load = Load::start(proxy.plain(), 8, 2, Duration::from_millis(5));
        load.wait_for(200).await;
        aws.act(Act::Hang);
        let moved = async || {
            let events = proxy.events(0).await;
            let detour = events.iter().any(|e| e["change"] == "detour");
            let left = events.iter().any(|e| e["change"] == "writer");
            assert!(!detour || fenced, "a detour of orders that are not fenced");
            (detour || left).then_some(detour)
        };
        let detour = eventually("orders leave", SOON, moved).await;
        assert!(detour || !fenced, "the writer moved before any detour");
        load.wait_for(100).await;
        aws.act(Act::Serve);
        let told = load.stop().await;
        assert_eq!(failed_reads(&told), [""; 0]);
        assert_truth(&told, &[aws.executed(), gcp.executed()].concat());
        assert!(told.iter().any(|t| !t.is_read() && t.is_ok()));
    }
}

#[tokio::test]
async fn a_small_answer_that_is_cut_is_fetched_elsewhere_and_counted() {
    let (aws, _gcp, proxy) = pair(&[STOIC]).await;
    for target in ["/read/x", "/private/x"] {
        aws.act_once(cut());
        let answer = proxy.get(target).await;
        assert_eq!(
            (answer.status(), answer.backend()),
            (200, "gcp"),
            "{target}"
        );
    }
    let truncated = [("outcome", "truncated")];
    proxy
        .wait_for_metric("leeward_upstream_attempts_total", &truncated, 2.0)
        .await;
}

#[tokio::test]
async fn an_order_whose_answer_is_cut_is_told_as_unknown() {
    let (aws, gcp, proxy) = pair(&[STOIC]).await;
    aws.act_once(cut());
    let answer = proxy.client().await.order("/order", "half").await;
    assert_eq!((answer.status(), answer.outcome()), (504, Some("unknown")));
    assert!(gcp.requests().is_empty(), "an order is sent once");
}

#[tokio::test]
async fn an_answer_that_is_too_large_to_be_held_is_cut_in_sight_of_the_client() {
    let (aws, _gcp, proxy) = pair(&[STOIC]).await;
    let head = "HTTP/1.1 200 OK\r\nX-Backend: aws\r\nContent-Length: 100000\r\n\r\nxxxx";
    aws.act_once(Act::Script(vec![Step::send(head), Step::End(DieBy::Rst)]));
    let mut client = proxy.client().await;
    client.send("GET /read/x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    if let Some(answer) = client.try_answer("GET").await {
        assert_ne!(answer.body.end, End::Whole, "half an answer");
    }
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_backend_that_says_it_is_full_is_not_taken_for_sick() {
    let (aws, gcp, proxy) = pair(&[]).await;
    let full = "HTTP/1.1 503 Full\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    let mut client = proxy.client().await;
    for _ in 0..15 {
        aws.act_once(Act::say(full));
        // It may be spared for a moment, and is asked again.
        assert!(client.get("/read/x").await.is_ok());
        let asked = async || (client.get("/read/x").await.backend() == "aws").then_some(());
        eventually("aws is asked again", SOON, asked).await;
    }
    assert!(!gcp.requests().is_empty());
    let seen = [("site", "aws/one"), ("outcome", "backpressure")];
    proxy
        .wait_for_metric("leeward_upstream_attempts_total", &seen, 15.0)
        .await;
    let events = proxy.events(0).await;
    let worse = events
        .iter()
        .filter(|e| e["to"] == "down" || e["to"] == "degraded");
    assert_eq!(worse.count(), 0);
}

/// Every error of this venue says 200, and its code stands in the body.
#[tokio::test]
async fn errors_that_say_200_are_seen_and_relayed_as_they_are() {
    let signs =
        "health: { error_if: { headers: { X-Failed: true }, json: { \"/code\": \"!= 0\" } } }";
    for sick in [
        "HTTP/1.1 200 OK\r\nX-Backend: aws\r\nContent-Length: 15\r\n\r\n{\"code\": 50001}",
        "HTTP/1.1 200 OK\r\nX-Backend: aws\r\nX-Failed: yes\r\nContent-Length: 2\r\n\r\nno",
    ] {
        let (aws, _gcp, proxy) = pair(&[signs]).await;
        aws.act(Act::say(sick));
        let told = proxy.get("/read/x").await;
        assert_eq!((told.status(), told.backend()), (200, "aws"));
        assert!(sick.ends_with(&told.text()), "{}", told.text());
        let left = async || (proxy.get("/read/x").await.backend() == "gcp").then_some(());
        eventually("reads leave", SOON, left).await;
        let errors = [("site", "aws/one"), ("outcome", "server_error")];
        proxy
            .wait_for_metric("leeward_upstream_attempts_total", &errors, 5.0)
            .await;
        proxy.wait_for_verdict("aws/one", "down").await;
    }
}
