//! The crate from outside: what goes in by handles comes out of `render`.

mod control;
mod page;
mod text;

use crate::clients::{Http2Ended, Http2Error};
use crate::{AddressCounts, AddressRefusal, LookupResult};
use crate::{
    BuildInfo, Concentration, ConnectionRefusal, EndpointLabels, Metrics, ProviderPart,
    RefusedReason, RequestOutcome,
};
use leeward_failover::{Cause, Class, OperatorWord, Outcome, ProbeFailure, SubjectKind, Verdict};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use text::Text;

const BUILD: BuildInfo = BuildInfo {
    version: "0.1.0",
    revision: "abcdef0",
    rustc: "1.95.0",
};

const ENDPOINT: &str = r#"pool="trading",provider="aws",site="aws/use1",backend="https://api.example:8443",address="192.0.2.7:8443""#;

fn metrics() -> Metrics {
    Metrics::new(&BUILD)
}

fn read(metrics: &Metrics) -> Text {
    Text::parse(&metrics.render())
}

fn endpoint() -> EndpointLabels {
    EndpointLabels {
        pool: "trading".to_owned(),
        provider: "aws".to_owned(),
        site: "aws/use1".to_owned(),
        backend: "https://api.example:8443".to_owned(),
        address: "192.0.2.7:8443".to_owned(),
    }
}

/// A pool that stands at two providers alike, and has lost one of its three tiers.
fn halves() -> Concentration<'static> {
    let part = |provider| ProviderPart {
        provider,
        share: 0.5,
        capacity: 0.5,
    };
    Concentration {
        providers: vec![part("aws"), part("gcp")],
        tiers: 3,
        usable_tiers: 2,
    }
}

/// Concentration and certificates, once.
fn say_what_may_break(metrics: &Metrics) {
    metrics.set_concentration("trading", &halves());
    metrics.set_max_share("aws", None);
    metrics.set_certificates(&[("public", "tls/api.pem", 1_790_000_000)]);
    metrics.set_upstream_certificate(&endpoint(), 1_790_000_000);
}

/// Questions about addresses and what came of them, once.
fn say_addresses(metrics: &Metrics) {
    metrics.question(
        "trading",
        "https://api.example:8443",
        "1.1.1.1:53",
        LookupResult::Answered,
    );
    metrics.refused_addresses(
        "trading",
        "https://api.example:8443",
        AddressRefusal::Private,
        2,
    );
    metrics.set_addresses(
        "trading",
        "https://api.example:8443",
        AddressCounts::default(),
    );
}

/// Metrics in which everything has been said once.
fn busy() -> Metrics {
    let metrics = metrics();
    let cells = metrics.worker();
    let listener = metrics.listener("public");
    cells.inc(listener.accepted);
    cells.add(listener.received_bytes, 4096);
    cells.inc(metrics.refused("public").refused(RefusedReason::BadTarget));
    for class in Class::ALL {
        cells.inc(
            metrics
                .route("public", "all", class)
                .requests(RequestOutcome::Success),
        );
        cells.observe(
            metrics.downstream("public", class).duration,
            Duration::from_millis(7),
        );
    }
    cells.inc(metrics.pool("trading").retries(Class::PublicRead));
    cells.observe(
        metrics.provider("trading", "aws").head,
        Duration::from_millis(3),
    );
    cells.up(metrics.endpoint(&endpoint()).open);
    metrics.set_endpoint(&endpoint(), Verdict::Healthy, 0.25);
    cells.shift(metrics.site("trading", "aws", "aws/use1").limit, 64);
    metrics.set_capacity("trading", Some(120.0), &[("aws", "aws/use1", 2000.0)]);
    metrics.set_site("aws/use1", "aws", Verdict::Healthy, 0.25);
    metrics.set_provider("aws", Verdict::Healthy, 1.0);
    metrics.set_site_operator("aws/use1", "aws", OperatorWord::Active);
    metrics.set_provider_operator("aws", OperatorWord::Draining);
    say_what_may_break(&metrics);
    metrics.set_pool(
        "trading",
        false,
        1,
        Some("aws"),
        &["aws".to_owned(), "gcp".to_owned()],
    );
    metrics.set_orders_held("trading", false);
    metrics.probe(&endpoint(), Ok(Duration::from_millis(2)));
    metrics.event(SubjectKind::Provider, "down", Cause::SitesDown);
    metrics.policy_loaded("5f3a", 1_760_000_000.0);
    say_addresses(&metrics);
    metrics.access_log();
    metrics.shortages();
    metrics.set_ready(true);
    metrics
}

#[test]
fn a_limit_that_moves_shows_what_it_is_over_all_workers() {
    let metrics = metrics();
    let (one, two) = (metrics.worker(), metrics.worker());
    let site = metrics.site("trading", "aws", "aws/use1");
    one.shift(site.limit, 100);
    two.shift(site.limit, 100);
    one.shift(site.limit, -60);
    let series = r#"leeward_site_requests_limit{pool="trading",provider="aws",site="aws/use1"}"#;
    assert_eq!(read(&metrics).get(series), 140.0);
}

