//! The world's dice: seeded, so that every world replays. Each purpose owns its own.
//!
//! Not the engine's generator: a world must not share a flaw with what it tests (xorshift64*,
//! Vigna: "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016).

use std::time::Duration;

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A stream; the same seed and purpose give the same draws.
    pub fn new(seed: u64, purpose: u64) -> Dice {
        let mixed = (seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93))
            .wrapping_add(0xa076_1d64_78bd_642f)
            .wrapping_mul(0xe703_7ed1_a0b4_28db);
        let mut dice = Dice((mixed ^ (mixed >> 32)) | 1);
        for _ in 0..8 {
            dice.draw();
        }
        dice
    }

    /// Uniform over all numbers but 0.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform over 0 (included) to 1 (excluded).
    pub fn fraction(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True in `part` of the draws.
    pub fn chance(&mut self, part: f64) -> bool {
        part > 0.0 && self.fraction() < part
    }

    /// Uniform over `from` to `to`, both included.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.draw() % (to.saturating_sub(from) + 1)
    }

    /// A span between two, both in milliseconds.
    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(self.between(from * 1000, to * 1000))
    }

    /// One of several; `None` of none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() {
            return None;
        }
        items.get(self.between(0, items.len() as u64 - 1) as usize)
    }

    /// The gap to the next of events that come at random, `rate` a second on average.
    pub fn gap(&mut self, rate: f64) -> Duration {
        let gap = -(1.0 - self.fraction()).ln() / rate.max(1e-6);
        Duration::from_secs_f64(gap.min(1e6))
    }
}
