//! What the serve loop and the service know of a client's connection, and what they may ask of it.
//!
//! Owns the facts about progress, with the times they were made, and the deadlines that follow.
//! Shared by `ClientIo`, the serve loop and the service of one connection, all on one thread.
//! It has no timer: the serve loop asks.

use crate::casing::Casing;
use crate::framing::{Names, Phase, Refusal};
use leeward_config::policy::Limits;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// A deadline that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// A head began and did not end: answer 408 by [`ClientWatch::refuse`].
    HeaderTimeout,
    /// Nothing is asked and nothing is owed: close without a word.
    Idle,
    /// The client owes more of a body and sends none of it.
    BodyIdle,
    /// The client owes more of a body and sends it too slowly.
    BodyTooSlow,
    /// The client takes nothing of its answer: reset.
    WriteStalled,
}

/// What is asked of the reading side.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Refuse(Refusal),
    Resume,
}

/// The state of one connection, as seen from outside its I/O.
pub(crate) struct ClientWatch {
    refuse_at: Cell<Option<(u64, Refusal)>>,
    body_refused: Cell<Option<Refusal>>,
    order: Cell<Option<Order>>,
    reader: Cell<Option<Waker>>,
    in_flight: Cell<bool>,
    /// Requests that the service was given.
    served: Cell<u64>,
    body_unwanted: Cell<bool>,
    phase: Cell<Phase>,
    heads: Cell<u64>,
    head_since: Cell<Option<Instant>>,
    last_progress: Cell<Instant>,
    /// Since when a read of a body waits for the client.
    body_waiting_since: Cell<Option<Instant>>,
    /// How long reads of this body have waited, the present one not counted.
    body_waited: Cell<Duration>,
    body_bytes: Cell<u64>,
    write_blocked_since: Cell<Option<Instant>>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    /// Of requests that the service has not been given, by their position on the connection.
    names: RefCell<VecDeque<(u64, Rc<Names>)>>,
    casing: Casing,
}

/// For the service and the serve loop.
impl ClientWatch {
    /// The names of the fields of the request at this index, as they were written; `None` where they
    /// are in lower case. Those of earlier requests are forgotten.
    pub(crate) fn names(&self, index: u64) -> Option<Rc<Names>> {
        let mut names = self.names.borrow_mut();
        while names.front().is_some_and(|(at, _)| *at < index) {
            names.pop_front();
        }
        let found = names.pop_front_if(|(at, _)| *at == index);
        found.map(|(_, names)| names)
    }

    /// What is told to the writing side of the names of answers.
    pub(crate) fn casing(&self) -> &Casing {
        &self.casing
    }

    /// What to answer to the request at this index, counted from 0 over the connection: hyper saw
    /// a stand-in for a request that was refused. `None` for every good request.
    pub(crate) fn refused(&self, index: u64) -> Option<Refusal> {
        self.refuse_at
            .get()
            .filter(|&(at, _)| at == index)
            .map(|(_, refusal)| refusal)
    }

    /// Why the body that is being read failed, when its bytes were refused.
    pub(crate) fn body_refused(&self) -> Option<Refusal> {
        self.body_refused.get()
    }

    /// The service has a request (`true`, once for each that hyper gives it, refused ones too), or
    /// is done with it and the body of its answer (`false`).
    pub(crate) fn set_in_flight(&self, in_flight: bool) {
        self.in_flight.set(in_flight);
        if in_flight {
            self.served.set(self.served.get() + 1);
            self.body_unwanted.set(false);
        } else if self.head_since.get().is_some() {
            // Only now is somebody waiting for the next head.
            self.head_since.set(Some(Instant::now()));
        }
    }

    /// The service does not want the rest of the body of the request that it has: the client owes
    /// nothing more.
    pub(crate) fn body_unwanted(&self) {
        self.body_unwanted.set(true);
    }

