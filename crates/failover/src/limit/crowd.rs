//! Requests at a time: a bound that is learned from latency alone.
//!
//! A window of answers has a mean; the least that means have been is what the site takes when it is
//! not crowded. It trips when the mean is far above that for several windows with many in flight:
//! the bound becomes a part of what was in flight. A cut has to prove itself: where answers get no
//! faster by it, the site is slow for a reason of its own. Then the cut is undone, and that latency
//! is normal from then on. It recovers by a tenth a window. It is never below a floor, nor below
//! twice what keeps the site busy.
//!
//! A pause of a few hundred milliseconds, a slow route among fast ones and a lost packet now and
//! then change nothing.

use super::Part;
use crate::time::Time;
use std::time::Duration;

/// No bound that anybody meets.
const MOST: f64 = 16_384.0;
/// Least bound.
const FLOOR: f64 = 8.0;
/// A window has so many answers and takes so long, at least.
const WINDOW: (u32, f64) = (10, 0.25);
/// Far above normal: so many times as much, and this much more, in seconds.
const FAR: (f64, f64) = (2.0, 0.05);
/// So many windows in a row make a cut.
const ROW: u32 = 3;
/// With fewer in flight nothing is cut.
const FEW: f64 = 16.0;
/// A cut leaves this much, at least and at most.
const LEFT: (f64, f64) = (0.5, 0.9);
/// A cut has helped when the mean is below this part of what it was.
const HELPED: f64 = 0.8;
/// What a window that is not slow adds to the bound.
const GROWTH: f64 = 0.1;
/// So much of the bound, and it is met: public reads have no more than this.
const MET: f64 = 0.6;
/// How fast normal follows a mean that is above it.
const DRIFT: f64 = 0.02;

/// A bound on requests at a time.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    limit: f64,
    in_flight: u32,
    window: Window,
    /// The least that means have been, in seconds; it drifts after them slowly.
    normal: Option<f64>,
    /// Windows in a row that were slow.
    slow: u32,
    /// The bound and the mean before a cut that has yet to prove itself.
    trial: Option<(f64, f64)>,
    /// Answers to come to what was sent before the cut: they say nothing of it.
    stale: u32,
}

/// Answers since `began`.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: Option<Time>,
    answers: u32,
    seconds: f64,
    /// Most in flight.
    peak: u32,
}

impl Default for Crowd {
    fn default() -> Crowd {
        Crowd {
            limit: MOST,
            in_flight: 0,
            window: Window::default(),
            normal: None,
            slow: 0,
            trial: None,
            stale: 0,
        }
    }
}

impl Crowd {
    /// Whether one more of this part may come: each leaves room for those that are shed later.
    pub(super) fn has_room(&self, part: Part) -> bool {
        let own = match part {
            Part::Cancel => 1.0,
            Part::Order => 0.95,
            Part::Private => 0.8,
            Part::Public => 0.7,
        };
        f64::from(self.in_flight) < (self.limit * own).floor()
    }

    pub(super) fn enter(&mut self) {
        self.in_flight = self.in_flight.saturating_add(1);
        self.window.peak = self.window.peak.max(self.in_flight);
    }

    pub(super) const fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(super) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) const fn limit(&self) -> u32 {
        self.limit as u32
    }

    pub(super) fn answered(&mut self, took: Duration, now: Time) {
        if self.stale > 0 {
            self.stale -= 1;
            self.window.peak = self.in_flight;
            return;
        }
        let window = &mut self.window;
        let began = *window.began.get_or_insert(now);
        window.answers = window.answers.saturating_add(1);
        window.seconds += took.as_secs_f64();
        let mean = window.seconds / f64::from(window.answers);
        let span = now.since(began).as_secs_f64();
        if window.answers >= WINDOW.0 && span >= WINDOW.1.max(2.0 * mean) {
            let peak = f64::from(window.peak);
            let rate = f64::from(window.answers) / span;
            self.window = Window {
                began: Some(now),
                peak: self.in_flight,
                ..Window::default()
            };
            self.judge(mean, peak, rate);
        }
    }

    /// A window is over: `mean` seconds an answer, `peak` in flight, `rate` answers per second.
    fn judge(&mut self, mean: f64, peak: f64, rate: f64) {
        let normal = *self.normal.get_or_insert(mean);
        if let Some((limit, before)) = self.trial.take()
            && mean > before * HELPED
        {
            self.limit = limit;
            self.normal = Some(mean);
            self.slow = 0;
            return;
        }
        let far = FAR.0 * normal + FAR.1;
        if mean <= far {
            self.slow = 0;
            // Where the bound is met, it is the crowd that makes answers slow: that is not normal.
            let drift = if peak < self.limit * MET { DRIFT } else { 0.0 };
            self.normal = Some(mean.min(normal + (mean - normal) * drift));
            self.limit = (self.limit + (self.limit * GROWTH).max(1.0)).min(MOST);
            return;
        }
        self.slow += 1;
        if self.slow < ROW || peak < FEW {
            return;
        }
        let left = (far / mean).clamp(LEFT.0, LEFT.1);
        let floor = FLOOR.max(2.0 * rate * normal);
        let cut = (self.limit.min(peak) * left).max(floor);
        if cut < self.limit {
            self.trial = Some((self.limit, mean));
            self.limit = cut;
            self.stale = self.in_flight;
        }
    }
}
