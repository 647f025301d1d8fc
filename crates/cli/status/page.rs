//! The status in words, for a terminal.
//!
//! Owns the words and their order: what is failing and since when, what was done about it, what is
//! left. Takes what the admin side says, that of an older leeward among it. Called by `status`.

use crate::decision;
use crate::held::{Held, because, facts};
use crate::terminal::{Paint, cell, put, share, span};
use serde::Deserialize;
use serde_json::Value;
use std::collections::VecDeque;

/// Columns of a place's name.
const NAME: usize = 30;
/// Columns of what is held of it.
const HELD: usize = 22;
/// Columns of the bar of a share.
const BAR: usize = 20;
/// Endpoints of a pool that are told at most.
const MOST_ENDPOINTS: usize = 12;

/// What a proxy says of itself.
#[derive(Debug)]
pub(super) struct Known {
    url: String,
    said: Said,
    /// As it was said.
    pub(super) whole: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    version: String,
    phase: String,
    ready: bool,
    /// Seconds since 1970, by the proxy's clock.
    time: f64,
    uptime_seconds: f64,
    policy: Policy,
    engine: Engine,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Policy {
    hash: String,
    reloads: Reloads,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reloads {
    loaded: f64,
    rejected: Option<Rejected>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rejected {
    time: f64,
    problems: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Engine {
    at: u64,
    providers: Vec<Held>,
    sites: Vec<Held>,
    pools: Vec<Pool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pool {
    name: String,
    panic: bool,
    active_tier: usize,
    writer: Option<String>,
    shares: Vec<(String, f64)>,
    demand: Option<f64>,
    capacity: Vec<Capacity>,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Capacity {
    site: String,
    rate: Option<f64>,
    tight: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    backend: String,
    site: String,
    address: String,
    verdict: String,
    cause: String,
    #[serde(deserialize_with = "facts")]
    evidence: Vec<(String, String)>,
    since: u64,
    operator: String,
    hold_down_left_ms: Option<u64>,
}

impl Known {
    /// Reads what the admin side at `url` said.
    ///
    /// # Errors
    /// It is none of leeward's.
    pub(super) fn of(whole: Value, url: String) -> Result<Known, serde_json::Error> {
        let said = Said::deserialize(&whole)?;
        Ok(Known { url, said, whole })
    }
}

/// All of it, with the newest decisions, oldest first.
pub(super) fn of(known: &Known, decisions: &VecDeque<Value>, paint: Paint) -> String {
    let mut text = String::new();
    let to = &mut text;
    let said = &known.said;
    opening(to, known, paint);
    to.push('\n');
    places(to, &said.engine, paint);
    for pool in &said.engine.pools {
        to.push('\n');
        describe(to, pool, said.engine.at, paint);
    }
    to.push('\n');
    to.push_str(&paint.bold("last decisions"));
    to.push('\n');
    for event in decisions {
        let ago = (said.time - event["time"].as_f64().unwrap_or(said.time)).max(0.0);
        let when = format!("  {} ago", span((ago * 1000.0) as u64));
        put(to, 13, &when, &decision::in_words(event));
    }
    text
}

/// Who it is, and how it is.
fn opening(to: &mut String, known: &Known, paint: Paint) {
    let said = &known.said;
    let ready = if said.ready { "ready" } else { "not ready" };
    let up = span((said.uptime_seconds * 1000.0) as u64);
    let words = format!(
        "leeward {} at {}: {}, {ready}, up {up}",
        said.version, known.url, said.phase
    );
    put(to, 2, "", &words);
    let ago = |time: f64| span(((said.time - time).max(0.0) * 1000.0) as u64);
    let reloads = &said.policy.reloads;
    let words = format!(
        "policy {}, loaded {} ago",
        said.policy.hash,
        ago(reloads.loaded)
    );
    put(to, 2, "", &words);
    if let Some(rejected) = &reloads.rejected {
        let words = format!("a newer policy was refused {} ago:", ago(rejected.time));
        to.push_str(&format!("  {}\n", paint.alarm(&words)));
        for problem in rejected.problems.iter().take(3) {
            let first = problem.lines().next().unwrap_or_default();
            put(to, 4, "", first);
        }
        if rejected.problems.len() > 3 {
            let words = format!("and {} more", rejected.problems.len() - 3);
            put(to, 4, "", &words);
        }
    }
}

/// Providers with their sites.
fn places(to: &mut String, engine: &Engine, paint: Paint) {
    let title = format!("{} {} for", cell("place", NAME), cell("held", HELD));
    to.push_str(&format!("{}\n", paint.dim(&title)));
    for provider in &engine.providers {
        place(to, provider, engine.at, paint);
        let own = |site: &&Held| {
            let (of, _) = site.name.split_once('/').unwrap_or_default();
            of == provider.name
        };
        for site in engine.sites.iter().filter(own) {
            place(to, site, engine.at, paint);
        }
    }
}

fn place(to: &mut String, held: &Held, now: u64, paint: Paint) {
    let name = if held.name.contains('/') {
        format!("  {}", held.name)
    } else {
        held.name.clone()
    };
    let down = match held.endpoints_down {
        0 => String::new(),
        down => format!("  {down} of {} endpoints", held.endpoints),
    };
    let lasts = span(since(held.since, now));
    let lasts = if down.is_empty() {
        lasts
    } else {
        cell(&lasts, 6)
    };
    to.push_str(&format!(
        "{} {} {lasts}{down}\n",
        cell(&name, NAME),
        paint.verdict(held.colour(), &cell(&held.in_short(), HELD)),
    ));
    if !held.is_quiet() {
        held.explain(to, 6);
    }
}

/// Milliseconds from one moment of the engine's clock to another.
fn since(moment: u64, now: u64) -> u64 {
    now.saturating_sub(moment) / 1_000_000
}

fn describe(to: &mut String, pool: &Pool, now: u64, paint: Paint) {
    let orders = pool.writer.as_ref().map_or_else(
        || "orders go where reads go".to_owned(),
        |w| format!("orders at {w}"),
    );
    let rates: Option<f64> = pool.capacity.iter().map(|capacity| capacity.rate).sum();
    let rates = rates.filter(|_| !pool.capacity.is_empty());
    let load = match (pool.demand, rates) {
        (Some(demand), Some(rates)) => format!(", {demand:.0}/s of {rates:.0}/s"),
        _ => String::new(),
    };
    let name = format!("pool {}", pool.name);
    let tier = pool.active_tier;
    put(
        to,
        2,
        "",
        &format!("{name}: reads mostly at tier {tier}, {orders}{load}"),
    );
    if pool.panic {
        let words = "everything looks bad: the verdicts are distrusted, the least bad serves";
        to.push_str(&format!("  {}\n", paint.alarm(words)));
    }
    for (site, part) in &pool.shares {
        let filled = ((part * BAR as f64).round() as usize).min(BAR);
        let bar = format!("{}{}", "#".repeat(filled), ".".repeat(BAR - filled));
        let own = pool.capacity.iter().find(|capacity| capacity.site == *site);
        let rate = own.and_then(|own| own.rate);
        let rate = rate.map_or_else(String::new, |rate| format!("  {rate:.0}/s"));
        let tight = own.is_some_and(|own| own.tight);
        let tight = if tight { ", nearly full" } else { "" };
        let line = format!(
            "  {} {:>5}  {bar}{rate}{tight}",
            cell(site, NAME - 2),
            share(*part)
        );
        to.push_str(&format!("{line}\n"));
    }
    let is_quiet =
        |e: &&Endpoint| e.verdict == "healthy" && matches!(e.operator.as_str(), "" | "active");
    let loud: Vec<&Endpoint> = pool.endpoints.iter().filter(|e| !is_quiet(e)).collect();
    for endpoint in loud.iter().take(MOST_ENDPOINTS) {
        put(to, 6, "", &trouble(endpoint, now));
    }
    if loud.len() > MOST_ENDPOINTS {
        let words = format!("and {} more endpoints", loud.len() - MOST_ENDPOINTS);
        put(to, 6, "", &words);
    }
}

/// `10.0.0.7:443 at aws/us-east-1 (https://api.example) down for 12s, refused: …`.
fn trouble(endpoint: &Endpoint, now: u64) -> String {
    let Endpoint {
        backend,
        site,
        address,
        verdict,
        ..
    } = endpoint;
    let lasts = span(since(endpoint.since, now));
    let why = because(&endpoint.cause, &endpoint.evidence);
    let hold = endpoint.hold_down_left_ms.filter(|left| *left > 0);
    let hold = hold.map_or_else(String::new, |left| {
        format!("; hold-down ends in {}", span(left))
    });
    let word = match endpoint.operator.as_str() {
        "" | "active" => String::new(),
        word => format!("; operator: {word}"),
    };
    format!("{address} at {site} ({backend}) {verdict} for {lasts}, {why}{hold}{word}")
}
