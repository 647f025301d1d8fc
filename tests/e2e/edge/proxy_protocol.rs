//! PROXY headers of both versions: from named peers only, exactly as long as they are.

use super::{GET, NAMED, OTHER, REFUSED, forwarded_for, listener, one};
use crate::support::backend::Backend;
use crate::support::certs::Ca;
use crate::support::client::{Client, order};
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use std::collections::BTreeSet;

const KEYS: &str = "proxy_protocol: { from: [127.0.0.2], timeout: 20s }";
const V1: &str = "PROXY TCP4 203.0.113.9 198.51.100.1 56324 443\r\n";

/// A header of version 2 with this command, this family and what follows.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

/// One that names 203.0.113.`last`, with an extension behind the addresses.
fn v2_of(last: u8) -> Vec<u8> {
    let addresses = [203, 0, 113, last, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];
    let extension = [0xee, 0, 3, b'a', b'b', b'c'];
    v2(0x21, 0x11, &[&addresses[..], &extension].concat())
}

#[tokio::test]
async fn a_named_peer_names_the_client_in_both_versions() {
    let (backend, proxy) = one(KEYS).await;
    let mut six = vec![0; 36];
    six[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    six[15] = 9;
    for (header, client) in [
        (V1.as_bytes().to_vec(), "203.0.113.9"),
        (
            b"PROXY TCP6 2001:db8::9 2001:db8::1 1 2\r\n".to_vec(),
            "2001:db8::9",
        ),
        (v2_of(9), "203.0.113.9"),
        (v2(0x21, 0x21, &six), "2001:db8::9"),
        (
            b"PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\n".to_vec(),
            "203.0.113.9",
        ),
    ] {
        let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
        // Two requests in the same segment as the header: not a byte of them may be lost.
        peer.send([&header[..], GET.as_bytes(), GET.as_bytes()].concat())
            .await;
        for _ in 0..2 {
            let answer = peer.answer("GET").await;
            assert!(answer.is_ok(), "{client}: {}", answer.text());
            assert_eq!(forwarded_for(&backend), client);
        }
    }
    let metrics = proxy.metrics().await;
    let said = |how| metrics.sum("leeward_downstream_proxy_headers_total", &[("said", how)]);
    assert_eq!(
        (said("v1"), said("v2"), said("own")),
        (Some(3.0), Some(2.0), Some(0.0))
    );
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let (backend, proxy) = one(KEYS).await;
    for header in [V1.as_bytes().to_vec(), v2_of(9)] {
        let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
        for byte in header {
            peer.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert!(peer.ask(GET).await.is_ok());
        assert_eq!(forwarded_for(&backend), "203.0.113.9");
    }
}

#[tokio::test]
async fn a_peer_that_names_nobody_is_itself_the_client() {
    let (backend, proxy) = one(KEYS).await;
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(),
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, &[7; 12]),
        v2(0x21, 0x00, b""),
        v2(0x21, 0x31, &[0; 216]),
    ] {
        let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
        peer.send(header).await;
        assert!(peer.ask(GET).await.is_ok());
        assert_eq!(forwarded_for(&backend), NAMED);
    }
}

