//! `leeward explain --admin`: a proxy that runs explains itself, with what it holds.

use crate::operator::say;
use crate::support::backend::Backend;
use crate::support::policy::{Policy, QUICK_PROBE};
use crate::support::proxy::{Proxy, json};
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use serde_json::Value;

/// A hold-down that lasts longer than the test.
const FAILOVER: &str = "failover: { tiers: [[aws/one], [gcp/one]], hold_down: { first: 10m, max: 20m }, keep_warm: 0% }";

/// aws before gcp, and aws is dead.
pub(super) async fn outage() -> (Backend, Backend, Proxy) {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let policy = Policy::of(&[("aws/one", &aws), ("gcp/one", &gcp)])
        .pool(QUICK_PROBE)
        .pool(FAILOVER);
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    proxy.wait_for_verdict("gcp/one", "healthy").await;
    aws.refuse();
    proxy.wait_for_verdict("aws", "down").await;
    eventually("orders have moved", SOON, async || {
        (proxy.pool().await["writer"] == "gcp").then_some(())
    })
    .await;
    (aws, gcp, proxy)
}

#[tokio::test]
async fn a_running_proxy_explains_itself_with_its_verdicts_and_timers() {
    let (_aws, _gcp, proxy) = outage().await;
    let (code, told, more) = say(&proxy, &["explain", "--request", "POST /order/x"]);
    assert_eq!((code, more.as_str()), (Some(0), ""), "{told}");
    for words in [
        "as it is held there now",
        "passed by read: path is not /read or below",
        "orders have one writer: gcp",
        "      endpoints_down 1 of 1, hold_down 10m\n",
        "hold-down ends in 9m",
        "tries gcp/one\n",
        "/s are needed now",
    ] {
        assert!(told.contains(words), "no `{words}` in:\n{told}");
    }
    let site = told
        .lines()
        .find(|line| line.contains("  aws/one"))
        .unwrap();
    assert!(site.contains(" 0%") && site.ends_with("down"), "{site}");
    let order = proxy.client().await.order("/order", "o-1").await;
    assert_eq!(order.backend(), "gcp", "what was explained is what happens");

    let (code, _, _) = say(
        &proxy,
        &["evacuate", "aws", "--for", "1h", "--reason", "a flood"],
    );
    assert_eq!(code, Some(0));
    let (_, told, _) = say(&proxy, &["explain", "--request", "GET /read/x"]);
    assert!(
        told.contains("operator: evacuated, lapses in 59m"),
        "{told}"
    );
    assert!(told.contains("(a flood)"), "{told}");
    assert!(told.contains("down, evacuated with aws\n"), "{told}");
}

#[tokio::test]
async fn a_rehearsal_of_a_running_proxy_changes_nothing_there() {
    let (_aws, _gcp, proxy) = outage().await;
    let events = proxy.events(0).await.len();
    let asked = [
        "explain",
        "--request",
        "GET /read/x",
        "--down",
        "gcp/one",
        "--json",
    ];
    let (code, told, _) = say(&proxy, &asked);
    assert_eq!(code, Some(0), "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let pool = &told["pool"];
    assert_eq!(told["live"], true);
    assert_eq!(pool["now"]["panic"], false);
    assert_eq!(pool["then"]["down"][0], "gcp/one");
    assert_eq!(pool["then"]["standing"]["panic"], true, "{pool:#}");
    assert_eq!(proxy.verdict("gcp/one").await, "healthy");
    assert_eq!(proxy.events(0).await.len(), events);
    assert_eq!(proxy.get("/read/x").await.backend(), "gcp");
}

#[tokio::test]
async fn bad_questions_to_a_running_proxy_are_bad_usage() {
    let (_aws, _gcp, proxy) = outage().await;
    for (arguments, words) in [
        (vec!["--request", "POST"], "is no request line"),
        (
            vec!["--request", "GET /x", "--down", "awz"],
            "did you mean `aws`?",
        ),
        (
            vec!["--request", "GET /x", "--listener", "plane"],
            "did you mean `plain`?",
        ),
    ] {
        let (code, out, told) = say(&proxy, &[&["explain"], &arguments[..]].concat());
        assert_eq!((code, out.as_str()), (Some(2), ""), "{told}");
        assert!(told.contains(words) && told.lines().count() == 1, "{told}");
    }
    let (code, told, _) = say(&proxy, &["explain", "--request", "GET /a#b"]);
    assert_eq!(code, Some(1));
    assert!(told.contains("400, by leeward itself"), "{told}");
    for query in [
        "",
        "?reqest=GET+/",
        "?request=%00",
        "?request=GET+/&down=%1b[2J",
    ] {
        let answer = proxy.admin(&format!("/api/v1/explain{query}")).await;
        assert_eq!(answer.status(), 400, "{query}");
    }
    let answer = proxy
        .admin("/api/v1/explain?request=GET+/read/x&host=h")
        .await;
    assert_eq!(json(&answer)["route"]["name"], "read");
}

#[tokio::test]
async fn a_policy_beside_a_proxy_that_serves_another_one_is_told() {
    let (_aws, _gcp, proxy) = outage().await;
    let dir = TempDir::new();
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart.yaml");
    let same = proxy.dir().path("policy.yaml");
    let ask = |policy: &str| say(&proxy, &["explain", policy, "--request", "GET /read/x"]);
    let (code, told, note) = ask(other);
    assert_eq!(code, Some(0));
    assert!(told.contains("read, 1 of 6"), "{told}");
    assert!(note.contains("is not what the proxy serves"), "{note}");
    let (_, _, note) = ask(same.to_str().unwrap());
    assert_eq!(note, "");
    let bad = dir.write("bad.yaml", "version: 7\n");
    let (code, _, note) = ask(bad.to_str().unwrap());
    assert_eq!(code, Some(2));
    assert!(note.contains("leeward check"), "{note}");
}
