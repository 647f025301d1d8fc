//! `pools`: backends that can serve the same routes, and how they fail over.
//!
//! Owns the order of pools and what is said of a pool as a whole, once the routes are known.

use super::backends::Members;
use super::places::Places;
use super::{Context, backends, capacity, failover, probe, tiers};
use crate::fields::{Fields, expected, named, present, text, word};
use crate::policy::{Affinity, Backend, Pool, Probe, Protocol, Route};
use crate::report::Report;
use crate::shape;
use crate::shape::pools::MAX_POOLS;
use crate::shape::words::{MOVERS, ORDER_PROTOCOLS, WRITERS, WRITERS_RETURN};
use crate::source::Pos;
use crate::tree::{Entry, Node};
use http::header::HeaderName;
use leeward_failover as engine;
use leeward_failover::{Class, Mover, PoolId, ProviderId, Writer};
use std::collections::BTreeSet;

/// All pools and their backends.
#[derive(Default)]
pub(super) struct Pools {
    pub(super) engine: Vec<engine::Pool>,
    pub(super) io: Vec<Pool>,
    pub(super) backends: Vec<engine::Backend>,
    pub(super) backends_io: Vec<Backend>,
    notes: Vec<Note>,
    /// Some could not be read, so that an unknown name may be one of those.
    pub(super) torn: bool,
}

/// What is said of a pool once the routes are known.
struct Note {
    name: String,
    pos: Pos,
    orders: Pos,
    providers: BTreeSet<ProviderId>,
    /// Every backend's site is known.
    whole: bool,
    order_params: engine::OrderParams,
    /// Its backends are probed by gRPC, and its orders travel by HTTP/1.1.
    deaf_orders: bool,
}

impl Note {
    fn new(entry: &Entry) -> Self {
        Self {
            name: entry.key.clone(),
            pos: entry.pos,
            orders: entry.pos,
            providers: BTreeSet::new(),
            whole: false,
            order_params: engine::OrderParams::default(),
            deaf_orders: false,
        }
    }

    /// Judges a pool by the classes of its routes.
    fn judge(&self, report: &Report<'_>, classes: &[Class]) {
        let name = &self.name;
        if classes.is_empty() {
            let text = format!("no route leads to pool `{name}`");
            report.warning(self.pos, text, "add a route, or remove the pool");
        }
        let o = self.order_params;
        let moves = o.writer == Writer::Single && o.moves == Mover::Automatic && !o.fenced;
        let orders = classes.iter().any(|class| class.goes_to_writer());
        if moves && orders && self.providers.len() > 1 {
            let text = format!(
                "orders of pool `{name}` move automatically and are not fenced: a provider that \
                 is cut off rather than dead can still execute what it has"
            );
            let hint = "`fenced: true` where backends refuse a writer that has been replaced, \
                        or `move: operator`";
            report.warning(self.orders, text, hint);
        }
        if self.deaf_orders && orders {
            let text = format!(
                "orders of pool `{name}` travel by HTTP/1.1, and its backends are probed by gRPC, \
                 which needs HTTP/2"
            );
            let hint =
                "`orders: { protocol: http2 }`, unless they take orders over HTTP/1.1 as well";
            report.warning(self.orders, text, hint);
        }
    }
}

impl Pools {
    /// The pool of a name, which is reported where there is none.
    pub(super) fn find(&self, report: &Report<'_>, node: &Node) -> Option<PoolId> {
        let text = text(report, node, "the name of a pool")?;
        let found = self
            .notes
            .iter()
            .position(|note| note.name == text)
            .map(PoolId::from);
        if found.is_none() && !self.torn {
            let names = self.notes.iter().map(|note| note.name.as_str());
            let hint = report.suggest(text, names);
            report.error_hint(node.pos, format!("there is no pool `{text}`"), hint);
        }
        found
    }

    /// The name of a pool and where it stands.
    pub(super) fn place(&self, pool: PoolId) -> Option<(&str, Pos)> {
        let note = self.notes.get(pool.index())?;
        Some((note.name.as_str(), note.pos))
    }

