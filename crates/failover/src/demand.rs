//! How much a pool is asked for, measured from what its endpoints answered and what was shed, and
//! where that comes near what is declared.
//!
//! Owns the estimate and its hysteresis: noise decides nothing anew. Looks only at pools in which
//! something declares a capacity. The engine tells it of each batch of traffic, and has it look once a
//! window while anything is in force: traffic that has stopped tells of nothing. `spread` uses what is
//! in force. What is shed counts: a site that returns gets a larger part of its room while there is
//! no room for all elsewhere.

use crate::engine::Engine;
use crate::id::{EndpointId, PoolId};
use crate::input::Tally;
use crate::time::Time;
use crate::timers::Timer;
use crate::verdict::Cause;
use crate::window::{Counts, Window};
use std::time::Duration;

/// The time over which requests are counted.
const WINDOW: Duration = Duration::from_secs(2);
/// A count that is off by less than this part of what is in force is noise, and one by less than so
/// many deviations of a count at random.
const NOISE: (f64, f64) = (0.25, 4.0);
/// A lane on which more than this part of its rate is expected is tight, and stays so above the
/// second.
const TIGHT: (f64, f64) = (0.7, 0.5);

/// Requests per second of one pool.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    window: Window,
    /// Counted over a window when it was last taken.
    taken: f64,
    /// Whether anything was ever counted.
    known: bool,
}

impl Default for Demand {
    fn default() -> Demand {
        Demand {
            window: Window::new(WINDOW),
            taken: 0.0,
            known: false,
        }
    }
}

impl Demand {
    /// Requests per second as in force; `None` where there is nothing to go by.
    pub(crate) fn rate(&self) -> Option<f64> {
        (self.taken > 0.0).then(|| self.taken / WINDOW.as_secs_f64())
    }

    /// The same for people: 0 where nothing comes any more, `None` before anything came.
    pub(crate) fn shown(&self) -> Option<f64> {
        self.known.then(|| self.taken / WINDOW.as_secs_f64())
    }

    /// Counts; says whether what is in force has changed.
    fn count(&mut self, requests: u32, now: Time) -> bool {
        let counts = Counts {
            all: requests,
            ..Counts::default()
        };
        self.window.add(counts, now);
        let counted = f64::from(self.window.sum(now).all);
        let noise = (self.taken * NOISE.0).max(self.taken.sqrt() * NOISE.1);
        // Nothing at all for a whole window is no noise, however little there was.
        let ended = counted == 0.0 && self.taken > 0.0;
        let changed = ended || (counted - self.taken).abs() > noise.max(1.0);
        if changed {
            self.taken = counted;
        }
        self.known |= requests > 0;
        changed
    }
}

impl Engine {
    /// Takes in how often a pool was asked, and has it decided anew where that matters.
    pub(crate) fn demanded(&mut self, id: EndpointId, tally: &Tally) {
        let Some((pool, site)) = self.fleet.endpoint(id).map(|e| (e.pool, e.info.site)) else {
            return;
        };
        if tally.shed > 0 {
            self.fleet.pools[pool.index()].shed_at = Some(self.now);
        }
        let lanes = &self.fleet.pools[pool.index()].lanes;
        if lanes.iter().all(|lane| lane.rate.is_none()) {
            return;
        }
        let rate = lanes.iter().find(|lane| lane.site == site);
        let rate = rate.and_then(|lane| lane.rate);
        let now = self.now;
        let demand = &mut self.fleet.pools[pool.index()].demand;
        let mut changed = demand.count(tally.asked(), now);
        if let Some(rate) = rate {
            let load = self.load_of(pool, site);
            let lanes = &self.fleet.pools[pool.index()].table.lanes;
            let published = lanes.iter().find(|lane| lane.site == site);
            changed |= published.is_some_and(|lane| !lane.tight && is_tight(load, rate, false));
        }
        if changed {
            self.dirty.pools.entry(pool).or_insert(Cause::DemandChanged);
        }
        self.watch_demand(pool);
    }

    /// Looks again after a window: traffic that has stopped tells of nothing. One look at a time.
    pub(crate) fn watch_demand(&mut self, pool: PoolId) {
        let timer = Timer::Demand(pool);
        let demand = &self.fleet.pools[pool.index()].demand;
        if demand.taken > 0.0 && !self.timers.is_set(timer) {
            self.timers.set(timer, self.now + WINDOW, self.now);
        }
    }

    /// What pools are asked for stays as it is from now on: nobody sends anything to a rehearsal.
    pub(crate) fn keep_demand(&mut self) {
        self.timers
            .retain(|timer| !matches!(timer, Timer::Demand(_)));
    }

    /// It is time to look at what a pool is asked for, whether or not anything came.
    pub(crate) fn look_at_demand(&mut self, pool: PoolId) {
        let now = self.now;
        let Some(state) = self.fleet.pools.get_mut(pool.index()) else {
            return;
        };
        if state.demand.count(0, now) {
            self.dirty.pools.entry(pool).or_insert(Cause::DemandChanged);
        }
        self.watch_demand(pool);
    }

    /// Requests per second that a site of a pool was sent lately.
    pub(crate) fn load_of(&self, pool: PoolId, site: crate::SiteId) -> f64 {
        let window = self.fleet.policy.pools[pool.index()].health.window;
        let lanes = &self.fleet.pools[pool.index()].lanes;
        let endpoints = lanes.iter().filter(|lane| lane.site == site);
        let counts = endpoints
            .flat_map(|lane| &lane.endpoints)
            .filter_map(|id| self.fleet.endpoint(*id))
            .map(|endpoint| f64::from(endpoint.traffic.window.peek(self.now).all));
        counts.sum::<f64>() / window.as_secs_f64().max(1e-3)
    }
}

/// Whether a lane that carries `rate` needs watching when `load` is expected there.
pub(crate) fn is_tight(load: f64, rate: f64, was: bool) -> bool {
    load > rate * if was { TIGHT.1 } else { TIGHT.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_changes_nothing_and_a_real_change_does() {
        let mut demand = Demand::default();
        let mut changes = Vec::new();
        for millis in (0..60_000).step_by(50) {
            let wobble = [20, 14, 16, 18, 22][millis as usize / 50 % 5];
            let requests = if millis < 30_000 { wobble } else { wobble * 2 };
            if demand.count(requests, Time::from_millis(millis)) {
                changes.push(millis);
            }
        }
        assert!(
            changes
                .iter()
                .all(|at| *at < 2000 || (30_000..32_000).contains(at))
        );
        assert!(changes.len() < 40, "{changes:?}");
        let rate = demand.rate().unwrap();
        assert!((550.0..800.0).contains(&rate), "{rate}");
    }

    #[test]
    fn what_comes_no_more_is_no_demand_however_little_it_was() {
        for requests in [2, 3, 10, 1000] {
            let mut demand = Demand::default();
            assert_eq!(demand.shown(), None);
            demand.count(requests, Time::from_millis(0));
            assert!(demand.rate().is_some());
            assert!(demand.count(0, Time::from_millis(2500)));
            assert_eq!((demand.rate(), demand.shown()), (None, Some(0.0)));
            assert!(!demand.count(0, Time::from_millis(5000)));
        }
    }

    #[test]
    fn a_lane_that_is_watched_stays_so_for_a_while() {
        assert!(!is_tight(60.0, 100.0, false));
        assert!(is_tight(60.0, 100.0, true));
        assert!(is_tight(71.0, 100.0, false));
        assert!(!is_tight(50.0, 100.0, true));
    }
}
