//! `guards`: what a policy asks of its pools, and what is said of those that break it.
//!
//! Owns the words and the places. What breaks a guard is for the engine's crate to say, which holds
//! operators' words against the same guards.

use super::pools::Pools;
use crate::fields::{Fields, expected, text};
use crate::policy::Route;
use crate::report::Report;
use crate::shape;
use crate::source::Pos;
use crate::units::show_share;
use leeward_failover::{Guard, Guards, Policy, PoolId};
use std::collections::BTreeSet;

/// Characters of a reason at most: it stands in the journal.
const LONGEST_REASON: usize = 400;

/// What `guards` says, and where.
#[derive(Default)]
pub(super) struct Rails {
    pub(super) guards: Guards,
    /// Where a key stands.
    places: Vec<(&'static str, Pos)>,
}

/// Reads `guards`.
pub(super) fn compile(fields: &mut Fields<'_>) -> Rails {
    let report = fields.report;
    let Some(mut f) = fields
        .get("guards")
        .and_then(|node| Fields::of(report, node, &shape::process::GUARDS))
    else {
        return Rails::default();
    };
    let guards = Guards {
        capacity_without_site: f.share("capacity_without_site", 0.0),
        capacity_without_provider: f.share("capacity_without_provider", 0.0),
        providers: usize::try_from(f.count("providers", 1)).unwrap_or(1),
        second_tier: f.flag("second_tier", false),
        forced: f.get("force").and_then(|node| {
            const WHAT: &str = "a reason such as \"INC-42: the contract with gcp ends\"";
            let reason = text(report, node, WHAT)?;
            let good = reason.chars().count() <= LONGEST_REASON
                && !reason.contains(char::is_control)
                && !matches!(reason, "true" | "false");
            if !good {
                let hint =
                    format!("one line of {LONGEST_REASON} characters at most, for the journal");
                expected(report, node, WHAT, Some(hint));
            }
            good.then(|| reason.to_owned())
        }),
    };
    let keys = [
        Guard::CapacityWithoutSite,
        Guard::CapacityWithoutProvider,
        Guard::Providers,
        Guard::SecondTier,
    ];
    let keys = keys.map(Guard::as_str).into_iter().chain(["force"]);
    let places = keys
        .filter_map(|key| Some((key, f.key_pos(key)?)))
        .collect();
    f.finish();
    Rails { guards, places }
}

impl Rails {
    /// Says what breaks a guard: an error, or a warning where that was forced.
    pub(super) fn judge(
        &self,
        report: &Report<'_>,
        policy: &Policy,
        pools: &Pools,
        routes: &[Route],
    ) {
        // Where something is wrong, pools and their backends may be missing here.
        if report.has_errors() {
            return;
        }
        let breaches = policy.breaches();
        let mut broken = false;
        for breach in breaches {
            let classes = classes(routes, breach.pool);
            let (Some((name, pos)), false) = (pools.place(breach.pool), classes.is_empty()) else {
                // What no route leads to carries nothing.
                continue;
            };
            broken = true;
            let mut text = format!("pool `{name}` breaks a guard: {}", breach.text);
            if breach.guard == Guard::SecondTier {
                text.push_str(&format!(", for {}", classes.join(", ")));
            }
            let guard = self.words(report, breach.guard, pos);
            match &self.guards.forced {
                Some(reason) => {
                    let hint = format!("{guard}; forced: {reason}");
                    report.warning(pos, text, hint);
                }
                None => {
                    let hint =
                        format!("{guard}; `force: REASON` in `guards` takes it all the same");
                    report.error_hint(pos, text, hint);
                }
            }
        }
        if let (Some(pos), Some(_), false) = (self.place("force"), &self.guards.forced, broken) {
            let text = "`force` is no longer needed: no guard is broken";
            report.warning(
                pos,
                text,
                "remove it, or the next breach goes through as well",
            );
        }
    }

    /// `capacity_without_site: 40%, line 7`.
    fn words(&self, report: &Report<'_>, guard: Guard, from: Pos) -> String {
        let key = guard.as_str();
        let value = match guard {
            Guard::CapacityWithoutSite => show_share(self.guards.capacity_without_site),
            Guard::CapacityWithoutProvider => show_share(self.guards.capacity_without_provider),
            Guard::Providers => self.guards.providers.to_string(),
            Guard::SecondTier => self.guards.second_tier.to_string(),
        };
        let place = self.place(key).map(|pos| report.place(pos, from));
        format!("`{key}: {value}`, {}", place.unwrap_or_default())
    }

    fn place(&self, key: &str) -> Option<Pos> {
        let mut places = self.places.iter();
        places.find(|(known, _)| *known == key).map(|(_, pos)| *pos)
    }
}

/// The classes of the routes that lead to a pool.
fn classes(routes: &[Route], pool: PoolId) -> Vec<&'static str> {
    let of_it = routes.iter().filter(|route| route.pool == pool);
    let classes: BTreeSet<_> = of_it.map(|route| route.class).collect();
    classes.into_iter().map(|class| class.as_str()).collect()
}
