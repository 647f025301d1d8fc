//! HTTP/2 towards backends: which protocol is spoken, how connections are shared, what passes.

use super::h2c;
use crate::support::certs::Ca;
use crate::support::h2::breaker::{Act, Breaker, Options};
use crate::support::h2::client::{H2Client, url};
use crate::support::h2::site::Site;
use crate::support::policy::{Policy, QUICK_PROBE};
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use crate::support::wire::{pattern, text};
use http::{HeaderMap, HeaderValue, Request, Version};

async fn proxy(policy: Policy) -> (Proxy, H2Client) {
    let proxy = Proxy::start(&policy.text()).await;
    let client = H2Client::connect(proxy.plain()).await;
    (proxy, client)
}

/// A site with TLS that agrees to these protocols, and a leeward before it with these keys.
async fn secure(protocols: &'static [&'static str], keys: &str, pool: &str) -> (Site, Proxy) {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let site = Site::start_tls(ca.leaf(&["api.aws.example"]), protocols);
    dir.write("ca.pem", &ca.pem());
    let keys = format!("ca: ca.pem, server_name: api.aws.example{keys}");
    let policy = h2c(site.entry(&keys)).pool(QUICK_PROBE).pool(pool);
    (site, Proxy::start_in(dir, &policy.text()).await)
}

/// The version by which each of a read, an order and a cancel arrives.
async fn versions(site: &Site, proxy: &Proxy) -> [Version; 3] {
    let mut client = H2Client::connect(proxy.plain()).await;
    assert!(client.get("/read/x").await.is_ok());
    let read = site.last().version;
    assert!(client.order("/order", "o-1").await.is_ok());
    let order = site.last().version;
    assert!(client.order("/cancel", "o-1").await.is_ok());
    [read, order, site.last().version]
}

const H1: Version = Version::HTTP_11;
const H2: Version = Version::HTTP_2;

#[tokio::test]
async fn the_policy_says_what_is_spoken_and_orders_stay_on_http_1_1() {
    let both: &[&str] = &["h2", "http/1.1"];
    let orders = "orders: { protocol: http2 }";
    let cases = [
        (both, "", "", [H1, H1, H1], H1),
        (both, ", protocol: http2", "", [H2, H1, H1], H2),
        (both, ", protocol: auto", "", [H2, H1, H1], H2),
        (both, ", protocol: http2", orders, [H2, H2, H2], H2),
        (both, ", protocol: auto", orders, [H2, H2, H2], H2),
        (both, "", "protocol: http2", [H2, H1, H1], H2),
        (&["http/1.1"], ", protocol: auto", orders, [H1, H1, H1], H1),
        (&["h2"], ", protocol: auto", orders, [H2, H2, H2], H2),
    ];
    for (protocols, keys, pool, wanted, probes) in cases {
        let (site, proxy) = secure(protocols, keys, pool).await;
        let case = format!("{protocols:?} {keys} {pool}");
        assert_eq!(versions(&site, &proxy).await, wanted, "{case}");
        assert!(
            site.probed().iter().all(|version| *version == probes),
            "{case}"
        );
        assert!(!site.probed().is_empty(), "{case}");
    }
}

/// Connections are idle for too long at once, so that each request needs a new one.
#[tokio::test]
async fn a_backend_that_may_speak_either_is_asked_again_with_each_new_connection() {
    let pool = "idle_timeout: 1ms";
    let (site, proxy) = secure(&["http/1.1"], ", protocol: auto", pool).await;
    let mut client = H2Client::connect(proxy.plain()).await;
    assert!(client.get("/read/x").await.is_ok());
    assert_eq!(site.last().version, H1);
    let by = async |client: &mut H2Client, wanted: Version| {
        let spoken = client.get("/read/x").await.is_ok() && site.last().version == wanted;
        spoken.then_some(())
    };
    let turns: [(&[&str], Version); 3] = [
        (&["h2", "http/1.1"], H2),
        (&["http/1.1"], H1),
        (&["h2"], H2),
    ];
    for (protocols, wanted) in turns {
        site.agree_to(protocols);
        let what = format!("{wanted:?} is spoken");
        eventually(&what, SOON, async || by(&mut client, wanted).await).await;
    }
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
    let failed = proxy.metrics().await;
    let failed = failed.sum(
        "leeward_upstream_attempts_total",
        &[("outcome", "tls_failed")],
    );
    assert_eq!(failed, Some(0.0));
}

