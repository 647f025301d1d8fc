//! What is held of a place, in words: the verdict's cause and evidence, the operator's word, and how
//! long each will last.
//!
//! Called by `explain` and `status`, which show the same things of the same places.

use crate::terminal::{put, share, span};
use leeward_proxy::explain::PlaceSays;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// What is held of a provider or a site.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Held {
    pub(crate) name: String,
    pub(crate) verdict: String,
    pub(crate) cause: String,
    #[serde(deserialize_with = "facts")]
    pub(crate) evidence: Vec<(String, String)>,
    /// On the engine's clock, in nanoseconds.
    pub(crate) since: u64,
    pub(crate) operator: String,
    pub(crate) operator_reason: String,
    pub(crate) operator_lapses_in_ms: Option<u64>,
    pub(crate) hold_down_left_ms: Option<u64>,
    pub(crate) ramp_left_ms: Option<u64>,
    pub(crate) ramp_at: Option<f64>,
    pub(crate) endpoints: usize,
    pub(crate) endpoints_down: usize,
}

impl From<&PlaceSays> for Held {
    fn from(place: &PlaceSays) -> Held {
        Held {
            name: place.name.clone(),
            verdict: place.verdict.as_str().to_owned(),
            cause: place.cause.as_str().to_owned(),
            evidence: place.evidence.clone(),
            operator: place.operator.as_str().to_owned(),
            operator_reason: place.operator_reason.clone(),
            operator_lapses_in_ms: place.operator_lapses_in_ms,
            hold_down_left_ms: place.hold_down_left_ms,
            ramp_left_ms: place.ramp_left_ms,
            ramp_at: place.ramp_at,
            ..Held::default()
        }
    }
}

impl Held {
    /// Whether there is more to say than that it serves.
    pub(crate) fn is_quiet(&self) -> bool {
        self.verdict == "healthy" && !self.is_spoken_of()
    }

    /// The verdict, and the operator's word beside it where there is one: `healthy, evacuated`.
    pub(crate) fn in_short(&self) -> String {
        if self.is_spoken_of() {
            format!("{}, {}", self.verdict, self.operator)
        } else {
            self.verdict.clone()
        }
    }

    /// What its colour goes by: an operator's word outranks a verdict.
    pub(crate) fn colour(&self) -> &str {
        if self.is_spoken_of() && self.verdict != "down" {
            &self.operator
        } else {
            &self.verdict
        }
    }

    pub(crate) fn is_spoken_of(&self) -> bool {
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
            let at = self
                .ramp_at
                .map_or_else(String::new, |at| format!(" at {}", share(at)));
            let words = format!("ramp{at}, its full share in {}", span(left));
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

/// `probes_failed: failed 3, last refused`; the cause stands for itself where a fact has its name.
pub(crate) fn because(cause: &str, evidence: &[(String, String)]) -> String {
    let facts: Vec<String> = evidence.iter().map(|(k, v)| format!("{k} {v}")).collect();
    let named = evidence.iter().any(|(name, _)| name == cause);
    match (facts.is_empty(), named) {
        (true, _) => cause.to_owned(),
        (false, true) => facts.join(", "),
        (false, false) => format!("{cause}: {}", facts.join(", ")),
    }
}

/// Evidence, as the admin side gives it.
pub(crate) fn facts<'de, D>(from: D) -> Result<Vec<(String, String)>, D::Error>
where
    D: Deserializer<'de>,
{
    let facts: BTreeMap<String, String> = Deserialize::deserialize(from)?;
    Ok(facts.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(held: &Held) -> String {
        let mut text = String::new();
        held.explain(&mut text, 2);
        text
    }

    fn left(cause: &str, hold_down_left_ms: Option<u64>) -> Held {
        Held {
            verdict: "down".to_owned(),
            cause: cause.to_owned(),
            hold_down_left_ms,
            ..Held::default()
        }
    }

    #[test]
    fn what_a_place_waits_for_is_said() {
        let waits = [
            (
                left("endpoints_down", Some(18_000)),
                "hold-down ends in 18s",
            ),
            (
                left("endpoints_down", Some(0)),
                "hold-down over; returns when it is well",
            ),
            (
                left("awaits_operator", Some(0)),
                "waits for `leeward restore`",
            ),
            (left("awaits_window", Some(0)), "waits for a window"),
            (left("provider_down", None), "returns with its provider"),
        ];
        for (held, words) in waits {
            assert!(told(&held).contains(words), "{}", told(&held));
        }
        let mut back = left("hold_down_over", None);
        back.verdict = "recovering".to_owned();
        (back.ramp_left_ms, back.ramp_at) = (Some(40_000), Some(0.33));
        assert!(told(&back).contains("ramp at 33%, its full share in 40s"));
    }

    #[test]
    fn an_operators_word_stands_beside_the_verdict() {
        let mut held = left("new", None);
        assert_eq!((held.in_short().as_str(), held.colour()), ("down", "down"));
        held.verdict = "healthy".to_owned();
        assert!(held.is_quiet());
        held.operator = "draining".to_owned();
        assert_eq!(held.in_short(), "healthy, draining");
        assert_eq!(held.colour(), "draining");
        assert_eq!(
            told(&held),
            "  operator: draining, until `leeward restore`\n"
        );
        held.operator_lapses_in_ms = Some(90_000);
        held.operator_reason = "a \u{1b}[2J flood".to_owned();
        let words = "  operator: draining, lapses in 1m30s (a \u{fffd}[2J flood)\n";
        assert_eq!(told(&held), words);
    }

    #[test]
    fn a_cause_is_not_said_twice() {
        let fact = |name: &str| vec![(name.to_owned(), "3 of 4".to_owned())];
        assert_eq!(
            because("sites_down", &fact("sites_down")),
            "sites_down 3 of 4"
        );
        assert_eq!(because("slow", &fact("late")), "slow: late 3 of 4");
        assert_eq!(because("slow", &[]), "slow");
    }
}
