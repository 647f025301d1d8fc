//! What clients of HTTP/2 get, mostly from backends of HTTP/1.1.

use super::{SECURE, h2c};
use crate::support::backend::{Act, Backend, Step};
use crate::support::certs::Ca;
use crate::support::client::Client;
use crate::support::h2::client::{H2Client, get, url};
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use crate::support::wire::{pattern, text};
use http::{HeaderMap, HeaderValue, Request};
use nix::sys::signal::Signal;

async fn one() -> (Backend, Proxy, H2Client) {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&h2c(backend.url()).text()).await;
    let client = H2Client::connect(proxy.plain()).await;
    (backend, proxy, client)
}

async fn secure(more: &str) -> (Ca, Backend, Proxy) {
    let (ca, dir, backend) = (Ca::new(), TempDir::new(), Backend::start("aws"));
    let leaf = ca.leaf(&["first.example"]);
    dir.write("first.pem", &leaf.cert);
    dir.write("first.key", &leaf.key);
    let listeners = SECURE.replace(" tls:", &format!("{more} tls:"));
    let policy = Policy::of(&[("aws/one", &backend)]).listeners(&listeners);
    let proxy = Proxy::start_in(dir, &policy.text()).await;
    (ca, backend, proxy)
}

#[tokio::test]
async fn tls_clients_agree_to_http_2_and_to_http_1_1() {
    let (ca, backend, proxy) = secure("").await;
    let mut client = H2Client::connect_tls(proxy.listener("secure"), "first.example", &ca).await;
    let got = client.get("/read/x?a=%7e&&b").await;
    assert_eq!((got.status, got.text().as_str()), (200, "aws\n"));
    let seen = backend.last();
    assert_eq!(text(seen.head.target()), "/read/x?a=%7e&&b");
    assert_eq!(seen.head.all("host"), ["api.example"]);
    assert_eq!(seen.head.all("x-forwarded-proto"), ["https"]);
    let mut old = Client::connect_tls(proxy.listener("secure"), "first.example", &ca).await;
    assert!(old.get("/read/x").await.is_ok());
}

#[tokio::test]
async fn a_listener_can_be_kept_from_http_2() {
    let (ca, _backend, proxy) = secure(" http2: off,").await;
    let stream = tokio::net::TcpStream::connect(proxy.listener("secure")).await;
    let name = rustls::pki_types::ServerName::try_from("first.example").unwrap();
    let connector = ca.connector_for(&["h2", "http/1.1"]);
    let stream = connector.connect(name, stream.unwrap()).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn one_port_serves_both_versions_in_plain() {
    let (_backend, proxy, mut client) = one().await;
    assert!(client.get("/read/x").await.is_ok());
    let mut old = proxy.client().await;
    assert!(old.get("/read/x").await.is_ok());
    assert!(old.get("/read/y").await.is_ok());
    // The first letters of the preface are a method's, too.
    for method in ["P", "PR", "PRI", "PATCH"] {
        let request = format!("{method} /read/x HTTP/1.1\r\nHost: api.example\r\n\r\n");
        let mut old = proxy.client().await;
        for byte in request.as_bytes() {
            old.send([*byte]).await;
        }
        assert!(old.answer(method).await.is_ok(), "{method}");
    }
}

#[tokio::test]
async fn without_the_policys_word_a_plain_listener_refuses_the_preface() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).text()).await;
    let mut client = proxy.client().await;
    let answer = client.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(answer.status(), 505);
}

