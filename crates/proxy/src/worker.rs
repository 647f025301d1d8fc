//! One data worker: a thread with a single-threaded runtime, its own listening sockets, its own
//! upstream connections. Workers share the snapshot that they read, and nothing that they write
//! while requests run.
//!
//! Started and told to drain by `app`; everything else in the data path hangs on its [`Worker`].

use crate::access_log::AccessLog;
use crate::admit::Gates;
use crate::alarms::Alarms;
use crate::budgets::Budgets;
use crate::control::ControlMessage;
use crate::drain::Phase;
use crate::lag::{self, Lag};
use crate::leaving::Departures;
use crate::listener;
use crate::reload::Reloads;
use crate::serve::ClientConn;
use crate::snapshot::Snapshot;
use crate::tally::Tallies;
use crate::turnstile::{Begun, Turnstile};
use crate::upstream::Upstream;
use crate::usual::Usual;
use crate::waiting::{self, Watched};
use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use leeward_failover::select::Rng;
use leeward_failover::{EndpointId, Time};
use leeward_metrics::{Cells, Metrics};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

/// The snapshot that a request began with: a handle that costs no shared write.
pub(crate) type Held = Rc<Arc<Snapshot>>;

/// What all threads of one proxy share.
pub(crate) struct Shared {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) metrics: Metrics,
    pub(crate) control: mpsc::Sender<ControlMessage>,
    pub(crate) phase: AtomicU8,
    /// When the engine's clock began.
    pub(crate) began: Instant,
    /// By worker.
    pub(crate) peers: Vec<Peer>,
    /// What became of the policies that were offered.
    pub(crate) reloads: Mutex<Reloads>,
    pub(crate) access_log: AccessLog,
}

impl Shared {
    /// The engine's time.
    pub(crate) fn now(&self) -> Time {
        self.at(Instant::now())
    }

    /// A moment in the engine's time.
    pub(crate) fn at(&self, moment: Instant) -> Time {
        Time::ZERO + moment.saturating_duration_since(self.began)
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::from_u8(self.phase.load(Ordering::Relaxed))
    }
}

/// What workers know of each other.
pub(crate) struct Peer {
    /// Client connections open.
    pub(crate) open: AtomicUsize,
    pub(crate) inbox: mpsc::Sender<WorkerMessage>,
}

/// What a worker is told.
pub(crate) enum WorkerMessage {
    /// A connection that another worker accepted.
    Connection {
        socket: TcpStream,
        peer: SocketAddr,
        listener: usize,
    },
    /// A listener came: accept on this socket.
    Listen {
        listener: usize,
        socket: TcpListener,
    },
    /// A listener left the policy: accept no more there, end its idle connections.
    Close { listener: usize },
    /// Somebody wants to know whether this thread lives.
    Alive(oneshot::Sender<()>),
    /// The newest table treats work under way in another way than the one before.
    TableChanged,
    /// Accept no more, end idle connections, let the rest end.
    Drain,
    /// End everything now.
    Stop,
}

/// What a worker starts with.
pub(crate) struct Setup {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    /// With the listeners' ids.
    pub(crate) sockets: Vec<(usize, TcpListener)>,
    pub(crate) inbox: mpsc::Receiver<WorkerMessage>,
}

/// One data worker, on its own thread.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) cells: Cells,
    pub(crate) tallies: Tallies,
    /// Whether it keeps up.
    pub(crate) lag: Lag,
    /// Who goes first where it does not.
    pub(crate) turnstile: Turnstile,
    /// Wakes what waits.
    pub(crate) alarms: Alarms,
    /// Tells what is under way that its endpoint is left.
    pub(crate) departures: Departures,
    /// Room at each site.
    pub(crate) gates: Gates,
    cache: RefCell<Cache<SharedSnapshot, Arc<Snapshot>>>,
    held: RefCell<Held>,
    upstreams: RefCell<Vec<Option<Rc<Upstream>>>>,
    pub(crate) budgets: Budgets,
    /// By route, where something was answered.
    usuals: RefCell<Vec<Option<Box<Usual>>>>,
    pub(crate) watched: Watched,
    rng: RefCell<Rng>,
    conns: RefCell<HashMap<u64, Rc<ClientConn>>>,
    next_conn: Cell<u64>,
    stopped: Cell<bool>,
    changed: Notify,
}

/// The way from a worker to the published snapshot.
struct SharedSnapshot(Arc<Shared>);

impl std::ops::Deref for SharedSnapshot {
    type Target = ArcSwap<Snapshot>;
    fn deref(&self) -> &ArcSwap<Snapshot> {
        &self.0.snapshot
    }
}

/// How often idle upstream connections are looked through.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Tasks that are polled before the sockets are asked again what is ready, while tasks are ready. What is
/// ready at once is served at once: fewer questions, and the answers of several streams of a connection
/// leave together. Timers are late by as many tasks at most, a few milliseconds.
const TASKS_A_TURN: u32 = 512;

