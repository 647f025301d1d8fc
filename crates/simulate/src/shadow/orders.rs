//! P1 and the writer: no order twice, labels that are true, one provider at a time.

use super::home::Home;
use super::{Found, Quiet, SETTLING};
use crate::ledger::{Done, Told};
use crate::world::World;
use leeward_failover::{
    Change, Class, EndpointId, Event, LaneEndpoint, Mover, Pool, PoolId, ProviderId, Table, Time,
    Writer,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Orders may have nowhere to go for this long while somebody could take them.
const STUCK: Duration = Duration::from_secs(12);
/// Orders that fail one after the other that are enough to say that it lasts.
const MANY: u32 = 30;
/// The writer may leave for what happened this long ago.
const REASON: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// By pool: since when orders have nowhere to go.
    stuck_since: BTreeMap<usize, Time>,
    /// By pool: since when orders fail one after the other, and how many.
    failing: BTreeMap<usize, (Time, u32)>,
    /// Whether the next table is a new process's first.
    fresh: bool,
}

impl Orders {
    pub(crate) fn wrote(&mut self, world: &World, id: u64, server: usize, found: &mut Found) {
        let Some(request) = world.requests.get(&id) else {
            return;
        };
        let Some(trail) = world.ledger.orders.get(&id) else {
            return;
        };
        let most = if request.class == Class::Order { 1 } else { 2 };
        if trail.wrote.len() > most {
            let first = &world.servers[trail.wrote[0]].address;
            let then = &world.servers[server].address;
            let what = format!(
                "{:?} {id} was sent to {first}, then to {then}",
                request.class
            );
            found.broken(world.now, "P1", what);
        }
    }

    pub(crate) fn executed(&mut self, world: &World, id: u64, found: &mut Found) {
        let Some(trail) = world.ledger.orders.get(&id) else {
            return;
        };
        if trail.executed.len() > 1 {
            found.broken(world.now, "P1", format!("order {id} was executed twice"));
        }
        if trail.told.is_some() {
            found.broken(
                world.now,
                "P1",
                format!("order {id} was executed after its answer"),
            );
        }
    }

    pub(crate) fn ended(&mut self, world: &World, done: &Done, quiet: &Quiet, found: &mut Found) {
        self.fails_for_long(world, done, quiet, found);
        let Some(trail) = world.ledger.orders.get(&done.id) else {
            return;
        };
        if matches!(done.told, Told::NotSent | Told::Shed) && !trail.wrote.is_empty() {
            let what = format!(
                "{:?} {} is said not to be sent, and was",
                done.class, done.id
            );
            found.broken(world.now, "P1", what);
        }
        if done.class == Class::Order
            && done.told == Told::Answered(200)
            && trail.executed.is_empty()
        {
            let what = format!("order {} is said to be executed, and was not", done.id);
            found.broken(world.now, "P1", what);
        }
    }

    /// Orders do not fail one after the other for long while another provider could take them.
    fn fails_for_long(&mut self, world: &World, done: &Done, quiet: &Quiet, found: &mut Found) {
        let failed = matches!(done.told, Told::Answered(500..) | Told::Unknown);
        if done.class != Class::Order || done.tried.is_empty() {
            return;
        }
        if !failed {
            self.failing.remove(&done.pool);
            return;
        }
        let (since, count) = self.failing.entry(done.pool).or_insert((done.at, 0));
        *count += 1;
        let (since, count) = (*since, *count);
        let params = &world.rules.engine.pools[done.pool];
        let may_move = params.orders.moves == Mover::Automatic;
        let long = world.now.since(since) > STUCK && count >= MANY;
        let upset = quiet.is_upset(world.now, STUCK) || quiet.has_words(world.now);
        if !long || !may_move || upset {
            return;
        }
        // Whoever was hurt within the longest hold-down may be on its way home.
        let before = since - params.failover.hold_down_max - REASON;
        let well = world.servers.iter().enumerate().find(|(index, server)| {
            server.pool == params.name && !world.is_hurt_since(*index, before)
        });
        if let Some((_, server)) = well {
            let what = format!(
                "{count} orders of {} in a row fail though {} is well",
                params.name,
                server.provider()
            );
            found.broken(world.now, "P4", what);
        }
    }

