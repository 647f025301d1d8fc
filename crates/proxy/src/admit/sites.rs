//! What all workers share of one site of a pool: its name and its metrics.
//!
//! Made with a policy; a site that was there before a reload stays the same object.

use leeward_config::policy::Policy;
use leeward_failover::{PoolId, SiteId};
use leeward_metrics::{Gauge, Metrics, SiteSlots};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// By `PoolId`, then by `SiteId`; `None` where the pool has nothing.
pub(crate) type Sites = Vec<Vec<Option<Arc<SiteIo>>>>;

/// One site of a pool, for all workers.
pub(crate) struct SiteIo {
    /// Identity over reloads: the names of pool, provider and site.
    name: [String; 3],
    pub(super) slots: SiteSlots,
}

/// The shared side of every site that a policy's pools have something in; what `before` had is taken
/// over.
pub(crate) fn sites(policy: &Policy, before: Option<&Sites>, metrics: &Metrics) -> Sites {
    let engine = &policy.engine;
    let before = before.into_iter().flatten().flatten().flatten();
    let before: HashMap<&[String; 3], &Arc<SiteIo>> =
        before.map(|site| (&site.name, site)).collect();
    let known = |name: &[String; 3]| before.get(name).map(|site| Arc::clone(site));
    let backends = engine.backends.iter();
    let used: HashSet<(PoolId, SiteId)> = backends.map(|b| (b.pool, b.site)).collect();
    let make = |pool: PoolId, site: SiteId| {
        if !used.contains(&(pool, site)) {
            return None;
        }
        let place = &engine.sites[site.index()];
        let name = [
            engine.pools[pool.index()].name.clone(),
            engine.providers[place.provider.index()].name.clone(),
            place.name.clone(),
        ];
        Some(known(&name).unwrap_or_else(|| Arc::new(SiteIo::new(name, metrics))))
    };
    let pools = (0..engine.pools.len()).map(PoolId::from);
    pools
        .map(|pool| {
            let sites = (0..engine.sites.len()).map(SiteId::from);
            sites.map(|site| make(pool, site)).collect()
        })
        .collect()
}

impl SiteIo {
    /// What its endpoints take, as learned.
    pub(crate) fn learned(&self) -> Gauge {
        self.slots.learned
    }

    fn new(name: [String; 3], metrics: &Metrics) -> Self {
        let [pool, provider, site] = &name;
        Self {
            slots: metrics.site(pool, provider, site),
            name,
        }
    }
}
