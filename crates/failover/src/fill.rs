//! Fills tiers with a pool's load: each lane up to what it can carry, the rest to the next tier.
//!
//! What a lane can carry is bounded three ways: by its declared rate against the pool's measured
//! demand; where none is declared, by how much of its tier still serves; and by its provider's
//! `max_share`. Bounds shape shares and never take the last capacity away: what fits nowhere goes to
//! whom it can be expected of, and the data path sheds what is too much there.
//!
//! `spread` calls it with lanes whose capacities stand. Nothing here remembers anything.

use crate::demand::is_tight;
use crate::spread::{Manner, Work};

/// A tier of which nothing is declared is sized to carry all with a third of it gone: with one of
/// three endpoints down it still takes everything, below that the rest spills over to the next tier.
const OVERPROVISION: f64 = 1.5;

/// A lane is given this part of its declared rate before the next tier is asked: load is uneven.
const FILLED: f64 = 0.95;

/// Shares below this are rounding errors.
const NOTHING: f64 = 1e-9;

/// Tiers fill in order; what one cannot carry spills over to the next.
pub(crate) fn share_out(works: &mut [Work<'_>], manner: &Manner) {
    lift(works);
    let demand = manner.demand;
    set_ceilings(works);
    let mut want = 1.0;
    for tier in works.chunk_by_mut(|a, b| a.lane.tier == b.lane.tier) {
        want -= fill(tier, want, demand);
    }
    if want > NOTHING {
        place_rest(works, want, demand);
    }
    normalise(works);
    hold_ramps(works);
}

/// Where everything that serves is on a ramp, somebody has to carry the load all the same: whoever
/// is furthest counts as returned, and the others are measured against it.
fn lift(works: &mut [Work<'_>]) {
    let serving = works.iter().filter(|w| w.lane.usable);
    let furthest = serving.map(|w| w.ramp).fold(0.0, f64::max);
    for work in works.iter_mut().filter(|_| furthest > 0.0) {
        work.lane.capacity /= furthest;
        work.ramp = (work.ramp / furthest).min(1.0);
        let declared = work.view.declared.rate.unwrap_or(f64::INFINITY);
        work.lane.rate = work.lane.rate.map(|rate| (rate / furthest).min(declared));
    }
}

/// A provider's `max_share` holds while anything else serves that is not on its ramp; its sites have
/// parts of it.
fn set_ceilings(works: &mut [Work<'_>]) {
    let free = |w: &Work<'_>| w.lane.usable && !w.is_ramping() && w.view.declared.most >= 1.0;
    if !works.iter().any(free) {
        return;
    }
    for index in 0..works.len() {
        let Work { view, lane, .. } = &works[index];
        if view.declared.most < 1.0 && lane.capacity > 0.0 {
            let (provider, most) = (view.provider, view.declared.most);
            let own = works.iter().filter(|w| w.view.provider == provider);
            let all: f64 = own.map(|w| w.lane.capacity).sum();
            works[index].lane.most = most * works[index].lane.capacity / all;
        }
    }
}

/// Share that a lane may be given, by its ceiling and by its rate.
fn bound(work: &Work<'_>, demand: Option<f64>) -> f64 {
    by_rate(work, demand).map_or(work.lane.most, |share| share.min(work.lane.most))
}

/// Share that fits a lane's declared rate; `None` where nothing is declared or measured.
fn by_rate(work: &Work<'_>, demand: Option<f64>) -> Option<f64> {
    Some(FILLED * work.lane.rate? / demand?)
}

/// Gives a tier what it can carry of `want`; returns how much that was.
fn fill(tier: &mut [Work<'_>], want: f64, demand: Option<f64>) -> f64 {
    let weights: f64 = tier.iter().map(|w| w.view.weight).sum();
    let mut given = 0.0;
    for work in tier.iter_mut().filter(|w| w.is_ramping()) {
        work.lane.share = (want * work.lane.capacity / weights).min(bound(work, demand));
        given += work.lane.share;
    }
    let solid = |w: &&Work<'_>| !w.is_ramping() && w.lane.capacity > 0.0;
    let capacity: f64 = tier.iter().filter(solid).map(|w| w.lane.capacity).sum();
    if capacity <= 0.0 {
        return given;
    }
    let measured = tier
        .iter()
        .filter(solid)
        .all(|w| by_rate(w, demand).is_some());
    let room = if measured {
        f64::INFINITY
    } else {
        OVERPROVISION * capacity / weights
    };
    given + pour(tier, (want - given).min(room).max(0.0), demand)
}

/// Spreads `take` over the solid lanes of a tier by capacity, each up to its bound; returns how much
/// found a place.
fn pour(tier: &mut [Work<'_>], take: f64, demand: Option<f64>) -> f64 {
    let mut left = take;
    // Each round fills at least one lane up, or is the last.
    for _ in 0..tier.len() {
        let open = |w: &Work<'_>| {
            !w.is_ramping() && w.lane.capacity > 0.0 && w.lane.share < bound(w, demand) - NOTHING
        };
        let capacity: f64 = tier
            .iter()
            .filter(|w| open(w))
            .map(|w| w.lane.capacity)
            .sum();
        if left <= NOTHING || capacity <= 0.0 {
            break;
        }
        let round = left;
        for work in tier.iter_mut().filter(|w| open(w)) {
            let part = round * work.lane.capacity / capacity;
            let given = part.min(bound(work, demand) - work.lane.share);
            work.lane.share += given;
            left -= given;
        }
    }
    take - left
}

/// Gives what fits nowhere to those that return and say what they carry, up to their ramp's part of
/// it; returns how much found a place. It would be shed otherwise.
fn place_on_ramps(works: &mut [Work<'_>], rest: f64, demand: Option<f64>) -> f64 {
    let mut left = rest;
    for work in works.iter_mut().filter(|w| w.lane.usable && w.is_ramping()) {
        if by_rate(work, demand).is_some() {
            let more = (bound(work, demand) - work.lane.share).clamp(0.0, left);
            work.lane.share += more;
            left -= more;
        }
    }
    rest - left
}

/// All tiers together cannot carry it. What returns keeps its ramp and what is bounded its ceiling,
/// where anybody else is left; whose rate is not known is asked before those who are full.
fn place_rest(works: &mut [Work<'_>], rest: f64, demand: Option<f64>) {
    let rest = rest - place_on_ramps(works, rest, demand);
    let solid = |w: &Work<'_>| w.lane.usable && !w.is_ramping();
    let free = |w: &Work<'_>| solid(w) && w.lane.most >= 1.0;
    let unknown = |w: &Work<'_>| free(w) && by_rate(w, demand).is_none();
    let chosen: Vec<bool> = if works.iter().any(unknown) {
        works.iter().map(unknown).collect()
    } else if works.iter().any(free) {
        works.iter().map(free).collect()
    } else {
        works.iter().map(solid).collect()
    };
    let those = || chosen.iter().copied();
    let shares: f64 = works
        .iter()
        .zip(those())
        .filter(|(_, c)| *c)
        .map(|(w, _)| w.lane.share)
        .sum();
    let capacity: f64 = works
        .iter()
        .zip(those())
        .filter(|(_, c)| *c)
        .map(|(w, _)| w.lane.capacity)
        .sum();
    for (work, _) in works.iter_mut().zip(those()).filter(|(_, chosen)| *chosen) {
        if shares > NOTHING {
            work.lane.share *= (shares + rest) / shares;
        } else {
            work.lane.share += rest * work.lane.capacity / capacity;
        }
    }
}

/// Lets the shares sum up to 1, if there are any.
pub(crate) fn normalise(works: &mut [Work<'_>]) {
    let sum: f64 = works.iter().map(|w| w.lane.share).sum();
    for work in works.iter_mut().filter(|_| sum > 0.0) {
        let share = work.lane.share / sum;
        work.lane.share = if share < NOTHING { 0.0 } else { share };
    }
}

/// What finds a site full never takes one that returns beyond its ramp (P7).
fn hold_ramps(works: &mut [Work<'_>]) {
    let solid = |w: &Work<'_>| w.lane.usable && !w.is_ramping() && w.lane.share > 0.0;
    if !works.iter().any(solid) {
        return;
    }
    for tier in works.chunk_by_mut(|a, b| a.lane.tier == b.lane.tier) {
        let weights: f64 = tier.iter().map(|w| w.view.weight).sum();
        for work in tier.iter_mut().filter(|w| w.is_ramping()) {
            let part = (work.lane.capacity / weights).max(work.lane.share);
            work.lane.most = work.lane.most.min(part);
        }
    }
}

/// Marks the lanes on which nearly as much is expected as they can carry, and those that would get
/// what is too much for a neighbour.
pub(crate) fn mark_tight(works: &mut [Work<'_>], demand: Option<f64>) {
    let demand = demand.unwrap_or(0.0);
    let is_full = |w: &Work<'_>| {
        let expected = (w.lane.share * demand).max(w.view.declared.load);
        w.lane.rate.is_some_and(|rate| expected > rate * 0.9)
    };
    let spills = works.iter().any(is_full);
    for work in works.iter_mut() {
        let Some(rate) = work.lane.rate else { continue };
        let share = if spills { 1.0 } else { work.lane.share };
        let expected = (share * demand).max(work.view.declared.load);
        work.lane.tight = is_tight(expected, rate, work.view.declared.was_tight);
    }
}
