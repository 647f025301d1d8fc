//! What the data path reads: one immutable value, published whole by the control task.
//!
//! `serving` changes with a policy, `table` and `endpoints` with each decision of the engine. A
//! worker keeps the newest one it has seen; a request keeps the one it began with.

use crate::admit::Room;
use crate::connect::ConnectSpec;
use crate::distance::{self, Distance};
use crate::serving::Serving;
use crate::upstream::Reuse;
use leeward_config::policy::Protocol;
use leeward_failover::{BackendId, Class, EndpointId, EndpointInfo, PoolId, Table};
use leeward_metrics::{EndpointLabels, EndpointSlots, Metrics, ProviderSlots};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

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
    /// For HTTP/1.1 alone.
    pub(crate) connect: ConnectSpec,
    /// For a connection that speaks HTTP/2, or may; `None` when the policy does not want one.
    pub(crate) shared: Option<ConnectSpec>,
    protocol: Protocol,
    order_protocol: Protocol,
    /// Requests at a time on one HTTP/2 connection at most.
    pub(crate) max_streams: usize,
    pub(crate) reuse: Reuse,
    /// `host:port` as in the backend's URL, without the port where it is the scheme's own.
    pub(crate) authority: String,
    pub(crate) labels: EndpointLabels,
    pub(crate) slots: EndpointSlots,
    /// How long the last probe that passed took, in microseconds. Written once a probe.
    pub(crate) probe_took: AtomicU64,
    /// How far it is, and how far the nearest endpoint of its pool. Written once a probe.
    distance: Distance,
    nearest: Arc<Distance>,
    /// Streams that are open there, over all workers. Written twice a stream.
    pub(crate) streams: Arc<AtomicU64>,
    /// When the first certificate ends that the last probe was shown, in seconds since 1970; 0 before
    /// one was. Written once a probe.
    pub(crate) certificate_ends: AtomicI64,
    pub(crate) provider: ProviderSlots,
    /// How much it may be given.
    pub(crate) room: Room,
}

/// The I/O side of every endpoint of `table`, where `before` was made under the same policy: whoever
/// was there is the same object, and only those that came are made.
pub(crate) fn moved(
    serving: &Serving,
    table: &Table,
    before: &Endpoints,
    metrics: &Metrics,
) -> Endpoints {
    let make = |(position, info): (usize, &Option<EndpointInfo>)| {
        let info = info.as_ref()?;
        let known = before.get(position).and_then(Option::as_ref);
        // An id is never given twice.
        Some(known.cloned().unwrap_or_else(|| {
            let id = EndpointId::from(position);
            Arc::new(EndpointIo::new(id, info, serving, None, metrics))
        }))
    };
    table.endpoints.iter().enumerate().map(make).collect()
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
        let (id, known) = (EndpointId::from(position), known(position));
        let mut made = EndpointIo::new(id, info, serving, known, metrics);
        match known {
            Some(known) if known.is_like(&made) => return Some(known.clone()),
            // It is reached in another way now; what is open there stays open.
            Some(known) => made.streams = known.streams.clone(),
            None => {}
        }
        Some(Arc::new(made))
    };
    table.endpoints.iter().enumerate().map(make).collect()
}

impl EndpointIo {
    fn new(
        id: EndpointId,
        info: &EndpointInfo,
        serving: &Serving,
        before: Option<&Arc<Self>>,
        metrics: &Metrics,
    ) -> Self {
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
            shared: io.shared.clone(),
            protocol: io.protocol,
            order_protocol: pool.order_protocol,
            max_streams: pool.max_streams,
            reuse: Reuse {
                max_idle: pool.max_idle,
                idle_timeout: pool.idle_timeout,
                order_within: pool.order_reuse_within,
            },
            authority: io.authority.clone(),
            // Thousands of labels need not be looked up again.
            slots: before
                .filter(|before| before.labels == labels)
                .map_or_else(|| metrics.endpoint(&labels), |before| before.slots),
            room: Room::new(
                serving
                    .sites
                    .get(backend.pool.index())
                    .and_then(|sites| {
                        let site = sites.get(info.site.index())?.as_ref()?;
                        Some(site.learned())
                    })
                    .unwrap_or_else(|| {
                        let site = metrics.site(&labels.pool, &labels.provider, &labels.site);
                        site.learned
                    }),
            ),
            probe_took: AtomicU64::new(0),
            distance: Distance::new(distance::OF_A_PLACE),
            nearest: serving.nearest[backend.pool.index()].clone(),
            streams: Arc::default(),
            certificate_ends: AtomicI64::new(0),
            provider: io.provider,
            labels,
        }
    }

    /// A probe of it was answered after so long.
    pub(crate) fn answers_after(&self, took: Duration) {
        self.distance.took(took);
        self.nearest.took(took);
    }

    /// How much longer the way there and back takes than that to the nearest endpoint of its pool.
    pub(crate) fn further(&self) -> Duration {
        self.distance.beyond(&self.nearest)
    }

    /// What a request of `class` travels by. An upgrade exists in HTTP/1.1 only, and orders stay
    /// there unless the policy says otherwise.
    pub(crate) fn protocol(&self, class: Class, upgrade: bool) -> Protocol {
        let stays = class.goes_to_writer() && self.order_protocol == Protocol::Http1;
        if upgrade || stays {
            Protocol::Http1
        } else {
            self.protocol
        }
    }

    /// Whether a connection for HTTP/2 may turn out to speak HTTP/1.1.
    pub(crate) fn may_speak_http1(&self) -> bool {
        self.protocol == Protocol::Auto
    }

    /// What it takes to connect to it, for probes: what most of the traffic takes.
    pub(crate) fn usual_connect(&self) -> &ConnectSpec {
        self.shared.as_ref().unwrap_or(&self.connect)
    }

    /// Whether connections made for one serve the other.
    fn is_like(&self, other: &Self) -> bool {
        self.pool == other.pool
            && self.backend == other.backend
            && self.address == other.address
            && self.labels == other.labels
            && self.authority == other.authority
            && self.reuse == other.reuse
            && self.protocol == other.protocol
            && self.order_protocol == other.order_protocol
            && self.max_streams == other.max_streams
            && self.connect.is_like(&other.connect)
    }
}
