//! Pools and backends, and who takes orders.

use super::failover::{FAILOVER, HEALTH, PROBE};
use super::words::{MOVERS, ORDER_PROTOCOLS, PROTOCOLS, WRITERS, WRITERS_RETURN};
use super::{Section, Value};
use crate::policy::Pool;
use leeward_failover::RetryParams;
use std::sync::LazyLock;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const MAX_POOLS: usize = 1024;
pub(crate) const MAX_BACKENDS: usize = 4096;
pub(crate) const MAX_ADDRESSES: usize = 256;
pub(crate) const FILE_REFRESH: Duration = Duration::from_secs(5);
pub(crate) const HTTP_REFRESH: Duration = Duration::from_secs(30);
pub(crate) const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) static POOL: LazyLock<Section> = LazyLock::new(|| {
    let d = Pool::default();
    let example = "web: { backends: [{ url: http://10.0.0.7:8080, site: aws/us-east-1 }] }";
    Section::new("pools", "a pool", example)
        .required("backends", Value::list(Value::Section(&BACKEND), 1..=MAX_BACKENDS),
            "origins, see below")
        .or("probe", Value::Either(vec![Value::Words(vec!["tcp", "grpc"]), Value::Section(&PROBE)]), "tcp",
            "what asks whether an endpoint works")
        .optional("health", Value::Section(&HEALTH), "its defaults",
            "when traffic alone takes an endpoint down")
        .optional("failover", Value::Section(&FAILOVER), "its defaults",
            "when places are left, and the way home")
        .optional("orders", Value::Section(&ORDERS), "its defaults", "who takes orders")
        .or("affinity", affinity(), "client",
            "what keeps a client's requests on one path. `client`: its address, for orders and \
             cancels. A header: its value, for every class. May stand in `orders` instead")
        .optional("retry", Value::Section(&RETRY), "its defaults", "how often reads may be tried again")
        .or("protocol", Value::words(&PROTOCOLS), "http1",
            "what is spoken to backends that say nothing of their own, see below; `auto` means `http1` \
             for a plain one")
        .number("max_streams", d.max_streams as u64, 1..=10_000,
            "requests at a time on one HTTP/2 connection; the backend may allow fewer. One more opens \
             another connection")
        .duration("connect_timeout", d.connect_timeout, MS..=MINUTE, "TCP and TLS together")
        .duration("idle_timeout", d.idle_timeout, MS..=HOUR,
            "an upstream connection that was idle for longer is not reused")
        .number("max_idle", d.max_idle as u64, 0..=65_536,
            "idle upstream connections kept per endpoint and worker")
        .duration("drain_streams", d.drain_streams, Duration::ZERO..=HOUR,
            "over how long streams are ended where an operator drains: upgraded connections and long \
             answers")
        .duration("order_reuse_within", d.order_reuse_within, Duration::ZERO..=HOUR,
            "an order reuses a connection only when it proved itself alive within this time")
});

fn affinity() -> Value {
    Value::Either(vec![
        Value::Words(vec!["client"]),
        Value::Section(&AFFINITY),
    ])
}

pub(crate) static AFFINITY: LazyLock<Section> = LazyLock::new(|| {
    Section::new(
        "affinity",
        "client or a header",
        "affinity: { header: X-API-KEY }",
    )
    .inline()
    .required(
        "header",
        Value::Text("header field"),
        "the name of the field",
    )
});

