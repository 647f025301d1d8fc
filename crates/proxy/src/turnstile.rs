//! Who goes first when a worker has more to do than it can: reads and TLS handshakes begin a few a turn of
//! its loop, orders and cancels at once.
//!
//! A thousand reads that come together would otherwise all begin before the first of them is answered:
//! an order behind them waits for all of it, and what so many requests hold at once is in no cache any
//! more, so that each of them costs more. It is the same with handshakes, and a provider that fails
//! sends leeward as many as it had streams. Owns how many of them begin in a turn and the lines of those
//! that wait for theirs, private reads before public ones; a read that has waited for too long is to be
//! shed. A line is no longer than the connections and streams that there may be. A worker that keeps up
//! never comes to that. Asked by `handler` and `listener`; how late the loop itself is, `lag` watches.

use leeward_failover::Class;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// Reads that begin in one turn of the loop: one or two milliseconds of work.
const READS_A_TURN: u32 = 32;
/// Handshakes: about as much.
const HANDSHAKES_A_TURN: u32 = 8;
/// A read that has waited for its turn this long is shed; or for this part of its deadline, since what is
/// left has to be enough for a backend.
const LONGEST: Duration = Duration::from_secs(1);
const PART: u32 = 2;
/// No time at all: how long a handshake takes is bounded by its listener.
const FOR_EVER: Duration = Duration::from_secs(86_400);

/// What waits, each in a line of its own; of reads the first line goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    PrivateReads,
    PublicReads,
    Handshakes,
}

impl Line {
    /// Those that share what may begin in a turn.
    const KINDS: [(&[Line], u32); 2] = [
        (&[Line::PrivateReads, Line::PublicReads], READS_A_TURN),
        (&[Line::Handshakes], HANDSHAKES_A_TURN),
    ];

    /// Where requests of a class wait; `None` for those that do not.
    fn of(class: Class) -> Option<Line> {
        match class {
            Class::Order | Class::Cancel => None,
            Class::PrivateRead | Class::Stream | Class::Tcp => Some(Line::PrivateReads),
            Class::PublicRead => Some(Line::PublicReads),
        }
    }

    /// Its place among the kinds.
    fn kind(self) -> usize {
        usize::from(self == Line::Handshakes)
    }
}

/// What has begun since a worker last had nothing to do, by kind.
///
/// Set back by the runtime (`Builder::on_thread_park`), which asks for something that could be shared;
/// nobody but the worker's own thread touches it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Begun(Arc<[AtomicU32; Line::KINDS.len()]>);

impl Begun {
    /// The worker has nothing to do: a new turn.
    pub(crate) fn clear(&self) {
        (0..self.0.len()).for_each(|kind| self.set(kind, 0));
    }

    fn get(&self, kind: usize) -> u32 {
        self.0[kind].load(Ordering::Relaxed)
    }

    fn set(&self, kind: usize, begun: u32) {
        self.0[kind].store(begun, Ordering::Relaxed);
    }
}

/// What a read that waited is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It may begin.
    Begins,
    /// It has waited for too long.
    Late,
}

/// Those that wait, the longest first, and until when they do.
type Waiters = VecDeque<(Instant, oneshot::Sender<Turn>)>;

/// What the reads and the handshakes of one worker pass.
#[derive(Debug)]
pub(crate) struct Turnstile {
    begun: Begun,
    /// By [`Line`].
    lines: RefCell<[Waiters; 3]>,
    waiting: Notify,
    /// Some were told that they have waited for too long, since anybody waits.
    sheds: Cell<bool>,
}

impl Turnstile {
    pub(crate) fn new(begun: Begun) -> Self {
        Self {
            begun,
            lines: RefCell::default(),
            waiting: Notify::new(),
            sheds: Cell::new(false),
        }
    }

    /// Whether a request of this class begins at once.
    pub(crate) fn passes(&self, class: Class) -> bool {
        Line::of(class).is_none_or(|line| self.goes_on(line))
    }

    /// Waits for the turn of a request that did not pass; its time of `deadline` began then.
    pub(crate) async fn turn_of(
        &self,
        class: Class,
        began: Instant,
        deadline: Option<Duration>,
    ) -> Turn {
        let part = deadline.map_or(LONGEST, |deadline| deadline / PART);
        match Line::of(class) {
            Some(line) => self.wait(line, began + part.min(LONGEST)).await,
            None => Turn::Begins,
        }
    }

    /// Waits until a handshake may begin; whether it had to.
    pub(crate) async fn handshake(&self) -> bool {
        let waits = !self.goes_on(Line::Handshakes);
        if waits {
            let until = Instant::now() + FOR_EVER;
            self.wait(Line::Handshakes, until).await;
        }
        waits
    }

    /// Whether there is no line and little has begun in this turn.
    fn goes_on(&self, line: Line) -> bool {
        let kind = line.kind();
        let begun = self.begun.get(kind);
        if begun >= Line::KINDS[kind].1 || !self.lines.borrow()[line as usize].is_empty() {
            return false;
        }
        self.begun.set(kind, begun + 1);
        true
    }

