//! Clients sign what they send, so every byte of it must arrive (P3).

use crate::support::backend::Backend;
use crate::support::client::{Answer, Client};
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::sign::signature;
use crate::support::wire::{pattern, text};

/// Targets that proxies like to tidy up.
pub(crate) const ODD: [&[u8]; 21] = [
    b"/",
    b"//a/../b%2F?x=%7e&&y",
    b"/a/./b/../../c",
    b"/a//b///c/",
    b"/..",
    b"/%2e%2e/%2E%2e/",
    b"/a%2fb%2Fc%5c",
    b"/~user/%7euser/%7Euser",
    b"/a|b?c|d",
    b"/a^b?c^d",
    b"/a[0]?b[1]=c[]",
    b"/{a}?{b}",
    b"/a?b=c?d=e?",
    b"/a?",
    b"/a?&&&=&=",
    b"/a?b=%zz&c=%4",
    b"/%zz%",
    b"/a;b=c;d?e;f",
    b"/a?q=a+b%20c&r=%u1234",
    b"/a\"b\"",
    b"/a?t=!$'()*,:@-._",
];

/// Raw UTF-8, which the grammar does not allow and clients send all the same.
pub(crate) const RAW: [&[u8]; 2] = ["/é/ü?ö=ß".as_bytes(), "/read/日本?q=é".as_bytes()];

async fn one() -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).text()).await;
    (backend, proxy)
}

/// Signs and sends; the backend answers 401 when anything was changed on the way.
pub(crate) async fn signed(
    client: &mut Client,
    method: &str,
    target: &[u8],
    body: Option<&[u8]>,
) -> Answer {
    let content = body.unwrap_or_default();
    let signature = signature(method, target, content);
    let mut request = format!("{method} ").into_bytes();
    request.extend_from_slice(target);
    request.extend_from_slice(
        format!(" HTTP/1.1\r\nHost: api.example\r\nX-Signature: {signature}\r\n").as_bytes(),
    );
    if body.is_some() {
        request.extend_from_slice(format!("Content-Length: {}\r\n", content.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(content);
    client.ask(request).await
}

#[tokio::test]
async fn signed_requests_with_odd_targets_verify_at_the_backend() {
    let (backend, proxy) = one().await;
    let mut client = proxy.client().await;
    for target in ODD.iter().chain(&RAW) {
        let answer = signed(&mut client, "GET", target, None).await;
        assert!(
            answer.is_ok(),
            "{}: {} {}",
            text(target),
            answer.status(),
            answer.text()
        );
        assert_eq!(text(backend.last().head.target()), text(target));
    }
}

#[tokio::test]
async fn signed_bodies_verify_with_every_method_and_framing() {
    let (backend, proxy) = one().await;
    let mut client = proxy.client().await;
    let big = pattern(10 * 1024 * 1024);
    for method in ["GET", "DELETE", "POST", "PUT", "PATCH"] {
        for body in [None, Some(b"".as_slice()), Some(b"{\"a\":1}"), Some(&big)] {
            let answer = signed(&mut client, method, b"//a/../b%2F?x=%7e&&y", body).await;
            assert!(
                answer.is_ok(),
                "{method} {:?}: {}",
                body.map(<[u8]>::len),
                answer.text()
            );
        }
        let signature = signature(method, b"/c|d", b"chunked body");
        let request = format!(
            "{method} /c|d HTTP/1.1\r\nHost: h\r\nX-Signature: {signature}\r\nTransfer-Encoding: chunked\r\n\r\n\
             8\r\nchunked \r\n4\r\nbody\r\n0\r\n\r\n"
        );
        let answer = client.ask(request).await;
        assert!(answer.is_ok(), "{method} chunked: {}", answer.text());
    }
    assert_eq!(backend.requests().len(), 25);
}

#[tokio::test]
async fn a_body_on_get_or_delete_keeps_its_framing_and_none_is_made_up() {
    let (backend, proxy) = one().await;
    let mut client = proxy.client().await;
    for method in ["GET", "DELETE"] {
        signed(&mut client, method, b"/a", None).await;
        let head = backend.last().head;
        assert!(
            head.get("transfer-encoding").is_none(),
            "{method}: {head:?}"
        );
        assert!(
            head.get("content-length")
                .is_none_or(|length| length == "0"),
            "{method}: {head:?}"
        );
        signed(&mut client, method, b"/a", Some(b"abc")).await;
        assert_eq!(backend.last().head.all("content-length"), ["3"], "{method}");
    }
    signed(&mut client, "POST", b"/a", Some(b"")).await;
    assert_eq!(backend.last().head.all("content-length"), ["0"]);
}

#[tokio::test]
async fn a_target_that_cannot_be_kept_is_refused_and_never_reaches_the_backend() {
    let (backend, proxy) = one().await;
    for target in [
        "/a?q=\"quoted\"",
        "/a#fragment",
        "/a?b#c",
        "/a?b=<c>#",
        "/a\\b#",
        "/a\u{7f}",
    ] {
        let mut client = proxy.client().await;
        let answer = client.get(target).await;
        assert_eq!(answer.status(), 400, "{target}");
        assert!(client.is_closed().await, "{target}");
    }
    assert!(backend.requests().is_empty(), "{:?}", backend.requests());
    proxy
        .wait_for_metric(
            "leeward_requests_refused_total",
            &[("reason", "bad_target")],
            6.0,
        )
        .await;
}
