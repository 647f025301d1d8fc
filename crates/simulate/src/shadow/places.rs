//! Detection: what fails hard and totally is left soon, what is well is never left, and what is
//! well again is served from in the end.

use super::{Found, Quiet};
use crate::fault::Shape;
use crate::plan::Plan;
use crate::world::World;
use leeward_failover::{Cause, Change, Event, PoolTable, SubjectKind, Time, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A place that fails hard and totally is left within this time.
const DETECTED: Duration = Duration::from_secs(6);
/// A place may be left for what happened this long ago: requests wait that long for an answer.
const REASON: Duration = Duration::from_secs(10);
/// The least share of a place that tells soon what it is like.
const MUCH: f64 = 0.2;

#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Places that are about to fail hard.
    coming: Vec<Coming>,
}

#[derive(Clone, Debug)]
struct Coming {
    from: Time,
    to: Time,
    pool: String,
    /// Sites that fail, all of a provider's that have to be left because of it.
    failing: Vec<String>,
    left: Vec<String>,
    /// What they carried before.
    carried: Option<f64>,
}

impl Places {
    pub(crate) fn new(plan: &Plan) -> Places {
        let mut coming = Vec::new();
        for phase in &plan.phases {
            let long = phase.to.since(phase.from) > DETECTED + Duration::from_secs(1);
            if !phase.is_hard() || phase.shape != Shape::Flat || !long {
                continue;
            }
            let mut sites: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
            for (index, server) in plan.servers.iter().enumerate() {
                sites.entry(&server.site).or_default().insert(index);
            }
            let whole =
                |servers: &BTreeSet<usize>| servers.iter().all(|s| phase.servers.contains(s));
            let failing: Vec<String> = sites
                .iter()
                .filter(|(_, servers)| whole(servers))
                .map(|(site, _)| (*site).to_owned())
                .collect();
            if failing.is_empty() {
                continue;
            }
            for pool in &plan.rules.engine.pools {
                coming.push(Coming {
                    from: phase.from,
                    to: phase.to,
                    pool: pool.name.clone(),
                    left: with_providers(plan, &failing),
                    failing: failing.clone(),
                    carried: None,
                });
            }
        }
        Places { coming }
    }

    /// Nothing is left whose world was calm.
    pub(crate) fn decided(
        &mut self,
        world: &World,
        events: &[Event],
        quiet: &Quiet,
        found: &mut Found,
    ) {
        for event in events {
            let left = matches!(
                event.change,
                Change::Verdict {
                    to: Verdict::Down,
                    ..
                }
            );
            let follows = matches!(event.cause, Cause::ProviderDown | Cause::Remembered);
            if !left || follows {
                continue;
            }
            let name = event.subject.name.as_str();
            let here = |server: &crate::server::Server| match event.subject.kind {
                SubjectKind::Site => server.site == name,
                SubjectKind::Provider => server.provider() == name,
                _ => name.ends_with(&format!(" {}", server.address)),
            };
            let since = world.now - REASON;
            let mut there = world.servers.iter().enumerate();
            let hurt = there.any(|(index, s)| here(s) && world.is_hurt_since(index, since));
            if !hurt && !quiet.is_upset(world.now, Duration::from_millis(1)) {
                let what = format!("{name} is left in calm ({})", event.cause.as_str());
                found.broken(world.now, "false alarm", what);
            }
        }
    }

    pub(crate) fn look(&mut self, world: &World, quiet: &Quiet, found: &mut Found) {
        for coming in &mut self.coming {
            let Some((_, table)) = pool_of(world, &coming.pool) else {
                continue;
            };
            if world.now < coming.from {
                coming.carried = Some(share_of(world, table, &coming.failing));
                continue;
            }
            let Some(carried) = coming.carried else {
                continue;
            };
            if share_of(world, table, &coming.left) <= 0.02 {
                coming.carried = None;
                continue;
            }
            if world.now < coming.from + DETECTED {
                continue;
            }
            coming.carried = None;
            let upset = quiet.is_upset(world.now, DETECTED * 3) || quiet.has_words(world.now);
            let share = share_of(world, table, &coming.left);
            let elsewhere = is_well_elsewhere(world, coming);
            let over = world.now >= coming.to;
            if carried > MUCH && share > 0.02 && elsewhere && !upset && !over {
                let what = format!(
                    "{} still has {:.0}% of {} {:.1} s after it failed",
                    coming.left.join(" and "),
                    share * 100.0,
                    coming.pool,
                    world.now.since(coming.from).as_secs_f64()
                );
                found.broken(world.now, "detection", what);
            }
        }
    }

