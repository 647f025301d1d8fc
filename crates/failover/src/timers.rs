//! Named timers in one table: the engine's only notion of "later".
//!
//! Each timer is set or not; setting it again moves it. There is no task per timer and nothing to
//! cancel. The engine fires what is due and looks at the thing that the timer names.

use crate::id::{EndpointId, PoolId, ProviderId, SiteId};
use crate::input::Target;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is to be looked at when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A probe is due, or one that is under way must be given up.
    Probe(EndpointId),
    /// A hold-down or a ramp of an endpoint ends.
    Endpoint(EndpointId),
    /// A hold-down of an endpoint's order path ends.
    Orders(EndpointId),
    /// A hold-down or a ramp of a site ends.
    Site(SiteId),
    /// A hold-down or a ramp of a provider ends.
    Provider(ProviderId),
    /// A ramp has moved on, or the writer may go home.
    Pool(PoolId),
    /// An operator's word lapses.
    Word(Target),
    /// What a pool is asked for is to be looked at though nothing came.
    Demand(PoolId),
}

/// No timer fires twice within this span: whatever goes wrong, the engine is no busy loop.
const LEAST: Duration = Duration::from_millis(1);

/// All timers that are set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Time, Timer)>,
    set: BTreeMap<Timer, Time>,
}

impl Timers {
    /// Sets a timer, at the earliest a moment after `now`; [`Time::NEVER`] clears it.
    pub(crate) fn set(&mut self, timer: Timer, when: Time, now: Time) {
        let when = when.max(now + LEAST);
        if self.set.get(&timer) == Some(&when) {
            return;
        }
        self.clear(timer);
        if when < Time::NEVER {
            self.queue.insert((when, timer));
            self.set.insert(timer, when);
        }
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.set.contains_key(&timer)
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(when) = self.set.remove(&timer) {
            self.queue.remove(&(when, timer));
        }
    }

    /// Keeps only the timers that `keep` says yes to.
    pub(crate) fn retain(&mut self, keep: impl Fn(Timer) -> bool) {
        self.queue.retain(|(_, timer)| keep(*timer));
        self.set.retain(|timer, _| keep(*timer));
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        let (when, timer) = *self.queue.first()?;
        if when > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }

    /// When the earliest timer is due.
    pub(crate) fn next(&self) -> Time {
        self.queue.first().map_or(Time::NEVER, |(when, _)| *when)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Timer = Timer::Probe(EndpointId(0));
    const B: Timer = Timer::Probe(EndpointId(1));

    #[test]
    fn timers_fire_in_order_of_time_then_name() {
        let mut timers = Timers::default();
        timers.set(B, Time(5_000_000), Time::ZERO);
        timers.set(A, Time(5_000_000), Time::ZERO);
        timers.set(Timer::Pool(PoolId(0)), Time(4_000_000), Time::ZERO);
        assert_eq!(timers.next(), Time(4_000_000));
        assert_eq!(timers.pop_due(Time(3_000_000)), None);
        let fired: Vec<Timer> = std::iter::from_fn(|| timers.pop_due(Time(9_000_000))).collect();
        assert_eq!(fired, [Timer::Pool(PoolId(0)), A, B]);
        assert_eq!(timers.next(), Time::NEVER);
    }

    #[test]
    fn setting_again_moves_and_never_clears() {
        let mut timers = Timers::default();
        timers.set(A, Time::from_millis(5), Time::ZERO);
        timers.set(A, Time::from_millis(9), Time::ZERO);
        assert_eq!(timers.next(), Time::from_millis(9));
        timers.set(A, Time::NEVER, Time::ZERO);
        assert_eq!(timers.next(), Time::NEVER);
    }

    #[test]
    fn a_timer_in_the_past_is_due_a_moment_after_now() {
        let mut timers = Timers::default();
        timers.set(A, Time::ZERO, Time::from_millis(7));
        assert_eq!(timers.next(), Time::from_millis(8));
    }

    #[test]
    fn at_the_end_of_time_nothing_is_set() {
        let mut timers = Timers::default();
        timers.set(A, Time::ZERO, Time(u64::MAX - 1));
        assert_eq!(timers.next(), Time::NEVER);
    }
}
