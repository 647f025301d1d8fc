//! One pool, decided anew: gathers what is held of its places, spreads its load, moves its writer,
//! and journals what changed.
//!
//! The engine calls it for each pool that something happened to, and only for those.

use crate::engine::Engine;
use crate::fleet::{LaneState, PoolState};
use crate::hold::Homecoming;
use crate::id::{EndpointId, PoolId, ProviderId, SiteId};
use crate::input::Target;
use crate::listing::{Cast, Member};
use crate::output::Change;
use crate::policy::Suspicion;
use crate::spread::{Manner, spread};
use crate::table::{Lane, PoolTable};
use crate::time::Time;
use crate::timers::Timer;
use crate::trust::{Declared, EndpointView, LaneView, Standing, Trust};
use crate::verdict::{Cause, Verdict};
use crate::writer::{Move, Scene};
use std::sync::Arc;

/// Endpoints of one lane that are asked whether they could take a lost writer's place.
const MOST_ASKED: usize = 2;

impl Engine {
    /// Decides a pool anew, because of `cause`. Returns whether its part of the table changed.
    pub(crate) fn decide_pool(&mut self, id: PoolId, cause: Cause) -> bool {
        let Some(pool) = self.fleet.pools.get(id.index()) else {
            return false;
        };
        let params = &self.fleet.policy.pools[id.index()];
        let newborn = self.is_newborn(pool);
        let views = self.views(id, pool, newborn);
        let manner = Manner {
            writer: params.orders.writer,
            keep_warm: params.failover.keep_warm,
            demand: pool.demand.rate(),
        };
        let (trust, lanes) = spread(&views, manner);

        self.journal_trust(id, trust);
        self.journal_tier(id, &lanes, cause);
        let home_at = self.move_writer(id, &lanes, &views, newborn);
        self.turn_orders(id, &lanes, &views, cause);
        let told_at = self.journal_orders_held(id, &views, cause);

        let next = self.next_look(id, &views, home_at.min(told_at));
        self.arm(Timer::Pool(id), next);
        let leaving = self.leaving(&self.fleet.pools[id.index()], trust);
        let pool = &mut self.fleet.pools[id.index()];
        pool.decided += 1;
        if !newborn {
            pool.newborn_until = Time::ZERO;
        }
        let table = PoolTable {
            lanes,
            writer: pool.detour.or(pool.writer),
            panic: trust.is_panic(),
            fenced: self.fleet.policy.pools[id.index()].orders.fenced,
            leaving,
        };
        let changed = *pool.table != table;
        if changed {
            pool.table = Arc::new(table);
        }
        changed
    }

    /// What is held of a pool's places, in tier order. Sites without an endpoint are left out.
    pub(crate) fn views(&self, id: PoolId, pool: &PoolState, newborn: bool) -> Vec<LaneView> {
        let lanes = pool.lanes.iter().filter(|lane| !lane.endpoints.is_empty());
        lanes.map(|lane| self.view(id, lane, newborn)).collect()
    }

    fn view(&self, pool: PoolId, lane: &LaneState, newborn: bool) -> LaneView {
        let site = &self.fleet.sites[lane.site.index()];
        let mut endpoints: Vec<EndpointView> = lane
            .endpoints
            .iter()
            .filter_map(|id| self.endpoint_view(*id, newborn))
            .collect();
        self.cast(&mut endpoints);
        LaneView {
            site: lane.site,
            provider: site.provider,
            tier: lane.tier,
            weight: lane.weight,
            hash: lane.hash,
            kept_away: self.fleet.is_kept_away(lane.site),
            left: site.place.is_left(),
            suspicion: self.suspicion(pool, site.provider),
            ramp: site.place.ramp_factor(self.now),
            declared: self.declared_of(pool, lane),
            endpoints,
        }
    }

    /// What a pool makes of a provider some of whose sites are down, and too few to leave it.
    fn suspicion(&self, pool: PoolId, provider: ProviderId) -> Suspicion {
        let held = &self.fleet.providers[provider.index()].place.held;
        if held.verdict == Verdict::Suspect {
            self.fleet.policy.pools[pool.index()].failover.suspicion
        } else {
            Suspicion::Ignore
        }
    }

