//! The way home: a hold-down that grows while a place flaps, then a ramp (P7).
//!
//! Pure arithmetic for endpoints, sites and providers alike. It decides nothing: the state machines
//! in `endpoint` and `place` ask whether a hold-down or a ramp is over.

use crate::bugs::{Bug, is_injected};
use crate::held::millis;
use crate::policy::{Failback, FailoverParams};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a place is left alone, and how much its share grows when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Homecoming {
    /// First hold-down.
    pub first: Duration,
    /// Longest hold-down.
    pub max: Duration,
    /// From the first request to a full share.
    pub ramp: Duration,
    /// Who says when.
    pub failback: Failback,
}

impl Homecoming {
    pub(crate) const fn of(params: &FailoverParams) -> Homecoming {
        Homecoming {
            first: params.hold_down_first,
            max: params.hold_down_max,
            ramp: params.ramp,
            failback: params.failback,
        }
    }

    /// The more patient of two.
    pub(crate) fn or_longer(self, other: Homecoming) -> Homecoming {
        Homecoming {
            first: self.first.max(other.first),
            max: self.max.max(other.max),
            ramp: self.ramp.max(other.ramp),
            failback: self.failback.max(other.failback),
        }
    }
}

/// A doubling more makes no difference: the longest hold-down is reached long before.
const MOST_DOUBLINGS: u32 = 32;

/// What is remembered of a hold-down. Spans are in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldMemory {
    /// What is left of it.
    #[serde(default)]
    pub left_ms: u64,
    /// For how long it has been over.
    #[serde(default)]
    pub quiet_ms: u64,
    /// How long it was as a whole.
    #[serde(default)]
    pub span_ms: u64,
    /// How often the next one is doubled.
    #[serde(default)]
    pub doublings: u32,
}

/// The hold-down of one place, and its memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HoldDown {
    /// How often the next hold-down is doubled.
    doublings: u32,
    /// When the last one ends.
    until: Time,
    /// How long the last one is.
    span: Duration,
}

impl HoldDown {
    /// Begins: twice as long as the last time, up to the longest.
    ///
    /// Each quiet stretch as long as the longest hold-down and a ramp takes one doubling back, so a
    /// place that flapped last week is not punished for it.
    pub(crate) fn begin(&mut self, params: &Homecoming, now: Time) {
        self.forget(params, now.since(self.until));
        let factor = match 1_u32.checked_shl(self.doublings).unwrap_or(u32::MAX) {
            _ if is_injected(Bug::HoldDownNeverGrows) => 1,
            factor => factor,
        };
        self.span = params
            .first
            .saturating_mul(factor)
            .min(params.max.max(params.first));
        self.until = now + self.span;
        if self.span < params.max {
            self.doublings += 1;
        }
    }

    /// The place was seen to come up and go down again while it is left alone: it has to be quiet for as
    /// long as a first hold-down.
    pub(crate) fn prolong(&mut self, params: &Homecoming, now: Time) {
        self.until = self.until.max(now + params.first);
    }

    fn forget(&mut self, params: &Homecoming, quiet: Duration) {
        let memory = params
            .max
            .saturating_add(params.ramp)
            .max(Duration::from_secs(1));
        let quiet = quiet.as_nanos() / memory.as_nanos();
        self.doublings = self
            .doublings
            .saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX));
    }

    /// What is to be remembered of it.
    pub(crate) fn memory(&self, now: Time) -> HoldMemory {
        HoldMemory {
            left_ms: millis(self.until.since(now)),
            quiet_ms: millis(now.since(self.until)),
            span_ms: millis(self.span),
            doublings: self.doublings,
        }
    }

    /// As it was when it was remembered, `away` before `now`. One that is under way goes on; no
    /// number is larger than the policy's now.
    pub(crate) fn recalled(
        memory: &HoldMemory,
        params: &Homecoming,
        under_way: bool,
        away: Duration,
        now: Time,
    ) -> HoldDown {
        let longest = params.max.max(params.first);
        let bounded = |ms| Duration::from_millis(ms).min(longest);
        let left = bounded(memory.left_ms).saturating_sub(away);
        let mut hold = HoldDown {
            doublings: memory.doublings.min(MOST_DOUBLINGS),
            until: if under_way { now + left } else { now },
            span: bounded(memory.span_ms),
        };
        if !under_way {
            let quiet = Duration::from_millis(memory.quiet_ms);
            hold.forget(params, quiet.saturating_add(away));
        }
        hold
    }

    /// The place is left alone no longer; quiet time counts from here.
    pub(crate) fn release(&mut self, now: Time) {
        self.until = self.until.max(now);
    }

    pub(crate) const fn until(&self) -> Time {
        self.until
    }

    pub(crate) const fn span(&self) -> Duration {
        self.span
    }

    pub(crate) fn is_over(&self, now: Time) -> bool {
        now >= self.until || is_injected(Bug::NoHoldDown)
    }
}

