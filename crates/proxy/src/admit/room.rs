//! How much an endpoint may be given, over all workers: the number behind its declared capacity, and
//! a rate that was learned from its back-pressure.
//!
//! Made with the endpoint and gone with it.

use leeward_failover::limit::{Pace, Rate, Sent, take};
use leeward_failover::{Class, Time};
use leeward_metrics::{Cells, Gauge};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One endpoint's room, for all workers.
pub(crate) struct Room {
    /// Of its site: what its endpoints take, as learned.
    shown: Gauge,
    /// Whether there is a learned rate. Read by every request, written when one comes or goes.
    is_learned: AtomicBool,
    learned: Mutex<Option<Pace>>,
    due: Due,
}

/// When all that was let in will be worked off; on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Due(AtomicU64);

/// What is known when an endpoint says that it is full.
pub(super) struct Push {
    /// What was sent there lately.
    pub(super) sent: Sent,
    /// Requests per second that it declares.
    pub(super) declared: Option<f64>,
    /// When the request was let in that it refused.
    pub(super) entered: Time,
}

impl Room {
    /// Room without a bound; what is learned is `shown`.
    pub(crate) fn new(shown: Gauge) -> Self {
        Self {
            shown,
            is_learned: AtomicBool::new(false),
            learned: Mutex::new(None),
            due: Due::default(),
        }
    }

    /// Takes one of the requests per second that were declared.
    pub(super) fn take_declared(&self, rate: Rate, class: Class, now: Time) -> bool {
        let step = |due| take(due, rate, class, now).ok();
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.due.0.fetch_update(set, get, step).is_ok()
    }

    /// Takes one of the requests that a learned rate allows; always granted while there is none.
    pub(super) fn take_learned(&self, class: Class, now: Time, cells: &Cells) -> bool {
        if !self.is_learned.load(Ordering::Relaxed) {
            return true;
        }
        let mut learned = self.lock();
        match &mut *learned {
            None => true,
            Some(pace) if pace.is_over(now) => {
                self.unlearn(&mut learned, cells);
                true
            }
            Some(pace) => pace.take(class, now),
        }
    }

    /// The endpoint said that it is full.
    pub(super) fn pushed_back(&self, push: &Push, now: Time, cells: &Cells) {
        let mut learned = self.lock();
        let before = learned.as_ref().map_or(0.0, Pace::top);
        let pace = match &mut *learned {
            Some(pace) => {
                pace.cut(push.entered, now);
                pace
            }
            none => {
                self.is_learned.store(true, Ordering::Relaxed);
                none.insert(Pace::new(push.sent, push.declared, now))
            }
        };
        self.show(before, pace.top(), cells);
    }

    /// Nobody goes there any more.
    pub(crate) fn forget(&self, cells: &Cells) {
        self.unlearn(&mut self.lock(), cells);
    }

    fn unlearn(&self, learned: &mut Option<Pace>, cells: &Cells) {
        if let Some(pace) = learned.take() {
            self.show(pace.top(), 0.0, cells);
            self.is_learned.store(false, Ordering::Relaxed);
        }
    }

    /// A learned rate has changed. Whoever changes it moves the gauge, under the lock.
    fn show(&self, before: f64, after: f64, cells: &Cells) {
        let by = after.round() as i64 - before.round() as i64;
        cells.shift(self.shown, by);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pace>> {
        // Whoever panicked left a rate that is as good as another.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
