//! Requests that wait for an endpoint's answer, and the look at those that wait too long.
//!
//! Each attempt is noted while it waits. Now and then the worker looks at the endpoints at which any
//! does: where requests are overdue and nothing was answered since they were sent, the engine is
//! told, with what the kernel knows of their paths. Orders are looked at for themselves as well: an
//! endpoint may answer reads and no order. It judges nothing: what a silence means is the
//! engine's to say.

use crate::control::ControlMessage;
use crate::upstream::Upstream;
use crate::upstream_io::Wire;
use crate::worker::Worker;
use leeward_failover::{Class, Input, Overdue};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Time between two looks while anything waits.
const LOOK: Duration = Duration::from_millis(20);
/// A look that comes later than this was late because the worker itself stood still: answers may lie
/// unread, and nobody else is to blame.
const STOOD_STILL: Duration = Duration::from_millis(20);
/// A silence that has not changed is told again after this long.
const TELL_AGAIN: Duration = Duration::from_millis(60);
/// Endpoints that one look tells of at most.
const MOST_TOLD: usize = 256;
/// Paths of one endpoint that one look asks the kernel about at most.
const MOST_PATHS: usize = 8;
/// What was sent and is not acknowledged after this long, or four round trips, does not arrive: no
/// kernel delays its acknowledgements for longer.
const UNHEARD: Duration = Duration::from_millis(100);
/// Attempts that were given up are remembered for so long, and so many of one endpoint.
const GIVEN_UP_FOR: Duration = Duration::from_millis(500);
const MOST_GIVEN_UP: usize = 64;
/// A connection that does not come about in this long counts as a dead path: its SYN is lost.
const UNCONNECTED: Duration = Duration::from_millis(250);

/// The attempts that wait at one endpoint, as one worker knows them.
pub(crate) struct Waiting {
    slots: RefCell<Vec<Option<Slot>>>,
    free: RefCell<Vec<usize>>,
    /// Attempts that were given up because another one beside them was answered: nobody waits for
    /// them any more, but they were not answered either.
    given_up: RefCell<VecDeque<Slot>>,
    /// When the endpoint last answered anything.
    answered: Cell<Instant>,
    /// The worker looks at it.
    looked_at: Cell<bool>,
    /// What was last told of it, and when.
    told: Cell<Told>,
    /// The same of its orders alone.
    order_answered: Cell<Instant>,
    orders_told: Cell<Told>,
}

/// What was last told of an endpoint, and when.
type Told = Option<(Overdue, Instant)>;

/// One attempt that waits.
struct Slot {
    since: Instant,
    class: Class,
    /// From when on it is overdue; `None` while nothing is known of its route.
    overdue: Option<Instant>,
    /// `None` until it has a connection.
    path: Option<Path>,
}

/// The connection of an attempt.
#[derive(Clone)]
struct Path {
    wire: Rc<Wire>,
    /// How many bytes it had taken before.
    written: u64,
    /// It is nobody else's.
    exclusive: bool,
}

impl Waiting {
    pub(crate) fn new() -> Self {
        Self {
            slots: RefCell::default(),
            free: RefCell::default(),
            given_up: RefCell::default(),
            answered: Cell::new(Instant::now()),
            looked_at: Cell::new(false),
            told: Cell::new(None),
            order_answered: Cell::new(Instant::now()),
            orders_told: Cell::new(None),
        }
    }

    /// An attempt begins to wait; the number is to be given back.
    fn enter(&self, since: Instant, patience: Option<Duration>, class: Class) -> usize {
        let slot = Slot {
            since,
            class,
            overdue: patience.map(|patience| since + patience),
            path: None,
        };
        let mut slots = self.slots.borrow_mut();
        match self.free.borrow_mut().pop() {
            Some(number) => {
                slots[number] = Some(slot);
                number
            }
            None => {
                slots.push(Some(slot));
                slots.len() - 1
            }
        }
    }

    /// The attempt goes over this connection.
    fn sends(&self, number: usize, wire: &Rc<Wire>, exclusive: bool) {
        if let Some(slot) = &mut self.slots.borrow_mut()[number] {
            slot.path = Some(Path {
                wire: wire.clone(),
                written: wire.written(),
                exclusive,
            });
        }
    }

    /// The attempt has ended. It may have been answered.
    fn leave(&self, number: usize) {
        self.slots.borrow_mut()[number] = None;
        self.free.borrow_mut().push(number);
    }

