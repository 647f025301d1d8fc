//! What must always hold, swept after each input in debug builds.
//!
//! Relations between things, not restatements of the code that made them. A broken one is a bug in
//! the engine, never in what it was told. Those of orders are in `orders`.

mod orders;

pub(crate) use orders::Audit;

use crate::engine::Engine;
use crate::fleet::Census;
use crate::id::{PoolId, ProviderId};
use crate::input::{Input, Target};
use crate::table::{Lane, PoolTable};
use crate::verdict::Verdict;

/// Rounding errors are smaller.
const EPSILON: f64 = 1e-6;

/// What the engine was told last, as far as it matters to what may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A policy: ids may mean other places.
    Policy,
    /// A memory: the journal goes on with other numbers.
    Memory,
    Fact,
}

impl Told {
    pub(crate) const fn of(input: &Input) -> Told {
        match input {
            Input::Policy(_) => Told::Policy,
            Input::Memory { .. } => Told::Memory,
            _ => Told::Fact,
        }
    }
}

impl Engine {
    /// Panics where an invariant is broken.
    pub(crate) fn check_invariants(&mut self, told: Told) {
        self.check_orders(told);
        assert!(
            self.next_deadline() > self.now,
            "the next deadline is not later than now"
        );
        self.check_census();
        for (index, pool) in self.fleet.pools.iter().enumerate() {
            let name = &self.fleet.policy.pools[index].name;
            self.check_shares(name, &pool.table);
            self.check_usable(name, &pool.table);
            self.check_ramps(name, index.into(), &pool.table);
            self.check_writer(name, index.into(), &pool.table);
            self.check_ceilings(name, &pool.table);
        }
        for endpoint in self.fleet.all_endpoints() {
            assert_eq!(
                self.endpoint(endpoint.id),
                Some(endpoint.info),
                "the directory is stale"
            );
        }
    }

    /// Counters that are kept as things change agree with a count from scratch.
    fn check_census(&self) {
        let mut counted = vec![Census::default(); self.fleet.sites.len()];
        for endpoint in self.fleet.all_endpoints().filter(|e| e.counts) {
            counted[endpoint.info.site.index()].add(endpoint.held.verdict);
        }
        for (site, counted) in self.fleet.sites.iter().zip(counted) {
            assert_eq!(site.census, counted, "a site's endpoints are miscounted");
        }
    }

    /// All load goes somewhere, to something that may take it.
    fn check_shares(&self, name: &str, table: &PoolTable) {
        if table.lanes.is_empty() {
            return;
        }
        let sum: f64 = table.lanes.iter().map(|lane| lane.share).sum();
        assert!(
            (sum - 1.0).abs() < EPSILON,
            "{name}: shares sum up to {sum}"
        );
        let warm: f64 = table.lanes.iter().map(|lane| lane.warm).sum();
        assert!(
            (0.0..=1.0).contains(&warm),
            "{name}: warm shares sum up to {warm}"
        );
        for lane in &table.lanes {
            let live: f64 = lane.endpoints.iter().map(|e| e.weight).sum();
            let site = self.fleet.site_name(lane.site);
            assert!(
                lane.share == 0.0 || live > 0.0,
                "{name}: {site} has a share and nothing to serve it"
            );
            assert!(
                lane.warm == 0.0 || live > 0.0,
                "{name}: {site} is kept warm and serves nothing"
            );
        }
    }

    /// What is left takes nothing, unless the verdicts are distrusted (P4).
    fn check_usable(&self, name: &str, table: &PoolTable) {
        for lane in &table.lanes {
            let site = self.fleet.site_name(lane.site);
            assert!(
                lane.usable || lane.share + lane.warm == 0.0,
                "{name}: {site} is unusable and used"
            );
            assert_eq!(lane.usable, lane.capacity > 0.0, "{name}: {site}");
            for endpoint in &lane.endpoints {
                let taken = endpoint.weight > 0.0 || endpoint.order_weight > 0.0;
                assert!(
                    lane.usable || !taken,
                    "{name}: {site} is unusable, an endpoint is not"
                );
                let is_down = endpoint.verdict == Verdict::Down;
                assert!(
                    table.panic || !is_down || !taken,
                    "{name}: a dead endpoint serves"
                );
            }
        }
    }

