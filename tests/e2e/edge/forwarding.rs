//! The trust boundary: what trusted peers say of their clients counts, what others say does not.

use super::{GET, NAMED, OTHER, forwarded_for, listener, one};
use crate::support::backend::Backend;
use crate::support::client::{Client, order};
use crate::support::policy::{Policy, STOIC};
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use std::collections::BTreeSet;

const TRUSTED: &str = "trusted: [127.0.0.2, 10.0.0.0/8]";
const IGNORED: &str = "leeward_forwarding_fields_ignored_total";

/// A GET with these fields.
fn get(fields: &str) -> String {
    GET.replace("\r\n\r\n", &format!("\r\n{fields}\r\n"))
}

/// All fields by which a request could say who sent it.
const CLAIMS: &str = "X-Forwarded-For: 6.6.6.6, 203.0.113.5, 10.1.1.1\r\nX-Forwarded-Proto: https\r\n\
                      X-Forwarded-Host: front.example\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 6.6.6.6\r\n\
                      Forwarded: for=6.6.6.6;proto=wss\r\n";

#[tokio::test]
async fn a_trusted_peer_is_believed_and_what_its_client_claims_goes() {
    let (backend, proxy) = one(TRUSTED).await;
    let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
    assert!(peer.ask(get(CLAIMS)).await.is_ok());
    assert_eq!(forwarded_for(&backend), "203.0.113.5, 10.1.1.1, 127.0.0.2");
    let head = backend.last().head;
    assert_eq!(head.all("x-forwarded-proto"), ["https"]);
    assert_eq!(head.all("x-forwarded-host"), ["front.example"]);
    assert_eq!(head.all("host"), ["api.example"]);
    let raw = String::from_utf8_lossy(&head.raw).into_owned();
    assert!(!raw.contains("6.6.6.6") && !raw.contains("wss"), "{raw}");
    for gone in ["forwarded", "x-real-ip", "x-forwarded-port"] {
        assert!(head.get(gone).is_none(), "{raw}");
    }

    // The next request on the same connection may be another client's.
    assert!(
        peer.ask(get("X-Forwarded-For: 203.0.113.6\r\n"))
            .await
            .is_ok()
    );
    assert_eq!(forwarded_for(&backend), "203.0.113.6, 127.0.0.2");
    assert_eq!(backend.last().head.all("x-forwarded-proto"), ["http"]);
    assert!(peer.ask(GET).await.is_ok());
    assert_eq!(forwarded_for(&backend), NAMED);
}

#[tokio::test]
async fn from_others_everything_is_replaced() {
    let (backend, proxy) = one(TRUSTED).await;
    let mut peer = Client::connect_from(OTHER, proxy.plain()).await;
    assert!(peer.ask(get(CLAIMS)).await.is_ok());
    assert_eq!(forwarded_for(&backend), OTHER);
    let head = backend.last().head;
    assert_eq!(head.all("x-forwarded-proto"), ["http"]);
    assert_eq!(head.all("x-forwarded-host"), ["api.example"]);
    let raw = String::from_utf8_lossy(&head.raw).into_owned();
    for claim in ["6.6.6.6", "203.0.113.5", "10.1.1.1", "front.example", "wss"] {
        assert!(!raw.contains(claim), "{claim} in {raw}");
    }
}

#[tokio::test]
async fn a_malformed_field_of_a_trusted_peer_is_replaced_and_counted() {
    let (backend, proxy) = one(TRUSTED).await;
    let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
    let fields = "X-Forwarded-For: 203.0.113.5, nonsense\r\nX-Forwarded-Proto: a b\r\nX-Forwarded-Host: @\r\n";
    assert!(peer.ask(get(fields)).await.is_ok());
    assert_eq!(forwarded_for(&backend), NAMED);
    let head = backend.last().head;
    assert_eq!(head.all("x-forwarded-proto"), ["http"]);
    assert_eq!(head.all("x-forwarded-host"), ["api.example"]);
    for field in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"] {
        proxy
            .wait_for_metric(IGNORED, &[("field", field)], 1.0)
            .await;
    }
    let others = proxy
        .metrics()
        .await
        .sum(IGNORED, &[("field", "forwarded")]);
    assert_eq!(others, Some(0.0));
}

#[tokio::test]
async fn naming_the_chain_in_connection_does_not_hide_the_client() {
    let (backend, proxy) = one(TRUSTED).await;
    let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
    let fields = "Connection: X-Forwarded-For\r\nX-Forwarded-For: 203.0.113.5\r\n";
    assert!(peer.ask(get(fields)).await.is_ok());
    assert_eq!(forwarded_for(&backend), "203.0.113.5, 127.0.0.2");
}

