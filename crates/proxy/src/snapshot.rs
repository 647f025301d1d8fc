//! What the data path reads: one immutable value, published whole by the control task.
//!
//! `serving` changes with a policy, `table` and `endpoints` with each decision of the engine. A
//! worker keeps the newest one it has seen; a request keeps the one it began with.

use crate::connect::ConnectSpec;
use crate::serving::Serving;
use crate::upstream::Reuse;
use leeward_failover::{BackendId, EndpointId, EndpointInfo, PoolId, Table};
use leeward_metrics::{EndpointLabels, EndpointSlots, Metrics, ProviderSlots};
use std::net::SocketAddr;
use std::sync::Arc;

/// What the data path reads.
pub(crate) struct Snapshot {
    pub(crate) serving: Arc<Serving>,
    pub(crate) table: Arc<Table>,
    /// By `EndpointId`.
    pub(crate) endpoints: Arc<Endpoints>,
}

/// The I/O side of every endpoint, by `EndpointId`.
pub(crate) type Endpoints = Vec<Option<Arc<EndpointIo>>>;

/// What an attempt at one endpoint needs.
pub(crate) struct EndpointIo {
    pub(crate) id: EndpointId,
    pub(crate) pool: PoolId,
    pub(crate) backend: BackendId,
    pub(crate) address: SocketAddr,
    pub(crate) connect: ConnectSpec,
    pub(crate) reuse: Reuse,
    /// `host:port` as in the backend's URL, without the port where it is the scheme's own.
    pub(crate) authority: String,
    pub(crate) labels: EndpointLabels,
    pub(crate) slots: EndpointSlots,
    pub(crate) provider: ProviderSlots,
}

/// The I/O side of every endpoint of `table` under `serving`. What has not changed since `before`
/// is the same object, so that its connections stay.
pub(crate) fn endpoints(
    serving: &Serving,
    table: &Table,
    before: &Endpoints,
    metrics: &Metrics,
) -> Endpoints {
    let known = |position: usize| before.get(position).and_then(Option::as_ref);
    let make = |(position, info): (usize, &Option<EndpointInfo>)| {
        let info = info.as_ref()?;
        let made = EndpointIo::new(EndpointId::from(position), info, serving, metrics);
        match known(position) {
            Some(known) if known.is_like(&made) => Some(known.clone()),
            _ => Some(Arc::new(made)),
        }
    };
    table.endpoints.iter().enumerate().map(make).collect()
}

impl EndpointIo {
    fn new(id: EndpointId, info: &EndpointInfo, serving: &Serving, metrics: &Metrics) -> Self {
        let policy = &serving.policy;
        let engine = &policy.engine;
        let backend = &engine.backends[info.backend.index()];
        let pool = &policy.pools[backend.pool.index()];
        let io = &serving.backends[info.backend.index()];
        let labels = EndpointLabels {
            pool: engine.pools[backend.pool.index()].name.clone(),
            provider: engine.providers[info.provider.index()].name.clone(),
            site: engine.sites[info.site.index()].name.clone(),
            backend: backend.name.clone(),
            address: info.address.to_string(),
        };
        Self {
            id,
            pool: backend.pool,
            backend: info.backend,
            address: info.address,
            connect: io.connect.clone(),
            reuse: Reuse {
                max_idle: pool.max_idle,
                idle_timeout: pool.idle_timeout,
                order_within: pool.order_reuse_within,
            },
            authority: io.authority.clone(),
            slots: metrics.endpoint(&labels),
            provider: io.provider,
            labels,
        }
    }

    /// Whether connections made for one serve the other.
    fn is_like(&self, other: &Self) -> bool {
        self.pool == other.pool
            && self.backend == other.backend
            && self.address == other.address
            && self.labels == other.labels
            && self.authority == other.authority
            && self.reuse == other.reuse
            && self.connect.is_like(&other.connect)
    }
}
