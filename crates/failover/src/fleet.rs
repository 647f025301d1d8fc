//! All that the policy names, with what is known of it: providers, sites, pools, backends and their
//! endpoints.
//!
//! Owns the data and how to find it by id. Unknown ids find nothing. It decides nothing.

use crate::demand::Demand;
use crate::endpoint::Endpoint;
use crate::facts::{self, Excused};
use crate::held::Word;
use crate::hold::{HoldDown, Homecoming};
use crate::id::{BackendId, EndpointId, PoolId, ProviderId, SiteId};
use crate::input::{Outcome, Tally, Target};
use crate::output::{Subject, SubjectKind};
use crate::place::Place;
use crate::policy::Policy;
use crate::table::{EndpointInfo, PoolTable};
use crate::time::Time;
use crate::trust::Trust;
use crate::verdict::Verdict;
use crate::window::{Counts, Window};
use std::net::SocketAddr;
use std::sync::Arc;

/// The policy, and what is known of everything in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    pub policy: Policy,
    /// By [`ProviderId`].
    pub providers: Vec<ProviderState>,
    /// By [`SiteId`].
    pub sites: Vec<SiteState>,
    /// By [`PoolId`].
    pub pools: Vec<PoolState>,
    /// By [`BackendId`].
    pub backends: Vec<BackendState>,
    /// By [`EndpointId`]; `None` where it is gone.
    pub endpoints: Vec<Option<Box<Endpoint>>>,
}

#[derive(Clone, Debug)]
pub(crate) struct ProviderState {
    pub place: Place,
    pub sites: Vec<SiteId>,
    pub homecoming: Homecoming,
    /// Sites that are down at which it is left.
    pub failing_sites: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct SiteState {
    pub place: Place,
    pub provider: ProviderId,
    pub pools: Vec<PoolId>,
    pub homecoming: Homecoming,
    /// Share of its endpoints that are down at which it is left.
    pub failing: f64,
    pub census: Census,
}

/// A site's endpoints, over all pools, by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census([usize; Verdict::ALL.len()]);

impl Census {
    pub(crate) const fn add(&mut self, verdict: Verdict) {
        self.0[verdict as usize] += 1;
    }

    pub(crate) const fn remove(&mut self, verdict: Verdict) {
        self.0[verdict as usize] = self.0[verdict as usize].saturating_sub(1);
    }

    pub(crate) const fn of(&self, verdict: Verdict) -> usize {
        self.0[verdict as usize]
    }

    pub(crate) fn total(&self) -> usize {
        self.0.iter().sum()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct PoolState {
    /// Its sites in tier order, those without an endpoint among them.
    pub lanes: Vec<LaneState>,
    /// The provider that takes orders; `None` while orders go where reads go.
    pub writer: Option<ProviderId>,
    /// Since when the writer's provider has nothing usable.
    pub writer_lost_at: Option<Time>,
    /// An operator wants the writer home as soon as it is well there.
    pub writer_called_home: bool,
    /// The provider that takes orders while the writer's is silent or gray.
    pub detour: Option<ProviderId>,
    /// Orders would make a detour, and nobody has answered yet who could take them.
    pub awaits_detour: bool,
    /// Orders fail at its writer while reads succeed, and that it stays has been told.
    pub orders_fail: bool,
    pub orders_held: bool,
    /// Since it last moved because orders failed: it goes to who has not proved itself no sooner.
    pub orders_hold: HoldDown,
    /// When a read last succeeded anywhere in it; the beginning of time where none did.
    pub read_at: Time,
    pub trust: Trust,
    /// When it last began to trust its detector again.
    pub calm_since: Option<Time>,
    /// The tier that carries most of the reads, from 0.
    pub active_tier: usize,
    /// Until then, what has not been probed yet counts as well: at the start nobody knows anything,
    /// and the first answer must not win it all.
    pub newborn_until: Time,
    /// Its places may come home now, where the policy has windows for that.
    pub window_open: bool,
    /// How much it is asked for.
    pub demand: Demand,
    /// When it last turned a request away for want of room.
    pub shed_at: Option<Time>,
    /// How often it was decided anew.
    pub decided: u64,
    /// As published.
    pub table: Arc<PoolTable>,
}

#[derive(Clone, Debug)]
pub(crate) struct LaneState {
    pub site: SiteId,
    pub tier: u32,
    pub weight: f64,
    /// Requests per second, where all its backends declare a capacity.
    pub rate: Option<f64>,
    pub hash: u64,
    pub endpoints: Vec<EndpointId>,
    /// Answers of its endpoints, and those of them that were 500 or late.
    pub errors: Window,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct BackendState {
    /// What its name resolves to, as last told.
    pub resolved: Vec<SocketAddr>,
    /// What it resolved to, and is kept for a while.
    pub retained: Vec<SocketAddr>,
    pub endpoints: Vec<EndpointId>,
}

impl PoolState {
    /// Requests per second that its load is spread by, for people; `None` where nothing declares a
    /// capacity or nothing came yet.
    pub(crate) fn demand_shown(&self) -> Option<f64> {
        let declares = self.lanes.iter().any(|lane| lane.rate.is_some());
        self.demand.shown().filter(|_| declares)
    }

    /// Counts what one of its endpoints met, and says what of it is no fault of that endpoint.
    pub(crate) fn excused(
        &mut self,
        info: EndpointInfo,
        tally: &Tally,
        now: Time,
        provider_of: impl Fn(SiteId) -> ProviderId,
    ) -> Excused {
        let errors = Counts {
            all: tally.answers(),
            failed: tally.count(Outcome::ServerError),
            late: tally.late,
        };
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.site == info.site) {
            lane.errors.add(errors, now);
        }
        if errors.failed == 0 && errors.late == 0 {
            return Excused::default();
        }
        let (mut own, mut elsewhere) = (Counts::default(), Counts::default());
        for lane in &mut self.lanes {
            let of_it = provider_of(lane.site) == info.provider;
            let counts = if of_it { &mut own } else { &mut elsewhere };
            *counts = counts.with(lane.errors.sum(now));
        }
        facts::excused(own, elsewhere, tally)
    }
}

impl Fleet {
    pub(crate) fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.get(id.index())?.as_deref()
    }

    pub(crate) fn endpoint_mut(&mut self, id: EndpointId) -> Option<&mut Endpoint> {
        self.endpoints.get_mut(id.index())?.as_deref_mut()
    }

    /// Every endpoint, by id.
    pub(crate) fn all_endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter_map(|slot| slot.as_deref())
    }

