//! Who asked for what: every steering call, refused ones among them.
//!
//! A call is a line of the log, an entry of a bounded list (`/api/v1/calls`, the page), and with
//! `state_dir` a line of `journal.jsonl`. Calls of people who are not known are bounded in time: a
//! stranger cannot push the others out; how many are missing is said in the next one.

use crate::reload::{lock, unix_now};
use crate::state_dir::Mailbox;
use leeward_metrics::Metrics;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Calls kept.
const KEPT: usize = 500;
/// Calls of strangers that are noted at once at most, and one more after each pause.
const STRANGERS: u32 = 20;
const PAUSE: Duration = Duration::from_secs(3);

/// One steering call.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Call {
    /// Its number, from 1; of this process alone.
    pub(crate) seq: u64,
    /// When, in seconds since 1970.
    pub(crate) time: f64,
    /// `token oncall`, `certificate …`, `this machine`; nothing where that is not known.
    pub(crate) who: Option<String>,
    /// What they may do.
    pub(crate) role: Option<&'static str>,
    /// Where they are.
    pub(crate) address: String,
    /// `evacuated`, `draining`, `active`.
    pub(crate) word: &'static str,
    pub(crate) targets: Vec<String>,
    pub(crate) reason: String,
    /// For how long, as it was asked for.
    pub(crate) lasts: Option<String>,
    pub(crate) forced: bool,
    /// The status of the answer: 200 where the word was said.
    pub(crate) status: u16,
    /// Why it was refused.
    pub(crate) error: Option<String>,
    /// Calls of strangers before this one that were not noted.
    pub(crate) missing: u64,
}

/// The newest calls.
pub(crate) struct Calls {
    list: Mutex<List>,
    newest: watch::Sender<u64>,
    kept: Option<Arc<Mailbox>>,
}

struct List {
    calls: VecDeque<Call>,
    seq: u64,
    strangers: u32,
    since: Instant,
    missing: u64,
}

impl Calls {
    /// None yet; `kept` is what writes them to a file.
    pub(crate) fn new(kept: Option<Arc<Mailbox>>) -> Self {
        Self {
            list: Mutex::new(List {
                calls: VecDeque::new(),
                seq: 0,
                strangers: STRANGERS,
                since: Instant::now(),
                missing: 0,
            }),
            newest: watch::Sender::new(0),
            kept,
        }
    }

    /// Notes a call that has been answered.
    pub(super) fn note(&self, mut call: Call, metrics: &Metrics) {
        let mut list = lock(&self.list);
        if call.who.is_none() && !list.has_room_for_stranger() {
            list.missing += 1;
            return;
        }
        list.seq += 1;
        call.seq = list.seq;
        call.time = unix_now();
        call.missing = std::mem::take(&mut list.missing);
        if list.calls.len() >= KEPT {
            list.calls.pop_front();
        }
        list.calls.push_back(call.clone());
        drop(list);
        tracing::info!(
            who = call.who.as_deref().unwrap_or("nobody known"),
            role = call.role.unwrap_or("none"),
            address = %call.address,
            word = call.word,
            targets = ?call.targets,
            reason = %call.reason,
            forced = call.forced,
            status = call.status,
            error = call.error.as_deref().unwrap_or(""),
            "steering call"
        );
        self.newest.send_replace(call.seq);
        if let Some(kept) = &self.kept {
            kept.note(call, metrics);
        }
    }

    /// Calls after `seq`, oldest first.
    pub(super) fn after(&self, seq: u64) -> Vec<Call> {
        let list = lock(&self.list);
        let after = list.calls.iter().filter(|call| call.seq > seq);
        after.cloned().collect()
    }

    /// The number of the newest call, now and whenever it changes.
    pub(super) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

impl List {
    fn has_room_for_stranger(&mut self) -> bool {
        let pauses = self.since.elapsed().as_secs() / PAUSE.as_secs();
        if pauses > 0 {
            let more = u32::try_from(pauses).unwrap_or(u32::MAX);
            self.strangers = self.strangers.saturating_add(more).min(STRANGERS);
            self.since = Instant::now();
        }
        let room = self.strangers > 0;
        self.strangers = self.strangers.saturating_sub(1);
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leeward_metrics::BuildInfo;

    #[test]
    fn strangers_cannot_push_the_others_out() {
        let calls = Calls::new(None);
        let metrics = Metrics::new(&BuildInfo {
            version: "0",
            revision: "0",
            rustc: "0",
        });
        let known = |n: u32| Call {
            who: Some(format!("token {n}")),
            ..Call::default()
        };
        calls.note(known(1), &metrics);
        for _ in 0..10_000 {
            calls.note(Call::default(), &metrics);
        }
        calls.note(known(2), &metrics);
        let all = calls.after(0);
        assert_eq!(all.len(), STRANGERS as usize + 2);
        assert_eq!(
            all.first().and_then(|call| call.who.as_deref()),
            Some("token 1")
        );
        let last = all.last().expect("a call");
        assert_eq!(last.missing, 10_000 - u64::from(STRANGERS));
        for n in 0..2 * KEPT as u32 {
            calls.note(known(n), &metrics);
        }
        assert_eq!(calls.after(0).len(), KEPT);
    }
}
