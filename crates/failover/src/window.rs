//! Counts over a trailing window: a ring of buckets whose sum is kept as they come and go.
//!
//! Owns nothing but numbers. An endpoint feeds it with what requests met and asks for the sums. A
//! huge gap clears it, time that goes backwards counts into the newest bucket.

use crate::time::Time;
use std::time::Duration;

const BUCKETS: usize = 10;

/// How many outcomes there were, how many of them failed, and how many came late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub all: u32,
    pub failed: u32,
    /// Answers that came later than usual; they may be successes.
    pub late: u32,
}

impl Counts {
    /// Share of the outcomes that failed, 0 to 1; 0 without any.
    pub(crate) fn ratio(self) -> f64 {
        if self.all == 0 {
            0.0
        } else {
            f64::from(self.failed) / f64::from(self.all)
        }
    }

    const fn without(self, part: Counts) -> Counts {
        Counts {
            all: self.all.saturating_sub(part.all),
            failed: self.failed.saturating_sub(part.failed),
            late: self.late.saturating_sub(part.late),
        }
    }

    /// These and more.
    pub(crate) const fn with(self, more: Counts) -> Counts {
        Counts {
            all: self.all.saturating_add(more.all),
            failed: self.failed.saturating_add(more.failed),
            late: self.late.saturating_add(more.late),
        }
    }
}

/// [`Counts`] over a trailing window, to a tenth of its length.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Nanoseconds that one bucket spans; at least 1.
    span: u64,
    buckets: [Counts; BUCKETS],
    /// Position on the time axis of the newest bucket, in spans.
    newest: u64,
    sum: Counts,
}

impl Window {
    pub(crate) fn new(length: Duration) -> Window {
        Window {
            span: span_of(length),
            buckets: [Counts::default(); BUCKETS],
            newest: 0,
            sum: Counts::default(),
        }
    }

    /// Forgets everything, and the old length where it is another.
    pub(crate) fn clear(&mut self, length: Duration) {
        *self = Window {
            newest: self.newest,
            ..Window::new(length)
        };
    }

    /// Takes another length; what was counted under the old one says nothing under the new one.
    pub(crate) fn resize(&mut self, length: Duration) {
        if span_of(length) != self.span {
            *self = Window::new(length);
        }
    }

    pub(crate) fn add(&mut self, counts: Counts, now: Time) {
        self.advance(now);
        for sum in [&mut self.buckets[index(self.newest)], &mut self.sum] {
            *sum = sum.with(counts);
        }
    }

    /// The sums as of `now`.
    pub(crate) fn sum(&mut self, now: Time) -> Counts {
        self.advance(now);
        self.sum
    }

    /// The sums as of `now`, for readers.
    pub(crate) fn peek(&self, now: Time) -> Counts {
        self.clone().sum(now)
    }

    fn advance(&mut self, now: Time) {
        let position = now.0 / self.span;
        let passed = position.saturating_sub(self.newest).min(BUCKETS as u64);
        for back in 0..passed {
            let gone = std::mem::take(&mut self.buckets[index(position - back)]);
            self.sum = self.sum.without(gone);
        }
        self.newest = self.newest.max(position);
    }
}

fn span_of(length: Duration) -> u64 {
    u64::try_from(length.as_nanos() / BUCKETS as u128)
        .unwrap_or(u64::MAX)
        .max(1)
}

const fn index(position: u64) -> usize {
    (position % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(2);

    fn one(failed: u32) -> Counts {
        Counts {
            all: 1,
            failed,
            late: 0,
        }
    }

    #[test]
    fn outcomes_leave_after_the_windows_length() {
        let mut window = Window::new(LENGTH);
        window.add(one(1), Time::from_millis(0));
        window.add(one(0), Time::from_millis(1000));
        assert_eq!(
            window.sum(Time::from_millis(1900)),
            Counts {
                all: 2,
                failed: 1,
                late: 0
            }
        );
        assert_eq!(
            window.sum(Time::from_millis(2000)),
            Counts {
                all: 1,
                failed: 0,
                late: 0
            }
        );
        assert_eq!(window.sum(Time::from_millis(3000)), Counts::default());
    }

    #[test]
    fn a_huge_gap_clears_it() {
        let mut window = Window::new(LENGTH);
        window.add(one(1), Time::ZERO);
        assert_eq!(window.sum(Time::NEVER), Counts::default());
    }

    #[test]
    fn time_that_goes_backwards_counts_into_the_newest_bucket() {
        let mut window = Window::new(LENGTH);
        window.add(one(1), Time::from_millis(5000));
        window.add(one(1), Time::from_millis(1000));
        assert_eq!(window.sum(Time::from_millis(6900)).failed, 2);
    }

    #[test]
    fn reading_without_mutation_sees_the_same() {
        let mut window = Window::new(LENGTH);
        window.add(one(1), Time::ZERO);
        for millis in (0..3000).step_by(100) {
            let now = Time::from_millis(millis);
            assert_eq!(window.peek(now), window.clone().sum(now));
        }
    }

    #[test]
    fn a_window_of_no_length_keeps_a_moment() {
        let mut window = Window::new(Duration::ZERO);
        window.add(one(0), Time::ZERO);
        assert_eq!(window.sum(Time::ZERO).all, 1);
        assert_eq!(window.sum(Time::from_millis(1)).all, 0);
    }

    #[test]
    fn another_length_starts_anew_and_the_same_keeps_what_it_has() {
        let mut window = Window::new(LENGTH);
        window.add(one(1), Time::ZERO);
        window.resize(LENGTH);
        assert_eq!(window.sum(Time::ZERO).all, 1);
        window.resize(LENGTH * 2);
        assert_eq!(window.sum(Time::ZERO).all, 0);
    }
}
