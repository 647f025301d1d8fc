//! A policy takes the place of the one before, or a name resolves to other addresses.
//!
//! Health survives by identity (P5): an endpoint is its pool, site, URL and address; a site, a
//! provider and a pool are their names. A reload never makes a sick endpoint healthy, and an id is
//! never given twice.

use crate::bugs::{Bug, is_injected};
use crate::endpoint::{Endpoint, Meanwhile};
use crate::engine::Engine;
use crate::facts::{Probes, Traffic};
use crate::fleet::{BackendState, Fleet};
use crate::held::{Held, Word};
use crate::hold::HoldDown;
use crate::id::{BackendId, EndpointId, PoolId, ProviderId, SiteId};
use crate::input::Target;
use crate::listing::Listing;
use crate::order_path::OrderPath;
use crate::output::{Change, Subject, SubjectKind};
use crate::policy::{Policy, Pool};
use crate::rng::stable_hash;
use crate::schedule::{Slot, first_round};
use crate::silence::Silence;
use crate::table::EndpointInfo;
use crate::time::Time;
use crate::timers::Timer;
use crate::topology;
use crate::verdict::Cause;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Addresses of one backend that are used; a name that resolves to more is cut (P8).
const MOST_ADDRESSES: usize = 64;

impl Engine {
    /// Takes a policy.
    pub(crate) fn load(&mut self, policy: Policy) {
        if !topology::is_sound(&policy) {
            return;
        }
        let before: BTreeSet<EndpointId> = self.fleet.all_endpoints().map(|e| e.id).collect();
        let mut old = std::mem::take(&mut self.fleet);
        self.fleet = topology::build(policy, &mut old, self.now);
        self.carry_backends(old);
        let after: BTreeSet<EndpointId> = self.fleet.all_endpoints().map(|e| e.id).collect();
        let added = after.difference(&before).count();
        let removed = before.difference(&after).count();
        let subject = Subject {
            kind: SubjectKind::Policy,
            name: "policy".to_owned(),
        };
        let mut evidence = vec![
            ("pools", self.fleet.pools.len().to_string()),
            ("endpoints", after.len().to_string()),
        ];
        evidence.extend(forced(&self.fleet.policy).map(|text| ("forced", text)));
        let change = Change::Endpoints { added, removed };
        self.journal
            .event(self.now, subject, change, Cause::PolicyLoaded, evidence);
        self.rearm();
        self.dirty.table = true;
        self.dirty
            .providers
            .extend((0..self.fleet.providers.len()).map(ProviderId::from));
        let pools = (0..self.fleet.pools.len()).map(PoolId::from);
        self.dirty
            .pools
            .extend(pools.map(|pool| (pool, Cause::PolicyLoaded)));
    }

    /// Takes what a backend's name resolves to, and what it resolved to. The policy's literal
    /// addresses stay beside it; an empty answer changes nothing (P6), unless its time is over.
    pub(crate) fn resolved(
        &mut self,
        id: BackendId,
        [mut addresses, mut retained]: [Vec<SocketAddr>; 2],
        expired: bool,
    ) {
        let counts = expired && !self.is_all_of_its_pool(id) || is_injected(Bug::EmptyNameEmpties);
        let Some(backend) = self.fleet.backends.get_mut(id.index()) else {
            return;
        };
        if addresses.is_empty() && retained.is_empty() && !counts {
            return;
        }
        for list in [&mut addresses, &mut retained] {
            list.sort_unstable();
            list.dedup();
        }
        if backend.resolved == addresses && backend.retained == retained {
            return;
        }
        (backend.resolved, backend.retained) = (addresses, retained);
        let before = self.retained(id);
        let known = self.known_endpoints(id);
        let (added, removed) = self.place_endpoints(id, known);
        let after = self.retained(id);
        if added.is_empty() && removed == 0 && before == after {
            return;
        }
        let known = self.fleet.backends[id.index()].endpoints.len() - after.len();
        let mut evidence = vec![("addresses", known.to_string())];
        if !after.is_empty() {
            let kept: Vec<String> = after.iter().take(4).map(SocketAddr::to_string).collect();
            evidence.push(("retained", kept.join(", ")));
        }
        if !added.is_empty() {
            let new: Vec<String> = added.iter().take(4).map(SocketAddr::to_string).collect();
            evidence.push(("new", new.join(", ")));
        }
        let change = Change::Endpoints {
            added: added.len(),
            removed,
        };
        let subject = self.fleet.backend_subject(id);
        self.journal
            .event(self.now, subject, change, Cause::AddressesChanged, evidence);
        let params = &self.fleet.policy.backends[id.index()];
        self.dirty
            .providers
            .insert(self.fleet.sites[params.site.index()].provider);
        self.dirty
            .pools
            .insert(params.pool, Cause::AddressesChanged);
        self.dirty.table = true;
    }

