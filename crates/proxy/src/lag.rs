//! Whether a worker keeps up with its clients, and whom it turns away when it does not.
//!
//! A worker that gets more than it can do serves everybody late: its queue is in the kernel and in the
//! runtime, where an order stands behind a thousand reads. How late it is it sees by a timer of its own,
//! which stands in the same queue. Owns that measure and what share of which class is shed for it; knows
//! no site and no backend, for those `admit` does the same. Asked by `handler`.

use crate::worker::Worker;
use leeward_failover::Class;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// How often it looks how late it is.
const LOOK: Duration = Duration::from_millis(10);
/// What is judged at once: at least so many looks over at least this time.
const LOOKS: u32 = 3;
const SPAN: Duration = Duration::from_millis(100);
/// A worker that was later than this at every look does not keep up.
const LATE: Duration = Duration::from_millis(50);
/// Judgements in a row before anything is shed: a machine that stands still for a moment is late too.
const PATIENCE: u32 = 3;
/// How much more of one class is shed by a judgement, for each [`LATE`] that the worker is behind, and how
/// much less once it keeps up.
const MORE: f64 = 0.1;
const LESS: f64 = 0.05;
/// All public reads, all private reads and streams, all orders.
const ALL: f64 = 3.0;

/// How far one worker is behind.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    /// Of the looks since the last judgement: how many, over what time, and the least lateness.
    looks: Cell<u32>,
    span: Cell<Duration>,
    least: Cell<Duration>,
    /// Judgements in a row that found it late.
    late: Cell<u32>,
    /// When it means to look next, and how late the last look was.
    due: Cell<Option<Instant>>,
    behind: Cell<Duration>,
    /// What is shed: up to 1 public reads, up to 2 private reads and streams, up to [`ALL`] orders.
    level: Cell<f64>,
}

impl Lag {
    /// It looked, this long after it had meant to.
    pub(crate) fn look(&self, behind: Duration) {
        self.behind.set(behind);
        let looks = self.looks.get() + 1;
        let least = match looks {
            1 => behind,
            _ => self.least.get().min(behind),
        };
        let span = self.span.get() + LOOK + behind;
        if looks < LOOKS || span < SPAN {
            self.looks.set(looks);
            self.span.set(span);
            self.least.set(least);
            return;
        }
        self.looks.set(0);
        self.span.set(Duration::ZERO);
        self.judge(least);
    }

    fn judge(&self, least: Duration) {
        let before = self.level.get();
        if least <= LATE {
            self.late.set(0);
            self.level.set((before - LESS).max(0.0));
        } else {
            self.late.set(self.late.get().saturating_add(1));
            if before > 0.0 || self.late.get() >= PATIENCE {
                let times = (least.as_secs_f64() / LATE.as_secs_f64()).min(3.0);
                self.level.set((before + MORE * times).min(ALL));
            }
        }
        match (before > 0.0, self.level.get() > 0.0) {
            (false, true) => {
                let behind = least.as_millis();
                tracing::warn!(
                    behind_ms = behind,
                    "a worker does not keep up: it sheds, public reads first"
                );
            }
            (true, false) => tracing::info!("a worker keeps up again"),
            _ => {}
        }
    }

    /// Whether the worker does not keep up, or stood still just now: what it measures of others is then
    /// its own lateness as well.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        let due = self.due.get();
        // A look that has not come yet is as late as the answers that were read before it.
        let overdue = due.map(|due| now.saturating_duration_since(due));
        self.behind.get().max(overdue.unwrap_or_default()) > LOOK
            || self.late.get() > 0
            || self.level.get() > 0.0
    }

    /// Whether a request of this class is shed; `draw` gives a number from 0 to below 1.
    pub(crate) fn sheds(&self, class: Class, draw: impl FnOnce() -> f64) -> bool {
        let level = self.level.get();
        if level <= 0.0 {
            return false;
        }
        let kept = match class {
            Class::PublicRead => 0.0,
            Class::PrivateRead | Class::Stream | Class::Tcp => 1.0,
            Class::Order => 2.0,
            Class::Cancel => return false,
        };
        level > kept && draw() < level - kept
    }
}

