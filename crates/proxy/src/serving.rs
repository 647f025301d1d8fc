//! The part of a snapshot that comes from the policy alone: files read, labels resolved.
//!
//! Built whole before anything is published, at the start and for each reload; what can fail fails
//! here. What did not change since the policy before is taken over, so that TLS sessions,
//! connections and counts go on.

use crate::admin::Access;
use crate::admit::{self, Sites};
use crate::connect::ConnectSpec;
use crate::distance::{self, Distance};
use crate::error::StartError;
use crate::per_client::PerClient;
use crate::route::RouteTable;
use crate::shortage::Shortages;
use crate::tls::{self, ClientTls, ServerTls};
use leeward_config::policy::{Backend, Clients, Listener, Policy, Protocol, Route};
use leeward_failover::Class;
use leeward_metrics::{
    AccessLogSlots, DownstreamSlots, ListenerSlots, Metrics, PoolSlots, ProviderSlots,
    RefusedSlots, RouteSlots,
};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// The part of a snapshot that comes from the policy alone.
pub(crate) struct Serving {
    pub(crate) policy: Policy,
    /// By listener id; those that left the policy stay, closed, for connections that are ending.
    pub(crate) listeners: Vec<ListenerIo>,
    /// By `PoolId`.
    pub(crate) pools: Vec<PoolSlots>,
    /// How far the nearest endpoint of each pool is, by `PoolId`.
    pub(crate) nearest: Vec<Arc<Distance>>,
    /// By `BackendId`.
    pub(crate) backends: Vec<BackendIo>,
    /// What workers share of each site.
    pub(crate) sites: Sites,
    /// Who may use the admin side.
    pub(crate) access: Access,
    /// What workers count of the access log.
    pub(crate) log_slots: AccessLogSlots,
    /// What leeward itself runs out of.
    pub(crate) shortages: Shortages,
    client_tls: Vec<ClientTls>,
}

/// Where the routes of the policy before stand, by name and class.
type RoutesBefore<'a> = HashMap<(&'a str, Class), usize>;

/// What serving one listener needs.
pub(crate) struct ListenerIo {
    pub(crate) name: String,
    /// It left the policy: its last connections are ending.
    pub(crate) closed: bool,
    tls: Option<ServerTls>,
    pub(crate) routes: RouteTable,
    pub(crate) max_connections: usize,
    /// Whether a plain listener takes HTTP/2 by prior knowledge.
    pub(crate) h2c: bool,
    /// How it knows who its clients are.
    pub(crate) clients: Arc<Clients>,
    /// Open connections of one client at most, where that is bounded.
    pub(crate) max_per_client: Option<usize>,
    /// Open connections by client, where they are bounded.
    pub(crate) per_client: Arc<PerClient>,
    /// Connections open now: written once a connection, not once a request.
    pub(crate) open: Arc<AtomicUsize>,
    pub(crate) slots: ListenerSlots,
    pub(crate) refused: RefusedSlots,
    /// By position in `policy.routes`.
    pub(crate) route_slots: Vec<RouteSlots>,
    /// By `Class`.
    downstream: Vec<DownstreamSlots>,
}

/// What connecting to one backend needs.
pub(crate) struct BackendIo {
    pub(crate) connect: ConnectSpec,
    /// The same for a connection that speaks HTTP/2, or may.
    pub(crate) shared: Option<ConnectSpec>,
    pub(crate) protocol: Protocol,
    pub(crate) authority: String,
    pub(crate) provider: ProviderSlots,
}

impl Serving {
    /// Reads every file that `policy` names and resolves every label. `ids` are the listeners' ids,
    /// in the policy's order; ids of `before` that are not among them are closed.
    pub(crate) fn new(
        policy: Policy,
        ids: &[usize],
        before: Option<&Serving>,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let known = before.map_or(&[][..], |before| &before.listeners);
        let routes = before.map_or(&[][..], |before| &before.policy.routes);
        let routes: RoutesBefore<'_> = (0..)
            .zip(routes)
            .map(|(position, route)| ((route.name.as_str(), route.class), position))
            .collect();
        let count = ids
            .iter()
            .map(|id| id + 1)
            .max()
            .unwrap_or(0)
            .max(known.len());
        let mut listeners = Vec::with_capacity(count);
        for id in 0..count {
            let wanted = ids.iter().position(|wanted| *wanted == id);
            listeners.push(match (wanted, known.get(id)) {
                (Some(at), known) => {
                    let before = known.map(|known| (known, &routes));
                    ListenerIo::new(&policy, &policy.listeners[at], before, metrics)?
                }
                (None, Some(known)) => known.close(),
                (None, None) => return Err(StartError::new("listener ids have a gap")),
            });
        }
        let pools = policy
            .engine
            .pools
            .iter()
            .map(|pool| metrics.pool(&pool.name))
            .collect();
        let nearest = nearest(&policy, before);
        let known = before.map_or(&[][..], |before| &before.client_tls);
        let mut client_tls = Vec::new();
        let backends = policy
            .backends
            .iter()
            .map(|backend| BackendIo::new(&policy, backend, known, &mut client_tls, metrics))
            .collect::<Result<_, _>>()?;
        let access = Access::new(&policy.admin_access)?;
        let sites = admit::sites(&policy, before.map(|before| &before.sites), metrics);
        Ok(Self {
            policy,
            listeners,
            pools,
            nearest,
            backends,
            sites,
            access,
            log_slots: metrics.access_log(),
            shortages: Shortages::new(metrics),
            client_tls,
        })
    }
}

