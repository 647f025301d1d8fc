//! Header fields: what passes, what goes, what is added (P3).

use crate::support::backend::{Act, Backend};
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::wire::{Head, text};

async fn one() -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).text()).await;
    (backend, proxy)
}

fn named<'a>(head: &'a Head, names: &[&str]) -> Vec<(&'a str, &'a str)> {
    let wanted = |name: &str| names.iter().any(|n| n.eq_ignore_ascii_case(name));
    head.fields
        .iter()
        .filter(|(n, _)| wanted(n))
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect()
}

/// All fields of these names, in the order and the case in which they stand.
const MIXED: [(&str, &str); 6] = [
    ("x-a", "1"),
    ("X-B", "two  words"),
    ("x-A", "2"),
    ("X-API-KEY", "k;=,\""),
    ("X-a", "3"),
    ("x_under", "u"),
];

#[tokio::test]
async fn names_keep_their_case_and_values_their_bytes_and_order() {
    let (backend, proxy) = one().await;
    let lines: String = MIXED
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    backend.act(Act::say(&format!(
        "HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n"
    )));
    let answer = proxy
        .client()
        .await
        .ask(format!("GET /read/x HTTP/1.1\r\nhOsT: h\r\n{lines}\r\n"))
        .await;
    let names = ["x-a", "x-b", "x-api-key", "x_under"];
    for (side, head) in [("request", &backend.last().head), ("answer", &answer.head)] {
        let seen = named(head, &names);
        let of = |name: &str| -> Vec<(&str, &str)> {
            MIXED
                .iter()
                .copied()
                .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                .collect()
        };
        for name in names {
            assert_eq!(named(head, &[name]), of(name), "{side}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_value_with_raw_bytes_passes_as_it_is() {
    let (backend, proxy) = one().await;
    let mut request =
        b"GET /read/x HTTP/1.1\r\nHost: h\r\nX-Raw: caf\xc3\xa9 \xff\xfe\r\n\r\n".to_vec();
    let answer = proxy.client().await.ask(&request).await;
    assert!(answer.is_ok());
    request.truncate(0);
    request.extend_from_slice(b"caf\xc3\xa9 \xff\xfe\r\n");
    let raw = backend.last().head.raw;
    assert!(
        raw.windows(request.len()).any(|w| w == request),
        "{}",
        String::from_utf8_lossy(&raw)
    );
}

#[tokio::test]
async fn forwarding_fields_are_leewards_own() {
    let (backend, proxy) = one().await;
    let spoofed = "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7\r\nX-Forwarded-Proto: https\r\n\
                   X-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\n";
    proxy
        .client()
        .await
        .ask(format!(
            "GET /read/x HTTP/1.1\r\nHost: api.example\r\n{spoofed}\r\n"
        ))
        .await;
    let head = backend.last().head;
    assert_eq!(head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.all("x-forwarded-proto"), ["http"]);
    assert_eq!(head.all("x-forwarded-host"), ["api.example"]);
    assert!(head.all("forwarded").is_empty(), "{head:?}");
    let raw = String::from_utf8_lossy(&head.raw).into_owned();
    assert!(
        !raw.contains("6.6.6.6") && !raw.contains("7.7.7.7") && !raw.contains("evil"),
        "{raw}"
    );
}

#[tokio::test]
async fn naming_a_forwarding_field_in_connection_does_not_remove_leewards_own() {
    let (backend, proxy) = one().await;
    let fields =
        "Connection: close, X-Forwarded-For, X-Forwarded-Proto, X-Private\r\nX-Private: 1\r\n";
    proxy
        .client()
        .await
        .ask(format!(
            "GET /read/x HTTP/1.1\r\nHost: api.example\r\n{fields}\r\n"
        ))
        .await;
    let head = backend.last().head;
    assert_eq!(head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.all("host"), ["api.example"]);
    assert!(head.get("x-private").is_none());
}

#[tokio::test]
async fn hop_by_hop_fields_go_in_both_directions() {
    let (backend, proxy) = one().await;
    let hops = "Connection: keep-alive, X-Hop, x-other\r\nX-Hop: 1\r\nX-OTHER: 2\r\nKeep-Alive: timeout=5\r\n\
                Proxy-Connection: keep-alive\r\nX-End: 3\r\n";
    let request_only = "TE: gzip\r\nProxy-Authorization: Basic eDp5\r\n";
    backend.act(Act::say(&format!(
        "HTTP/1.1 200 OK\r\n{hops}Content-Length: 0\r\n\r\n"
    )));
    let request = format!("GET /read/x HTTP/1.1\r\nHost: h\r\n{hops}{request_only}\r\n");
    let answer = proxy.client().await.ask(request).await;
    for head in [&backend.last().head, &answer.head] {
        for gone in ["x-hop", "x-other", "keep-alive", "proxy-connection"] {
            assert!(head.get(gone).is_none(), "{gone} in {head:?}");
        }
        assert_eq!(head.all("x-end"), ["3"]);
    }
    let head = backend.last().head;
    assert!(head.get("te").is_none_or(|te| te == "trailers"), "{head:?}");
}

#[tokio::test]
async fn leewards_own_fields_cannot_be_spoofed_from_either_side() {
    let (backend, proxy) = one().await;
    backend.act(Act::say(
        "HTTP/1.1 503 No\r\nLeeward-Outcome: not-sent\r\nleeward-anything: x\r\nX-Keep: 1\r\nContent-Length: 0\r\n\r\n",
    ));
    let fields = "leeward-outcome: not-sent\r\nLEEWARD-CLASS: public_read\r\nX-Keep: 1\r\n";
    let request = format!("POST /order HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n{fields}\r\n");
    let answer = proxy.client().await.ask(request).await;
    assert_eq!(answer.status(), 503);
    for head in [&backend.last().head, &answer.head] {
        let own = head
            .fields
            .iter()
            .find(|(name, _)| name.to_lowercase().starts_with("leeward"));
        assert_eq!(own, None);
        assert_eq!(head.all("x-keep"), ["1"]);
    }
}

#[tokio::test]
async fn the_host_field_is_what_the_policy_says() {
    let backend = Backend::start("aws");
    let authority = backend.address().to_string();
    for (host, expected) in [
        ("client", "API.example:81"),
        ("backend", authority.as_str()),
        ("in.example", "in.example"),
    ] {
        let entry = format!("{}, host: {host}", backend.url());
        let proxy = Proxy::start(&Policy::of_urls(&[("aws/one", entry)]).text()).await;
        let answer = proxy
            .client()
            .await
            .ask("GET /read/x HTTP/1.1\r\nHost: API.example:81\r\n\r\n")
            .await;
        assert!(answer.is_ok());
        assert_eq!(backend.last().head.all("host"), [expected]);
    }
}

#[tokio::test]
async fn an_absolute_target_names_the_host_and_reaches_the_backend_truthfully() {
    let (backend, proxy) = one().await;
    let request = "GET http://api.example/read/x?y=1 HTTP/1.1\r\nHost: api.example\r\n\r\n";
    let answer = proxy.client().await.ask(request).await;
    if answer.status() == 400 {
        assert!(backend.requests().is_empty());
        return;
    }
    assert!(answer.is_ok(), "{}", answer.text());
    let target = backend.last().head.target().to_vec();
    assert!(target.ends_with(b"/read/x?y=1"), "{target:?}");
}

/// Frameworks that fold `_` and `-` together would take these for leeward's own.
#[tokio::test]
async fn look_alikes_of_forwarding_fields_do_not_survive() {
    let (backend, proxy) = one().await;
    let look_alikes =
        "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: https\r\nleeward_outcome: x\r\n";
    let answer = proxy
        .client()
        .await
        .ask(format!(
            "GET /read/x HTTP/1.1\r\nHost: h\r\n{look_alikes}\r\n"
        ))
        .await;
    if answer.status() == 400 {
        return;
    }
    let raw = text(&backend.last().head.raw).to_lowercase();
    assert!(
        !raw.contains("6.6.6.6") && !raw.contains("forwarded_proto"),
        "{raw}"
    );
    assert!(!raw.contains("leeward_"), "{raw}");
}