    /// The only pool, where there is just one.
    pub(super) fn only(&self) -> Option<PoolId> {
        (self.notes.len() == 1).then_some(PoolId(0))
    }

    /// Says what is risky about pools as the routes use them.
    pub(super) fn judge(&self, report: &Report<'_>, routes: &[Route]) {
        // Where something is wrong, routes may be missing here.
        let routes = (!report.has_errors()).then_some(routes);
        for (index, note) in self.notes.iter().enumerate().filter(|(_, note)| note.whole) {
            if note.providers.len() == 1 {
                let name = &note.name;
                let text =
                    format!("pool `{name}` depends on one provider: losing it loses the pool");
                report.warning(note.pos, text, "add a backend at another provider");
            }
            if let Some(routes) = routes {
                let pool = PoolId::from(index);
                let own = routes.iter().filter(|route| route.pool == pool);
                note.judge(report, &own.map(|route| route.class).collect::<Vec<_>>());
            }
        }
    }

    fn add(&mut self, members: Members) {
        let ids = (self.backends.len()..).map(engine::BackendId::from);
        let io = members.io.into_iter().zip(ids);
        self.backends_io
            .extend(io.map(|(backend, id)| Backend { id, ..backend }));
        self.backends.extend(members.backends);
    }
}

/// Reads `pools`.
pub(super) fn compile(context: &Context<'_>, fields: &mut Fields<'_>, places: &Places) -> Pools {
    let mut pools = Pools::default();
    let Some(node) = fields.require("pools", &format!("{{ {} }}", shape::pools::POOL.example))
    else {
        pools.torn = true;
        return pools;
    };
    let entries = named(context.report, node, "pools", MAX_POOLS);
    pools.torn = entries.is_empty();
    for entry in entries {
        pool(context, entry, places, &mut pools);
    }
    pools
}

fn pool(context: &Context<'_>, entry: &Entry, places: &Places, pools: &mut Pools) {
    let report = context.report;
    let mut note = Note::new(entry);
    let node = present(report, entry);
    if let Some(mut fields) = node.and_then(|node| Fields::of(report, node, &shape::pools::POOL)) {
        let id = PoolId::from(pools.notes.len());
        let members = backends::compile(context, &mut fields, places, id);
        note.whole = members.whole;
        let sites = members.backends.iter().map(|backend| backend.site);
        note.providers = sites.filter_map(|site| places.provider_of(site)).collect();

        let (probe, probe_params) = probe::compile(&mut fields);
        probe::speakers(&fields, &probe, &members);
        let failover = tiers::with_failover(&mut fields, &members, places, &entry.key);
        let first = failover
            .first
            .or_else(|| fields.key_pos("probe"))
            .unwrap_or(entry.pos);
        failover::hold_down_fits(report, first, failover.params, probe_params);
        note.orders = fields.key_pos("orders").unwrap_or(entry.pos);
        let (order_params, order_protocol, affinity) = orders(&mut fields);
        note.order_params = order_params;
        speakers(&fields, &members, order_protocol);
        let by_http2 = matches!(order_protocol, Some((_, Protocol::Http2)));
        note.deaf_orders = matches!(probe, Probe::Grpc(_)) && !by_http2;
        capacity::judge(report, entry.pos, &entry.key, &members, places);

        let (health, error_if) = failover::health(&mut fields);
        let affinity = pool_affinity(&mut fields, affinity);
        let order_protocol = order_protocol.map_or(Protocol::Http1, |(_, protocol)| protocol);
        pools.io.push(Pool {
            order_protocol,
            error_if,
            windows: failover.windows,
            ..io(&mut fields, probe, affinity)
        });
        pools.engine.push(engine::Pool {
            name: entry.key.clone(),
            tiers: failover.tiers,
            probe: probe_params,
            health,
            failover: failover.params,
            orders: order_params,
            retry: failover::retry(&mut fields),
        });
        pools.add(members);
        fields.finish();
    }
    pools.notes.push(note);
}

