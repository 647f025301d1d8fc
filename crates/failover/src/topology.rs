//! From a policy to a fleet: what stands where, and what of the old fleet is the same.
//!
//! Providers, sites and pools keep what was held of them by name. Endpoints are `reload`'s. It also
//! says which policies fit together at all; everything finer is the config compiler's.

use crate::demand::Demand;
use crate::fleet::{Census, Fleet, LaneState, PoolState, ProviderState, SiteState};
use crate::hold::{HoldDown, Homecoming};
use crate::id::{PoolId, ProviderId, SiteId};
use crate::place::Place;
use crate::policy::{FailoverParams, Policy, Pool, Suspicion};
use crate::rng::stable_hash;
use crate::time::Time;
use crate::trust::Trust;
use crate::window::Window;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A new pool's endpoints count as well for this long at most, until each has been probed.
const NEWBORN: Duration = Duration::from_secs(5);

/// Longest span that a policy may name; longer ones would only overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A fleet without endpoints; those of `old` are moved into it as they are.
pub(crate) fn build(policy: Policy, old: &mut Fleet, now: Time) -> Fleet {
    let lanes: Vec<Vec<LaneState>> = (0..policy.pools.len())
        .map(|pool| lanes(&policy, PoolId::from(pool)))
        .collect();
    Fleet {
        providers: providers(&policy, old, now),
        sites: sites(&policy, &lanes, old, now),
        pools: pools(&policy, lanes, old, now),
        backends: Vec::new(),
        endpoints: std::mem::take(&mut old.endpoints),
        policy,
    }
}

/// Whether all ids of a policy point at something, and its numbers can be counted with.
pub(crate) fn is_sound(policy: &Policy) -> bool {
    let site = |id: SiteId| id.index() < policy.sites.len();
    policy
        .sites
        .iter()
        .all(|s| s.provider.index() < policy.providers.len())
        && policy
            .backends
            .iter()
            .all(|b| site(b.site) && b.pool.index() < policy.pools.len())
        && policy.pools.iter().all(|pool| {
            pool.tiers.iter().flatten().all(|entry| site(entry.site)) && has_sound_params(pool)
        })
}

fn has_sound_params(pool: &Pool) -> bool {
    let spans = [
        pool.probe.interval,
        pool.probe.timeout,
        pool.health.window,
        pool.failover.hold_down_first,
        pool.failover.hold_down_max,
        pool.failover.ramp,
    ];
    let parts = [
        pool.health.failing,
        pool.failover.site_failing,
        pool.failover.keep_warm,
    ];
    spans.iter().all(|span| *span <= LONGEST) && parts.iter().all(|part| (0.0..=1.0).contains(part))
}

fn providers(policy: &Policy, old: &mut Fleet, now: Time) -> Vec<ProviderState> {
    let names = old
        .policy
        .providers
        .iter()
        .map(|provider| provider.name.clone());
    let places = old.providers.drain(..).map(|state| state.place);
    let mut known: BTreeMap<String, Place> = names.zip(places).collect();
    let provider = |(index, provider): (usize, &crate::policy::Provider)| {
        let id = ProviderId::from(index);
        let of_it =
            |backend: &&crate::policy::Backend| policy.sites[backend.site.index()].provider == id;
        let params = params_of(policy, of_it);
        ProviderState {
            place: known
                .remove(&provider.name)
                .unwrap_or_else(|| Place::new(now)),
            sites: (0..policy.sites.len())
                .map(SiteId::from)
                .filter(|site| policy.sites[site.index()].provider == id)
                .collect(),
            homecoming: homecoming(&params),
            failing_sites: params
                .iter()
                .map(|p| match p.suspicion {
                    Suspicion::Evacuate => 1,
                    _ => p.provider_failing_sites,
                })
                .max()
                .unwrap_or(1),
        }
    };
    policy.providers.iter().enumerate().map(provider).collect()
}

