//! What the engine has to say: the queue of outputs, and the numbering of events.
//!
//! The queue is bounded by construction: the driver drains it after each input, and one input
//! changes each verdict at most a few times.

use crate::held::Evidence;
use crate::output::{Change, Event, Output, Subject};
use crate::time::Time;
use crate::verdict::Cause;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(crate) struct Journal {
    outputs: VecDeque<Output>,
    seq: u64,
}

impl Journal {
    pub(crate) fn event(&mut self, at: Time, subject: Subject, change: Change, cause: Cause, evidence: Evidence) {
        debug_assert!(are_distinct(&evidence), "two facts of one name: {evidence:?}");
        self.seq += 1;
        self.push(Output::Event(Event { seq: self.seq, at, subject, change, cause, evidence }));
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Where the next output will stand, for [`Journal::amend`] within the same input.
    pub(crate) fn position(&self) -> usize {
        self.outputs.len()
    }

    /// Adds a fact to an event that nobody has read yet.
    pub(crate) fn amend(&mut self, position: usize, fact: &'static str, value: String) {
        if let Some(Output::Event(event)) = self.outputs.get_mut(position) {
            match event.evidence.iter_mut().find(|(name, _)| *name == fact) {
                Some((_, known)) => *known = format!("{known}; {value}"),
                None => event.evidence.push((fact, value)),
            }
        }
    }
}

/// The journal writes evidence as a map.
fn are_distinct(evidence: &Evidence) -> bool {
    evidence.iter().enumerate().all(|(at, (name, _))| evidence[..at].iter().all(|(n, _)| n != name))
}
