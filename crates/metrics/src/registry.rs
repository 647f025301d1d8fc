//! Which series the workers count, and in which slots.
//!
//! Owns the map from a family and its label values to slots, so that a counter survives a reload
//! of the policy, and the sheets of all workers. Gives out slots, takes them back, adds the sheets
//! up. Called with the lock held, by the control thread and by a scrape; never by a data worker.

use crate::cells::{Cells, Counter, Gauge, HISTOGRAM_SLOTS, Histogram, OVERFLOW_SLOT, Sheet};
use crate::family::{Family, Kind};
use crate::series::{self, Labels, Reading, Value};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// How long the slots of a retired endpoint rest before another series may get them: requests that
/// began before it was retired still count on them.
pub(crate) const REST: Duration = Duration::from_mins(10);

/// The series that the workers count.
#[derive(Debug)]
pub(crate) struct Registry {
    families: BTreeMap<&'static str, Listed>,
    sheets: Vec<Arc<Sheet>>,
    capacity: u32,
    next: u32,
    free: Vec<u32>,
    resting: VecDeque<Rest>,
    overflow: u64,
}

/// The series of one family.
#[derive(Debug)]
struct Listed {
    family: &'static Family,
    series: BTreeMap<Labels, Series>,
}

/// One series.
#[derive(Clone, Copy, Debug)]
struct Series {
    /// Its first slot. A histogram has [`HISTOGRAM_SLOTS`] in a row, any other one.
    slot: u32,
    /// What stood in the slot when it changed hands. Nobody but a worker may write to a sheet, so
    /// a slot is not set to 0.
    before: u64,
    /// Since when it is not shown. Its slot stays its own until it has rested.
    retired: Option<Instant>,
}

/// Series that were retired together.
#[derive(Debug)]
struct Rest {
    since: Instant,
    series: Vec<(&'static Family, Labels)>,
}

impl Registry {
    /// No series, no workers, and room for `capacity` slots.
    pub(crate) fn new(capacity: u32) -> Registry {
        Registry {
            families: BTreeMap::new(),
            sheets: Vec::new(),
            capacity: capacity.max(HISTOGRAM_SLOTS),
            next: OVERFLOW_SLOT + HISTOGRAM_SLOTS,
            free: Vec::new(),
            resting: VecDeque::new(),
            overflow: 0,
        }
    }

    /// One more worker's cells.
    pub(crate) fn worker(&mut self) -> Cells {
        Cells::new(self.sheet())
    }

    /// One more sheet, for one writer.
    pub(crate) fn sheet(&mut self) -> Arc<Sheet> {
        let sheet = Arc::new(Sheet::new(self.capacity));
        self.sheets.push(sheet.clone());
        sheet
    }

    /// The counter of these labels, which may be there already.
    pub(crate) fn counter(&mut self, family: &'static Family, labels: &[&str]) -> Counter {
        debug_assert_eq!(family.kind, Kind::Counter, "{}", family.name);
        Counter(self.slot(family, labels))
    }

    /// The gauge of these labels, which may be there already.
    pub(crate) fn gauge(&mut self, family: &'static Family, labels: &[&str]) -> Gauge {
        debug_assert_eq!(family.kind, Kind::Gauge, "{}", family.name);
        Gauge(self.slot(family, labels))
    }

    /// The histogram of these labels, which may be there already.
    pub(crate) fn histogram(&mut self, family: &'static Family, labels: &[&str]) -> Histogram {
        debug_assert_eq!(family.kind, Kind::Histogram, "{}", family.name);
        Histogram(self.slot(family, labels))
    }

    /// How often a series found no room.
    pub(crate) fn overflow(&self) -> u64 {
        self.overflow
    }

    /// The families, by name, and the sums of the series that are shown, by label values.
    pub(crate) fn readings(&self) -> impl Iterator<Item = Reading> {
        self.families.values().map(|listed| {
            let family = listed.family;
            let shown = listed
                .series
                .iter()
                .filter(|(_, series)| series.retired.is_none());
            let sums =
                shown.map(|(labels, series)| (labels.clone(), self.value(family.kind, series)));
            Reading {
                family,
                series: sums.collect(),
            }
        })
    }

    /// The sums of the series of one family that are shown, by label values.
    pub(crate) fn reading(&self, family: &'static Family) -> Vec<(series::Labels, Value)> {
        let listed = self.families.get(family.name);
        let series = listed.into_iter().flat_map(|listed| &listed.series);
        series
            .filter(|(_, series)| series.retired.is_none())
            .map(|(labels, series)| (labels.clone(), self.value(family.kind, series)))
            .collect()
    }

