//! A decision of the journal as one line for people.
//!
//! Owns the words. Takes events as the admin side gives them, those of an older leeward among them.
//! Called by the demo, `status` and `explain`.

use crate::terminal::clean;
use serde_json::Value;

/// `site aws/us-east-1: healthy -> down (probes_failed; failed 3)`.
pub(crate) fn in_words(event: &Value) -> String {
    let text = |value: &Value| clean(value.as_str().unwrap_or_default());
    let mut why = text(&event["cause"]);
    let facts: Vec<String> = event["evidence"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{} {}", clean(name), text(value)))
        .collect();
    if !facts.is_empty() {
        why = format!("{why}; {}", facts.join(", "));
    }
    format!(
        "{} {}: {} ({why})",
        text(&event["subject"]["kind"]),
        text(&event["subject"]["name"]),
        clean(&change(event)),
    )
}

fn change(event: &Value) -> String {
    let word = |name: &str| match &event[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match event["change"].as_str().unwrap_or_default() {
        "panic" => format!("panic {}", if event["on"] == true { "on" } else { "off" }),
        "endpoints" => format!(
            "{} endpoints added, {} removed",
            word("added"),
            word("removed")
        ),
        kind => format!("{kind} {} -> {}", word("from"), word("to")),
    }
}
