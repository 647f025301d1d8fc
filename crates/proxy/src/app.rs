//! Puts a proxy together: sockets, threads, and the order in which they end.
//!
//! N data workers, one control thread, one admin thread, and one that writes to the state folder
//! where there is one, one that writes the record where the policy wants one, and one for the
//! access log. The only place that starts threads.
//! `leeward run`, `leeward demo` and the tests all come in here.

use crate::access_log;
use crate::admin::{self, Admin, Calls};
use crate::control::{self, ControlMessage};
use crate::drain::Phase;
use crate::effects::Effects;
use crate::error::StartError;
use crate::journal::Journal;
use crate::pulse::Pulse;
use crate::record::{self, Driven, Ring};
use crate::reload::{Book, Reloader, Reloads, lock, unix_now};
use crate::serving::Serving;
use crate::snapshot::{self, Snapshot};
use crate::state_dir::{self, Found, Keeper, Mailbox};
use crate::worker::{self, Peer, Setup, Shared, WorkerMessage};
use arc_swap::ArcSwap;
use leeward_config::policy::Policy;
use leeward_failover::{Engine, Input, Memory, Time};
use leeward_metrics::{BuildInfo, Metrics};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Messages that wait for a worker at most; connections beyond it stay where they are.
const WORKER_INBOX: usize = 256;
/// Longest wait for the end of the record.
const PATIENCE: Duration = Duration::from_secs(5);

/// A proxy that runs.
pub struct Running {
    book: Arc<Mutex<Book>>,
    admin: Option<SocketAddr>,
    admin_read_only: Option<SocketAddr>,
    ready: Arc<AtomicBool>,
    shared: Arc<Shared>,
    drain: leeward_config::policy::Drain,
    workers: Vec<JoinHandle<std::io::Result<()>>>,
    control: JoinHandle<()>,
    admin_thread: Option<(JoinHandle<()>, oneshot::Sender<()>)>,
    /// Where what outlives the process is left; its thread writes until it is told to end.
    kept: Option<Arc<Mailbox>>,
    /// Writes the record until the control thread ends.
    recording: Option<JoinHandle<()>>,
    /// Writes the access log until it is told to end.
    logging: JoinHandle<()>,
}

/// Everything that the parts of a starting proxy share.
struct Parts {
    shared: Arc<Shared>,
    journal: Arc<Journal>,
    ready: Arc<AtomicBool>,
    version: &'static str,
    ring: Arc<Ring>,
}

/// Starts a proxy that serves `policy`. Everything that can fail fails here, before anything is
/// served. `seed` is the engine's.
///
/// # Errors
/// A port in use, a certificate that cannot be read, a thread that cannot be started.
pub fn start(policy: Policy, build: &BuildInfo, seed: u64) -> Result<Running, StartError> {
    let began = Instant::now();
    let metrics = Metrics::new(build);
    let (drain, workers) = (policy.drain, policy.workers.max(1));
    let (dir, found) = open_state_dir(&policy)?;
    let admin_socket = policy.admin.map(bind_admin).transpose()?;
    let admin = admin_socket
        .as_ref()
        .and_then(|socket| socket.local_addr().ok());
    let read_only_socket = policy.admin_read_only.map(bind_admin).transpose()?;
    let admin_read_only = read_only_socket
        .as_ref()
        .and_then(|socket| socket.local_addr().ok());
    let mut book = Book::default();
    let mut plan = book.plan(&policy.listeners, workers)?;
    book.commit(&mut plan, &policy.listeners);
    let record = policy.record.clone();
    let (mut engine, record) = Driven::new(seed, build.version, record.as_ref(), metrics.clone());
    tell_first(&mut engine, &policy, found.memory);
    let snapshot = first_snapshot(policy, &plan.ids, &engine, &metrics)?;
    let (control_sender, control_inbox) = mpsc::channel(control::INBOX);
    let (access_log, log_writer) = access_log::new();
    let (peers, inboxes) = (0..workers).map(|_| peer()).unzip();
    let shared = Arc::new(Shared {
        snapshot: ArcSwap::from_pointee(snapshot),
        metrics,
        control: control_sender,
        phase: AtomicU8::new(Phase::Serving.as_u8()),
        began,
        peers,
        reloads: Mutex::new(Reloads::taken(unix_now(), &book)),
        access_log,
    });
    let parts = Parts {
        shared: shared.clone(),
        journal: Arc::new(Journal::going_on_from(found.journal)),
        ready: Arc::default(),
        version: build.version,
        ring: engine.ring(),
    };
    let recording = record
        .map(|writer| start_recording(&parts, writer))
        .transpose()?;
    let logging = start_logging(&shared, log_writer)?;
    let kept = dir.map(|dir| start_keeping(&parts, dir)).transpose()?;
    Ok(Running {
        book: Arc::new(Mutex::new(book)),
        admin,
        admin_read_only,
        ready: parts.ready.clone(),
        drain,
        control: start_control(&parts, engine, control_inbox, kept.clone())?,
        workers: start_workers(&shared, plan.bound, inboxes)?,
        admin_thread: admin_socket
            .map(|socket| start_admin(&parts, socket, read_only_socket, kept.clone()))
            .transpose()?,
        shared,
        kept,
        recording,
        logging,
    })
}