#[tokio::test]
async fn a_named_peer_without_a_good_header_is_closed_and_counted() {
    let (backend, proxy) = one(KEYS).await;
    let bad: [Vec<u8>; 12] = [
        GET.into(),
        "\x16\x03\x01\x02\x00".into(),
        format!("PROXY TCP4 203.0.113.9 198.51.100.1 1 99999\r\n{GET}").into(),
        format!("PROXY TCP4 203.0.113.9\r\n{GET}").into(),
        format!("proxy TCP4 203.0.113.9 198.51.100.1 1 2\r\n{GET}").into(),
        format!("PROXY TCP4 203.0.113.9 198.51.100.1 1 2\n{GET}").into(),
        // Longer than a line may be.
        format!("PROXY UNKNOWN {}\r\n{GET}", "x".repeat(107)).into(),
        "PROXY ".repeat(100_000).into(),
        // Longer than is taken.
        v2(0x21, 0x11, &[0; 5000]),
        v2(0x21, 0x11, &[0; 65535]),
        // Another version, another command.
        v2(0x31, 0x11, &[0; 12]),
        v2(0x2f, 0x11, &[0; 12]),
    ];
    for (n, bytes) in (1u32..).zip(&bad) {
        let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
        peer.try_send(bytes).await;
        assert!(peer.is_closed().await, "case {n}");
        let reason = [("reason", "proxy_header")];
        proxy.wait_for_metric(REFUSED, &reason, f64::from(n)).await;
    }
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn a_header_that_breaks_off_anywhere_is_closed_and_counted() {
    let (backend, proxy) = one(KEYS).await;
    let mut count = 0;
    for header in [V1.as_bytes().to_vec(), v2_of(9)] {
        for len in 0..header.len() {
            let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
            peer.send(&header[..len]).await;
            peer.finish().await;
            assert!(peer.is_closed().await, "after {len} bytes");
            count += 1;
        }
    }
    let reason = [("reason", "proxy_header")];
    proxy
        .wait_for_metric(REFUSED, &reason, f64::from(count))
        .await;
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn a_header_has_to_come_in_time() {
    let keys = "proxy_protocol: { from: [127.0.0.2], timeout: 200ms }";
    let (_backend, proxy) = one(keys).await;
    for part in [
        "",
        "PROXY TCP4 203.0.113.9 ",
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
    ] {
        let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
        peer.send(part).await;
        assert!(peer.is_closed().await, "{part:?}");
    }
    let reason = [("reason", "proxy_timeout")];
    proxy.wait_for_metric(REFUSED, &reason, 3.0).await;
}

#[tokio::test]
async fn from_others_the_bytes_of_a_header_are_bad_http() {
    let (backend, proxy) = one(KEYS).await;
    for header in [V1.as_bytes().to_vec(), v2_of(9)] {
        let mut peer = Client::connect_from(OTHER, proxy.plain()).await;
        peer.try_send([&header[..], GET.as_bytes()].concat()).await;
        let answer = peer.answer("GET").await;
        assert_eq!(answer.status(), 400);
        assert!(peer.is_closed().await);
    }
    assert!(backend.requests().is_empty());
    let mut peer = Client::connect_from(OTHER, proxy.plain()).await;
    assert!(peer.ask(GET).await.is_ok());
    assert_eq!(forwarded_for(&backend), OTHER);
    let metrics = proxy.metrics().await;
    assert_eq!(
        metrics.sum("leeward_requests_refused_total", &[]),
        Some(2.0)
    );
    assert_eq!(metrics.sum(REFUSED, &[]), Some(0.0));
}

#[tokio::test]
async fn tls_begins_right_behind_the_header() {
    let (ca, dir, backend) = (Ca::new(), TempDir::new(), Backend::start("aws"));
    let leaf = ca.leaf(&["api.example"]);
    dir.write("leaf.pem", &leaf.cert);
    dir.write("leaf.key", &leaf.key);
    let tls = "tls: { certificates: [{ cert: leaf.pem, key: leaf.key }] }";
    let listener = listener("secure", &format!("{KEYS}, {tls}"));
    let policy = Policy::of(&[("aws/one", &backend)]).listeners(&listener);
    let proxy = Proxy::start_in(dir, &policy.text()).await;
    let address = proxy.listener("secure");
    for header in [V1.as_bytes().to_vec(), v2_of(9)] {
        let connecting = Client::connect_tls_behind(NAMED, address, &header, "api.example", &ca);
        let mut peer = connecting.await;
        assert!(peer.ask(GET).await.is_ok());
        assert_eq!(forwarded_for(&backend), "203.0.113.9");
        assert_eq!(backend.last().head.all("x-forwarded-proto"), ["https"]);
    }
    let connecting = Client::connect_tls_behind(OTHER, address, b"", "api.example", &ca);
    assert!(connecting.await.ask(GET).await.is_ok());
    assert_eq!(forwarded_for(&backend), OTHER);
}

#[tokio::test]
async fn orders_of_one_client_stay_on_one_path_whatever_load_balancer_they_come_by() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let policy = Policy::of(&[("aws/one", &a), ("aws/one", &b)]);
    let policy = policy.listeners(&listener(
        "plain",
        "proxy_protocol: { from: [127.0.0.0/8] }",
    ));
    let proxy = Proxy::start(&policy.text()).await;
    let mut used = BTreeSet::new();
    for client in 1..=12 {
        let mut taken = BTreeSet::new();
        for (n, balancer) in ["127.0.0.2", "127.0.0.3", "127.0.0.4"].iter().enumerate() {
            let mut peer = Client::connect_from(balancer, proxy.plain()).await;
            peer.send(v2_of(client)).await;
            let answer = peer.ask(order("/order", &format!("o-{client}-{n}"))).await;
            assert!(answer.is_ok(), "{}", answer.text());
            taken.insert(answer.backend().to_owned());
        }
        assert_eq!(taken.len(), 1, "client {client}: {taken:?}");
        used.extend(taken);
    }
    assert_eq!(used.len(), 2, "clients differ");
}
