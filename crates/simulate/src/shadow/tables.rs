//! P4, P5, P6, P8 and P10 as far as tables and the journal show them.

use super::{Found, Quiet};
use crate::world::World;
use leeward_failover::{
    Change, Class, EndpointId, Event, PoolId, SubjectKind, Table, Time, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Decisions in a minute at most: an outage of any length costs about the same.
const MOST_EVENTS: usize = 3000;

#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// The last line of the journal.
    seq: u64,
    /// What each id has meant in this process.
    meanings: BTreeMap<EndpointId, SocketAddr>,
    /// What was down right before a reload.
    down_before: Option<BTreeSet<SocketAddr>>,
    /// When each endpoint was last probed.
    probed: BTreeMap<EndpointId, Time>,
    events: Vec<Time>,
    /// Whether the next table is a new process's first.
    fresh: bool,
}

impl Tables {
    pub(crate) fn decided(
        &mut self,
        world: &World,
        before: &Arc<Table>,
        events: &[Event],
        found: &mut Found,
    ) {
        let fresh = std::mem::take(&mut self.fresh);
        self.check_journal(world, events, found);
        self.check_meanings(world, found);
        check_zero(world, found);
        check_names(world, found);
        if !fresh && !before.pools.is_empty() {
            let reload = self.check_reload(world, found);
            if !reload {
                check_explained(world, before, events, found);
            }
        }
    }

    /// Every line has its number, its cause and its evidence.
    fn check_journal(&mut self, world: &World, events: &[Event], found: &mut Found) {
        for event in events {
            if self.seq > 0 && event.seq != self.seq + 1 {
                let what = format!("the journal jumps from {} to {}", self.seq, event.seq);
                found.broken(world.now, "P10", what);
            }
            self.seq = event.seq;
            let bare = matches!(event.change, Change::Verdict { .. }) && event.evidence.is_empty();
            if bare {
                let what = format!("{} changes without evidence", event.subject.name);
                found.broken(world.now, "P10", what);
            }
            self.events.push(event.at);
        }
        self.events
            .retain(|at| world.now.since(*at) < Duration::from_secs(60));
        if self.events.len() > MOST_EVENTS {
            let what = format!("{} decisions within a minute", self.events.len());
            found.broken(world.now, "P8", what);
        }
    }

    /// An id means one address for ever.
    fn check_meanings(&mut self, world: &World, found: &mut Found) {
        for (index, info) in world.table.endpoints.iter().enumerate() {
            let Some(info) = info else { continue };
            let id = EndpointId::from(index);
            let meant = *self.meanings.entry(id).or_insert(info.address);
            if meant != info.address {
                let what = format!("endpoint {index} meant {meant}, now {}", info.address);
                found.broken(world.now, "P10", what);
            }
        }
    }

    /// A reload makes nothing healthy that was down. Returns whether there was one.
    fn check_reload(&mut self, world: &World, found: &mut Found) -> bool {
        let Some(down) = self.down_before.take() else {
            return false;
        };
        let now_down = down_in(&world.table);
        let known: BTreeSet<SocketAddr> = world
            .table
            .endpoints
            .iter()
            .flatten()
            .map(|info| info.address)
            .collect();
        for address in down.iter().filter(|a| known.contains(a)) {
            if !now_down.contains(address) {
                let what = format!("a reload makes {address} well that was down");
                found.broken(world.now, "P5", what);
            }
        }
        true
    }

    /// Reads always have somewhere to go.
    pub(crate) fn selected(
        &mut self,
        world: &World,
        table: &Table,
        (pool, class, first): (PoolId, Class, bool),
        chosen: Option<(EndpointId, usize)>,
        found: &mut Found,
    ) {
        let pool_table = table.pools.get(pool.index());
        let any = pool_table.is_some_and(|p| p.lanes.iter().any(|l| !l.endpoints.is_empty()));
        if first && any && chosen.is_none() && !class.goes_to_writer() {
            let name = &world.rules.engine.pools[pool.index()].name;
            let what = format!("{class:?} of {name} has nowhere to go");
            found.broken(world.now, "P4", what);
        }
    }

    /// Everything that is known is probed all the time.
    pub(crate) fn look(&mut self, world: &World, quiet: &Quiet, found: &mut Found) {
        if quiet.is_upset(world.now, Duration::from_secs(15)) {
            self.probed.clear();
            return;
        }
        for (index, info) in world.table.endpoints.iter().enumerate() {
            let Some(info) = info else { continue };
            let pool = world.rules.engine.backends.get(info.backend.index());
            let Some(pool) = pool.and_then(|b| world.rules.engine.pools.get(b.pool.index())) else {
                continue;
            };
            let last = *self
                .probed
                .entry(EndpointId::from(index))
                .or_insert(world.now);
            let longest = (pool.probe.interval + pool.probe.timeout) * 3;
            if world.now.since(last) > longest {
                let what = format!("{} is not probed any more", info.address);
                found.broken(world.now, "P8", what);
            }
        }
    }