    /// Gives every backend of the new policy its endpoints, old ones by identity.
    fn carry_backends(&mut self, old: Fleet) {
        let mut known: BTreeMap<Identity, BackendState> = BTreeMap::new();
        for (index, state) in old.backends.into_iter().enumerate() {
            if let Some(identity) = identity(&old.policy, index) {
                known.entry(identity).or_insert(state);
            }
        }
        let new = self.fleet.policy.backends.len();
        self.fleet.backends.resize_with(new, BackendState::default);
        let mut kept = BTreeSet::new();
        let mut carried: Vec<BTreeMap<SocketAddr, EndpointId>> = Vec::new();
        for index in 0..new {
            let state = identity(&self.fleet.policy, index).and_then(|id| known.remove(&id));
            let state = state.unwrap_or_default();
            self.fleet.backends[index].resolved = state.resolved;
            self.fleet.backends[index].retained = state.retained;
            let by_address = state.endpoints.iter().filter_map(|id| {
                self.fleet
                    .endpoint(*id)
                    .map(|endpoint| (endpoint.info.address, *id))
            });
            carried.push(by_address.collect());
            kept.extend(state.endpoints);
        }
        for slot in &mut self.fleet.endpoints {
            slot.take_if(|endpoint| !kept.contains(&endpoint.id));
        }
        for (index, known) in carried.into_iter().enumerate() {
            self.place_endpoints(BackendId::from(index), known);
        }
        let alive = |id: &EndpointId| self.fleet.endpoint(*id).is_some();
        let directory = Arc::make_mut(&mut self.directory);
        for (index, entry) in directory.iter_mut().enumerate() {
            entry.take_if(|_| !alive(&EndpointId::from(index)));
        }
    }

    /// Whether no other backend of its pool has an endpoint.
    fn is_all_of_its_pool(&self, id: BackendId) -> bool {
        let Some(backend) = self.fleet.policy.backends.get(id.index()) else {
            return true;
        };
        let elsewhere = |e: &Endpoint| e.pool == backend.pool && e.info.backend != id;
        backend.addresses.is_empty() && !self.fleet.all_endpoints().any(elsewhere)
    }

    /// A backend's addresses that are kept though they are not listed.
    fn retained(&self, id: BackendId) -> BTreeSet<SocketAddr> {
        let ids = self.fleet.backends[id.index()].endpoints.iter();
        let endpoints = ids.filter_map(|id| self.fleet.endpoint(*id));
        let kept = endpoints.filter(|endpoint| endpoint.listing == Listing::Retained);
        kept.map(|endpoint| endpoint.info.address).collect()
    }

    pub(crate) fn known_endpoints(&self, id: BackendId) -> BTreeMap<SocketAddr, EndpointId> {
        let ids = self.fleet.backends[id.index()].endpoints.iter();
        let known = ids.filter_map(|id| self.fleet.endpoint(*id));
        known
            .map(|endpoint| (endpoint.info.address, endpoint.id))
            .collect()
    }

