//! What happens next: events in the order of their time, then in the order in which they were
//! planned.

use leeward_failover::{EndpointId, ProbeResult, Time};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Something that happens at a moment.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The next request of a load comes.
    Arrival(usize),
    /// An attempt comes to its next step.
    Step {
        request: u64,
        attempt: u32,
        step: Step,
    },
    /// Counts go to the engine.
    Flush,
    /// The engine's deadline.
    Wake,
    /// A probe ended.
    Probed(EndpointId, ProbeResult, u64),
    /// A name is asked.
    Resolve(usize),
    /// Phases begin or end.
    Edge,
    /// Something is done to leeward.
    Deed(usize),
    /// Workers look at what waits.
    Watch,
    /// The shadow looks at the world.
    Look,
}

/// The next step of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// No connection came about.
    Undialled { tls: bool },
    /// The request reaches the server.
    Reach,
    /// The head of an answer, or its end, comes back.
    Answer { code: u16, whole: bool, full: bool },
    /// The connection breaks.
    Break,
    /// Patience or time is up.
    Timer,
}

/// Events to come.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    planned: u64,
}

#[derive(Debug)]
struct Entry {
    at: Time,
    number: u64,
    event: Event,
}

impl Queue {
    pub(crate) fn plan(&mut self, at: Time, event: Event) {
        self.planned += 1;
        let number = self.planned;
        self.heap.push(Entry { at, number, event });
    }

    pub(crate) fn next(&mut self) -> Option<(Time, Event)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The heap gives the greatest first.
    fn cmp(&self, other: &Entry) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}