    /// Orders go to the writer, or round it where that is safe and it has nothing.
    pub(crate) fn selected(
        &mut self,
        world: &World,
        whole: &Table,
        (pool, tried): (PoolId, &[usize]),
        chosen: Option<(EndpointId, usize)>,
        found: &mut Found,
    ) {
        let Some((_, server)) = chosen else {
            return;
        };
        let Some(table) = whole.pools.get(pool.index()) else {
            return;
        };
        let writer = table.writer.map(|id| id.index());
        let provider = world.servers[server].provider();
        let providers = &world.rules.engine.providers;
        let known = writer
            .and_then(|id| providers.get(id))
            .map(|p| p.name.as_str());
        // Backends that refuse a replaced writer may be asked where the writer's provider has nothing.
        let untried = |id: EndpointId| {
            let server = whole
                .endpoint(id)
                .and_then(|info| world.server_at(info.address));
            server.is_some_and(|server| !tried.contains(&server))
        };
        let serves = table.lanes.iter().any(|lane| {
            let takes = |e: &LaneEndpoint| e.order_weight > 0.0 && untried(e.id);
            lane.usable && Some(lane.provider) == table.writer && lane.endpoints.iter().any(takes)
        });
        let params = &world.rules.engine.pools[pool.index()];
        let may_leave = params.orders.fenced && !serves;
        if known.is_some_and(|writer| writer != provider) && !may_leave {
            let what = format!("an order goes to {provider} while {known:?} is the writer");
            found.broken(world.now, "P1", what);
        }
    }

    /// First attempts of orders go to what has proved itself, where the writer has that.
    pub(crate) fn returns(
        &self,
        world: &World,
        table: &Table,
        pool: PoolId,
        chosen: Option<(EndpointId, usize)>,
        (home, found): (&Home, &mut Found),
    ) {
        use leeward_failover::Verdict;
        let Some((endpoint, server)) = chosen else {
            return;
        };
        let Some(table) = table.pools.get(pool.index()) else {
            return;
        };
        let provider = world.servers[server].provider();
        let providers = &world.rules.engine.providers;
        let same = table.lanes.iter().filter(|lane| {
            providers
                .get(lane.provider.index())
                .is_some_and(|p| p.name == provider)
                && lane.usable
        });
        // What stands in a site that returns has only just returned, whatever its verdict.
        let mut all = same.flat_map(|lane| {
            let site = world.rules.engine.sites.get(lane.site.index());
            let returns = site.is_some_and(|site| home.is_returning(&site.name));
            lane.endpoints
                .iter()
                .map(move |e| (e, returns || e.verdict == Verdict::Recovering))
        });
        let returns = all.clone().any(|(e, returns)| e.id == endpoint && returns);
        let proved = all.any(|(e, returns)| {
            e.verdict == Verdict::Healthy && !returns && e.weight > 0.0 && e.order_weight > 0.0
        });
        if returns && proved && !table.panic {
            let what = "an order goes to what only just returns".to_owned();
            found.broken(world.now, "P7", what);
        }
    }

    /// Orders find a place, or will soon.
    pub(crate) fn placed(
        &mut self,
        world: &World,
        pool: PoolId,
        chosen: Option<(EndpointId, usize)>,
        quiet: &Quiet,
        found: &mut Found,
    ) {
        if chosen.is_some() {
            self.stuck_since.remove(&pool.index());
            return;
        }
        let since = *self.stuck_since.entry(pool.index()).or_insert(world.now);
        let params = &world.rules.engine.pools[pool.index()];
        let long = world.now.since(since) > STUCK;
        let may_move = params.orders.moves == Mover::Automatic;
        let upset = quiet.is_upset(world.now, STUCK) || quiet.has_words(world.now);
        if !long || !may_move || upset {
            return;
        }
        let well = world.servers.iter().enumerate().find(|(index, server)| {
            server.pool == params.name && !world.is_hurt_since(*index, since)
        });
        if let Some((_, server)) = well {
            let what = format!(
                "orders of {} have nowhere to go though {} is well",
                params.name,
                server.provider()
            );
            found.broken(world.now, "P4", what);
        }
    }

