//! The traffic that goes elsewhere, by class: the shares of two engines side by side.
//!
//! Nothing is weighed here: the shares are those by which the data path selects.

use crate::policy::{Policy, Route};
use leeward_failover::{Class, Engine, PoolId, SiteId, select};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Smaller parts of the traffic are not told.
const LEAST: f64 = 0.001;

/// A part of some traffic that goes elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// The classes of the traffic.
    pub classes: Vec<String>,
    /// The pool that takes it, before and after.
    pub pools: (String, String),
    /// The routes that it comes by.
    pub routes: Vec<String>,
    /// Which part of it moves, 0 to 1.
    pub share: f64,
    /// Where it went: a provider, or a site where it stays with its provider; empty for nowhere.
    pub from: String,
    /// Where it goes.
    pub to: String,
}

/// A policy and the engine that serves it.
type Side<'a> = (&'a Policy, &'a Engine);
/// The pools before and after, and where each part flows.
type Flows = (String, String, Vec<(String, String, f64)>);

pub(super) fn compare(old: Side<'_>, new: Side<'_>) -> Vec<Move> {
    let before: BTreeMap<&str, &Route> = by_name(old.0);
    // Routes of the same class that go from the same pool to the same pool move alike.
    let mut alike: BTreeMap<(PoolId, PoolId, Class, Class), Vec<&str>> = BTreeMap::new();
    for route in &new.0.routes {
        if let Some(was) = before.get(route.name.as_str()) {
            let key = (was.pool, route.pool, was.class, route.class);
            alike.entry(key).or_default().push(&route.name);
        }
    }
    let mut found: Vec<(Flows, Vec<Class>, Vec<String>)> = Vec::new();
    for ((was, is, old_class, class), routes) in alike {
        let flows = (
            name(old.0, was),
            name(new.0, is),
            flows(&shares(old, was, old_class), &shares(new, is, class)),
        );
        let routes = routes.into_iter().map(str::to_owned);
        match found.iter_mut().find(|(known, ..)| *known == flows) {
            Some((_, classes, known)) => {
                classes.push(class);
                known.extend(routes);
            }
            None => found.push((flows, vec![class], routes.collect())),
        }
    }
    let told = |((was, is, flows), mut classes, routes): (Flows, Vec<Class>, Vec<String>)| {
        classes.sort_unstable();
        classes.dedup();
        let classes: Vec<String> = classes.iter().map(|c| c.as_str().to_owned()).collect();
        let told = move |(from, to, share)| Move {
            classes: classes.clone(),
            pools: (was.clone(), is.clone()),
            routes: routes.clone(),
            share,
            from,
            to,
        };
        flows.into_iter().map(told)
    };
    found.into_iter().flat_map(told).collect()
}

fn by_name(policy: &Policy) -> BTreeMap<&str, &Route> {
    let routes = policy.routes.iter();
    routes.map(|route| (route.name.as_str(), route)).collect()
}

fn name(policy: &Policy, pool: PoolId) -> String {
    let pool = policy.engine.pools.get(pool.index());
    pool.map_or_else(String::new, |pool| pool.name.clone())
}

/// Where a class of a pool goes: by provider and by site.
struct Shares {
    providers: BTreeMap<String, f64>,
    sites: BTreeMap<String, f64>,
}

fn shares((policy, engine): Side<'_>, pool: PoolId, class: Class) -> Shares {
    let mut found = Shares {
        providers: BTreeMap::new(),
        sites: BTreeMap::new(),
    };
    let Some(table) = engine.table().pools.get(pool.index()) else {
        return found;
    };
    for (site, share) in select::shares(table, class) {
        let (site, provider) = names(policy, site);
        *found.sites.entry(site).or_default() += share;
        *found.providers.entry(provider).or_default() += share;
    }
    found
}

fn names(policy: &Policy, site: SiteId) -> (String, String) {
    let Some(site) = policy.engine.sites.get(site.index()) else {
        return Default::default();
    };
    let provider = policy.engine.providers.get(site.provider.index());
    (
        site.name.clone(),
        provider.map_or_else(String::new, |provider| provider.name.clone()),
    )
}

/// Between providers where anything moves there, else between sites.
fn flows(before: &Shares, after: &Shares) -> Vec<(String, String, f64)> {
    let found = matched(&before.providers, &after.providers);
    if found.is_empty() {
        return matched(&before.sites, &after.sites);
    }
    found
}

/// Who loses gives to who gains, the largest first.
fn matched(
    before: &BTreeMap<String, f64>,
    after: &BTreeMap<String, f64>,
) -> Vec<(String, String, f64)> {
    let part = |shares: &BTreeMap<String, f64>, name: &String| {
        shares.get(name).copied().unwrap_or_default()
    };
    let gain = |name: &String| part(after, name) - part(before, name);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut losers: Vec<(&str, f64)> = Vec::new();
    let mut gainers: Vec<(&str, f64)> = Vec::new();
    for name in names {
        match gain(name) {
            gain if gain > LEAST => gainers.push((name, gain)),
            gain if gain < -LEAST => losers.push((name, -gain)),
            _ => {}
        }
    }
    // What had nowhere to go, or has none any more.
    let sum = |side: &[(&str, f64)]| side.iter().map(|(_, part)| part).sum::<f64>();
    let missing = sum(&gainers) - sum(&losers);
    if missing > LEAST * 2.0 {
        losers.push(("", missing));
    } else if missing < -LEAST * 2.0 {
        gainers.push(("", -missing));
    }
    for side in [&mut losers, &mut gainers] {
        side.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    }
    let mut found = Vec::new();
    let mut gainers = gainers.into_iter();
    let mut open = gainers.next();
    for (from, mut left) in losers {
        while left > LEAST
            && let Some((to, room)) = open
        {
            let moved = left.min(room);
            found.push((from.to_owned(), to.to_owned(), (moved * 1e4).round() / 1e4));
            left -= moved;
            open = if room - moved > LEAST {
                Some((to, room - moved))
            } else {
                gainers.next()
            };
        }
    }
    found
}
