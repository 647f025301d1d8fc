//! Services (SRV), files and HTTP services as sources of addresses: the same last-good rule.

use crate::support::backend::{Act, Backend, Options};
use crate::support::certs::{Ca, Leaf};
use crate::support::dns::{Dns, Say};
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use std::net::SocketAddr;
use std::path::Path;

const QUESTIONS: &str = "leeward_dns_questions_total";

/// A pool with one backend that has no name of its own, only what `source` says.
fn policy(source: &str) -> Policy {
    let url = format!("http://api.test, {source}");
    Policy::of_urls(&[("aws/one", url)])
        .pool(QUICK_PROBE)
        .pool(&quick_failover("[[aws/one]]"))
}

fn with_dns(source: &str, server: &Dns) -> String {
    let dns = format!(
        "dns: {{ resolvers: [\"{}\"], timeout: 300ms, min_ttl: 100ms, max_ttl: 200ms }}",
        server.address()
    );
    policy(source).top(&dns).text()
}

/// A list of targets as Prometheus writes it.
fn list(backends: &[&Backend]) -> String {
    let targets: Vec<String> = backends
        .iter()
        .map(|b| format!("\"{}\"", b.address()))
        .collect();
    format!(
        "[{{\"targets\": [{}], \"labels\": {{\"a\": \"b\"}}}}]",
        targets.join(", ")
    )
}

/// Replaces a file as careful writers do.
fn replace(path: &Path, content: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, content).unwrap();
    std::fs::rename(&draft, path).unwrap();
}

async fn wait_until_served_by(proxy: &Proxy, backend: &str) {
    let served = async || (proxy.get("/read/x").await.backend() == backend).then_some(());
    eventually(&format!("served by {backend}"), SOON * 2, served).await;
}

async fn wait_for_result(proxy: &Proxy, resolver: &str, result: &str) {
    let labels = [("resolver", resolver), ("result", result)];
    let before = proxy.metrics().await.sum(QUESTIONS, &labels).unwrap_or(0.0);
    proxy
        .wait_for_metric(QUESTIONS, &labels, before + 1.0)
        .await;
}

async fn assert_served(proxy: &Proxy) {
    for _ in 0..10 {
        assert!(proxy.get("/read/x").await.is_ok());
    }
}

async fn listed(proxy: &Proxy, backend: &Backend) -> Option<bool> {
    let address = backend.address().to_string();
    let pool = proxy.pool().await;
    let endpoints = pool["endpoints"].as_array().expect("endpoints").clone();
    let endpoint = endpoints
        .iter()
        .find(|e| e["address"] == address.as_str())?;
    endpoint["listed"].as_bool()
}

async fn wait_until_listed(proxy: &Proxy, backend: &Backend, wanted: Option<bool>) {
    let look = async || (listed(proxy, backend).await == wanted).then_some(());
    eventually(&format!("listed: {wanted:?}"), SOON * 2, look).await;
}

#[tokio::test]
async fn a_service_brings_targets_with_their_ports() {
    let (one, two, server) = (Backend::start("one"), Backend::start("two"), Dns::start());
    let target = |backend: &Backend, rank| (rank, backend.address().port(), "host.test".to_owned());
    server.says("host.test", Say::addresses(&["127.0.0.1"]));
    server.says(
        "_api._tcp.test",
        Say::Services(vec![target(&one, 1), target(&two, 2)]),
    );
    let proxy = Proxy::start(&with_dns("srv: _api._tcp.test", &server)).await;
    wait_until_served_by(&proxy, "one").await;
    // The second rank stands by: known and probed, without traffic while the first serves.
    wait_until_listed(&proxy, &two, Some(false)).await;
    assert_eq!(two.requests().len(), 0);
    one.refuse();
    one.reset_connections();
    wait_until_served_by(&proxy, "two").await;
}

#[tokio::test]
async fn a_service_that_fails_or_vanishes_takes_nothing_away() {
    let (one, server) = (Backend::start("one"), Dns::start());
    let services = vec![(1, one.address().port(), "host.test".to_owned())];
    server.says("host.test", Say::addresses(&["127.0.0.1"]));
    server.says("_api._tcp.test", Say::Services(services.clone()));
    let proxy = Proxy::start(&with_dns("srv: _api._tcp.test", &server)).await;
    wait_until_served_by(&proxy, "one").await;
    let resolver = server.address().to_string();
    for (say, result) in [(Say::NxDomain, "nxdomain"), (Say::Nothing, "empty")] {
        server.says("_api._tcp.test", say);
        wait_for_result(&proxy, &resolver, result).await;
        assert_served(&proxy).await;
    }
    server.says("_api._tcp.test", Say::Services(services));
    server.says("host.test", Say::ServFail);
    wait_for_result(&proxy, &resolver, "answered").await;
    assert_served(&proxy).await;
    assert_eq!(listed(&proxy, &one).await, Some(true));
}

