//! What the demo prints: a line every half second, every decision, and the verdict.

use super::http::Client;
use super::load::{Load, Seen, Told};
use super::provider::Provider;
use crate::decision;
use serde_json::Value;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The terminal, and what was last shown on it.
pub(crate) struct Screen {
    began: Instant,
    admin: SocketAddr,
    last: Seen,
    served: Vec<u64>,
    last_event: u64,
}

impl Screen {
    pub(crate) fn new(admin: SocketAddr) -> Self {
        Self {
            began: Instant::now(),
            admin,
            last: Seen::default(),
            served: Vec::new(),
            last_event: 0,
        }
    }

    fn time(&self) -> String {
        format!("{:5.1}s", self.began.elapsed().as_secs_f64())
    }

    pub(crate) fn say(&self, text: &str) {
        println!("{}  == {text} ==", self.time());
    }

    /// Whether the proxy got ready in time.
    pub(crate) fn wait_ready(&self, patience: Duration) -> bool {
        while self.began.elapsed() < patience {
            if get(self.admin, "/readyz").is_some_and(|(status, _)| status == 200) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Shows what changed; the shares of the requests that each provider served.
    pub(crate) fn show(&mut self, load: &Load, providers: &[Provider]) -> Vec<f64> {
        self.show_events();
        let seen = load.look();
        let served: Vec<u64> = providers.iter().map(|p| p.record().served()).collect();
        let since: Vec<u64> = served
            .iter()
            .enumerate()
            .map(|(at, now)| now - self.served.get(at).copied().unwrap_or(0))
            .collect();
        let all = since.iter().sum::<u64>().max(1);
        let shares: Vec<f64> = since.iter().map(|n| *n as f64 / all as f64).collect();
        let orders = count(&seen);
        let before = count(&self.last);
        let new = |told| orders.get(&told).unwrap_or(&0) - before.get(&told).unwrap_or(&0);
        println!(
            "{}  reads {:3} ok {} failed, p99 {:6.1} ms | orders {:2} filled {} not-sent {} unknown | ticks {:2} | {}",
            self.time(),
            seen.reads - self.last.reads - (seen.reads_failed - self.last.reads_failed),
            seen.reads_failed - self.last.reads_failed,
            p99(&seen.latencies),
            new(Told::Filled),
            new(Told::NotSent),
            new(Told::Unknown) + new(Told::Other) + new(Told::Shed),
            seen.ticks - self.last.ticks,
            bars(providers, &shares),
        );
        self.last = seen;
        self.served = served;
        shares
    }

    /// Prints the decisions that the journal has got since, with their evidence.
    fn show_events(&mut self) {
        let path = format!("/api/v1/events?since={}", self.last_event);
        let Some((200, body)) = get(self.admin, &path) else {
            return;
        };
        let Ok(document) = serde_json::from_slice::<Value>(&body) else {
            return;
        };
        for event in document["events"].as_array().into_iter().flatten() {
            self.last_event = event["seq"].as_u64().unwrap_or(self.last_event);
            println!("{}     {}", self.time(), decision::in_words(event));
        }
    }
}

fn get(address: SocketAddr, path: &str) -> Option<(u16, bytes::Bytes)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    runtime.block_on(async {
        let mut client = Client::new(address);
        let answer = client.send("GET", path, String::new());
        let answer = tokio::time::timeout(Duration::from_secs(2), answer)
            .await
            .ok()??;
        Some((answer.status.as_u16(), answer.body))
    })
}

fn count(seen: &Seen) -> HashMap<Told, usize> {
    let mut counts = HashMap::new();
    for told in seen.orders.values() {
        *counts.entry(*told).or_default() += 1;
    }
    counts
}

fn p99(latencies: &[u64]) -> f64 {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * 99 / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |micros| *micros as f64 / 1000.0)
}

fn bars(providers: &[Provider], shares: &[f64]) -> String {
    let bar = |(provider, share): (&Provider, &f64)| {
        let width = (share * 10.0).round();
        let blocks: String = (0..10)
            .map(|at| if f64::from(at) < width { '#' } else { '.' })
            .collect();
        format!("{} {blocks} {:3.0}%", provider.name(), share * 100.0)
    };
    providers
        .iter()
        .zip(shares)
        .map(bar)
        .collect::<Vec<_>>()
        .join("  ")
}

/// Prints what the clients saw against what the providers recorded; whether it is as promised.
pub(crate) fn verdict(seen: &Seen, providers: &[Provider]) -> bool {
    let mut executed: HashMap<u64, u32> = HashMap::new();
    for provider in providers {
        for (id, times) in provider.record().orders() {
            *executed.entry(id).or_default() += times;
        }
    }
    let times = |id: &u64| executed.get(id).copied().unwrap_or(0);
    let twice = executed.values().filter(|times| **times > 1).count();
    let told = |wanted: Told| seen.orders.iter().filter(move |(_, told)| **told == wanted);
    let untrue = told(Told::Filled).filter(|(id, _)| times(id) == 0).count()
        + told(Told::NotSent).filter(|(id, _)| times(id) > 0).count()
        + told(Told::Other).count();
    let in_doubt = told(Told::Unknown).filter(|(id, _)| times(id) > 0).count();
    println!("\nWhat the clients saw, against what the providers recorded:");
    println!(
        "  reads:  {} sent, {} failed",
        seen.reads, seen.reads_failed
    );
    println!(
        "  orders: {} sent, {} filled, {} not sent, {} shed, {} of unknown outcome ({in_doubt} of those ran)",
        seen.orders.len(),
        told(Told::Filled).count(),
        told(Told::NotSent).count(),
        told(Told::Shed).count(),
        told(Told::Unknown).count(),
    );
    println!("  orders that ran twice: {twice}; answers that were not true: {untrue}");
    println!(
        "  stream: {} ticks over {} connections",
        seen.ticks, seen.streams_opened
    );
    let good = seen.reads > 0
        && !seen.orders.is_empty()
        && seen.reads_failed == 0
        && twice == 0
        && untrue == 0
        && seen.came_home;
    println!(
        "{}",
        if good {
            "As promised."
        } else {
            "NOT as promised."
        }
    );
    good
}
