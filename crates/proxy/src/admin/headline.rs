//! The one answer: what is failing, what leeward did about it, and whether it is safe.
//!
//! Made from the engine's status and from where the pools stand; decides nothing. The page shows it
//! on top, and whoever asks for the status gets it as text. Times are UTC, as in the log.

mod words;

use super::standing::Standing;
use leeward_failover::{Cause, EndpointStatus, OperatorWord, PlaceStatus, Status, Verdict};
use serde::Serialize;
use std::collections::BTreeSet;
use words::{clock, list, percent, reason};

/// A share of traffic below this is not worth a word: standbys are kept warm with less.
const WORTH_SAYING: f64 = 0.05;

/// What it is made from.
pub(super) struct Facts<'a> {
    pub(super) status: &'a Status,
    pub(super) standing: &'a [Standing],
    /// The engine's beginning, in seconds since 1970.
    pub(super) began: f64,
    /// Requests per second that leeward refuses at its own limits, or has no place for.
    pub(super) shed: f64,
    /// Requests whose outcome nobody knows, lately.
    pub(super) unknown: u64,
    /// Whether the last policy was not taken.
    pub(super) rejected: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Headline {
    pub(super) level: Level,
    /// One sentence.
    pub(super) text: String,
}

/// How much it matters, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// Nothing is failing.
    Calm,
    /// Something is not as usual, and clients do not feel it.
    Watch,
    /// Something is down, or clients are turned away.
    Outage,
}

impl Headline {
    /// The answer to these facts.
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let mut level = Level::Calm;
        let mut parts = Vec::new();
        let away = failing(facts, &mut level, &mut parts);
        moved(facts, &away, &mut level, &mut parts);
        safe(facts, &away, &mut level, &mut parts);
        let mut text = parts.join("; ");
        text.push('.');
        if let Some(first) = text.get(..1).map(str::to_uppercase)
            && !begins_with_a_name(facts, &text)
        {
            text.replace_range(..1, &first);
        }
        Self { level, text }
    }
}

/// Names keep their case: `aws` is not `Aws`.
fn begins_with_a_name(facts: &Facts<'_>, text: &str) -> bool {
    let places = facts.status.providers.iter().chain(&facts.status.sites);
    let mut names = places.map(|place| place.name.as_str());
    names.any(|name| {
        text.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', ',']))
    })
}