/// A runtime for one thread whose futures need not be `Send`.
pub(crate) fn local_runtime() -> std::io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

/// Runs a worker until it has drained or was stopped.
pub(crate) fn run(setup: Setup) -> std::io::Result<()> {
    let begun = Begun::default();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .event_interval(TASKS_A_TURN)
        .on_thread_park({
            let begun = begun.clone();
            move || begun.clear()
        })
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let Setup {
            index,
            shared,
            sockets,
            inbox,
        } = setup;
        let worker = Worker::new(index, shared, begun);
        let mut accepting = Accepting::default();
        for (listener, socket) in sockets {
            accepting.start(&worker, listener, socket)?;
        }
        tokio::task::spawn_local({
            let worker = worker.clone();
            async move {
                worker
                    .tallies
                    .send_batches(worker.shared.control.clone())
                    .await
            }
        });
        tokio::task::spawn_local({
            let worker = worker.clone();
            async move { worker.alarms.run().await }
        });
        tokio::task::spawn_local({
            let worker = worker.clone();
            async move { worker.turnstile.run().await }
        });
        tokio::task::spawn_local(lag::watch(worker.clone()));
        tokio::task::spawn_local(housekeeping(worker.clone()));
        tokio::task::spawn_local(waiting::look(worker.clone()));
        obey(&worker, inbox, accepting).await;
        Ok(())
    })
}

async fn housekeeping(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(HOUSEKEEPING).await;
        let now = Instant::now();
        // In the case that nothing else made this worker look.
        worker.snapshot();
        for upstream in worker.upstreams.borrow().iter().flatten() {
            upstream.close_expired(now);
        }
    }
}

/// The tasks that accept, by listener.
#[derive(Default)]
struct Accepting(HashMap<usize, AbortHandle>);

impl Accepting {
    fn start(
        &mut self,
        worker: &Rc<Worker>,
        listener: usize,
        socket: TcpListener,
    ) -> std::io::Result<()> {
        socket.set_nonblocking(true)?;
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let task = listener::accept(worker.clone(), socket, listener);
        self.0
            .insert(listener, tokio::task::spawn_local(task).abort_handle());
        Ok(())
    }

    fn stop(&mut self, listener: usize) {
        if let Some(task) = self.0.remove(&listener) {
            task.abort();
        }
    }

    fn stop_all(&mut self) {
        self.0.drain().for_each(|(_, task)| task.abort());
    }
}

/// Does what it is told until the end.
async fn obey(
    worker: &Rc<Worker>,
    mut inbox: mpsc::Receiver<WorkerMessage>,
    mut accepting: Accepting,
) {
    let mut draining = false;
    while !(draining && worker.conns.borrow().is_empty()) {
        let message = tokio::select! {
            message = inbox.recv() => message.unwrap_or(WorkerMessage::Stop),
            () = worker.changed.notified(), if draining => continue,
        };
        match message {
            WorkerMessage::Connection {
                socket,
                peer,
                listener,
            } => {
                listener::adopt(worker, socket, peer, listener);
            }
            WorkerMessage::Listen { listener, socket } => {
                if let Err(error) = accepting.start(worker, listener, socket) {
                    tracing::error!(listener, %error, "a listener cannot be accepted on");
                }
            }
            WorkerMessage::Alive(answer) => {
                // Whoever asked may have given up.
                let _ = answer.send(());
            }
            WorkerMessage::TableChanged => {
                worker.snapshot();
            }
            WorkerMessage::Close { listener } => {
                accepting.stop(listener);
                worker.drain(|conn| conn.listener == listener);
            }
            WorkerMessage::Drain => {
                draining = true;
                accepting.stop_all();
                worker.drain(|_| true);
            }
            WorkerMessage::Stop => {
                accepting.stop_all();
                worker.stopped.set(true);
                worker.changed.notify_waiters();
                return;
            }
        }
    }
}

impl Worker {
    fn new(index: usize, shared: Arc<Shared>, begun: Begun) -> Rc<Self> {
        let mut cache = Cache::new(SharedSnapshot(shared.clone()));
        let held = Rc::new(cache.load().clone());
        // The draws of each worker differ, and repeat from run to run.
        let rng = Rng::new(0x6c65_6577_6172_6400 + index as u64);
        let worker = Rc::new(Self {
            index,
            cells: shared.metrics.worker(),
            shared,
            tallies: Tallies::default(),
            lag: Lag::default(),
            turnstile: Turnstile::new(begun),
            alarms: Alarms::new(),
            departures: Departures::default(),
            gates: Gates::default(),
            cache: RefCell::new(cache),
            held: RefCell::new(held.clone()),
            upstreams: RefCell::default(),
            budgets: Budgets::default(),
            usuals: RefCell::default(),
            watched: Watched::default(),
            rng: RefCell::new(rng),
            conns: RefCell::default(),
            next_conn: Cell::new(0),
            stopped: Cell::new(false),
            changed: Notify::new(),
        });
        worker.adopt(&held);
        worker.departures.follow(&held.table);
        worker
    }

