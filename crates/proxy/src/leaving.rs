//! Tells what is under way at an endpoint that the endpoint is left.
//!
//! One [`Departures`] a worker. It follows the tables that the worker sees; tunnels, long answers and
//! attempts that wait hold a [`Watch`] on their endpoint and are woken. It decides nothing: the
//! engine's table says who leaves, and how.

use crate::worker::{Shared, WorkerMessage};
use leeward_failover::{EndpointId, Leaving, Table};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
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
    /// its own part of the window.
    fn turn(&self, window: Duration, fraction: f64) -> Instant {
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

    /// Ready when work that never ends by itself has to end: at once where its endpoint is left, at
    /// its turn within `window` where it is drained. `draw` gives a fraction, 0 to 1.
    pub(crate) async fn must_end(&self, window: Duration, draw: impl Fn() -> f64) {
        loop {
            match self.leaving() {
                Leaving::AtOnce => return,
                Leaving::Stays | Leaving::Detour => self.changed().await,
                Leaving::Slowly => {
                    let turn = self.0.turn(window, draw());
                    tokio::select! {
                        () = tokio::time::sleep_until(turn) => return,
                        () = self.changed() => {}
                    }
                }
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
