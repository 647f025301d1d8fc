//! TLS on both sides: the right certificate for each name, and no backend that is not who it says.

use crate::support::backend::Backend;
use crate::support::certs::{Ca, Leaf};
use crate::support::client::{Client, tcp};
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use nix::sys::signal::Signal;
use std::future::poll_fn;
use std::task::Poll;

const LISTENERS: &str = "plain: { bind: \"127.0.0.1:0\" }
  secure: { bind: \"127.0.0.1:0\", tls: { certificates: [
    { cert: first.pem, key: first.key }, { cert: wild.pem, key: wild.key }, { cert: exact.pem, key: exact.key } ] } }";

fn write(dir: &TempDir, name: &str, leaf: &Leaf) {
    dir.write(&format!("{name}.pem"), &leaf.cert);
    dir.write(&format!("{name}.key"), &leaf.key);
}

async fn with_three_certificates(ca: &Ca) -> (Backend, Proxy) {
    let dir = TempDir::new();
    write(&dir, "first", &ca.leaf(&["first.example", "127.0.0.1"]));
    write(&dir, "wild", &ca.leaf(&["*.wild.example"]));
    write(
        &dir,
        "exact",
        &ca.leaf(&["exact.wild.example", "other.example"]),
    );
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)])
        .listeners(LISTENERS)
        .text();
    (backend, Proxy::start_in(dir, &policy).await)
}