    /// The endpoint answered something, or an order. True where it was told to be silent.
    pub(crate) fn answered(&self, now: Instant, order: bool) -> bool {
        self.answered.set(now);
        self.given_up
            .borrow_mut()
            .drain(..)
            .for_each(|slot| slot.end());
        let told_of_orders = order && {
            self.order_answered.set(now);
            self.orders_told.take().is_some()
        };
        self.told.take().is_some() || told_of_orders
    }

    /// The attempt that began at `since` or just after it is given up because another one beside it
    /// was answered. To be told while it still waits: what the kernel knows of its path goes on to
    /// count.
    pub(crate) fn give_up(&self, since: Instant, patience: Duration) {
        if since < self.answered.get() {
            return;
        }
        let slots = self.slots.borrow();
        let began = slots.iter().flatten().filter(|slot| slot.since >= since);
        let slot = began.min_by_key(|slot| slot.since);
        let path = slot.and_then(|slot| slot.path.clone());
        if let Some(path) = path.iter().find(|path| path.exclusive) {
            path.wire.linger();
        }
        let mut given_up = self.given_up.borrow_mut();
        if given_up.len() >= MOST_GIVEN_UP
            && let Some(oldest) = given_up.pop_front()
        {
            oldest.end();
        }
        given_up.push_back(Slot {
            since,
            class: Class::PublicRead,
            overdue: Some(since + patience),
            path,
        });
    }

    fn is_empty(&self, now: Instant) -> bool {
        let mut given_up = self.given_up.borrow_mut();
        given_up.retain(|slot| {
            let was_answered = slot.was_answered();
            if was_answered {
                slot.end();
                // It says nothing of what was sent after it.
                self.answered.set(self.answered.get().max(slot.since));
            }
            !was_answered
        });
        let old = |slot: &Slot| now.saturating_duration_since(slot.since) >= GIVEN_UP_FOR;
        while given_up.front().is_some_and(old) {
            given_up.pop_front().into_iter().for_each(|slot| slot.end());
        }
        given_up.is_empty() && self.slots.borrow().len() == self.free.borrow().len()
    }

    /// What is to be told of it now, and of its orders alone, if anything.
    fn look(&self, now: Instant) -> [Option<Overdue>; 2] {
        [
            news(&self.told, self.overdue(now), now),
            news(&self.orders_told, self.orders_overdue(now), now),
        ]
    }

    /// The orders that are overdue and were sent after the last answer to one.
    fn orders_overdue(&self, now: Instant) -> Option<Overdue> {
        let mut found = Overdue::default();
        let slots = self.slots.borrow();
        let orders = slots
            .iter()
            .flatten()
            .filter(|slot| slot.class == Class::Order);
        let unanswered = orders.filter(|slot| slot.since >= self.order_answered.get());
        for slot in unanswered.filter(|slot| slot.overdue.is_some_and(|at| at <= now)) {
            found.requests += 1;
            let age = now.saturating_duration_since(slot.since);
            found.oldest = found.oldest.max(age);
        }
        (found.requests > 0).then_some(found)
    }

    /// The requests that are overdue and were sent after the last answer.
    fn overdue(&self, now: Instant) -> Option<Overdue> {
        let mut found = Overdue::default();
        let mut asked = 0;
        let (slots, given_up) = (self.slots.borrow(), self.given_up.borrow());
        let waits = slots.iter().flatten().map(|slot| (slot, true));
        // What was given up while it connected connects no more.
        let gone = given_up.iter().map(|slot| (slot, slot.path.is_some()));
        let unanswered = waits.chain(gone);
        for (slot, told) in unanswered.filter(|(slot, _)| slot.since >= self.answered.get()) {
            let age = now.saturating_duration_since(slot.since);
            let is_overdue = slot.overdue.is_some_and(|at| at <= now);
            let asks = told && asked < MOST_PATHS && age >= UNHEARD;
            asked += usize::from(asks);
            let dead = asks && slot.is_dead(age);
            if is_overdue || dead {
                found.requests += 1;
                found.orders += u32::from(slot.class.goes_to_writer());
                found.dead_paths += u32::from(dead);
                found.oldest = found.oldest.max(age);
            }
        }
        (found.requests > 0).then_some(found)
    }
}

/// What is told of it, where it is news.
fn news(told: &Cell<Told>, overdue: Option<Overdue>, now: Instant) -> Option<Overdue> {
    let overdue = overdue?;
    let again = told.get().is_none_or(|(told, at)| {
        let worse = overdue.requests >= told.requests * 2 || overdue.dead_paths > told.dead_paths;
        worse || now.duration_since(at) >= TELL_AGAIN
    });
    again.then(|| {
        told.set(Some((overdue, now)));
        overdue
    })
}

