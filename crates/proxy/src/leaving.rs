//! Tells what is under way at an endpoint that the endpoint is left.
//!
//! One [`Departures`] a worker. It follows the tables that the worker sees; tunnels, long answers and
//! attempts that wait hold a [`Watch`] on their endpoint and are woken. It decides nothing: the
//! engine's table says who leaves, and how.

use crate::snapshot::EndpointIo;
use crate::worker::{Shared, Worker, WorkerMessage};
use leeward_failover::{EndpointId, Leaving, Table};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Who leaves, as one worker knows it.
#[derive(Default)]
pub(crate) struct Departures {
    /// The endpoints that anybody watches.
    watched: RefCell<HashMap<EndpointId, Rc<Signal>>>,
    /// The endpoints of the newest table at which work does not stay.
    leaving: RefCell<HashMap<EndpointId, Leaving>>,
}

/// One endpoint that is watched.
struct Signal {
    leaving: Cell<Leaving>,
    since: Cell<Instant>,
    changed: Notify,
    /// Watches that live.
    watches: Cell<u32>,
    /// Of the watches that there were when a drain began, those that have got their turn, and all.
    turns: Cell<(u32, u32)>,
}

/// A watch on one endpoint.
pub(crate) struct Watch(Rc<Signal>);

impl Departures {
    /// Watches an endpoint.
    pub(crate) fn watch(&self, endpoint: EndpointId) -> Watch {
        let mut watched = self.watched.borrow_mut();
        let signal = watched.entry(endpoint).or_insert_with(|| {
            let leaving = self.leaving.borrow().get(&endpoint).copied();
            Rc::new(Signal {
                leaving: Cell::new(leaving.unwrap_or_default()),
                since: Cell::new(Instant::now()),
                changed: Notify::new(),
                watches: Cell::new(0),
                turns: Cell::new((0, 0)),
            })
        });
        signal.watches.set(signal.watches.get() + 1);
        Watch(signal.clone())
    }

    /// Takes another table in and wakes whoever watches an endpoint that it treats in another way.
    pub(crate) fn follow(&self, table: &Table) {
        let now: HashMap<EndpointId, Leaving> = leaving(table).collect();
        let mut watched = self.watched.borrow_mut();
        watched.retain(|_, signal| signal.watches.get() > 0);
        for (endpoint, signal) in watched.iter() {
            signal.become_(now.get(endpoint).copied().unwrap_or_default());
        }
        *self.leaving.borrow_mut() = now;
    }
}

impl Signal {
    fn become_(&self, leaving: Leaving) {
        if self.leaving.replace(leaving) != leaving {
            self.since.set(Instant::now());
            self.turns.set((0, self.watches.get()));
            self.changed.notify_waiters();
        }
    }

    /// When a watch has its turn in a drain over `window`: they are spread evenly, each somewhere in
    /// its own part of the window; at its end without a `fraction`.
    fn turn(&self, window: Duration, fraction: Option<f64>) -> Instant {
        let Some(fraction) = fraction else {
            return self.since.get() + window;
        };
        let (taken, all) = self.turns.get();
        self.turns.set((taken + 1, all));
        let part = if taken < all {
            (f64::from(taken) + fraction) / f64::from(all)
        } else {
            fraction
        };
        self.since.get() + window.mul_f64(part)
    }
}

impl Watch {
    /// How its endpoint is left now, if it is.
    pub(crate) fn leaving(&self) -> Leaving {
        self.0.leaving.get()
    }

    /// Ready when its endpoint is treated in another way than now.
    pub(crate) async fn changes(&self) {
        self.changed().await;
    }

    /// Ready when its endpoint is left at once; at once when it is already.
    pub(crate) async fn left(&self) {
        while self.leaving() != Leaving::AtOnce {
            self.changed().await;
        }
    }

    /// Ready when work that may never end by itself has to end, and says why: at once where its
    /// endpoint is left; where it is drained at its turn within `window`, for which `draw` gives a
    /// fraction, 0 to 1, or at the end of the window where it gives none.
    pub(crate) async fn must_end(
        &self,
        window: Duration,
        draw: impl Fn() -> Option<f64>,
    ) -> Leaving {
        loop {
            let leaving = self.leaving();
            if leaving == Leaving::AtOnce {
                return leaving;
            }
            if leaving != Leaving::Slowly {
                self.changed().await;
                continue;
            }
            let turn = self.0.turn(window, draw());
            tokio::select! {
                () = tokio::time::sleep_until(turn) => return leaving,
                () = self.changed() => {}
            }
        }
    }

