//! Policies that are fine, and what they compile to.

#[path = "good/discovery.rs"]
mod discovery;
#[path = "good/pools.rs"]
mod pools;
#[path = "good/routes.rs"]
mod routes;

use leeward_config::policy::{
    AccessLog, Affinity, Clients, Drain, HostHeader, Limits, LogTarget, Networks, PathMatch,
    Policy, Probe, ProxyProtocol, TrustedFields,
};
use leeward_config::{Files, Loaded, Options, Variables, load, load_with, parse, parse_with};
use leeward_failover::{
    Class, FailoverParams, HealthParams, OrderParams, ProbeParams, ProviderKind, RetryParams,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

const HEAD: &str = "version: 1
listeners: { public: { bind: 127.0.0.1:0 } }
providers: { aws: { sites: [a, b] }, gcp: { sites: [c] } }
";

const BACKENDS: &str = "    backends:
      - { url: http://127.0.0.1:9001, site: aws/a }
      - { url: http://127.0.0.1:9002, site: gcp/c }
";

fn example(name: &str) -> Loaded {
    let options = Options {
        files: Files::MayBeMissing,
        ..Options::default()
    };
    load_with(&Path::new(EXAMPLES).join(name), &options)
}

/// The policy of a text that has no errors.
fn good(text: &str) -> Policy {
    let Loaded { policy, problems } = parse("good.yaml", text, Path::new(""));
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    policy.unwrap_or_else(|| panic!("{}", shown.join("\n")))
}

/// A policy with one pool and some more keys in it.
fn with_pool(keys: &str) -> Policy {
    good(&format!("{HEAD}pools:\n  web:\n{BACKENDS}{keys}"))
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn the_examples_compile() {
    let smallest = example("smallest.yaml");
    assert!(smallest.policy.is_some());
    assert_eq!(smallest.problems, []);

    let quickstart = example("quickstart.yaml");
    assert!(quickstart.policy.is_some());
    let texts: Vec<&str> = quickstart
        .problems
        .iter()
        .map(|p| p.text.as_str())
        .collect();
    assert!(
        matches!(texts.as_slice(), [one] if one.contains("not fenced")),
        "{texts:?}"
    );

    let exchange = example("exchange.yaml");
    assert!(exchange.policy.is_some());
    let others = exchange
        .problems
        .iter()
        .filter(|p| !p.text.starts_with("there is no file"));
    assert_eq!(others.count(), 0, "{:?}", exchange.problems);
}

#[test]
fn the_quickstart_is_under_twenty_lines() {
    let text =
        std::fs::read_to_string(Path::new(EXAMPLES).join("quickstart.yaml")).expect("a file");
    assert!(text.lines().count() < 20);
}

#[test]
fn a_missing_certificate_is_an_error_only_where_the_policy_is_used() {
    let path = Path::new(EXAMPLES).join("exchange.yaml");
    assert!(load(&path).policy.is_none());
    assert!(example("exchange.yaml").policy.is_some());
}

#[test]
fn an_access_log_is_off_unless_it_is_wanted_and_its_defaults_are_careful() {
    let log = |text: &str| with_pool(text).access_log;
    assert_eq!(log(""), None);
    assert_eq!(log("access_log: off\n"), None);
    let careful = AccessLog {
        to: LogTarget::File("access.jsonl".into()),
        sample: 1.0,
        query: false,
        fields: Vec::new(),
    };
    assert_eq!(log("access_log: { to: access.jsonl }\n"), Some(careful));
    let text = "access_log: { to: \"unix:/run/l.sock\", sample: 1%, query: public_read, \
                fields: [User-Agent, user-agent, X-Request-Id] }\n";
    let wanted = log(text).expect("a log");
    assert_eq!(wanted.to, LogTarget::Unix("/run/l.sock".into()));
    assert_eq!((wanted.sample, wanted.query), (0.01, true));
    assert_eq!(wanted.fields, ["user-agent", "x-request-id"]);
}

#[test]
fn everything_has_a_default() {
    let policy = with_pool("");
    assert_eq!(policy.admin, Some(([127, 0, 0, 1], 9900).into()));
    assert!(policy.workers >= 1);
    assert_eq!(
        policy.drain,
        Drain {
            linger: secs(2),
            timeout: secs(30)
        }
    );
    assert_eq!(policy.limits, Limits::default());
    let listener = &policy.listeners[0];
    assert_eq!(
        (listener.name.as_str(), listener.max_connections),
        ("public", 10_000)
    );
    assert_eq!(listener.certificates, []);

    let pool = &policy.pools[0];
    assert_eq!(pool.affinity, Affinity::Client);
    assert!(matches!(pool.probe, Probe::Tcp));
    assert_eq!(
        (pool.connect_timeout, pool.idle_timeout),
        (secs(1), secs(15))
    );
    assert_eq!((pool.max_idle, pool.order_reuse_within), (256, secs(1)));

    let engine = &policy.engine;
    assert_eq!(engine.providers[0].kind, ProviderKind::Cloud);
    let pool = &engine.pools[0];
    assert_eq!(pool.probe, ProbeParams::default());
    assert_eq!(pool.health, HealthParams::default());
    assert_eq!(pool.failover, FailoverParams::default());
    assert_eq!(pool.orders, OrderParams::default());
    assert_eq!(pool.retry, RetryParams::default());
    let tiers: Vec<Vec<(u32, u32)>> = pool
        .tiers
        .iter()
        .map(|t| t.iter().map(|s| (s.site.0, s.weight)).collect())
        .collect();
    assert_eq!(tiers, [[(0, 1), (2, 1)]]);
    assert_eq!(policy.backends[1].host_header, HostHeader::Client);
    assert_eq!(policy.backends[1].id.0, 1);
}

#[test]
fn without_routes_everything_is_an_order_of_the_only_pool() {
    let policy = with_pool("");
    let [route] = policy.routes.as_slice() else {
        panic!("{:?}", policy.routes)
    };
    assert_eq!(
        (route.name.as_str(), route.class),
        ("everything", Class::Order)
    );
    assert_eq!(route.deadline, Some(secs(2)));
    assert_eq!(route.matches.path, PathMatch::Any);
}

#[test]
fn the_admin_side_can_be_switched_off() {
    assert_eq!(with_pool("admin: off\n").admin, None);
    assert_eq!(with_pool("admin: \"off\"\n").admin, None);
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let policy = good(&format!(
        "{HEAD}pools:
  one: &pool
    backends: &backends
      - {{ url: http://127.0.0.1:1, site: aws/a }}
      - {{ url: http://127.0.0.1:2, site: gcp/c }}
    failover: {{ ramp: 5s }}
  two: {{ <<: *pool, failover: {{ ramp: 9s }} }}
  three: {{ backends: *backends }}
routes:
  - {{ match: {{ path: /1 }}, pool: one }}
  - {{ match: {{ path: /2 }}, pool: two }}
  - {{ pool: three }}
"
    ));
    let ramps: Vec<Duration> = policy
        .engine
        .pools
        .iter()
        .map(|pool| pool.failover.ramp)
        .collect();
    assert_eq!(ramps, [secs(5), secs(9), secs(60)]);
    assert_eq!(policy.backends.len(), 6);
}

#[test]
fn variables_are_expanded_in_values_and_never_read_as_yaml() {
    let given = [
        ("PORT", "9001"),
        ("EMPTY", ""),
        ("TRICK", "a\n    evil: true #"),
    ];
    let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let options = Options {
        variables: Variables::Given(BTreeMap::from(given)),
        ..Options::default()
    };
    let text = format!(
        "{HEAD}pools:
  web:
    backends:
      - {{ url: \"http://127.0.0.1:${{PORT}}\", site: aws/a }}
      - {{ url: 'http://127.0.0.1:${{OTHER:-9002}}', site: 'gcp/${{EMPTY:-c}}' }}
    probe: {{ path: /, expect: {{ body: \"${{TRICK}} $${{x}} 5$ ${{EMPTY}}.\" }} }}
"
    );
    let policy = parse_with("good.yaml", &text, Path::new(""), &options)
        .policy
        .expect("a policy");
    assert_eq!(policy.backends[0].port, 9001);
    assert_eq!(policy.backends[1].port, 9002);
    let Probe::Http(probe) = &policy.pools[0].probe else {
        panic!("http")
    };
    assert_eq!(
        probe.body_contains.as_deref(),
        Some("a\n    evil: true # ${x} 5$ .")
    );
}

#[test]
fn a_folder_is_one_policy() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("good-folder");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write("10-head.yaml", HEAD);
    write(
        "20-web.yaml",
        &format!("version: 1\npools:\n  web:\n{BACKENDS}"),
    );
    write("30-data.yaml", &format!("pools:\n  data:\n{BACKENDS}"));
    write(
        "40-first.yaml",
        "routes: [{ name: first, match: { path: /a }, pool: data }]\n",
    );
    write("50-second.yaml", "routes: [{ name: second, pool: web }]\n");
    write(".hidden.yaml", "nonsense");
    let loaded = load(&folder);
    let policy = loaded.policy.expect("a policy");
    let names: Vec<&str> = policy
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(policy.engine.pools.len(), 2);
    let before = policy.hash;
    write("50-second.yaml", "routes: [{ name: third, pool: web }]\n");
    assert_ne!(load(&folder).policy.expect("a policy").hash, before);
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn the_hash_is_that_of_the_bytes() {
    let text = format!("{HEAD}pools:\n  web:\n{BACKENDS}");
    assert_eq!(good(&text).hash.len(), 16);
    assert_eq!(good(&text).hash, good(&text).hash);
    assert_ne!(good(&text).hash, good(&format!("{text}# another\n")).hash);
}

#[test]
fn windows_line_ends_and_byte_order_marks_change_no_places() {
    let text = format!("\u{feff}{HEAD}pools:\n  web:\n{BACKENDS}worker: 1\n").replace('\n', "\r\n");
    let problems = parse("x.yaml", &text, Path::new("")).problems;
    let error = problems
        .iter()
        .find(|problem| problem.is_error())
        .expect("an error");
    assert_eq!((error.line, error.column), (9, 1));
    assert_eq!(error.source.as_deref(), Some("worker: 1"));
}

#[test]
fn a_listener_knows_who_its_clients_are() {
    let listener = |keys: &str| {
        let head = HEAD.replace("bind: 127.0.0.1:0", &format!("bind: 127.0.0.1:0, {keys}"));
        let policy = good(&format!("{head}pools:\n  web:\n{BACKENDS}"));
        policy.listeners[0].clone()
    };
    let has = |networks: &Networks, address: &str| {
        networks.contains(address.parse().expect("an address"))
    };
    let plain = listener("max_connections: 7");
    assert_eq!(plain.clients, Clients::default());
    assert!(plain.clients.trusted.from.is_empty());
    assert!(plain.clients.forwarded.x_forwarded && !plain.clients.forwarded.forwarded);
    assert_eq!(plain.max_connections_per_client, None);

    let full = listener(
        "max_connections_per_client: 50, forwarded: [forwarded], \
         proxy_protocol: { from: [10.0.0.0/8, 192.0.2.7], timeout: 2s }, \
         trusted: { from: \"2001:db8::/32\", fields: forwarded }",
    );
    assert_eq!(full.max_connections_per_client, Some(50));
    assert!(!full.clients.forwarded.x_forwarded && full.clients.forwarded.forwarded);
    let ProxyProtocol { from, timeout } = &full.clients.proxy_protocol;
    assert_eq!(*timeout, secs(2));
    assert!(has(from, "10.9.9.9") && has(from, "192.0.2.7") && !has(from, "192.0.2.8"));
    assert_eq!(full.clients.trusted.fields, TrustedFields::Forwarded);
    assert!(has(&full.clients.trusted.from, "2001:db8::1"));

    let short = listener("trusted: [10.0.0.0/8]");
    assert_eq!(short.clients.trusted.fields, TrustedFields::XForwarded);
    assert!(has(&short.clients.trusted.from, "10.0.0.1"));
}

#[test]
fn the_admin_side_has_a_second_bind_where_that_is_asked_for() {
    assert_eq!(with_pool("").admin_read_only, None);
    let policy = with_pool("admin: { read_only: 0.0.0.0:9901 }\n");
    assert_eq!(policy.admin, Some(([127, 0, 0, 1], 9900).into()));
    assert_eq!(policy.admin_read_only, Some(([0, 0, 0, 0], 9901).into()));
    assert_eq!(with_pool("admin: off\n").admin_read_only, None);
}