    /// After enough calm everything is as it was.
    pub(crate) fn at_the_end(&mut self, world: &World, found: &mut Found) {
        let longest = |pool: &leeward_failover::Pool| {
            let params = &pool.failover;
            params.hold_down_max * 2 + params.ramp * 2 + Duration::from_secs(15)
        };
        let pools = &world.rules.engine.pools;
        let Some(calm) = pools.iter().map(longest).max() else {
            return;
        };
        let last = world.plan.phases.iter().map(|p| p.to);
        let deeds = world.plan.deeds.iter().map(|(at, deed)| match deed {
            crate::plan::Deed::Word { lasts, .. } => *at + lasts.unwrap_or_default(),
            _ => *at,
        });
        let last = last.chain(deeds).max().unwrap_or(Time::ZERO);
        if world.now < last + calm {
            return;
        }
        for (pool, table) in pools.iter().zip(&world.table.pools) {
            let down: Vec<String> = table
                .lanes
                .iter()
                .flat_map(|lane| &lane.endpoints)
                .filter(|e| e.verdict == Verdict::Down)
                .filter_map(|e| world.table.endpoint(e.id))
                .map(|info| info.address.to_string())
                .collect();
            let first: f64 = table
                .lanes
                .iter()
                .filter(|lane| lane.tier == 0)
                .map(|lane| lane.share)
                .sum();
            if table.panic || !down.is_empty() || first < 0.99 {
                let what = format!(
                    "{} is not back after {:.0} s of calm: tier 1 carries {:.0}%, down: {}",
                    pool.name,
                    world.now.since(last).as_secs_f64(),
                    first * 100.0,
                    down.join(", ")
                );
                found.broken(world.now, "P7", what);
            }
        }
    }
}

/// The sites that fail, and all others of a provider of which enough fail.
fn with_providers(plan: &Plan, failing: &[String]) -> Vec<String> {
    let engine = &plan.rules.engine;
    let mut left = failing.to_vec();
    for (index, _) in engine.providers.iter().enumerate() {
        let sites: Vec<&String> = engine
            .sites
            .iter()
            .enumerate()
            .filter(|(site, s)| {
                s.provider.index() == index
                    && engine.backends.iter().any(|b| b.site.index() == *site)
            })
            .map(|(_, s)| &s.name)
            .collect();
        let bad = sites.iter().filter(|site| failing.contains(site)).count();
        let needed = engine
            .pools
            .iter()
            .map(|p| p.failover.provider_failing_sites)
            .max();
        let needed = (needed.unwrap_or(1) as usize).min(sites.len());
        if bad > 0 && bad >= needed {
            left.extend(sites.into_iter().cloned());
        }
    }
    left.sort_unstable();
    left.dedup();
    left
}

fn pool_of<'a>(world: &'a World, name: &str) -> Option<(usize, &'a PoolTable)> {
    let index = world.rules.pool(name)?;
    Some((index, world.table.pools.get(index)?))
}

fn share_of(world: &World, table: &PoolTable, sites: &[String]) -> f64 {
    let of = |lane: &&leeward_failover::Lane| {
        let site = world.rules.engine.sites.get(lane.site.index());
        site.is_some_and(|site| sites.contains(&site.name))
    };
    table.lanes.iter().filter(of).map(|lane| lane.share).sum()
}

/// Whether another place of the pool has been well for long enough to be in service.
fn is_well_elsewhere(world: &World, coming: &Coming) -> bool {
    let ramps = world
        .rules
        .engine
        .pools
        .iter()
        .map(|p| p.failover.hold_down_max + p.failover.ramp + Duration::from_secs(5));
    let since = world.now - ramps.max().unwrap_or_default();
    world.servers.iter().enumerate().any(|(index, server)| {
        server.pool == coming.pool
            && !coming.left.contains(&server.site)
            && !world.is_hurt_since(index, since)
    })
}
