//! One timer for all that waits on one worker: what a request waits for is nearly always over before
//! its time is, and a timer of the runtime costs a request more than choosing its backend.
//!
//! Owns when whoever waits is woken: at the time asked for, or within a millisecond behind it. What is
//! not waited for any more is thrown out with others of its kind. Used by `turn` and `attempt`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Ticks (milliseconds) that have a slot of their own; what is farther away is looked at once a round.
const SLOTS: u64 = 2048;
/// Bells that nobody waits for are thrown out once there are more of them than this, and than of others:
/// so the ring holds no more than is waited for, twice over, however far away its times are.
const MOST_GONE: usize = 1024;

/// The alarms of one worker.
pub(crate) struct Alarms {
    began: Instant,
    /// By tick.
    ring: RefCell<Vec<Vec<Rc<Bell>>>>,
    /// In the ring.
    set: Cell<usize>,
    /// Nobody waits for so many of them.
    gone: Cell<usize>,
    /// The last tick whose bells were rung.
    rung: Cell<u64>,
    /// The tick that is slept for.
    next: Cell<u64>,
    /// There is an earlier one than that.
    earlier: Notify,
}

struct Bell {
    tick: u64,
    rung: Cell<bool>,
    /// `None` once nobody waits.
    waker: Cell<Option<Waker>>,
}

impl Alarms {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            ring: RefCell::new((0..SLOTS).map(|_| Vec::new()).collect()),
            set: Cell::new(0),
            gone: Cell::new(0),
            rung: Cell::new(0),
            next: Cell::new(u64::MAX),
            earlier: Notify::new(),
        }
    }

    /// What comes of `future` until `due`; `None` when that is over first. Before it has been waited
    /// for no time is over.
    pub(crate) async fn within<F: Future>(&self, due: Instant, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut alarm = Alarm {
            alarms: self,
            due,
            bell: None,
        };
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Pin::new(&mut alarm).poll(cx).map(|()| None),
        })
        .await
    }

    /// Rings; never ends.
    pub(crate) async fn run(&self) {
        loop {
            let next = self.upcoming();
            self.next.set(next);
            let due = self.began.checked_add(Duration::from_millis(next));
            let Some(due) = due.filter(|_| next < u64::MAX) else {
                self.earlier.notified().await;
                continue;
            };
            tokio::select! {
                () = sleep_until(due) => self.ring(self.tick(Instant::now())),
                () = self.earlier.notified() => {}
            }
        }
    }

    /// The tick that a time is in.
    fn tick(&self, at: Instant) -> u64 {
        let ticks = at.saturating_duration_since(self.began).as_millis();
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// The next tick with a bell in its slot; it may be one of a later round.
    fn upcoming(&self) -> u64 {
        let ring = self.ring.borrow();
        let from = self.rung.get() + 1;
        let mut ticks = from..from + SLOTS;
        let taken = |tick: &u64| !ring[slot(*tick)].is_empty();
        ticks.find(taken).unwrap_or(u64::MAX)
    }

    fn set(&self, due: Instant, waker: Waker) -> Rc<Bell> {
        if self.set.get() == 0 {
            // Nobody counted the ticks while there was nothing to ring.
            self.rung.set(self.tick(Instant::now()));
        }
        let tick = (self.tick(due) + 1).max(self.rung.get() + 1);
        let bell = Rc::new(Bell {
            tick,
            rung: Cell::new(false),
            waker: Cell::new(Some(waker)),
        });
        self.ring.borrow_mut()[slot(tick)].push(bell.clone());
        self.set.set(self.set.get() + 1);
        if tick < self.next.get() {
            self.next.set(tick);
            self.earlier.notify_one();
        }
        bell
    }

    /// Rings everything up to this tick.
    fn ring(&self, now: u64) {
        let from = self.rung.get() + 1;
        for tick in from..=now.min(from + SLOTS - 1) {
            let bells = std::mem::take(&mut self.ring.borrow_mut()[slot(tick)]);
            let all = bells.len();
            let mut kept = Vec::new();
            for bell in bells {
                let Some(waker) = bell.waker.take() else {
                    self.gone.set(self.gone.get() - 1);
                    continue;
                };
                if bell.tick > now {
                    bell.waker.set(Some(waker));
                    kept.push(bell);
                } else {
                    bell.rung.set(true);
                    waker.wake();
                }
            }
            self.set.set(self.set.get() + kept.len() - all);
            self.ring.borrow_mut()[slot(tick)].append(&mut kept);
        }
        self.rung.set(now.max(self.rung.get()));
    }

    /// Nobody waits for this one any more.
    fn leave(&self, bell: &Bell) {
        // One that has been rung is in the ring no more.
        if bell.waker.take().is_none() || bell.rung.get() {
            return;
        }
        let gone = self.gone.get() + 1;
        self.gone.set(gone);
        if gone > MOST_GONE && gone * 2 > self.set.get() {
            self.throw_out();
        }
    }

    /// Throws out every bell that nobody waits for.
    fn throw_out(&self) {
        for bells in self.ring.borrow_mut().iter_mut() {
            if bells.is_empty() {
                continue;
            }
            let before = bells.len();
            bells.retain(|bell| {
                let waker = bell.waker.take();
                let waits = waker.is_some();
                bell.waker.set(waker);
                waits
            });
            self.set.set(self.set.get() - (before - bells.len()));
            bells.shrink_to_fit();
        }
        self.gone.set(0);
    }
}