#[tokio::test]
async fn methods_fields_and_bodies_pass_both_ways() {
    let (backend, _proxy, mut client) = one().await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let request = Request::builder().method(method).uri(url("/echo"));
        let request = request
            .header("x-a", "1")
            .header("x-a", "2")
            .body(())
            .unwrap();
        let got = client.ask(request, b"a body", None).await;
        assert_eq!(
            (got.status, got.text().as_str()),
            (200, "a body"),
            "{method}"
        );
        let seen = backend.last();
        assert_eq!(seen.head.method(), method);
        assert_eq!(seen.head.all("x-a"), ["1", "2"]);
    }
    let request = Request::head(url("/bytes/1000")).body(()).unwrap();
    let got = client.ask(request, b"", None).await;
    assert_eq!(got.fields["content-length"], "1000");
    assert!(got.is_ok() && got.body.is_empty());
    assert_eq!(client.get("/read/status/204").await.status, 204);
    assert_eq!(client.get("/read/status/429").await.status, 429);
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn what_a_client_of_http_2_may_cut_in_pieces_arrives_whole() {
    let (backend, _proxy, mut client) = one().await;
    let request = Request::get(url("/read/x"))
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(())
        .unwrap();
    assert!(client.ask(request, b"", None).await.is_ok());
    let seen = backend.last();
    assert_eq!(seen.head.all("cookie"), ["a=1; b=2"]);
    assert_eq!(seen.head.all("te"), ["trailers"]);
    assert_eq!(seen.head.all("connection"), ["te"]);
}

#[tokio::test]
async fn hop_by_hop_fields_of_a_backend_do_not_reach_a_stream() {
    let (backend, _proxy, mut client) = one().await;
    backend.act(Act::say(
        "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Leeward-Outcome: shed\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nok",
    ));
    let got = client.get("/read/x").await;
    assert!(got.is_ok(), "{got:?}");
    let names: Vec<&str> = got.fields.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-stays", "content-length"]);
    backend.act(Act::say(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\
         Leeward-Outcome: not-sent\r\nKeep-Alive: timeout=5\r\nX-Sum: 1\r\n\r\n",
    ));
    let got = client.get("/read/x").await;
    let trailers = got.trailers.expect("trailers");
    let names: Vec<&str> = trailers.keys().map(|name| name.as_str()).collect();
    assert_eq!((got.cut, names), (None, vec!["x-sum"]));
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let (backend, _proxy, mut client) = one().await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("31"));
    let request = Request::post(url("/echo"))
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .body(())
        .unwrap();
    let got = client.ask(request, b"with a sum", Some(trailers)).await;
    assert_eq!(got.text(), "with a sum");
    let seen = backend.last();
    assert_eq!(seen.body.trailers, [("x-sum".to_owned(), "31".to_owned())]);
    assert_eq!(got.trailers.expect("trailers")["x-sum"], "31");
}

#[tokio::test]
async fn ten_mebibytes_pass_both_ways_byte_for_byte() {
    let (backend, _proxy, mut client) = one().await;
    let body = pattern(10 << 20);
    let length = body.len().to_string();
    for framed in [true, false] {
        let mut request = Request::post(url("/echo")).body(()).unwrap();
        if framed {
            let length = HeaderValue::from_str(&length).unwrap();
            request.headers_mut().insert("content-length", length);
        }
        let got = client.ask(request, &body, None).await;
        assert!(got.is_ok());
        assert!(got.body == body, "{} bytes came back", got.body.len());
        assert!(backend.last().body.bytes == body);
    }
}

#[tokio::test]
async fn many_requests_at_a_time_share_a_connection() {
    let (backend, proxy, client) = one().await;
    backend.act(Act::After(std::time::Duration::from_millis(100)));
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..100 {
        let sender = client.again();
        asked.spawn(async move {
            let mut sender = sender.ready().await.unwrap();
            let target = format!("/read/bytes/{number}");
            let (answer, _) = sender.send_request(get(&target), true).unwrap();
            crate::support::h2::client::read(answer.await.unwrap())
                .await
                .status
        });
    }
    assert!(asked.join_all().await.iter().all(|status| *status == 200));
    let open = proxy.metrics().await;
    assert_eq!(
        open.sum("leeward_downstream_connections_open", &[]),
        Some(1.0)
    );
}

