//! How far places are, as their probes see it, and so how much longer an answer from one of them
//! takes than from the nearest.
//!
//! A route's usual time is kept as the nearest place of its pool would have it (`turn`): a request
//! that goes further is neither late nor overdue for the way alone. Judges nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A place's distance follows longer ways slowly: a place that is slow for a minute is slow, not far.
pub(crate) const OF_A_PLACE: u32 = 64;
/// So does the distance of the nearest place, which every probe of its pool tells of.
pub(crate) const OF_THE_NEAREST: u32 = 4096;

/// The least time that probes took lately, from the question to its answer.
pub(crate) struct Distance {
    /// In nanoseconds; 0 while nothing is known. One writer.
    least: AtomicU64,
    /// What is longer moves it by one in so many parts.
    slowness: u32,
}

impl Distance {
    pub(crate) const fn new(slowness: u32) -> Self {
        Self {
            least: AtomicU64::new(0),
            slowness,
        }
    }

    /// A probe was answered after so long.
    pub(crate) fn took(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let least = self.least.load(Ordering::Relaxed);
        let now = match took.checked_sub(least) {
            Some(more) if least > 0 => least + more / u64::from(self.slowness),
            _ => took,
        };
        self.least.store(now, Ordering::Relaxed);
    }

    /// How much further this is than `nearest`; nothing while either is unknown.
    pub(crate) fn beyond(&self, nearest: &Self) -> Duration {
        let near = nearest.least.load(Ordering::Relaxed);
        let further = self.least.load(Ordering::Relaxed).saturating_sub(near);
        if near == 0 {
            Duration::ZERO
        } else {
            Duration::from_nanos(further)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_place_is_as_much_further_as_its_probes_take_longer_than_the_nearest() {
        let (near, far) = (Distance::new(OF_A_PLACE), Distance::new(OF_A_PLACE));
        let nearest = Distance::new(OF_THE_NEAREST);
        assert_eq!(far.beyond(&nearest), Duration::ZERO, "nothing is known");
        far.took(ms(42));
        assert_eq!(far.beyond(&nearest), Duration::ZERO, "nor of the nearest");
        for (place, took) in [(&far, 42), (&near, 2), (&far, 45), (&near, 3)] {
            place.took(ms(took));
            nearest.took(ms(took));
        }
        let further = far.beyond(&nearest);
        assert!(further > ms(39) && further < ms(41), "{further:?}");
        assert!(near.beyond(&nearest) < ms(1));
    }

    #[test]
    fn what_is_slow_for_a_few_probes_is_no_further() {
        let (place, nearest) = (Distance::new(OF_A_PLACE), Distance::new(OF_THE_NEAREST));
        place.took(ms(2));
        nearest.took(ms(2));
        (0..5).for_each(|_| place.took(ms(52)));
        assert!(place.beyond(&nearest) < ms(5));
        (0..500).for_each(|_| place.took(ms(52)));
        assert!(place.beyond(&nearest) > ms(49), "that is another way");
        place.took(ms(2));
        assert_eq!(place.beyond(&nearest), Duration::ZERO);
    }
}