/// What a process before this one left, where the policy has a folder for it.
fn open_state_dir(policy: &Policy) -> Result<(Option<state_dir::StateDir>, Found), StartError> {
    let Some(path) = &policy.state_dir else {
        return Ok((None, Found::default()));
    };
    let (dir, found) = state_dir::open(path)?;
    Ok((Some(dir), found))
}

/// What the engine hears before anything else: the policy, and what a process before it knew.
fn tell_first(engine: &mut Driven, policy: &Policy, memory: Option<(Memory, Duration)>) {
    engine.handle(Input::Policy(Box::new(policy.engine.clone())), Time::ZERO);
    if let Some((memory, away)) = memory {
        let memory = Box::new(memory);
        engine.handle(Input::Memory { memory, away }, Time::ZERO);
    }
}

fn first_snapshot(
    policy: Policy,
    listeners: &[usize],
    engine: &Engine,
    metrics: &Metrics,
) -> Result<Snapshot, StartError> {
    let serving = Arc::new(Serving::new(policy, listeners, None, metrics)?);
    let table = engine.table().clone();
    let endpoints = Arc::new(snapshot::endpoints(&serving, &table, &Vec::new(), metrics));
    metrics.policy_loaded(&serving.policy.hash, unix_now());
    Ok(Snapshot {
        serving,
        table,
        endpoints,
    })
}

fn peer() -> (Peer, mpsc::Receiver<WorkerMessage>) {
    let (sender, inbox) = mpsc::channel(WORKER_INBOX);
    (
        Peer {
            open: AtomicUsize::new(0),
            inbox: sender,
        },
        inbox,
    )
}

fn bind_admin(address: SocketAddr) -> Result<TcpListener, StartError> {
    let failed = |error: std::io::Error| {
        StartError::new(format!(
            "the admin side cannot listen on {address}: {error}"
        ))
    };
    let socket = TcpListener::bind(address).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    Ok(socket)
}

fn spawn<T: Send + 'static>(
    name: String,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, StartError> {
    let thread = std::thread::Builder::new().name(name);
    thread
        .spawn(body)
        .map_err(|error| StartError::new(format!("no thread can be started: {error}")))
}

/// The thread that writes to the state folder: a slow disk delays nobody else.
fn start_keeping(parts: &Parts, dir: state_dir::StateDir) -> Result<Arc<Mailbox>, StartError> {
    let mailbox = Arc::new(Mailbox::default());
    let (left, metrics) = (mailbox.clone(), parts.shared.metrics.clone());
    spawn("leeward-state".into(), move || {
        state_dir::run(&dir, &left, &metrics)
    })?;
    Ok(mailbox)
}

