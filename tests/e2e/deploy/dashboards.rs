//! Every query of dashboards, rules, runbook and reference, asked of a real Prometheus that scrapes a
//! leeward under load.

use super::prometheus::{Prometheus, selectors};
use super::{content, files};
use crate::support::backend::Backend;
use crate::support::certs::Ca;
use crate::support::client::order;
use crate::support::load::Load;
use crate::support::policy::{Policy, QUICK_PROBE};
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Two providers that declare what they carry, one of them behind TLS and named by a file; a TLS
/// listener beside the plain one; everything kept that can be kept.
async fn exchange() -> (Vec<Backend>, Proxy) {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let leaf = ca.leaf(&["127.0.0.1", "api.example"]);
    let backends = vec![
        Backend::start("aws"),
        Backend::start_tls("gcp", leaf.clone()),
    ];
    dir.write("ca.pem", &ca.pem());
    dir.write("api.pem", &leaf.cert);
    dir.write("api.key", &leaf.key);
    let list = format!("[{{ \"targets\": [\"{}\"] }}]", backends[1].address());
    dir.write("gcp.json", &list);
    std::fs::create_dir(dir.path("state")).unwrap();
    let gcp = "https://api.example, ca: ca.pem, resolve: false, file_sd: { path: gcp.json, refresh: 100ms }, capacity: 1000/s";
    let policy = Policy::of_urls(&[
        ("aws/one", format!("{}, capacity: 1000/s", backends[0].url())),
        ("gcp/one", gcp.to_owned()),
    ])
    .pool(QUICK_PROBE)
    .pool("failover: { tiers: [[aws], [gcp]] }")
    .listeners(
        "plain: { bind: \"127.0.0.1:0\" }\n  secure: { bind: \"127.0.0.1:0\", tls: { certificates: [{ cert: api.pem, key: api.key }] } }",
    )
    .top("state_dir: state")
    .top("journal: { record: run.jsonl }");
    (backends, Proxy::start_in(dir, &policy.text()).await)
}

/// What the load does not ask for.
async fn ask_the_rest(proxy: &Proxy) {
    let mut client = proxy.client().await;
    client.get("/private/x").await;
    client.ask(order("/cancel", "c")).await;
}

/// The queries of a dashboard, those that fill its lists among them, with its variables filled in.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let asked = targets.map(|target| target["expr"].as_str().expect("a query").to_owned());
    let lists = dashboard["templating"]["list"]
        .as_array()
        .expect("lists")
        .iter();
    let lists = lists.filter(|list| list["type"] == "query").map(|list| {
        let query = list["query"].as_str().expect("a query");
        let inner = query.strip_prefix("label_values(").expect(query);
        inner.split_once(',').expect(query).0.to_owned()
    });
    let filled = asked.chain(lists).map(|query| {
        let filled = query
            .replace("$__rate_interval", "5s")
            .replace("$instance", ".*")
            .replace("$pool", ".*");
        assert!(!filled.contains('$'), "an unknown variable: {query}");
        filled
    });
    filled.collect()
}

fn dashboards() -> Vec<Value> {
    let paths = files("deploy/grafana/dashboards", ".json");
    let read = |path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).expect("JSON");
    paths.iter().map(read).collect()
}

/// Asks until each query gives a number; those that never do, with what was said.
async fn without_numbers(
    prometheus: &Prometheus,
    proxy: &Proxy,
    queries: BTreeSet<String>,
) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut left: Vec<(String, String)> = queries.into_iter().map(|q| (q, String::new())).collect();
    while !left.is_empty() && Instant::now() < deadline {
        ask_the_rest(proxy).await;
        let mut still = Vec::new();
        for (query, _) in left {
            match prometheus.ask(&query).await {
                Ok(numbers) if numbers.iter().any(|n| n.is_finite()) => {}
                said => still.push((query, format!("{said:?}"))),
            }
        }
        left = still;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    left.into_iter()
        .map(|(query, said)| format!("{query}\n    {said}"))
        .collect()
}

/// The queries of a page: the lines of its blocks of PromQL.
fn queries_of_page(page: &str) -> Vec<String> {
    let blocks = page.split("```promql\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    lines.map(str::to_owned).collect()
}

/// The queries of the table at the end of the reference.
fn queries_of_reference() -> Vec<String> {
    let page = content("docs/metrics.md");
    let (_, table) = page.split_once("## Questions").expect("questions");
    let rows = table
        .lines()
        .filter_map(|line| line.split_once("? | `")?.1.split_once("` "));
    rows.map(|(query, _)| query.replace("\\|", "|")).collect()
}

#[tokio::test]
async fn every_query_that_ships_gets_an_answer_under_load() {
    let (_backends, proxy) = exchange().await;
    let prometheus = Prometheus::watch(&proxy).await;
    let load = Load::start(proxy.plain(), 2, 1, Duration::from_millis(5));
    let mut wanted: BTreeSet<String> = dashboards().iter().flat_map(queries).collect();
    assert!(wanted.len() > 80, "{}", wanted.len());
    let rules = prometheus.rules().await;
    assert!(rules.len() > 30, "{}", rules.len());
    for rule in &rules {
        let query = rule["query"].as_str().unwrap();
        wanted.extend(selectors(query));
        if rule["type"] == "recording" {
            wanted.insert(rule["name"].as_str().unwrap().to_owned());
        }
    }
    let failed = without_numbers(&prometheus, &proxy, wanted).await;
    assert!(failed.is_empty(), "no number for\n{}", failed.join("\n"));
    for rule in prometheus.rules().await {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_ne!(rule["state"], "firing", "all is well: {rule}");
    }
    let pages = files("docs/runbook", ".md").into_iter();
    let pages = pages.map(|path| std::fs::read_to_string(path).unwrap());
    let asked = pages.flat_map(|page| queries_of_page(&page));
    for query in asked.chain(queries_of_reference()) {
        assert_eq!(prometheus.ask(&query).await.err(), None, "{query}");
        for selector in selectors(&query) {
            assert_ne!(prometheus.ask(&selector).await, Ok(Vec::new()), "{query}");
        }
    }
    assert!(load.stop().await.iter().all(|told| told.is_ok()));
}

#[test]
fn dashboards_are_whole_and_told_apart() {
    let mut uids = BTreeSet::new();
    for dashboard in dashboards() {
        let title = dashboard["title"].as_str().expect("a title");
        let uid = dashboard["uid"].as_str().expect("a uid").to_owned();
        assert!(uids.insert(uid), "{title}: its uid is taken");
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{title}: {panel}"
            );
            let place = &panel["gridPos"];
            let right = place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap();
            assert!(right <= 24, "{title}: {panel}");
            for target in panel["targets"].as_array().into_iter().flatten() {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            }
        }
    }
}