    /// Ready when its endpoint is treated in another way than now.
    async fn changed(&self) {
        // Workers have one thread: between the look and the wait nothing can change.
        self.0.changed.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.watches.set(self.0.watches.get().saturating_sub(1));
    }
}

/// Ready when something long that is under way at an endpoint has to end; see [`Watch::must_end`].
/// What is `endless` gets its turn in a drain, what ends by itself has all of its window for that.
pub(crate) fn must_end(
    worker: &Rc<Worker>,
    io: &EndpointIo,
    window: Duration,
    endless: bool,
) -> impl Future<Output = Leaving> + use<> {
    let watch = worker.departures.watch(io.id);
    let worker = worker.clone();
    let draw = move || endless.then(|| worker.draw(|rng| rng.fraction()));
    let open = endless.then(|| Open::new(&io.streams));
    async move {
        let _open = open;
        watch.must_end(window, draw).await
    }
}

/// A stream that is open, for whoever counts them.
struct Open(Arc<AtomicU64>);

impl Open {
    fn new(streams: &Arc<AtomicU64>) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        Self(streams.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Wakes every worker when the table `now` treats work under way in another way than `before`: whoever
/// serves would find out with its next request, but what waits has to hear of it.
pub(crate) fn tell_workers(shared: &Shared, before: &Table, now: &Table) {
    if leaving(before).eq(leaving(now)) {
        return;
    }
    for peer in &shared.peers {
        // A worker whose inbox is full has connections to take on, and sees the table with them.
        let _ = peer.inbox.try_send(WorkerMessage::TableChanged);
    }
}

fn leaving(table: &Table) -> impl Iterator<Item = (EndpointId, Leaving)> + '_ {
    table
        .pools
        .iter()
        .flat_map(|pool| pool.leaving.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use leeward_failover::PoolTable;

    const ONE: EndpointId = EndpointId(1);
    const WINDOW: Duration = Duration::from_secs(60);

    fn table(leaving: &[(EndpointId, Leaving)]) -> Table {
        Table {
            pools: vec![Arc::new(PoolTable {
                leaving: leaving.to_vec(),
                ..PoolTable::default()
            })],
            ..Table::default()
        }
    }

    /// What an end came to, and after how many seconds.
    async fn ended(watch: &Watch, fraction: Option<f64>) -> (Leaving, u64) {
        let began = Instant::now();
        let why = watch.must_end(WINDOW, || fraction).await;
        (why, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_watches_an_endpoint_is_woken_when_it_is_left() {
        let departures = Departures::default();
        let (watch, other) = (departures.watch(ONE), departures.watch(EndpointId(2)));
        tokio::select! {
            biased;
            why = watch.must_end(WINDOW, || None) => assert_eq!(why, Leaving::AtOnce),
            _ = other.must_end(WINDOW, || None) => panic!("another endpoint"),
            () = async {
                tokio::task::yield_now().await;
                departures.follow(&table(&[(ONE, Leaving::AtOnce)]));
                std::future::pending().await
            } => {}
        }
        let late = departures.watch(ONE);
        assert_eq!(ended(&late, None).await, (Leaving::AtOnce, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_is_spread_evenly_over_its_window() {
        let departures = Departures::default();
        let watches: Vec<Watch> = (0..6).map(|_| departures.watch(ONE)).collect();
        departures.follow(&table(&[(ONE, Leaving::Slowly)]));
        let turns: Vec<u64> = watches
            .iter()
            .map(|watch| watch.0.turn(WINDOW, Some(0.5)) - watch.0.since.get())
            .map(|turn| turn.as_secs())
            .collect();
        assert_eq!(turns, [5, 15, 25, 35, 45, 55]);
        let what_ends = departures.watch(ONE);
        assert_eq!(ended(&what_ends, None).await, (Leaving::Slowly, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_drain_stays_when_it_is_called_off() {
        let departures = Departures::default();
        let watch = departures.watch(ONE);
        departures.follow(&table(&[(ONE, Leaving::Slowly)]));
        let called_off = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            departures.follow(&table(&[]));
            tokio::time::sleep(WINDOW * 10).await;
        };
        tokio::select! {
            _ = ended(&watch, Some(0.5)) => panic!("ended though it may stay"),
            () = called_off => {}
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_of_endpoints_that_nobody_watches() {
        let departures = Departures::default();
        drop(departures.watch(ONE));
        departures.follow(&table(&[]));
        assert!(departures.watched.borrow().is_empty());
    }
}
