//! The immutable routing table that the data path reads: one per decision.
//!
//! The engine builds it, the shell publishes it, [`crate::select`] reads it. Everything is resolved
//! by position; nothing here is computed on the way of a request. A new table shares with the one
//! before it whatever did not change, so that one endpoint's failure costs one pool's worth of work.

use crate::class::Class;
use crate::id::{BackendId, EndpointId, ProviderId, SiteId};
use crate::limit::Rate;
use crate::verdict::Verdict;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where requests may go now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Table {
    /// Rises with each table, from 1.
    pub version: u64,
    /// By [`crate::PoolId`].
    pub pools: Vec<Arc<PoolTable>>,
    /// By [`EndpointId`]; `None` where the endpoint is gone.
    pub endpoints: Arc<Vec<Option<EndpointInfo>>>,
}

impl Table {
    /// What is known of an endpoint; `None` when it is gone.
    pub fn endpoint(&self, id: EndpointId) -> Option<EndpointInfo> {
        self.endpoints.get(id.index()).copied().flatten()
    }

    /// What becomes of work that is under way at an endpoint. Looks through all pools: not for the
    /// usual way of a request.
    pub fn leaving(&self, id: EndpointId) -> Leaving {
        let all = self.pools.iter().flat_map(|pool| &pool.leaving);
        let mut found = all.filter(|(leaving, _)| *leaving == id);
        found.next().map_or(Leaving::Stays, |(_, how)| *how)
    }
}

/// An endpoint as the data path needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointInfo {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whose address it is.
    pub backend: BackendId,
    /// Where it stands.
    pub site: SiteId,
    /// Who runs it.
    pub provider: ProviderId,
}

/// Where one pool's requests may go now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PoolTable {
    /// Every site of the pool that has an endpoint, in tier order.
    pub lanes: Vec<Lane>,
    /// The provider that takes orders and cancels; `None` when they go where reads go.
    pub writer: Option<ProviderId>,
    /// Whether everything looks bad and the verdicts are distrusted: no retries, serve from what
    /// is least bad (P4).
    pub panic: bool,
    /// Backends refuse a writer that has been replaced: an order that no endpoint of the writer's
    /// provider would take, and of which nothing was sent, may go to another provider.
    pub fenced: bool,
    /// The endpoints at which work under way does not stay, by id.
    pub leaving: Vec<(EndpointId, Leaving)>,
}

/// What becomes of work that is under way at an endpoint, worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaving {
    /// It stays.
    #[default]
    Stays,
    /// It stays; what may be repeated may try elsewhere beside it, since the endpoint says nothing.
    Detour,
    /// Nothing new comes; what runs may end, what never ends by itself is ended over a while.
    Slowly,
    /// Everything leaves now.
    AtOnce,
}

/// One site of a pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lane {
    /// The site.
    pub site: SiteId,
    /// Its provider.
    pub provider: ProviderId,
    /// Its rank in the failover order, from 0.
    pub tier: u32,
    /// Share of first attempts, 0 to 1; the lanes' shares sum up to 1 unless the pool has no
    /// endpoint at all.
    pub share: f64,
    /// Share of first attempts of public reads that a standby sees so that it is a tested one,
    /// between 0 and 1. It comes before [`Lane::share`]: the rest of those reads spreads by share.
    /// Nothing else goes there because of it.
    pub warm: f64,
    /// What it can carry, relative to the lanes of its tier: spreads further attempts and orders.
    /// Above 0 wherever it is usable.
    pub capacity: f64,
    /// Requests per second that it can carry now, where its backends declare it: what is left of it
    /// when endpoints are down, its ramp's part while it returns. Above 0 wherever it is usable.
    pub rate: Option<f64>,
    /// Whether so much is expected there that [`Lane::rate`] has to be enforced request by request.
    pub tight: bool,
    /// Share of the pool's first attempts that may go there whatever is full elsewhere, 0 to 1; orders
    /// and cancels, which are bound to their writer, are not held by it.
    pub most: f64,
    /// Hash of the site's name: ranks the lane for a key, the same in every process.
    pub hash: u64,
    /// Whether further attempts and orders may go there: it is not left, or all are (P4).
    pub usable: bool,
    /// Other sites of its provider are down: further attempts rather go elsewhere.
    pub suspect: bool,
    /// Its endpoints, those that are down among them.
    pub endpoints: Vec<LaneEndpoint>,
}

impl Lane {
    /// What one of its endpoints lets in of a class by its backend's word; `None` where nothing is declared,
    /// or nothing goes there.
    pub fn declared(&self, endpoint: EndpointId, class: Class) -> Option<Rate> {
        self.rate?;
        let found = self.endpoints.iter().find(|known| known.id == endpoint)?;
        let own = if class.goes_to_writer() {
            found.order_rate
        } else {
            found.rate
        };
        let most = found.order_rate;
        (own > 0.0).then_some(Rate { own, most })
    }
}

/// One endpoint of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LaneEndpoint {
    /// Which.
    pub id: EndpointId,
    /// Hash of its URL and address: ranks it for a key, the same in every process.
    pub hash: u64,
    /// Share of its lane, relative to its neighbours; 0 when nothing goes there.
    pub weight: f64,
    /// Share of its lane's orders, relative to its neighbours: 0 until reads have proved the way.
    pub order_weight: f64,
    /// Its part of [`Lane::rate`], requests per second: 0 where nothing goes there, and where nothing
    /// is declared.
    pub rate: f64,
    /// What orders and cancels are held to instead, requests per second. They are bound to their writer:
    /// what is thought of it lowers its weight, not what its backend declares. 0 where nothing is.
    pub order_rate: f64,
    /// What the engine holds of it.
    pub verdict: Verdict,
}