    /// Lets a backend have exactly the endpoints that its addresses ask for; `known` are those that
    /// it had. Returns the new addresses and how many endpoints went.
    pub(crate) fn place_endpoints(
        &mut self,
        id: BackendId,
        mut known: BTreeMap<SocketAddr, EndpointId>,
    ) -> (Vec<SocketAddr>, usize) {
        let backend = &self.fleet.policy.backends[id.index()];
        let wanted = wanted(&backend.addresses, &self.fleet.backends[id.index()]);
        let spread = first_round(self.fleet.policy.backends.len().max(wanted.len()));
        self.unplace(id);
        let joins = !known.is_empty();
        let mut added = Vec::new();
        for (address, listing) in wanted {
            let old = known.remove(&address);
            let endpoint = old.unwrap_or_else(|| EndpointId::from(self.fleet.endpoints.len()));
            self.place(id, endpoint, (address, listing), spread);
            if old.is_none() {
                added.push(address);
                if let Some(new) = self.fleet.endpoint_mut(endpoint) {
                    new.newcomer = joins;
                }
            }
        }
        self.recount(id);
        let removed = known.len();
        for gone in known.into_values() {
            if let Some(slot) = self.fleet.endpoints.get_mut(gone.index()) {
                *slot = None;
            }
            if let Some(entry) = Arc::make_mut(&mut self.directory).get_mut(gone.index()) {
                *entry = None;
            }
            self.timers.clear(Timer::Probe(gone));
            self.timers.clear(Timer::Endpoint(gone));
            self.timers.clear(Timer::Orders(gone));
            self.timers.clear(Timer::Word(Target::Endpoint(gone)));
        }
        (added, removed)
    }

    /// Takes a backend's endpoints out of its site's census and its pool's lanes.
    fn unplace(&mut self, id: BackendId) {
        let backend = &self.fleet.policy.backends[id.index()];
        let ids = std::mem::take(&mut self.fleet.backends[id.index()].endpoints);
        for id in &ids {
            let Some(endpoint) = self.fleet.endpoints[id.index()].as_deref_mut() else {
                continue;
            };
            if std::mem::take(&mut endpoint.counts) {
                self.fleet.sites[backend.site.index()]
                    .census
                    .remove(endpoint.held.verdict);
            }
        }
        for lane in &mut self.fleet.pools[backend.pool.index()].lanes {
            if lane.site == backend.site {
                lane.endpoints.retain(|endpoint| !ids.contains(endpoint));
            }
        }
    }

    /// Puts one endpoint, old or new, where its backend stands.
    fn place(
        &mut self,
        id: BackendId,
        endpoint: EndpointId,
        (address, listing): (SocketAddr, Listing),
        spread: Duration,
    ) {
        let backend = &self.fleet.policy.backends[id.index()];
        let (pool, site) = (backend.pool, backend.site);
        let provider = self.fleet.sites[site.index()].provider;
        let info = EndpointInfo {
            address,
            backend: id,
            site,
            provider,
        };
        let hash = stable_hash(format!("{} {address}", backend.name).as_bytes());
        let params = &self.fleet.policy.pools[pool.index()];
        match self.fleet.endpoints.get_mut(endpoint.index()) {
            Some(Some(old)) => {
                (old.info, old.pool, old.hash) = (info, pool, hash);
                (old.listing, old.counts) = (listing, false);
                old.traffic.resize(&params.health);
                old.orders.resize(&params.health);
                if is_injected(Bug::ReloadHeals) {
                    old.held = Held::new(self.now);
                }
            }
            _ => {
                let slot = Slot::new(self.now, spread, &mut self.jitter);
                let mut new = new_endpoint(endpoint, info, pool, hash, slot, params, self.now);
                new.listing = listing;
                self.timers.set(
                    Timer::Probe(endpoint),
                    slot.deadline(&params.probe),
                    self.now,
                );
                self.fleet.endpoints.push(Some(Box::new(new)));
            }
        }
        let directory = Arc::make_mut(&mut self.directory);
        directory.resize(self.fleet.endpoints.len(), None);
        directory[endpoint.index()] = Some(info);
        self.fleet.backends[id.index()].endpoints.push(endpoint);
        let mut lanes = self.fleet.pools[pool.index()].lanes.iter_mut();
        if let Some(lane) = lanes.find(|lane| lane.site == site) {
            lane.endpoints.push(endpoint);
        }
    }

