//! What is seen of a pool's endpoints, when places are left, and the way home.

use super::routes::MAX_HEADERS;
use super::words::{DAYS, FAILBACKS, PROBES, SUSPICIONS};
use super::{Section, Value};
use crate::policy::HttpProbe;
use leeward_failover::{FailoverParams, HealthParams, ProbeParams};
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Shares that mean "some": 0 would always hold.
const SOME: RangeInclusive<f64> = 0.001..=1.0;
pub(crate) const MAX_TIERS: usize = 64;
pub(crate) const MAX_ENTRIES: usize = 1024;
pub(crate) const MAX_WINDOWS: usize = 64;
pub(crate) const MAX_STATUS: usize = 64;
pub(crate) const MAX_CHECKS: usize = 64;

pub(crate) static PROBE: LazyLock<Section> = LazyLock::new(|| {
    let (d, http) = (ProbeParams::default(), HttpProbe::default());
    Section::new(
        "probe",
        "a probe",
        "probe: { path: /healthz, interval: 1s }",
    )
    .optional(
        "type",
        Value::words(&PROBES),
        "`http` with a `path`, `grpc` with a `service`, else `tcp`",
        "tcp: a connection that stands is enough, TLS included for https. grpc: `Check` of \
             `grpc.health.v1.Health` says SERVING, see below",
    )
    .duration(
        "interval",
        d.interval,
        10 * MS..=600 * SECOND,
        "between two probes of one endpoint",
    )
    .duration(
        "timeout",
        d.timeout,
        10 * MS..=60 * SECOND,
        "a probe that has not ended by then has failed",
    )
    .number(
        "rise",
        u64::from(d.rise),
        1..=100,
        "successes in a row that make an endpoint healthy",
    )
    .number(
        "fall",
        u64::from(d.fall),
        1..=100,
        "failures in a row that take it down",
    )
    .optional(
        "path",
        Value::Text("path"),
        "required for http",
        "path and query of the GET",
    )
    .optional(
        "host",
        Value::Text("host name"),
        "the backend's own",
        "Host field, for grpc the authority; http and grpc only",
    )
    .optional(
        "headers",
        Value::Pairs("header fields", MAX_HEADERS),
        "none",
        "fields to send; http and grpc only",
    )
    .optional(
        "service",
        Value::Text("name"),
        "the server as a whole",
        "the service that is asked for, by its full name: `exchange.v1.Orders`; grpc only",
    )
    .size(
        "max_body",
        http.max_body as u64,
        0..=16 * 1024 * 1024,
        "bytes of the body that are read; a longer one fails where the body is looked at; http \
             only",
    )
    .optional(
        "expect",
        Value::Section(&EXPECT),
        "status 200 to 299",
        "what the answer must be, all of it; http only",
    )
});

pub(crate) static EXPECT: LazyLock<Section> =
    LazyLock::new(|| {
        let example = "expect: { status: 200, json: { \"/engine/lag_ms\": \"< 500\" } }";
        Section::new("expect", "what a probe expects", example)
        .or("status", Value::one_or_list(Value::Text("status or range"), MAX_STATUS), "200-299",
            "status codes that pass: `200`, `200-299`, `[200, 204]`")
        .optional("headers", Value::Pairs("header fields", MAX_HEADERS), "none",
            "as in `{ X-Ok: true, X-Feed: live }`. `true`: the field is there; otherwise its exact \
             value. `\"true\"` in quotes is that text")
        .optional("body", Value::Text("text"), "anything", "a text that the body contains: `ok`")
        .optional("json", Value::Pairs("JSON pointers", MAX_CHECKS), "none",
            "JSON pointers and what must hold there: `{ \"/engine/lag_ms\": \"< 500\" }`")
    });

pub(crate) static HEALTH: LazyLock<Section> = LazyLock::new(|| {
    let d = HealthParams::default();
    Section::new(
        "health",
        "the health settings",
        "health: { consecutive: 5 }",
    )
    .duration(
        "window",
        d.window,
        100 * MS..=300 * SECOND,
        "the trailing time that ratios look at",
    )
    .number(
        "min_requests",
        u64::from(d.min_requests),
        1..=1_000_000,
        "outcomes in the window before a ratio says anything",
    )
    .share(
        "failing",
        d.failing,
        SOME,
        "share of failures in the window that takes an endpoint down",
    )
    .number(
        "consecutive",
        u64::from(d.consecutive),
        1..=100_000,
        "failures in a row that take it down",
    )
    .number(
        "connect_failures",
        u64::from(d.connect_failures),
        1..=100_000,
        "connect failures within the window that take it down: with no success between, or while \
             probes cannot connect either",
    )
    .optional(
        "error_if",
        Value::Section(&ERROR_IF),
        "nothing",
        "how an error shows in an answer whose status says success, see below",
    )
});

pub(crate) static ERROR_IF: LazyLock<Section> = LazyLock::new(|| {
    let example = "error_if: { json: { \"/code\": \"!= 0\" } }";
    Section::new("error_if", "the signs of an error", example)
        .inline()
        .optional(
            "headers",
            Value::Pairs("header fields", MAX_HEADERS),
            "none",
            "fields that show it, `true` for any value",
        )
        .optional(
            "json",
            Value::Pairs("JSON pointers", MAX_CHECKS),
            "none",
            "JSON pointers into the body, with what holds there then",
        )
});