/// The thread that writes the record. It ends with the control thread.
fn start_recording(parts: &Parts, writer: record::Writer) -> Result<JoinHandle<()>, StartError> {
    let file = writer.open().map_err(|error| {
        StartError::policy(format!("journal: the record cannot be written: {error}"))
    })?;
    let metrics = parts.shared.metrics.clone();
    spawn("leeward-record".into(), move || writer.run(file, &metrics))
}

/// The thread that writes the access log. It is there without one too: a reload may want one.
fn start_logging(
    shared: &Arc<Shared>,
    writer: access_log::Writer,
) -> Result<JoinHandle<()>, StartError> {
    let shared = shared.clone();
    spawn("leeward-access".into(), move || writer.run(&shared))
}

fn start_control(
    parts: &Parts,
    engine: Driven,
    inbox: mpsc::Receiver<ControlMessage>,
    kept: Option<Arc<Mailbox>>,
) -> Result<JoinHandle<()>, StartError> {
    let (shared, journal, ready) = (
        parts.shared.clone(),
        parts.journal.clone(),
        parts.ready.clone(),
    );
    spawn("leeward-control".into(), move || {
        let Ok(runtime) = worker::local_runtime() else {
            return;
        };
        runtime.block_on(async move {
            let (reports, received) = mpsc::unbounded_channel();
            let keeper = kept.map(Keeper::new);
            let reports = Rc::new(reports);
            let effects = Effects::new(&engine, shared.clone(), journal, ready, reports, keeper);
            control::run(engine, shared, effects, inbox, received).await;
        });
    })
}

fn start_workers(
    shared: &Arc<Shared>,
    bound: Vec<(usize, Vec<TcpListener>)>,
    inboxes: Vec<mpsc::Receiver<WorkerMessage>>,
) -> Result<Vec<JoinHandle<std::io::Result<()>>>, StartError> {
    let mut sockets: Vec<Vec<(usize, TcpListener)>> = inboxes.iter().map(|_| Vec::new()).collect();
    for (listener, of_listener) in bound {
        for (worker, socket) in of_listener.into_iter().enumerate() {
            sockets[worker].push((listener, socket));
        }
    }
    let mut threads = Vec::new();
    for (index, (inbox, sockets)) in inboxes.into_iter().zip(sockets).enumerate() {
        let setup = Setup {
            index,
            shared: shared.clone(),
            sockets,
            inbox,
        };
        threads.push(spawn(format!("leeward-data-{index}"), move || {
            worker::run(setup)
        })?);
    }
    Ok(threads)
}

