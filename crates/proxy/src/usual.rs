//! How long a route's answers usually take, as one worker sees them.
//!
//! Two questions hang on it: when a public read is so late that another attempt beside it is worth
//! its price (`race`), and when a request is overdue (`waiting`). Owns a decaying histogram and its
//! quantiles; decides neither.

use std::time::Duration;

/// Answers below which nothing is known.
const ENOUGH: u32 = 20;
/// Answers at which the older half is forgotten.
const MEMORY: u32 = 2048;
/// Answers between two looks at the quantiles.
const LOOK: u32 = 16;
/// Nothing is hedged sooner than this.
const LEAST_HEDGE: Duration = Duration::from_millis(10);
/// What takes this many times what half of the answers take is worth a hedge, however many do: where a part
/// of the requests meets a site that hangs, that is what nearly all take.
const LATE: u32 = 8;
/// Nothing is overdue sooner than this.
const LEAST_OVERDUE: Duration = Duration::from_millis(50);
/// An answer is overdue when it takes this many times what nearly all take.
const OVERDUE: u32 = 3;

/// Four buckets for each doubling.
const PER_DOUBLING: f64 = 4.0;
const BUCKETS: usize = 80;
/// The upper bound of the first bucket, in microseconds.
const FIRST: f64 = 32.0;

/// The times to the head of one route's answers.
#[derive(Clone, Debug)]
pub(crate) struct Usual {
    buckets: [u32; BUCKETS],
    count: u32,
    until_look: u32,
    /// When another attempt beside is worth it, and when a request is overdue.
    known: Option<(Duration, Duration)>,
}

impl Default for Usual {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            count: 0,
            until_look: ENOUGH,
            known: None,
        }
    }
}

impl Usual {
    /// An answer's head took so long, or had not come by then.
    pub(crate) fn record(&mut self, took: Duration) {
        self.buckets[bucket(took)] += 1;
        self.count += 1;
        self.until_look = self.until_look.saturating_sub(1);
        if self.until_look == 0 {
            self.until_look = LOOK;
            self.look();
        }
    }

    /// An attempt had not answered after so long, when another one beside it did. It counts with as long as
    /// is waited for one alone: all that the other took on top says nothing of how long to wait, and would
    /// have the next one wait longer.
    pub(crate) fn outrun(&mut self, waited: Duration) {
        let alone = self.known.map_or(waited, |(hedge, _)| hedge);
        // A bound belongs to the bucket below it, whatever the logarithm rounds to.
        self.record(waited.min(alone).mul_f64(0.99));
    }

    /// After how long another attempt beside is worth it; `None` while nothing is known.
    pub(crate) fn hedge_after(&self) -> Option<Duration> {
        self.known.map(|(hedge, _)| hedge)
    }

    /// After how long a request is overdue; `None` while nothing is known.
    pub(crate) fn overdue_after(&self) -> Option<Duration> {
        self.known.map(|(_, overdue)| overdue)
    }

    fn look(&mut self) {
        if self.count >= MEMORY {
            for bucket in &mut self.buckets {
                *bucket /= 2;
            }
            self.count = self.buckets.iter().sum();
        }
        let (half, most) = (self.quantile(0.5), self.quantile(0.99));
        let hedge = most.min(half * LATE).max(half * 2).max(LEAST_HEDGE);
        let overdue = (most * OVERDUE).max(LEAST_OVERDUE);
        self.known = Some((hedge, overdue));
    }

    /// The upper bound of the bucket that the quantile falls into.
    fn quantile(&self, part: f64) -> Duration {
        let wanted = f64::from(self.count) * part;
        let mut seen = 0.0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += f64::from(*bucket);
            if seen >= wanted {
                return bound(index);
            }
        }
        bound(BUCKETS - 1)
    }
}

fn bucket(took: Duration) -> usize {
    let micros = (took.as_nanos() as f64 / 1000.0).max(1.0);
    let index = ((micros / FIRST).log2() * PER_DOUBLING).ceil();
    (index.max(0.0) as usize).min(BUCKETS - 1)
}

fn bound(index: usize) -> Duration {
    Duration::from_secs_f64(FIRST * (index as f64 / PER_DOUBLING).exp2() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn nothing_is_known_of_a_route_that_has_answered_little() {
        let mut usual = Usual::default();
        for _ in 0..19 {
            usual.record(ms(2));
        }
        assert_eq!(usual.hedge_after(), None);
        usual.record(ms(2));
        assert_eq!(usual.hedge_after(), Some(LEAST_HEDGE));
        assert_eq!(usual.overdue_after(), Some(LEAST_OVERDUE));
    }

    #[test]
    fn quantiles_are_off_by_a_fifth_at_most() {
        let mut usual = Usual::default();
        for took in 1..=1000 {
            usual.record(ms(took));
        }
        for (part, exact) in [(0.5, 500.0), (0.99, 990.0)] {
            let found = usual.quantile(part).as_secs_f64() * 1000.0;
            assert!((exact..exact * 1.2).contains(&found), "{part}: {found}");
        }
    }

    #[test]
    fn a_slow_route_is_overdue_late_and_a_change_is_learned() {
        let mut usual = Usual::default();
        for _ in 0..4000 {
            usual.record(ms(2));
        }
        for _ in 0..2000 {
            usual.record(ms(400));
        }
        let overdue = usual.overdue_after().unwrap();
        assert!(overdue > ms(1200) && overdue < ms(1500), "{overdue:?}");
    }

    /// A tenth of the requests meets a site that hangs, and the others' site is 40 ms away.
    #[test]
    fn attempts_that_are_outrun_do_not_make_the_next_ones_wait_longer() {
        let mut usual = Usual::default();
        (0..2000).for_each(|_| usual.record(ms(44)));
        let before = usual.hedge_after().unwrap();
        for turn in 0..4000 {
            let hedge = usual.hedge_after().unwrap();
            match turn % 10 {
                0 => usual.outrun(hedge + ms(44)),
                _ => usual.record(ms(44)),
            }
        }
        assert!(usual.hedge_after().unwrap() <= before.mul_f64(1.2));
        (0..4000).for_each(|_| usual.record(ms(150)));
        assert!(
            usual.hedge_after().unwrap() >= ms(150),
            "it is still learned"
        );
    }

    #[test]
    fn a_part_that_hangs_is_hedged_though_it_is_larger_than_a_hundredth() {
        let mut usual = Usual::default();
        for turn in 0..4000 {
            usual.record(if turn % 10 == 0 { ms(3000) } else { ms(4) });
        }
        let hedge = usual.hedge_after().unwrap();
        assert!(hedge > ms(30) && hedge < ms(45), "{hedge:?}");
    }

    #[test]
    fn no_time_is_too_short_or_too_long() {
        let mut usual = Usual::default();
        for took in [Duration::ZERO, Duration::MAX] {
            (0..100).for_each(|_| usual.record(took));
        }
        assert!(usual.overdue_after().is_some());
    }
}
