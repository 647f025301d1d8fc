//! `health`, `retry`, and the thresholds of `failover`.

use super::expect;
use crate::fields::Fields;
use crate::policy::ErrorSigns;
use crate::report::Report;
use crate::shape;
use crate::shape::words::SUSPICIONS;
use crate::source::Pos;
use crate::units::show_duration;
use leeward_failover::{FailoverParams, HealthParams, ProbeParams, RetryParams};

/// Reads `health`, and how errors show in an answer whose status says success.
pub(super) fn health(fields: &mut Fields<'_>) -> (HealthParams, Option<ErrorSigns>) {
    let d = HealthParams::default();
    let Some(mut f) = fields
        .get("health")
        .and_then(|node| Fields::of(fields.report, node, &shape::failover::HEALTH))
    else {
        return (d, None);
    };
    let found = HealthParams {
        window: f.duration("window", d.window),
        min_requests: f.count("min_requests", d.min_requests),
        failing: f.share("failing", d.failing),
        consecutive: f.count("consecutive", d.consecutive),
        connect_failures: f.count("connect_failures", d.connect_failures),
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
    let Some(mut f) = fields
        .get("retry")
        .and_then(|node| Fields::of(fields.report, node, &shape::pools::RETRY))
    else {
        return d;
    };
    let found = RetryParams {
        budget: f.share("budget", d.budget),
        floor_per_second: f.rate("floor").unwrap_or(d.floor_per_second),
        attempts: f.count("attempts", d.attempts),
        hedge: f.share("hedge", d.hedge),
    };
    f.finish();
    found
}

/// Reads the thresholds of `failover`, and says where the first hold-down is given.
pub(super) fn thresholds(fields: &mut Fields<'_>) -> (FailoverParams, Option<Pos>) {
    let mut found = FailoverParams::default();
    evacuate(fields, &mut found);
    let first = hold_down(fields, &mut found);
    found.ramp = fields.duration("ramp", found.ramp);
    found.keep_warm = fields.share("keep_warm", found.keep_warm);
    (found, first)
}

fn evacuate(fields: &mut Fields<'_>, found: &mut FailoverParams) {
    let report = fields.report;
    let Some(mut evacuate) = fields
        .get("evacuate")
        .and_then(|node| Fields::of(report, node, &shape::failover::EVACUATE))
    else {
        return;
    };
    let site = evacuate
        .get("site")
        .and_then(|node| Fields::of(report, node, &shape::failover::EVACUATE_SITE));
    if let Some(mut site) = site {
        found.site_failing = site.share("failing", found.site_failing);
        site.finish();
    }
    let provider = evacuate
        .get("provider")
        .and_then(|node| Fields::of(report, node, &shape::failover::EVACUATE_PROVIDER));
    if let Some(mut provider) = provider {
        let sites = provider.count("failing_sites", found.provider_failing_sites);
        found.provider_failing_sites = sites;
        found.suspicion = provider
            .word("suspicion", &SUSPICIONS)
            .unwrap_or(found.suspicion);
        provider.finish();
    }
    evacuate.finish();
}

fn hold_down(fields: &mut Fields<'_>, found: &mut FailoverParams) -> Option<Pos> {
    let report = fields.report;
    let node = fields.get("hold_down")?;
    let mut f = Fields::of(report, node, &shape::failover::HOLD_DOWN)?;
    let first = f.key_pos("first");
    found.hold_down_first = f.duration("first", found.hold_down_first);
    let max = found.hold_down_max.max(found.hold_down_first);
    found.hold_down_max = f.duration("max", max);
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
