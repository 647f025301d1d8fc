//! What has to hold at the end of an incident.

use crate::scenario::Span;
use crate::world::World;
use leeward_failover::{Class, Time, Verdict};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Expectations of a scenario file; what is not said is not judged. A place is a site, a provider,
/// or an endpoint by a part of its name (`api-1.`, an address).
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expected {
    /// Places that are left soon.
    pub left: Vec<Left>,
    /// Places that are never left.
    pub stays: Vec<String>,
    /// How often places are left at most.
    pub left_at_most: BTreeMap<String, usize>,
    /// Places that serve again at the end.
    pub back: Vec<String>,
    /// Who may be the writer at the end.
    pub writer: Vec<String>,
    /// Moves of the writer at most.
    pub writer_moves: Option<usize>,
    /// Requests that were not served, at most, by class.
    pub failed: BTreeMap<Class, u64>,
    /// The same as parts of all, 0 to 1.
    pub failed_share: BTreeMap<Class, f64>,
    /// Orders whose fate was not told, at most.
    pub unknown_orders: Option<u64>,
    /// Lines of the journal at most.
    pub decisions: Option<u64>,
}

/// A place that is left.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// Which.
    pub place: String,
    /// From when on, in minutes of the incident.
    #[serde(default)]
    pub from: f64,
    /// How long after that at the latest.
    pub within: Span,
}

/// Every expectation in words, with whether it holds.
pub(crate) fn judge(
    world: &World,
    expected: &Expected,
    time: &dyn Fn(f64) -> Time,
) -> Vec<(String, bool)> {
    let mut judged = Vec::new();
    let left_at = |place: &str| -> Vec<Time> {
        let left = world.timeline.left.iter();
        left.filter(|(_, name)| is_at(name, place))
            .map(|(at, _)| *at)
            .collect()
    };
    for left in &expected.left {
        let (from, to) = (time(left.from), time(left.from) + left.within.0);
        let first = left_at(&left.place).into_iter().find(|at| *at >= from);
        let told = first.map_or("never".to_owned(), |at| {
            format!("after {:.1} s", at.since(from).as_secs_f64())
        });
        let what = format!(
            "{} is left within {} ms of minute {} (it was {told})",
            left.place,
            left.within.0.as_millis(),
            left.from
        );
        judged.push((what, first.is_some_and(|at| at <= to)));
    }
    for place in &expected.stays {
        let times = left_at(place).len();
        judged.push((
            format!("{place} is never left (it was {times} times)"),
            times == 0,
        ));
    }
    for (place, most) in &expected.left_at_most {
        let times = left_at(place).len();
        let what = format!("{place} is left {most} times at most (it was {times} times)");
        judged.push((what, times <= *most));
    }
    for place in &expected.back {
        judged.push((format!("{place} serves at the end"), serves(world, place)));
    }
    judge_writer(world, expected, &mut judged);
    judge_clients(world, expected, &mut judged);
    judged
}

fn judge_writer(world: &World, expected: &Expected, judged: &mut Vec<(String, bool)>) {
    let provider = world
        .table
        .pools
        .iter()
        .find_map(|pool| world.rules.engine.providers.get(pool.writer?.index()));
    if !expected.writer.is_empty() {
        let name = provider.map_or("", |provider| provider.name.as_str());
        let what = format!(
            "the writer is {} (it is {name})",
            expected.writer.join(" or ")
        );
        judged.push((what, expected.writer.iter().any(|wanted| wanted == name)));
    }
    if let Some(most) = expected.writer_moves {
        let moves = world.timeline.moves.len();
        let what = format!("the writer moves {most} times at most (it did {moves} times)");
        judged.push((what, moves <= most));
    }
}

fn judge_clients(world: &World, expected: &Expected, judged: &mut Vec<(String, bool)>) {
    for (class, most) in &expected.failed {
        let failed = world.ledger.failed(*class);
        let what = format!("{most} of {} fail at most ({failed} did)", class.as_str());
        judged.push((what, failed <= *most));
    }
    for (class, most) in &expected.failed_share {
        let (failed, served) = (world.ledger.failed(*class), world.ledger.served(*class));
        let share = failed as f64 / (failed + served).max(1) as f64;
        let what = format!(
            "{:.2}% of {} fail at most ({:.2}% did)",
            most * 100.0,
            class.as_str(),
            share * 100.0
        );
        judged.push((what, share <= *most));
    }
    if let Some(most) = expected.unknown_orders {
        let unknown = world.ledger.unknown_orders;
        let what = format!("the fate of {most} orders is unknown at most (of {unknown} it is)");
        judged.push((what, unknown <= most));
    }
    if let Some(most) = expected.decisions {
        let decisions = world.timeline.decisions;
        let what = format!("{most} decisions at most ({decisions} were made)");
        judged.push((what, decisions <= most));
    }
}

/// Whether an event's subject is a place: by its whole name, or an endpoint by its URL or address.
fn is_at(name: &str, place: &str) -> bool {
    let mut endpoint = name.split(' ').skip(2);
    name == place || endpoint.any(|word| word.contains(place))
}

/// Whether anything of a place takes reads.
fn serves(world: &World, place: &str) -> bool {
    world.table.pools.iter().any(|pool| {
        pool.lanes.iter().any(|lane| {
            let site = &world.rules.engine.sites[lane.site.index()].name;
            lane.endpoints.iter().any(|e| {
                let info = world.table.endpoint(e.id);
                let address = info
                    .map(|info| info.address.to_string())
                    .unwrap_or_default();
                let backend = info
                    .and_then(|info| world.rules.engine.backends.get(info.backend.index()))
                    .map_or("", |backend| backend.name.as_str());
                let there = site == place
                    || site.split('/').next() == Some(place)
                    || backend.contains(place)
                    || address.contains(place);
                there && lane.usable && e.weight > 0.0 && e.verdict != Verdict::Down
            })
        })
    })
}