/// What is failing, or away, or on its way home; the sites that are away.
fn failing(facts: &Facts<'_>, level: &mut Level, parts: &mut Vec<String>) -> BTreeSet<String> {
    let status = facts.status;
    for pool in status.pools.iter().filter(|pool| pool.panic) {
        *level = Level::Outage;
        parts.push(format!(
            "everything in pool {} looks bad, so leeward distrusts its own eyes and serves from what is least bad",
            pool.name
        ));
    }
    let mut away = BTreeSet::new();
    let mut told: Vec<&str> = Vec::new();
    let provider_first = status.providers.iter().chain(&status.sites);
    for place in provider_first {
        let left = place.verdict == Verdict::Down || place.operator != OperatorWord::Active;
        let below = |site: &&PlaceStatus| {
            site.name == place.name
                || site
                    .name
                    .strip_prefix(&place.name)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        if left {
            away.extend(
                status
                    .sites
                    .iter()
                    .filter(below)
                    .map(|site| site.name.clone()),
            );
        }
        let covered = told.iter().any(|above| {
            place
                .name
                .strip_prefix(above)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        if covered {
            continue;
        }
        if let Some((how, text)) = of_place(facts, place) {
            *level = (*level).max(how);
            // A provider that is only suspect says less than its site that is down.
            let worse_below = status.sites.iter().filter(below).any(|site| {
                site.name != place.name
                    && of_place(facts, site).is_some_and(|(worse, _)| worse > how)
            });
            if worse_below {
                continue;
            }
            told.push(&place.name);
            parts.push(text);
        }
    }
    single_endpoints(facts, &away, &told, level, parts);
    if parts.is_empty() {
        let unknown = status
            .sites
            .iter()
            .filter(|site| site.verdict == Verdict::Unknown);
        let unknown: Vec<&str> = unknown.map(|site| site.name.as_str()).collect();
        if unknown.is_empty() {
            let sites = status.sites.len();
            parts.push(match sites {
                1 => "the one site serves".to_owned(),
                _ => format!("all {sites} sites serve"),
            });
        } else {
            *level = (*level).max(Level::Watch);
            let verb = if unknown.len() == 1 { "has" } else { "have" };
            parts.push(format!(
                "{} {verb} not answered a probe yet",
                list(&unknown)
            ));
        }
    }
    away
}

/// What there is to say of a provider or site; nothing where it just serves.
fn of_place(facts: &Facts<'_>, place: &PlaceStatus) -> Option<(Level, String)> {
    let name = &place.name;
    let since = clock(facts.began, place.since, facts.status.at);
    let because = reason(place.operator_reason.as_str());
    match place.operator {
        OperatorWord::Evacuated => {
            return Some((
                Level::Watch,
                format!("{name} is evacuated by an operator{because}"),
            ));
        }
        OperatorWord::Draining => {
            return Some((
                Level::Watch,
                format!("{name} is drained by an operator{because}"),
            ));
        }
        OperatorWord::Active => {}
    }
    match (place.verdict, place.cause) {
        (Verdict::Down, Cause::AwaitsOperator) => {
            let text = format!(
                "{name} is well again since {since} and waits for an operator to restore it"
            );
            Some((Level::Watch, text))
        }
        (Verdict::Down, Cause::AwaitsWindow) => {
            let text =
                format!("{name} is well again since {since} and waits for its window to come home");
            Some((Level::Watch, text))
        }
        (Verdict::Down, cause) => {
            let why = words::cause(deepest(facts.status, place, cause));
            Some((
                Level::Outage,
                format!("{name} is down since {since} ({why})"),
            ))
        }
        (Verdict::Recovering, _) => {
            let left = place.ramp_left_ms.map(|ms| ms.div_ceil(1000));
            let ends = left.map_or_else(String::new, |s| format!(", its ramp ends in {s} s"));
            let share = reads_at(facts.standing, name).map_or_else(String::new, |share| {
                format!(": {} of reads go there", percent(share))
            });
            let text = format!("{name} comes home since {since}{share}{ends}");
            Some((Level::Watch, text))
        }
        (Verdict::Suspect | Verdict::Degraded, cause) => {
            let (verdict, why) = (place.verdict.as_str(), words::cause(cause));
            Some((
                Level::Watch,
                format!("{name} is {verdict} since {since} ({why})"),
            ))
        }
        (Verdict::Healthy | Verdict::Unknown, _) => None,
    }
}

/// The share of reads that goes to a provider or site, over all pools that have any there; nothing
/// where those have no reads.
fn reads_at(standing: &[Standing], place: &str) -> Option<f64> {
    let here = |site: &str| {
        let rest = site.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let pools = standing
        .iter()
        .filter(|pool| pool.sites.iter().any(|site| here(site)));
    let shares: Vec<f64> = pools
        .filter_map(|pool| pool.flow.iter().find(|flow| !flow.is_orders()))
        .map(|reads| {
            let parts = reads.to.iter().filter(|part| here(&part.site));
            parts.map(|part| part.share).sum()
        })
        .collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// That its endpoints are down says little: why they are says more.
fn deepest(status: &Status, place: &PlaceStatus, cause: Cause) -> Cause {
    if !matches!(cause, Cause::EndpointsDown | Cause::SitesDown) {
        return cause;
    }
    let below = |endpoint: &&EndpointStatus| {
        let rest = endpoint.site.strip_prefix(&place.name);
        endpoint.verdict == Verdict::Down
            && rest.is_some_and(|r| r.is_empty() || r.starts_with('/'))
    };
    let endpoints = status.pools.iter().flat_map(|pool| &pool.endpoints);
    let last = endpoints
        .filter(below)
        .max_by_key(|endpoint| endpoint.since);
    last.map_or(cause, |endpoint| endpoint.cause)
}

/// Endpoints that are not well at sites of which nothing was said.
fn single_endpoints(
    facts: &Facts<'_>,
    away: &BTreeSet<String>,
    told: &[&str],
    level: &mut Level,
    parts: &mut Vec<String>,
) {
    let silent = |site: &str| {
        let provider = site.split('/').next().unwrap_or_default();
        !away.contains(site) && !told.contains(&site) && !told.contains(&provider)
    };
    let endpoints = facts.status.pools.iter().flat_map(|pool| &pool.endpoints);
    let here: Vec<_> = endpoints
        .filter(|endpoint| silent(&endpoint.site))
        .collect();
    for (verdict, how) in [
        (Verdict::Down, Level::Outage),
        (Verdict::Degraded, Level::Watch),
        (Verdict::Suspect, Level::Watch),
        (Verdict::Recovering, Level::Watch),
    ] {
        let found: Vec<_> = here.iter().filter(|e| e.verdict == verdict).collect();
        let Some(first) = found.iter().min_by_key(|endpoint| endpoint.since) else {
            continue;
        };
        *level = (*level).max(how);
        let sites: BTreeSet<&str> = found.iter().map(|e| e.site.as_str()).collect();
        let sites: Vec<&str> = sites.into_iter().collect();
        let since = clock(facts.began, first.since, facts.status.at);
        let (verb, what) = match found.len() {
            1 => ("is", "endpoint"),
            _ => ("are", "endpoints"),
        };
        parts.push(format!(
            "{} {what} of {} {verb} {} since {since} ({})",
            found.len(),
            list(&sites),
            verdict.as_str(),
            words::cause(first.cause)
        ));
    }
}

/// What was done: where the traffic of what is away goes, and orders.
fn moved(facts: &Facts<'_>, away: &BTreeSet<String>, level: &mut Level, parts: &mut Vec<String>) {
    let touched: Vec<&Standing> = facts
        .standing
        .iter()
        .filter(|pool| away.is_empty() || pool.sites.iter().any(|site| away.contains(site)))
        .collect();
    let goes = |orders: bool| {
        let mut to = BTreeSet::new();
        let (mut any, mut stuck) = (false, false);
        for flow in touched.iter().flat_map(|pool| &pool.flow) {
            if flow.is_orders() == orders {
                any = true;
                stuck |= flow.to.is_empty();
                let worth = flow.to.iter().filter(|part| part.share >= WORTH_SAYING);
                to.extend(worth.map(|part| part.site.as_str()));
            }
        }
        (any, stuck, to.into_iter().collect::<Vec<_>>())
    };
    let (reads, _, reads_to) = goes(false);
    let (orders, orders_stuck, orders_to) = goes(true);
    if orders && orders_stuck {
        *level = Level::Outage;
        parts.push("orders have no place to go".to_owned());
    }
    let its = if away.len() == 1 { "its" } else { "their" };
    let known = orders && !orders_stuck;
    if away.is_empty() {
        if known {
            parts.push(format!("orders go to {}", list(&orders_to)));
        }
        return;
    }
    if reads && known && reads_to == orders_to {
        parts.push(format!("{its} reads and orders go to {}", list(&reads_to)));
        return;
    }
    if reads && !reads_to.is_empty() {
        parts.push(format!("{its} reads go to {}", list(&reads_to)));
    }
    if known {
        let what = if reads {
            "orders".to_owned()
        } else {
            format!("{its} orders")
        };
        parts.push(format!("{what} go to {}", list(&orders_to)));
    }
}

/// Whether it is safe: what is left, what is turned away, what nobody knows.
fn safe(facts: &Facts<'_>, away: &BTreeSet<String>, level: &mut Level, parts: &mut Vec<String>) {
    let touched =
        |pool: &&Standing| away.is_empty() || pool.sites.iter().any(|site| away.contains(site));
    let part = |pool: &Standing| match (pool.capacity_left, pool.capacity) {
        (Some(left), Some(all)) if all > 0.0 => left / all,
        _ => pool.serving as f64 / pool.endpoints.max(1) as f64,
    };
    let pools: Vec<&Standing> = facts.standing.iter().filter(touched).collect();
    let worst = pools.iter().min_by(|a, b| part(a).total_cmp(&part(b)));
    if let Some(worst) = worst.filter(|pool| part(pool) < 1.0) {
        let of = match pools.len() {
            1 => String::new(),
            _ => format!(" of pool {}", worst.pool),
        };
        parts.push(match worst.capacity {
            Some(_) => format!("{} of the capacity{of} is left", percent(part(worst))),
            None => format!(
                "{} of {} endpoints{of} serve",
                worst.serving, worst.endpoints
            ),
        });
    }
    if facts.shed > 0.0 {
        *level = Level::Outage;
        let rate = facts.shed;
        parts.push(if rate < 1.0 {
            "a few requests are turned away".to_owned()
        } else {
            format!("{rate:.0} requests/s are turned away")
        });
    } else {
        parts.push("nothing is shed".to_owned());
    }
    match facts.unknown {
        0 => {}
        1 => parts.push("1 request ended as unknown in the last ten minutes".to_owned()),
        n => parts.push(format!(
            "{n} requests ended as unknown in the last ten minutes"
        )),
    }
    if facts.rejected {
        *level = (*level).max(Level::Watch);
        parts.push("the last reload was refused, the policy from before serves".to_owned());
    }
}

#[cfg(test)]
mod tests;