    pub(crate) fn probed(&mut self, endpoint: EndpointId, now: Time) {
        self.probed.insert(endpoint, now);
    }

    pub(crate) fn reloaded(&mut self, world: &World) {
        self.down_before = Some(down_in(&world.table));
    }

    pub(crate) fn restarted(&mut self) {
        self.meanings.clear();
        self.probed.clear();
        self.fresh = true;
    }
}

fn down_in(table: &Table) -> BTreeSet<SocketAddr> {
    let lanes = table.pools.iter().flat_map(|pool| &pool.lanes);
    let down = lanes
        .flat_map(|lane| &lane.endpoints)
        .filter(|e| e.verdict == Verdict::Down);
    down.filter_map(|e| table.endpoint(e.id))
        .map(|info| info.address)
        .collect()
}

/// No pool is ever without somebody who serves.
fn check_zero(world: &World, found: &mut Found) {
    for (index, pool) in world.table.pools.iter().enumerate() {
        if pool.lanes.iter().all(|lane| lane.endpoints.is_empty()) {
            continue;
        }
        let name = &world.rules.engine.pools[index].name;
        let sum: f64 = pool.lanes.iter().map(|lane| lane.share).sum();
        if !(0.999..1.001).contains(&sum) {
            let what = format!("the shares of {name} sum up to {sum:.3}");
            found.broken(world.now, "P4", what);
        }
        let serves = pool
            .lanes
            .iter()
            .any(|lane| lane.usable && lane.endpoints.iter().any(|e| e.weight > 0.0));
        if !serves {
            found.broken(world.now, "P4", format!("{name} has nobody who serves"));
        }
        let warm: f64 = pool.lanes.iter().map(|lane| lane.warm).sum();
        let most = world.rules.engine.pools[index].failover.keep_warm;
        if warm > most + 1e-6 {
            let what = format!("{name} keeps {warm:.3} warm where {most:.3} may be");
            found.broken(world.now, "P7", what);
        }
    }
}

/// Whatever a name said last is still known, whatever it says now.
fn check_names(world: &World, found: &mut Found) {
    for name in &world.plan.names {
        for address in &name.told.0 {
            let known = world.table.endpoints.iter().flatten();
            if !known.clone().any(|info| info.address == *address) {
                let what = format!("{address} of {} is forgotten", name.backend.1);
                found.broken(world.now, "P6", what);
            }
        }
    }
}

/// Every change of a verdict, of the writer and of panic is in the journal.
fn check_explained(world: &World, before: &Table, events: &[Event], found: &mut Found) {
    let verdicts = |table: &Table| -> BTreeMap<SocketAddr, Verdict> {
        let lanes = table.pools.iter().flat_map(|pool| &pool.lanes);
        let endpoints = lanes.flat_map(|lane| &lane.endpoints);
        endpoints
            .filter_map(|e| Some((table.endpoint(e.id)?.address, e.verdict)))
            .collect()
    };
    let was = verdicts(before);
    for (address, verdict) in verdicts(&world.table) {
        let changed = was.get(&address).is_some_and(|before| *before != verdict);
        let ending = format!(" {address}");
        let mut told = events.iter();
        let told = told
            .any(|e| e.subject.kind == SubjectKind::Endpoint && e.subject.name.ends_with(&ending));
        if changed && !told {
            let what = format!("{address} turns {verdict:?} without a line in the journal");
            found.broken(world.now, "P10", what);
        }
    }
    for (index, (was, is)) in before.pools.iter().zip(&world.table.pools).enumerate() {
        let name = &world.rules.engine.pools[index].name;
        let told = |wanted: &dyn Fn(&Change) -> bool| {
            let mut of_pool = events.iter().filter(|e| e.subject.name == *name);
            of_pool.any(|e| wanted(&e.change))
        };
        let moved = was.writer.is_some() && was.writer != is.writer;
        if moved && !told(&|change| matches!(change, Change::Writer { .. } | Change::Detour { .. }))
        {
            let what = format!("the writer of {name} moves without a line in the journal");
            found.broken(world.now, "P10", what);
        }
        if was.panic != is.panic && !told(&|change| matches!(change, Change::Panic { .. })) {
            let what = format!("panic of {name} changes without a line in the journal");
            found.broken(world.now, "P10", what);
        }
    }
}