#[tokio::test]
async fn a_backend_that_does_not_agree_to_http_2_gets_nothing() {
    let (site, proxy) = secure(
        &["http/1.1"],
        ", protocol: http2",
        "orders: { protocol: http2 }",
    )
    .await;
    let mut client = H2Client::connect(proxy.plain()).await;
    let got = client.order("/order", "o-1").await;
    assert_eq!(
        (got.status, got.outcome()),
        (503, Some("not-sent")),
        "{}",
        got.text()
    );
    assert!(site.asked().is_empty());
    proxy.wait_for_verdict("aws/one", "down").await;
}

#[tokio::test]
async fn a_backend_that_does_not_speak_http_2_in_plain_gets_nothing() {
    let backend = crate::support::backend::Backend::start("aws");
    let entry = format!("{}, protocol: http2", backend.url());
    let policy = h2c(entry).pool("orders: { protocol: http2 }");
    let (_proxy, mut client) = proxy(policy).await;
    let got = client.order("/order", "o-1").await;
    assert_eq!(
        (got.status, got.outcome()),
        (503, Some("not-sent")),
        "{}",
        got.text()
    );
    assert!(backend.executed().is_empty());
}

#[tokio::test]
async fn heads_bodies_and_trailers_pass_unchanged_from_either_version() {
    let site = Site::start();
    let (proxy, mut client) =
        proxy(h2c(site.entry("protocol: http2")).pool("orders: { protocol: http2 }")).await;
    let request = Request::post(url("/echo//a/../b%2F?x=%7e&&y"))
        .header("x-a", "1")
        .header("x-a", "2")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("31"));
    let got = client
        .ask(request, b"with a sum", Some(trailers.clone()))
        .await;
    assert_eq!(got.text(), "with a sum");
    assert_eq!(got.trailers, Some(trailers.clone()));
    let asked = site.last();
    assert_eq!(asked.target, "/echo//a/../b%2F?x=%7e&&y");
    assert_eq!(asked.authority.as_deref(), Some("api.example"));
    assert_eq!(asked.fields.get_all("x-a").iter().count(), 2);
    assert_eq!(asked.fields["te"], "trailers");
    assert_eq!(asked.trailers, Some(trailers));

    let mut old = proxy.client().await;
    let answer = old
        .ask(
            "POST /echo?q HTTP/1.1\r\nHost: api.example\r\nTE: trailers\r\nConnection: te, x-hop\r\n\
             X-Hop: 1\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n",
        )
        .await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "abc"));
    let asked = site.last();
    assert_eq!((asked.version, asked.target.as_str()), (H2, "/echo?q"));
    assert_eq!(asked.trailers.expect("trailers")["x-sum"], "6");
    assert!(!asked.fields.contains_key("x-hop"));
    let answer = old
        .ask("HEAD /bytes/1000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(answer.head.get("content-length"), Some("1000"));
    let answer = old.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status(), site.last().target.as_str()), (200, "*"));
}

#[tokio::test]
async fn ten_mebibytes_pass_both_ways_byte_for_byte() {
    let site = Site::start();
    let (proxy, mut client) =
        proxy(h2c(site.entry("protocol: http2")).pool("orders: { protocol: http2 }")).await;
    let body = pattern(10 << 20);
    let request = Request::post(url("/echo")).body(()).unwrap();
    let got = client.ask(request, &body, None).await;
    assert!(got.is_ok() && got.body == body);
    let mut old = proxy.client().await;
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = old.ask([head.as_bytes(), &body].concat()).await;
    assert!(answer.is_ok() && answer.body.bytes == body);
    assert!(site.asked().iter().all(|asked| asked.body == body));
}

#[tokio::test]
async fn an_upgrade_goes_by_http_1_1() {
    let (site, proxy) = secure(&["h2", "http/1.1"], ", protocol: http2", "").await;
    let mut old = proxy.client().await;
    old.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(old.answer("GET").await.status(), 200);
    let asked = site.last();
    assert_eq!(
        (asked.version, &asked.fields["upgrade"]),
        (H1, &HeaderValue::from_static("websocket"))
    );
}

