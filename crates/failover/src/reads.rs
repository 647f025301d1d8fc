//! What reads meet at an endpoint whose orders are judged: whether the place as such is well.
//!
//! `order_path` asks it before it says that it is the orders alone.

use crate::input::{Outcome, Tally};
use crate::policy::HealthParams;
use crate::time::Time;
use crate::window::{Counts, Window};

/// How much longer the long windows are.
pub(crate) const LONG: u32 = 15;
/// Reads that are enough to vouch for a place.
const VOUCHERS: u32 = 5;
/// Share of reads that fail above which they do not vouch for a place.
const DOUBTFUL: f64 = 0.125;

/// What reads meet at the same endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    window: Window,
    long: Window,
    /// The last batch that had any had none that succeeded.
    failing: bool,
    succeeded_at: Time,
    /// When a probe passed that speaks for the place where it sees too few reads.
    pub stands_in: Option<Time>,
}

impl Reads {
    pub(crate) fn new(health: &HealthParams) -> Reads {
        Reads {
            window: Window::new(health.window),
            long: Window::new(health.window * LONG),
            failing: false,
            succeeded_at: Time::ZERO,
            stands_in: None,
        }
    }

    /// What was counted under other windows says nothing under these.
    pub(crate) fn resize(&mut self, health: &HealthParams) {
        self.window.resize(health.window);
        self.long.resize(health.window * LONG);
    }

    /// Takes in what requests met: what is left without the orders.
    pub(crate) fn record(&mut self, tally: &Tally, now: Time) {
        let of = |outcome: Outcome| {
            let all = tally.count(outcome);
            all.saturating_sub(tally.orders.count(outcome))
        };
        let succeeded = of(Outcome::Success);
        let failures = Outcome::ALL.into_iter().filter(|o| o.is_failure());
        let failed = failures.fold(0_u32, |sum, outcome| sum.saturating_add(of(outcome)));
        if succeeded > 0 {
            (self.failing, self.succeeded_at) = (false, now);
        } else if failed > 0 {
            self.failing = true;
        }
        let counts = Counts {
            all: succeeded.saturating_add(failed),
            failed,
            late: 0,
        };
        if counts.all > 0 {
            self.window.add(counts, now);
            self.long.add(counts, now);
        }
    }

    /// Whether any succeeded since then.
    pub(crate) fn succeeded_since(&self, then: Time) -> bool {
        let at = self.succeeded_at.max(self.stands_in.unwrap_or(Time::ZERO));
        at >= then
    }

    /// Whether so many succeed that the place as such is well.
    pub(crate) fn vouch(&mut self, now: Time) -> bool {
        let (recent, long) = (self.window.sum(now), self.long.sum(now));
        !self.failing
            && (long.all >= VOUCHERS || self.stands_in.is_some())
            && recent.ratio() < DOUBTFUL
            && long.ratio() < DOUBTFUL
    }

    /// What the short window holds: the evidence.
    pub(crate) fn lately(&mut self, now: Time) -> Counts {
        self.window.sum(now)
    }
}
