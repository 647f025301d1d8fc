//! `leeward evacuate`, `drain` and `restore`: an operator's word to a leeward that runs.
//!
//! Owns the words of the answer. The proxy decides whether the word is said and what follows from
//! it. Called by `main`.

use crate::admin::{self, Answer};
use crate::args::Said;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// Says `verb` of the targets; the exit code: 0 where it was said, 1 where it was refused or nobody
/// answered, 2 where the question makes no sense.
pub(crate) fn say(verb: &str, said: &Said, lasts: Option<&str>, force: bool) -> u8 {
    let mut body = json!({
        "targets": said.targets,
        "reason": said.reason.clone().unwrap_or_default(),
        "force": force,
        "dry_run": said.dry_run,
    });
    if let Some(lasts) = lasts {
        body["for"] = json!(lasts);
    }
    let answered = admin::post(&said.admin, &format!("/api/v1/{verb}"), &body);
    let (text, code) = match &answered {
        Err(failed) => (format!("leeward: {}\n", failed.text), failed.code),
        Ok(answer) => (in_words(answer), code(answer)),
    };
    match answered {
        Ok(answer) if said.json => show(std::io::stdout(), &format!("{:#}\n", answer.body)),
        _ if code == 0 => show(std::io::stdout(), &text),
        _ => show(std::io::stderr(), &text),
    }
    code
}

/// Writes it. A reader that has gone away changes nothing about what was said.
fn show(mut to: impl std::io::Write, text: &str) {
    let _ = write!(to, "{text}");
}

fn code(answer: &Answer) -> u8 {
    let says = |key| answer.body[key].is_string();
    match answer.status {
        200 if says("word") => 0,
        400 | 404 | 413 | 422 if says("error") => 2,
        _ => 1,
    }
}

fn in_words(answer: &Answer) -> String {
    let Answer { status, body } = answer;
    let mut text = String::new();
    match body["error"].as_str() {
        Some(error) => put(&mut text, format_args!("leeward: {error}")),
        None if code(answer) == 0 => put(&mut text, format_args!("{}", what_was_said(body))),
        None => put(
            &mut text,
            format_args!(
                "leeward: answered {status} as no admin side of leeward would; give its URL with --admin"
            ),
        ),
    }
    for objection in list(&body["objections"]) {
        let against = objection["text"].as_str().unwrap_or_default();
        put(&mut text, format_args!("  against it: {against}"));
    }
    for word in list(&body["still"]) {
        put(&mut text, format_args!("  {}", still(word)));
    }
    for pool in list(&body["pools"]) {
        describe(&mut text, pool);
    }
    text
}

/// `still evacuated: aws/us-east-1, for 12m more (packet loss); take it back: leeward restore …`.
fn still(left: &Value) -> String {
    let said = |key: &str| left[key].as_str().unwrap_or_default().to_owned();
    let lapses = left["lapses_in_ms"].as_u64().map(Duration::from_millis);
    let lapses = lapses.map_or_else(String::new, |span| {
        let unit = if span.as_secs() < 120 { 1 } else { 60 };
        let rounded =
            Duration::from_secs(span.as_millis().div_ceil(1000 * unit) as u64 * unit as u64);
        format!(", for {} more", leeward_config::show_duration(rounded))
    });
    let reason = match said("reason") {
        reason if reason.is_empty() => reason,
        reason => format!(" ({reason})"),
    };
    let target = said("target");
    format!(
        "still {}: {target}{lapses}{reason}; take it back: leeward restore {target}",
        said("word")
    )
}

/// `evacuated: aws/us-east-1, for 30m (reason)`.
fn what_was_said(body: &Value) -> String {
    let word = body["word"].as_str().unwrap_or_default();
    let word = if word == "active" { "restored" } else { word };
    let would = if body["said"] == true {
        ""
    } else {
        "would be "
    };
    let targets: Vec<&str> = list(&body["targets"]).filter_map(Value::as_str).collect();
    let lasts = body["lasts_ms"].as_u64().map(Duration::from_millis);
    let lasts = lasts.map_or_else(String::new, |span| {
        format!(", for {}", leeward_config::show_duration(span))
    });
    let reason = body["reason"].as_str().filter(|reason| !reason.is_empty());
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    let forced = if body["forced"] == true {
        ", forced"
    } else {
        ""
    };
    format!(
        "{would}{word}{forced}: {}{lasts}{reason}",
        targets.join(", ")
    )
}

/// A pool's shares and writer, before and after.
fn describe(text: &mut String, pool: &Value) {
    let (before, after) = (&pool["before"], &pool["after"]);
    let name = pool["name"].as_str().unwrap_or_default();
    let writer = |stand: &Value| stand["writer"].as_str().unwrap_or("any").to_owned();
    let orders = match (writer(before), writer(after)) {
        (from, to) if from == to => format!("orders stay at {to}"),
        (from, to) => format!("orders move from {from} to {to}"),
    };
    let capacity = after["capacity"].as_u64().map_or_else(String::new, |left| {
        format!(
            "; {left}/s can be carried, {}/s are needed now",
            pool["needed"]
        )
    });
    put(text, format_args!("  {name}: {orders}{capacity}"));
    for share in list(&before["shares"]) {
        let site = share[0].as_str().unwrap_or_default();
        let now = list(&after["shares"]).find(|share| share[0] == site);
        let now = now.map_or(0.0, |share| share[1].as_f64().unwrap_or_default());
        let was = share[1].as_f64().unwrap_or_default();
        put(
            text,
            format_args!(
                "    {site:<24} {:>5.1}% -> {:>5.1}%",
                was * 100.0,
                now * 100.0
            ),
        );
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing into a string does not fail.
    let _ = writeln!(text, "{line}");
}