#[tokio::test]
async fn a_file_brings_addresses_and_is_read_again() {
    let (one, two, dir) = (Backend::start("one"), Backend::start("two"), TempDir::new());
    let path = dir.write("api.json", &list(&[&one]));
    let source = "resolve: false, file_sd: { path: api.json, refresh: 100ms }";
    let proxy = Proxy::start_in(dir, &policy(source).text()).await;
    wait_until_served_by(&proxy, "one").await;
    replace(&path, &list(&[&two]));
    wait_until_served_by(&proxy, "two").await;
    wait_until_listed(&proxy, &one, Some(false)).await;
}

#[tokio::test]
async fn a_file_in_yaml_brings_addresses() {
    let (one, dir) = (Backend::start("one"), TempDir::new());
    dir.write(
        "api.yaml",
        &format!("- targets:\n    - {}\n", one.address()),
    );
    let source = "resolve: false, file_sd: { path: api.yaml, refresh: 100ms }";
    let proxy = Proxy::start_in(dir, &policy(source).text()).await;
    wait_until_served_by(&proxy, "one").await;
}

#[tokio::test]
async fn a_bad_file_takes_nothing_away() {
    let (one, two, dir) = (Backend::start("one"), Backend::start("two"), TempDir::new());
    let path = dir.write("api.json", &list(&[&one]));
    let source = "resolve: false, file_sd: { path: api.json, refresh: 100ms }";
    let proxy = Proxy::start_in(dir, &policy(source).text()).await;
    wait_until_served_by(&proxy, "one").await;
    let whole = list(&[&one, &two]);
    let bad = [
        (String::new(), "malformed"),
        (whole[..whole.len() / 2].to_owned(), "malformed"),
        ("[]".to_owned(), "empty"),
        ("[{\"targets\": []}]".to_owned(), "empty"),
        (
            "[{\"targets\": [\"api.example:80\"]}]".to_owned(),
            "malformed",
        ),
        (" ".repeat(2 << 20), "malformed"),
    ];
    for (content, result) in bad {
        replace(&path, &content);
        wait_for_result(&proxy, "file", result).await;
        assert_served(&proxy).await;
    }
    std::fs::remove_file(&path).unwrap();
    wait_for_result(&proxy, "file", "unreachable").await;
    assert_served(&proxy).await;
    assert_eq!(listed(&proxy, &one).await, Some(true));
    replace(&path, &whole);
    wait_until_listed(&proxy, &two, Some(true)).await;
}

#[tokio::test]
async fn a_file_that_comes_later_is_found() {
    let (one, dir) = (Backend::start("one"), TempDir::new());
    let path = dir.path("api.json");
    let source = "resolve: false, file_sd: { path: api.json, refresh: 100ms }";
    let proxy = Proxy::launch(dir, &policy(source).text(), &[]).await;
    let answer = proxy.get("/read/x").await;
    assert_eq!((answer.status(), answer.outcome()), (503, Some("not-sent")));
    replace(&path, &list(&[&one]));
    wait_until_served_by(&proxy, "one").await;
}

#[tokio::test]
async fn single_targets_that_are_no_addresses_are_counted_and_left_out() {
    let (one, dir) = (Backend::start("one"), TempDir::new());
    let targets = format!(
        "[{{\"targets\": [\"api.example:80\", \"{}\"]}}]",
        one.address()
    );
    dir.write("api.json", &targets);
    let source = "resolve: false, file_sd: { path: api.json, refresh: 100ms }";
    let proxy = Proxy::start_in(dir, &policy(source).text()).await;
    wait_until_served_by(&proxy, "one").await;
    let labels = [("reason", "bad_target")];
    proxy
        .wait_for_metric("leeward_dns_refused_total", &labels, 1.0)
        .await;
}

/// A service that says this.
fn says(registry: &Backend, status: &str, body: &str) {
    let length = body.len();
    registry.act(Act::say_and_close(&format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )));
}

#[tokio::test]
async fn a_service_over_http_brings_addresses_and_a_bad_one_takes_nothing_away() {
    let (one, two, registry) = (
        Backend::start("one"),
        Backend::start("two"),
        Backend::start("registry"),
    );
    says(&registry, "200 OK", &list(&[&one]));
    let url = format!("http://{}/sd?pool=api", registry.address());
    let source =
        format!("resolve: false, http_sd: {{ url: \"{url}\", refresh: 100ms, timeout: 500ms }}");
    let proxy = Proxy::start(&policy(&source).text()).await;
    wait_until_served_by(&proxy, "one").await;
    assert_eq!(registry.last().head.line, b"GET /sd?pool=api HTTP/1.1");
    says(&registry, "500 Oops", &list(&[&two]));
    wait_for_result(&proxy, "http", "malformed").await;
    says(&registry, "200 OK", "{\"not\": \"a list\"}");
    wait_for_result(&proxy, "http", "malformed").await;
    says(&registry, "200 OK", "[]");
    wait_for_result(&proxy, "http", "empty").await;
    says(&registry, "200 OK", &" ".repeat(2 << 20));
    wait_for_result(&proxy, "http", "malformed").await;
    registry.act(Act::Hang);
    wait_for_result(&proxy, "http", "timeout").await;
    registry.refuse();
    registry.reset_connections();
    wait_for_result(&proxy, "http", "unreachable").await;
    assert_served(&proxy).await;
    assert_eq!(listed(&proxy, &one).await, Some(true));
    registry.accept();
    says(&registry, "200 OK", &list(&[&two]));
    wait_until_served_by(&proxy, "two").await;
}

