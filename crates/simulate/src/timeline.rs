//! What happened, for people: a line for each decision and each turn of the world, and how clients
//! fared. Also the journal's fingerprint, by which two runs are compared.

use crate::ledger::Done;
use leeward_failover::{Change, Class, Event, Time, Verdict};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Seconds that one line about clients sums up.
const SUMMARY: u64 = 10;

/// What is written down of a run.
#[derive(Debug, Default)]
pub struct Timeline {
    lines: Vec<(Time, String)>,
    /// Of all decisions so far.
    pub fingerprint: Fingerprint,
    /// What was left, and when.
    pub left: Vec<(Time, String)>,
    /// Moves of a writer.
    pub moves: Vec<(Time, String, String)>,
    /// Decisions so far.
    pub decisions: u64,
    /// How clients fared, by ten seconds and class: all, failed.
    fared: BTreeMap<u64, BTreeMap<Class, (u32, u32)>>,
}

/// A hash over decisions, in their order (FNV-1a).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub u64);

impl Default for Fingerprint {
    fn default() -> Fingerprint {
        Fingerprint(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Takes one decision in.
    pub fn add(&mut self, event: &Event) {
        let text = serde_json::to_string(event).unwrap_or_default();
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl Timeline {
    pub(crate) fn event(&mut self, event: &Event) {
        self.fingerprint.add(event);
        self.decisions += 1;
        match &event.change {
            Change::Verdict {
                from,
                to: Verdict::Down,
            } if *from != Verdict::Down => self.left.push((event.at, event.subject.name.clone())),
            Change::Writer { from, to } => {
                self.moves.push((event.at, from.clone(), to.clone()));
            }
            _ => {}
        }
        let evidence: Vec<String> = event
            .evidence
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let line = format!(
            "{} {}: {}, {} ({})",
            event.subject.kind.as_str(),
            event.subject.name,
            in_words(&event.change),
            event.cause.as_str(),
            evidence.join(", ")
        );
        self.lines.push((event.at, line));
    }

    pub(crate) fn world(&mut self, at: Time, what: &str) {
        self.lines.push((at, format!("~~ {what}")));
    }

    pub(crate) fn note(&mut self, at: Time, what: &str) {
        self.lines.push((at, format!("!! {what}")));
    }

    pub(crate) fn done(&mut self, done: &Done) {
        let slot = done.at.since(Time::ZERO).as_secs() / SUMMARY;
        let fared = self.fared.entry(slot).or_default();
        let counts = fared.entry(done.class).or_default();
        counts.0 += 1;
        counts.1 += u32::from(!done.told.is_served());
    }

    /// Everything, in the order of time.
    pub fn text(&self) -> String {
        let mut lines: Vec<(Time, String)> = self.lines.clone();
        for (slot, fared) in &self.fared {
            let failed = fared.iter().filter(|(_, (_, failed))| *failed > 0);
            let words: Vec<String> = failed
                .map(|(class, (all, failed))| format!("{failed} of {all} {}", class.as_str()))
                .collect();
            if !words.is_empty() {
                let at = Time::from_millis((slot + 1) * SUMMARY * 1000);
                lines.push((
                    at,
                    format!("-- failed in {SUMMARY} s: {}", words.join(", ")),
                ));
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        let mut text = String::new();
        for (at, line) in lines {
            let seconds = at.since(Time::ZERO).as_secs_f64();
            // Writing to a string does not fail.
            let _ = writeln!(text, "{seconds:>10.3}  {line}");
        }
        text
    }
}

fn in_words(change: &Change) -> String {
    match change {
        Change::Verdict { from, to } => format!("{} -> {}", from.as_str(), to.as_str()),
        Change::Operator { from, to } => format!("operator {from:?} -> {to:?}"),
        Change::Tier { from, to } => format!("tier {from} -> {to}"),
        Change::Writer { from, to } => format!("writer {from} -> {to}"),
        Change::Detour { from, to } => format!("orders {from} -> {to}"),
        Change::OrderPath { from, to } => {
            format!("order path {} -> {}", from.as_str(), to.as_str())
        }
        Change::OrdersHeld { on: true } => "orders fail, nobody else takes them".into(),
        Change::OrdersHeld { on: false } => "orders fail no more".into(),
        Change::Panic { on: true } => "panic".into(),
        Change::Panic { on: false } => "panic over".into(),
        Change::Endpoints { added, removed } => format!("endpoints +{added} -{removed}"),
    }
}
