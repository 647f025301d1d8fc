//! What the engine has to say: the queue of outputs, and the numbering of events.
//!
//! The queue is bounded by construction: the driver drains it after each input, and one input
//! changes each verdict at most a few times.

use crate::held::Evidence;
use crate::output::{Change, Event, Output, Subject};
use crate::time::Time;
use crate::verdict::Cause;
use std::collections::VecDeque;

/// A number that comes from outside is cut here: JSON's readers hold no larger one exactly.
const LARGEST: u64 = 1 << 53;

#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    outputs: VecDeque<Output>,
    seq: u64,
}

impl Journal {
    pub(crate) fn event(
        &mut self,
        at: Time,
        subject: Subject,
        change: Change,
        cause: Cause,
        evidence: Evidence,
    ) {
        debug_assert!(
            are_distinct(&evidence),
            "two facts of one name: {evidence:?}"
        );
        self.seq += 1;
        self.push(Output::Event(Event {
            seq: self.seq,
            at,
            subject,
            change,
            cause,
            evidence,
        }));
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The number of the newest event.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    /// The events after `seq` that nobody has read yet: the sweep looks at those of one input.
    #[cfg(debug_assertions)]
    pub(crate) fn since(&self, seq: u64) -> Vec<Event> {
        let events = self.outputs.iter().filter_map(|output| match output {
            Output::Event(event) if event.seq > seq => Some(event.clone()),
            _ => None,
        });
        events.collect()
    }

    /// Numbers on from `seq`, events that nobody has read yet among them.
    pub(crate) fn go_on_from(&mut self, seq: u64) {
        let before = seq.min(LARGEST);
        self.seq = self.seq.saturating_add(before);
        for output in &mut self.outputs {
            if let Output::Event(event) = output {
                event.seq = event.seq.saturating_add(before);
            }
        }
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
    evidence
        .iter()
        .enumerate()
        .all(|(at, (name, _))| evidence[..at].iter().all(|(n, _)| n != name))
}
