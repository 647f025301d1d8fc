//! When the next probe of an endpoint is due.
//!
//! Every endpoint is probed each interval, down or not (constant work, P8), with a tenth of jitter
//! so that no two stay in step (P7). A probe that traffic asks for is one more: the regular ones keep
//! their places, or endpoints that failed together would be probed together from then on. One probe of an endpoint is under way at a time; one whose
//! result never came is given up. It knows nothing of what probes found.

use crate::policy::ProbeParams;
use crate::rng::Rng;
use crate::time::Time;
use std::time::Duration;

/// Least time between two probes of one endpoint, however suspect traffic makes it.
const LEAST_GAP: Duration = Duration::from_millis(200);

/// First probes go out within this span, so that leeward is ready soon ...
const FIRST_ROUND: Duration = Duration::from_millis(100);
/// ... or within this span for each endpoint, where there are very many.
const FIRST_ROUND_EACH: Duration = Duration::from_micros(100);
/// ... and within this one in any case.
const FIRST_ROUND_LONGEST: Duration = Duration::from_secs(1);

/// The span over which the first probes of `endpoints` new endpoints are spread.
pub(crate) fn first_round(endpoints: usize) -> Duration {
    let each = FIRST_ROUND_EACH.saturating_mul(u32::try_from(endpoints).unwrap_or(u32::MAX));
    each.clamp(FIRST_ROUND, FIRST_ROUND_LONGEST)
}

/// The probes of one endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// When the next regular one is due.
    next: Time,
    /// When one more is due before that; never where nobody asked.
    extra: Time,
    /// When the one that is under way began.
    started: Option<Time>,
    /// When the last one began.
    last: Option<Time>,
    /// Whether the one that is under way spans a jump of the clock.
    spans_jump: bool,
}

impl Slot {
    /// A slot whose first probe is due within `spread` from `now`.
    pub(crate) fn new(now: Time, spread: Duration, rng: &mut Rng) -> Slot {
        let next = now + spread.mul_f64(rng.fraction());
        Slot {
            next,
            extra: Time::NEVER,
            started: None,
            last: None,
            spans_jump: false,
        }
    }

    /// When to look at it again.
    pub(crate) fn deadline(&self, params: &ProbeParams) -> Time {
        match self.started {
            Some(started) => started + patience(params),
            None => self.next(),
        }
    }

    /// Whether a result is waited for.
    pub(crate) fn is_under_way(&self) -> bool {
        self.started.is_some()
    }

    /// When the next probe begins.
    pub(crate) fn next(&self) -> Time {
        self.next.min(self.extra)
    }

    /// Whether a probe begins now.
    pub(crate) fn begins(&mut self, params: &ProbeParams, rng: &mut Rng, now: Time) -> bool {
        if let Some(started) = self.started {
            if now < started + patience(params) {
                return false;
            }
            self.started = None;
        }
        if now < self.next() {
            return false;
        }
        // The second round is spread over a whole interval, the later ones keep their distance.
        let part = if self.last.is_none() {
            0.1 + rng.fraction()
        } else {
            0.9 + 0.2 * rng.fraction()
        };
        let gap = params.interval.max(Duration::from_millis(1)).mul_f64(part);
        if now >= self.next {
            self.next = now + gap;
        } else if self.next < now + LEAST_GAP {
            // This one stands for the regular one that would follow at once.
            self.next = self.next + gap;
        }
        self.extra = Time::NEVER;
        self.started = Some(now);
        self.last = Some(now);
        self.spans_jump = false;
        true
    }

    /// A result came in; true when the probe spanned a jump of the clock and its failure says
    /// nothing.
    pub(crate) fn ended(&mut self) -> bool {
        self.started = None;
        std::mem::take(&mut self.spans_jump)
    }

    /// Traffic raised a suspicion: the next probe is due at once, or as soon as one may be.
    pub(crate) fn hurry(&mut self, now: Time) {
        if self.started.is_none() {
            let soonest = self.last.map_or(now, |last| now.max(last + LEAST_GAP));
            self.extra = self.extra.min(soonest);
        }
    }

