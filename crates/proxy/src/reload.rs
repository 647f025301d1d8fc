//! Another policy for a proxy that runs: everything is read, bound and built, then swapped.
//!
//! Whatever fails, fails before the swap, and the policy that serves goes on serving (P5). Open
//! connections and requests are not disturbed; those of a listener that left the policy end once
//! they have been answered. Health survives by identity: that is the engine's part.

use crate::control::ControlMessage;
use crate::error::StartError;
use crate::listener;
use crate::serving::Serving;
use crate::worker::{Shared, WorkerMessage};
use leeward_config::policy::{Listener, Policy};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest wait for the control task to take a policy over.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of the policies that were offered.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Reloads {
    /// When the policy that serves was loaded, in seconds since 1970.
    pub(crate) loaded: f64,
    /// Where each listener listens, by name.
    pub(crate) listeners: BTreeMap<String, SocketAddr>,
    /// The last policy that was not taken, if none was taken since.
    pub(crate) rejected: Option<Rejected>,
}

impl Reloads {
    /// A policy was taken, with these listeners.
    pub(crate) fn taken(loaded: f64, book: &Book) -> Self {
        let listeners = book.open().into_iter().collect();
        Self {
            loaded,
            listeners,
            rejected: None,
        }
    }
}

/// A policy that was not taken.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rejected {
    /// When, in seconds since 1970.
    pub(crate) time: f64,
    /// Everything that is wrong with it.
    pub(crate) problems: Vec<String>,
}

/// Every listener that there ever was; a position is a listener's id.
#[derive(Default)]
pub(crate) struct Book(Vec<Entry>);

struct Entry {
    name: String,
    bind: SocketAddr,
    address: SocketAddr,
    open: bool,
}

/// What the listeners of a policy are to become.
pub(crate) struct Plan {
    /// By position in the policy's listeners.
    pub(crate) ids: Vec<usize>,
    /// Sockets of new listeners, one a worker.
    pub(crate) bound: Vec<(usize, Vec<TcpListener>)>,
    entries: Vec<Entry>,
}

impl Book {
    /// Finds the listeners that stay and binds those that are new.
    pub(crate) fn plan(&self, wanted: &[Listener], workers: usize) -> Result<Plan, StartError> {
        let mut plan = Plan {
            ids: Vec::new(),
            bound: Vec::new(),
            entries: Vec::new(),
        };
        for listener in wanted {
            if let Some(id) = self.find(listener) {
                plan.ids.push(id);
                continue;
            }
            let sockets = listener::bind(listener, workers)?;
            let address = sockets.first().and_then(|socket| socket.local_addr().ok());
            let id = self.0.len() + plan.entries.len();
            plan.entries.push(Entry {
                name: listener.name.clone(),
                bind: listener.bind,
                address: address.unwrap_or(listener.bind),
                open: true,
            });
            plan.ids.push(id);
            plan.bound.push((id, sockets));
        }
        Ok(plan)
    }

    /// The same address is the same listener; where the system chooses the port, the same name.
    fn find(&self, wanted: &Listener) -> Option<usize> {
        self.0.iter().position(|entry| {
            entry.open
                && entry.bind == wanted.bind
                && (wanted.bind.port() != 0 || entry.name == wanted.name)
        })
    }

    /// Takes a plan over; the listeners that have to be closed.
    pub(crate) fn commit(&mut self, plan: &mut Plan, wanted: &[Listener]) -> Vec<usize> {
        self.0.append(&mut plan.entries);
        for (listener, id) in wanted.iter().zip(&plan.ids) {
            self.0[*id].name.clone_from(&listener.name);
        }
        let gone = |(id, entry): (usize, &mut Entry)| {
            let gone = entry.open && !plan.ids.contains(&id);
            entry.open &= !gone;
            gone.then_some(id)
        };
        self.0.iter_mut().enumerate().filter_map(gone).collect()
    }

