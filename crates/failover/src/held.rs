//! What is held of a place and why: the part that endpoints, sites and providers have in common.
//!
//! Owns the verdict with its cause and evidence, and the operator's word beside it. It decides
//! nothing; the two are kept apart because they come from different judges.

use crate::input::OperatorWord;
use crate::time::Time;
use crate::verdict::{Cause, Verdict};
use std::time::Duration;

/// Facts that a decision rests on, short and for people, best read in this order.
pub(crate) type Evidence = Vec<(&'static str, String)>;

/// A verdict, why, and since when.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub verdict: Verdict,
    pub cause: Cause,
    pub evidence: Evidence,
    pub since: Time,
}

impl Held {
    pub(crate) const fn new(now: Time) -> Held {
        Held { verdict: Verdict::Unknown, cause: Cause::New, evidence: Vec::new(), since: now }
    }

    /// Takes another verdict, or the same for another reason; returns the one before.
    pub(crate) fn become_(&mut self, to: Verdict, cause: Cause, evidence: Evidence, now: Time) -> Verdict {
        let from = std::mem::replace(&mut self.verdict, to);
        if from != to {
            self.since = now;
        }
        self.cause = cause;
        self.evidence = evidence;
        from
    }
}

/// What an operator said of a place; nothing means [`OperatorWord::Active`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Word {
    pub word: OperatorWord,
    /// When it lapses; never when absent.
    pub until: Option<Time>,
    pub reason: String,
}

impl Word {
    /// Whether new work is kept away.
    pub(crate) fn keeps_away(&self) -> bool {
        self.word != OperatorWord::Active
    }

    /// When it lapses, in milliseconds from now.
    pub(crate) fn lapses_in_ms(&self, now: Time) -> Option<u64> {
        self.until.map(|until| millis(until.since(now)))
    }
}

/// A span in whole milliseconds.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A span for people: `30s`, `1m30s`, `250ms`.
pub(crate) fn spoken(span: Duration) -> String {
    let (seconds, millis) = (span.as_secs(), span.subsec_millis());
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) => format!("{millis}ms"),
        (0, 0, s) if millis > 0 => format!("{s}.{}s", millis / 100),
        (0, 0, s) => format!("{s}s"),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, 0, _) => format!("{h}h"),
        (h, m, _) => format!("{h}h{m}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_spoken_as_people_write_them() {
        let said = |ms| spoken(Duration::from_millis(ms));
        assert_eq!(said(250), "250ms");
        assert_eq!(said(1_500), "1.5s");
        assert_eq!(said(30_000), "30s");
        assert_eq!(said(90_000), "1m30s");
        assert_eq!(said(900_000), "15m");
        assert_eq!(said(3_600_000), "1h");
        assert_eq!(said(5_400_000), "1h30m");
    }
}
