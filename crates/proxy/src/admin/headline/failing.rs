//! What is failing, away, or on its way home.

use super::words::{self, clock, list, percent, reason};
use super::{Answer, Level, Standing};
use leeward_failover::{Cause, EndpointStatus, OperatorWord, PlaceStatus, Status, Verdict};
use std::collections::BTreeSet;

impl Answer<'_> {
    /// Says it, worst and widest first; that all is well where it is.
    pub(super) fn say_what_fails(&mut self) {
        let status = self.facts.status;
        for pool in status.pools.iter().filter(|pool| pool.panic) {
            self.rise(Level::Outage);
            self.parts.push(format!(
                "everything in pool {} looks bad, so leeward distrusts its own eyes and serves from what is least bad",
                pool.name
            ));
        }
        self.say_orders_that_fail();
        let mut told: Vec<&str> = Vec::new();
        for place in status.providers.iter().chain(&status.sites) {
            if place.verdict == Verdict::Down || place.operator != OperatorWord::Active {
                let left = status
                    .sites
                    .iter()
                    .filter(|site| is_in(&site.name, &place.name));
                self.away.extend(left.map(|site| site.name.clone()));
            }
            if told.iter().any(|above| is_in(&place.name, above)) {
                continue;
            }
            if let Some((level, text)) = self.of_place(place) {
                self.rise(level);
                // A provider that is only suspect says less than its site that is down.
                if !self.has_worse_below(place, level) {
                    told.push(&place.name);
                    self.parts.push(text);
                }
            }
        }
        self.say_single_endpoints(&told);
        if self.parts.is_empty() {
            self.say_that_all_serve();
        }
    }

    /// Orders that fail where reads succeed: at a writer that stays, or at endpoints beside it.
    fn say_orders_that_fail(&mut self) {
        for pool in self.facts.status.pools.iter().filter(|pool| !pool.panic) {
            let failing = pool.endpoints.iter();
            let failing = failing.filter(|e| e.orders.verdict == Verdict::Down);
            let Some(first) = failing.clone().min_by_key(|e| e.orders.since) else {
                continue;
            };
            let sites: BTreeSet<&str> = failing.map(|e| e.site.as_str()).collect();
            let sites: Vec<&str> = sites.into_iter().collect();
            let since = clock(self.facts.began, first.orders.since, self.facts.status.at);
            let (level, stays) = match pool.orders_held {
                true => (Level::Outage, ", and nobody else takes them"),
                false => (Level::Watch, ""),
            };
            self.rise(level);
            self.parts.push(format!(
                "orders of pool {} fail at {} since {since} while reads succeed{stays}",
                pool.name,
                list(&sites)
            ));
        }
    }

    fn has_worse_below(&self, place: &PlaceStatus, level: Level) -> bool {
        let sites = self.facts.status.sites.iter();
        let mut below =
            sites.filter(|site| site.name != place.name && is_in(&site.name, &place.name));
        below.any(|site| self.of_place(site).is_some_and(|(worse, _)| worse > level))
    }

    fn say_that_all_serve(&mut self) {
        let sites = &self.facts.status.sites;
        let unknown = sites.iter().filter(|site| site.verdict == Verdict::Unknown);
        let unknown: Vec<&str> = unknown.map(|site| site.name.as_str()).collect();
        if unknown.is_empty() {
            self.parts.push(match sites.len() {
                1 => "the one site serves".to_owned(),
                sites => format!("all {sites} sites serve"),
            });
            return;
        }
        self.rise(Level::Watch);
        let verb = if unknown.len() == 1 { "has" } else { "have" };
        self.parts.push(format!(
            "{} {verb} not answered a probe yet",
            list(&unknown)
        ));
    }

    /// What there is to say of a provider or site; nothing where it just serves.
    fn of_place(&self, place: &PlaceStatus) -> Option<(Level, String)> {
        let facts = self.facts;
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
                let text = format!(
                    "{name} is well again since {since} and waits for its window to come home"
                );
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

    /// Endpoints that are not well at sites of which nothing was said.
    fn say_single_endpoints(&mut self, told: &[&str]) {
        let silent = |site: &str| {
            let provider = site.split('/').next().unwrap_or_default();
            !self.away.contains(site) && !told.contains(&site) && !told.contains(&provider)
        };
        let facts = self.facts;
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
            self.rise(how);
            let sites: BTreeSet<&str> = found.iter().map(|e| e.site.as_str()).collect();
            let sites: Vec<&str> = sites.into_iter().collect();
            let since = clock(self.facts.began, first.since, self.facts.status.at);
            let (verb, what) = match found.len() {
                1 => ("is", "endpoint"),
                _ => ("are", "endpoints"),
            };
            self.parts.push(format!(
                "{} {what} of {} {verb} {} since {since} ({})",
                found.len(),
                list(&sites),
                verdict.as_str(),
                words::cause(first.cause)
            ));
        }
    }
}

/// Whether a site is this place, or one of this provider.
fn is_in(site: &str, place: &str) -> bool {
    let rest = site.strip_prefix(place);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The share of reads that goes to a provider or site, over all pools that have any there; nothing
/// where those have no reads.
fn reads_at(standing: &[Standing], place: &str) -> Option<f64> {
    let pools = standing
        .iter()
        .filter(|pool| pool.sites.iter().any(|site| is_in(site, place)));
    let shares: Vec<f64> = pools
        .filter_map(|pool| pool.flow.iter().find(|flow| !flow.is_orders()))
        .map(|reads| {
            let parts = reads.to.iter().filter(|part| is_in(&part.site, place));
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
        endpoint.verdict == Verdict::Down && is_in(&endpoint.site, &place.name)
    };
    let endpoints = status.pools.iter().flat_map(|pool| &pool.endpoints);
    let last = endpoints
        .filter(below)
        .max_by_key(|endpoint| endpoint.since);
    last.map_or(cause, |endpoint| endpoint.cause)
}