    async fn wait(&self, line: Line, until: Instant) -> Turn {
        let (tell, told) = oneshot::channel();
        self.lines.borrow_mut()[line as usize].push_back((until, tell));
        self.waiting.notify_one();
        // The lines live as long as the worker, which has no requests without itself.
        told.await.unwrap_or(Turn::Late)
    }

    /// Tells those that wait whose turn it is; never ends.
    pub(crate) async fn run(&self) {
        loop {
            self.waiting.notified().await;
            while self.is_busy() {
                // Comes back once the sockets have been asked what is ready: orders and answers that
                // came meanwhile stand before whoever begins now.
                tokio::task::yield_now().await;
                self.next(Instant::now());
            }
            if self.sheds.replace(false) {
                tracing::info!("reads wait no longer for a worker");
            }
        }
    }

    /// Whether anybody waits: the worker has more to do than it can at this moment.
    pub(crate) fn is_busy(&self) -> bool {
        self.lines.borrow().iter().any(|line| !line.is_empty())
    }

    /// A new turn.
    fn next(&self, now: Instant) {
        let mut lines = self.lines.borrow_mut();
        for (kind, (of_kind, most)) in Line::KINDS.into_iter().enumerate() {
            let mut begun = 0;
            for line in of_kind {
                let mut late = 0;
                while let Some((until, tell)) = lines[*line as usize].pop_front() {
                    let (turn, told) = match now > until {
                        true => (Turn::Late, &mut late),
                        false => (Turn::Begins, &mut begun),
                    };
                    if *told >= most {
                        lines[*line as usize].push_front((until, tell));
                        break;
                    }
                    // Those whose clients are gone take nobody's turn.
                    *told += u32::from(tell.send(turn).is_ok());
                }
                self.note(late);
            }
            self.begun.set(kind, begun);
        }
    }

