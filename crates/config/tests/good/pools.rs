//! Pools: weights, tiers, probes and settings.

use super::{HEAD, good, secs, with_pool};
use leeward_config::policy::{Affinity, Comparison, HttpProbe, JsonCheck, Probe, Window};
use leeward_failover::{
    Failback, FailoverParams, HealthParams, Mover, OrderParams, RetryParams, Writer,
};
use std::time::Duration;

#[test]
fn a_literal_host_is_an_address_that_needs_no_dns() {
    let policy = good(&format!(
        "{HEAD}pools: {{ web: {{ backends: [
          {{ url: \"https://[2001:DB8::1]:8443\", site: aws/a }},
          {{ url: https://API.Example, site: gcp/c, addresses: [192.0.2.7, \"192.0.2.8:444\"] }},
        ] }} }}"
    ));
    let (one, two) = (&policy.engine.backends[0], &policy.engine.backends[1]);
    assert_eq!(one.name, "https://[2001:DB8::1]:8443");
    assert_eq!(
        one.addresses,
        ["[2001:db8::1]:8443".parse().expect("an address")]
    );
    let two: Vec<String> = two.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(two, ["192.0.2.7:443", "192.0.2.8:444"]);
    let (one, two) = (&policy.backends[0], &policy.backends[1]);
    assert_eq!((one.host.as_str(), one.port), ("2001:db8::1", 8443));
    assert_eq!((two.host.as_str(), two.port), ("api.example", 443));
    let tls = two.tls.as_ref().expect("https");
    assert_eq!((tls.server_name.as_str(), &tls.ca), ("api.example", &None));
}