/// The names that a client is shown when it asks for one that no certificate has.
async fn names_shown_for(proxy: &Proxy, name: &str, ca: &Ca) -> String {
    match Client::try_connect_tls(proxy.listener("secure"), name, ca).await {
        Ok(_) => panic!("a certificate for {name}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_the_exact_one_wins() {
    let ca = Ca::new();
    let (backend, proxy) = with_three_certificates(&ca).await;
    for name in [
        "first.example",
        "a.wild.example",
        "B.Wild.Example",
        "exact.wild.example",
        "other.example",
    ] {
        let mut client = Client::connect_tls(proxy.listener("secure"), name, &ca).await;
        let answer = client.get("/read/x").await;
        assert!(answer.is_ok(), "{name}");
        assert_eq!(backend.last().head.all("x-forwarded-proto"), ["https"]);
    }
}

#[tokio::test]
async fn an_unknown_name_and_no_name_get_the_first_certificate() {
    let ca = Ca::new();
    let (_backend, proxy) = with_three_certificates(&ca).await;
    for name in ["unknown.example", "wild.example", "a.b.wild.example"] {
        let shown = names_shown_for(&proxy, name, &ca).await;
        assert!(shown.contains("first.example"), "{name}: {shown}");
    }
    let mut client = Client::connect_tls(proxy.listener("secure"), "127.0.0.1", &ca).await;
    assert!(client.get("/read/x").await.is_ok());
}

#[tokio::test]
async fn a_client_that_speaks_plain_to_a_tls_port_is_closed_and_disturbs_nobody() {
    let ca = Ca::new();
    let (backend, proxy) = with_three_certificates(&ca).await;
    for nonsense in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\x16\x03\x01\x02\x00nonsense",
        "\0\0\0\0\0\0\0\0\0\0",
    ] {
        let mut client = Client::connect(proxy.listener("secure")).await;
        client.send(nonsense).await;
        client.finish().await;
        while !client.some().await.is_empty() {}
    }
    let refused = [("listener", "secure"), ("reason", "tls_handshake")];
    proxy
        .wait_for_metric(
            "leeward_downstream_connections_refused_total",
            &refused,
            3.0,
        )
        .await;
    let mut client = Client::connect_tls(proxy.listener("secure"), "first.example", &ca).await;
    assert!(client.get("/read/x").await.is_ok());
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn clients_that_come_together_wait_for_their_handshakes_and_none_is_lost() {
    let ca = Ca::new();
    let (backend, proxy) = with_three_certificates(&ca).await;
    let secure = proxy.listener("secure");

    // All of them have said hello when it goes on.
    proxy.signal(Signal::SIGSTOP);
    let mut shakes = Vec::new();
    for _ in 0..60 {
        let stream = tcp(secure).await;
        let mut shake = Box::pin(Client::shake(stream, "first.example", &ca));
        let look = poll_fn(|cx| Poll::Ready(shake.as_mut().poll(cx).is_pending()));
        assert!(look.await, "nobody answers");
        shakes.push(shake);
        tokio::task::yield_now().await;
    }
    proxy.signal(Signal::SIGCONT);

    for shake in shakes {
        let mut client = shake.await.expect("a handshake");
        assert!(client.get("/read/x").await.is_ok());
    }
    assert_eq!(backend.requests().len(), 60);
    let listener = [("listener", "secure")];
    proxy
        .wait_for_metric(
            "leeward_downstream_tls_handshakes_delayed_total",
            &listener,
            1.0,
        )
        .await;
}

#[tokio::test]
async fn a_client_that_never_ends_its_handshake_is_cut_off() {
    let ca = Ca::new();
    let dir = TempDir::new();
    write(&dir, "only", &ca.leaf(&["first.example"]));
    let backend = Backend::start("aws");
    let listener = "secure: { bind: \"127.0.0.1:0\", tls: { certificates: [{ cert: only.pem, key: only.key }] } }";
    let policy = Policy::of(&[("aws/one", &backend)])
        .listeners(listener)
        .top("limits: { tls_handshake: 200ms }");
    let proxy = Proxy::start_in(dir, &policy.text()).await;
    let mut client = Client::connect(proxy.listener("secure")).await;
    client.send("\x16\x03\x01").await;
    assert!(client.is_closed().await);
    let refused = [("reason", "tls_timeout")];
    proxy
        .wait_for_metric(
            "leeward_downstream_connections_refused_total",
            &refused,
            1.0,
        )
        .await;
}

#[tokio::test]
async fn a_backend_is_reached_over_tls_with_a_ca_file_and_the_policys_name() {
    let ca = Ca::new();
    let backend = Backend::start_tls("aws", ca.leaf(&["api.aws.example"]));
    let dir = TempDir::new();
    dir.write("ca.pem", &ca.pem());
    let entry = format!(
        "{}, ca: ca.pem, server_name: api.aws.example",
        backend.url()
    );
    let proxy = Proxy::start_in(dir, &Policy::of_urls(&[("aws/one", entry)]).text()).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        assert!(client.order("/order", "o").await.is_ok());
    }
    assert_eq!(backend.connections(), 1);
    assert!(client.get("/read/bytes/1000000").await.is_ok());
    assert_eq!(backend.last().head.all("host"), ["api.example"]);
}

#[tokio::test]
async fn a_backend_whose_certificate_is_for_another_name_gets_nothing() {
    let ca = Ca::new();
    let backend = Backend::start_tls("aws", ca.leaf(&["other.example"]));
    refused_by_tls(&backend, &ca, "api.aws.example").await;
}

#[tokio::test]
async fn a_backend_whose_certificate_is_signed_by_a_stranger_gets_nothing() {
    let backend = Backend::start_tls("aws", Ca::new().leaf(&["api.aws.example"]));
    refused_by_tls(&backend, &Ca::new(), "api.aws.example").await;
}

#[tokio::test]
async fn a_backend_that_speaks_no_tls_gets_nothing() {
    let backend = Backend::start("aws");
    let url = backend.url().replace("http://", "https://");
    refused_by_tls_at(&backend, url, &Ca::new(), "api.aws.example").await;
}

async fn refused_by_tls(backend: &Backend, ca: &Ca, name: &str) {
    refused_by_tls_at(backend, backend.url(), ca, name).await;
}

/// An order that cannot be handed over is proven not sent, and the failure is TLS's.
async fn refused_by_tls_at(backend: &Backend, url: String, ca: &Ca, name: &str) {
    let dir = TempDir::new();
    dir.write("ca.pem", &ca.pem());
    let entry = format!("{url}, ca: ca.pem, server_name: {name}");
    let proxy = Proxy::start_in(dir, &Policy::of_urls(&[("aws/one", entry)]).text()).await;
    let answer = proxy.client().await.order("/order", "o-1").await;
    assert_eq!(
        (answer.status(), answer.outcome()),
        (503, Some("not-sent")),
        "{}",
        answer.text()
    );
    assert!(backend.executed().is_empty());
    let read = proxy.get("/read/x").await;
    assert_eq!((read.status(), read.outcome()), (503, Some("not-sent")));
    assert!(backend.executed().is_empty());
    let failed = [("outcome", "tls_failed")];
    proxy
        .wait_for_metric("leeward_upstream_attempts_total", &failed, 1.0)
        .await;
    proxy
        .wait_for_metric("leeward_probes_total", &[("result", "tls")], 1.0)
        .await;
    proxy.wait_for_verdict("aws/one", "down").await;
}
