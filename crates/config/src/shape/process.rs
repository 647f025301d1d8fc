//! The top of a policy, and what is about the process itself.

use super::words::PRIVATE;
use super::{Section, Value, listeners, pools, routes};
use crate::access::Role;
use crate::policy::{DEFAULT_RECORD_SIZE, Dns, Drain, Limits};
use std::sync::LazyLock;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const MIB: u64 = 1024 * 1024;
pub(crate) const MAX_RESOLVERS: usize = 8;
/// Whose queries the access log shows.
pub(crate) const QUERIES: [(&str, bool); 2] = [("none", false), ("public_read", true)];
pub(crate) const MOST_LOG_FIELDS: usize = 32;
pub(crate) const MAX_TOKENS: usize = 64;
pub(crate) const MAX_ADMIN_NAMES: usize = 256;

pub(crate) static TOP: LazyLock<Section> = LazyLock::new(|| {
    Section::new(
        "policy",
        "a policy",
        "version: 1, then listeners, providers and pools",
    )
    .required(
        "version",
        Value::Number(1..=1),
        "version of the file's shape",
    )
    .required(
        "listeners",
        Value::named(Value::Section(&listeners::LISTENER), listeners::MAX_LISTENERS),
        "where clients connect",
    )
    .required(
        "providers",
        Value::named(Value::Section(&routes::PROVIDER), routes::MAX_PROVIDERS),
        "who runs the machines, and where they stand",
    )
    .required(
        "pools",
        Value::named(Value::Section(&pools::POOL), pools::MAX_POOLS),
        "backends that can serve the same routes",
    )
    .optional(
        "routes",
        Value::list(Value::Section(&routes::ROUTE), 1..=routes::MAX_ROUTES),
        "everything goes to the only pool, as class `order`",
        "what requests match; the first that matches wins",
    )
    .or(
        "admin",
        Value::Either(vec![Value::Words(vec!["off"]), Value::Section(&ADMIN)]),
        "{ bind: 127.0.0.1:9900 }",
        "the admin side; `off` switches it off",
    )
    .optional(
        "workers",
        Value::Number(1..=1024),
        "number of cores",
        "data workers",
    )
    .optional("drain", Value::Section(&DRAIN), "its defaults", "how a SIGTERM ends")
    .optional(
        "limits",
        Value::Section(&LIMITS),
        "its defaults",
        "bounds on everything that faces a client",
    )
    .optional(
        "state_dir",
        Value::Text("folder"),
        "none",
        "folder of what outlives the process",
    )
    .optional(
        "journal",
        Value::Section(&JOURNAL),
        "none",
        "a file that records what replays",
    )
    .or(
        "access_log",
        Value::Either(vec![Value::Words(vec!["off"]), Value::Section(&ACCESS_LOG)]),
        "off",
        "a line for each request",
    )
    .optional(
        "dns",
        Value::Section(&DNS),
        "its defaults",
        "how names are looked up, and how long what they said is kept",
    )
    .optional(
        "guards",
        Value::Section(&GUARDS),
        "nothing is asked for",
        "what the policy asks of its pools, so that nobody makes it more dependent than it should be",
    )
});

pub(crate) static ADMIN: LazyLock<Section> = LazyLock::new(|| {
    Section::new(
        "admin",
        "the admin side",
        "admin: { bind: 127.0.0.1:9900 }` or `admin: off",
    )
    .inline()
    .or(
        "bind",
        Value::Text("address and port"),
        "127.0.0.1:9900",
        "address and port; anything but loopback needs `tokens` or `tls.clients`",
    )
    .optional(
        "tokens",
        Value::named(Value::Section(&ADMIN_TOKEN), MAX_TOKENS),
        "none",
        "who may use the admin side, by a token each",
    )
    .optional(
        "tls",
        Value::Section(&ADMIN_TLS),
        "plain HTTP",
        "the admin bind speaks TLS",
    )
    .optional(
        "read_only",
        Value::Text("address and port"),
        "none",
        "a second address and port with `/metrics`, `/livez` and `/readyz` alone: for kubelet and \
         Prometheus, and fit for a network",
    )
});

