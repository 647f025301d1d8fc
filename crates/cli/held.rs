//! What is held of a place, in words: the verdict's cause and evidence, the operator's word, and how
//! long each will last.
//!
//! Called by `explain` and `status`, which show the same things of the same places.

use crate::terminal::{put, span};
use leeward_proxy::explain::PlaceSays;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is held of a provider or a site.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Held {
    pub(crate) name: String,
    pub(crate) verdict: String,
    pub(crate) cause: String,
    pub(crate) evidence: BTreeMap<String, String>,
    /// On the engine's clock, in nanoseconds.
    pub(crate) since: u64,
    pub(crate) operator: String,
    pub(crate) operator_reason: String,
    pub(crate) operator_lapses_in_ms: Option<u64>,
    pub(crate) hold_down_left_ms: Option<u64>,
    pub(crate) ramp_left_ms: Option<u64>,
    pub(crate) endpoints: usize,
    pub(crate) endpoints_down: usize,
}

impl From<&PlaceSays> for Held {
    fn from(place: &PlaceSays) -> Held {
        Held {
            name: place.name.clone(),
            verdict: place.verdict.as_str().to_owned(),
            cause: place.cause.as_str().to_owned(),
            evidence: place.evidence.iter().cloned().collect(),
            operator: place.operator.as_str().to_owned(),
            operator_reason: place.operator_reason.clone(),
            operator_lapses_in_ms: place.operator_lapses_in_ms,
            hold_down_left_ms: place.hold_down_left_ms,
            ramp_left_ms: place.ramp_left_ms,
            ..Held::default()
        }
    }
}

impl Held {
    /// Whether there is more to say than that it serves.
    pub(crate) fn is_quiet(&self) -> bool {
        self.verdict == "healthy" && !self.is_spoken_of()
    }

    fn is_spoken_of(&self) -> bool {
        !matches!(self.operator.as_str(), "" | "active")
    }

    /// Why, and for how much longer, each on lines of their own.
    pub(crate) fn explain(&self, text: &mut String, indent: usize) {
        if self.verdict != "healthy" {
            put(text, indent, "", &because(&self.cause, &self.evidence));
        }
        match (self.hold_down_left_ms, self.cause.as_str()) {
            (_, "awaits_operator") => {
                put(text, indent, "", "well again; waits for `leeward restore`");
            }
            (_, "awaits_window") => put(text, indent, "", "well again; waits for a window"),
            (Some(0), _) => put(text, indent, "", "hold-down over; returns when it is well"),
            (Some(left), _) => {
                let words = format!("hold-down ends in {}", span(left));
                put(text, indent, "", &words);
            }
            (None, "provider_down") => put(text, indent, "", "returns with its provider"),
            (None, _) => {}
        }
        if let Some(left) = self.ramp_left_ms {
            let words = format!("ramp: its full share in {}", span(left));
            put(text, indent, "", &words);
        }
        if self.is_spoken_of() {
            put(text, indent, "", &self.word());
        }
    }

    /// `operator: evacuated, lapses in 29m (packet loss)`.
    fn word(&self) -> String {
        let lapses = self.operator_lapses_in_ms;
        let lapses = lapses.map_or_else(
            || ", until `leeward restore`".to_owned(),
            |left| format!(", lapses in {}", span(left)),
        );
        let reason = match self.operator_reason.as_str() {
            "" => String::new(),
            reason => format!(" ({reason})"),
        };
        format!("operator: {}{lapses}{reason}", self.operator)
    }
}

/// `probes_failed: failed 3, last refused`.
pub(crate) fn because(cause: &str, evidence: &BTreeMap<String, String>) -> String {
    let facts: Vec<String> = evidence.iter().map(|(k, v)| format!("{k} {v}")).collect();
    if facts.is_empty() {
        cause.to_owned()
    } else {
        format!("{cause}: {}", facts.join(", "))
    }
}
