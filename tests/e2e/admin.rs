//! The admin side: what it says is what happened.

use crate::support::backend::{Act, Backend, DieBy, Step};
use crate::support::client::Client;
use crate::support::policy::{Policy, STOIC};
use crate::support::proxy::{Proxy, json};
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use std::io::Write;
use std::process::{Command, Stdio};

async fn one() -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).pool(STOIC).text()).await;
    (backend, proxy)
}

#[tokio::test]
async fn the_probes_of_supervisors_are_answered() {
    let (_backend, proxy) = one().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(proxy.admin(path).await.status(), 200, "{path}");
    }
    assert_eq!(proxy.admin("/no-such-thing").await.status(), 404);
    let mut client = Client::connect(proxy.admin_address()).await;
    let answer = client
        .ask("POST /livez HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(answer.status(), 405);
}

#[tokio::test]
async fn it_is_ready_after_the_first_probe_round_whatever_that_found() {
    let backend = Backend::start("aws");
    backend.act_on_probes(Act::Hang);
    let policy = Policy::of(&[("aws/one", &backend)])
        .pool("probe: { path: /healthz, interval: 2s, timeout: 1500ms }");
    let proxy = Proxy::launch(TempDir::new(), &policy.text(), &[]).await;
    assert_eq!(proxy.admin("/readyz").await.status(), 503);
    assert_eq!(proxy.admin("/livez").await.status(), 200);
    assert!(
        proxy.get("/read/x").await.is_ok(),
        "not ready is no reason to refuse"
    );
    let ready = async || (proxy.admin("/readyz").await.status() == 200).then_some(());
    eventually("ready", SOON, ready).await;
    let hung = [("result", "timeout")];
    proxy
        .wait_for_metric("leeward_probes_total", &hung, 1.0)
        .await;
}

#[tokio::test]
async fn the_admin_side_is_not_on_the_listeners_and_can_be_switched_off() {
    let (backend, proxy) = one().await;
    assert_eq!(
        proxy.get("/metrics").await.text(),
        "aws\n",
        "a client's path like any other"
    );
    assert_eq!(backend.last().head.target(), b"/metrics");
    let off = Policy::of(&[("aws/one", &backend)]).text();
    let off = off.replace("admin: { bind: \"127.0.0.1:0\" }", "admin: off");
    let proxy = Proxy::launch(TempDir::new(), &off, &[]).await;
    assert!(proxy.get("/read/x").await.is_ok());
    assert_eq!(proxy.admin_if_any(), None);
}

#[tokio::test]
async fn the_status_says_what_the_engine_holds() {
    let (backend, proxy) = one().await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    let status = proxy.status().await;
    for list in ["providers", "sites"] {
        let place = &status[list][0];
        for key in [
            "name",
            "verdict",
            "cause",
            "evidence",
            "since",
            "operator",
            "endpoints",
            "endpoints_down",
        ] {
            assert!(!place[key].is_null(), "{list} {key}: {place}");
        }
    }
    assert_eq!(
        (&status["providers"][0]["name"], &status["sites"][0]["name"]),
        (&"aws".into(), &"aws/one".into())
    );
    let pool = &status["pools"][0];
    assert_eq!(
        (&pool["name"], &pool["writer"], &pool["panic"]),
        (&"main".into(), &"aws".into(), &false.into())
    );
    let endpoint = &pool["endpoints"][0];
    assert_eq!(endpoint["backend"], backend.url().as_str());
    assert_eq!(endpoint["address"], backend.address().to_string().as_str());
    assert_eq!(
        (&endpoint["site"], &endpoint["verdict"]),
        (&"aws/one".into(), &"healthy".into())
    );
    assert_eq!(endpoint["share"], 1.0);
    assert!(endpoint["next_probe_in_ms"].is_u64());
}

#[tokio::test]
async fn events_are_given_from_where_the_reader_left_off() {
    let (_backend, proxy) = one().await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    let events = proxy.events(0).await;
    assert!(!events.is_empty());
    let last = events.last().unwrap()["seq"].as_u64().unwrap();
    assert!(proxy.events(last).await.is_empty());
    let all = json(&proxy.admin("/api/v1/events").await);
    assert_eq!(all["events"].as_array().unwrap().len(), events.len());
    assert_eq!(
        proxy.admin("/api/v1/events?since=nonsense").await.status(),
        400
    );
}

