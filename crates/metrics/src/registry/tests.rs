//! Slots change hands only when nobody counts on them any more.

use super::{REST, Registry, Value};
use crate::cells::{HISTOGRAM_SLOTS, OVERFLOW_SLOT};
use crate::family::{Family, UPSTREAM_CREATED, UPSTREAM_OPEN};
use std::time::{Duration, Instant};

const A: [&str; 5] = ["pool", "aws", "aws/a", "https://a", "192.0.2.1:1"];
const B: [&str; 5] = ["pool", "aws", "aws/a", "https://a", "192.0.2.2:1"];
static FAMILIES: [&Family; 2] = [&UPSTREAM_CREATED, &UPSTREAM_OPEN];

fn shown(registry: &Registry, family: &'static Family) -> Vec<(String, Value)> {
    let of = registry
        .readings()
        .filter(|reading| reading.family == family);
    let series = of.flat_map(|reading| reading.series);
    series
        .map(|(labels, value)| (labels[4].clone(), value))
        .collect()
}

/// Room for two series beside the one that nobody sees.
fn tight() -> Registry {
    Registry::new(OVERFLOW_SLOT + HISTOGRAM_SLOTS + 2)
}

#[test]
fn slots_rest_before_another_series_gets_them() {
    let mut registry = tight();
    let cells = registry.worker();
    let start = Instant::now();
    let created = registry.counter(&UPSTREAM_CREATED, &A);
    registry.gauge(&UPSTREAM_OPEN, &A);
    cells.add(created, 41);
    registry.retire(&FAMILIES, &A, start);

    registry.reclaim(start + REST - Duration::from_nanos(1));
    assert_eq!(registry.counter(&UPSTREAM_CREATED, &B).0, OVERFLOW_SLOT);
    assert_eq!(registry.overflow(), 1);

    registry.reclaim(start + REST);
    let other = registry.counter(&UPSTREAM_CREATED, &B);
    assert_ne!(other.0, OVERFLOW_SLOT);
    assert_eq!(
        shown(&registry, &UPSTREAM_CREATED),
        [(B[4].to_owned(), Value::Counter(0))]
    );
    cells.inc(other);
    assert_eq!(
        shown(&registry, &UPSTREAM_CREATED),
        [(B[4].to_owned(), Value::Counter(1))]
    );
}

#[test]
fn a_slot_that_was_a_counter_makes_a_gauge_that_starts_at_zero() {
    let mut registry = tight();
    let cells = registry.worker();
    let start = Instant::now();
    let created = registry.counter(&UPSTREAM_CREATED, &A);
    cells.add(created, 41);
    registry.retire(&FAMILIES, &A, start);
    registry.reclaim(start + REST);
    let open = registry.gauge(&UPSTREAM_OPEN, &B);
    assert_eq!(open.0, created.0);
    cells.up(open);
    cells.up(open);
    cells.down(open);
    assert_eq!(
        shown(&registry, &UPSTREAM_OPEN),
        [(B[4].to_owned(), Value::Gauge(1))]
    );
}

#[test]
fn slots_with_an_open_connection_rest_on() {
    let mut registry = tight();
    let cells = registry.worker();
    let start = Instant::now();
    let created = registry.counter(&UPSTREAM_CREATED, &A);
    let open = registry.gauge(&UPSTREAM_OPEN, &A);
    cells.up(open);
    registry.retire(&FAMILIES, &A, start);

    registry.reclaim(start + REST);
    assert_eq!(
        registry.counter(&UPSTREAM_CREATED, &B).0,
        OVERFLOW_SLOT,
        "a stream is still open"
    );
    cells.inc(created);
    cells.down(open);
    registry.reclaim(start + REST + REST);
    assert_ne!(registry.counter(&UPSTREAM_CREATED, &B).0, OVERFLOW_SLOT);
    assert_eq!(
        shown(&registry, &UPSTREAM_CREATED),
        [(B[4].to_owned(), Value::Counter(0))]
    );
}

#[test]
fn an_endpoint_that_came_back_keeps_its_slots() {
    let mut registry = tight();
    let cells = registry.worker();
    let start = Instant::now();
    let created = registry.counter(&UPSTREAM_CREATED, &A);
    cells.inc(created);
    registry.retire(&FAMILIES, &A, start);
    assert!(registry.is_retired(&UPSTREAM_CREATED, &A));
    assert_eq!(registry.counter(&UPSTREAM_CREATED, &A), created);
    assert!(!registry.is_retired(&UPSTREAM_CREATED, &A));

    registry.reclaim(start + REST);
    assert_eq!(
        shown(&registry, &UPSTREAM_CREATED),
        [(A[4].to_owned(), Value::Counter(1))]
    );

    let again = start + REST + Duration::from_secs(1);
    registry.retire(&FAMILIES, &A, again);
    registry.retire(&FAMILIES, &A, again);
    registry.reclaim(again + REST);
    registry.reclaim(again + REST);
    let fresh = registry.counter(&UPSTREAM_CREATED, &B);
    let other = registry.gauge(&UPSTREAM_OPEN, &B);
    assert_ne!(fresh.0, other.0, "a slot is freed once");
}