#[tokio::test]
async fn forwarded_is_written_and_read_where_the_policy_says_so() {
    let keys =
        "trusted: { from: [127.0.0.2], fields: forwarded }, forwarded: [x-forwarded, forwarded]";
    let (backend, proxy) = one(keys).await;
    let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
    let fields = "X-Forwarded-For: 6.6.6.6\r\n\
                  Forwarded: for=6.6.6.6, For=\"[2001:db8::5]:4711\";proto=https;host=front.example\r\n";
    assert!(peer.ask(get(fields)).await.is_ok());
    assert_eq!(forwarded_for(&backend), "[2001:db8::5]:4711, 127.0.0.2");
    let head = backend.last().head;
    assert_eq!(
        head.all("forwarded"),
        [
            "For=\"[2001:db8::5]:4711\";proto=https;host=front.example, \
          for=127.0.0.2;host=api.example;proto=http"
        ]
    );
    assert_eq!(head.all("x-forwarded-proto"), ["https"]);
    assert_eq!(head.all("x-forwarded-host"), ["front.example"]);

    let mut peer = Client::connect_from(OTHER, proxy.plain()).await;
    assert!(peer.ask(get(CLAIMS)).await.is_ok());
    let own = "for=127.0.0.3;host=api.example;proto=http";
    assert_eq!(backend.last().head.all("forwarded"), [own]);

    let (backend, proxy) = one("forwarded: forwarded").await;
    assert!(proxy.get("/read/x").await.is_ok());
    assert_eq!(backend.last().head.all("forwarded").len(), 1);
    assert_eq!(forwarded_for(&backend), "");
}

#[tokio::test]
async fn a_proxy_header_names_the_peer_that_may_be_trusted() {
    let keys = "proxy_protocol: { from: [127.0.0.2] }, trusted: [203.0.113.0/24]";
    let (backend, proxy) = one(keys).await;
    for (source, expected) in [
        ("203.0.113.9", "192.0.2.1, 203.0.113.9"),
        ("198.51.100.9", "198.51.100.9"),
    ] {
        let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
        peer.send(format!("PROXY TCP4 {source} 127.0.0.1 1 2\r\n"))
            .await;
        assert!(
            peer.ask(get("X-Forwarded-For: 192.0.2.1\r\n"))
                .await
                .is_ok()
        );
        assert_eq!(forwarded_for(&backend), expected);
    }
}

#[tokio::test]
async fn orders_of_one_client_stay_on_one_path_whatever_proxy_speaks_for_it() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let policy = Policy::of(&[("aws/one", &a), ("aws/one", &b)]);
    let policy = policy.listeners(&listener("plain", "trusted: [127.0.0.0/29]"));
    let proxy = Proxy::start(&policy.text()).await;
    let mut peers = Vec::new();
    for peer in ["127.0.0.2", "127.0.0.3"] {
        peers.push(Client::connect_from(peer, proxy.plain()).await);
    }
    let mut used = BTreeSet::new();
    for client in 1..=12 {
        let mut taken = BTreeSet::new();
        for (n, peer) in peers.iter_mut().enumerate() {
            let field = format!("\r\nX-Forwarded-For: 203.0.113.{client}\r\n\r\n");
            let order = order("/order", &format!("o-{client}-{n}"));
            let answer = peer.ask(order.replacen("\r\n\r\n", &field, 1)).await;
            assert!(answer.is_ok(), "{}", answer.text());
            taken.insert(answer.backend().to_owned());
        }
        assert_eq!(taken.len(), 1, "client {client}: {taken:?}");
        used.extend(taken);
    }
    assert_eq!(used.len(), 2, "clients differ");
}

#[tokio::test]
async fn the_log_names_the_client_and_not_its_proxy() {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]).pool(STOIC);
    let policy = policy.listeners(&listener("plain", TRUSTED)).text();
    let proxy = Proxy::launch_with(TempDir::new(), &policy, &[], &["--log-level", "debug"]).await;
    backend.refuse();
    let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
    let answer = peer.ask(get("X-Forwarded-For: 203.0.113.5\r\n")).await;
    assert_eq!(answer.status(), 503);
    eventually("a line about it", SOON, async || {
        proxy.log().contains("client=203.0.113.5").then_some(())
    })
    .await;
    assert!(!proxy.log().contains("client=127.0.0.2"));
}