pub(crate) static FAILOVER: LazyLock<Section> = LazyLock::new(|| {
    let d = FailoverParams::default();
    let example = "failover: { tiers: [[aws/us-east-1], [gcp/us-east4, metal]] }";
    let place = Value::Either(vec![
        Value::Text("site or provider"),
        Value::Section(&TIER_SITE),
    ]);
    let windows = Value::Either(vec![Value::words(&FAILBACKS), Value::Section(&FAILBACK)]);
    Section::new("failover", "the failover settings", example)
        .optional(
            "tiers",
            Value::list(Value::list(place, 1..=MAX_ENTRIES), 1..=MAX_TIERS),
            "one tier with all sites",
            "ranks, the best first",
        )
        .optional(
            "evacuate",
            Value::Section(&EVACUATE),
            "its defaults",
            "when places are left",
        )
        .optional(
            "hold_down",
            Value::Section(&HOLD_DOWN),
            "its defaults",
            "how long a place that was left is stayed away from",
        )
        .duration(
            "ramp",
            d.ramp,
            Duration::ZERO..=DAY,
            "from the first request to a full share when a site returns",
        )
        .share(
            "keep_warm",
            d.keep_warm,
            0.0..=0.5,
            "share of repeatable reads that healthy standby tiers always see",
        )
        .or(
            "failback",
            windows,
            "automatic",
            "who says when a site or a provider that was left comes home, see below",
        )
});

pub(crate) static TIER_SITE: LazyLock<Section> = LazyLock::new(|| {
    Section::new("tier", "a site of a tier", "{ site: metal/ld4, weight: 3 }")
        .inline()
        .required("site", Value::Text("site"), "the site")
        .optional(
            "weight",
            Value::Number(1..=10_000),
            "see below",
            "its share of the tier",
        )
});

pub(crate) static EVACUATE: LazyLock<Section> = LazyLock::new(|| {
    let example = "evacuate: { site: { failing: 50% }, provider: { failing_sites: 2 } }";
    Section::new("evacuate", "the evacuation settings", example)
        .inline()
        .optional(
            "site",
            Value::Section(&EVACUATE_SITE),
            "its defaults",
            "when a site is left",
        )
        .optional(
            "provider",
            Value::Section(&EVACUATE_PROVIDER),
            "its defaults",
            "when a provider is left",
        )
});

pub(crate) static EVACUATE_SITE: LazyLock<Section> =
    LazyLock::new(|| {
        let d = FailoverParams::default();
        Section::new("evacuate_site", "a threshold", "site: { failing: 50% }")
        .inline()
        .share("failing", d.site_failing, SOME,
            "share of a site's endpoints that are down at which the site is left; where it is just \
             that share and all others are healthy, the site stays")
    });

pub(crate) static EVACUATE_PROVIDER: LazyLock<Section> = LazyLock::new(|| {
    let d = FailoverParams::default();
    Section::new(
        "evacuate_provider",
        "a threshold",
        "provider: { failing_sites: 2 }",
    )
    .inline()
    .number(
        "failing_sites",
        u64::from(d.provider_failing_sites),
        1..=1024,
        "sites of a provider that are down at which the provider is left; one with fewer sites \
             goes when all are down",
    )
    .or(
        "suspicion",
        Value::words(&SUSPICIONS),
        "avoid",
        "what becomes of a provider's other sites while some are down and too few to leave it: \
             nothing; attempts that follow a failed one rather go to another provider; that, and \
             their capacity counts half; they are left",
    )
});

pub(crate) static HOLD_DOWN: LazyLock<Section> = LazyLock::new(|| {
    let d = FailoverParams::default();
    Section::new(
        "hold_down",
        "the hold-down",
        "hold_down: { first: 30s, max: 15m }",
    )
    .inline()
    .duration(
        "first",
        d.hold_down_first,
        MS..=DAY,
        "first time that a place is stayed away from; one whose probes pass and fail again meanwhile has to be quiet for as long",
    )
    .duration(
        "max",
        d.hold_down_max,
        MS..=DAY,
        "longest such time of a place that flaps; not below `first`",
    )
});

pub(crate) static FAILBACK: LazyLock<Section> = LazyLock::new(|| {
    let example = "failback: { windows: [{ days: [sat, sun], from: 02:00, to: 06:00 }] }";
    Section::new("failback", "automatic, manual or windows", example)
        .inline()
        .required(
            "windows",
            Value::list(Value::Section(&WINDOW), 1..=MAX_WINDOWS),
            "when places may come home",
        )
});

pub(crate) static WINDOW: LazyLock<Section> = LazyLock::new(|| {
    let example = "{ days: [sat, sun], from: 02:00, to: 06:00 }";
    Section::new("windows", "a window", example)
        .optional(
            "days",
            Value::one_or_list(Value::words(&DAYS), DAYS.len()),
            "every day",
            "days of the week",
        )
        .required(
            "from",
            Value::Text("time in UTC"),
            "when it opens, `00:00` to `23:59`",
        )
        .required(
            "to",
            Value::Text("time in UTC"),
            "when it closes, up to `24:00`; on the next day where it is not after `from`",
        )
});