    fn declared_of(&self, pool: PoolId, lane: &LaneState) -> Declared {
        let provider = self.fleet.sites[lane.site.index()].provider;
        let published = &self.fleet.pools[pool.index()].table.lanes;
        let published = published.iter().find(|known| known.site == lane.site);
        Declared {
            rate: lane.rate,
            most: self.fleet.policy.providers[provider.index()]
                .max_share
                .unwrap_or(1.0),
            load: lane.rate.map_or(0.0, |_| self.load_of(pool, lane.site)),
            was_tight: published.is_some_and(|lane| lane.tight),
        }
    }

    /// Leaves only the endpoints that are in play, each with its part of its backend's weight. Those
    /// of one backend follow each other.
    fn cast(&self, views: &mut Vec<EndpointView>) {
        let backend = |view: &EndpointView| self.endpoint(view.id).map(|info| info.backend);
        let mut parts = Vec::with_capacity(views.len());
        for views in views.chunk_by(|a, b| backend(a) == backend(b)) {
            let members: Vec<Member> = views
                .iter()
                .filter_map(|view| {
                    let serves = view.standing == Standing::Serves && !view.kept_away;
                    Some(self.fleet.endpoint(view.id)?.member(serves))
                })
                .collect();
            parts.extend(Cast::of(&members).parts(&members));
        }
        let mut parts = parts.into_iter();
        views.retain_mut(|view| {
            let part = parts.next().flatten();
            view.base *= part.unwrap_or(0.0);
            part.is_some()
        });
    }

    fn endpoint_view(&self, id: EndpointId, newborn: bool) -> Option<EndpointView> {
        let endpoint = self.fleet.endpoint(id)?;
        let backend = endpoint.info.backend.index();
        let params = &self.fleet.policy.pools[endpoint.pool.index()];
        let standing = match endpoint.held.verdict {
            Verdict::Unknown if endpoint.detour => Standing::New,
            Verdict::Unknown if newborn && endpoint.probes.fails == 0 && !endpoint.newcomer => {
                Standing::Serves
            }
            Verdict::Unknown => Standing::New,
            Verdict::Down if endpoint.answers(params) => Standing::Answers,
            Verdict::Down => Standing::Dead,
            _ if endpoint.detour => Standing::Silent,
            _ => Standing::Serves,
        };
        // The site's ramp comes on top: one that returns with its site is on that ramp alone, and one that
        // came a moment later is as much behind.
        let site = &self.fleet.sites[endpoint.info.site.index()];
        let with_site = match (&endpoint.ramp, site.place.ramp_factor(self.now)) {
            (Some(_), Some(ramp)) => ramp,
            _ => 1.0,
        };
        let backend = &self.fleet.policy.backends[backend];
        let base = f64::from(backend.weight.max(1));
        Some(EndpointView {
            id,
            hash: endpoint.hash,
            verdict: endpoint.held.verdict,
            standing,
            base,
            per_weight: backend.capacity.map_or(1.0, |rate| f64::from(rate) / base),
            factor: (endpoint.factor(self.now) / with_site).min(1.0),
            kept_away: endpoint.word.keeps_away(),
            orders: endpoint.orders.fitness(),
        })
    }

    /// Whether a pool has just begun and has not been probed all over.
    fn is_newborn(&self, pool: &PoolState) -> bool {
        let unprobed = |id: &EndpointId| self.fleet.endpoint(*id).is_some_and(|e| !e.probes.any);
        let unknown =
            |lane: &LaneState| lane.endpoints.is_empty() || lane.endpoints.iter().any(unprobed);
        self.now < pool.newborn_until && pool.lanes.iter().any(unknown)
    }

