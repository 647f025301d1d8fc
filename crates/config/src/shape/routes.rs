//! Providers, routes, and what routes match.

use super::words::{KINDS, classes};
use super::{Section, Value};
use std::sync::LazyLock;
use std::time::Duration;

pub(crate) const MAX_PROVIDERS: usize = 256;
pub(crate) const MAX_SITES: usize = 1024;
pub(crate) const MAX_ROUTES: usize = 16_384;
pub(crate) const MAX_LISTENERS: usize = 64;
pub(crate) const MAX_HOSTS: usize = 64;
pub(crate) const MAX_METHODS: usize = 32;
/// Header fields that a mapping names.
pub(crate) const MAX_HEADERS: usize = 64;

pub(crate) static PROVIDER: LazyLock<Section> = LazyLock::new(|| {
    Section::new(
        "providers",
        "a provider",
        "aws: { kind: cloud, sites: [us-east-1] }",
    )
    .or(
        "kind",
        Value::words(&KINDS),
        "cloud",
        "what kind of provider",
    )
    .required(
        "sites",
        Value::list(Value::Text("name"), 1..=MAX_SITES),
        "failure domains; elsewhere written as `aws/us-east-1`",
    )
    .optional(
        "max_share",
        Value::Share(0.001..=1.0),
        "none",
        "share of a pool's requests that it gets at most",
    )
});

pub(crate) static ROUTE: LazyLock<Section> = LazyLock::new(|| {
    let example = "{ match: { path: /api/v3/order }, class: order, pool: trading }";
    let longest = Duration::from_secs(24 * 3600);
    Section::new("routes", "a route", example)
        .optional(
            "name",
            Value::Text("text"),
            "derived from the match",
            "for labels and logs; unique, 100 characters at most",
        )
        .optional(
            "match",
            Value::Section(&MATCH),
            "everything",
            "what has to hold, see below",
        )
        .or(
            "class",
            Value::words(&classes()),
            "order",
            "what such a request means",
        )
        .required("pool", Value::Text("name of a pool"), "where it goes")
        .optional(
            "deadline",
            Value::Either(vec![
                Value::Duration(Duration::from_millis(1)..=longest),
                Value::Words(vec!["none"]),
            ]),
            "by class",
            "the time that all attempts share; `none` for no limit",
        )
});

pub(crate) static MATCH: LazyLock<Section> = LazyLock::new(|| {
    let example = "match: { path_prefix: /api/, methods: [GET] }";
    Section::new("match", "what a route matches", example)
        .optional("listener", Value::one_or_list(Value::Text("name of a listener"), MAX_LISTENERS), "any",
            "where the client connected: `public`, `[public, internal]`")
        .optional("host", Value::one_or_list(Value::Text("host name"), MAX_HOSTS), "any",
            "host name without port: `api.example.com`, `[\"*.example.com\"]`; `*` stands for exactly \
             one label, the first")
        .optional("path", Value::Text("path"), "any",
            "exactly this path, byte for byte as the client wrote it: `/api/v3/order`")
        .optional("path_prefix", Value::Text("path"), "any",
            "this path or anything below it: `/api` matches `/api/v3`, not `/apis`. One that ends with \
             a slash matches all that begins with it. Not with `path`")
        .optional("methods", Value::one_or_list(Value::Text("method"), MAX_METHODS), "any",
            "methods: `POST`, `[GET, HEAD]`; case matters")
        .optional("headers", Value::Pairs("header fields", MAX_HEADERS), "any",
            "as in `{ X-Beta: true, X-Kind: spot }`. `true`: the field is there; otherwise its exact \
             value")
});