    /// Refuses what has begun: hyper sees a stand-in for it, so that the refusal is answered in
    /// its turn. In the middle of a body, the body fails instead.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.give(Order::Refuse(refusal));
    }

    /// The upgrade was declined: what the client sent behind it is the next request. Does nothing
    /// unless the request that the service has is the one behind which the client has to wait.
    pub(crate) fn resume(&self) {
        if self.phase.get() == Phase::Paused && self.served.get() == self.heads.get() {
            self.give(Order::Resume);
        }
    }

    /// What the client's side of the connection is in the middle of.
    #[cfg(test)]
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whole heads that have passed.
    #[cfg(test)]
    pub(crate) fn heads(&self) -> u64 {
        self.heads.get()
    }

    /// Bytes received from the client so far, after TLS.
    pub(crate) fn bytes_in(&self) -> u64 {
        self.bytes_in.get()
    }

    /// Bytes sent to the client so far, before TLS.
    pub(crate) fn bytes_out(&self) -> u64 {
        self.bytes_out.get()
    }

    /// The deadline that has passed, if one has.
    pub(crate) fn overdue(&self, now: Instant, limits: &Limits) -> Option<Overdue> {
        self.deadline(limits)
            .filter(|&(at, _)| at <= now)
            .map(|(_, overdue)| overdue)
    }

    /// When to ask [`Self::overdue`] again, at the latest. No deadline can come up before that,
    /// whatever happens meanwhile: there is no need to ask after every event.
    pub(crate) fn next_check(&self, now: Instant, limits: &Limits) -> Instant {
        let Limits {
            header_timeout,
            idle_timeout,
            body_idle,
            write_stall,
            ..
        } = *limits;
        let least = header_timeout
            .min(idle_timeout)
            .min(body_idle)
            .min(write_stall);
        let latest = after(now, least.max(Duration::from_millis(1)));
        self.deadline(limits)
            .map_or(latest, |(at, _)| at.min(latest))
    }

    fn deadline(&self, limits: &Limits) -> Option<(Instant, Overdue)> {
        let write = self.write_blocked_since.get();
        let write = write.map(|since| (after(since, limits.write_stall), Overdue::WriteStalled));
        let read = match self.phase.get() {
            Phase::Body if !self.body_unwanted.get() && self.in_flight.get() => {
                self.body_deadline(limits)
            }
            _ if self.in_flight.get() || write.is_some() => None,
            Phase::Head => self
                .head_since
                .get()
                .map(|at| (after(at, limits.header_timeout), Overdue::HeaderTimeout)),
            _ => Some((
                after(self.last_progress.get(), limits.idle_timeout),
                Overdue::Idle,
            )),
        };
        read.into_iter().chain(write).min_by_key(|&(at, _)| at)
    }

    fn body_deadline(&self, limits: &Limits) -> Option<(Instant, Overdue)> {
        let since = self.body_waiting_since.get();
        let idle = since.map(|since| (after(since, limits.body_idle), Overdue::BodyIdle));
        let slow = self
            .body_bytes
            .get()
            .checked_div(limits.body_min_rate)
            .and_then(|owed| {
                // The time that these bytes may take at the least rate, less what they took.
                let allowed = limits
                    .body_idle
                    .max(Duration::from_secs(owed.saturating_add(1)));
                let left = allowed.saturating_sub(self.body_waited.get());
                match since {
                    Some(since) => Some(after(since, left)),
                    None => left.is_zero().then(|| self.last_progress.get()),
                }
            });
        let slow = slow.map(|at| (at, Overdue::BodyTooSlow));
        idle.into_iter().chain(slow).min_by_key(|&(at, _)| at)
    }

    fn give(&self, order: Order) {
        self.order.set(Some(order));
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// For `ClientIo`.
impl ClientWatch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            refuse_at: Cell::default(),
            body_refused: Cell::default(),
            order: Cell::default(),
            reader: Cell::default(),
            in_flight: Cell::default(),
            served: Cell::default(),
            body_unwanted: Cell::default(),
            phase: Cell::default(),
            heads: Cell::default(),
            head_since: Cell::default(),
            last_progress: Cell::new(now),
            body_waiting_since: Cell::default(),
            body_waited: Cell::default(),
            body_bytes: Cell::default(),
            write_blocked_since: Cell::default(),
            bytes_in: Cell::default(),
            bytes_out: Cell::default(),
            names: RefCell::default(),
            casing: Casing::default(),
        }
    }

    pub(super) fn take_order(&self) -> Option<Order> {
        self.order.take()
    }

    /// A refusal stands at this index from now on.
    pub(super) fn set_refused(&self, index: u64, refusal: Refusal) {
        self.refuse_at.set(Some((index, refusal)));
        self.phase.set(Phase::Refused);
        self.head_since.set(None);
    }

    pub(super) fn set_body_refused(&self, refusal: Refusal) {
        self.body_refused.set(Some(refusal));
        self.phase.set(Phase::Refused);
    }

    /// A read waits for the client, or for an order.
    pub(super) fn read_waits(&self, waker: &Waker) {
        let known = self.reader.take();
        let keep = known.filter(|known| known.will_wake(waker));
        self.reader.set(Some(keep.unwrap_or_else(|| waker.clone())));
        if self.phase.get() == Phase::Body && self.body_waiting_since.get().is_none() {
            self.body_waiting_since.set(Some(Instant::now()));
        }
    }

    /// Bytes came from the client.
    pub(super) fn read_progress(&self, len: usize, now: Instant) {
        self.bytes_in.set(self.bytes_in.get() + len as u64);
        self.body_bytes.set(self.body_bytes.get() + len as u64);
        self.last_progress.set(now);
        if let Some(since) = self.body_waiting_since.take() {
            self.body_waited
                .set(self.body_waited.get() + now.saturating_duration_since(since));
        }
    }

    /// Heads have passed whose names matter.
    pub(super) fn named(&self, passed: impl Iterator<Item = (u64, Rc<Names>)>) {
        self.names.borrow_mut().extend(passed);
    }

    /// What the framer made of them.
    pub(super) fn framed(&self, phase: Phase, heads: u64, len: usize, now: Instant) {
        let new_head = heads != self.heads.replace(heads);
        self.phase.set(phase);
        if new_head {
            self.body_waited.set(Duration::ZERO);
            self.body_bytes.set(len as u64);
        }
        if phase != Phase::Head {
            self.head_since.set(None);
        } else if new_head || self.head_since.get().is_none() {
            self.head_since.set(Some(now));
        }
    }

    /// The client's side took bytes of an answer.
    pub(super) fn write_progress(&self, len: usize) {
        self.bytes_out.set(self.bytes_out.get() + len as u64);
        self.last_progress.set(Instant::now());
        self.write_blocked_since.set(None);
    }

    /// Nothing is left to be written.
    pub(super) fn write_done(&self) {
        self.write_blocked_since.set(None);
    }

    /// A write waits for the client.
    pub(super) fn write_waits(&self) {
        if self.write_blocked_since.get().is_none() {
            self.write_blocked_since.set(Some(Instant::now()));
        }
    }
}

/// A time so long after that it cannot be counted is as good as a year.
fn after(at: Instant, time: Duration) -> Instant {
    at.checked_add(time)
        .unwrap_or(at + Duration::from_secs(365 * 24 * 3600))
}