fn slot(tick: u64) -> usize {
    usize::try_from(tick % SLOTS).unwrap_or_default()
}

/// Ready at its time.
struct Alarm<'a> {
    alarms: &'a Alarms,
    due: Instant,
    bell: Option<Rc<Bell>>,
}

impl Future for Alarm<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &self.bell {
            None => self.bell = Some(self.alarms.set(self.due, cx.waker().clone())),
            Some(bell) if bell.rung.get() => return Poll::Ready(()),
            Some(bell) => {
                let known = bell.waker.take();
                let known = known.filter(|waker| waker.will_wake(cx.waker()));
                bell.waker
                    .set(Some(known.unwrap_or_else(|| cx.waker().clone())));
            }
        }
        Poll::Pending
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if let Some(bell) = &self.bell {
            self.alarms.leave(bell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    const TICK: Duration = Duration::from_millis(1);

    /// Runs `test` beside the ringing, in simulated time.
    fn ringing<F: Future<Output = ()>>(test: impl FnOnce(Rc<Alarms>) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let alarms = Rc::new(Alarms::new());
            tokio::select! {
                () = alarms.run() => {}
                () = test(alarms.clone()) => {}
            }
        });
    }

    /// How long after its time a wait of so many microseconds ended.
    async fn late(alarms: &Alarms, micros: u64) -> Duration {
        let due = Instant::now() + Duration::from_micros(micros);
        assert!(alarms.within(due, pending::<()>()).await.is_none());
        Instant::now()
            .checked_duration_since(due)
            .expect("no wait may end early")
    }

    #[test]
    fn a_wait_ends_at_its_time_or_within_two_ticks_behind_it() {
        ringing(|alarms| async move {
            for micros in [
                0, 1, 999, 1000, 1500, 40_000, 2_047_000, 2_048_000, 7_000_100,
            ] {
                let late = late(&alarms, micros).await;
                assert!(late <= TICK * 2, "{micros}: {late:?} late");
            }
        });
    }

    #[test]
    fn a_wait_ends_at_its_time_after_years() {
        ringing(|alarms| async move {
            late(&alarms, 3000).await;
            tokio::time::advance(Duration::from_secs(1_000_000_000)).await;
            let late = late(&alarms, 3000).await;
            assert!(late <= TICK * 2, "{late:?} late");
        });
    }

    #[test]
    fn what_ends_in_time_is_what_came_of_it() {
        ringing(|alarms| async move {
            let due = Instant::now() + Duration::from_millis(20);
            let soon = tokio::time::sleep(Duration::from_millis(5));
            assert_eq!(alarms.within(due, soon).await, Some(()));
            assert_eq!(alarms.within(due, async { 7 }).await, Some(7));
        });
    }

    #[test]
    fn waits_end_in_the_order_of_their_times_whichever_was_begun_first() {
        ringing(|alarms| async move {
            let ended = RefCell::new(Vec::new());
            let wait = async |millis: u64| {
                late(&alarms, millis * 1000).await;
                ended.borrow_mut().push(millis);
            };
            tokio::join!(wait(5000), wait(30), wait(2), wait(2100), wait(1), wait(30));
            assert_eq!(ended.into_inner(), [1, 2, 30, 30, 2100, 5000]);
        });
    }

    #[test]
    fn what_nobody_waits_for_leaves_nothing_behind() {
        ringing(|alarms| async move {
            let start = Instant::now();
            for _ in 0..1000 {
                let due = Instant::now() + Duration::from_millis(50);
                let soon = tokio::time::sleep(Duration::from_millis(1));
                alarms.within(due, soon).await;
            }
            assert!(alarms.set.get() <= 60, "{} are left", alarms.set.get());
            late(&alarms, 100_000).await;
            assert_eq!(alarms.set.get(), 0);
            assert!(start.elapsed() < Duration::from_secs(5));
        });
    }

    #[test]
    fn what_nobody_waits_for_does_not_pile_up_however_far_away_its_time_is() {
        ringing(|alarms| async move {
            let hour = Instant::now() + Duration::from_secs(3600);
            let soon = Instant::now() + Duration::from_millis(20);
            let mut waits = Box::pin(alarms.within(soon, pending::<()>()));
            let mut context = Context::from_waker(Waker::noop());
            assert!(waits.as_mut().poll(&mut context).is_pending());
            for _ in 0..20_000 {
                let mut left = Box::pin(alarms.within(hour, pending::<()>()));
                assert!(left.as_mut().poll(&mut context).is_pending());
            }
            let held: usize = alarms.ring.borrow().iter().map(Vec::len).sum();
            assert!(held <= 2 * MOST_GONE + 2, "{held} are held");
            assert_eq!(held, alarms.set.get());
            assert!(waits.await.is_none(), "who waits is woken all the same");
        });
    }

    #[test]
    fn whoever_polls_last_is_woken() {
        ringing(|alarms| async move {
            let due = Instant::now() + Duration::from_millis(10);
            let mut wait = Box::pin(alarms.within(due, pending::<()>()));
            let mut never = Context::from_waker(Waker::noop());
            assert!(wait.as_mut().poll(&mut never).is_pending());
            assert!(wait.await.is_none());
        });
    }
}
