//! Calls of every kind pass as they are, and what their ends say of a backend.

use super::{Call, PROBE, Server, call, call_over, policy, primary_and_standby};
use crate::operator::say;
use crate::support::certs::Ca;
use crate::support::h2::client::{H2Client, url};
use crate::support::h2::site::Site;
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use http::{HeaderMap, Request};

#[tokio::test]
async fn calls_of_every_kind_pass_with_their_messages_and_metadata() {
    let mut server = Server::start("aws");
    let proxy = Proxy::start(&policy(&[("aws/one", server.entry())]).pool(PROBE).text()).await;
    let unary = call(proxy.plain(), &["unary", "Read/Who", "x"]).await;
    assert_eq!(
        (unary.code.as_str(), &unary.messages[..]),
        ("OK", &["aws".to_owned()][..])
    );
    assert_eq!(unary.head["x-from"], "aws");
    assert_eq!(unary.trailers["x-sequence"], "7");
    let binary: String = (0..=255).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(unary.trailers["x-binary-bin"], binary.as_str());
    let feed = call(proxy.plain(), &["feed", "Stream/Feed", "200"]).await;
    assert_eq!((feed.code.as_str(), feed.messages.len()), ("OK", 200));
    let chat = call(proxy.plain(), &["chat", "Stream/Chat", "a", "b", "c"]).await;
    assert_eq!(
        (chat.code.as_str(), chat.messages.concat()),
        ("OK", "abc".to_owned())
    );
    let order = call(proxy.plain(), &["unary", "Order/Place", "one"]).await;
    assert_eq!((order.code.as_str(), server.executed()), ("OK", 1));
}

#[tokio::test]
async fn calls_pass_over_tls() {
    let (ca, dir, server) = (Ca::new(), TempDir::new(), Server::start("aws"));
    let leaf = ca.leaf(&["api.example"]);
    dir.write("leaf.pem", &leaf.cert);
    dir.write("leaf.key", &leaf.key);
    let ca_file = dir.write("ca.pem", &ca.pem()).display().to_string();
    let listener = "plain: { bind: \"127.0.0.1:0\", tls: { certificates: [{ cert: leaf.pem, key: leaf.key }] } }";
    let policy = policy(&[("aws/one", server.entry())]).listeners(listener);
    let proxy = Proxy::start_in(dir, &policy.text()).await;
    let words = ["chat", "Stream/Chat", "a", "b"];
    let chat = call_over(proxy.plain(), &words, Some(&ca_file)).await;
    assert_eq!(
        (chat.code.as_str(), chat.messages.concat()),
        ("OK", "ab".to_owned())
    );
}

/// What clients sign and what limits them: byte for byte.
#[tokio::test]
async fn the_fields_of_a_call_arrive_as_they_were_sent() {
    let site = Site::start();
    let proxy = Proxy::start(&policy(&[("aws/one", site.entry("protocol: http2"))]).text()).await;
    let mut client = H2Client::connect(proxy.plain()).await;
    let request = Request::post("http://api.example/test.Order/Place")
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("grpc-timeout", "0000800m")
        .header("grpc-encoding", "identity")
        .header("x-signature-bin", "AAECAw")
        .body(())
        .unwrap();
    client.ask(request, b"\0\0\0\0\0", None::<HeaderMap>).await;
    let asked = site.last();
    assert_eq!(asked.fields["grpc-timeout"], "0000800m");
    assert_eq!(asked.fields["te"], "trailers");
    assert_eq!(asked.fields["grpc-encoding"], "identity");
    assert_eq!(asked.fields["x-signature-bin"], "AAECAw");
    assert_eq!(asked.fields["content-type"], "application/grpc+proto");
    assert_eq!(asked.authority.as_deref(), Some("api.example"));
    assert_eq!(asked.body, b"\0\0\0\0\0");
}

#[tokio::test]
async fn a_code_reaches_the_client_and_a_client_s_fault_speaks_against_nobody() {
    let server = Server::start("aws");
    let other = Server::start("gcp");
    let health = "health: { consecutive: 3, min_requests: 5 }";
    let policy = primary_and_standby(server.entry(), other.entry());
    let proxy = Proxy::start(&policy.pool(PROBE).pool(health).text()).await;
    let codes = [
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "UNIMPLEMENTED",
        "UNAUTHENTICATED",
    ];
    for code in codes {
        let ended = call(proxy.plain(), &["unary", "Read/Fail", code]).await;
        assert_eq!(
            (ended.code.as_str(), ended.details.as_str()),
            (code, "as asked")
        );
        assert_eq!(ended.trailers["x-venue-code"], "-1013");
        let ended = call(proxy.plain(), &["feed", "Read/FailLate", code]).await;
        assert_eq!((ended.code.as_str(), ended.messages.len()), (code, 1));
    }
    let metrics = proxy.metrics().await;
    let counted = |outcome| {
        let labels = [("outcome", outcome)];
        metrics.sum("leeward_upstream_attempts_total", &labels)
    };
    assert_eq!(counted("success"), Some(16.0));
    let refused = [("route", "read"), ("outcome", "client_error")];
    assert_eq!(metrics.sum("leeward_requests_total", &refused), Some(16.0));
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
}