/// A service behind TLS is who its certificate says, or nobody.
#[tokio::test]
async fn a_service_over_https_is_asked_with_the_policys_ca_and_a_stranger_takes_nothing_away() {
    let (ca, one, two) = (Ca::new(), Backend::start("one"), Backend::start("two"));
    let registry = Backend::start_tls("registry", ca.leaf(&["127.0.0.1"]));
    says(&registry, "200 OK", &list(&[&one]));
    let dir = TempDir::new();
    dir.write("ca.pem", &ca.pem());
    let source = format!(
        "resolve: false, http_sd: {{ url: \"{}/sd\", refresh: 100ms, timeout: 500ms, ca: ca.pem }}",
        registry.url()
    );
    let proxy = Proxy::start_in(dir, &policy(&source).text()).await;
    wait_until_served_by(&proxy, "one").await;
    assert_eq!(registry.last().head.line, b"GET /sd HTTP/1.1");
    let wrong = [
        Ca::new().leaf(&["127.0.0.1"]),
        ca.leaf(&["other.example"]),
        ca.leaf(&["127.0.0.2"]),
    ];
    let address = registry.address();
    // Each holds the port for the next.
    registry.refuse();
    let mut before = vec![registry];
    for leaf in wrong {
        let stranger = Backend::with("stranger", bound(address, Some(leaf)));
        says(&stranger, "200 OK", &list(&[&two]));
        wait_for_result(&proxy, "http", "unreachable").await;
        wait_for_result(&proxy, "http", "unreachable").await;
        assert_eq!(
            stranger.requests().len(),
            0,
            "nothing is asked of a stranger"
        );
        assert_served(&proxy).await;
        assert_eq!(listed(&proxy, &one).await, Some(true));
        assert_eq!(listed(&proxy, &two).await, None);
        stranger.refuse();
        before.push(stranger);
    }
    let plain = Backend::with("plain", bound(address, None));
    wait_for_result(&proxy, "http", "unreachable").await;
    assert_eq!(listed(&proxy, &one).await, Some(true));
    plain.refuse();
    let registry = Backend::with("registry", bound(address, Some(ca.leaf(&["127.0.0.1"]))));
    says(&registry, "200 OK", &list(&[&two]));
    wait_until_served_by(&proxy, "two").await;
}

/// The system's CAs know nobody of a test.
#[tokio::test]
async fn a_service_over_https_without_a_ca_in_the_policy_is_not_trusted_for_the_asking() {
    let (ca, one, literal) = (Ca::new(), Backend::start("one"), Backend::start("literal"));
    let registry = Backend::start_tls("registry", ca.leaf(&["127.0.0.1"]));
    says(&registry, "200 OK", &list(&[&one]));
    let source = format!(
        "resolve: false, addresses: [\"{}\"], http_sd: {{ url: \"{}/sd\", refresh: 100ms, timeout: 500ms }}",
        literal.address(),
        registry.url()
    );
    let proxy = Proxy::start(&policy(&source).text()).await;
    wait_for_result(&proxy, "http", "unreachable").await;
    wait_for_result(&proxy, "http", "unreachable").await;
    assert_eq!(listed(&proxy, &one).await, None);
    wait_until_served_by(&proxy, "literal").await;
    assert_eq!(registry.requests().len(), 0);
}

fn bound(address: SocketAddr, tls: Option<Leaf>) -> Options {
    Options {
        bind: Some(address),
        tls,
        ..Options::default()
    }
}

#[tokio::test]
async fn sources_add_up() {
    let (name, file, literal) = (
        Backend::start("name"),
        Backend::start("file"),
        Backend::start("literal"),
    );
    let (server, dir) = (Dns::start(), TempDir::new());
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    dir.write("api.json", &list(&[&file]));
    let port = name.address().port();
    let url = format!(
        "\"http://api.test:{port}\", addresses: [\"{}\"], file_sd: api.json",
        literal.address()
    );
    let dns = format!("dns: {{ resolvers: [\"{}\"] }}", server.address());
    let text = Policy::of_urls(&[("aws/one", url)])
        .pool(QUICK_PROBE)
        .top(&dns)
        .text();
    let proxy = Proxy::start_in(dir, &text).await;
    for backend in [&name, &file, &literal] {
        wait_until_listed(&proxy, backend, Some(true)).await;
    }
}