#[test]
fn a_provider_without_a_max_share_is_not_bounded() {
    let policy = good(
        "version: 1
listeners: { a: { bind: 127.0.0.1:1 } }
providers:
  aws: { sites: [a] }
  gcp: { sites: [c], max_share: 100% }
  akash: { kind: decentralized, sites: [l], max_share: 5% }
pools: { web: { backends: [
  { url: http://127.0.0.1:1, site: aws/a },
  { url: http://127.0.0.1:2, site: akash/l },
] } }
",
    );
    let providers = policy.engine.providers.iter();
    let shares: Vec<Option<f64>> = providers.map(|provider| provider.max_share).collect();
    assert_eq!(shares, [None, None, Some(0.05)]);
}

#[test]
fn weights_follow_capacities_where_all_are_declared() {
    let policy = good(&format!(
        "{HEAD}pools:
  all:
    backends:
      - {{ url: http://127.0.0.1:1, site: aws/a, capacity: 300/s }}
      - {{ url: http://127.0.0.1:2, site: aws/a, capacity: 200/s, weight: 7 }}
      - {{ url: http://127.0.0.1:3, site: gcp/c, capacity: 100/s }}
  some:
    backends:
      - {{ url: http://127.0.0.1:4, site: aws/a, capacity: 300/s }}
      - {{ url: http://127.0.0.1:5, site: aws/a }}
      - {{ url: http://127.0.0.1:6, site: gcp/c, capacity: 100/s }}
    failover: {{ tiers: [[aws], [{{ site: gcp/c, weight: 3 }}]] }}
routes: [{{ match: {{ path: /a }}, pool: all }}, {{ pool: some }}]
"
    ));
    let weights: Vec<u32> = policy.engine.backends.iter().map(|b| b.weight).collect();
    assert_eq!(weights, [300, 7, 100, 1, 1, 100]);
    let tiers = |pool: usize| -> Vec<u32> {
        policy.engine.pools[pool]
            .tiers
            .iter()
            .flatten()
            .map(|site| site.weight)
            .collect()
    };
    assert_eq!(tiers(0), [500, 100]);
    assert_eq!(tiers(1), [1, 3]);
}

#[test]
fn a_provider_in_a_tier_stands_for_its_sites_in_the_pool() {
    let policy = good(&format!(
        "{HEAD}pools: {{ web: {{ backends: [
          {{ url: http://127.0.0.1:1, site: aws/b }},
          {{ url: http://127.0.0.1:2, site: gcp/c }},
          {{ url: http://127.0.0.1:3, site: aws/a }},
        ], failover: {{ tiers: [[gcp], [aws]] }} }} }}"
    ));
    let tiers: Vec<Vec<u32>> = policy.engine.pools[0]
        .tiers
        .iter()
        .map(|tier| tier.iter().map(|site| site.site.0).collect())
        .collect();
    assert_eq!(tiers, [vec![2], vec![1, 0]]);
}

#[test]
fn every_setting_of_the_engine_arrives() {
    let policy = with_pool(
        "    health: { window: 3s, min_requests: 5, failing: 25%, consecutive: 9, connect_failures: 4 }
    failover:
      evacuate: { site: { failing: 40% }, provider: { failing_sites: 3, suspicion: lower } }
      hold_down: { first: 10s, max: 1h }
      ramp: 2m
      keep_warm: 0
      failback: manual
    orders: { writer: any, move: operator, failback: automatic, fenced: true }
    retry: { budget: 0.2, floor: 1.5/s, attempts: 2, hedge: 3% }
",
    );
    let pool = &policy.engine.pools[0];
    let health = HealthParams {
        window: secs(3),
        min_requests: 5,
        failing: 0.25,
        consecutive: 9,
        connect_failures: 4,
    };
    assert_eq!(pool.health, health);
    let failover = FailoverParams {
        site_failing: 0.4,
        provider_failing_sites: 3,
        suspicion: leeward_failover::Suspicion::Lower,
        hold_down_first: secs(10),
        hold_down_max: secs(3600),
        ramp: secs(120),
        keep_warm: 0.0,
        failback: Failback::Manual,
    };
    assert_eq!(pool.failover, failover);
    let orders = OrderParams {
        writer: Writer::Any,
        moves: Mover::Operator,
        failback: Mover::Automatic,
        fenced: true,
    };
    assert_eq!(pool.orders, orders);
    assert_eq!(
        pool.retry,
        RetryParams {
            budget: 0.2,
            floor_per_second: 1.5,
            attempts: 2,
            hedge: 0.03,
        }
    );
}

#[test]
fn signs_of_an_error_in_disguise_arrive() {
    let policy = with_pool(
        "    health: { error_if: { headers: { X-Failed: true, X-State: bad }, json: { \"/code\": \"!= 0\" } } }
",
    );
    let signs = policy.pools[0].error_if.clone().expect("signs");
    let headers: Vec<_> = signs
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_deref()))
        .collect();
    assert_eq!(headers, [("x-failed", None), ("x-state", Some("bad"))]);
    let code = JsonCheck::Number(Comparison::NotEqual, 0.0);
    assert_eq!(signs.json, [("/code".to_owned(), code)]);
    assert!(with_pool("").pools[0].error_if.is_none());
}

#[test]
fn every_setting_of_connections_arrives() {
    let policy = with_pool(
        "    orders: { affinity: { header: X-API-KEY } }
    connect_timeout: 300ms
    idle_timeout: 20s
    max_idle: 10
    order_reuse_within: 0s
    drain_streams: 90s
    failover: { failback: { windows: [{ days: [sat, sun], from: 22:00, to: 02:00 }, { from: 00:00, to: 24:00 }] } }
",
    );
    let pool = &policy.pools[0];
    assert_eq!(
        pool.affinity,
        Affinity::Header("x-api-key".parse().expect("a name"))
    );
    assert_eq!(
        (pool.connect_timeout, pool.idle_timeout),
        (Duration::from_millis(300), secs(20))
    );
    assert_eq!(
        (pool.max_idle, pool.order_reuse_within),
        (10, Duration::ZERO)
    );
    assert_eq!(pool.drain_streams, secs(90));
    let windows = [
        Window {
            days: [false, false, false, false, false, true, true],
            from: 22 * 60,
            to: 2 * 60,
        },
        Window {
            days: [true; 7],
            from: 0,
            to: 24 * 60,
        },
    ];
    assert_eq!(pool.windows, windows);
    let failback = policy.engine.pools[0].failover.failback;
    assert_eq!(failback, Failback::Windows);
}

/// The probe over HTTP of a policy with these keys in its probe.
fn http_probe(keys: &str) -> HttpProbe {
    let policy = with_pool(&format!("    probe: {{ path: /healthz?deep=1, {keys} }}\n"));
    match &policy.pools[0].probe {
        Probe::Http(probe) => probe.clone(),
        other => panic!("a probe with a path is http, not {other:?}"),
    }
}

#[test]
fn a_probe_with_a_path_is_http() {
    let probe = http_probe("");
    assert_eq!(probe.path, "/healthz?deep=1");
    assert_eq!(
        (probe.status, probe.max_body),
        (vec![(200, 299)], 64 * 1024)
    );
    let probe = http_probe("host: api.example, headers: { X-Probe: leeward }, max_body: 1KiB");
    assert_eq!(
        (probe.host.as_deref(), probe.max_body),
        (Some("api.example"), 1024)
    );
    assert_eq!(probe.headers[0].1, "leeward");
    let policy = with_pool("    probe: { type: tcp, interval: 2s, rise: 1 }\n");
    assert!(matches!(policy.pools[0].probe, Probe::Tcp));
    assert_eq!(policy.engine.pools[0].probe.interval, secs(2));
}

#[test]
fn a_probe_with_a_service_is_grpc_and_so_is_one_that_says_so() {
    let of = |keys: &str| {
        let policy = with_pool(&format!("    protocol: http2\n    probe: {keys}\n"));
        match &policy.pools[0].probe {
            Probe::Grpc(probe) => probe.clone(),
            other => panic!("a grpc probe, not {other:?}"),
        }
    };
    let probe = of("{ service: exchange.v1.Orders, interval: 2s }");
    assert_eq!(probe.service, "exchange.v1.Orders");
    assert_eq!((probe.host, probe.headers.len()), (None, 0));
    assert_eq!(of("grpc").service, "");
    let probe = of("{ type: grpc, host: api.example, headers: { X-Probe: leeward } }");
    assert_eq!(probe.service, "");
    assert_eq!(probe.host.as_deref(), Some("api.example"));
    assert_eq!(probe.headers[0].1, "leeward");
}

#[test]
fn what_a_probe_expects_depends_on_quotes_only_where_yaml_does() {
    let probe = http_probe(
        "expect: { status: [200, \"204\", 300-399], body: \"ok\",
          headers: { X-Ok: true, X-Quoted: \"true\", X-Text: a b },
          json: { /lag: \"< 500\", /le: <=1, /ne: \"!= -4.5\", /n: 3, /s: \"3\", /up: true,
                  /word: \"true\", /seq: present, /text: \"present\", /status: ok, /a~1b: \">0\" } }",
    );
    assert_eq!(probe.status, [(200, 200), (204, 204), (300, 399)]);
    assert_eq!(probe.body_contains.as_deref(), Some("ok"));
    let headers: Vec<Option<&str>> = probe
        .expect_headers
        .iter()
        .map(|(_, value)| value.as_deref())
        .collect();
    assert_eq!(headers, [None, Some("true"), Some("a b")]);
    let text = |text: &str| JsonCheck::Text(text.to_owned());
    let expected = [
        ("/lag", JsonCheck::Number(Comparison::Less, 500.0)),
        ("/le", JsonCheck::Number(Comparison::LessOrEqual, 1.0)),
        ("/ne", JsonCheck::Number(Comparison::NotEqual, -4.5)),
        ("/n", JsonCheck::Number(Comparison::Equal, 3.0)),
        ("/s", text("3")),
        ("/up", JsonCheck::Bool(true)),
        ("/word", text("true")),
        ("/seq", JsonCheck::Present),
        ("/text", text("present")),
        ("/status", text("ok")),
        ("/a~1b", JsonCheck::Number(Comparison::Greater, 0.0)),
    ];
    let found: Vec<(&str, JsonCheck)> = probe
        .json
        .iter()
        .map(|(pointer, check)| (pointer.as_str(), check.clone()))
        .collect();
    assert_eq!(found, expected);
}