pub(crate) static ADMIN_TOKEN: LazyLock<Section> = LazyLock::new(|| {
    Section::new(
        "tokens",
        "a token",
        "oncall: { file: tokens/oncall, role: operate }",
    )
    .required(
        "file",
        Value::Text("file"),
        "it holds the token, one line of 16 to 512 visible characters",
    )
    .required(
        "role",
        Value::Words(Role::ALL.map(Role::as_str).to_vec()),
        "`read` sees everything and may ask what a word would lead to; `operate` says words",
    )
});

pub(crate) static ADMIN_TLS: LazyLock<Section> = LazyLock::new(|| {
    Section::new(
        "admin.tls",
        "the TLS settings",
        "tls: { cert: tls/admin.pem, key: tls/admin.key }",
    )
    .inline()
    .required(
        "cert",
        Value::Text("file"),
        "PEM file of the admin side's certificate",
    )
    .required("key", Value::Text("file"), "PEM file of its key")
    .optional(
        "clients",
        Value::Section(&ADMIN_CLIENTS),
        "nobody",
        "whose certificates do in place of a token",
    )
});

pub(crate) static ADMIN_CLIENTS: LazyLock<Section> = LazyLock::new(|| {
    Section::new(
        "admin.tls.clients",
        "the clients of the admin side",
        "clients: { ca: tls/ops-ca.pem, operate: [oncall.ops.example] }",
    )
    .inline()
    .required(
        "ca",
        Value::Text("file"),
        "PEM file of the CA that signs them",
    )
    .optional(
        "operate",
        Value::list(Value::Text("DNS name"), 0..=MAX_ADMIN_NAMES),
        "none",
        "DNS names whose certificates may operate; all others of that CA may read",
    )
});

pub(crate) static DRAIN: LazyLock<Section> = LazyLock::new(|| {
    let d = Drain::default();
    let example = "drain: { linger: 2s, timeout: 30s }";
    Section::new("drain", "the drain settings", example)
        .inline()
        .duration(
            "linger",
            d.linger,
            Duration::ZERO..=HOUR,
            "not ready, but still accepting, so that load balancers in front notice",
        )
        .duration(
            "timeout",
            d.timeout,
            Duration::ZERO..=HOUR,
            "what is in flight may take this long after that",
        )
});

pub(crate) static ACCESS_LOG: LazyLock<Section> = LazyLock::new(|| {
    Section::new(
        "access_log",
        "the access log",
        "access_log: { to: access.jsonl }` or `access_log: off",
    )
    .required(
        "to",
        Value::Text("file, `stdout` or `unix:SOCKET`"),
        "a file, which is made where it is missing and written behind what is in it; `stdout`; or \
         a stream socket that somebody listens on, its path 107 bytes at most. Paths are relative to \
         the folder of the policy; the folder must be there",
    )
    .share(
        "sample",
        1.0,
        0.0..=1.0,
        "share of the good requests that is logged. Good is what its first attempt answered to the \
         end, with no flag, 5xx excepted; so a client's own errors (4xx) are sampled too. All others \
         are always logged",
    )
    .or("query", Value::words(&QUERIES), "none", "whose queries are shown")
    .optional(
        "fields",
        Value::one_or_list(Value::Text("name of a header field"), MOST_LOG_FIELDS),
        "none",
        "fields of the request whose values are shown, 256 bytes of each",
    )
});

pub(crate) static JOURNAL: LazyLock<Section> = LazyLock::new(|| {
    Section::new("journal", "the journal", "journal: { record: run.jsonl }")
        .required(
            "record",
            Value::Text("file"),
            "a file, relative to the folder of the policy; the folder must be there",
        )
        .size(
            "record_size",
            DEFAULT_RECORD_SIZE,
            MIB..=MIB * MIB,
            "bytes of it; when it is full, the record ends",
        )
});

