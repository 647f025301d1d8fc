//! What is shown of the access log: lines written, lines dropped, failures.
//!
//! Owns these families. Workers count what they drop; the thread that writes counts the rest.

use crate::Metrics;
use crate::cells::Counter;
use crate::family::{Family, counter};

pub(crate) static LINES: Family = counter(
    "leeward_access_log_lines_total",
    &[],
    "Lines of the access log that were written.",
);
pub(crate) static DROPPED: Family = counter(
    "leeward_access_log_dropped_total",
    &["reason"],
    "Lines of the access log that were not written.",
);
pub(crate) static ERRORS: Family = counter(
    "leeward_access_log_errors_total",
    &[],
    "Times that the access log could not be opened or written; each is tried again.",
);

/// Why a line of the access log was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineDropped {
    /// It is written more slowly than requests end.
    Full,
    /// It cannot be written: the disk is full, or nobody listens.
    Unwritable,
}

impl LineDropped {
    /// Every reason.
    pub const ALL: [LineDropped; 2] = [LineDropped::Full, LineDropped::Unwritable];

    /// The word in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            LineDropped::Full => "full",
            LineDropped::Unwritable => "unwritable",
        }
    }

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            LineDropped::Full => {
                "Too many lines wait: they are written more slowly than they come."
            }
            LineDropped::Unwritable => {
                "Too many lines wait: the disk is full, the socket is gone, or leeward ends."
            }
        }
    }
}

/// What workers count of the access log.
#[derive(Clone, Copy, Debug)]
pub struct AccessLogSlots {
    dropped: [Counter; LineDropped::ALL.len()],
}

impl AccessLogSlots {
    /// Lines dropped for this reason.
    pub const fn dropped(&self, reason: LineDropped) -> Counter {
        self.dropped[reason as usize]
    }
}

impl Metrics {
    /// The handles of the access log; what is shown of it begins at 0 with this.
    pub fn access_log(&self) -> AccessLogSlots {
        let state = &mut *self.lock();
        state.numbers.add(&LINES, &[], 0.0);
        state.numbers.add(&ERRORS, &[], 0.0);
        AccessLogSlots {
            dropped: LineDropped::ALL
                .map(|reason| state.registry.counter(&DROPPED, &[reason.as_str()])),
        }
    }

    /// So many lines were written.
    pub fn access_log_written(&self, lines: u64) {
        self.lock().numbers.add(&LINES, &[], lines as f64);
    }

    /// So many lines that had come to the thread that writes were dropped for this reason.
    pub fn access_log_dropped(&self, reason: LineDropped, lines: u64) {
        let state = &mut *self.lock();
        let counter = state.registry.counter(&DROPPED, &[reason.as_str()]);
        state.sheet.add(counter.0, lines);
    }

    /// It could not be opened or written.
    pub fn access_log_failed(&self) {
        self.lock().numbers.add(&ERRORS, &[], 1.0);
    }
}