#[tokio::test]
async fn a_read_whose_backend_is_unavailable_is_answered_by_another() {
    let server = Server::start("aws");
    let site = Server::start("gcp");
    let policy = primary_and_standby(server.entry(), site.entry()).pool(PROBE);
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    let ended = call(proxy.plain(), &["unary", "Read/OneOfTwo", "x"]).await;
    assert_eq!(
        (ended.code.as_str(), ended.messages.concat()),
        ("OK", "gcp".to_owned())
    );
    let failed = [("provider", "aws"), ("outcome", "gateway_error")];
    let metrics = proxy.metrics().await;
    let attempts = metrics.sum("leeward_upstream_attempts_total", &failed);
    assert_eq!(attempts, Some(1.0));
    // Where all of them say so, the client gets a backend's own word.
    let ended = call(proxy.plain(), &["unary", "Read/Fail", "UNAVAILABLE"]).await;
    let said = (ended.code.as_str(), ended.details.as_str());
    assert_eq!(said, ("UNAVAILABLE", "as asked"));
}

/// Health is green, the calls fail: in the head of an answer, or in its trailers.
#[tokio::test]
async fn a_backend_that_fails_in_trailers_is_left() {
    for (kind, method, code) in [
        ("unary", "Read/Fail", "INTERNAL"),
        ("feed", "Read/FailLate", "UNAVAILABLE"),
    ] {
        let (aws, gcp) = (Server::start("aws"), Server::start("gcp"));
        let health = "health: { consecutive: 3 }";
        let held = "failover: { tiers: [[aws], [gcp]], hold_down: { first: 60s, max: 60s } }";
        let policy = policy(&[("aws/one", aws.entry()), ("gcp/two", gcp.entry())]);
        let policy = policy
            .pool(held)
            .pool(PROBE)
            .pool(health)
            .pool("retry: { attempts: 1 }");
        let proxy = Proxy::start(&policy.text()).await;
        proxy.wait_for_verdict("aws/one", "healthy").await;
        eventually("aws is left", SOON * 3, async || {
            let ended = call(proxy.plain(), &[kind, method, code]).await;
            assert_eq!(ended.code, code);
            (proxy.verdict("aws/one").await == "down").then_some(())
        })
        .await;
    }
}

/// Longer than any other body may stand still.
#[tokio::test]
async fn a_stream_that_says_nothing_for_long_goes_on() {
    let server = Server::start("aws");
    let policy = policy(&[("aws/one", server.entry())]).pool(PROBE);
    let proxy = Proxy::start(&policy.top("limits: { body_idle: 500ms }").text()).await;
    let words = ["chat", "Stream/Chat", "a", "wait", "wait", "b"];
    let ended = call(proxy.plain(), &words).await;
    assert_eq!(
        (ended.code.as_str(), ended.messages.concat()),
        ("OK", "awaitwaitb".to_owned())
    );
    // Before its first answer too.
    let ended = call(proxy.plain(), &["chat", "Stream/Chat", "wait", "b"]).await;
    assert_eq!(
        (ended.code.as_str(), ended.messages.concat()),
        ("OK", "waitb".to_owned())
    );
}

/// The head of its answer comes with the first message, however fast others of its route were.
#[tokio::test]
async fn a_stream_that_waits_for_its_first_message_is_no_silence() {
    let (server, other) = (Server::start("aws"), Server::start("gcp"));
    let policy = primary_and_standby(server.entry(), other.entry()).pool(PROBE);
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    let mut client = H2Client::connect(proxy.plain()).await;
    for _ in 0..100 {
        let request = Request::post(url("/test.Stream/Feed"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let got = client.ask(request, b"\0\0\0\0\x011", None).await;
        assert_eq!(got.trailers.expect("trailers")["grpc-status"], "0");
    }
    let ended = call(proxy.plain(), &["chat", "Stream/Chat", "wait", "b"]).await;
    assert_eq!(ended.code, "OK");
    let events = proxy.events(0).await;
    let silent = |event: &&serde_json::Value| {
        let said = event.to_string();
        said.contains("overdue") || said.contains("silent")
    };
    assert_eq!(events.iter().find(silent), None);
}

#[tokio::test]
async fn a_stream_whose_backend_dies_ends_as_unavailable() {
    let mut server = Server::start("aws");
    let proxy = Proxy::start(&policy(&[("aws/one", server.entry())]).text()).await;
    let mut call = Call::start(proxy.plain(), &["feed", "Stream/Hang", "x"], None);
    assert_eq!(call.message(), "and now nothing");
    server.kill();
    let ended = tokio::task::spawn_blocking(move || call.end())
        .await
        .unwrap();
    assert_eq!(ended.code, "UNAVAILABLE", "{ended:?}");
    assert_eq!(ended.details, "the backend's body ended early");
    let cut = [("route", "stream"), ("outcome", "truncated")];
    proxy
        .wait_for_metric("leeward_requests_total", &cut, 1.0)
        .await;
}

#[tokio::test]
async fn a_stream_whose_backend_is_evacuated_ends_as_unavailable() {
    let (server, other) = (Server::start("aws"), Server::start("gcp"));
    let policy = primary_and_standby(server.entry(), other.entry()).pool(PROBE);
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    let mut call = Call::start(proxy.plain(), &["feed", "Stream/Hang", "x"], None);
    assert_eq!(call.message(), "and now nothing");
    let (code, _, words) = say(&proxy, &["evacuate", "aws"]);
    assert_eq!(code, Some(0), "{words}");
    let ended = tokio::task::spawn_blocking(move || call.end()).await;
    let ended = ended.unwrap();
    assert_eq!(ended.code, "UNAVAILABLE", "{ended:?}");
    assert!(ended.details.contains("left"), "{}", ended.details);
}