pub(crate) static LIMITS: LazyLock<Section> = LazyLock::new(|| {
    let d = Limits::default();
    let bytes = |size: usize| size as u64;
    Section::new("limits", "the limits", "limits: { max_body: 1MiB }")
        .duration("tls_handshake", d.tls_handshake, MS..=HOUR,
            "from accept, or the end of the PROXY header, to the end of the TLS handshake")
        .duration("header_timeout", d.header_timeout, MS..=HOUR,
            "from the first byte of a request head to its last")
        .size("header_bytes", bytes(d.header_bytes), 1024..=256 * 1024,
            "request line and fields together")
        .number("header_count", bytes(d.header_count), 1..=10_000, "fields of a request")
        .duration("idle_timeout", d.idle_timeout, MS..=24 * HOUR,
            "an idle client connection is closed after this")
        .duration("body_idle", d.body_idle, MS..=HOUR,
            "a request body without progress for this long ends the request")
        .size("body_min_rate", d.body_min_rate, 0..=1024 * MIB,
            "least bytes per second of a request body, after a grace of `body_idle`")
        .duration("write_stall", d.write_stall, MS..=HOUR,
            "a client that takes no byte of its answer for this long is cut off")
        .size("hold_answer", bytes(d.hold_answer), 0..=MIB,
            "an answer of a declared length up to this is held until it is whole: where it is cut, a \
             read is fetched elsewhere and an order is told as `unknown`")
        .size("keep_body", bytes(d.keep_body), 0..=16 * MIB,
            "bytes of a request body that are kept so that it can be sent again")
        .size("max_body", d.max_body, 0..=1024 * 1024 * MIB,
            "bytes of a request body; more is 413")
        .number("max_streams", u64::from(d.max_streams), 1..=10_000,
            "requests at a time on one HTTP/2 connection of a client; more are refused \
             (REFUSED_STREAM)")
});

pub(crate) static DNS: LazyLock<Section> = LazyLock::new(|| {
    let d = Dns::default();
    let year = 365 * 24 * HOUR;
    let example = "dns: { resolvers: [1.1.1.1, \"8.8.8.8:53\"] }";
    Section::new("dns", "the settings of DNS", example)
        .optional("resolvers", Value::one_or_list(Value::Text("address"), MAX_RESOLVERS),
            "those of `/etc/resolv.conf`",
            "addresses of resolvers, `1.1.1.1` or `\"8.8.8.8:53\"`; best of different operators")
        .duration("timeout", d.timeout, 10 * MS..=60_000 * MS,
            "longest wait for the answer to one question")
        .duration("min_ttl", d.min_ttl, 100 * MS..=HOUR,
            "an answer is used for this long at least")
        .duration("max_ttl", d.max_ttl, 100 * MS..=24 * HOUR,
            "an answer is used for this long at most; not below `min_ttl`")
        .duration("keep", d.keep, Duration::ZERO..=year,
            "how long an address is kept after it was last named")
        .duration("keep_decentralized", d.keep_decentralized, Duration::ZERO..=year,
            "the same at a provider of kind `decentralized`, which gives addresses to strangers sooner")
        .or("private", Value::words(&PRIVATE), "refuse",
            "private addresses where public ones were")
});

pub(crate) static GUARDS: LazyLock<Section> = LazyLock::new(|| {
    let example = "guards: { capacity_without_provider: 40%, providers: 2 }";
    Section::new("guards", "the guards", example)
        .share("capacity_without_site", 0.0, 0.0..=1.0,
            "least share of a pool's declared capacity that is left without any one of its sites; \
             nothing is asked for at 0%")
        .share("capacity_without_provider", 0.0, 0.0..=1.0,
            "the same without any one of its providers")
        .number("providers", 1, 1..=256, "least number of providers that a pool depends on")
        .flag("second_tier", false,
            "whether every pool that a route leads to needs a second tier, so that no class goes \
             without one")
        .optional("force", Value::Text("reason"), "none",
            "why what breaks a guard is taken all the same: one line of 400 characters at most, for \
             the journal")
});
