//! A backend that breaks on demand and remembers what it was asked.
//!
//! It owns the truth of a test: which orders ran, which bytes arrived, how connections ended. It
//! refuses to judge. It runs in a thread of its own, or in a process of its own
//! ([`super::process`]) where a test needs a SIGKILL.

mod acts;
mod capacity;
mod log;
mod serve;
mod site;

pub(crate) use acts::{Act, DieBy, Step};
pub(crate) use capacity::Carried;
pub(crate) use log::{PeerEnd, Seen};

use super::certs::Leaf;
use super::wire::Head;
use capacity::Capacity;
use log::Log;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// What a backend is started with.
#[derive(Default)]
pub(crate) struct Options {
    /// Where it listens; a free port of the loopback address when absent.
    pub(crate) bind: Option<SocketAddr>,
    /// TLS, with this certificate.
    pub(crate) tls: Option<Leaf>,
    /// The size of the kernel's receive buffer.
    pub(crate) receive_buffer: Option<u32>,
    /// A file that gets the id of each order that ran, one a line, at once.
    pub(crate) journal: Option<PathBuf>,
    /// Time between the last byte of a request and its answer.
    pub(crate) think: Duration,
}

/// A running backend; it ends when this is dropped.
pub(crate) struct Backend {
    shared: Arc<Shared>,
    address: SocketAddr,
    tls: bool,
    thread: Option<JoinHandle<()>>,
}

/// What the thread of a backend and its test both see.
struct Shared {
    name: String,
    tls: Option<Leaf>,
    receive_buffer: Option<u32>,
    journal: Option<PathBuf>,
    think: Duration,
    act: Mutex<Act>,
    next: Mutex<VecDeque<Act>>,
    probe: Mutex<Act>,
    posts: Mutex<Option<Act>>,
    capacity: Mutex<Option<Capacity>>,
    log: Mutex<Log>,
    switches: Switches,
}

/// What a test switches while the backend runs.
struct Switches {
    /// Whether connections are accepted.
    listen: watch::Sender<bool>,
    /// Whether a listener stands; the thread's answer to `listen`.
    listens: watch::Sender<bool>,
    /// Counts the resets of all connections.
    resets: watch::Sender<u64>,
    /// Counts the ends of all idle connections.
    idle_ends: watch::Sender<u64>,
    /// Whether held steps go on.
    released: watch::Sender<bool>,
    /// Whether the thread shall end.
    ended: watch::Sender<bool>,
}

impl Backend {
    /// A plain one on a free port. The name is in each of its answers as `X-Backend`.
    pub(crate) fn start(name: &str) -> Self {
        Self::with(name, Options::default())
    }

    /// One with TLS and this certificate.
    pub(crate) fn start_tls(name: &str, leaf: Leaf) -> Self {
        Self::with(
            name,
            Options {
                tls: Some(leaf),
                ..Options::default()
            },
        )
    }

    /// One as told.
    pub(crate) fn with(name: &str, options: Options) -> Self {
        let tls = options.tls.is_some();
        let bind = options
            .bind
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            tls: options.tls,
            receive_buffer: options.receive_buffer,
            journal: options.journal,
            think: options.think,
            act: Mutex::new(Act::Serve),
            next: Mutex::default(),
            probe: Mutex::new(Act::Serve),
            posts: Mutex::default(),
            capacity: Mutex::default(),
            log: Mutex::default(),
            switches: Switches {
                listen: watch::channel(true).0,
                listens: watch::channel(false).0,
                resets: watch::channel(0).0,
                idle_ends: watch::channel(0).0,
                released: watch::channel(false).0,
                ended: watch::channel(false).0,
            },
        });
        let (thread, address) = serve::spawn(Arc::clone(&shared), bind);
        Self {
            shared,
            address,
            tls,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL for a policy.
    pub(crate) fn url(&self) -> String {
        format!(
            "{}://{}",
            if self.tls { "https" } else { "http" },
            self.address
        )
    }

    /// What it does with each request from now on, probes apart.
    pub(crate) fn act(&self, act: Act) {
        *self.shared.act.lock().unwrap() = act;
    }

    /// What it does with the next request alone; several queue up.
    pub(crate) fn act_once(&self, act: Act) {
        self.shared.next.lock().unwrap().push_back(act);
    }

    /// What it does with each POST from now on; `None` where that is what it does with the rest.
    pub(crate) fn act_on_posts(&self, act: impl Into<Option<Act>>) {
        *self.shared.posts.lock().unwrap() = act.into();
    }

    /// What it does with probes: requests for `/healthz`.
    pub(crate) fn act_on_probes(&self, act: Act) {
        *self.shared.probe.lock().unwrap() = act;
    }

    /// Runs so many requests per second from now on, and so many more after a pause; says that it is
    /// full to the rest. Probes are not counted.
    pub(crate) fn bound(&self, rate: f64, burst: f64) {
        *self.shared.capacity.lock().unwrap() = Some(Capacity::new(rate, burst));
    }

    /// What it could have run and ran since it was bounded.
    pub(crate) fn carried(&self) -> Carried {
        let capacity = self.shared.capacity.lock().unwrap();
        capacity.as_ref().expect("a bound").carried()
    }

    /// Refuses connections from now on; those that stand stay. Returns when it is so.
    pub(crate) fn refuse(&self) {
        self.listen(false);
    }

    /// Accepts connections again. Returns when it is so.
    pub(crate) fn accept(&self) {
        self.listen(true);
    }

    /// Resets all connections that stand.
    pub(crate) fn reset_connections(&self) {
        self.shared.switches.resets.send_modify(|n| *n += 1);
    }

    /// Closes the connections that wait for a request.
    pub(crate) fn close_idle_connections(&self) {
        self.shared.switches.idle_ends.send_modify(|n| *n += 1);
    }

    /// Lets [`Step::Hold`] and [`Act::StopReading`] go on.
    pub(crate) fn release(&self) {
        self.shared.switches.released.send_replace(true);
    }

    /// The requests that it got, in the order of their ends, probes apart.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.shared.log.lock().unwrap().requests.clone()
    }

    /// Requests whose head has come, probes apart; more than [`Self::requests`] while bodies come.
    pub(crate) fn heads(&self) -> usize {
        self.shared.log.lock().unwrap().heads
    }

    /// The last request that it got.
    pub(crate) fn last(&self) -> Seen {
        self.requests().pop().expect("a request at the backend")
    }

    /// The ids of the orders that ran here, in order.
    pub(crate) fn executed(&self) -> Vec<String> {
        self.shared.log.lock().unwrap().executed.clone()
    }

    /// Connections that carried at least one byte of a request that is no probe.
    pub(crate) fn connections(&self) -> usize {
        self.shared.log.lock().unwrap().used_connections.len()
    }

    /// The heads of the probes that it got, in order.
    pub(crate) fn probes(&self) -> Vec<Head> {
        self.shared.log.lock().unwrap().probes.clone()
    }

    /// Bytes of `/stream/` answers that it could hand to its kernel.
    pub(crate) fn streamed(&self) -> u64 {
        self.shared.log.lock().unwrap().streamed
    }

    /// How peers ended connections on which an answer was due or everything was sent back.
    pub(crate) fn peer_ends(&self) -> Vec<PeerEnd> {
        self.shared.log.lock().unwrap().peer_ends.clone()
    }

    fn listen(&self, on: bool) {
        let switches = &self.shared.switches;
        switches.listen.send_replace(on);
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while *switches.listens.borrow() != on {
            assert!(
                std::time::Instant::now() < deadline,
                "the backend's thread does not answer"
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.switches.ended.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
