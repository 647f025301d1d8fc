//! Where each pool stands: which class goes where now, what serves, how much of it is left.
//!
//! Read off the table that the data path reads, so it is what happens and not what is meant to.
//! Decides nothing; `headline` says it in words, the page draws it.

use crate::snapshot::Snapshot;
use leeward_failover::{Class, Lane, PoolId, PoolTable};
use serde::Serialize;
use std::collections::BTreeMap;

/// One pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Standing {
    /// As in the policy.
    pub(super) pool: String,
    /// Requests per second that its backends declare together; absent where not all of them do.
    pub(super) capacity: Option<f64>,
    /// What the endpoints that serve have of that.
    pub(super) capacity_left: Option<f64>,
    /// All its endpoints.
    pub(super) endpoints: usize,
    /// Those that requests may go to.
    pub(super) serving: usize,
    /// The sites that it has backends at, whether they have an address or not.
    pub(super) sites: Vec<String>,
    /// Where each class of its routes goes.
    pub(super) flow: Vec<Flow>,
}

/// Where a class goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Flow {
    pub(super) class: &'static str,
    /// Routes of that class.
    pub(super) routes: usize,
    /// By site, in tier order, those without a share left out; nothing where it has no place to go.
    pub(super) to: Vec<Share>,
}

impl Flow {
    /// Whether it is what one writer takes: orders and cancels.
    pub(super) fn is_orders(&self) -> bool {
        self.class == Class::Order.as_str() || self.class == Class::Cancel.as_str()
    }
}

/// A part of a class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Share {
    pub(super) site: String,
    pub(super) provider: String,
    /// 0 to 1.
    pub(super) share: f64,
}

/// Every pool, in the policy's order.
pub(super) fn standing(snapshot: &Snapshot) -> Vec<Standing> {
    let tables = snapshot.table.pools.iter().enumerate();
    tables
        .map(|(at, table)| of_pool(snapshot, PoolId::from(at), table))
        .collect()
}

fn of_pool(snapshot: &Snapshot, id: PoolId, table: &PoolTable) -> Standing {
    let engine = &snapshot.serving.policy.engine;
    let backends: Vec<_> = engine
        .backends
        .iter()
        .enumerate()
        .filter(|(_, backend)| backend.pool == id)
        .collect();
    let mut known: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for lane in &table.lanes {
        for endpoint in &lane.endpoints {
            let Some(info) = snapshot.table.endpoint(endpoint.id) else {
                continue;
            };
            let (all, serving) = known.entry(info.backend.index()).or_default();
            *all += 1;
            *serving += usize::from(lane.usable && endpoint.weight > 0.0);
        }
    }
    let declared: Option<Vec<(f64, f64)>> = backends
        .iter()
        .map(|(at, backend)| {
            let (all, serving) = known.get(at).copied().unwrap_or_default();
            let part = serving as f64 / all.max(1) as f64;
            Some((f64::from(backend.capacity?), part))
        })
        .collect();
    let mut sites: Vec<String> = Vec::new();
    for (_, backend) in &backends {
        let name = &engine.sites[backend.site.index()].name;
        if !sites.contains(name) {
            sites.push(name.clone());
        }
    }
    Standing {
        pool: engine.pools[id.index()].name.clone(),
        capacity: declared
            .as_ref()
            .map(|all| all.iter().map(|(capacity, _)| capacity).sum()),
        capacity_left: declared.map(|all| all.iter().map(|(capacity, part)| capacity * part).sum()),
        endpoints: known.values().map(|(all, _)| all).sum(),
        serving: known.values().map(|(_, serving)| serving).sum(),
        sites,
        flow: flow(snapshot, id, table),
    }
}

fn flow(snapshot: &Snapshot, id: PoolId, table: &PoolTable) -> Vec<Flow> {
    let policy = &snapshot.serving.policy;
    let of_class = |class: Class| {
        let routes = policy.routes.iter();
        let routes = routes.filter(|route| route.pool == id && route.class == class);
        let routes = routes.count();
        (routes > 0).then(|| Flow {
            class: class.as_str(),
            routes,
            to: shares(table, class)
                .into_iter()
                .filter(|(_, share)| *share > 0.0)
                .map(|(lane, share)| Share {
                    site: policy.engine.sites[lane.site.index()].name.clone(),
                    provider: policy.engine.providers[lane.provider.index()].name.clone(),
                    share,
                })
                .collect(),
        })
    };
    Class::ALL.into_iter().filter_map(of_class).collect()
}

/// The part of a class that each lane gets, as first attempts are placed.
fn shares(table: &PoolTable, class: Class) -> Vec<(&Lane, f64)> {
    let lanes = table.lanes.iter();
    match table.writer.filter(|_| class.goes_to_writer()) {
        Some(writer) => {
            let takes = |lane: &&Lane| {
                let orders = lane.endpoints.iter().any(|e| e.order_weight > 0.0);
                lane.provider == writer && lane.usable && orders
            };
            let lanes: Vec<&Lane> = lanes.filter(takes).collect();
            let by_share = lanes.iter().any(|lane| lane.share > 0.0);
            let weight = |lane: &Lane| if by_share { lane.share } else { lane.capacity };
            let sum: f64 = lanes.iter().map(|lane| weight(lane)).sum();
            let part = |lane: &Lane| if sum > 0.0 { weight(lane) / sum } else { 0.0 };
            lanes.iter().map(|lane| (*lane, part(lane))).collect()
        }
        None => {
            // Only public reads keep standbys warm.
            let warm = |lane: &Lane| match class {
                Class::PublicRead => lane.warm,
                _ => 0.0,
            };
            let all: f64 = table.lanes.iter().map(warm).sum();
            lanes
                .map(|lane| (lane, lane.share * (1.0 - all) + warm(lane)))
                .collect()
        }
    }
}
