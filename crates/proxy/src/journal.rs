//! The newest part of the journal, in memory: every decision with its evidence.
//!
//! Written by the control task, read by the admin side. Bounded: the oldest entries go first. Begins
//! with what `state_dir` found of before a restart.

use leeward_failover::Event;
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Decisions kept.
const KEPT: usize = 10_000;

/// The newest decisions.
#[derive(Default)]
pub(crate) struct Journal(Mutex<VecDeque<(u64, Recorded)>>);

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
        Self(Mutex::new(before.into_iter().map(recorded).collect()))
    }

    pub(crate) fn write(&self, entry: Entry) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= KEPT {
            entries.pop_front();
        }
        entries.push_back((entry.event.seq, Recorded::Own(entry)));
    }

    /// Entries after `seq`, oldest first, `limit` of them at most; the newest ones when there are
    /// more.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Vec<Recorded> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = entries.partition_point(|(number, _)| *number <= seq);
        let first = first.max(entries.len().saturating_sub(limit));
        let newest = entries.range(first..);
        newest.map(|(_, entry)| entry.clone()).collect()
    }
}