    /// Orders go elsewhere only for a reason that is true in the world.
    pub(crate) fn decided(
        &mut self,
        world: &World,
        before: &Arc<Table>,
        events: &[Event],
        (quiet, found): (&Quiet, &mut Found),
    ) {
        if std::mem::take(&mut self.fresh) || quiet.is_upset(world.now, Duration::from_millis(1)) {
            return;
        }
        for event in events {
            let mut pools = world.rules.engine.pools.iter();
            let pool = pools.find(|pool| pool.name == event.subject.name);
            let round = matches!(event.change, Change::Detour { .. });
            if round && pool.is_some_and(|pool| !pool.orders.fenced) {
                let what = "make a detour where nobody refuses a replaced writer";
                let what = format!("orders of {} {what}", event.subject.name);
                found.broken(world.now, "P1", what);
            }
        }
        let name = |id: ProviderId| {
            let provider = world.rules.engine.providers.get(id.index());
            provider.map_or("", |p| p.name.as_str())
        };
        for (index, (was, is)) in before.pools.iter().zip(&world.table.pools).enumerate() {
            let (Some(from), Some(to)) = (was.writer, is.writer) else {
                continue;
            };
            let params = &world.rules.engine.pools[index];
            if from != to && params.orders.writer == Writer::Single {
                self.moved(
                    world,
                    params,
                    (name(from), name(to)),
                    (events, quiet),
                    found,
                );
            }
        }
    }

    /// Orders of a pool went to `from` and go to `to` now.
    fn moved(
        &self,
        world: &World,
        params: &Pool,
        (from, to): (&str, &str),
        (events, quiet): (&[Event], &Quiet),
        found: &mut Found,
    ) {
        let first = params.tiers.first().and_then(|tier| tier.first());
        let home = first.map(|t| world.rules.engine.sites[t.site.index()].provider);
        let home = home.and_then(|id| world.rules.engine.providers.get(id.index()));
        let may_return =
            home.is_some_and(|p| p.name == to) && params.orders.failback == Mover::Automatic;
        let told = world.servers.iter().any(|s| {
            let spoken = quiet.was_spoken_of(&s.site) || quiet.was_spoken_of(s.provider());
            spoken && (s.provider() == from || s.provider() == to)
        });
        let reason = REASON + params.failover.hold_down_max;
        let hurt = is_hurt(world, &params.name, from, world.now - reason);
        // A detour ends where it began, and orders go to their writer again.
        let mut of_pool = events.iter().filter(|e| e.subject.name == params.name);
        let ends = of_pool.clone().any(|e| {
            let writer = e.evidence.iter().find(|(name, _)| *name == "writer");
            let back = writer.is_some_and(|(_, writer)| writer == to);
            matches!(e.change, Change::Detour { .. }) && back
        });
        let moves = of_pool.any(|e| matches!(e.change, Change::Writer { .. }));
        let excused = may_return || told || quiet.is_upset(world.now, SETTLING);
        if !hurt && !excused && (moves || !ends) {
            let what = format!("orders of {} move from {from} to {to}", params.name);
            found.broken(world.now, "P1", what + " for no reason");
        }
    }

    pub(crate) fn restarted(&mut self) {
        self.fresh = true;
        self.stuck_since.clear();
        self.failing.clear();
    }
}

/// Whether anything of a provider in a pool was hurt since then.
fn is_hurt(world: &World, pool: &str, provider: &str, since: Time) -> bool {
    world.servers.iter().enumerate().any(|(index, server)| {
        server.pool == pool && server.provider() == provider && world.is_hurt_since(index, since)
    })
}