fn sites(policy: &Policy, lanes: &[Vec<LaneState>], old: &mut Fleet, now: Time) -> Vec<SiteState> {
    let names = old.policy.sites.iter().map(|site| site.name.clone());
    let places = old.sites.drain(..).map(|state| state.place);
    let mut known: BTreeMap<String, Place> = names.zip(places).collect();
    let site = |(index, site): (usize, &crate::policy::Site)| {
        let id = SiteId::from(index);
        let params = params_of(policy, |backend| backend.site == id);
        SiteState {
            place: known.remove(&site.name).unwrap_or_else(|| Place::new(now)),
            provider: site.provider,
            pools: (0..lanes.len())
                .filter(|pool| lanes[*pool].iter().any(|lane| lane.site == id))
                .map(PoolId::from)
                .collect(),
            homecoming: homecoming(&params),
            failing: params.iter().map(|p| p.site_failing).fold(0.0, f64::max),
            census: Census::default(),
        }
    };
    policy.sites.iter().enumerate().map(site).collect()
}

/// The failover parameters of the pools that have such backends, each once.
fn params_of(
    policy: &Policy,
    of_it: impl Fn(&&crate::policy::Backend) -> bool,
) -> Vec<FailoverParams> {
    let pools: BTreeSet<PoolId> = policy
        .backends
        .iter()
        .filter(of_it)
        .map(|backend| backend.pool)
        .collect();
    pools
        .iter()
        .map(|pool| policy.pools[pool.index()].failover)
        .collect()
}

/// The most patient way home of several.
fn homecoming(params: &[FailoverParams]) -> Homecoming {
    let ways = params.iter().map(Homecoming::of);
    ways.reduce(Homecoming::or_longer)
        .unwrap_or_else(|| Homecoming::of(&FailoverParams::default()))
}

/// A pool's sites in tier order, each once. A backend's site that no tier names stands last.
fn lanes(policy: &Policy, id: PoolId) -> Vec<LaneState> {
    let pool = &policy.pools[id.index()];
    let mut seen = BTreeSet::new();
    let named = pool.tiers.iter().enumerate().flat_map(|(tier, entries)| {
        entries
            .iter()
            .map(move |entry| (tier, entry.site, entry.weight))
    });
    let of_pool = policy.backends.iter().filter(|backend| backend.pool == id);
    let rest = of_pool.map(|backend| (pool.tiers.len(), backend.site, 1));
    named
        .chain(rest)
        .filter(|(_, site, _)| seen.insert(*site))
        .map(|(tier, site, weight)| LaneState {
            site,
            tier: u32::try_from(tier).unwrap_or(u32::MAX),
            weight: f64::from(weight.max(1)),
            rate: declared(policy, id, site),
            hash: stable_hash(policy.sites[site.index()].name.as_bytes()),
            endpoints: Vec::new(),
            errors: Window::new(pool.health.window),
        })
        .collect()
}

/// What the backends of a site carry together, where each of them declares it.
fn declared(policy: &Policy, pool: PoolId, site: SiteId) -> Option<f64> {
    let backends = policy.backends.iter();
    let own = backends.filter(|backend| backend.pool == pool && backend.site == site);
    let rates: Option<Vec<f64>> = own.map(|b| b.capacity.map(f64::from)).collect();
    rates
        .map(|rates| rates.iter().sum::<f64>())
        .filter(|sum| *sum > 0.0)
}

fn pools(
    policy: &Policy,
    lanes: Vec<Vec<LaneState>>,
    old: &mut Fleet,
    now: Time,
) -> Vec<PoolState> {
    let names = old.policy.pools.iter().map(|pool| pool.name.clone());
    let mut known: BTreeMap<String, PoolState> = names.zip(old.pools.drain(..)).collect();
    let provider_of = |id: ProviderId| {
        let name = &old.policy.providers.get(id.index())?.name;
        policy
            .providers
            .iter()
            .position(|provider| provider.name == *name)
            .map(ProviderId::from)
    };
    let mut states = Vec::new();
    for (pool, lanes) in policy.pools.iter().zip(lanes) {
        states.push(match known.remove(&pool.name) {
            Some(state) => PoolState {
                lanes,
                writer: state.writer.and_then(provider_of),
                detour: state.detour.and_then(provider_of),
                ..state
            },
            None => PoolState {
                lanes,
                writer: None,
                writer_lost_at: None,
                writer_called_home: false,
                detour: None,
                awaits_detour: false,
                orders_fail: false,
                orders_held: false,
                orders_hold: HoldDown::default(),
                read_at: Time::ZERO,
                trust: Trust::Empty,
                calm_since: None,
                active_tier: 0,
                newborn_until: now + NEWBORN,
                window_open: false,
                demand: Demand::default(),
                shed_at: None,
                decided: 0,
                table: Arc::default(),
            },
        });
    }
    states
}
