//! The second admin bind: for kubelet and Prometheus, and for nobody else.

use super::listener;
use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;

async fn with_read_only() -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]);
    let policy = policy.listeners(&listener("plain", "")).text().replacen(
        "admin: { bind: \"127.0.0.1:0\" }",
        "admin: { bind: \"127.0.0.1:0\", read_only: \"127.0.0.1:0\" }",
        1,
    );
    (backend, Proxy::start(&policy).await)
}

#[tokio::test]
async fn the_read_only_bind_tells_metrics_and_health_and_nothing_else() {
    let (_backend, proxy) = with_read_only().await;
    let address = proxy.admin_read_only().expect("a read-only bind");
    assert_ne!(address, proxy.admin_address());
    for path in ["/livez", "/readyz"] {
        let answer = Client::connect(address).await.get(path).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok\n"));
    }
    let metrics = Client::connect(address).await.get("/metrics").await;
    assert!(metrics.text().contains("leeward_build_info"));
    for path in ["/api/v1/status", "/api/v1/events", "/", "/api", "//metrics"] {
        let answer = Client::connect(address).await.get(path).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert!(!answer.text().contains("aws"), "{path}");
    }
    let post = "POST /readyz HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(Client::connect(address).await.ask(post).await.status(), 405);
    assert_eq!(proxy.admin("/api/v1/status").await.status(), 200);
}

#[tokio::test]
async fn without_the_key_there_is_no_second_bind() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).text()).await;
    assert_eq!(proxy.admin_read_only(), None);
}

#[tokio::test]
async fn a_crowd_on_the_read_only_bind_keeps_no_supervisor_out() {
    let (_backend, proxy) = with_read_only().await;
    let address = proxy.admin_read_only().expect("a read-only bind");
    let mut crowd = Vec::new();
    for _ in 0..400 {
        let mut client = Client::connect(address).await;
        client.try_send("GET /live").await;
        crowd.push(client);
    }
    let answer = Client::connect(address).await.get("/livez").await;
    assert_eq!(answer.status(), 200);
    assert!(crowd[0].is_closed().await, "the oldest goes");
    assert_eq!(proxy.admin("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_taken_port_is_said_by_name() {
    let (backend, first) = with_read_only().await;
    let taken = first
        .admin_read_only()
        .expect("a read-only bind")
        .to_string();
    let policy = Policy::of(&[("aws/one", &backend)]).text().replacen(
        "admin: { bind: \"127.0.0.1:0\" }",
        &format!("admin: {{ bind: \"127.0.0.1:0\", read_only: \"{taken}\" }}"),
        1,
    );
    let dir = crate::support::temp::TempDir::new();
    let ended = Proxy::run_to_end(&dir, &policy).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(&taken), "{}", ended.stderr);
}
