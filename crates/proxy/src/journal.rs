//! The newest part of the journal, in memory: every decision with its evidence.
//!
//! Written by the control task, read by the admin side. Bounded: the oldest entries go first.

use leeward_failover::Event;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Decisions kept.
const KEPT: usize = 10_000;

/// The newest decisions.
#[derive(Default)]
pub(crate) struct Journal(Mutex<VecDeque<Entry>>);

/// One decision.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// When, in seconds since 1970, by the wall clock.
    pub(crate) time: f64,
    #[serde(flatten)]
    pub(crate) event: Event,
}

impl Journal {
    pub(crate) fn write(&self, entry: Entry) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= KEPT {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// Entries after `seq`, oldest first, `limit` of them at most; the newest ones when there are
    /// more.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Vec<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = entries.partition_point(|entry| entry.event.seq <= seq);
        let first = first.max(entries.len().saturating_sub(limit));
        entries.range(first..).cloned().collect()
    }
}
