//! P2 and P8: reads are served while anything would answer, and retries have a budget.

use super::{Found, Quiet, SETTLING};
use crate::fault::Mode;
use crate::ledger::{Done, Told};
use crate::world::World;
use leeward_failover::{Class, Time};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What a budget looks back on.
const WINDOW: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Reads {
    asked: BTreeMap<usize, VecDeque<Time>>,
    repeated: BTreeMap<usize, VecDeque<Time>>,
}

impl Reads {
    pub(crate) fn asked(&mut self, pool: usize, now: Time) {
        note(&mut self.asked, pool, now);
    }

    pub(crate) fn repeated(&mut self, pool: usize, now: Time) {
        note(&mut self.repeated, pool, now);
    }

    pub(crate) fn ended(&mut self, world: &World, done: &Done, quiet: &Quiet, found: &mut Found) {
        self.check_budget(world, done.pool, found);
        if done.class != Class::PublicRead || done.told.is_served() {
            return;
        }
        let now = world.now;
        if quiet.is_upset(now, SETTLING) || is_unsettled(world, done) {
            return;
        }
        let Some(pool) = world.rules.engine.pools.get(done.pool) else {
            return;
        };
        // Where backends declare what they can carry, a read too many is turned away.
        let mut here = world.servers.iter().filter(|s| s.pool == pool.name);
        if done.told == Told::Shed && here.all(|server| server.capacity.is_some()) {
            return;
        }
        let since = done.born - Duration::from_secs(1);
        let well = world.servers.iter().enumerate().find(|(index, server)| {
            let known = world.table.endpoints.iter().flatten();
            server.pool == pool.name
                && !world.is_hurt_since(*index, since)
                && known.clone().any(|info| info.address == server.address)
        });
        let Some((_, server)) = well else { return };
        let why = if done.out_of_budget {
            "for want of a budget"
        } else if done.in_panic {
            "in panic"
        } else {
            "for good"
        };
        let what = format!(
            "a read of {} failed {why} ({:?}) though {} at {} is well",
            pool.name, done.told, server.address, server.site
        );
        found.broken(now, "P2", what);
    }

    /// Retries stay a part of the requests of the last ten seconds, with a floor.
    fn check_budget(&mut self, world: &World, pool: usize, found: &mut Found) {
        let Some(params) = world.rules.engine.pools.get(pool) else {
            return;
        };
        let count = |of: &BTreeMap<usize, VecDeque<Time>>, window: Duration| {
            let all = of.get(&pool).map(|times| times.iter());
            let young = |at: &&Time| world.now.since(**at) < window;
            all.map_or(0, |times| times.filter(young).count()) as f64
        };
        // The proxy counts by whole seconds.
        let repeated = count(&self.repeated, WINDOW - Duration::from_secs(1));
        let asked = count(&self.asked, WINDOW + Duration::from_secs(1));
        // The load of the last seconds is not quite that of the seconds before.
        let most = asked * 1.2 * params.retry.budget
            + params.retry.floor_per_second.max(0.1) * WINDOW.as_secs_f64()
            + 3.0;
        if repeated > most {
            let what = format!("{}: {repeated} retries where {most:.1} may be", params.name);
            found.broken(world.now, "P8", what);
        }
    }
}

fn note(of: &mut BTreeMap<usize, VecDeque<Time>>, pool: usize, now: Time) {
    let times = of.entry(pool).or_default();
    times.push_back(now);
    while times.front().is_some_and(|at| now.since(*at) > WINDOW * 2) {
        times.pop_front();
    }
}

/// Whether anything began or ceased in the pool a moment ago, or what is wrong is so little that it
/// is no reason to leave a place and nothing could be repeated (a body that was cut).
fn is_unsettled(world: &World, done: &Done) -> bool {
    let Some(pool) = world.rules.engine.pools.get(done.pool) else {
        return true;
    };
    let here = |server: &usize| world.servers[*server].pool == pool.name;
    world.phases.iter().any(|phase| {
        let felt = phase.edges();
        let edge = felt
            .iter()
            .any(|at| *at <= world.now && world.now.since(*at) < SETTLING);
        edge && phase.mode != Mode::Pause && phase.servers.iter().any(here)
    })
}
