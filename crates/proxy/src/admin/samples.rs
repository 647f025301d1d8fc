//! The last minutes as numbers, for the page: rates, failures and latencies every two seconds.
//!
//! A task of the admin thread looks at the counters; the data path knows nothing of it. Bounded: so
//! many samples, so many endpoints.

use super::Admin;
use crate::reload::{lock, unix_now};
use leeward_metrics::{AttemptTotals, Totals};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two samples.
pub(super) const EVERY: Duration = Duration::from_secs(2);
/// Samples kept: ten minutes.
const KEPT: usize = 300;
/// Endpoints in a sample at most; beyond that there are only pools.
const MOST_ENDPOINTS: usize = 400;

/// The newest samples, oldest first.
#[derive(Default)]
pub(crate) struct Samples(Mutex<VecDeque<Sample>>);

/// What happened since the sample before. Rates are per second.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Sample {
    /// Its number, from 1.
    pub(super) seq: u64,
    /// When it was taken, in seconds since 1970.
    pub(super) time: f64,
    /// Requests of clients by how they ended.
    pub(super) requests: BTreeMap<&'static str, f64>,
    /// Requests whose outcome nobody knows: how many, not a rate.
    pub(super) unknown: u64,
    pub(super) pools: BTreeMap<String, PoolSample>,
    /// By pool, backend and address, with blanks between: rate, failures, and the time of the last
    /// probe that passed in milliseconds.
    pub(super) endpoints: BTreeMap<String, (f64, f64, f64)>,
}

/// One pool.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct PoolSample {
    /// Attempts.
    pub(super) rate: f64,
    /// Attempts that failed.
    pub(super) failed: f64,
    /// Half of the answers began within this many milliseconds; absent where there was none.
    pub(super) p50_ms: Option<f64>,
    /// The same of 95 in 100.
    pub(super) p95_ms: Option<f64>,
    /// Attempts by class.
    pub(super) classes: BTreeMap<String, f64>,
}

impl Samples {
    /// Samples after number `seq`, oldest first.
    pub(super) fn after(&self, seq: u64) -> Vec<Sample> {
        let samples = lock(&self.0);
        let after = samples.iter().filter(|sample| sample.seq > seq);
        after.cloned().collect()
    }

    /// The mean rate of requests that ended like this within the last `span`.
    pub(super) fn rate(&self, outcomes: &[&str], span: Duration) -> f64 {
        let count = (span.as_secs() / EVERY.as_secs()).max(1) as usize;
        let samples = lock(&self.0);
        let newest: Vec<f64> = samples
            .iter()
            .rev()
            .take(count)
            .map(|sample| outcomes.iter().filter_map(|o| sample.requests.get(o)).sum())
            .collect();
        newest.iter().sum::<f64>() / newest.len().max(1) as f64
    }

    /// Requests whose outcome nobody knows, within all that is kept.
    pub(super) fn unknown(&self) -> u64 {
        lock(&self.0).iter().map(|sample| sample.unknown).sum()
    }

    fn push(&self, mut sample: Sample) {
        let mut samples = lock(&self.0);
        sample.seq = samples.back().map_or(1, |last| last.seq + 1);
        if samples.len() >= KEPT {
            samples.pop_front();
        }
        samples.push_back(sample);
    }
}

/// Takes samples until the runtime ends.
pub(super) async fn keep(admin: &Admin) {
    let mut before = admin.shared.metrics.totals();
    let mut looked = Instant::now();
    loop {
        tokio::time::sleep(EVERY).await;
        let now = admin.shared.metrics.totals();
        let span = looked.elapsed().as_secs_f64().max(0.001);
        looked = Instant::now();
        let mut sample = compare(&before, &now, span);
        sample.endpoints = endpoints(admin, &before, &now, span);
        admin.samples.push(sample);
        before = now;
    }
}

/// What one moment has more than another, `span` seconds before.
fn compare(before: &Totals, now: &Totals, span: f64) -> Sample {
    let mut pools: BTreeMap<String, PoolSample> = BTreeMap::new();
    for (key, count) in &now.classes {
        let rate = per_second(before.classes.get(key).copied(), *count, span);
        let pool = pools.entry(key.0.clone()).or_default();
        pool.rate += rate;
        pool.classes.insert(key.1.clone(), rate);
    }
    for (key, count) in &now.endpoints {
        let was = before.endpoints.get(key).map(|was| was.failed);
        let pool = pools.entry(key[0].clone()).or_default();
        pool.failed += per_second(was, count.failed, span);
    }
    for (name, heads) in &now.heads {
        let pool = pools.entry(name.clone()).or_default();
        let was = before.heads.get(name);
        pool.p50_ms = heads.quantile_since(was, 0.5).map(rounded);
        pool.p95_ms = heads.quantile_since(was, 0.95).map(rounded);
    }
    for pool in pools.values_mut() {
        pool.rate = rounded(pool.rate);
        pool.failed = rounded(pool.failed);
    }
    let unknown = |totals: &Totals| totals.requests.get("unknown").copied().unwrap_or(0);
    let unknown = unknown(now).saturating_sub(unknown(before));
    let requests = now.requests.iter();
    let rate = |(outcome, count): (&&'static str, &u64)| {
        let was = before.requests.get(outcome).copied();
        (*outcome, per_second(was, *count, span))
    };
    Sample {
        time: unix_now(),
        requests: requests.map(rate).filter(|(_, rate)| *rate > 0.0).collect(),
        pools,
        unknown,
        ..Sample::default()
    }
}

fn endpoints(
    admin: &Admin,
    before: &Totals,
    now: &Totals,
    span: f64,
) -> BTreeMap<String, (f64, f64, f64)> {
    let snapshot = admin.shared.snapshot.load_full();
    let known = snapshot.endpoints.iter().flatten().take(MOST_ENDPOINTS);
    known
        .map(|io| {
            let labels = &io.labels;
            let key = [
                &labels.pool,
                &labels.provider,
                &labels.site,
                &labels.backend,
                &labels.address,
            ]
            .map(Clone::clone);
            let of = |totals: &Totals| totals.endpoints.get(&key).copied();
            let (was, is) = (of(before), of(now).unwrap_or_default());
            let rate = |part: fn(AttemptTotals) -> u64| per_second(was.map(part), part(is), span);
            let probe = io.probe_took.load(Ordering::Relaxed) as f64 / 1000.0;
            let name = format!("{} {} {}", labels.pool, labels.backend, labels.address);
            let numbers = (rate(|t| t.all), rate(|t| t.failed), rounded(probe));
            (name, numbers)
        })
        .collect()
}

/// Nothing where it was not there before: a series that is new is no burst.
fn per_second(before: Option<u64>, now: u64, span: f64) -> f64 {
    let more = now.saturating_sub(before.unwrap_or(now));
    rounded(more as f64 / span)
}

/// Two digits behind the point say enough.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