#[tokio::test]
async fn promtool_has_nothing_to_say_about_the_metrics() {
    let (backend, proxy) = one().await;
    for target in [
        "/read/x",
        "/private/x",
        "/nowhere\"",
        "/read/status/500",
        "/read/status/404",
    ] {
        proxy.get(target).await;
    }
    backend.act(Act::Script(vec![Step::End(DieBy::Rst)]));
    proxy.client().await.order("/order", "o").await;
    let text = proxy.metrics().await.text().to_owned();
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("promtool; ./tests/run installs it");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn series_are_there_before_anything_happens() {
    let (_backend, proxy) = one().await;
    let metrics = proxy.metrics().await;
    for (outcome, class) in [
        ("unknown", "order"),
        ("not_sent", "cancel"),
        ("success", "public_read"),
    ] {
        let labels = [("outcome", outcome), ("class", class)];
        assert_eq!(
            metrics.sum("leeward_requests_total", &labels),
            Some(0.0),
            "{labels:?}"
        );
    }
    assert_eq!(
        metrics.sum(
            "leeward_requests_refused_total",
            &[("reason", "bad_framing")]
        ),
        Some(0.0)
    );
    assert_eq!(
        metrics.sum(
            "leeward_upstream_attempts_total",
            &[("outcome", "truncated")]
        ),
        Some(0.0)
    );
    assert_eq!(metrics.sum("leeward_build_info", &[]), Some(1.0));
    assert_eq!(metrics.sum("leeward_ready", &[]), Some(1.0));
    assert_eq!(metrics.sum("leeward_policy_info", &[]), Some(1.0));
}

/// 18 requests of all kinds, and one that is refused.
async fn mixed_requests(backend: &Backend, proxy: &Proxy) {
    let mut client = proxy.client().await;
    for _ in 0..7 {
        assert!(client.get("/read/x").await.is_ok());
    }
    for _ in 0..3 {
        assert_eq!(client.get("/read/status/429").await.status(), 429);
    }
    for n in 0..5 {
        assert!(client.order("/order", &n.to_string()).await.is_ok());
    }
    assert_eq!(client.order("/cancel/status/500", "c").await.status(), 500);
    backend.act(Act::Script(vec![Step::End(DieBy::Rst)]));
    assert_eq!(client.order("/order", "u").await.outcome(), Some("unknown"));
    backend.refuse();
    assert_eq!(
        client.order("/order", "n").await.outcome(),
        Some("not-sent")
    );
    assert_eq!(proxy.get("/a?b=\"c\"").await.status(), 400);
}

/// What clients were told, what backends were asked and what was counted are three views of one.
#[tokio::test]
async fn the_metrics_count_what_happened() {
    let (backend, proxy) = one().await;
    mixed_requests(&backend, &proxy).await;
    let name = "leeward_requests_total";
    proxy
        .wait_for_metric(name, &[("class", "order"), ("outcome", "not_sent")], 1.0)
        .await;
    let metrics = proxy.metrics().await;
    for (class, outcome, count) in [
        ("public_read", "success", 7.0),
        ("public_read", "client_error", 3.0),
        ("order", "success", 5.0),
        ("cancel", "server_error", 1.0),
        ("order", "unknown", 1.0),
        ("order", "not_sent", 1.0),
    ] {
        assert_eq!(
            metrics.sum(name, &[("class", class), ("outcome", outcome)]),
            Some(count),
            "{class} {outcome}"
        );
    }
    assert_eq!(metrics.sum(name, &[]), Some(18.0));
    assert_eq!(
        metrics.sum("leeward_requests_refused_total", &[]),
        Some(1.0)
    );
    let attempts =
        |outcome| metrics.sum("leeward_upstream_attempts_total", &[("outcome", outcome)]);
    assert_eq!(attempts("success"), Some(15.0));
    assert_eq!(attempts("server_error"), Some(1.0));
    let broken = [attempts("reset"), attempts("stale_connection")];
    assert_eq!(broken.iter().flatten().sum::<f64>(), 1.0, "{broken:?}");
    let durations = metrics.sum(
        "leeward_request_duration_seconds_count",
        &[("class", "public_read")],
    );
    assert_eq!(durations, Some(10.0));
}

#[tokio::test]
async fn the_gauges_of_connections_go_up_and_down() {
    let (_backend, proxy) = one().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.client().await;
        assert!(client.get("/read/x").await.is_ok());
        clients.push(client);
    }
    let open = [("listener", "plain")];
    let name = "leeward_downstream_connections_open";
    assert_eq!(proxy.metrics().await.sum(name, &open), Some(5.0));
    drop(clients);
    let none = async || (proxy.metrics().await.sum(name, &open) == Some(0.0)).then_some(());
    eventually("no connection is open", SOON, none).await;
    let accepted = proxy
        .metrics()
        .await
        .sum("leeward_downstream_connections_accepted_total", &open);
    assert_eq!(accepted, Some(5.0));
}

#[tokio::test]
async fn two_workers_share_the_connections_and_their_counts_add_up() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).workers(2).text()).await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = proxy.client().await;
        assert!(client.get("/read/x").await.is_ok());
        clients.push(client);
    }
    for client in &mut clients {
        assert!(client.get("/read/x").await.is_ok());
    }
    let metrics = proxy.metrics().await;
    assert_eq!(metrics.sum("leeward_workers", &[]), Some(2.0));
    assert_eq!(
        metrics.sum("leeward_requests_total", &[("outcome", "success")]),
        Some(80.0)
    );
    assert_eq!(
        metrics.sum(
            "leeward_downstream_connections_open",
            &[("listener", "plain")]
        ),
        Some(40.0)
    );
    let status = json(&proxy.admin("/api/v1/status").await);
    let open: Vec<u64> = serde_json::from_value(status["connections_by_worker"].clone()).unwrap();
    assert!(
        open.iter().all(|open| *open >= 10) && open.iter().sum::<u64>() == 40,
        "{open:?}"
    );
    assert!(
        backend.connections() >= 2,
        "each worker has upstream connections of its own"
    );
}
