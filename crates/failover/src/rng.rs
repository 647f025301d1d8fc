//! The dice: a small generator that is seeded, so that every draw replays.
//!
//! SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). It is
//! good enough to spread load and to jitter, and no source of secrets. Each purpose owns a stream,
//! so that one more draw in one place reshuffles nothing elsewhere.

/// Source of draws: a small generator that each worker, and each purpose in the engine, owns.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A stream; the same seed gives the same draws.
    pub const fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next draw, uniform over all 64 bit numbers.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// The next draw as a fraction, uniform over 0 (included) to 1 (excluded).
    pub fn fraction(&mut self) -> f64 {
        to_fraction(self.next_u64())
    }
}

/// Spreads the bits of `value` over all 64: a bijection, and the finish of SplitMix64.
pub(crate) const fn mix(value: u64) -> u64 {
    let z = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash of `bytes` that stays the same over restarts, builds and machines (FNV-1a, then mixed).
pub(crate) fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv)
}

/// The upper 53 bits as a fraction, 0 (included) to 1 (excluded).
pub(crate) const fn to_fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_draws() {
        let (mut one, mut two) = (Rng::new(7), Rng::new(7));
        assert!((0..100).all(|_| one.next_u64() == two.next_u64()));
        assert_ne!(Rng::new(7).next_u64(), Rng::new(8).next_u64());
    }

    #[test]
    fn fractions_fill_the_unit_interval_evenly() {
        let mut rng = Rng::new(1);
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            let fraction = rng.fraction();
            assert!((0.0..1.0).contains(&fraction));
            tenths[(fraction * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|n| (850..1150).contains(n)), "{tenths:?}");
    }

    #[test]
    fn the_stable_hash_never_changes() {
        assert_eq!(stable_hash(b""), 0xf52a_15e9_a9b5_e89b);
        assert_ne!(stable_hash(b"key-1"), stable_hash(b"key-2"));
    }
}