    /// Hides the series of `families` whose first labels are `prefix`, and lets their slots rest.
    /// The same labels asked for again before another series has the slots get them back, and count
    /// on. Not for histograms.
    pub(crate) fn retire(&mut self, families: &[&'static Family], prefix: &[&str], now: Instant) {
        let mut hidden = Vec::new();
        for family in families {
            debug_assert_ne!(family.kind, Kind::Histogram, "{}", family.name);
            let Some(listed) = self.families.get_mut(family.name) else {
                continue;
            };
            for (labels, series) in listed.series.range_mut(series::labels(prefix)..) {
                if !series::start_with(labels, prefix) {
                    break;
                }
                if series.retired.is_none() {
                    series.retired = Some(now);
                    hidden.push((*family, labels.clone()));
                }
            }
        }
        if !hidden.is_empty() {
            self.resting.push_back(Rest {
                since: now,
                series: hidden,
            });
        }
    }

    /// Whether this series is there and hidden.
    pub(crate) fn is_retired(&self, family: &'static Family, labels: &[&str]) -> bool {
        self.series(family, &series::labels(labels))
            .is_some_and(|series| series.retired.is_some())
    }

    /// Frees the slots that have rested, unless something is still counted on them: a long stream
    /// to an endpoint that is gone keeps that endpoint's slots.
    pub(crate) fn reclaim(&mut self, now: Instant) {
        let due = |rest: &mut Rest| now.saturating_duration_since(rest.since) >= REST;
        while let Some(mut rest) = self.resting.pop_front_if(due) {
            rest.series.retain(|(family, labels)| {
                self.series(family, labels)
                    .is_some_and(|series| series.retired == Some(rest.since))
            });
            if rest
                .series
                .iter()
                .any(|(family, labels)| self.holds_something(family, labels))
            {
                self.rest_again(rest, now);
                continue;
            }
            for (family, labels) in &rest.series {
                let series = self
                    .families
                    .get_mut(family.name)
                    .and_then(|listed| listed.series.remove(labels));
                self.free.extend(series.map(|series| series.slot));
            }
        }
    }

    fn rest_again(&mut self, mut rest: Rest, now: Instant) {
        rest.since = now;
        for (family, labels) in &rest.series {
            let listed = self.families.get_mut(family.name);
            if let Some(series) = listed.and_then(|listed| listed.series.get_mut(labels)) {
                series.retired = Some(now);
            }
        }
        self.resting.push_back(rest);
    }

    fn holds_something(&self, family: &'static Family, labels: &[String]) -> bool {
        let level = |series| self.value(family.kind, series);
        family.kind == Kind::Gauge
            && self.series(family, labels).map(level) != Some(Value::Gauge(0))
    }

    fn series(&self, family: &'static Family, labels: &[String]) -> Option<&Series> {
        self.families.get(family.name)?.series.get(labels)
    }

    /// The first slot of these labels; the one that nobody sees when there is no room.
    fn slot(&mut self, family: &'static Family, labels: &[&str]) -> u32 {
        debug_assert_eq!(family.labels.len(), labels.len(), "{}", family.name);
        let labels = series::labels(labels);
        let listed = self.families.entry(family.name).or_insert_with(|| Listed {
            family,
            series: BTreeMap::new(),
        });
        if let Some(series) = listed.series.get_mut(&labels) {
            series.retired = None;
            return series.slot;
        }
        let Some(slot) = self.give_out(family.kind) else {
            self.overflow = self.overflow.saturating_add(1);
            return OVERFLOW_SLOT;
        };
        let series = Series {
            slot,
            before: self.sum(slot),
            retired: None,
        };
        if let Some(listed) = self.families.get_mut(family.name) {
            listed.series.insert(labels, series);
        }
        slot
    }

    fn give_out(&mut self, kind: Kind) -> Option<u32> {
        let count = match kind {
            Kind::Counter | Kind::Gauge => 1,
            Kind::Histogram => HISTOGRAM_SLOTS,
        };
        if let Some(slot) = self.free.pop_if(|_| count == 1) {
            return Some(slot);
        }
        let first = self.next;
        self.next = first
            .checked_add(count)
            .filter(|next| *next <= self.capacity)?;
        Some(first)
    }

    fn value(&self, kind: Kind, series: &Series) -> Value {
        let count = || self.sum(series.slot).wrapping_sub(series.before);
        match kind {
            Kind::Counter => Value::Counter(count()),
            Kind::Gauge => Value::Gauge(count().cast_signed()),
            Kind::Histogram => {
                let mut slots = series.slot..;
                let buckets =
                    std::array::from_fn(|_| slots.next().map_or(0, |slot| self.sum(slot)));
                Value::Histogram(buckets, slots.next().map_or(0, |slot| self.sum(slot)))
            }
        }
    }

    /// What stands in `slot` over all sheets. Gauges go down in other sheets than up, so the parts
    /// wrap and the sum does not.
    fn sum(&self, slot: u32) -> u64 {
        self.sheets
            .iter()
            .fold(0, |sum, sheet| sum.wrapping_add(sheet.get(slot)))
    }
}