/// Share of the normal load at the begin of a ramp.
const RAMP_START: f64 = 0.01;

/// The ramp of one place: from a hundredth to all of its normal share, linear in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    from: Time,
    span: Duration,
}

impl Ramp {
    pub(crate) const fn new(from: Time, span: Duration) -> Ramp {
        Ramp { from, span }
    }

    /// Share of the normal load that may go there, 0.01 to 1, in hundredths: a table need not be
    /// published for less.
    pub(crate) fn factor(&self, now: Time) -> f64 {
        if self.is_over(now) || is_injected(Bug::NoRamp) {
            return 1.0;
        }
        let part = now.since(self.from).as_secs_f64() / self.span.as_secs_f64();
        ((part * 100.0).floor() / 100.0).clamp(RAMP_START, 1.0)
    }

    pub(crate) fn end(&self) -> Time {
        self.from + self.span
    }

    pub(crate) fn is_over(&self, now: Time) -> bool {
        now >= self.end()
    }

    /// How often the share is looked at anew: often enough to be smooth, not more.
    pub(crate) fn step(&self) -> Duration {
        (self.span / 50).max(Duration::from_millis(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: Homecoming = Homecoming {
        first: Duration::from_secs(30),
        max: Duration::from_secs(900),
        ramp: Duration::from_secs(60),
        failback: Failback::Automatic,
    };

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    #[test]
    fn hold_downs_double_while_a_place_flaps_up_to_the_longest() {
        let mut hold = HoldDown::default();
        let mut now = Time::ZERO;
        let spans: Vec<u64> = (0..7)
            .map(|_| {
                hold.begin(&PARAMS, now);
                now = hold.until() + Duration::from_secs(1);
                hold.span().as_secs()
            })
            .collect();
        assert_eq!(spans, [30, 60, 120, 240, 480, 900, 900]);
    }

    #[test]
    fn quiet_time_takes_doublings_back_one_by_one() {
        let mut hold = HoldDown::default();
        for _ in 0..4 {
            hold.begin(&PARAMS, hold.until());
        }
        assert_eq!(hold.span().as_secs(), 240);
        hold.begin(&PARAMS, hold.until() + Duration::from_secs(960 * 2));
        assert_eq!(hold.span().as_secs(), 120);
        hold.begin(&PARAMS, hold.until() + Duration::from_secs(960 * 100));
        assert_eq!(hold.span().as_secs(), 30);
    }

    #[test]
    fn a_ramp_grows_from_a_hundredth_to_all_and_never_shrinks() {
        let ramp = Ramp::new(at(10), Duration::from_secs(60));
        assert_eq!(ramp.factor(at(10)), 0.01);
        assert_eq!(ramp.factor(at(40)), 0.5);
        assert_eq!(ramp.factor(at(70)), 1.0);
        assert!((0..80).all(|s| ramp.factor(at(s)) <= ramp.factor(at(s + 1))));
    }

    #[test]
    fn no_span_at_all_is_no_ramp() {
        assert_eq!(Ramp::new(at(1), Duration::ZERO).factor(at(1)), 1.0);
    }
}