    /// The sites of a place, or none for an endpoint.
    pub(crate) fn sites_of(&self, target: Target) -> Vec<SiteId> {
        match target {
            Target::Provider(id) => self
                .providers
                .get(id.index())
                .map_or(Vec::new(), |p| p.sites.clone()),
            Target::Site(id) if id.index() < self.sites.len() => vec![id],
            Target::Site(_) | Target::Endpoint(_) => Vec::new(),
        }
    }

    /// The pools that have anything there.
    pub(crate) fn pools_of(&self, target: Target) -> Vec<PoolId> {
        if let Target::Endpoint(id) = target {
            return self
                .endpoint(id)
                .map(|endpoint| endpoint.pool)
                .into_iter()
                .collect();
        }
        let mut pools: Vec<PoolId> = self
            .sites_of(target)
            .iter()
            .flat_map(|site| self.sites[site.index()].pools.iter().copied())
            .collect();
        pools.sort_unstable();
        pools.dedup();
        pools
    }

    /// What an operator said of a place or an endpoint.
    pub(crate) fn word(&self, target: Target) -> Option<&Word> {
        match target {
            Target::Provider(id) => Some(&self.providers.get(id.index())?.place.word),
            Target::Site(id) => Some(&self.sites.get(id.index())?.place.word),
            Target::Endpoint(id) => Some(&self.endpoint(id)?.word),
        }
    }

    pub(crate) fn word_mut(&mut self, target: Target) -> Option<&mut Word> {
        match target {
            Target::Provider(id) => Some(&mut self.providers.get_mut(id.index())?.place.word),
            Target::Site(id) => Some(&mut self.sites.get_mut(id.index())?.place.word),
            Target::Endpoint(id) => Some(&mut self.endpoint_mut(id)?.word),
        }
    }

    /// Whether an operator keeps new work away from a site, by its own or its provider's word.
    pub(crate) fn is_kept_away(&self, site: SiteId) -> bool {
        let site = &self.sites[site.index()];
        let provider = &self.providers[site.provider.index()];
        site.place.word.keeps_away() || provider.place.word.keeps_away()
    }

    pub(crate) fn provider_name(&self, id: ProviderId) -> &str {
        self.policy
            .providers
            .get(id.index())
            .map_or("?", |provider| &provider.name)
    }

    pub(crate) fn site_name(&self, id: SiteId) -> &str {
        self.policy
            .sites
            .get(id.index())
            .map_or("?", |site| &site.name)
    }

    pub(crate) fn subject(&self, target: Target) -> Subject {
        match target {
            Target::Provider(id) => Subject {
                kind: SubjectKind::Provider,
                name: self.provider_name(id).to_owned(),
            },
            Target::Site(id) => Subject {
                kind: SubjectKind::Site,
                name: self.site_name(id).to_owned(),
            },
            Target::Endpoint(id) => self.endpoint(id).map_or(
                Subject {
                    kind: SubjectKind::Endpoint,
                    name: "?".to_owned(),
                },
                |endpoint| {
                    let mut subject = self.backend_subject(endpoint.info.backend);
                    subject.name = format!("{} {}", subject.name, endpoint.info.address);
                    subject
                },
            ),
        }
    }

    /// A backend as the subject of an event about its endpoints.
    pub(crate) fn backend_subject(&self, id: BackendId) -> Subject {
        let name = self.policy.backends.get(id.index()).map_or_else(
            || "?".to_owned(),
            |backend| {
                let pool = &self.policy.pools[backend.pool.index()].name;
                format!("{pool} {} {}", self.site_name(backend.site), backend.name)
            },
        );
        Subject {
            kind: SubjectKind::Endpoint,
            name,
        }
    }

    pub(crate) fn pool_subject(&self, id: PoolId) -> Subject {
        let name = self
            .policy
            .pools
            .get(id.index())
            .map_or("?", |pool| &pool.name)
            .to_owned();
        Subject {
            kind: SubjectKind::Pool,
            name,
        }
    }
}