fn start_admin(
    parts: &Parts,
    socket: TcpListener,
    read_only: Option<TcpListener>,
    kept: Option<Arc<Mailbox>>,
) -> Result<(JoinHandle<()>, oneshot::Sender<()>), StartError> {
    let admin = Admin {
        shared: parts.shared.clone(),
        journal: parts.journal.clone(),
        ready: parts.ready.clone(),
        version: parts.version,
        ring: parts.ring.clone(),
        calls: Arc::new(Calls::new(kept)),
        samples: Arc::default(),
        streams: Arc::default(),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = spawn("leeward-admin".into(), move || {
        let Ok(runtime) = worker::local_runtime() else {
            return;
        };
        runtime.block_on(async move {
            let listen = tokio::net::TcpListener::from_std;
            let (Ok(socket), Ok(read_only)) = (listen(socket), read_only.map(listen).transpose())
            else {
                return;
            };
            tokio::select! {
                () = admin::serve(admin, socket, read_only) => {}
                _ = stopped => {}
            }
        });
    })?;
    Ok((thread, stop))
}

impl Running {
    /// Where each listener listens, by name, with the port that the system chose where the policy
    /// says 0.
    pub fn listeners(&self) -> Vec<(String, SocketAddr)> {
        lock(&self.book).open()
    }

    /// What offers other policies to this proxy while it runs.
    pub fn reloader(&self) -> Reloader {
        Reloader::new(self.shared.clone(), self.book.clone())
    }

    /// Where the admin side listens; `None` when it is off.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Where the read-only admin side listens; `None` when there is none.
    pub fn admin_read_only(&self) -> Option<SocketAddr> {
        self.admin_read_only
    }

    /// Whether the first round of probes is over, or has been waited for long enough.
    pub fn ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// What asks the threads for a sign of life.
    pub fn pulse(&self) -> Pulse {
        Pulse::new(&self.shared)
    }

    /// Where the proxy stands in its life.
    pub fn phase(&self) -> Phase {
        self.shared.phase()
    }

    /// Opens the access log anew: its file was moved away, or whoever reads its socket is another.
    pub fn reopen_logs(&self) {
        self.shared.access_log.reopen();
    }

    /// Not ready any more, but still accepting.
    pub fn linger(&self) {
        self.shared.metrics.set_ready(false);
        self.shared
            .phase
            .store(Phase::Lingering.as_u8(), Ordering::Relaxed);
    }

    /// How long lingering and draining may take.
    pub fn drain_times(&self) -> leeward_config::policy::Drain {
        self.drain
    }

    /// Accepts no more; idle connections end, what is in flight goes on.
    pub fn drain(&self) {
        self.shared
            .phase
            .store(Phase::Draining.as_u8(), Ordering::Relaxed);
        self.tell_workers(|| WorkerMessage::Drain);
    }

    /// Whether every worker has ended.
    pub fn drained(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// Client connections open now.
    pub fn connections(&self) -> usize {
        self.shared
            .peers
            .iter()
            .map(|peer| peer.open.load(Ordering::Relaxed))
            .sum()
    }

    /// Whether a worker, or the control thread, ended though nobody told it to.
    pub fn broken(&self) -> bool {
        self.phase() != Phase::Draining
            && (self.control.is_finished() || self.workers.iter().any(JoinHandle::is_finished))
    }

    /// Ends everything now and waits for the threads.
    ///
    /// # Errors
    /// A thread that had failed.
    pub fn stop(self) -> Result<(), StartError> {
        self.tell_workers(|| WorkerMessage::Stop);
        let mut failed = None;
        for worker in self.workers {
            match worker.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failed = Some(format!("a worker failed: {error}")),
                Err(_) => failed = Some("a worker panicked".into()),
            }
        }
        self.shared.access_log.end();
        send(&self.shared.control, ControlMessage::Stop);
        if self.control.join().is_err() {
            failed = Some("the control thread panicked".into());
        }
        if let Some(kept) = &self.kept {
            kept.end();
        }
        end_within(&self.logging, PATIENCE);
        if !self.logging.is_finished() {
            tracing::warn!("the access log hangs: its last lines are lost");
        }
        if let Some(recording) = self.recording {
            end_within(&recording, PATIENCE);
        }
        if let Some((thread, stop)) = self.admin_thread {
            // A receiver that is gone has ended already.
            let _ = stop.send(());
            if thread.join().is_err() {
                failed = Some("the admin thread panicked".into());
            }
        }
        failed.map_or(Ok(()), |text| Err(StartError::new(text)))
    }

    fn tell_workers(&self, message: impl Fn() -> WorkerMessage) {
        for peer in &self.shared.peers {
            send(&peer.inbox, message());
        }
    }
}

/// Waits for a thread that may hang on a disk.
fn end_within(thread: &JoinHandle<()>, limit: Duration) {
    let give_up = Instant::now() + limit;
    while !thread.is_finished() && Instant::now() < give_up {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends to a thread that may be busy: waits a bounded time for room in its inbox.
pub(crate) fn send<T>(inbox: &mpsc::Sender<T>, message: T) {
    let mut message = message;
    for _ in 0..200 {
        match inbox.try_send(message) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => return,
            Err(mpsc::error::TrySendError::Full(back)) => message = back,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
