//! What the data path reads: one immutable value, published whole by the control task.
//!
//! `policy`, `routes` and `tls` change with a policy, `table` and `endpoints` with each decision of
//! the engine. A worker keeps the newest one it has seen; a request keeps the one it began with.

use crate::connect::ConnectSpec;
use crate::error::StartError;
use crate::route::RouteTable;
use crate::tls;
use leeward_config::policy::{Policy, Protocol, UpstreamTls};
use leeward_failover::{BackendId, Class, EndpointId, PoolId, Table};
use leeward_metrics::{
    DownstreamSlots, EndpointLabels, EndpointSlots, ListenerSlots, Metrics, PoolSlots,
    ProviderSlots, RefusedSlots, RouteSlots,
};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the data path reads.
pub(crate) struct Snapshot {
    pub(crate) serving: Arc<Serving>,
    pub(crate) table: Arc<Table>,
    /// By `EndpointId`.
    pub(crate) endpoints: Arc<Vec<Option<Arc<EndpointIo>>>>,
}

/// The part of a snapshot that comes from the policy alone.
pub(crate) struct Serving {
    pub(crate) policy: Policy,
    /// By position in `policy.listeners`.
    pub(crate) listeners: Vec<ListenerIo>,
    /// By `PoolId`.
    pub(crate) pools: Vec<PoolSlots>,
    /// By `BackendId`.
    backends: Vec<BackendIo>,
}

/// What serving one listener needs.
pub(crate) struct ListenerIo {
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) routes: RouteTable,
    pub(crate) slots: ListenerSlots,
    pub(crate) refused: RefusedSlots,
    /// By position in `policy.routes`.
    pub(crate) route_slots: Vec<RouteSlots>,
    /// By `Class`.
    downstream: Vec<DownstreamSlots>,
}

struct BackendIo {
    connect: ConnectSpec,
    shared: Option<ConnectSpec>,
    protocol: Protocol,
    order_protocol: Protocol,
    max_streams: usize,
    authority: String,
    provider: ProviderSlots,
}

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
    /// `host:port` as in the backend's URL, without the port where it is the scheme's own.
    pub(crate) authority: String,
    pub(crate) labels: EndpointLabels,
    pub(crate) slots: EndpointSlots,
    pub(crate) provider: ProviderSlots,
}

impl EndpointIo {
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
}

impl ListenerIo {
    /// The latency cells of `class`.
    pub(crate) fn downstream(&self, class: Class) -> &DownstreamSlots {
        &self.downstream[class as usize]
    }
}

impl Serving {
    /// Reads every file that `policy` names and resolves every label. Nothing is published yet.
    pub(crate) fn new(policy: Policy, metrics: &Metrics) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for listener in &policy.listeners {
            let tls = match listener.certificates.as_slice() {
                [] => None,
                certificates => Some(tls::server_config(certificates, listener.http2)?),
            };
            let name = listener.name.as_str();
            listeners.push(ListenerIo {
                tls,
                routes: RouteTable::new(name, policy.routes.iter().map(|route| &route.matches)),
                slots: metrics.listener(name),
                refused: metrics.refused(name),
                route_slots: policy
                    .routes
                    .iter()
                    .map(|route| metrics.route(name, &route.name, route.class))
                    .collect(),
                downstream: Class::ALL
                    .iter()
                    .map(|c| metrics.downstream(name, *c))
                    .collect(),
            });
        }
        let pools = policy
            .engine
            .pools
            .iter()
            .map(|pool| metrics.pool(&pool.name))
            .collect();
        let backends = backends(&policy, metrics)?;
        Ok(Self {
            policy,
            listeners,
            pools,
            backends,
        })
    }

    /// The I/O side of every endpoint of `table`, reusing what `before` has.
    pub(crate) fn endpoints(
        &self,
        table: &Table,
        before: &[Option<Arc<EndpointIo>>],
        metrics: &Metrics,
    ) -> Vec<Option<Arc<EndpointIo>>> {
        let mut endpoints = Vec::with_capacity(table.endpoints.len());
        for (position, info) in table.endpoints.iter().enumerate() {
            let Some(info) = info else {
                endpoints.push(None);
                continue;
            };
            if let Some(Some(known)) = before.get(position) {
                endpoints.push(Some(known.clone()));
                continue;
            }
            let engine = &self.policy.engine;
            let backend = &engine.backends[info.backend.index()];
            let io = &self.backends[info.backend.index()];
            let labels = EndpointLabels {
                pool: engine.pools[backend.pool.index()].name.clone(),
                provider: engine.providers[info.provider.index()].name.clone(),
                site: engine.sites[info.site.index()].name.clone(),
                backend: backend.name.clone(),
                address: info.address.to_string(),
            };
            endpoints.push(Some(Arc::new(EndpointIo {
                id: EndpointId::from(position),
                pool: backend.pool,
                backend: info.backend,
                address: info.address,
                connect: io.connect.clone(),
                shared: io.shared.clone(),
                protocol: io.protocol,
                order_protocol: io.order_protocol,
                max_streams: io.max_streams,
                authority: io.authority.clone(),
                slots: metrics.endpoint(&labels),
                provider: io.provider,
                labels,
            })));
        }
        endpoints
    }
}

/// As `connect`, with HTTP/2 asked for in the TLS handshake.
fn shared(connect: &ConnectSpec, protocol: Protocol) -> ConnectSpec {
    let tls = connect.tls.as_ref().map(|(config, name)| {
        let config = tls::with_http2(config, protocol == Protocol::Auto);
        (config, name.clone())
    });
    ConnectSpec {
        tls,
        timeout: connect.timeout,
    }
}

fn backends(policy: &Policy, metrics: &Metrics) -> Result<Vec<BackendIo>, StartError> {
    let mut configs: HashMap<&UpstreamTls, Arc<rustls::ClientConfig>> = HashMap::new();
    let mut backends = Vec::new();
    for backend in &policy.backends {
        let engine = &policy.engine.backends[backend.id.index()];
        let tls = match &backend.tls {
            None => None,
            Some(wanted) => {
                let config = match configs.get(wanted) {
                    Some(config) => config.clone(),
                    None => configs
                        .entry(wanted)
                        .or_insert(tls::client_config(wanted)?)
                        .clone(),
                };
                let name = ServerName::try_from(wanted.server_name.clone()).map_err(|error| {
                    StartError::policy(format!(
                        "backend {}: `{}` cannot be asked for in TLS: {error}",
                        engine.name, wanted.server_name
                    ))
                })?;
                Some((config, name))
            }
        };
        let own_port = if tls.is_some() { 443 } else { 80 };
        let authority = match backend.port {
            port if port == own_port => backend.host.clone(),
            port => format!("{}:{port}", backend.host),
        };
        let provider = policy.engine.sites[engine.site.index()].provider;
        let pool = &policy.pools[engine.pool.index()];
        let connect = ConnectSpec {
            tls,
            timeout: pool.connect_timeout,
        };
        let protocol = backend.protocol;
        backends.push(BackendIo {
            shared: (protocol != Protocol::Http1).then(|| shared(&connect, protocol)),
            connect,
            protocol,
            order_protocol: pool.order_protocol,
            max_streams: pool.max_streams,
            authority,
            provider: metrics.provider(
                &policy.engine.pools[engine.pool.index()].name,
                &policy.engine.providers[provider.index()].name,
            ),
        });
    }
    Ok(backends)
}