    /// The newest snapshot.
    pub(crate) fn snapshot(&self) -> Held {
        let mut cache = self.cache.borrow_mut();
        let newest = cache.load();
        let mut held = self.held.borrow_mut();
        if !Arc::ptr_eq(newest, &held) {
            let before = std::mem::replace(&mut *held, Rc::new(newest.clone()));
            self.forget_what_is_gone(&held);
            self.departures.follow(&held.table);
            if !Arc::ptr_eq(&before.serving, &held.serving) {
                self.adopt(&held);
            }
        }
        held.clone()
    }

    fn adopt(&self, held: &Held) {
        self.gates.follow(&held.serving.sites, &self.cells);
        let workers = self.shared.peers.len();
        self.budgets
            .follow(&held.serving.policy.engine.pools, workers);
        let mut usuals = self.usuals.borrow_mut();
        usuals.clear();
        usuals.resize_with(held.serving.policy.routes.len(), || None);
    }

    /// Drops the connections to endpoints that are gone or are reached in another way now.
    fn forget_what_is_gone(&self, held: &Held) {
        for (position, slot) in self.upstreams.borrow_mut().iter_mut().enumerate() {
            if let Some(upstream) = slot {
                let now = held.endpoints.get(position).and_then(Option::as_ref);
                if !now.is_some_and(|now| Arc::ptr_eq(now, &upstream.io)) {
                    *slot = None;
                }
            }
        }
    }

    /// This worker's connections to an endpoint; `None` when `held` does not know it.
    pub(crate) fn upstream(&self, held: &Held, endpoint: EndpointId) -> Option<Rc<Upstream>> {
        let io = held.endpoints.get(endpoint.index())?.as_ref()?;
        let mut upstreams = self.upstreams.borrow_mut();
        if upstreams.len() <= endpoint.index() {
            upstreams.resize_with(endpoint.index() + 1, || None);
        }
        match &mut upstreams[endpoint.index()] {
            Some(upstream) if Arc::ptr_eq(&upstream.io, io) => Some(upstream.clone()),
            slot => {
                let upstream = Upstream::new(io.clone(), self.cells.clone());
                Some(slot.insert(upstream).clone())
            }
        }
    }

    /// How busy this worker keeps an endpoint.
    pub(crate) fn load(&self, endpoint: EndpointId, now: Time) -> u32 {
        let upstreams = self.upstreams.borrow();
        upstreams
            .get(endpoint.index())
            .and_then(Option::as_ref)
            .map_or(0, |up| up.load(now))
    }

    /// Ends the connections that are meant, once what is in flight on them has been answered.
    fn drain(&self, meant: impl Fn(&ClientConn) -> bool) {
        self.conns
            .borrow()
            .values()
            .filter(|conn| meant(conn))
            .for_each(|conn| conn.drain());
    }

    /// Looks at how long the answers of a route take; `None` where the newest policy has no such
    /// route.
    pub(crate) fn usual<T>(&self, route: usize, look: impl FnOnce(&mut Usual) -> T) -> Option<T> {
        let mut usuals = self.usuals.borrow_mut();
        let usual = usuals.get_mut(route)?;
        Some(look(usual.get_or_insert_default()))
    }

    /// Draws from this worker's dice.
    pub(crate) fn draw<T>(&self, act: impl FnOnce(&mut Rng) -> T) -> T {
        act(&mut self.rng.borrow_mut())
    }

    /// Whether clients should be told to come back on another connection.
    pub(crate) fn is_draining(&self) -> bool {
        self.shared.phase() != Phase::Serving
    }

    /// Keeps a connection known, for drain, for as long as the guard lives.
    pub(crate) fn register(self: &Rc<Self>, conn: &Rc<ClientConn>) -> Registered {
        let id = self.next_conn.get();
        self.next_conn.set(id + 1);
        self.conns.borrow_mut().insert(id, conn.clone());
        Registered {
            worker: self.clone(),
            id,
        }
    }

    /// Ready when the worker is told to end everything.
    pub(crate) fn stop_signal(self: &Rc<Self>) -> impl Future<Output = ()> + use<> {
        let worker = self.clone();
        async move {
            while !worker.stopped.get() {
                worker.changed.notified().await;
            }
        }
    }
}

/// A connection that drain knows of.
pub(crate) struct Registered {
    worker: Rc<Worker>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.worker.conns.borrow_mut().remove(&self.id);
        self.worker.changed.notify_waiters();
    }
}
