//! Spreads one pool's load over its lanes.
//!
//! A pure function from what is held of a pool's places to its lanes. `trust` has said whom to
//! trust; what is left are two questions:
//!
//! - *Who carries how much?* Tiers fill in order; what a tier cannot carry spills to the next
//!   (`fill`). A place that returns gets its ramp's part of what it would normally get, never more
//!   (P7).
//! - *Who may take orders?* Whoever serves, those that still have to prove themselves last.
//!
//! `pool` builds the view and publishes the result. Nothing here remembers anything.

use crate::bugs::{Bug, is_injected};
use crate::fill::{mark_tight, normalise, share_out};
use crate::id::ProviderId;
use crate::order_path::Fitness;
use crate::policy::{Suspicion, Writer};
use crate::table::{Lane, LaneEndpoint};
use crate::trust::{EndpointView, LaneView, Standing, Trust};
use crate::verdict::Verdict;

/// What the capacity of a site counts while other sites of its provider are down and the policy
/// doubts the rest.
const DOUBT: f64 = 0.5;
/// The part of its orders that an endpoint gets whose order path failed and has not proved itself since,
/// while its provider has others.
const TRIAL: f64 = 0.01;

/// How orders and warmth are given out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub writer: Writer,
    pub keep_warm: f64,
    /// Requests per second that the pool is asked for, where that is known.
    pub demand: Option<f64>,
}

/// Spreads a pool's load. `views` are in tier order.
pub(crate) fn spread(views: &[LaneView], manner: Manner) -> (Trust, Vec<Lane>) {
    let trust = Trust::of(views);
    let best = trust.best(views);
    let mut works: Vec<Work<'_>> = views
        .iter()
        .map(|view| Work::new(view, trust, best))
        .collect();
    if trust.is_panic() {
        hold_positions(&mut works);
    } else {
        share_out(&mut works, &manner);
        keep_warm(&mut works, manner.keep_warm);
    }
    give_orders(&mut works, trust, manner.writer);
    mark_tight(&mut works, manner.demand);
    works.iter_mut().for_each(Work::share_rate);
    (trust, works.into_iter().map(|work| work.lane).collect())
}

/// A lane in the making, beside what it is made from.
pub(crate) struct Work<'a> {
    pub view: &'a LaneView,
    pub lane: Lane,
    /// How far it is on its ramp, 0.01 to 1; below 1 only while all that it has to give returns.
    pub ramp: f64,
}