    /// A place that returns never takes more than its ramp allows, of the load or of its capacity, while anything else can carry
    /// the rest (P7).
    fn check_ramps(&self, name: &str, id: PoolId, table: &PoolTable) {
        let ramp = |site: crate::SiteId| self.fleet.sites[site.index()].place.ramp;
        let returns = |e: &crate::LaneEndpoint| e.verdict == Verdict::Recovering;
        let solid = |lane: &crate::Lane| {
            let mut serving = lane.endpoints.iter().filter(|e| e.weight > 0.0);
            lane.usable && ramp(lane.site).is_none() && serving.any(|e| !returns(e))
        };
        if table.panic || !table.lanes.iter().any(solid) {
            return;
        }
        let lanes = &self.fleet.pools[id.index()].lanes;
        for lane in &table.lanes {
            let Some(ramp) = ramp(lane.site).filter(|ramp| !ramp.is_over(self.now)) else {
                continue;
            };
            let mine = lanes
                .iter()
                .find(|l| l.site == lane.site)
                .map_or(0.0, |l| l.weight);
            let tier = lanes
                .iter()
                .filter(|l| l.tier == lane.tier && !l.endpoints.is_empty());
            let normal = mine / tier.map(|l| l.weight).sum::<f64>();
            // The table may be a step of the ramp old, never ahead of it.
            let most = ramp.factor(self.now) * normal + EPSILON;
            // What would be shed may take its part of what the site declares.
            let declared = lanes
                .iter()
                .find(|l| l.site == lane.site)
                .and_then(|l| l.rate);
            let part =
                |rate: f64| rate <= declared.unwrap_or(0.0) * ramp.factor(self.now) + EPSILON;
            let site = self.fleet.site_name(lane.site);
            assert!(
                lane.share <= most || lane.rate.is_some_and(part),
                "{name}: {site} takes {} of at most {most}",
                lane.share
            );
        }
    }

    /// A provider takes no more than its `max_share` while another one without a bound can serve.
    fn check_ceilings(&self, name: &str, table: &PoolTable) {
        let most = |provider: ProviderId| {
            let provider = self.fleet.policy.providers.get(provider.index());
            provider
                .and_then(|provider| provider.max_share)
                .unwrap_or(1.0)
        };
        let returns = |lane: &Lane| {
            let site = &self.fleet.sites[lane.site.index()].place;
            let mut serving = lane.endpoints.iter().filter(|e| e.weight > 0.0);
            site.ramp.is_some() || serving.all(|e| e.verdict == Verdict::Recovering)
        };
        let free = |lane: &Lane| lane.usable && most(lane.provider) >= 1.0 && !returns(lane);
        if table.panic || !table.lanes.iter().any(free) {
            return;
        }
        for lane in table.lanes.iter().filter(|l| most(l.provider) < 1.0) {
            let own = table.lanes.iter().filter(|l| l.provider == lane.provider);
            let share: f64 = own.map(|l| l.share.max(l.warm)).sum();
            assert!(
                share <= most(lane.provider) + EPSILON,
                "{name}: provider {} takes {share}",
                self.fleet.provider_name(lane.provider)
            );
        }
    }

    /// Orders have one place to go, and it is one of the pool's.
    fn check_writer(&self, name: &str, id: PoolId, table: &PoolTable) {
        let Some(writer) = table.writer else { return };
        let pool = &self.fleet.pools[id.index()];
        let of_pool = pool
            .lanes
            .iter()
            .any(|l| self.fleet.sites[l.site.index()].provider == writer);
        assert!(
            of_pool,
            "{name}: the writer is not one of the pool's providers"
        );
        let kept_away = |target| {
            let mut fleet_sites = self.fleet.sites_of(target).into_iter();
            fleet_sites.all(|site| self.fleet.is_kept_away(site))
        };
        let elsewhere = table
            .lanes
            .iter()
            .any(|lane| lane.usable && lane.provider != writer);
        let gone = kept_away(Target::Provider(writer)) && !pool.trust.overrides_words();
        assert!(
            table.panic || !gone || !elsewhere,
            "{name}: orders go to a provider that an operator evacuated"
        );
    }
}
