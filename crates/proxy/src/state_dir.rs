//! The state folder: what outlives the process, in files.
//!
//! Owns the folder, its files and when they are written. `read` finds what a process before this one
//! left, `write` is the thread that writes. The control task hands over what is to be written and
//! never waits for a disk: of the memory the newest is kept, of the journal a bounded number.
//!
//! It refuses to start on a folder that cannot be written or that another leeward has. Whatever
//! happens to the files later is logged and counted, and changes nothing about the traffic.

mod read;
mod write;

use crate::admin::Call;
use crate::error::StartError;
use crate::journal::Entry;
use crate::worker::Shared;
use leeward_failover::{Engine, Memory};
use leeward_metrics::Metrics;
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const MEMORY: &str = "state.json";
const JOURNAL: &str = "journal.jsonl";
const OLD_JOURNAL: &str = "journal.jsonl.1";

/// Between two writes of the memory, at least.
const PAUSE: Duration = Duration::from_secs(1);
/// The memory is written this often though nothing changed: its age says how long nobody was there.
const AGAIN: Duration = Duration::from_secs(60);
/// Entries of the journal that wait for the disk at most.
const MOST_WAITING: usize = 1024;
/// Longest wait for the last writes at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A folder that this process alone writes to.
pub(crate) struct StateDir {
    path: PathBuf,
    /// Held until the process ends.
    _lock: File,
}

/// What a process before this one left.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What it knew, and how long ago; its `seq` is where the journal goes on.
    pub(crate) memory: Option<(Memory, Duration)>,
    /// The newest entries of its journal, by number.
    pub(crate) journal: Vec<(u64, Value)>,
}

/// Opens the folder and reads what is in it. What cannot be read is set aside and logged.
///
/// # Errors
/// The folder is not there or cannot be written: the policy's fault. Another leeward has it: not
/// the policy's fault.
pub(crate) fn open(path: &Path) -> Result<(StateDir, Found), StartError> {
    let shown = path.display();
    let unusable = |error: std::io::Error| {
        StartError::policy(format!(
            "state_dir {shown} has to be a folder that leeward can write to: {error}"
        ))
    };
    if !std::fs::metadata(path).map_err(unusable)?.is_dir() {
        return Err(unusable(std::io::ErrorKind::NotADirectory.into()));
    }
    let lock = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path.join("lock"))
        .map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let text = format!("state_dir {shown} is in use by another leeward");
            return Err(StartError::new(text));
        }
        Err(TryLockError::Error(error)) => {
            tracing::warn!(%error, "state_dir {shown} cannot be locked; going on without");
        }
    }
    let dir = StateDir {
        path: path.to_owned(),
        _lock: lock,
    };
    let found = read::read(path);
    Ok((dir, found))
}

/// What waits to be written.
#[derive(Default)]
struct Waiting {
    /// When it was taken, in milliseconds since 1970, and the newest memory.
    memory: Option<(u64, Memory)>,
    journal: VecDeque<Line>,
    /// Nothing comes after this.
    ends: bool,
    /// All is written, as far as it can be.
    ended: bool,
}

/// A line of the journal's file.
#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Decision(Entry),
    /// What somebody asked of the admin side; it has no number of the engine's.
    Call {
        call: Call,
    },
}

/// Where the control task leaves what is to be written. Held for moments only, never during I/O.
#[derive(Default)]
pub(crate) struct Mailbox {
    waiting: Mutex<Waiting>,
    told: Condvar,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A steering call for the journal's file. Dropped and counted where too much waits already.
    pub(crate) fn note(&self, call: Call, metrics: &Metrics) {
        let mut waiting = self.lock();
        if waiting.journal.len() >= MOST_WAITING {
            metrics.journal_dropped();
        } else {
            waiting.journal.push_back(Line::Call { call });
            self.told.notify_all();
        }
    }

    /// Lets the writer write what waits and end; waits for that, a bounded time.
    pub(crate) fn end(&self) {
        let mut waiting = self.lock();
        waiting.ends = true;
        self.told.notify_all();
        let ended = self
            .told
            .wait_timeout_while(waiting, PATIENCE, |waiting| !waiting.ended);
        let (waiting, _) = ended.unwrap_or_else(PoisonError::into_inner);
        if !waiting.ended {
            tracing::error!("the disk of state_dir is too slow: the last changes are not kept");
        }
    }
}

/// Writes what is left in `mailbox` until its end. Blocks: for a thread of its own.
pub(crate) fn run(dir: &StateDir, mailbox: &Mailbox, metrics: &Metrics) {
    write::run(dir, mailbox, metrics);
}

/// The control task's side: what is to be kept, and when.
pub(crate) struct Keeper {
    mailbox: Arc<Mailbox>,
    changed: bool,
    kept_at: Option<Instant>,
    dropping: bool,
}

impl Keeper {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            mailbox,
            changed: true,
            kept_at: None,
            dropping: false,
        }
    }

    /// An entry for the journal's file. Dropped and counted where too many wait already.
    pub(crate) fn record(&mut self, entry: &Entry, metrics: &Metrics) {
        self.changed = true;
        let mut waiting = self.mailbox.lock();
        let full = waiting.journal.len() >= MOST_WAITING;
        if full {
            metrics.journal_dropped();
        } else {
            waiting.journal.push_back(Line::Decision(entry.clone()));
            self.mailbox.told.notify_all();
        }
        drop(waiting);
        if full && !self.dropping {
            tracing::error!(
                "the disk of state_dir is too slow: decisions are missing in its journal"
            );
        }
        self.dropping = full;
    }

    /// How long it is until the memory is to be kept.
    pub(crate) fn due_in(&self) -> Duration {
        let pause = if self.changed { PAUSE } else { AGAIN };
        self.kept_at.map_or(Duration::ZERO, |kept_at| {
            pause.saturating_sub(kept_at.elapsed())
        })
    }

    /// Hands the engine's memory over, where it is due.
    pub(crate) fn keep(&mut self, engine: &Engine, shared: &Shared) {
        if self.due_in().is_zero() {
            self.keep_now(engine, shared);
        }
    }

    /// Hands the engine's memory over.
    pub(crate) fn keep_now(&mut self, engine: &Engine, shared: &Shared) {
        let memory = engine.memory(shared.now());
        self.mailbox.lock().memory = Some((unix_millis(), memory));
        self.mailbox.told.notify_all();
        (self.changed, self.kept_at) = (false, Some(Instant::now()));
    }
}

/// Milliseconds since 1970, by the wall clock.
fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