impl Slot {
    /// Nobody looks at it any more.
    fn end(&self) {
        if let Some(path) = self.path.iter().find(|path| path.exclusive) {
            path.wire.end_lingering();
        }
    }

    /// Whether an answer came though nobody waited for it any more. Where a connection is shared,
    /// nobody can tell.
    fn was_answered(&self) -> bool {
        let mut path = self.path.iter().filter(|path| path.exclusive);
        path.any(|path| path.wire.has_unread())
    }

    /// Whether what it sent does not arrive, as far as the kernel knows.
    fn is_dead(&self, age: Duration) -> bool {
        let Some(Path { wire, written, .. }) = &self.path else {
            return age >= UNCONNECTED;
        };
        let Some(path) = wire.path() else {
            return false;
        };
        // The SYN is acknowledged like a byte.
        let unheard = wire.written() > *written && path.acknowledged <= *written + 1;
        path.is_dead() || unheard && age >= UNHEARD.max(path.rtt * 4)
    }
}

/// An attempt that waits, for as long as this lives.
pub(crate) struct Wait<'a> {
    upstream: &'a Upstream,
    number: usize,
}

impl<'a> Wait<'a> {
    /// An attempt at `upstream` begins to wait at `since`; it is overdue after `patience`.
    pub(crate) fn begin(
        worker: &Worker,
        upstream: &'a Rc<Upstream>,
        since: Instant,
        patience: Option<Duration>,
        class: Class,
    ) -> Self {
        let number = upstream.waiting.enter(since, patience, class);
        worker.watched.watch(upstream);
        Self { upstream, number }
    }

    /// It goes over this connection.
    pub(crate) fn sends(&self, wire: &Rc<Wire>, exclusive: bool) {
        self.upstream.waiting.sends(self.number, wire, exclusive);
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.upstream.waiting.leave(self.number);
    }
}

/// The endpoints at which anything waits, as one worker knows them.
#[derive(Default)]
pub(crate) struct Watched {
    upstreams: RefCell<Vec<Rc<Upstream>>>,
    came: Notify,
}

impl Watched {
    /// Something waits at an endpoint.
    pub(crate) fn watch(&self, upstream: &Rc<Upstream>) {
        if upstream.waiting.looked_at.replace(true) {
            return;
        }
        let mut upstreams = self.upstreams.borrow_mut();
        upstreams.push(upstream.clone());
        if upstreams.len() == 1 {
            self.came.notify_one();
        }
    }

    fn look(&self, now: Instant) -> Vec<Input> {
        let mut silent = Vec::new();
        self.upstreams.borrow_mut().retain(|upstream| {
            let waiting = &upstream.waiting;
            if waiting.is_empty(now) {
                waiting.looked_at.set(false);
                return false;
            }
            if silent.len() < MOST_TOLD {
                let endpoint = upstream.io.id;
                let [all, orders] = waiting.look(now);
                silent.extend(all.map(|overdue| Input::Silence { endpoint, overdue }));
                silent.extend(orders.map(|overdue| Input::OrdersWait { endpoint, overdue }));
            }
            true
        });
        silent
    }
}

