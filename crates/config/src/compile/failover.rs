//! `health`, `retry`, and the thresholds of `failover`.

use super::expect;
use crate::fields::Fields;
use crate::policy::ErrorSigns;
use crate::report::Report;
use crate::source::Pos;
use crate::units::show_duration;
use leeward_failover::{FailoverParams, HealthParams, ProbeParams, RetryParams, Suspicion};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Shares that mean "some": 0 would always hold.
const SOME: std::ops::RangeInclusive<f64> = 0.001..=1.0;

/// Reads `health`, and how errors show in an answer whose status says success.
pub(super) fn health(fields: &mut Fields<'_>) -> (HealthParams, Option<ErrorSigns>) {
    let d = HealthParams::default();
    let example = "health: { consecutive: 5 }";
    let Some(mut f) = fields
        .get("health")
        .and_then(|node| Fields::of(fields.report, node, "the health settings", example))
    else {
        return (d, None);
    };
    let window = Duration::from_millis(100)..=Duration::from_secs(300);
    let found = HealthParams {
        window: f.duration("window", d.window, window),
        min_requests: f.count("min_requests", d.min_requests, 1..=1_000_000),
        failing: f.share("failing", d.failing, SOME),
        consecutive: f.count("consecutive", d.consecutive, 1..=100_000),
        connect_failures: f.count("connect_failures", d.connect_failures, 1..=100_000),
    };
    let signs = f
        .get("error_if")
        .and_then(|node| expect::error_signs(f.report, node));
    f.finish();
    (found, signs)
}

/// Reads `retry`.
pub(super) fn retry(fields: &mut Fields<'_>) -> RetryParams {
    let d = RetryParams::default();
    let example = "retry: { budget: 10%, attempts: 4 }";
    let Some(mut f) = fields
        .get("retry")
        .and_then(|node| Fields::of(fields.report, node, "the retry settings", example))
    else {
        return d;
    };
    let found = RetryParams {
        budget: f.share("budget", d.budget, 0.0..=1.0),
        floor_per_second: f
            .rate("floor", 0.0..=100_000.0)
            .unwrap_or(d.floor_per_second),
        attempts: f.count("attempts", d.attempts, 1..=20),
        hedge: f.share("hedge", d.hedge, 0.0..=0.5),
    };
    f.finish();
    found
}

/// Reads the thresholds of `failover`, and says where the first hold-down is given.
pub(super) fn thresholds(fields: &mut Fields<'_>) -> (FailoverParams, Option<Pos>) {
    let mut found = FailoverParams::default();
    evacuate(fields, &mut found);
    let first = hold_down(fields, &mut found);
    found.ramp = fields.duration("ramp", found.ramp, Duration::ZERO..=DAY);
    found.keep_warm = fields.share("keep_warm", found.keep_warm, 0.0..=0.5);
    (found, first)
}

fn evacuate(fields: &mut Fields<'_>, found: &mut FailoverParams) {
    let report = fields.report;
    let example = "evacuate: { site: { failing: 50% }, provider: { failing_sites: 2 } }";
    let Some(mut evacuate) = fields
        .get("evacuate")
        .and_then(|node| Fields::of(report, node, "the evacuation settings", example))
    else {
        return;
    };
    let site = evacuate
        .get("site")
        .and_then(|node| Fields::of(report, node, "a threshold", "site: { failing: 50% }"));
    if let Some(mut site) = site {
        found.site_failing = site.share("failing", found.site_failing, SOME);
        site.finish();
    }
    let provider = evacuate.get("provider").and_then(|node| {
        Fields::of(
            report,
            node,
            "a threshold",
            "provider: { failing_sites: 2 }",
        )
    });
    if let Some(mut provider) = provider {
        let sites = provider.count("failing_sites", found.provider_failing_sites, 1..=1024);
        found.provider_failing_sites = sites;
        let words = [
            ("ignore", Suspicion::Ignore),
            ("avoid", Suspicion::Avoid),
            ("lower", Suspicion::Lower),
            ("evacuate", Suspicion::Evacuate),
        ];
        found.suspicion = provider
            .word("suspicion", &words)
            .unwrap_or(found.suspicion);
        provider.finish();
    }
    evacuate.finish();
}

fn hold_down(fields: &mut Fields<'_>, found: &mut FailoverParams) -> Option<Pos> {
    let report = fields.report;
    let example = "hold_down: { first: 30s, max: 15m }";
    let node = fields.get("hold_down")?;
    let mut f = Fields::of(report, node, "the hold-down", example)?;
    let first = f.key_pos("first");
    found.hold_down_first = f.duration("first", found.hold_down_first, MS..=DAY);
    let max = found.hold_down_max.max(found.hold_down_first);
    found.hold_down_max = f.duration("max", max, MS..=DAY);
    if found.hold_down_max < found.hold_down_first
        && let Some(pos) = f.key_pos("max")
    {
        report.error(pos, "`max` of the hold-down is shorter than its `first`");
    }
    f.finish();
    first
}

/// Warns of a hold-down that ends before probes can see a failure.
pub(super) fn hold_down_fits(
    report: &Report<'_>,
    pos: Pos,
    params: FailoverParams,
    probe: ProbeParams,
) {
    let needed = probe.interval.saturating_mul(probe.fall);
    if params.hold_down_first < needed {
        let text = "the first hold-down is shorter than probes take to see a failure";
        let needed = show_duration(needed);
        let hint = format!("{needed} or more: the interval of the probe times its `fall`");
        report.warning(pos, text, hint);
    }
}
