//! Who takes a pool's orders: one provider at a time.
//!
//! The writer leaves a provider that has nothing usable left in the pool, by itself or by an
//! operator's word, as the policy says; by itself only to where something has answered since. When
//! the proxy's own uplink dies, the first provider to look dead is no reason to move orders to the
//! next one. It leaves as well where orders fail though reads succeed (`order_path`): at once for who
//! never failed so, and for who did only once in a hold-down that grows. It comes home only: to the provider that stands first in
//! the failover order, when that has been well for a whole ramp, or when an operator brings it
//! home. While everything looks bad it stays: the detector that would move it is distrusted (P4).
//!
//! A pure decision over one pool's lanes; `pool` applies it.

use crate::held::{Evidence, spoken};
use crate::id::ProviderId;
use crate::order_path::Fitness;
use crate::policy::{Mover, OrderParams, Writer};
use crate::table::Lane;
use crate::time::Time;
use crate::trust::LaneView;
use crate::verdict::Cause;
use std::time::Duration;

/// What the decision is made from.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub orders: OrderParams,
    /// In tier order, as decided; beside them what they were decided from.
    pub lanes: &'a [Lane],
    pub views: &'a [LaneView],
    /// Since when each lane's site is in full service.
    pub in_service_since: &'a [Time],
    /// When anything in each lane last gave good news.
    pub answered_at: &'a [Option<Time>],
    /// Who takes its orders already, while it says nothing.
    pub detour: Option<ProviderId>,
    /// Since when the writer's provider has nothing usable.
    pub lost_at: Option<Time>,
    /// The provider of each of the pool's sites in the failover order, those without an endpoint
    /// among them, and whether an operator keeps new work away from the site. The first provider is
    /// home.
    pub sites: &'a [(ProviderId, bool)],
    /// Providers may still get their first endpoints: nothing is lost yet.
    pub newborn: bool,
    pub ramp: Duration,
    pub panic: bool,
    /// The pool has only just left that state, and its places come back one by one.
    pub settling: bool,
    /// An operator wants the writer home.
    pub called_home: bool,
    /// Long enough since it last moved because orders failed: who failed so as well may be tried.
    pub may_try: bool,
    pub now: Time,
}

/// A provider that is well, and not at the other end of the world, answers a probe in less.
const A_MOMENT: Duration = Duration::from_millis(30);

/// A move of the writer.
#[derive(Debug, PartialEq)]
pub(crate) struct Move {
    pub to: Option<ProviderId>,
    pub cause: Cause,
    pub evidence: Evidence,
}