/// Looks for as long as the worker lives, whenever anything waits.
pub(crate) async fn look(worker: Rc<Worker>) {
    let watched = &worker.watched;
    loop {
        if watched.upstreams.borrow().is_empty() {
            watched.came.notified().await;
        }
        let due = Instant::now() + LOOK;
        tokio::time::sleep_until(due.into()).await;
        let now = Instant::now();
        if now.saturating_duration_since(due) >= STOOD_STILL {
            continue;
        }
        let silent = watched.look(now);
        if !silent.is_empty() {
            // A control task that is behind hears of it with the next look.
            let _ = worker
                .shared
                .control
                .try_send(ControlMessage::Silence(silent));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    const PATIENCE: Duration = Duration::from_millis(50);

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Three requests, sent 10 ms after each other; the first moment.
    fn three() -> (Waiting, Instant) {
        let waiting = Waiting::new();
        let start = Instant::now();
        for n in 0..3 {
            waiting.enter(start + ms(n * 10), Some(PATIENCE), Class::PublicRead);
        }
        (waiting, start)
    }

    #[test]
    fn requests_are_overdue_one_by_one() {
        let (waiting, start) = three();
        assert_eq!(waiting.overdue(start + ms(49)), None);
        let overdue = waiting.overdue(start + ms(60)).unwrap();
        assert_eq!((overdue.requests, overdue.oldest), (2, ms(60)));
    }

    #[test]
    fn an_answer_excuses_what_was_sent_before_it() {
        let (waiting, start) = three();
        assert!(!waiting.answered(start + ms(15), false));
        let overdue = waiting.overdue(start + ms(100)).unwrap();
        assert_eq!((overdue.requests, overdue.oldest), (1, ms(80)));
        waiting.answered(start + ms(101), false);
        assert_eq!(waiting.overdue(start + ms(200)), None);
    }

    #[test]
    fn a_silence_is_told_at_once_when_it_grows_and_now_and_then_when_not() {
        let (waiting, start) = three();
        assert!(waiting.look(start + ms(50))[0].is_some());
        assert!(waiting.look(start + ms(55))[0].is_none());
        assert!(waiting.look(start + ms(60))[0].is_some(), "it has doubled");
        assert!(waiting.look(start + ms(70))[0].is_none());
        assert!(waiting.look(start + ms(125))[0].is_some());
        assert!(waiting.answered(start + ms(126), false), "it was told");
    }

    #[test]
    fn a_connection_that_does_not_come_about_is_a_dead_path() {
        let waiting = Waiting::new();
        let start = Instant::now();
        waiting.enter(start, None, Class::PublicRead);
        assert_eq!(waiting.overdue(start + ms(240)), None);
        let overdue = waiting.overdue(start + ms(250)).unwrap();
        assert_eq!((overdue.requests, overdue.dead_paths), (1, 1));
    }

    #[test]
    fn what_was_given_up_for_another_answer_still_speaks_of_silence() {
        let waiting = Waiting::new();
        let start = Instant::now();
        waiting.give_up(start, PATIENCE);
        waiting.give_up(start + ms(5), PATIENCE);
        assert_eq!(waiting.overdue(start + ms(40)), None);
        assert_eq!(waiting.overdue(start + ms(60)).map(|o| o.requests), Some(2));
        assert!(!waiting.is_empty(start + ms(400)));
        assert!(waiting.is_empty(start + ms(600)));
        waiting.answered(start + ms(700), false);
        waiting.give_up(start + ms(650), PATIENCE);
        assert_eq!(
            waiting.overdue(start + ms(900)),
            None,
            "it was answered since"
        );
    }

    #[tokio::test]
    async fn what_was_given_up_and_is_answered_later_was_no_silence() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await;
        let (mut far, _) = listener.accept().await.unwrap();
        let wire = Wire::new(near.unwrap());
        let waiting = Waiting::new();
        let start = Instant::now();
        for sent in [start, start + ms(5)] {
            waiting.enter(sent, None, Class::PublicRead);
        }
        waiting.sends(1, &wire, true);
        waiting.give_up(start + ms(5), PATIENCE);
        waiting.leave(1);
        assert!(waiting.overdue(start + ms(60)).is_some(), "nothing came");
        far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while !wire.has_unread() {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_empty(start + ms(60)), "another one waits");
        assert_eq!(waiting.overdue(start + ms(300)), None);
        assert!(wire.path().is_none(), "its connection is ended");
    }

    #[test]
    fn orders_that_wait_are_told_of_though_reads_are_answered() {
        let waiting = Waiting::new();
        let start = Instant::now() + ms(1);
        waiting.enter(start, Some(PATIENCE), Class::Order);
        waiting.enter(start, Some(PATIENCE), Class::PublicRead);
        waiting.answered(start + ms(40), false);
        let [all, orders] = waiting.look(start + ms(60));
        assert_eq!((all, orders.map(|o| o.requests)), (None, Some(1)));
        assert!(waiting.answered(start + ms(61), true), "it was told");
        assert_eq!(waiting.look(start + ms(200)), [None, None]);
    }

    #[test]
    fn orders_and_cancels_among_those_that_wait_are_counted() {
        let waiting = Waiting::new();
        let start = Instant::now() + ms(1);
        for class in [Class::Order, Class::Cancel, Class::PrivateRead] {
            waiting.enter(start, Some(PATIENCE), class);
        }
        let told = waiting.overdue(start + ms(60)).unwrap();
        assert_eq!((told.requests, told.orders), (3, 2));
    }

    #[test]
    fn slots_are_used_again() {
        let (waiting, start) = three();
        waiting.leave(1);
        assert_eq!(waiting.enter(start, None, Class::PublicRead), 1);
        (0..3).for_each(|number| waiting.leave(number));
        assert!(waiting.is_empty(start));
    }
}
