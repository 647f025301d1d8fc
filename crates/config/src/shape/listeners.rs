//! Listeners: where clients connect, and who they are.

use super::words::{FORWARDED, SWITCH, TRUSTED};
use super::{Section, Value};
use crate::policy::{DEFAULT_MAX_CONNECTIONS, ProxyProtocol};
use std::sync::LazyLock;
use std::time::Duration;

pub(crate) const MAX_LISTENERS: usize = 256;
pub(crate) const MAX_CERTIFICATES: usize = 1024;
/// Networks in one list.
pub(crate) const MAX_NETWORKS: usize = 1024;

fn networks() -> Value {
    Value::one_or_list(Value::Text("address or network"), MAX_NETWORKS)
}

pub(crate) static LISTENER: LazyLock<Section> = LazyLock::new(|| {
    Section::new("listeners", "a listener", "public: { bind: 0.0.0.0:8080 }")
        .required("bind", Value::Text("address and port"),
            "address and port; port 0 takes a free one, which is logged")
        .optional("tls", Value::Section(&TLS), "plain HTTP", "serves HTTPS")
        .number("max_connections", DEFAULT_MAX_CONNECTIONS as u64, 1..=10_000_000,
            "open connections; more are accepted and closed at once")
        .optional("max_connections_per_client", Value::Number(1..=10_000_000), "none",
            "the same for one client: an IPv4 address, or an IPv6 network of 64 bits. The client is \
             the one of the PROXY header where there is one. Peers in `trusted` are no clients")
        .optional("proxy_protocol", Value::Section(&PROXY_PROTOCOL), "none",
            "takes the client's address from a PROXY header")
        .optional("trusted", Value::Either(vec![networks(), Value::Section(&TRUSTED_PEERS)]), "nobody",
            "addresses and networks whose forwarding fields are believed, see below")
        .or("forwarded", Value::one_or_list(Value::words(&FORWARDED), FORWARDED.len()), "x-forwarded",
            "the kinds of forwarding fields that backends get")
        .optional("http2", Value::words(&SWITCH), "`on` with `tls`",
            "whether HTTP/2 is agreed to in the TLS handshake (ALPN); HTTP/1.1 always is. With `tls` \
             only")
        .flag("h2c", false,
            "whether HTTP/2 is taken over plain TCP, from clients that begin with its preface (prior \
             knowledge). Without `tls` only")
});

pub(crate) static TLS: LazyLock<Section> = LazyLock::new(|| {
    let example = "tls: { certificates: [{ cert: tls/api.pem, key: tls/api.key }] }";
    Section::new("tls", "the TLS settings", example)
        .inline()
        .required("certificates", Value::list(Value::Section(&CERTIFICATE), 1..=MAX_CERTIFICATES),
            "list of `{ cert: FILE, key: FILE }`, both PEM; the first also serves clients that name \
             no host or an unknown one")
});

pub(crate) static CERTIFICATE: LazyLock<Section> = LazyLock::new(|| {
    Section::new(
        "certificate",
        "a certificate",
        "{ cert: a.pem, key: a.key }",
    )
    .inline()
    .required(
        "cert",
        Value::Text("file"),
        "PEM file of the chain, leaf first",
    )
    .required("key", Value::Text("file"), "PEM file of the private key")
});

pub(crate) static PROXY_PROTOCOL: LazyLock<Section> = LazyLock::new(|| {
    let d = ProxyProtocol::default();
    let example = "proxy_protocol: { from: [10.0.0.0/8] }";
    Section::new("proxy_protocol", "the PROXY protocol settings", example)
        .inline()
        .required("from", networks(),
            "addresses and networks whose connections begin with a PROXY header, version 1 or 2. It \
             is required of them; from others it is bad HTTP or bad TLS")
        .duration("timeout", d.timeout, Duration::from_millis(1)..=Duration::from_secs(60),
            "from accept to the end of the PROXY header")
});

pub(crate) static TRUSTED_PEERS: LazyLock<Section> = LazyLock::new(|| {
    let example = "trusted: { from: [10.0.0.0/8], fields: forwarded }";
    Section::new("trusted", "the trusted peers", example)
        .inline()
        .required("from", networks(), "the same, beside `fields`")
        .or(
            "fields",
            Value::words(&TRUSTED),
            "x-forwarded",
            "the one kind of forwarding fields that is believed",
        )
});
