//! A few counters as numbers, for the page: what happened between two looks.
//!
//! Owns how a latency is read out of two looks at a histogram. The admin thread asks every few
//! seconds; the lock is held for four families, not for all of them.

use crate::Metrics;
use crate::cells::{BOUNDS, BUCKETS};
use crate::family;
use crate::labels::RequestOutcome;
use crate::series::{Labels, Value};
use leeward_failover::Outcome;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was counted up to one moment.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Attempts at endpoints, by pool, provider, site, backend and address.
    pub endpoints: BTreeMap<[String; 5], AttemptTotals>,
    /// Attempts at pools, by pool and class.
    pub classes: BTreeMap<(String, String), u64>,
    /// Requests of clients, by how they ended, as [`RequestOutcome`] calls it.
    pub requests: BTreeMap<&'static str, u64>,
    /// How fast backends answered, by pool.
    pub heads: BTreeMap<String, LatencyTotals>,
}

/// Attempts at one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptTotals {
    /// All of them.
    pub all: u64,
    /// Those that count as failures of the endpoint.
    pub failed: u64,
}

/// A histogram of latencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencyTotals([u64; BUCKETS]);

impl LatencyTotals {
    /// The latency that a share `q` of the answers since `before` stayed below, in milliseconds;
    /// `None` where there was no answer. Between two bounds it is taken to lie evenly, beyond the
    /// last one it is that one.
    pub fn quantile_since(&self, before: Option<&Self>, q: f64) -> Option<f64> {
        let counts: Vec<u64> = (0..BUCKETS)
            .map(|i| self.0[i].saturating_sub(before.map_or(0, |before| before.0[i])))
            .collect();
        let all: u64 = counts.iter().sum();
        if all == 0 {
            return None;
        }
        let wanted = q.clamp(0.0, 1.0) * all as f64;
        let mut seen = 0.0;
        for (i, count) in counts.iter().enumerate() {
            let low = i.checked_sub(1).map_or(0, |i| BOUNDS[i]);
            let high = BOUNDS.get(i).copied().unwrap_or(low);
            let count = *count as f64;
            if count > 0.0 && seen + count >= wanted {
                let micros = low as f64 + (high - low) as f64 * ((wanted - seen) / count);
                return Some(micros / 1000.0);
            }
            seen += count;
        }
        BOUNDS.last().map(|last| *last as f64 / 1000.0)
    }

    fn add(&mut self, buckets: &[u64; BUCKETS]) {
        for (sum, more) in self.0.iter_mut().zip(buckets) {
            *sum += more;
        }
    }
}

impl Metrics {
    /// What was counted up to now.
    pub fn totals(&self) -> Totals {
        let (attempts, classes, requests, heads) = {
            let registry = &self.lock().registry;
            (
                registry.reading(&family::UPSTREAM_ATTEMPTS),
                registry.reading(&family::POOL_ATTEMPTS),
                registry.reading(&family::REQUESTS),
                registry.reading(&family::UPSTREAM_HEAD),
            )
        };
        let mut totals = Totals::default();
        // The outcomes of one endpoint follow each other: its labels are copied once.
        let attempts: Vec<_> = counters(attempts).collect();
        let endpoint = |labels: &Labels| labels.len().saturating_sub(1);
        let same = |a: &Labels, b: &Labels| a[..endpoint(a)] == b[..endpoint(b)];
        for of_one in attempts.chunk_by(|(a, _), (b, _)| same(a, b)) {
            let labels = of_one.first().map(|(labels, _)| labels.as_ref());
            let Some([pool, provider, site, backend, address, _]) = labels else {
                continue;
            };
            let key = [pool, provider, site, backend, address].map(Clone::clone);
            let sum = totals.endpoints.entry(key).or_default();
            for (labels, count) in of_one {
                sum.all += count;
                let failed = Outcome::ALL.iter().filter(|known| known.is_failure());
                let mut failed = failed.map(|known| known.as_str());
                if failed.any(|known| labels.last().is_some_and(|outcome| outcome == known)) {
                    sum.failed += count;
                }
            }
        }
        for (labels, count) in counters(classes) {
            if let [pool, class] = labels.as_ref() {
                *totals
                    .classes
                    .entry((pool.clone(), class.clone()))
                    .or_default() += count;
            }
        }
        for (labels, count) in counters(requests) {
            let mut known = RequestOutcome::ALL.iter().map(|outcome| outcome.as_str());
            if let Some(outcome) = known.find(|known| labels.last().is_some_and(|l| l == known)) {
                *totals.requests.entry(outcome).or_default() += count;
            }
        }
        for (labels, value) in heads {
            if let ([pool, _], Value::Histogram(buckets, _)) = (labels.as_ref(), value) {
                let sum = totals.heads.entry(pool.clone());
                sum.or_insert(LatencyTotals([0; BUCKETS])).add(&buckets);
            }
        }
        totals
    }
}

fn counters(series: Vec<(Arc<[String]>, Value)>) -> impl Iterator<Item = (Arc<[String]>, u64)> {
    series
        .into_iter()
        .filter_map(|(labels, value)| match value {
            Value::Counter(count) => Some((labels, count)),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BuildInfo, EndpointLabels};
    use leeward_failover::Class;
    use std::time::Duration;

    #[test]
    fn totals_are_what_workers_counted() {
        let metrics = Metrics::new(&BuildInfo {
            version: "0",
            revision: "0",
            rustc: "0",
        });
        let labels = EndpointLabels {
            pool: "main".into(),
            provider: "aws".into(),
            site: "aws/one".into(),
            backend: "http://a".into(),
            address: "127.0.0.1:1".into(),
        };
        let endpoint = metrics.endpoint(&labels);
        let pool = metrics.pool("main");
        let head = metrics.provider("main", "aws").head;
        let shed = metrics
            .route("public", "orders", Class::Order)
            .requests(RequestOutcome::Shed);
        let cells = metrics.worker();
        cells.add(endpoint.attempts(Outcome::Success), 5);
        cells.add(endpoint.attempts(Outcome::Reset), 2);
        cells.add(pool.attempts(Class::Order), 7);
        cells.add(shed, 3);
        let before = metrics.totals();
        for _ in 0..100 {
            cells.observe(head, Duration::from_millis(4));
        }
        let after = metrics.totals();
        let at = before.endpoints.values().next().copied();
        assert_eq!(at, Some(AttemptTotals { all: 7, failed: 2 }));
        assert_eq!(before.classes[&("main".to_owned(), "order".to_owned())], 7);
        assert_eq!(before.requests["shed"], 3);
        let (was, is) = (&before.heads["main"], &after.heads["main"]);
        assert_eq!(is.quantile_since(Some(is), 0.5), None);
        assert_eq!(was.quantile_since(None, 0.5), None);
        assert_eq!(is.quantile_since(Some(was), 0.5), Some(4.0));
        assert_eq!(is.quantile_since(Some(was), 1.0), Some(5.0));
    }
}
