//! Orders that fail in part: counted in blocks, each judged once it is large and old enough.
//!
//! A single writer has no weight that could fall by steps. So a part that fails has to be large and to last
//! before it speaks against orders: two blocks in a row. A block has twice as many orders as a ratio
//! needs elsewhere, since it has to tell a quarter from a tenth, and is a window long at least: sixty
//! orders a second are judged in seconds and three of them in half a minute, by the same count.
//!
//! Owns numbers; `order_path` asks.

use crate::policy::HealthParams;
use crate::time::Time;
use crate::window::Counts;

/// Share of [`HealthParams::failing`] from which on it counts that orders fail in part.
pub(crate) const GRAY: f64 = 0.5;
/// So many times [`HealthParams::min_requests`] make a block.
const LARGE: u32 = 2;
/// Clients whose orders fail that are enough, where there are so many; one is never enough.
const SEVERAL: u32 = 3;

/// Blocks of the orders of one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Blocks {
    block: Block,
    /// The one that was judged last.
    last: Option<Counts>,
    /// How many were gray in a row, and when the first of them began.
    gray: u32,
    since: Time,
}

/// Orders since `began`, and the clients that were seen and hit.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    began: Option<Time>,
    counts: Counts,
    seen: u64,
    hit: u64,
}

impl Blocks {
    /// Adds orders with the clients that were seen and hit. A block that takes longer than `longest`
    /// windows is none: what is so rare is judged in other ways.
    pub(crate) fn add(
        &mut self,
        counts: Counts,
        (seen, hit): (u64, u64),
        health: &HealthParams,
        longest: u32,
        now: Time,
    ) {
        if counts.all == 0 {
            return;
        }
        let age = |began: Time| now.since(began);
        let stale = |began| age(began) > health.window.saturating_mul(longest);
        if self.block.began.is_some_and(stale) {
            *self = Blocks::default();
        }
        let block = &mut self.block;
        let began = *block.began.get_or_insert(now);
        block.counts.all = block.counts.all.saturating_add(counts.all);
        block.counts.failed = block.counts.failed.saturating_add(counts.failed);
        block.seen |= seen;
        block.hit |= hit;
        let enough = health.min_requests.max(1).saturating_mul(LARGE);
        if block.counts.all < enough || age(began) < health.window {
            return;
        }
        let block = std::mem::take(block);
        self.last = Some(block.counts);
        if !block.is_gray(health) {
            self.gray = 0;
            return;
        }
        if self.gray == 0 {
            self.since = began;
        }
        self.gray = self.gray.saturating_add(1);
    }

    /// How many were gray in a row.
    pub(crate) const fn gray(&self) -> u32 {
        self.gray
    }

    /// When the first of those that are gray in a row began.
    pub(crate) const fn since(&self) -> Time {
        self.since
    }

    /// The block that was judged last, where any was.
    pub(crate) const fn last(&self) -> Option<Counts> {
        self.last
    }

    /// Whether the block that was judged last was not gray.
    pub(crate) const fn is_clean(&self) -> bool {
        self.last.is_some() && self.gray == 0
    }
}

impl Block {
    /// Whether so large a part of the orders fails, and of as large a part of the clients.
    fn is_gray(&self, health: &HealthParams) -> bool {
        let (seen, hit) = (self.seen.count_ones(), self.hit.count_ones());
        let threshold = health.failing * GRAY;
        self.counts.ratio() >= threshold
            && hit >= seen.clamp(2, SEVERAL)
            && f64::from(hit) >= f64::from(seen) * threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LONGEST: u32 = 30;

    /// Blocks after `seconds` of `rate` batches a second, of which every `nth` has a failure.
    fn after(seconds: u64, rate: u64, nth: u64, clients: u64) -> Blocks {
        let health = HealthParams::default();
        let mut blocks = Blocks::default();
        for number in 0..seconds * rate {
            let now = Time::ZERO + Duration::from_millis(number * 1000 / rate);
            let failed = number % nth == 0;
            let counts = Counts {
                all: 1,
                failed: u32::from(failed),
                late: 0,
            };
            // Not every client's failures come to the same one.
            let bit = 1 << (number * 7 / 3 % clients);
            let hit = if failed { bit } else { 0 };
            blocks.add(counts, (bit, hit), &health, LONGEST, now);
        }
        blocks
    }

    #[test]
    fn a_third_that_fails_is_gray_however_many_there_are() {
        assert!(after(6, 60, 3, 40).gray() >= 2);
        assert!(after(30, 3, 3, 40).gray() >= 2);
        assert_eq!(after(3, 60, 3, 40).gray(), 1, "it has to last");
    }

    #[test]
    fn a_tenth_is_not_and_one_client_never_is() {
        assert!(after(20, 60, 10, 40).is_clean());
        assert!(after(20, 60, 6, 40).is_clean());
        assert!(after(20, 60, 3, 1).is_clean());
    }

    #[test]
    fn what_is_rare_is_not_judged() {
        let blocks = after(600, 1, 3, 40);
        assert!(blocks.gray() > 0, "forty in forty seconds are enough");
        let health = HealthParams::default();
        let mut blocks = Blocks::default();
        for number in 0..100 {
            let counts = Counts {
                all: 1,
                failed: 1,
                late: 0,
            };
            let now = Time::from_millis(number * 5000);
            blocks.add(
                counts,
                (1 << (number % 9), 1 << (number % 9)),
                &health,
                LONGEST,
                now,
            );
        }
        assert_eq!((blocks.gray(), blocks.last()), (0, None));
    }
}
