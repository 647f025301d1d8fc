//! How much was sent lately, as one worker sees it.

use crate::time::Time;
use std::time::Duration;

/// Requests per second, and the time over which they were counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sent {
    /// Requests per second.
    pub rate: f64,
    /// The time since the first of them, half a second at most.
    pub over: Duration,
}

impl Sent {
    /// The same of so many workers that see the same.
    pub fn times(self, workers: f64) -> Sent {
        Sent {
            rate: self.rate * workers,
            ..self
        }
    }
}

/// How much was sent in the last half second.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    counts: [u32; Recent::BUCKETS],
    /// Position of the newest bucket on the axis of time.
    newest: u64,
}

impl Recent {
    const BUCKETS: usize = 8;
    const SPAN: u64 = 64_000_000;

    /// One more was sent.
    pub fn add(&mut self, now: Time) {
        self.advance(now);
        let count = &mut self.counts[Self::index(self.newest)];
        *count = count.saturating_add(1);
    }

    /// How many in the last half second.
    pub fn count(&mut self, now: Time) -> u32 {
        self.advance(now);
        self.counts.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Requests per second, since the first of them where that is less than half a second ago.
    pub fn sent(&mut self, now: Time) -> Sent {
        self.advance(now);
        let back = (0..Self::BUCKETS as u64).rev();
        let oldest = back
            .map(|back| self.newest.saturating_sub(back))
            .find(|position| self.counts[Self::index(*position)] > 0);
        let sum = f64::from(self.count(now));
        let began = oldest.unwrap_or(self.newest).saturating_mul(Self::SPAN);
        let over = Duration::from_nanos(now.0.saturating_sub(began).max(Self::SPAN));
        Sent {
            rate: sum / over.as_secs_f64(),
            over,
        }
    }

    fn advance(&mut self, now: Time) {
        let position = now.0 / Self::SPAN;
        let passed = position
            .saturating_sub(self.newest)
            .min(Self::BUCKETS as u64);
        for back in 0..passed {
            self.counts[Self::index(position - back)] = 0;
        }
        self.newest = self.newest.max(position);
    }

    const fn index(position: u64) -> usize {
        (position % Self::BUCKETS as u64) as usize
    }
}