    fn journal_trust(&mut self, id: PoolId, trust: Trust) {
        let before = std::mem::replace(&mut self.fleet.pools[id.index()].trust, trust);
        if before.is_panic() == trust.is_panic() {
            return;
        }
        let on = trust.is_panic();
        if !on {
            self.fleet.pools[id.index()].calm_since = Some(self.now);
        }
        let cause = if on { Cause::AllBad } else { Cause::NotAllBad };
        let down = self.fleet.pools[id.index()]
            .lanes
            .iter()
            .flat_map(|lane| &lane.endpoints)
            .filter_map(|id| self.fleet.endpoint(*id))
            .map(|endpoint| endpoint.held.verdict == Verdict::Down);
        let (all, bad) = down.fold((0, 0), |(all, bad), is| (all + 1, bad + usize::from(is)));
        let evidence = vec![("endpoints_down", format!("{bad} of {all}"))];
        let subject = self.fleet.pool_subject(id);
        self.journal
            .event(self.now, subject, Change::Panic { on }, cause, evidence);
    }

    fn journal_tier(&mut self, id: PoolId, lanes: &[Lane], cause: Cause) {
        let Some(to) = active_tier(lanes) else { return };
        let pool = &mut self.fleet.pools[id.index()];
        let from = std::mem::replace(&mut pool.active_tier, to);
        if from == to {
            return;
        }
        let overridden = pool.trust.overrides_words();
        let shares: Vec<String> = lanes
            .iter()
            .filter(|lane| lane.tier as usize == from || lane.share > 0.0)
            .take(6)
            .map(|lane| {
                let site = &self.fleet.sites[lane.site.index()].place.held;
                let share = lane.share * 100.0;
                let name = self.fleet.site_name(lane.site);
                format!("{name} {} {share:.0}%", site.verdict.as_str())
            })
            .collect();
        let mut evidence = vec![("sites", shares.join(", "))];
        if overridden {
            evidence.push((
                "kept",
                "an operator's word would take the last capacity".to_owned(),
            ));
        }
        let change = Change::Tier {
            from: from + 1,
            to: to + 1,
        };
        self.journal.event(
            self.now,
            self.fleet.pool_subject(id),
            change,
            cause,
            evidence,
        );
    }

    /// Moves the writer where it has to; returns when time alone may bring it home.
    fn move_writer(
        &mut self,
        id: PoolId,
        lanes: &[Lane],
        views: &[LaneView],
        newborn: bool,
    ) -> Time {
        let pool = &self.fleet.pools[id.index()];
        let params = &self.fleet.policy.pools[id.index()];
        let site = |id: SiteId| &self.fleet.sites[id.index()];
        let since: Vec<Time> = lanes
            .iter()
            .map(|lane| self.takes_orders_since(lane, site(lane.site).place.in_service_since))
            .collect();
        let answered: Vec<Option<Time>> = lanes.iter().map(|lane| self.answered_at(lane)).collect();
        let sites: Vec<(ProviderId, bool)> = pool
            .lanes
            .iter()
            .map(|lane| (site(lane.site).provider, self.fleet.is_kept_away(lane.site)))
            .collect();
        let mut scene = Scene {
            orders: params.orders,
            lanes,
            views,
            in_service_since: &since,
            answered_at: &answered,
            detour: pool.detour,
            lost_at: None,
            sites: &sites,
            newborn,
            ramp: params.failover.ramp,
            panic: pool.trust.is_panic(),
            settling: self.settled_at(id) > self.now,
            called_home: pool.writer_called_home,
            may_try: pool.orders_hold.is_over(self.now),
            now: self.now,
        };
        let before = pool.writer;
        let lost = before.is_some_and(|writer| scene.is_lost(writer));
        let newly_lost = lost && pool.writer_lost_at.is_none();
        scene.lost_at = pool.writer_lost_at.or(Some(self.now)).filter(|_| lost);
        let moved = scene.decide(before);
        let lost_at = scene.lost_at.filter(|_| moved.is_none());
        let called_home = pool.writer_called_home && scene.home_serves();
        let writer = moved.as_ref().map_or(before, |moved| moved.to);
        let fails = writer.is_some_and(|writer| lost_at.is_some() && scene.fails_orders(writer));
        let home_at = scene.homecoming_at(writer);
        let waits = [scene.waits_until(), pool.orders_hold.until()];
        let waits = waits
            .into_iter()
            .filter(|at| lost_at.is_some() && *at > self.now);
        let look_at = waits.fold(home_at, Time::min);
        let pool = &mut self.fleet.pools[id.index()];
        pool.writer_called_home = called_home && writer != scene.home();
        pool.writer = writer;
        pool.writer_lost_at = lost_at;
        pool.orders_fail = fails;
        if let Some(moved) = moved {
            if moved.cause == Cause::OrdersFail {
                let homecoming = Homecoming::of(&params.failover);
                pool.orders_hold.begin(&homecoming, self.now);
            }
            self.journal_writer(id, before, moved);
        } else if newly_lost {
            self.ask_around(lanes);
        }
        look_at
    }