#[test]
fn what_is_no_longer_declared_is_not_shown() {
    let metrics = metrics();
    metrics.set_capacity("trading", Some(120.0), &[("aws", "aws/use1", 2000.0)]);
    assert!(metrics.render().contains("leeward_site_capacity{"));
    metrics.set_capacity("trading", None, &[]);
    let text = metrics.render();
    assert!(!text.contains("leeward_site_capacity{") && !text.contains("leeward_pool_demand{"));
}

#[test]
fn what_several_workers_count_adds_up() {
    const WORKERS: usize = 4;
    const TIMES: u64 = 10_000;
    let metrics = metrics();
    let slots = metrics.listener("public");
    let done = Barrier::new(WORKERS + 1);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let cells = metrics.worker();
                for _ in 0..TIMES {
                    cells.inc(slots.accepted);
                    cells.clone().add(slots.sent_bytes, 3);
                }
                done.wait();
            });
        }
        done.wait();
        let text = read(&metrics);
        assert_eq!(
            text.get(r#"leeward_downstream_connections_accepted_total{listener="public"}"#),
            40_000.0
        );
        assert_eq!(
            text.get(r#"leeward_downstream_sent_bytes_total{listener="public"}"#),
            120_000.0
        );
        assert_eq!(text.get("leeward_workers"), 4.0);
    });
}

#[test]
fn scrapes_during_counting_never_go_back() {
    let metrics = metrics();
    let slots = metrics.listener("public");
    let wait = metrics.downstream("public", Class::Order).duration;
    thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let cells = metrics.worker();
            for n in 0..200_000 {
                cells.inc(slots.accepted);
                cells.observe(wait, Duration::from_micros(n));
            }
        });
        let mut before = (0.0, 0.0);
        while !counting.is_finished() {
            let text = read(&metrics);
            let now = (
                text.get(r#"leeward_downstream_connections_accepted_total{listener="public"}"#),
                text.get(
                    r#"leeward_request_duration_seconds_count{listener="public",class="order"}"#,
                ),
            );
            assert!(now.0 >= before.0 && now.1 >= before.1);
            before = now;
        }
    });
    let text = read(&metrics);
    assert_eq!(
        text.get(r#"leeward_downstream_connections_accepted_total{listener="public"}"#),
        200_000.0
    );
}

#[test]
fn a_gauge_may_go_up_in_one_worker_and_down_in_another() {
    let metrics = metrics();
    let open = metrics.listener("public").open;
    let (first, second) = (metrics.worker(), metrics.worker());
    let series = r#"leeward_downstream_connections_open{listener="public"}"#;
    for _ in 0..3 {
        first.up(open);
    }
    second.down(open);
    assert_eq!(read(&metrics).get(series), 2.0);
    second.down(open);
    second.down(open);
    assert_eq!(read(&metrics).get(series), 0.0);
    second.down(open);
    assert_eq!(
        read(&metrics).get(series),
        0.0,
        "nothing is there less than zero times"
    );
}

#[test]
fn asking_twice_gives_the_same_handles_and_loses_no_count() {
    let metrics = metrics();
    let cells = metrics.worker();
    let route = metrics.route("public", "orders", Class::Order);
    cells.inc(route.requests(RequestOutcome::Unknown));
    let again = metrics.route("public", "orders", Class::Order);
    for outcome in RequestOutcome::ALL {
        assert_eq!(route.requests(outcome), again.requests(outcome));
    }
    cells.inc(again.requests(RequestOutcome::Unknown));
    let series = r#"leeward_requests_total{listener="public",route="orders",class="order",outcome="unknown"}"#;
    assert_eq!(read(&metrics).get(series), 2.0);
    assert_eq!(
        metrics.pool("a").retries(Class::Tcp),
        metrics.pool("a").retries(Class::Tcp)
    );
    assert_ne!(
        metrics.pool("a").retries(Class::Tcp),
        metrics.pool("b").retries(Class::Tcp)
    );
    assert_eq!(
        metrics.endpoint(&endpoint()).open,
        metrics.endpoint(&endpoint()).open
    );
}