    /// Sets every timer from what is known, after ids have got another meaning.
    fn rearm(&mut self) {
        self.timers.retain(|timer| match timer {
            Timer::Probe(id)
            | Timer::Endpoint(id)
            | Timer::Orders(id)
            | Timer::Word(Target::Endpoint(id)) => self.fleet.endpoint(id).is_some(),
            Timer::Site(_)
            | Timer::Provider(_)
            | Timer::Pool(_)
            | Timer::Word(_)
            | Timer::Demand(_) => false,
        });
        let sites = (0..self.fleet.sites.len()).map(|index| Target::Site(SiteId::from(index)));
        let providers =
            (0..self.fleet.providers.len()).map(|index| Target::Provider(ProviderId::from(index)));
        for target in sites.chain(providers) {
            if let Some(until) = self.fleet.word_mut(target).and_then(|word| word.until) {
                self.timers.set(Timer::Word(target), until, self.now);
            }
        }
        for pool in 0..self.fleet.pools.len() {
            self.watch_demand(PoolId::from(pool));
        }
    }
}

/// Why a policy that breaks its guards was taken, and what breaks them.
fn forced(policy: &Policy) -> Option<String> {
    let reason = policy.guards.forced.as_ref()?;
    let breaches: Vec<String> = policy
        .breaches()
        .into_iter()
        .map(|found| format!("{}: {}", policy.pools[found.pool.index()].name, found.text))
        .collect();
    (!breaches.is_empty()).then(|| format!("{reason}: {}", breaches.join("; ")))
}

fn new_endpoint(
    id: EndpointId,
    info: EndpointInfo,
    pool: PoolId,
    hash: u64,
    slot: Slot,
    params: &Pool,
    now: Time,
) -> Endpoint {
    Endpoint {
        id,
        info,
        pool,
        hash,
        listing: Listing::Listed,
        proved: false,
        newcomer: false,
        counts: false,
        held: Held::new(now),
        word: Word::default(),
        slot,
        probes: Probes::default(),
        traffic: Traffic::new(&params.health),
        orders: OrderPath::new(&params.health, now),
        silence: Silence::default(),
        detour: false,
        hold: HoldDown::default(),
        meanwhile: Meanwhile::default(),
        last_good: None,
        ramp: None,
    }
}

/// The literal addresses, then the resolved ones, then those that are kept, each once, up to the
/// bound.
fn wanted(literal: &[SocketAddr], names: &BackendState) -> Vec<(SocketAddr, Listing)> {
    let mut seen = BTreeSet::new();
    let literal = literal.iter().map(|address| (*address, Listing::Literal));
    let resolved = names
        .resolved
        .iter()
        .map(|address| (*address, Listing::Listed));
    let retained = names
        .retained
        .iter()
        .map(|address| (*address, Listing::Retained));
    let all = literal.chain(resolved).chain(retained);
    all.filter(|(address, _)| seen.insert(*address))
        .take(MOST_ADDRESSES)
        .collect()
}

/// What makes a backend the same one under another policy: pool, site, URL.
pub(crate) type Identity = (String, String, String);

pub(crate) fn identity(policy: &Policy, index: usize) -> Option<Identity> {
    let backend = policy.backends.get(index)?;
    let pool = policy.pools.get(backend.pool.index())?;
    let site = policy.sites.get(backend.site.index())?;
    Some((pool.name.clone(), site.name.clone(), backend.name.clone()))
}