    /// When anything in a lane that takes orders last gave good news.
    pub(crate) fn answered_at(&self, lane: &Lane) -> Option<Time> {
        let takes = lane.endpoints.iter().filter(|e| e.order_weight > 0.0);
        takes
            .filter_map(|e| self.fleet.endpoint(e.id)?.last_good)
            .max()
    }

    /// The writer may have to move: whoever could take its place is probed at once.
    pub(crate) fn ask_around(&mut self, lanes: &[Lane]) {
        for lane in lanes.iter().filter(|lane| lane.usable) {
            for endpoint in lane
                .endpoints
                .iter()
                .filter(|e| e.order_weight > 0.0)
                .take(MOST_ASKED)
            {
                self.rush(endpoint.id);
            }
        }
    }

    fn journal_writer(&mut self, id: PoolId, from: Option<ProviderId>, moved: Move) {
        let name = |provider: Option<ProviderId>| {
            provider.map_or_else(String::new, |id| self.fleet.provider_name(id).to_owned())
        };
        // The first writer of a new pool is no move.
        if let (Some(_), Some(_)) = (from, moved.to) {
            let change = Change::Writer {
                from: name(from),
                to: name(moved.to),
            };
            let subject = self.fleet.pool_subject(id);
            self.journal
                .event(self.now, subject, change, moved.cause, moved.evidence);
        }
    }

    /// When the pool has to be looked at again though nothing happens.
    fn next_look(&self, id: PoolId, views: &[LaneView], home_at: Time) -> Time {
        let pool = &self.fleet.pools[id.index()];
        let sites = views
            .iter()
            .map(|view| &self.fleet.sites[view.site.index()].place.ramp);
        let endpoints = views
            .iter()
            .flat_map(|view| &view.endpoints)
            .filter_map(|view| self.fleet.endpoint(view.id))
            .map(|endpoint| &endpoint.ramp);
        let ramps = sites.chain(endpoints).flatten();
        let step = ramps
            .map(|ramp| self.now + ramp.step())
            .min()
            .unwrap_or(Time::NEVER);
        let newborn = if pool.newborn_until > self.now {
            pool.newborn_until
        } else {
            Time::NEVER
        };
        let settled = Some(self.settled_at(id)).filter(|at| *at > self.now);
        step.min(newborn)
            .min(home_at)
            .min(settled.unwrap_or(Time::NEVER))
    }

    /// Until then a pool is finding its feet again after it distrusted its detector: its places come
    /// back one by one, and the first of them is no better than the next.
    fn settled_at(&self, id: PoolId) -> Time {
        let probe = &self.fleet.policy.pools[id.index()].probe;
        let round = probe.interval.saturating_add(probe.timeout);
        let calm = self.fleet.pools[id.index()].calm_since;
        calm.map_or(Time::ZERO, |since| since + round.saturating_mul(2))
    }

    /// Marks every pool that has anything at a place.
    pub(crate) fn mark_pools_of(&mut self, target: Target, cause: Cause) {
        for pool in self.fleet.pools_of(target) {
            self.dirty.pools.insert(pool, cause);
        }
    }
}

/// The tier that carries most, from 0.
fn active_tier(lanes: &[Lane]) -> Option<usize> {
    let mut best = None;
    for tier in lanes.chunk_by(|a, b| a.tier == b.tier) {
        let share: f64 = tier.iter().map(|lane| lane.share).sum();
        if share > 0.0 && best.is_none_or(|(most, _)| share > most) {
            best = Some((share, tier[0].tier as usize));
        }
    }
    best.map(|(_, tier)| tier)
}