fn io(fields: &mut Fields<'_>, probe: Probe, affinity: Affinity) -> Pool {
    let d = Pool::default();
    Pool {
        affinity,
        probe,
        connect_timeout: fields.duration("connect_timeout", d.connect_timeout),
        idle_timeout: fields.duration("idle_timeout", d.idle_timeout),
        max_idle: super::server::count(fields, "max_idle", d.max_idle),
        order_reuse_within: fields.duration("order_reuse_within", d.order_reuse_within),
        order_protocol: d.order_protocol,
        max_streams: super::server::count(fields, "max_streams", d.max_streams),
        error_if: None,
        windows: d.windows,
        drain_streams: fields.duration("drain_streams", d.drain_streams),
    }
}

/// Orders that shall travel by HTTP/2 need a backend that speaks it.
fn speakers(fields: &Fields<'_>, members: &Members, wanted: Option<(Pos, Protocol)>) {
    let deaf = |backend: &Backend| backend.protocol == Protocol::Http1;
    if let Some((pos, Protocol::Http2)) = wanted
        && members.whole
        && members.io.iter().all(deaf)
    {
        let text = "orders shall travel by HTTP/2, and no backend of the pool speaks it";
        let hint = "`protocol: http2` or `protocol: auto` in a backend or in the pool";
        fields.report.error_hint(pos, text, hint);
    }
}

/// What the orders of a pool say: who takes them, what they travel by, and the affinity key.
type Orders<'a> = (
    engine::OrderParams,
    Option<(Pos, Protocol)>,
    Option<(Pos, &'a Node)>,
);

/// Reads `orders`; the affinity key may stand in it as well.
fn orders<'a>(fields: &mut Fields<'a>) -> Orders<'a> {
    let default = engine::OrderParams::default();
    let Some(mut orders) = fields
        .get("orders")
        .and_then(|node| Fields::of(fields.report, node, &shape::pools::ORDERS))
    else {
        return (default, None, None);
    };
    let found = engine::OrderParams {
        writer: orders.word("writer", &WRITERS).unwrap_or(default.writer),
        moves: orders.word("move", &MOVERS).unwrap_or(default.moves),
        failback: orders
            .word("failback", &WRITERS_RETURN)
            .unwrap_or(default.failback),
        fenced: orders.flag("fenced", default.fenced),
    };
    let protocol = orders.word("protocol", &ORDER_PROTOCOLS);
    let protocol = orders.key_pos("protocol").zip(protocol);
    let pos = orders.key_pos("affinity");
    let affinity = pos.zip(orders.get("affinity"));
    orders.finish();
    (found, protocol, affinity)
}

fn pool_affinity(fields: &mut Fields<'_>, in_orders: Option<(Pos, &Node)>) -> Affinity {
    let report = fields.report;
    let pos = fields.key_pos("affinity");
    let own = pos.zip(fields.get("affinity"));
    if let (Some((first, _)), Some((second, _))) = (own, in_orders) {
        let text = "`affinity` is given in the pool and in its orders";
        let hint = format!("keep the one of {}", report.place(first, second));
        report.error_hint(second, text, hint);
    }
    own.or(in_orders)
        .and_then(|(_, node)| affinity(report, node))
        .unwrap_or_default()
}

fn affinity(report: &Report<'_>, node: &Node) -> Option<Affinity> {
    if node.scalar().is_some() {
        return word(report, node, &[("client", ())]).map(|()| Affinity::Client);
    }
    let mut fields = Fields::of(report, node, &shape::pools::AFFINITY)?;
    let node = fields.require("header", "X-API-KEY");
    fields.finish();
    let node = node?;
    let name = text(report, node, "the name of a header field")?;
    let header = HeaderName::from_bytes(name.as_bytes()).ok();
    if header.is_none() {
        expected(report, node, "the name of a header field", None);
    }
    header.map(Affinity::Header)
}