pub(crate) static BACKEND: LazyLock<Section> = LazyLock::new(|| {
    let example = "{ url: https://api.use1.example:8443, site: aws/us-east-1 }";
    Section::new("backends", "a backend", example)
        .required("url", Value::Text("URL"),
            "`http://` or `https://`, host, port if not 80 or 443; no path, query or user")
        .required("site", Value::Text("site"), "where it stands: `aws/us-east-1`")
        .optional("capacity", Value::Rate(1.0..=10_000_000.0), "unknown",
            "requests per second that it can carry from this leeward, see [capacity](#capacity)")
        .optional("weight", Value::Number(1..=10_000), "see right",
            "share within its site. Default: the capacity where every backend of the site in this pool \
             declares one, else 1")
        .optional("addresses", Value::one_or_list(Value::Text("address"), MAX_ADDRESSES), "none",
            "literal addresses: `192.0.2.7` (port of the URL) or `192.0.2.7:8443`")
        .optional("resolve", Value::Flag, "`true`, with `srv` `false`",
            "whether the host of the URL is a place to connect to. `false`: it is only the name for \
             TLS and Host")
        .optional("srv", Value::Text("name"), "none",
            "`_SERVICE._PROTOCOL.NAME`: a service whose SRV records are looked up; they bring their own \
             ports")
        .optional("file_sd", Value::Either(vec![Value::Text("file"), Value::Section(&FILE_SD)]), "none",
            "a file of addresses in Prometheus' format, that ends in `.json`, `.yaml` or `.yml`")
        .optional("http_sd", Value::Either(vec![Value::Text("URL"), Value::Section(&HTTP_SD)]), "none",
            "a URL that gives addresses in Prometheus' format")
        .optional("server_name", Value::Text("host name"), "host of the URL",
            "sent as SNI and required of the certificate. https only")
        .optional("ca", Value::Text("file"), "the system's roots",
            "PEM file of the CAs to trust. https only")
        .optional("protocol", Value::words(&PROTOCOLS), "the pool's",
            "`http2`: over TLS when it agrees to it, over plain TCP without asking (prior knowledge). \
             `auto`: what it prefers in the TLS handshake of each new connection; https only. Upgrades \
             go by HTTP/1.1 whatever this says; so do orders and cancels, see `orders`. Probes go by \
             this")
        .or("host", Value::Either(vec![
                Value::Words(vec!["client", "backend"]),
                Value::Text("host name"),
            ]), "client",
            "the Host field that it gets: `client` (as the client sent it: clients sign it), `backend` \
             (host and port of the URL), or a literal name, with its port where it has one")
});

pub(crate) static FILE_SD: LazyLock<Section> = LazyLock::new(|| {
    let example = "file_sd: { path: api.json, refresh: 5s }";
    Section::new("file_sd", "a file of addresses", example)
        .inline()
        .required("path", Value::Text("file"), "the file")
        .duration(
            "refresh",
            FILE_REFRESH,
            100 * MS..=HOUR,
            "how often it is read",
        )
});

pub(crate) static HTTP_SD: LazyLock<Section> = LazyLock::new(|| {
    let example = "http_sd: { url: http://registry.example/api, refresh: 30s }";
    Section::new("http_sd", "a source of addresses", example)
        .inline()
        .required("url", Value::Text("URL"), "`http://` or `https://`")
        .duration(
            "refresh",
            HTTP_REFRESH,
            100 * MS..=HOUR,
            "how often it is asked",
        )
        .duration(
            "timeout",
            HTTP_TIMEOUT,
            10 * MS..=MINUTE,
            "longest wait for its whole answer",
        )
        .optional(
            "ca",
            Value::Text("file"),
            "the system's roots",
            "PEM file of the CAs to trust. https only",
        )
});

pub(crate) static ORDERS: LazyLock<Section> = LazyLock::new(|| {
    Section::new(
        "orders",
        "the order settings",
        "orders: { writer: single, move: automatic }",
    )
    .or(
        "writer",
        Value::words(&WRITERS),
        "single",
        "`single`: one provider at a time takes orders and cancels. `any`: they go where reads go",
    )
    .or(
        "move",
        Value::words(&MOVERS),
        "automatic",
        "who moves the writer away from a dead provider",
    )
    .or(
        "failback",
        Value::words(&WRITERS_RETURN),
        "manual",
        "who brings the writer home",
    )
    .flag(
        "fenced",
        false,
        "your word that backends refuse a writer that has been replaced",
    )
    .or(
        "protocol",
        Value::words(&ORDER_PROTOCOLS),
        "http1",
        "what orders and cancels travel by. `http2`: by what their backend's `protocol` says",
    )
    .optional(
        "affinity",
        affinity(),
        "the pool's",
        "as `affinity` of the pool; only one of them",
    )
});

pub(crate) static RETRY: LazyLock<Section> = LazyLock::new(|| {
    let d = RetryParams::default();
    Section::new(
        "retry",
        "the retry settings",
        "retry: { budget: 10%, attempts: 4 }",
    )
    .share(
        "budget",
        d.budget,
        0.0..=1.0,
        "retries per request over time",
    )
    .or(
        "floor",
        Value::Rate(0.0..=100_000.0),
        &format!("{}/s", d.floor_per_second),
        "retries that are always allowed",
    )
    .number(
        "attempts",
        u64::from(d.attempts),
        1..=20,
        "attempts of one public read in all",
    )
    .share(
        "hedge",
        d.hedge,
        0.0..=0.5,
        "second attempts of public reads beside a slow first one, over time; 0 for none",
    )
});