    /// Names and addresses of the listeners that are open.
    pub(crate) fn open(&self) -> Vec<(String, SocketAddr)> {
        let open = self.0.iter().filter(|entry| entry.open);
        open.map(|entry| (entry.name.clone(), entry.address))
            .collect()
    }
}

/// Offers policies to a proxy that runs. Clones offer them to the same one.
#[derive(Clone)]
pub struct Reloader {
    shared: Arc<Shared>,
    book: Arc<Mutex<Book>>,
}

impl Reloader {
    pub(crate) fn new(shared: Arc<Shared>, book: Arc<Mutex<Book>>) -> Self {
        Self { shared, book }
    }

    /// Serves `policy` from now on, if all of it can be served. Waits for the control task, some
    /// seconds at most.
    ///
    /// # Errors
    /// What cannot be served: a port in use, a certificate that cannot be read. The policy from
    /// before goes on serving, undisturbed.
    pub fn reload(&self, policy: Policy) -> Result<(), StartError> {
        let mut book = lock(&self.book);
        let taken = self.take(&mut book, policy);
        if let Err(error) = &taken {
            self.reject(vec![error.to_string()]);
        }
        taken
    }

    fn take(&self, book: &mut Book, mut policy: Policy) -> Result<(), StartError> {
        let wanted = policy.listeners.clone();
        let mut plan = book.plan(&wanted, self.shared.peers.len())?;
        let hash = policy.hash.clone();
        let before = self.shared.snapshot.load_full().serving.clone();
        if before.policy.state_dir != policy.state_dir {
            tracing::warn!(
                "state_dir has changed: that takes a restart; the one from before is used"
            );
            policy.state_dir.clone_from(&before.policy.state_dir);
        }
        if before.policy.record != policy.record {
            tracing::warn!(
                "journal has changed: that takes a restart; the one from before is used"
            );
            policy.record.clone_from(&before.policy.record);
        }
        if (before.policy.admin, before.policy.admin_read_only)
            != (policy.admin, policy.admin_read_only)
        {
            tracing::warn!(
                "an address of the admin side has changed: that takes a restart; the ones from before \
                 are used, and who may use them is as the new policy says"
            );
        }
        let metrics = &self.shared.metrics;
        let serving = Serving::new(policy, &plan.ids, Some(&before), metrics)?;
        self.swap(Arc::new(serving))?;
        for (listener, sockets) in std::mem::take(&mut plan.bound) {
            for (peer, socket) in self.shared.peers.iter().zip(sockets) {
                crate::app::send(&peer.inbox, WorkerMessage::Listen { listener, socket });
            }
        }
        for listener in book.commit(&mut plan, &wanted) {
            for peer in &self.shared.peers {
                crate::app::send(&peer.inbox, WorkerMessage::Close { listener });
            }
        }
        self.shared.access_log.look();
        let now = unix_now();
        metrics.policy_loaded(&hash, now);
        *lock(&self.shared.reloads) = Reloads::taken(now, book);
        tracing::info!(hash, "policy loaded");
        Ok(())
    }

    /// Hands the policy to the control task, which is the only one that publishes.
    fn swap(&self, serving: Arc<Serving>) -> Result<(), StartError> {
        let (done, taken) = sync_channel(1);
        crate::app::send(
            &self.shared.control,
            ControlMessage::Serve { serving, done },
        );
        taken
            .recv_timeout(PATIENCE)
            .map_err(|_| StartError::new("the control task did not take the policy over in time"))
    }

    /// Notes that a policy was not taken, and why; the one from before goes on serving.
    pub fn reject(&self, problems: Vec<String>) {
        self.shared.metrics.policy_rejected();
        lock(&self.shared.reloads).rejected = Some(Rejected {
            time: unix_now(),
            problems,
        });
    }
}

/// Seconds since 1970, by the wall clock.
pub(crate) fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// A thread that panicked while it held one of these locks left nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
