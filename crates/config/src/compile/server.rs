//! `admin`, `workers`, `drain` and `limits`: the process itself.

use super::http::address;
use crate::fields::Fields;
use crate::policy::{DEFAULT_ADMIN, Drain, Limits};
use std::net::SocketAddr;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);
const MIB: u64 = 1024 * 1024;

/// Where the admin side listens; `None` for `admin: off`.
pub(super) fn admin(fields: &mut Fields<'_>) -> Option<SocketAddr> {
    let Some(node) = fields.get("admin") else {
        return Some(DEFAULT_ADMIN);
    };
    if node.text() == Some("off") {
        return None;
    }
    let report = fields.report;
    let example = "admin: { bind: 127.0.0.1:9900 }` or `admin: off";
    let Some(mut admin) = Fields::of(report, node, "the admin side", example) else {
        return Some(DEFAULT_ADMIN);
    };
    let bind = admin.get("bind");
    let found = bind
        .and_then(|node| address(report, node))
        .unwrap_or(DEFAULT_ADMIN);
    if !found.ip().is_loopback()
        && let Some(node) = bind
    {
        let text = "the admin side is open to the network, and asks for no password";
        report.warning(node.pos, text, "bind it to 127.0.0.1, or guard its port");
    }
    admin.finish();
    Some(found)
}

/// Data workers; one a core where the policy does not say.
pub(super) fn workers(fields: &mut Fields<'_>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = fields.number("workers", 1..=1024);
    workers
        .and_then(|workers| usize::try_from(workers).ok())
        .unwrap_or(cores)
}

/// How a SIGTERM ends.
pub(super) fn drain(fields: &mut Fields<'_>) -> Drain {
    let default = Drain::default();
    let Some(node) = fields.get("drain") else {
        return default;
    };
    let example = "drain: { linger: 2s, timeout: 30s }";
    let Some(mut drain) = Fields::of(fields.report, node, "the drain settings", example) else {
        return default;
    };
    let found = Drain {
        linger: drain.duration("linger", default.linger, Duration::ZERO..=HOUR),
        timeout: drain.duration("timeout", default.timeout, Duration::ZERO..=HOUR),
    };
    drain.finish();
    found
}

/// Bounds on everything that faces a client.
pub(super) fn limits(fields: &mut Fields<'_>) -> Limits {
    let default = Limits::default();
    let Some(node) = fields.get("limits") else {
        return default;
    };
    let Some(mut f) = Fields::of(
        fields.report,
        node,
        "the limits",
        "limits: { max_body: 1MiB }",
    ) else {
        return default;
    };
    let found = Limits {
        tls_handshake: f.duration("tls_handshake", default.tls_handshake, MS..=HOUR),
        header_timeout: f.duration("header_timeout", default.header_timeout, MS..=HOUR),
        header_bytes: size(&mut f, "header_bytes", default.header_bytes, 1024, 16 * MIB),
        header_count: count(&mut f, "header_count", default.header_count, 1..=10_000),
        idle_timeout: f.duration("idle_timeout", default.idle_timeout, MS..=24 * HOUR),
        body_idle: f.duration("body_idle", default.body_idle, MS..=HOUR),
        body_min_rate: f.size("body_min_rate", default.body_min_rate, 0..=1024 * MIB),
        write_stall: f.duration("write_stall", default.write_stall, MS..=HOUR),
        keep_body: size(&mut f, "keep_body", default.keep_body, 0, 16 * MIB),
        max_body: f.size("max_body", default.max_body, 0..=1024 * 1024 * MIB),
        max_streams: f.count("max_streams", default.max_streams, 1..=10_000),
    };
    f.finish();
    found
}

fn size(fields: &mut Fields<'_>, key: &'static str, default: usize, low: u64, high: u64) -> usize {
    usize::try_from(fields.size(key, default as u64, low..=high)).unwrap_or(default)
}

/// A whole number within bounds as `usize`.
pub(super) fn count(
    fields: &mut Fields<'_>,
    key: &'static str,
    default: usize,
    bounds: std::ops::RangeInclusive<u64>,
) -> usize {
    fields
        .number(key, bounds)
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(default)
}
