//! What becomes of endpoints, and of what is known of them: the engine carries health over by
//! identity, and gives who is the same the same id.

use leeward_failover::{EndpointId, EndpointInfo, Engine, Time, Verdict, stands_for_a_name};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of endpoints. A name that nobody has looked up counts as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Those that are new.
    pub added: Vec<String>,
    /// Those that go.
    pub removed: Vec<String>,
    /// Addresses that stay and are known under another pool, site or URL: their health begins anew.
    pub reset: Vec<Reset>,
    /// How many keep what is known of them.
    pub kept: usize,
    /// How many of those are down, and stay so.
    pub kept_down: usize,
}

/// An endpoint whose health begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// What it was.
    pub from: String,
    /// What it is then.
    pub to: String,
}

/// The same, and the ids of the endpoints that go.
pub(super) struct Found {
    pub(super) endpoints: Endpoints,
    pub(super) gone: Vec<EndpointId>,
}

impl Endpoints {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.reset.is_empty()
    }
}

pub(super) fn compare(before: &Engine, after: &Engine, now: Time) -> Found {
    let (was, is) = (known(before), known(after));
    let kept: BTreeSet<EndpointId> = was
        .keys()
        .copied()
        .filter(|id| is.contains_key(id))
        .collect();
    let gone: Vec<EndpointId> = was
        .keys()
        .copied()
        .filter(|id| !kept.contains(id))
        .collect();
    let new = is.iter().filter(|(id, _)| !kept.contains(id));
    let mut comes: Vec<(String, String)> = new.map(|(_, info)| words(after, info)).collect();
    let mut endpoints = Endpoints {
        kept: kept.len(),
        kept_down: down(after, &kept, now),
        ..Endpoints::default()
    };
    for id in &gone {
        let Some(info) = was.get(id) else { continue };
        let (place, from) = words(before, info);
        match comes.iter().position(|(other, _)| *other == place) {
            Some(at) => {
                let (_, to) = comes.remove(at);
                endpoints.reset.push(Reset { from, to });
            }
            None => endpoints.removed.push(from),
        }
    }
    endpoints.added = comes.into_iter().map(|(_, words)| words).collect();
    endpoints.added.sort_unstable();
    endpoints.removed.sort_unstable();
    Found { endpoints, gone }
}

fn known(engine: &Engine) -> BTreeMap<EndpointId, EndpointInfo> {
    let all = engine.table().endpoints.iter().enumerate();
    all.filter_map(|(at, info)| Some((EndpointId::from(at), (*info)?)))
        .collect()
}

fn down(engine: &Engine, among: &BTreeSet<EndpointId>, now: Time) -> usize {
    let pools = engine.status(now).pools.into_iter();
    pools
        .flat_map(|pool| pool.endpoints)
        .filter(|endpoint| endpoint.verdict == Verdict::Down && among.contains(&endpoint.id))
        .count()
}

/// What makes it the same place in the world, and `trading aws/us-east-1 https://… 192.0.2.7:443`.
fn words(engine: &Engine, info: &EndpointInfo) -> (String, String) {
    let policy = engine.policy();
    let Some(backend) = policy.backends.get(info.backend.index()) else {
        return Default::default();
    };
    let pool = policy.pools.get(backend.pool.index());
    let site = policy.sites.get(info.site.index());
    let name = format!(
        "{} {} {}",
        pool.map_or("?", |pool| &pool.name),
        site.map_or("?", |site| &site.name),
        backend.name
    );
    if stands_for_a_name(info.address) {
        return (backend.name.clone(), name);
    }
    let address = info.address.to_string();
    // An address in the URL says it all.
    let shown = match backend.name.contains(&address) {
        true => name,
        false => format!("{name} {address}"),
    };
    (address, shown)
}
