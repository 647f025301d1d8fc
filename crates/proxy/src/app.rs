//! Puts a proxy together: sockets, threads, and the order in which they end.
//!
//! N data workers, one control thread, one admin thread. The only place that starts threads.
//! `leeward run`, `leeward demo` and the tests all come in here.

use crate::admin::{self, Admin};
use crate::control::{self, ControlMessage};
use crate::drain::Phase;
use crate::effects::Effects;
use crate::error::StartError;
use crate::journal::Journal;
use crate::listener;
use crate::snapshot::{Serving, Snapshot};
use crate::worker::{self, Peer, Setup, Shared, WorkerMessage};
use arc_swap::ArcSwap;
use leeward_config::policy::Policy;
use leeward_failover::{Engine, Input, Time};
use leeward_metrics::{BuildInfo, Metrics};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};

/// Messages that wait for a worker at most; connections beyond it stay where they are.
const WORKER_INBOX: usize = 256;

/// A proxy that runs.
pub struct Running {
    listeners: Vec<(String, SocketAddr)>,
    admin: Option<SocketAddr>,
    shared: Arc<Shared>,
    drain: leeward_config::policy::Drain,
    workers: Vec<JoinHandle<std::io::Result<()>>>,
    control: JoinHandle<()>,
    admin_thread: Option<(JoinHandle<()>, oneshot::Sender<()>)>,
}

/// Everything that the parts of a starting proxy share.
struct Parts {
    shared: Arc<Shared>,
    journal: Arc<Journal>,
    ready: Arc<AtomicBool>,
    version: &'static str,
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
    let admin_socket = policy.admin.map(bind_admin).transpose()?;
    let admin = admin_socket
        .as_ref()
        .and_then(|socket| socket.local_addr().ok());
    let by_listener = bind_all(&policy, workers)?;
    let listeners = addresses(&by_listener)?;
    let mut engine = Engine::new(seed);
    engine.handle(Input::Policy(Box::new(policy.engine.clone())), Time::ZERO);
    let snapshot = first_snapshot(policy, &engine, &metrics)?;
    let (control_sender, control_inbox) = mpsc::channel(control::INBOX);
    let (peers, inboxes) = (0..workers).map(|_| peer()).unzip();
    let shared = Arc::new(Shared {
        snapshot: ArcSwap::from_pointee(snapshot),
        metrics,
        control: control_sender,
        phase: AtomicU8::new(Phase::Serving.as_u8()),
        began,
        peers,
        open: listeners.iter().map(|_| AtomicUsize::new(0)).collect(),
    });
    let parts = Parts {
        shared: shared.clone(),
        journal: Arc::default(),
        ready: Arc::default(),
        version: build.version,
    };
    Ok(Running {
        listeners,
        admin,
        drain,
        control: start_control(&parts, engine, control_inbox)?,
        workers: start_workers(&shared, by_listener, inboxes)?,
        admin_thread: admin_socket
            .map(|socket| start_admin(&parts, socket))
            .transpose()?,
        shared,
    })
}

fn bind_all(
    policy: &Policy,
    workers: usize,
) -> Result<Vec<(String, Vec<TcpListener>)>, StartError> {
    let bind = |wanted: &leeward_config::policy::Listener| {
        Ok((wanted.name.clone(), listener::bind(wanted, workers)?))
    };
    policy.listeners.iter().map(bind).collect()
}

fn first_snapshot(
    policy: Policy,
    engine: &Engine,
    metrics: &Metrics,
) -> Result<Snapshot, StartError> {
    let serving = Arc::new(Serving::new(policy, metrics)?);
    let table = engine.table().clone();
    let endpoints = Arc::new(serving.endpoints(&table, &[], metrics));
    let loaded = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    metrics.policy_loaded(&serving.policy.hash, loaded.as_secs_f64());
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

fn addresses(
    by_listener: &[(String, Vec<TcpListener>)],
) -> Result<Vec<(String, SocketAddr)>, StartError> {
    by_listener
        .iter()
        .filter_map(|(name, sockets)| Some((name, sockets.first()?)))
        .map(|(name, socket)| match socket.local_addr() {
            Ok(address) => Ok((name.clone(), address)),
            Err(error) => Err(StartError::new(format!("listener `{name}`: {error}"))),
        })
        .collect()
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

fn start_control(
    parts: &Parts,
    engine: Engine,
    inbox: mpsc::Receiver<ControlMessage>,
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
            let effects = Effects::new(shared.clone(), journal, ready, Rc::new(reports));
            control::run(engine, shared, effects, inbox, received).await;
        });
    })
}

fn start_workers(
    shared: &Arc<Shared>,
    by_listener: Vec<(String, Vec<TcpListener>)>,
    inboxes: Vec<mpsc::Receiver<WorkerMessage>>,
) -> Result<Vec<JoinHandle<std::io::Result<()>>>, StartError> {
    let mut sockets: Vec<Vec<TcpListener>> = inboxes.iter().map(|_| Vec::new()).collect();
    for (_, of_listener) in by_listener {
        for (worker, socket) in of_listener.into_iter().enumerate() {
            sockets[worker].push(socket);
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
) -> Result<(JoinHandle<()>, oneshot::Sender<()>), StartError> {
    let admin = Admin {
        shared: parts.shared.clone(),
        journal: parts.journal.clone(),
        ready: parts.ready.clone(),
        version: parts.version,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = spawn("leeward-admin".into(), move || {
        let Ok(runtime) = worker::local_runtime() else {
            return;
        };
        runtime.block_on(async move {
            let Ok(socket) = tokio::net::TcpListener::from_std(socket) else {
                return;
            };
            tokio::select! {
                () = admin::serve(admin, socket) => {}
                _ = stopped => {}
            }
        });
    })?;
    Ok((thread, stop))
}

impl Running {
    /// Where each listener listens, by name, with the port that the system chose where the policy
    /// says 0.
    pub fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    /// Where the admin side listens; `None` when it is off.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Where the proxy stands in its life.
    pub fn phase(&self) -> Phase {
        self.shared.phase()
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
        send(&self.shared.control, || ControlMessage::Stop);
        if self.control.join().is_err() {
            failed = Some("the control thread panicked".into());
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
            send(&peer.inbox, &message);
        }
    }
}

/// Sends to a thread that may be busy: waits a bounded time for room in its inbox.
fn send<T>(inbox: &mpsc::Sender<T>, message: impl Fn() -> T) {
    for _ in 0..200 {
        match inbox.try_send(message()) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => return,
            Err(mpsc::error::TrySendError::Full(_)) => {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