/// How far the nearest endpoint of each pool is: what is known of a pool of the policy before stays
/// known.
fn nearest(policy: &Policy, before: Option<&Serving>) -> Vec<Arc<Distance>> {
    let known: HashMap<&str, &Arc<Distance>> = before
        .into_iter()
        .flat_map(|before| before.policy.engine.pools.iter().zip(&before.nearest))
        .map(|(pool, nearest)| (&*pool.name, nearest))
        .collect();
    let keep = |name: &str| {
        known.get(name).map_or_else(
            || Arc::new(Distance::new(distance::OF_THE_NEAREST)),
            |nearest| (*nearest).clone(),
        )
    };
    let pools = policy.engine.pools.iter();
    pools.map(|pool| keep(&pool.name)).collect()
}

impl ListenerIo {
    fn new(
        policy: &Policy,
        listener: &Listener,
        before: Option<(&Self, &RoutesBefore<'_>)>,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let name = listener.name.as_str();
        let routes_before = before.filter(|(before, _)| before.name == name);
        let before = before.map(|(before, _)| before);
        // Thousands of labels need not be looked up again.
        let route_slots = |route: &Route| {
            let known = routes_before.and_then(|(before, routes)| {
                let position = routes.get(&(route.name.as_str(), route.class))?;
                before.route_slots.get(*position)
            });
            known.map_or_else(
                || metrics.route(name, &route.name, route.class),
                RouteSlots::clone,
            )
        };
        let tls = match listener.certificates.as_slice() {
            [] => None,
            certificates => {
                let before = before.and_then(|before| before.tls.as_ref());
                Some(tls::server(certificates, listener.http2, before)?)
            }
        };
        Ok(Self {
            name: name.to_owned(),
            closed: false,
            tls,
            routes: RouteTable::new(name, policy.routes.iter().map(|route| &route.matches)),
            max_connections: listener.max_connections,
            h2c: listener.h2c,
            clients: Arc::new(listener.clients.clone()),
            max_per_client: listener.max_connections_per_client,
            per_client: before
                .map(|before| before.per_client.clone())
                .unwrap_or_default(),
            open: before.map(|before| before.open.clone()).unwrap_or_default(),
            slots: metrics.listener(name),
            refused: metrics.refused(name),
            route_slots: policy.routes.iter().map(route_slots).collect(),
            downstream: Class::ALL
                .iter()
                .map(|c| metrics.downstream(name, *c))
                .collect(),
        })
    }

    fn close(&self) -> Self {
        Self {
            name: self.name.clone(),
            closed: true,
            tls: None,
            routes: RouteTable::default(),
            max_connections: 0,
            h2c: self.h2c,
            clients: self.clients.clone(),
            max_per_client: self.max_per_client,
            per_client: self.per_client.clone(),
            open: self.open.clone(),
            slots: self.slots,
            refused: self.refused,
            route_slots: Vec::new(),
            downstream: self.downstream.clone(),
        }
    }

    /// The TLS side; `None` for a plain listener.
    pub(crate) fn tls(&self) -> Option<&Arc<ServerConfig>> {
        self.tls.as_ref().map(|tls| &tls.config)
    }

    /// The files of its certificates, and when they end.
    pub(crate) fn certificates(&self) -> &[(String, i64)] {
        self.tls.as_ref().map_or(&[], |tls| &tls.ends)
    }

    /// The latency cells of `class`.
    pub(crate) fn downstream(&self, class: Class) -> &DownstreamSlots {
        &self.downstream[class as usize]
    }
}

impl BackendIo {
    fn new(
        policy: &Policy,
        backend: &Backend,
        before: &[ClientTls],
        client_tls: &mut Vec<ClientTls>,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let engine = &policy.engine.backends[backend.id.index()];
        let tls = match &backend.tls {
            None => None,
            Some(wanted) => {
                let config = tls::client(wanted.ca.as_deref(), before, client_tls)?;
                let name = ServerName::try_from(wanted.server_name.clone()).map_err(|error| {
                    StartError::policy(format!(
                        "backend {}: `{}` cannot be asked for in TLS: {error}",
                        engine.name, wanted.server_name
                    ))
                })?;
                Some((config, name))
            }
        };
        let provider = policy.engine.sites[engine.site.index()].provider;
        let connect = ConnectSpec {
            tls,
            timeout: policy.pools[engine.pool.index()].connect_timeout,
        };
        let protocol = backend.protocol;
        Ok(Self {
            authority: authority(backend, if connect.tls.is_some() { 443 } else { 80 }),
            shared: (protocol != Protocol::Http1).then(|| shared(&connect, protocol)),
            connect,
            protocol,
            provider: metrics.provider(
                &policy.engine.pools[engine.pool.index()].name,
                &policy.engine.providers[provider.index()].name,
            ),
        })
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

/// `host:port`, without the port where it is the scheme's own; an IPv6 address in brackets.
fn authority(backend: &Backend, own_port: u16) -> String {
    let host = match backend.host.parse::<Ipv6Addr>() {
        Ok(_) => format!("[{}]", backend.host),
        Err(_) => backend.host.clone(),
    };
    match backend.port {
        port if port == own_port => host,
        port => format!("{host}:{port}"),
    }
}