#[tokio::test]
async fn requests_share_a_connection_within_what_both_sides_allow() {
    for (own, theirs, most) in [(100, None, 100), (10, None, 10), (100, Some(7), 7)] {
        let options = Options {
            max_streams: theirs,
            ..Options::default()
        };
        let breaker = Breaker::with(Act::Hang, options);
        let policy = h2c(breaker.entry())
            .pool("orders: { protocol: http2 }")
            .pool(&format!("max_streams: {own}"));
        let (proxy, client) = proxy(policy).await;
        let mut asked = Vec::new();
        for _ in 0..100 {
            let mut sender = client.again().ready().await.unwrap();
            let request = Request::get(url("/x")).body(()).unwrap();
            asked.push(sender.send_request(request, true).unwrap());
        }
        let there = async || (breaker.requests() == 100).then_some(());
        eventually("all are there", SOON, there).await;
        assert_eq!(breaker.most_streams(), most);
        let connections = 100_usize.div_ceil(most);
        assert_eq!(breaker.connections(), connections);
        let metrics = proxy.metrics().await;
        assert_eq!(
            metrics.sum("leeward_upstream_requests_in_flight", &[]),
            Some(100.0)
        );
        drop(asked);
        let idle = async || {
            let metrics = proxy.metrics().await;
            (metrics.sum("leeward_upstream_requests_in_flight", &[]) == Some(0.0))
                .then_some(metrics)
        };
        let metrics = eventually("none is in flight", SOON, idle).await;
        let created = metrics.sum("leeward_upstream_connections_created_total", &[]);
        assert_eq!(created, Some(connections as f64));
        let reset = async || (breaker.resets().len() == 100).then_some(());
        eventually("all were reset", SOON, reset).await;
    }
}

#[tokio::test]
async fn idle_connections_end_and_new_ones_are_made() {
    let site = Site::start();
    let policy = h2c(site.entry("protocol: http2")).pool("idle_timeout: 200ms");
    let (proxy, mut client) = proxy(policy).await;
    assert!(client.get("/read/x").await.is_ok());
    let gone = async || {
        let metrics = proxy.metrics().await;
        (metrics.sum("leeward_upstream_connections_open", &[]) == Some(0.0)).then_some(())
    };
    eventually("the idle connection has ended", SOON, gone).await;
    assert!(client.get("/read/x").await.is_ok());
    assert_ne!(site.asked()[0].connection, site.last().connection);
}

#[tokio::test]
async fn an_answer_that_is_cut_is_visibly_cut_whatever_the_reason() {
    for act in [
        Act::CancelMidway,
        Act::NoErrorMidway,
        Act::RefuseAfterHead,
        Act::DieMidway,
    ] {
        let breaker = Breaker::start(act);
        let (proxy, mut client) = proxy(h2c(breaker.entry())).await;
        let got = client.get("/read/x").await;
        // The reset may overtake the head.
        assert_eq!(
            got.cut,
            Some(h2::Reason::INTERNAL_ERROR),
            "{act:?}: {got:?}"
        );
        let mut old = proxy.client().await;
        old.send("GET /read/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = old.try_answer("GET").await;
        assert!(!answer.is_some_and(|answer| answer.is_ok()), "{act:?}");
        let truncated = [("outcome", "truncated")];
        proxy
            .wait_for_metric("leeward_requests_total", &truncated, 2.0)
            .await;
        breaker.act(Act::Serve);
        assert_eq!(client.get("/read/x").await.text(), "ran\n", "{act:?}");
    }
}

#[tokio::test]
async fn a_read_survives_refusals_goaways_and_dead_connections() {
    let (bad, good) = (Breaker::start(Act::Serve), Breaker::start(Act::Serve));
    let policy = Policy::of_urls(&[("aws/one", bad.entry()), ("aws/two", good.entry())])
        .listeners(super::H2C)
        .pool(crate::support::policy::STOIC)
        .pool("retry: { floor: 100/s }");
    let (_proxy, mut client) = proxy(policy).await;
    for act in [
        Act::Refuse,
        Act::GoAwayBelow,
        Act::GoAwayAt,
        Act::Cancel,
        Act::Die,
    ] {
        bad.act(act);
        for _ in 0..10 {
            let got = client.get("/read/x").await;
            assert_eq!(got.text(), "ran\n", "{act:?}: {got:?}");
        }
    }
    assert!(
        bad.requests() > 5,
        "the bad one was asked {} times",
        bad.requests()
    );
}

#[tokio::test]
async fn a_body_is_held_back_until_the_backend_wants_it() {
    let site = Site::start();
    let (proxy, _client) =
        proxy(h2c(site.entry("protocol: http2")).pool("orders: { protocol: http2 }")).await;
    let mut old = proxy.client().await;
    old.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        .await;
    // hyper's server says nothing in between: the body goes when it has waited long enough.
    let interim = old.head().await.expect("100");
    assert_eq!(interim.status(), 100);
    old.send("abc").await;
    assert_eq!(old.answer("POST").await.text(), "abc");
    assert_eq!(text(&site.last().body), "abc");
}
