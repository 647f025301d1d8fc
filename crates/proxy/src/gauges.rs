//! The gauges that show verdicts, shares and where pools stand.
//!
//! Owns what of them is shown already: only what has changed is set, and not more often than need be,
//! so that a policy with thousands of endpoints costs the control task no more than what happens to
//! them. Called by `effects` after each turn; decides nothing.

use crate::concentration;
use crate::snapshot::Endpoints;
use crate::worker::Shared;
use leeward_failover::{
    Engine, Policy, PoolId, PoolStatus, ProviderId, SiteId, Table, Time, Verdict,
};
use leeward_metrics::Metrics;
use std::collections::BTreeSet;
use std::time::Duration;

/// Gauges follow a decision within this.
const SOON: Duration = Duration::from_millis(50);
/// They are looked at this often though nothing is decided: what is asked for changes without it.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// What is shown under one policy.
pub(crate) struct Gauges {
    /// By `PoolId`: the providers that it has anything at.
    providers: Vec<BTreeSet<ProviderId>>,
    /// By `PoolId`: what was decided of it last, and what it was asked for, as they are shown.
    pools: Vec<Option<(u64, Option<f64>)>>,
    /// By `EndpointId`.
    endpoints: Vec<Option<(Verdict, f64)>>,
    shown_at: Option<Time>,
    /// Something was decided since.
    is_stale: bool,
}

impl Gauges {
    /// Nothing is shown yet.
    pub(crate) fn new(policy: &Policy) -> Self {
        let mut gauges = Self {
            providers: Vec::new(),
            pools: Vec::new(),
            endpoints: Vec::new(),
            shown_at: None,
            is_stale: true,
        };
        gauges.begin(policy);
        gauges
    }

    /// Another policy: pools are shown anew, endpoints where they change.
    pub(crate) fn begin(&mut self, policy: &Policy) {
        let mut providers = vec![BTreeSet::new(); policy.pools.len()];
        for backend in &policy.backends {
            let provider = policy.sites[backend.site.index()].provider;
            providers[backend.pool.index()].insert(provider);
        }
        self.pools = vec![None; providers.len()];
        self.providers = providers;
        self.is_stale = true;
    }

    /// How long it is until they have to be looked at though nothing happens.
    pub(crate) fn due_in(&self, now: Time) -> Duration {
        match self.shown_at {
            Some(at) if self.is_stale => (at + SOON).since(now),
            _ => Duration::MAX,
        }
    }

    /// Shows what is new, where it is time for that; `changed` says that something was decided.
    pub(crate) fn follow(
        &mut self,
        changed: bool,
        engine: &Engine,
        policy: &Policy,
        endpoints: &Endpoints,
        shared: &Shared,
    ) {
        self.is_stale |= changed;
        let now = shared.now();
        let wait = if self.is_stale { SOON } else { SHOW_EVERY };
        if self.shown_at.is_some_and(|at| now.since(at) < wait) {
            return;
        }
        let metrics = &shared.metrics;
        if self.is_stale {
            show_places(engine, policy, now, metrics);
        }
        (self.shown_at, self.is_stale) = (Some(now), false);
        let names: Vec<String> = policy.providers.iter().map(|p| p.name.clone()).collect();
        for (position, is) in engine.decided().enumerate() {
            let Some(shown) = self.pools.get_mut(position) else {
                return;
            };
            if *shown == Some(is) {
                continue;
            }
            let decided = shown.is_none_or(|shown| shown.0 != is.0);
            *shown = Some(is);
            let id = PoolId::from(position);
            let pool = engine.pool_status(id, now);
            show_capacity(&pool, metrics);
            if decided {
                let table = &engine.table().pools[position];
                let providers = &self.providers[position];
                concentration::show_pool(policy, (id, providers), table, metrics);
                self.show_pool(&pool, &names, endpoints, metrics);
            }
        }
    }

    fn show_pool(
        &mut self,
        pool: &PoolStatus,
        providers: &[String],
        endpoints: &Endpoints,
        metrics: &Metrics,
    ) {
        let writer = pool.writer.as_deref();
        metrics.set_pool(&pool.name, pool.panic, pool.active_tier, writer, providers);
        metrics.set_orders_held(&pool.name, pool.orders_held);
        self.endpoints
            .resize(endpoints.len().max(self.endpoints.len()), None);
        for endpoint in &pool.endpoints {
            let position = endpoint.id.index();
            let Some(Some(io)) = endpoints.get(position) else {
                continue;
            };
            let is = Some((endpoint.verdict, endpoint.share));
            if std::mem::replace(&mut self.endpoints[position], is) != is {
                metrics.set_endpoint(&io.labels, endpoint.verdict, endpoint.share);
            }
        }
    }
}

fn show_places(engine: &Engine, policy: &Policy, now: Time, metrics: &Metrics) {
    let by_site = mean_shares(policy.sites.len(), engine.table());
    let (providers, sites) = engine.place_status(now);
    for (site, held) in sites.iter().enumerate() {
        let provider = &policy.providers[policy.sites[site].provider.index()].name;
        metrics.set_site(&held.name, provider, held.verdict, by_site[site]);
        metrics.set_site_operator(&held.name, provider, held.operator);
    }
    for (provider, held) in providers.iter().enumerate() {
        let own = (0..policy.sites.len()).filter(|s| policy.sites[*s].provider.index() == provider);
        let share = own.map(|site| by_site[site]).sum();
        metrics.set_provider(&held.name, held.verdict, share);
        metrics.set_provider_operator(&held.name, held.operator);
    }
}

/// The share of reads that goes to each site, over all pools alike, by `SiteId`.
fn mean_shares(sites: usize, table: &Table) -> Vec<f64> {
    let mut shares = vec![0.0; sites];
    for lane in table.pools.iter().flat_map(|pool| &pool.lanes) {
        let SiteId(site) = lane.site;
        if let Some(share) = shares.get_mut(site as usize) {
            *share += lane.share / table.pools.len() as f64;
        }
    }
    shares
}

fn show_capacity(pool: &PoolStatus, metrics: &Metrics) {
    let rates = pool.capacity.iter().filter_map(|lane| {
        let (provider, _) = lane.site.split_once('/')?;
        Some((provider, lane.site.as_str(), lane.rate?))
    });
    let rates: Vec<(&str, &str, f64)> = rates.collect();
    metrics.set_capacity(&pool.name, pool.demand, &rates);
}
