//! Events and the status in the words of a transcript.

use leeward_failover::{Change, Event, OperatorWord, Status, Time, Verdict};
use std::fmt::Write;

/// An event as one line.
pub(crate) fn spoken(event: &Event) -> String {
    let change = match &event.change {
        Change::Verdict { from, to } => format!("{} -> {}", from.as_str(), to.as_str()),
        Change::Operator { from, to } => format!("operator {} -> {}", word(*from), word(*to)),
        Change::Tier { from, to } => format!("tier {from} -> {to}"),
        Change::Writer { from, to } => format!("writer {from} -> {to}"),
        Change::Detour { from, to } => format!("orders {from} -> {to}"),
        Change::OrderPath { from, to } => {
            format!("order path {} -> {}", from.as_str(), to.as_str())
        }
        Change::OrdersHeld { on } => format!("orders held {}", if *on { "on" } else { "off" }),
        Change::Panic { on } => format!("panic {}", if *on { "on" } else { "off" }),
        Change::Endpoints { added, removed } => format!("endpoints +{added} -{removed}"),
    };
    let facts: Vec<String> = event
        .evidence
        .iter()
        .map(|(k, v)| format!("{k}={v:?}"))
        .collect();
    format!(
        "{:>9.3}  {} {}: {change}, {} {}",
        event.at.since(Time::ZERO).as_secs_f64(),
        event.subject.kind.as_str(),
        event.subject.name,
        event.cause.as_str(),
        facts.join(" "),
    )
    .trim_end()
    .to_owned()
}

const fn word(word: OperatorWord) -> &'static str {
    match word {
        OperatorWord::Active => "active",
        OperatorWord::Draining => "draining",
        OperatorWord::Evacuated => "evacuated",
    }
}

/// What is held, in few lines.
pub(crate) fn shown(status: &Status) -> String {
    let mut text = String::new();
    let at = status.at.since(Time::ZERO).as_secs_f64();
    let places = status.providers.iter().chain(&status.sites);
    writeln!(text, "{at:>9.3}  held").unwrap();
    for place in places
        .filter(|place| place.verdict != Verdict::Healthy || place.operator != OperatorWord::Active)
    {
        let left =
            |name, ms: Option<u64>| ms.map_or(String::new(), |ms| format!(", {name} {ms} ms left"));
        writeln!(
            text,
            "           {} {} ({}), {}{}{}",
            place.name,
            place.verdict.as_str(),
            place.cause.as_str(),
            word(place.operator),
            left("hold-down", place.hold_down_left_ms),
            left("ramp", place.ramp_left_ms),
        )
        .unwrap();
    }
    for pool in &status.pools {
        let shares: Vec<String> = pool
            .shares
            .iter()
            .map(|(site, share)| format!("{site} {:.2}%", share * 100.0))
            .collect();
        writeln!(
            text,
            "           {}: tier {}, writer {}{}; {}",
            pool.name,
            pool.active_tier,
            pool.writer.as_deref().unwrap_or("any"),
            if pool.panic { ", panic" } else { "" },
            shares.join(", "),
        )
        .unwrap();
        for endpoint in pool
            .endpoints
            .iter()
            .filter(|e| e.verdict != Verdict::Healthy)
        {
            let (address, share) = (&endpoint.address, endpoint.share * 100.0);
            let (verdict, cause) = (endpoint.verdict.as_str(), endpoint.cause.as_str());
            writeln!(
                text,
                "             {address} {verdict} ({cause}) {share:.2}%"
            )
            .unwrap();
        }
    }
    text
}
