//! The newest part of the journal, in memory: every decision with its evidence.
//!
//! Written by the control task, read by the admin side. Bounded: the oldest entries go first. Begins
//! with what `state_dir` found of before a restart.

use leeward_failover::Event;
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Decisions kept.
const KEPT: usize = 10_000;

/// The newest decisions.
#[derive(Default)]
pub(crate) struct Journal {
    entries: Mutex<VecDeque<(u64, Recorded)>>,
    /// The number of the newest one, for those who wait for the next.
    newest: watch::Sender<u64>,
}

/// A decision of this process, or of one before it.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Recorded {
    Own(Entry),
    Before(Value),
}

/// One decision.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// When, in seconds since 1970, by the wall clock.
    pub(crate) time: f64,
    #[serde(flatten)]
    pub(crate) event: Event,
}

impl Journal {
    /// A journal that goes on from `before`, each with its number, in their order.
    pub(crate) fn going_on_from(before: Vec<(u64, Value)>) -> Self {
        let recorded = |(seq, entry)| (seq, Recorded::Before(entry));
        let newest = before.last().map_or(0, |(seq, _)| *seq);
        Self {
            entries: Mutex::new(before.into_iter().map(recorded).collect()),
            newest: watch::Sender::new(newest),
        }
    }

    pub(crate) fn write(&self, entry: Entry) {
        let seq = entry.event.seq;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= KEPT {
            entries.pop_front();
        }
        entries.push_back((seq, Recorded::Own(entry)));
        drop(entries);
        self.newest.send_replace(seq);
    }

    /// The number of the newest entry, now and whenever it changes.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// The number of the oldest entry that is kept; 0 where there is none.
    pub(crate) fn oldest(&self) -> u64 {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.front().map_or(0, |(seq, _)| *seq)
    }

    /// Entries after `seq`, oldest first, `limit` of them at most; the newest ones when there are
    /// more.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Vec<Recorded> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let first = entries.partition_point(|(number, _)| *number <= seq);
        let first = first.max(entries.len().saturating_sub(limit));
        let newest = entries.range(first..);
        newest.map(|(_, entry)| entry.clone()).collect()
    }

    /// The `limit` next entries after `seq`, oldest first, with their numbers.
    pub(crate) fn next_after(&self, seq: u64, limit: usize) -> Vec<(u64, Recorded)> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let first = entries.partition_point(|(number, _)| *number <= seq);
        entries.range(first..).take(limit).cloned().collect()
    }
}