impl<'a> Work<'a> {
    /// A lane with the weights of its endpoints and what it can carry; no shares yet.
    fn new(view: &'a LaneView, trust: Trust, best: Standing) -> Work<'a> {
        let weight = |e: &EndpointView| match trust.admits(view, e) {
            true if trust.is_panic() => {
                if e.standing == best {
                    e.base
                } else {
                    0.0
                }
            }
            true => e.base * e.factor,
            false => 0.0,
        };
        let endpoints: Vec<LaneEndpoint> = view
            .endpoints
            .iter()
            .map(|e| LaneEndpoint {
                id: e.id,
                hash: e.hash,
                weight: weight(e),
                order_weight: 0.0,
                rate: 0.0,
                order_rate: 0.0,
                verdict: e.verdict,
            })
            .collect();
        let live: f64 = endpoints.iter().map(|e| e.weight).sum();
        // What is new and not trusted yet is no capacity that is missing.
        let pairs = view.endpoints.iter().zip(&endpoints);
        let counted = pairs.filter(|(seen, e)| seen.standing != Standing::New || e.weight > 0.0);
        let base: f64 = counted.map(|(seen, _)| seen.base).sum();
        let site_ramp = view.ramp.filter(|_| !trust.is_panic());
        let ramp = site_ramp.unwrap_or_else(|| ramp_of(view, &endpoints));
        let doubt = match view.suspicion {
            Suspicion::Lower => DOUBT,
            _ => 1.0,
        };
        let lane = Lane {
            site: view.site,
            provider: view.provider,
            tier: view.tier,
            share: 0.0,
            warm: 0.0,
            capacity: if live > 0.0 {
                doubt * view.weight * site_ramp.unwrap_or(1.0) * live / base
            } else {
                0.0
            },
            // Where nothing serves, only orders may come, one by one.
            rate: view.declared.rate.map(|rate| match live > 0.0 {
                true => rate * site_ramp.unwrap_or(1.0) * live / base,
                false => rate,
            }),
            tight: false,
            most: 1.0,
            hash: view.hash,
            usable: live > 0.0,
            suspect: view.suspicion != Suspicion::Ignore,
            endpoints,
        };
        Work { view, lane, ramp }
    }

    /// Gives each endpoint its part of what the lane can carry.
    fn share_rate(&mut self) {
        let Some(rate) = self.lane.rate else { return };
        let reads = self.lane.endpoints.iter().any(|e| e.weight > 0.0);
        for (endpoint, seen) in self.lane.endpoints.iter_mut().zip(&self.view.endpoints) {
            let weight = if reads {
                endpoint.weight
            } else {
                endpoint.order_weight
            };
            endpoint.rate = weight * seen.per_weight;
        }
        let all: f64 = self.lane.endpoints.iter().map(|e| e.rate).sum();
        for endpoint in self.lane.endpoints.iter_mut().filter(|_| all > 0.0) {
            endpoint.rate *= rate / all;
        }
        let views = &self.view.endpoints;
        let whole: f64 = views.iter().map(|seen| seen.base * seen.per_weight).sum();
        let declared = self.view.declared.rate.unwrap_or(0.0) * self.view.ramp.unwrap_or(1.0);
        for (endpoint, seen) in self.lane.endpoints.iter_mut().zip(views) {
            let part = declared * seen.base * seen.per_weight / whole;
            endpoint.order_rate = endpoint.rate.max(part);
        }
    }

    pub(crate) fn is_ramping(&self) -> bool {
        self.ramp < 1.0
    }

    /// A standby serves, but nothing goes there.
    fn is_standby(&self) -> bool {
        let proved = |e: &EndpointView| e.standing == Standing::Serves;
        self.lane.usable && self.lane.share == 0.0 && self.view.endpoints.iter().any(proved)
    }
}

/// How far a lane is whose site does not return, but all of whose endpoints do.
fn ramp_of(view: &LaneView, endpoints: &[LaneEndpoint]) -> f64 {
    let pairs = || {
        view.endpoints
            .iter()
            .zip(endpoints)
            .filter(|(_, e)| e.weight > 0.0)
    };
    if pairs().any(|(seen, _)| seen.verdict != Verdict::Recovering) {
        return 1.0;
    }
    let (live, base) = pairs().fold((0.0, 0.0), |(live, base), (seen, e)| {
        (live + e.weight, base + seen.base)
    });
    if base > 0.0 {
        (live / base).min(1.0)
    } else {
        1.0
    }
}

/// Everything looks bad: the first tier that has any of the least bad carries all. Traffic is not
/// scattered over the rest, where nothing is known to be better.
fn hold_positions(works: &mut [Work<'_>]) {
    let Some(tier) = works.iter().find(|w| w.lane.usable).map(|w| w.lane.tier) else {
        return;
    };
    for work in works.iter_mut().filter(|w| w.lane.tier == tier) {
        work.lane.share = work.lane.capacity;
    }
    normalise(works);
}

/// A standby that never sees traffic is an untested one: those that serve get a little.
fn keep_warm(works: &mut [Work<'_>], part: f64) {
    let weights: f64 = works
        .iter()
        .filter(|w| w.is_standby())
        .map(|w| w.view.weight)
        .sum();
    for work in works.iter_mut().filter(|w| w.is_standby()) {
        work.lane.warm = (part * work.lane.capacity / weights).min(work.lane.most);
        if is_injected(Bug::TooWarm) {
            work.lane.warm = (work.lane.warm * 10.0).min(1.0);
        }
    }
}

/// Orders go to what serves and has proved itself; to what returns, or where orders fail, only where a
/// provider has nothing else, and to what is down only while nothing is trusted.
fn give_orders(works: &mut [Work<'_>], trust: Trust, writer: Writer) {
    for index in 0..works.len() {
        let provider = works[index].view.provider;
        let best = works
            .iter()
            .filter(|w| writer == Writer::Any || w.view.provider == provider)
            .flat_map(|w| {
                w.view
                    .endpoints
                    .iter()
                    .filter_map(|e| proof(w.view, e, trust))
            })
            .min();
        let Work { view, lane, .. } = &mut works[index];
        for (endpoint, seen) in lane.endpoints.iter_mut().zip(&view.endpoints) {
            let proof = proof(view, seen, trust);
            if proof.is_some() && proof == best {
                let factor = match proof {
                    Some(Proof::Proved | Proof::Degraded) => seen.factor,
                    _ => 1.0,
                };
                let trial = if seen.orders == Fitness::OnTrial {
                    TRIAL
                } else {
                    1.0
                };
                endpoint.order_weight = seen.base * factor * trial;
            }
        }
        if !lane.usable && lane.endpoints.iter().any(|e| e.order_weight > 0.0) {
            lane.usable = true;
            lane.capacity = view.weight;
        }
    }
}

/// How well an endpoint has proved itself for orders, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Proof {
    Proved,
    Degraded,
    Returns,
    Silent,
    New,
    /// Its reads succeed, and its orders fail.
    Unfit,
    Answers,
    Dead,
}

/// How well the best of a provider's endpoints has proved itself for orders.
pub(crate) fn best_proof(views: &[LaneView], trust: Trust, provider: ProviderId) -> Option<Proof> {
    let lanes = views.iter().filter(|lane| lane.provider == provider);
    lanes
        .flat_map(|lane| lane.endpoints.iter().filter_map(|e| proof(lane, e, trust)))
        .min()
}

/// `None` where no order may go. New and silent endpoints may have to do though reads have better
/// ones: orders are bound to their writer, and neither is a reason to move it for good.
fn proof(lane: &LaneView, endpoint: &EndpointView, trust: Trust) -> Option<Proof> {
    let returns = lane.ramp.is_some() || endpoint.verdict == Verdict::Recovering;
    let proof = match endpoint.standing {
        Standing::Serves | Standing::Silent | Standing::New
            if endpoint.orders == Fitness::Unfit =>
        {
            Proof::Unfit
        }
        Standing::Serves if endpoint.orders == Fitness::Silent => Proof::Silent,
        Standing::Serves if returns => Proof::Returns,
        Standing::Serves if endpoint.verdict == Verdict::Degraded => Proof::Degraded,
        Standing::Serves => Proof::Proved,
        Standing::Silent => Proof::Silent,
        Standing::New => Proof::New,
        Standing::Answers => Proof::Answers,
        Standing::Dead => Proof::Dead,
    };
    let waits = matches!(endpoint.standing, Standing::New | Standing::Silent);
    let bound = waits && trust.opens(lane, endpoint);
    (bound || trust.admits(lane, endpoint)).then_some(proof)
}

#[cfg(test)]
#[path = "spread_tests.rs"]
mod tests;
