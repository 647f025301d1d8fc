//! One series as a scrape takes it away: its label values and its value.
//!
//! Owns these shapes only. Made by the registry and the numbers with the lock held, written out by
//! `expose` after the lock is gone, so label values are shared and not copied.

use crate::cells::BUCKETS;
use crate::family::Family;
use std::sync::Arc;

/// Label values, in the order of the family's labels.
pub(crate) type Labels = Arc<[String]>;

/// A family and what stood in its series at one time.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) family: &'static Family,
    pub(crate) series: Vec<(Labels, Value)>,
}

/// What a series comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// A number that the control thread set.
    Number(f64),
    /// What all workers counted.
    Counter(u64),
    /// The level over all workers.
    Gauge(i64),
    /// A histogram over all workers: the count of each bucket by itself, and the sum in
    /// microseconds.
    Histogram([u64; BUCKETS], u64),
}

impl Reading {
    /// A family without labels.
    pub(crate) fn of_one(family: &'static Family, number: f64) -> Reading {
        Reading {
            family,
            series: vec![(labels(&[]), Value::Number(number))],
        }
    }
}

/// Owned label values.
pub(crate) fn labels(values: &[&str]) -> Labels {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// Whether the first labels are these. In the order of the maps such labels stand together, from
/// `prefix` on.
pub(crate) fn start_with(labels: &[String], prefix: &[&str]) -> bool {
    labels
        .iter()
        .zip(prefix)
        .all(|(label, wanted)| label == wanted)
}