#[test]
fn every_word_has_its_own_counter() {
    let metrics = metrics();
    let cells = metrics.worker();
    let (route, pool) = (metrics.route("l", "r", Class::Stream), metrics.pool("p"));
    let (refused, listener) = (metrics.refused("l"), metrics.listener("l"));
    let slots = metrics.endpoint(&endpoint());
    for (n, outcome) in (1..).zip(RequestOutcome::ALL) {
        cells.add(route.requests(outcome), n);
    }
    for (n, class) in (1..).zip(Class::ALL) {
        cells.add(pool.attempts(class), n);
    }
    for (n, reason) in (1..).zip(RefusedReason::ALL) {
        cells.add(refused.refused(reason), n);
    }
    for (n, reason) in (1..).zip(ConnectionRefusal::ALL) {
        cells.add(listener.refused(reason), n);
    }
    for (n, outcome) in (1..).zip(Outcome::ALL) {
        cells.add(slots.attempts(outcome), n);
    }
    let text = read(&metrics);
    let expect = |n: usize, series: String| assert_eq!(text.get(&series), n as f64, "{series}");
    for (n, word) in (1..).zip(RequestOutcome::ALL.map(RequestOutcome::as_str)) {
        expect(
            n,
            format!(
                r#"leeward_requests_total{{listener="l",route="r",class="stream",outcome="{word}"}}"#
            ),
        );
    }
    for (n, word) in (1..).zip(Class::ALL.map(Class::as_str)) {
        expect(
            n,
            format!(r#"leeward_pool_attempts_total{{pool="p",class="{word}"}}"#),
        );
    }
    for (n, word) in (1..).zip(RefusedReason::ALL.map(RefusedReason::as_str)) {
        expect(
            n,
            format!(r#"leeward_requests_refused_total{{listener="l",reason="{word}"}}"#),
        );
    }
    for (n, word) in (1..).zip(ConnectionRefusal::ALL.map(ConnectionRefusal::as_str)) {
        expect(
            n,
            format!(
                r#"leeward_downstream_connections_refused_total{{listener="l",reason="{word}"}}"#
            ),
        );
    }
    for (n, word) in (1..).zip(Outcome::ALL.map(Outcome::as_str)) {
        expect(
            n,
            format!(r#"leeward_upstream_attempts_total{{{ENDPOINT},outcome="{word}"}}"#),
        );
    }
}

#[test]
fn every_error_of_http2_has_its_own_counter() {
    let metrics = metrics();
    let (cells, listener) = (metrics.worker(), metrics.listener("l"));
    let all = Http2Ended::ALL.map(|ended| Http2Error::ALL.map(|error| (ended, error)));
    for (n, (ended, error)) in (1..).zip(all.as_flattened()) {
        cells.add(listener.http2_errors(*ended, *error), n);
    }
    let text = read(&metrics);
    for (n, (ended, error)) in (1_u32..).zip(all.as_flattened()) {
        let (ended, error) = (ended.as_str(), error.as_str());
        let labels = format!(r#"{{listener="l",ended="{ended}",reason="{error}"}}"#);
        let series = format!("leeward_downstream_protocol_errors_total{labels}");
        assert_eq!(text.get(&series), f64::from(n), "{series}");
    }
}

#[test]
fn a_retired_endpoint_is_not_shown_and_comes_back_with_its_counts() {
    let metrics = metrics();
    let cells = metrics.worker();
    let slots = metrics.endpoint(&endpoint());
    let mut neighbour = endpoint();
    neighbour.address.push('0');
    metrics.endpoint(&neighbour);
    metrics.set_endpoint(&endpoint(), Verdict::Down, 0.0);
    cells.add(slots.created, 5);
    let created = format!("leeward_upstream_connections_created_total{{{ENDPOINT}}}");
    assert_eq!(read(&metrics).get(&created), 5.0);

    metrics.retire_endpoint(&endpoint());
    cells.inc(slots.created);
    metrics.probe(&endpoint(), Err(ProbeFailure::Refused));
    metrics.set_endpoint(&endpoint(), Verdict::Down, 0.0);
    let text = metrics.render();
    assert!(!text.contains("192.0.2.7:8443\""), "nothing of it is left");
    assert!(text.contains("192.0.2.7:84430\""), "its neighbour stays");

    assert_eq!(metrics.endpoint(&endpoint()).created, slots.created);
    assert_eq!(read(&metrics).get(&created), 6.0);
}

#[test]
fn what_finds_no_room_is_counted_and_harms_nobody() {
    let metrics = Metrics::with_capacity(&BUILD, 60);
    let cells = metrics.worker();
    let first = metrics.listener("public");
    for n in 0..100 {
        let name = format!("listener {n}");
        let slots = metrics.listener(&name);
        cells.add(slots.accepted, 7);
        cells.up(slots.open);
        cells.observe(
            metrics.downstream(&name, Class::Order).duration,
            Duration::MAX,
        );
    }
    cells.inc(first.accepted);
    let text = read(&metrics);
    assert_eq!(
        text.get(r#"leeward_downstream_connections_accepted_total{listener="public"}"#),
        1.0
    );
    assert!(text.get("leeward_metrics_overflow_total") > 100.0);
    assert!(
        text.find(r#"leeward_downstream_connections_accepted_total{listener="listener 99"}"#)
            .is_none()
    );
}
