//! The record: what the engine is told, and what it decides, so that a run can be replayed.
//!
//! Owns [`Driven`], the engine with its record, through which alone the control task tells it
//! anything. The newest part is kept in memory, all of it in a file where the policy says so; the file
//! is `write`'s. One line of JSON each: a head with the engine's seed, then inputs with their times and
//! decisions as they came. Nothing here waits: a disk that is too slow ends the record, not the traffic.

mod write;

use leeward_config::policy;
use leeward_failover::{Engine, Event, Input, Output, Time};
use leeward_metrics::Metrics;
use serde::Serialize;
use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

pub(crate) use write::Writer;

/// Lines kept in memory.
const KEPT: usize = 16_384;
/// Lines that wait for the disk at most.
const MOST_WAITING: usize = 4096;
/// The shape of the lines.
const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, Serialize)]
struct Head {
    leeward_record: u32,
    /// What recorded it.
    version: &'static str,
    /// The engine's.
    seed: u64,
    /// When the engine's clock began, in seconds since 1970.
    began: f64,
    /// Whether nothing is missing between this line and the next.
    complete: bool,
}

/// Any other line.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Line {
    /// What the engine was told, and when.
    Input {
        /// On the engine's clock.
        at: Time,
        /// What.
        input: Input,
    },
    /// What it decided.
    Event {
        /// As in the journal.
        event: Event,
    },
}

/// The newest lines.
pub(crate) struct Ring {
    head: Head,
    lines: Mutex<(VecDeque<Arc<Line>>, u64)>,
}

impl Ring {
    fn push(&self, line: Arc<Line>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.0.len() >= KEPT {
            lines.0.pop_front();
            lines.1 += 1;
        }
        lines.0.push_back(line);
    }

    /// All of it as it would stand in a file.
    pub(crate) fn text(&self) -> String {
        let (lines, lost) = {
            let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            (lines.0.clone(), lines.1)
        };
        let head = Head {
            complete: lost == 0,
            ..self.head.clone()
        };
        let mut text = json(&head);
        for line in &lines {
            text.push_str(&json(&**line));
        }
        text
    }
}

/// One line, with its end. What cannot be written as JSON is an empty line.
fn json(line: &impl Serialize) -> String {
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}

/// The engine, and the record of what it is told.
pub(crate) struct Driven {
    engine: Engine,
    ring: Arc<Ring>,
    file: Option<SyncSender<Arc<Line>>>,
    /// The record ended because the disk was too slow.
    torn: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Driven {
    /// An engine that knows nothing yet, and the writer of its record where the policy wants one. To
    /// be made when the engine's clock begins.
    pub(crate) fn new(
        seed: u64,
        version: &'static str,
        record: Option<&policy::Record>,
        metrics: Metrics,
    ) -> (Self, Option<Writer>) {
        let began = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let head = Head {
            leeward_record: VERSION,
            version,
            seed,
            began: began.as_secs_f64(),
            complete: true,
        };
        let torn = Arc::new(AtomicBool::new(false));
        let (file, writer) = record
            .map(|record| {
                let (sender, lines) = sync_channel(MOST_WAITING);
                let writer = Writer::new(record.clone(), json(&head), lines, torn.clone());
                (sender, writer)
            })
            .unzip();
        let ring = Ring {
            head,
            lines: Mutex::default(),
        };
        let driven = Self {
            engine: Engine::new(seed),
            ring: Arc::new(ring),
            file,
            torn,
            metrics,
        };
        (driven, writer)
    }

    /// The newest part of the record.
    pub(crate) fn ring(&self) -> Arc<Ring> {
        self.ring.clone()
    }

    /// Tells the engine something, for the record too.
    pub(crate) fn handle(&mut self, input: Input, now: Time) {
        let told = input.clone();
        self.note(Line::Input { at: now, input });
        self.engine.handle(told, now);
    }

    /// The next thing to do, for the record too where it is a decision.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        let output = self.engine.poll_output()?;
        if let Output::Event(event) = &output {
            let event = event.clone();
            self.note(Line::Event { event });
        }
        Some(output)
    }

    fn note(&mut self, line: Line) {
        let line = Arc::new(line);
        self.ring.push(line.clone());
        let Some(file) = &self.file else { return };
        if file.try_send(line).is_ok() {
            return;
        }
        // A record with a hole does not replay: it ends here. A writer that has gone said why.
        self.torn.store(true, Ordering::Relaxed);
        self.file = None;
        self.metrics.record_dropped();
    }
}

/// All that only looks.
impl Deref for Driven {
    type Target = Engine;
    fn deref(&self) -> &Engine {
        &self.engine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leeward_metrics::BuildInfo;

    fn driven() -> Driven {
        let build = BuildInfo {
            version: "0",
            revision: "0",
            rustc: "0",
        };
        Driven::new(7, "0", None, Metrics::new(&build)).0
    }

    fn lines(driven: &Driven) -> Vec<serde_json::Value> {
        let text = driven.ring().text();
        let parsed = text.lines().map(serde_json::from_str);
        parsed.collect::<Result<_, _>>().expect("JSON")
    }

    #[test]
    fn the_ring_begins_with_the_seed_and_holds_what_was_told_and_decided() {
        let mut driven = driven();
        driven.handle(Input::Policy(Box::default()), Time::ZERO);
        driven.handle(Input::Wake, Time(5));
        while driven.poll_output().is_some() {}
        let lines = lines(&driven);
        assert_eq!(
            (&lines[0]["seed"], &lines[0]["complete"]),
            (&7.into(), &true.into())
        );
        assert!(lines[1]["input"]["policy"].is_object());
        assert_eq!(
            (&lines[2]["at"], &lines[2]["input"]),
            (&5.into(), &"wake".into())
        );
        assert_eq!(lines[3]["event"]["cause"], "policy_loaded");
    }

    #[test]
    fn the_ring_is_bounded_and_says_that_something_is_missing() {
        let mut driven = driven();
        for at in 0..KEPT as u64 + 5 {
            driven.handle(Input::Wake, Time(at));
        }
        let lines = lines(&driven);
        assert_eq!(lines.len(), KEPT + 1);
        assert_eq!(
            (&lines[0]["complete"], &lines[1]["at"]),
            (&false.into(), &5.into())
        );
    }
}
