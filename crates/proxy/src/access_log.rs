//! The access log: one line of JSON for each request, never in the way of traffic.
//!
//! A request keeps notes (`account`) where the policy wants a log, and nothing at all where it does
//! not. At its end they become a record (`line`), which goes into a bounded queue; one thread makes
//! lines of them and writes (`write`, `sink`). A full queue drops and counts, a worker never waits.
//! Made and ended by `app`, filled by `exchange`.

mod account;
mod line;
mod sink;
mod trace;
mod write;

pub(crate) use account::{Account, Flag, Side, Tracked};
pub(crate) use write::Writer;

use leeward_metrics::LineDropped;
use line::Record;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

/// Records that wait for the thread that writes at most.
const MOST_WAITING: usize = 4096;

/// The way to the thread that writes.
pub(crate) struct AccessLog {
    queue: SyncSender<Message>,
    told: Arc<Told>,
}

/// What the thread that writes is sent.
enum Message {
    Record(Box<Record>),
    /// Wakes it to look at what it is told.
    Look,
}

/// What the thread that writes is told, and tells. Apart from the queue, which may be full.
#[derive(Default)]
struct Told {
    /// Something of it, or the policy, has changed since it looked.
    look: AtomicBool,
    reopen: AtomicBool,
    end: AtomicBool,
    /// It cannot write.
    failing: AtomicBool,
}

/// A log and what writes it, which waits for [`Writer::run`].
pub(crate) fn new() -> (AccessLog, Writer) {
    let (queue, records) = sync_channel(MOST_WAITING);
    let told = Arc::new(Told::default());
    let log = AccessLog {
        queue,
        told: told.clone(),
    };
    (log, Writer::new(records, told))
}

impl AccessLog {
    /// Takes a record over, or says why not. Never waits.
    fn take(&self, record: Box<Record>) -> Result<(), LineDropped> {
        let taken = self.queue.try_send(Message::Record(record));
        taken.map_err(|_| match self.told.failing.load(Ordering::Relaxed) {
            true => LineDropped::Unwritable,
            false => LineDropped::Full,
        })
    }

    /// Writes go to the file of that name as it is now.
    pub(crate) fn reopen(&self) {
        self.told.reopen.store(true, Ordering::Relaxed);
        self.look();
    }

    /// Another policy serves.
    pub(crate) fn look(&self) {
        self.told.look.store(true, Ordering::SeqCst);
        // Where there is no room, it is awake already.
        let _ = self.queue.try_send(Message::Look);
    }

    /// Nothing more comes: write what is there, and end.
    pub(crate) fn end(&self) {
        self.told.end.store(true, Ordering::Relaxed);
        self.look();
    }
}
