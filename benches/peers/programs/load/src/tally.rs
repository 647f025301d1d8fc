//! What was seen of the requests of one kind.

use crate::answer::Answer;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    /// Of answers that were right, in microseconds.
    latencies: Vec<f64>,
    /// Of answers with another status.
    refusals: Vec<f64>,
}

/// Every request is in exactly one of these, `in_time` apart.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Counts {
    /// 200 and as long as it has to be.
    pub(crate) answered: u64,
    /// Of these, before the run's time was over.
    pub(crate) in_time: u64,
    /// 200 and of another length.
    pub(crate) wrong: u64,
    /// Another status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// The connection failed, or what came is no HTTP.
    pub(crate) errors: u64,
    /// No answer a second after the end.
    pub(crate) unanswered: u64,
    /// Had no free connection for a second; open loop only.
    pub(crate) unsent: u64,
}

/// Percentiles in microseconds; in an open loop since the request was due, not since it was sent.
#[derive(Serialize)]
pub(crate) struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Serialize)]
pub(crate) struct Seen {
    #[serde(flatten)]
    counts: Counts,
    latency_us: Latency,
    refused_us: Latency,
}

impl Tally {
    /// Counts an answer; true when it was right.
    pub(crate) fn answer(&mut self, answer: &Answer, expected: u64, took: Duration, in_time: bool) {
        let took = took.as_secs_f64() * 1e6;
        if answer.status != 200 {
            *self.counts.refused.entry(answer.status).or_default() += 1;
            self.refusals.push(took);
        } else if answer.length != expected {
            self.counts.wrong += 1;
        } else {
            self.counts.answered += 1;
            self.counts.in_time += u64::from(in_time);
            self.latencies.push(took);
        }
    }

    /// Answers of whatever kind, and errors.
    pub(crate) fn ended(&self) -> u64 {
        let counts = &self.counts;
        counts.answered + counts.wrong + counts.errors + counts.refused.values().sum::<u64>()
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen {
            counts: self.counts.clone(),
            latency_us: latency(&self.latencies),
            refused_us: latency(&self.refusals),
        }
    }
}

/// Percentiles by nearest rank; zeros of nothing.
pub(crate) fn latency(samples: &[f64]) -> Latency {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        let value = sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0);
        value.round()
    };
    Latency {
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        max: at(1.0),
    }
}