impl Scene<'_> {
    /// Whether the writer moves away from `writer`, and where.
    pub(crate) fn decide(&self, writer: Option<ProviderId>) -> Option<Move> {
        let Some(current) = self.current(writer) else {
            let to = self
                .start()
                .filter(|_| self.orders.writer == Writer::Single);
            return (to != writer).then(|| Move {
                to,
                cause: Cause::PolicyLoaded,
                evidence: Vec::new(),
            });
        };
        if self.panic {
            return None;
        }
        if self.is_lost(current) {
            self.away(current)
        } else {
            self.homewards(current)
        }
    }

    /// Whether a provider has nothing that could take orders.
    pub(crate) fn is_lost(&self, provider: ProviderId) -> bool {
        !self.panic && !self.takes_orders(provider) && !self.is_awaited(provider)
    }

    /// Whether all that a provider has serves reads, and orders fail there.
    pub(crate) fn fails_orders(&self, provider: ProviderId) -> bool {
        self.serves(provider) && !self.takes_orders(provider)
    }

    /// When time alone may bring it home.
    pub(crate) fn homecoming_at(&self, writer: Option<ProviderId>) -> Time {
        let waits = self.orders.failback == Mover::Automatic
            && writer.is_some()
            && writer != self.home()
            && self.home().is_some_and(|home| self.is_well(home));
        if waits {
            self.home_since() + self.ramp
        } else {
            Time::NEVER
        }
    }

    /// Whether an operator's call would bring it home, sooner or later.
    pub(crate) fn home_serves(&self) -> bool {
        self.home().is_some_and(|home| self.serves(home))
    }

    /// The provider that stands first in the failover order.
    pub(crate) fn home(&self) -> Option<ProviderId> {
        self.sites.first().map(|(provider, _)| *provider)
    }

    /// The writer, where it is still one of the pool's providers.
    fn current(&self, writer: Option<ProviderId>) -> Option<ProviderId> {
        let known = |id: &ProviderId| self.sites.iter().any(|(provider, _)| provider == id);
        writer.filter(|id| self.orders.writer == Writer::Single && known(id))
    }

    /// The writer of a pool that has none: the first that is usable, home while it may still come.
    fn start(&self) -> Option<ProviderId> {
        let usable = || {
            self.lanes
                .iter()
                .find(|lane| lane.usable)
                .map(|lane| lane.provider)
        };
        self.home()
            .filter(|home| self.is_awaited(*home))
            .or_else(usable)
            .or(self.home())
    }

    /// Whether a provider has no endpoint yet, and its names may still resolve.
    fn is_awaited(&self, provider: ProviderId) -> bool {
        self.newborn
            && !self.is_kept_away(provider)
            && !self.lanes.iter().any(|lane| lane.provider == provider)
    }

    /// Whether an operator's word is among the reasons why a provider takes nothing.
    fn is_kept_away(&self, provider: ProviderId) -> bool {
        self.sites
            .iter()
            .any(|(id, kept_away)| *id == provider && *kept_away)
    }

    fn serves(&self, provider: ProviderId) -> bool {
        self.lanes
            .iter()
            .any(|lane| lane.provider == provider && lane.usable)
    }

    fn takes_orders(&self, provider: ProviderId) -> bool {
        let mut lanes = self.lanes.iter().zip(self.views);
        lanes.any(|(lane, view)| {
            lane.provider == provider && lane.usable && fitness(lane, view) < Fitness::Unfit
        })
    }

    /// To the next provider in tier order that has something, best to one that is not on its ramp.
    fn away(&self, current: ProviderId) -> Option<Move> {
        let by_operator = self.is_kept_away(current);
        if !by_operator && (self.orders.moves == Mover::Operator || self.settling) {
            return None;
        }
        let fails = self.fails_orders(current) && !by_operator;
        let may = |lane: &Lane, view: &LaneView| match fitness(lane, view) {
            _ if !fails => true,
            Fitness::Fit | Fitness::Silent => true,
            Fitness::OnTrial => self.may_try,
            Fitness::Unfit => false,
        };
        let lanes = || self.lanes.iter().zip(self.views).zip(self.answered_at);
        let usable = || lanes().filter(|((lane, view), _)| lane.usable && may(lane, view));
        // A word is no sign of trouble: what ever answered is as good as before.
        let good = |at: &Option<Time>| {
            if by_operator {
                at.is_some()
            } else {
                *at > self.lost_at
            }
        };
        let proved = || usable().filter(|(_, at)| good(at));
        let rank = |lane: &Lane, view: &LaneView| (fitness(lane, view), view.ramp.is_some());
        let best = proved().min_by_key(|((lane, view), _)| rank(lane, view));
        // The next in the failover order may only need a moment more to answer.
        let whole = (Fitness::Fit, false);
        let awaited = usable().find(|((lane, view), _)| rank(lane, view) == whole);
        let at = |found: &Option<((&Lane, &LaneView), _)>| {
            found.as_ref().map(|((lane, _), _)| lane.provider)
        };
        // Where its orders go already, they stay: one move is enough.
        let detour = usable().find(|((lane, _), _)| Some(lane.provider) == self.detour);
        let is_awaited = awaited.is_some() && at(&awaited) != at(&best) && detour.is_none();
        if !by_operator && is_awaited && self.now < self.waits_until() {
            return None;
        }
        let ((to, _), _) = detour
            .or(best)
            .or_else(|| usable().next().filter(|_| by_operator))?;
        let cause = match by_operator {
            true => Cause::Operator,
            false if fails => Cause::OrdersFail,
            false => Cause::WriterLost,
        };
        let all = self.lanes.iter().filter(|l| l.provider == current).count();
        let fact = if fails {
            "sites_that_take_orders"
        } else {
            "usable_sites"
        };
        let mut evidence = vec![(fact, format!("0 of {all}"))];
        if self.orders.fenced {
            evidence.push(("fenced", "yes".to_owned()));
        }
        Some(Move {
            to: Some(to.provider),
            cause,
            evidence,
        })
    }

    /// Until then a lost writer waits for the next provider in the failover order to answer, though
    /// others have.
    pub(crate) fn waits_until(&self) -> Time {
        self.lost_at.map_or(Time::ZERO, |at| at + A_MOMENT)
    }

    fn homewards(&self, current: ProviderId) -> Option<Move> {
        if self.newborn {
            // Nobody has answered yet: home is not well, only unknown.
            return None;
        }
        let home = self
            .home()
            .filter(|home| *home != current && self.is_well(*home))?;
        let well_for = self.now.since(self.home_since());
        let cause = match self.orders.failback {
            _ if self.called_home => Cause::Operator,
            Mover::Automatic if well_for >= self.ramp => Cause::WriterHome,
            _ => return None,
        };
        let evidence = vec![("well_for", spoken(well_for))];
        Some(Move {
            to: Some(home),
            cause,
            evidence,
        })
    }

    /// Whether all that a provider has in the pool serves, and nothing of it is on its ramp.
    fn is_well(&self, provider: ProviderId) -> bool {
        let mut lanes = self
            .lanes
            .iter()
            .zip(self.views)
            .filter(|(l, _)| l.provider == provider);
        lanes.all(|(lane, view)| {
            let fit = |e: &crate::trust::EndpointView| e.orders < Fitness::Unfit;
            let well = lane.usable && view.ramp.is_none() && !view.left && !view.kept_away;
            well && view.endpoints.iter().all(fit)
        }) && self.serves(provider)
    }

    fn home_since(&self) -> Time {
        let lanes = self.lanes.iter().zip(self.in_service_since);
        let of_home = lanes.filter(|(lane, _)| Some(lane.provider) == self.home());
        of_home
            .map(|(_, since)| *since)
            .max()
            .unwrap_or(Time::NEVER)
    }
}

/// The best of what a lane has for orders.
fn fitness(lane: &Lane, view: &LaneView) -> Fitness {
    let takes = lane.endpoints.iter().zip(&view.endpoints);
    let takes = takes.filter(|(e, _)| e.order_weight > 0.0);
    let best = takes.map(|(_, seen)| seen.orders).min();
    match best {
        None if view.endpoints.is_empty() => Fitness::Fit,
        best => best.unwrap_or(Fitness::Unfit),
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