    /// Much hangs on the next probe: it is due at once.
    pub(crate) fn rush(&mut self, now: Time) {
        if self.started.is_none() {
            self.extra = self.extra.min(now);
        }
    }

    /// The process stood still. What was under way is waited for anew, the rest spreads again: a
    /// thousand probes at once would be a storm of our own making.
    pub(crate) fn resume(&mut self, params: &ProbeParams, rng: &mut Rng, now: Time) {
        if self.started.is_some() {
            self.started = Some(now);
            self.spans_jump = true;
        }
        self.extra = Time::NEVER;
        let spread = params.interval.min(FIRST_ROUND_LONGEST);
        self.next = self.next.max(now + spread.mul_f64(rng.fraction()));
    }
}

/// How long a result is waited for before the probe counts as lost.
fn patience(params: &ProbeParams) -> Duration {
    params
        .timeout
        .saturating_mul(2)
        .saturating_add(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: ProbeParams = ProbeParams {
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(500),
        rise: 2,
        fall: 3,
    };

    fn slot(rng: &mut Rng) -> Slot {
        Slot::new(Time::ZERO, FIRST_ROUND, rng)
    }

    #[test]
    fn the_first_probe_is_quick_and_the_later_ones_keep_the_interval() {
        for seed in 0..100 {
            let rng = &mut Rng::new(seed);
            let mut slot = slot(rng);
            assert!(slot.deadline(&PARAMS) <= Time::from_millis(100));
            let mut starts = Vec::new();
            for _ in 0..5 {
                let now = slot.deadline(&PARAMS);
                assert!(slot.begins(&PARAMS, rng, now));
                slot.ended();
                starts.push(now);
            }
            for gap in starts
                .windows(2)
                .skip(1)
                .map(|pair| pair[1].since(pair[0]).as_millis())
            {
                assert!((900..=1100).contains(&gap), "{gap}");
            }
        }
    }

    #[test]
    fn a_probe_under_way_is_not_started_twice_and_given_up_in_the_end() {
        let rng = &mut Rng::new(1);
        let mut slot = slot(rng);
        let start = slot.deadline(&PARAMS);
        assert!(slot.begins(&PARAMS, rng, start));
        assert!(!slot.begins(&PARAMS, rng, start + Duration::from_millis(1999)));
        assert_eq!(slot.deadline(&PARAMS), start + Duration::from_secs(2));
        assert!(slot.begins(&PARAMS, rng, start + Duration::from_secs(2)));
    }

    #[test]
    fn a_suspicion_brings_the_next_probe_forward_but_not_without_end() {
        let rng = &mut Rng::new(1);
        let mut slot = slot(rng);
        let start = slot.deadline(&PARAMS);
        slot.begins(&PARAMS, rng, start);
        slot.ended();
        slot.hurry(start + Duration::from_millis(50));
        assert_eq!(slot.deadline(&PARAMS), start + LEAST_GAP);
        slot.hurry(start + Duration::from_millis(500));
        assert_eq!(slot.deadline(&PARAMS), start + LEAST_GAP);
    }

    #[test]
    fn what_spans_a_jump_is_forgiven_once() {
        let rng = &mut Rng::new(1);
        let mut slot = slot(rng);
        let start = slot.deadline(&PARAMS);
        slot.begins(&PARAMS, rng, start);
        let later = start + Duration::from_secs(30);
        slot.resume(&PARAMS, rng, later);
        assert_eq!(slot.deadline(&PARAMS), later + Duration::from_secs(2));
        assert!(slot.ended());
        assert!(!slot.ended());
    }

    #[test]
    fn the_first_round_grows_with_the_number_of_endpoints() {
        assert_eq!(first_round(3), Duration::from_millis(100));
        assert_eq!(first_round(5000), Duration::from_millis(500));
        assert_eq!(first_round(1_000_000), Duration::from_secs(1));
    }
}
