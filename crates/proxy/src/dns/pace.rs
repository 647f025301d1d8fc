//! When a source is asked again.
//!
//! Pure but for its own dice. Everything is jittered, so that neither the names of one leeward nor
//! several leewards fall into step (P7). Called by `keeper`.

use leeward_failover::select::Rng;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// First and longest pause after failures.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// First questions are spread over this span.
const START: Duration = Duration::from_millis(50);
/// Part of a pause that is left to chance.
const JITTER: f64 = 0.1;

/// The pauses of one source.
pub(crate) struct Pace {
    /// Least and longest time for which an answer is used.
    bounds: (Duration, Duration),
    /// Longest pause after failures.
    longest: Duration,
    failures: u32,
    rng: Rng,
}

impl Pace {
    /// Pauses of their own, different in each process.
    pub(crate) fn new(bounds: (Duration, Duration)) -> Self {
        Self::seeded(bounds, LONGEST, RandomState::new().build_hasher().finish())
    }

    /// The same for a source that is asked every so often: a failure makes it no slower.
    pub(crate) fn every(refresh: Duration) -> Self {
        let seed = RandomState::new().build_hasher().finish();
        Self::seeded((refresh, refresh), refresh.min(LONGEST), seed)
    }

    fn seeded(bounds: (Duration, Duration), longest: Duration, seed: u64) -> Self {
        Self {
            bounds,
            longest,
            failures: 0,
            rng: Rng::new(seed),
        }
    }

    /// Before the first question.
    pub(crate) fn start(&mut self) -> Duration {
        START.mul_f64(self.rng.fraction())
    }

    /// After an answer that may be used for `ttl`.
    pub(crate) fn answered(&mut self, ttl: Duration) -> Duration {
        self.failures = 0;
        let (least, longest) = self.bounds;
        let pause = ttl.min(longest).max(least);
        pause
            .mul_f64(1.0 - JITTER * self.rng.fraction())
            .max(least.mul_f64(1.0 - JITTER))
    }

    /// After a failure: longer each time in a row.
    pub(crate) fn failed(&mut self) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let span = doubled.min(self.longest.mul_f64(2.0 / 3.0));
        span.mul_f64(1.0 + 0.5 * self.rng.fraction())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

    #[test]
    fn an_answer_is_used_for_its_ttl_within_bounds() {
        let mut pace = Pace::seeded(BOUNDS, LONGEST, 1);
        for (ttl, least, most) in [
            (0, 900, 1000),
            (30, 27_000, 30_000),
            (86_400, 54_000, 60_000),
        ] {
            let pause = pace.answered(Duration::from_secs(ttl)).as_millis();
            assert!((least..=most).contains(&pause), "{ttl}: {pause}");
        }
    }

    #[test]
    fn failures_are_answered_by_longer_and_longer_pauses_up_to_a_bound() {
        let mut pace = Pace::seeded(BOUNDS, LONGEST, 1);
        let pauses: Vec<Duration> = (0..40).map(|_| pace.failed()).collect();
        assert!(
            pauses.iter().all(|pause| (FIRST..=LONGEST).contains(pause)),
            "{pauses:?}"
        );
        assert!(pauses[0] < Duration::from_millis(1500) && pauses[39] >= Duration::from_secs(20));
        pace.answered(Duration::ZERO);
        assert!(pace.failed() < Duration::from_millis(1500));
    }

    #[test]
    fn a_failure_makes_a_source_with_a_pace_of_its_own_no_slower() {
        let refresh = Duration::from_millis(300);
        let mut pace = Pace::every(refresh);
        assert!((0..40).all(|_| (refresh / 3 * 2..=refresh).contains(&pace.failed())));
    }

    #[test]
    fn two_sources_do_not_keep_step() {
        let (mut one, mut two) = (
            Pace::seeded(BOUNDS, LONGEST, 1),
            Pace::seeded(BOUNDS, LONGEST, 2),
        );
        let ttl = Duration::from_secs(30);
        assert!((0..10).all(|_| one.answered(ttl) != two.answered(ttl)));
        assert!((0..10).all(|_| one.failed() != two.failed()));
    }
}