#[tokio::test]
async fn a_cut_answer_is_a_reset_and_leaves_the_connection_standing() {
    let (backend, proxy, mut client) = one().await;
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf an order book",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12\r\nhalf an order book\r\n",
    ] {
        backend.act_once(Act::say_and_close(cut));
        let got = client.get("/order/x").await;
        assert_eq!(
            (got.status, got.text().as_str()),
            (200, "half an order book")
        );
        assert_eq!(got.cut, Some(h2::Reason::INTERNAL_ERROR));
    }
    assert!(client.get("/read/x").await.is_ok());
    let truncated = [("outcome", "truncated")];
    proxy
        .wait_for_metric("leeward_requests_total", &truncated, 2.0)
        .await;
}

#[tokio::test]
async fn a_stream_that_its_client_resets_frees_the_backend() {
    let (backend, proxy, mut client) = one().await;
    backend.act(Act::Script(vec![Step::Hold]));
    let (answer, mut stream) = client.open(get("/read/x"), false).await;
    let busy = async || (!backend.requests().is_empty()).then_some(());
    stream.send_data(bytes::Bytes::new(), true).unwrap();
    eventually("the backend has it", SOON, busy).await;
    stream.send_reset(h2::Reason::CANCEL);
    drop(answer);
    let idle = async || {
        let metrics = proxy.metrics().await;
        (metrics.sum("leeward_upstream_requests_in_flight", &[]) == Some(0.0)).then_some(())
    };
    eventually("the attempt has ended", SOON, idle).await;
    backend.act(Act::Serve);
    assert!(client.get("/read/y").await.is_ok());
}

#[tokio::test]
async fn an_order_whose_stream_is_reset_midway_never_runs() {
    let (backend, _proxy, mut client) = one().await;
    // NO_ERROR is no end of a body either.
    for (number, reason) in [h2::Reason::CANCEL, h2::Reason::NO_ERROR]
        .iter()
        .enumerate()
    {
        let request = Request::post(url("/order"))
            .header("x-order-id", number.to_string())
            .body(())
            .unwrap();
        let (answer, mut stream) = client.open(request, false).await;
        stream.send_data("{\"half\":".into(), false).unwrap();
        let there = async || (backend.heads() == number + 1).then_some(());
        eventually("a part of it is at the backend", SOON, there).await;
        stream.send_reset(*reason);
        assert!(answer.await.is_err());
    }
    let ended = async || (backend.requests().len() == 2).then_some(());
    eventually("both have ended", SOON, ended).await;
    assert!(backend.requests().iter().all(|seen| !seen.whole));
    assert_eq!(backend.executed(), [""; 0]);
}

#[tokio::test]
async fn sigterm_says_goaway_and_lets_what_is_in_flight_end() {
    let backend = Backend::start("aws");
    let policy = h2c(backend.url()).top("drain: { linger: 100ms, timeout: 10s }");
    let mut proxy = Proxy::start(&policy.text()).await;
    let (idle, mut busy) = (
        H2Client::connect(proxy.plain()).await,
        H2Client::connect(proxy.plain()).await,
    );
    backend.act(Act::Script(vec![
        Step::send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        Step::Hold,
        Step::send("4\r\nhalf\r\n0\r\n\r\n"),
    ]));
    let (answer, _) = busy.open(get("/read/x"), true).await;
    let answer = answer.await.unwrap();
    proxy.signal(Signal::SIGTERM);
    // The idle connection ends by GOAWAY alone, before anything else does.
    idle.ended(SOON).await.expect("a good end");
    let refused = async || {
        let mut sender = busy.again();
        let ready = std::future::poll_fn(|cx| sender.poll_ready(cx)).await;
        ready.is_err().then_some(())
    };
    eventually("no new streams", SOON, refused).await;
    backend.release();
    let got = crate::support::h2::client::read(answer).await;
    assert!(got.is_ok(), "{got:?}");
    assert_eq!(got.text(), "halfhalf");
    busy.ended(SOON).await.expect("a good end");
    assert_eq!(proxy.ended().await.code, Some(0));
}