    /// So many are shed.
    fn note(&self, late: u32) {
        if late > 0 && !self.sheds.replace(true) {
            tracing::warn!(
                "a worker does not keep up: it sheds reads that have waited for too long"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    type Waits<'a> = Pin<Box<dyn Future<Output = Turn> + 'a>>;

    /// Those that wait, each in its line already.
    async fn queue(
        turnstile: &Turnstile,
        class: Class,
        many: usize,
        now: Instant,
    ) -> Vec<Waits<'_>> {
        let mut all = Vec::new();
        for _ in 0..many {
            assert!(!turnstile.passes(class), "{class:?} has to wait");
            let mut waits: Waits<'_> = Box::pin(turnstile.turn_of(class, now, None));
            assert_eq!(look(&mut waits).await, None);
            all.push(waits);
        }
        all
    }

    async fn look(waits: &mut Waits<'_>) -> Option<Turn> {
        poll_fn(|cx| match waits.as_mut().poll(cx) {
            Poll::Ready(turn) => Poll::Ready(Some(turn)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// How many of these were told so, and takes them out.
    async fn told(all: &mut Vec<Waits<'_>>, turn: Turn) -> usize {
        let mut left = Vec::new();
        let mut found = 0;
        for mut waits in std::mem::take(all) {
            match look(&mut waits).await {
                Some(told) => {
                    assert_eq!(told, turn);
                    found += 1;
                }
                None => left.push(waits),
            }
        }
        *all = left;
        found
    }

    /// A worker in the middle of a turn in which as many public reads have begun as may.
    fn busy() -> Turnstile {
        let turnstile = Turnstile::new(Begun::default());
        for _ in 0..READS_A_TURN {
            assert!(turnstile.passes(Class::PublicRead));
        }
        turnstile
    }

    const A_TURN: usize = READS_A_TURN as usize;

    #[tokio::test]
    async fn a_worker_that_has_nothing_to_do_now_and_then_makes_nobody_wait() {
        let begun = Begun::default();
        let turnstile = Turnstile::new(begun.clone());
        for _ in 0..100 {
            for _ in 0..READS_A_TURN {
                assert!(turnstile.passes(Class::PublicRead));
            }
            begun.clear();
        }
    }

    #[tokio::test]
    async fn orders_and_cancels_never_wait() {
        let turnstile = busy();
        let _reads = queue(&turnstile, Class::PublicRead, 3 * A_TURN, Instant::now()).await;
        for class in [Class::Order, Class::Cancel] {
            assert!((0..10_000).all(|_| turnstile.passes(class)));
        }
    }

    #[tokio::test]
    async fn reads_begin_in_their_order_and_so_many_a_turn() {
        let (turnstile, now) = (busy(), Instant::now());
        let mut reads = queue(&turnstile, Class::PublicRead, 2 * A_TURN + 1, now).await;
        for left in [A_TURN + 1, 1, 0] {
            turnstile.next(now);
            let begin = told(&mut reads, Turn::Begins).await;
            assert_eq!(reads.len(), left, "{begin} began");
        }
        assert!(
            turnstile.passes(Class::PublicRead),
            "one began in this turn"
        );
    }

    #[tokio::test]
    async fn who_comes_later_does_not_overtake() {
        let begun = Begun::default();
        let turnstile = Turnstile::new(begun.clone());
        (0..READS_A_TURN).for_each(|_| assert!(turnstile.passes(Class::PublicRead)));
        let mut reads = queue(&turnstile, Class::PublicRead, 1, Instant::now()).await;
        begun.clear();
        assert!(!turnstile.passes(Class::PublicRead));
        turnstile.next(Instant::now());
        assert_eq!(told(&mut reads, Turn::Begins).await, 1);
        assert!(turnstile.passes(Class::PublicRead));
    }

    #[tokio::test]
    async fn private_reads_and_streams_go_before_public_ones() {
        let (turnstile, now) = (busy(), Instant::now());
        let mut public = queue(&turnstile, Class::PublicRead, A_TURN, now).await;
        let mut private = queue(&turnstile, Class::PrivateRead, A_TURN - 1, now).await;
        private.extend(queue(&turnstile, Class::Stream, 1, now).await);
        turnstile.next(now);
        assert_eq!(told(&mut private, Turn::Begins).await, A_TURN);
        assert_eq!(told(&mut public, Turn::Begins).await, 0);
        turnstile.next(now);
        assert_eq!(told(&mut public, Turn::Begins).await, A_TURN);
    }

    #[tokio::test]
    async fn who_waited_for_too_long_is_shed_and_takes_nobody_s_turn() {
        let (turnstile, now) = (busy(), Instant::now());
        let mut old = queue(&turnstile, Class::PublicRead, 10, now).await;
        let late = now + LONGEST + Duration::from_millis(1);
        let mut young = queue(&turnstile, Class::PublicRead, A_TURN, late).await;
        // Private reads that take all of each turn do not keep the others from their answer.
        let mut private = queue(&turnstile, Class::PrivateRead, A_TURN, late).await;
        turnstile.next(late);
        assert_eq!(told(&mut private, Turn::Begins).await, A_TURN);
        assert_eq!(told(&mut old, Turn::Late).await, 10);
        assert_eq!(told(&mut young, Turn::Begins).await, 0);
        turnstile.next(late);
        assert_eq!(told(&mut young, Turn::Begins).await, A_TURN);
    }

    #[tokio::test]
    async fn nobody_waits_for_more_than_a_part_of_his_deadline() {
        let (turnstile, now) = (busy(), Instant::now());
        let span = Duration::from_millis(100);
        let turn = |deadline| -> Waits<'_> {
            Box::pin(turnstile.turn_of(Class::PublicRead, now, deadline))
        };
        let mut waits = [turn(Some(span)), turn(None)];
        for wait in &mut waits {
            assert_eq!(look(wait).await, None);
        }
        turnstile.next(now + span / PART + Duration::from_millis(1));
        let [hurried, patient] = &mut waits;
        assert_eq!(look(hurried).await, Some(Turn::Late));
        assert_eq!(look(patient).await, Some(Turn::Begins));
    }

    #[tokio::test]
    async fn clients_that_went_away_take_nobody_s_turn() {
        let (turnstile, now) = (busy(), Instant::now());
        drop(queue(&turnstile, Class::PublicRead, 2 * A_TURN, now).await);
        let mut reads = queue(&turnstile, Class::PublicRead, A_TURN, now).await;
        turnstile.next(now);
        assert_eq!(told(&mut reads, Turn::Begins).await, A_TURN);
    }

    #[tokio::test]
    async fn whoever_waits_is_told_while_the_worker_runs() {
        let turnstile = busy();
        let now = Instant::now();
        let all = async {
            let mut reads = queue(&turnstile, Class::PublicRead, 3 * A_TURN, now).await;
            while !reads.is_empty() {
                tokio::task::yield_now().await;
                told(&mut reads, Turn::Begins).await;
            }
        };
        tokio::select! {
            () = turnstile.run() => unreachable!("it never ends"),
            () = all => {}
        }
    }

    #[tokio::test]
    async fn handshakes_wait_for_each_other_and_for_no_reads() {
        let turnstile = busy();
        let _reads = queue(&turnstile, Class::PublicRead, A_TURN, Instant::now()).await;
        let mut all: Vec<Waits<'_>> = Vec::new();
        for _ in 0..3 * HANDSHAKES_A_TURN {
            all.push(Box::pin(async {
                turnstile.handshake().await;
                Turn::Begins
            }));
        }
        for _ in 0..3 {
            let begun = told(&mut all, Turn::Begins).await;
            assert_eq!(begun, HANDSHAKES_A_TURN as usize);
            // However long they have waited, none is turned away.
            turnstile.next(Instant::now() + 100 * LONGEST);
        }
        assert!(all.is_empty());
    }
}
