//! The probe by `grpc.health.v1`.

use super::{PROBE, Server, call, primary_and_standby};
use crate::support::backend::Backend;
use crate::support::certs::Ca;
use crate::support::h2::site::Site;
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};

/// Waits until the journal has this about a probe that failed.
async fn wait_for_detail(proxy: &Proxy, words: &str) {
    let what = format!("the journal says {words:?}");
    eventually(&what, SOON * 2, async || {
        let events = proxy.events(0).await;
        let found = events.iter().any(|event| event.to_string().contains(words));
        found.then_some(())
    })
    .await;
}

/// Who answers a read.
async fn who(proxy: &Proxy) -> String {
    let ended = call(proxy.plain(), &["unary", "Read/Who", "x"]).await;
    assert_eq!(ended.code, "OK", "{ended:?}");
    ended.messages.concat()
}

/// The way of a server that says that it does not serve, and then that it does.
async fn is_left_and_comes_back(proxy: &Proxy, aws: &mut Server) {
    proxy.wait_for_verdict("aws/one", "healthy").await;
    assert_eq!(who(proxy).await, "aws");
    aws.set("test.Exchange", "NOT_SERVING");
    proxy.wait_for_verdict("aws/one", "down").await;
    wait_for_detail(proxy, "NOT_SERVING, expected SERVING").await;
    assert_eq!(who(proxy).await, "gcp");
    aws.set("test.Exchange", "SERVING");
    proxy.wait_for_verdict("aws/one", "healthy").await;
    eventually("reads are home", SOON * 2, async || {
        (who(proxy).await == "aws").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_says_not_serving_is_left_and_comes_back() {
    let (mut aws, gcp) = (Server::start("aws"), Server::start("gcp"));
    let policy = primary_and_standby(aws.entry(), gcp.entry()).pool(PROBE);
    let proxy = Proxy::start(&policy.text()).await;
    is_left_and_comes_back(&proxy, &mut aws).await;
}

#[tokio::test]
async fn the_same_is_true_over_tls() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let leaf = ca.leaf(&["api.example"]);
    let cert = dir.write("leaf.pem", &leaf.cert).display().to_string();
    let key = dir.write("leaf.key", &leaf.key).display().to_string();
    dir.write("ca.pem", &ca.pem());
    let mut aws = Server::start_tls("aws", &cert, &key);
    let gcp = Server::start_tls("gcp", &cert, &key);
    let entry =
        |server: &Server| format!("{}, ca: ca.pem, server_name: api.example", server.entry());
    let policy = primary_and_standby(entry(&aws), entry(&gcp)).pool(PROBE);
    let proxy = Proxy::start_in(dir, &policy.text()).await;
    is_left_and_comes_back(&proxy, &mut aws).await;
}

#[tokio::test]
async fn a_probe_that_fails_says_why() {
    let (server, old) = (Server::start("aws"), Backend::start("gcp"));
    let probe = PROBE.replace("test.Exchange", "test.Other");
    let policy = primary_and_standby(server.entry(), old.url()).pool(&probe);
    let proxy = Proxy::start(&policy.text()).await;
    wait_for_detail(&proxy, "nothing is known of service").await;
    // A backend that speaks HTTP/1.1 alone.
    let failed = [("backend", old.url()), ("result", "reset".to_owned())];
    let labels: Vec<(&str, &str)> = failed.iter().map(|(k, v)| (*k, v.as_str())).collect();
    proxy
        .wait_for_metric("leeward_probes_total", &labels, 1.0)
        .await;
}

/// `auto` would do with HTTP/1.1; gRPC does not.
#[tokio::test]
async fn a_backend_that_agrees_to_http_1_1_alone_fails() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    dir.write("ca.pem", &ca.pem());
    let site = Site::start_tls(ca.leaf(&["api.example"]), &["http/1.1"]);
    let server = Server::start("gcp");
    let entry = site.entry("protocol: auto, ca: ca.pem, server_name: api.example");
    let policy = primary_and_standby(entry, server.entry()).pool(PROBE);
    let proxy = Proxy::start_in(dir, &policy.text()).await;
    wait_for_detail(&proxy, "the backend does not agree to HTTP/2").await;
}

/// The server as a whole, which needs no name.
#[tokio::test]
async fn a_server_is_asked_as_a_whole_where_no_service_is_named() {
    let mut server = Server::start("aws");
    let other = Server::start("gcp");
    let policy: Policy = primary_and_standby(server.entry(), other.entry());
    let probe = PROBE.replace("service: test.Exchange", "type: grpc");
    let proxy = Proxy::start(&policy.pool(&probe).text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    server.set("test.Exchange", "NOT_SERVING");
    wait_passes(&proxy).await;
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
}

/// Waits until some more probes have passed everywhere.
async fn wait_passes(proxy: &Proxy) {
    let passed = [("result", "passed")];
    let now = proxy.metrics().await.sum("leeward_probes_total", &passed);
    let more = now.unwrap_or_default() + 10.0;
    proxy
        .wait_for_metric("leeward_probes_total", &passed, more)
        .await;
}