/// Looks how late the worker is; never ends.
pub(crate) async fn watch(worker: Rc<Worker>) {
    loop {
        let due = Instant::now() + LOOK;
        worker.lag.due.set(Some(due));
        sleep_until(due.into()).await;
        worker.lag.look(due.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON_TIME: Duration = Duration::from_millis(2);
    const BEHIND: Duration = Duration::from_millis(80);

    fn look(lag: &Lag, behind: Duration, times: u32) {
        (0..times).for_each(|_| lag.look(behind));
    }

    /// What share of a class is shed.
    fn shed(lag: &Lag, class: Class) -> f64 {
        let share = |part: u32| f64::from(part) / 1000.0;
        let shed = (0..1000).filter(|part| lag.sheds(class, || share(*part)));
        share(u32::try_from(shed.count()).unwrap())
    }

    #[test]
    fn a_worker_that_keeps_up_sheds_nothing() {
        let lag = Lag::default();
        look(&lag, ON_TIME, 10_000);
        assert_eq!(shed(&lag, Class::PublicRead), 0.0);
    }

    #[test]
    fn a_machine_that_stands_still_now_and_then_sheds_nothing() {
        let lag = Lag::default();
        for _ in 0..100 {
            look(&lag, Duration::from_secs(3), 2);
            look(&lag, ON_TIME, 1);
            look(&lag, BEHIND, 6);
            look(&lag, ON_TIME, 12);
        }
        assert_eq!(shed(&lag, Class::PublicRead), 0.0);
    }

    #[test]
    fn a_worker_that_stays_behind_sheds_public_reads_first_and_cancels_never() {
        let lag = Lag::default();
        look(&lag, BEHIND, LOOKS * PATIENCE);
        let first = shed(&lag, Class::PublicRead);
        assert!(first > 0.0 && first < 0.5, "{first}");
        assert_eq!(shed(&lag, Class::PrivateRead), 0.0);
        let mut seen = [0.0; 3];
        for _ in 0..200 {
            look(&lag, BEHIND, LOOKS);
            let now = [Class::PublicRead, Class::PrivateRead, Class::Order]
                .map(|class| shed(&lag, class));
            for (class, (was, is)) in seen.iter().zip(now).enumerate() {
                assert!(
                    is >= *was,
                    "class {class} is shed less though it got no better"
                );
                let earlier = &now[..class];
                assert!(
                    is == 0.0 || earlier.iter().all(|share| *share == 1.0),
                    "{now:?}"
                );
            }
            seen = now;
            assert_eq!(shed(&lag, Class::Cancel), 0.0);
        }
        assert_eq!(seen, [1.0; 3]);
        assert_eq!(shed(&lag, Class::Stream), 1.0);
    }

    #[test]
    fn a_worker_that_keeps_up_again_takes_everybody_back() {
        let lag = Lag::default();
        look(&lag, BEHIND, 30);
        assert!(shed(&lag, Class::PublicRead) > 0.0);
        look(&lag, ON_TIME, 2000);
        assert_eq!(shed(&lag, Class::PublicRead), 0.0);
    }

    #[test]
    fn a_worker_knows_that_it_is_late_before_it_looks_and_until_it_was_on_time_again() {
        let (lag, due) = (Lag::default(), Instant::now());
        assert!(!lag.is_late(due), "it has just begun");
        lag.due.set(Some(due));
        assert!(!lag.is_late(due + ON_TIME));
        assert!(lag.is_late(due + BEHIND), "the look is still to come");
        lag.look(BEHIND);
        lag.due.set(Some(due + BEHIND + LOOK));
        assert!(
            lag.is_late(due + BEHIND),
            "what it reads now was late as well"
        );
        lag.look(ON_TIME);
        assert!(!lag.is_late(due + BEHIND + LOOK));
        // It sheds: that it was on time once says nothing.
        look(&lag, BEHIND, LOOKS * PATIENCE);
        lag.behind.set(ON_TIME);
        assert!(lag.is_late(due));
    }
}
