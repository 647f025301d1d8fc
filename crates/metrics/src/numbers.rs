//! The series that only the control thread sets: verdicts, shares, the policy, probes.
//!
//! Owns their numbers. Knows nothing of workers and slots. Called with the lock held.

use crate::family::Family;
use crate::series::{self, Labels, Reading, Value};
use std::collections::BTreeMap;

/// Numbers by family and label values.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    families: BTreeMap<&'static str, Listed>,
}

/// The series of one family.
#[derive(Debug)]
struct Listed {
    family: &'static Family,
    series: BTreeMap<Labels, f64>,
}

impl Numbers {
    /// Sets one number.
    pub(crate) fn set(&mut self, family: &'static Family, labels: &[&str], number: f64) {
        *self.number(family, labels) = number;
    }

    /// Adds to one number; adding 0 makes it appear.
    pub(crate) fn add(&mut self, family: &'static Family, labels: &[&str], number: f64) {
        *self.number(family, labels) += number;
    }

    /// Removes the numbers of `family` whose first labels are `prefix`.
    pub(crate) fn remove(&mut self, family: &'static Family, prefix: &[&str]) {
        let Some(listed) = self.families.get_mut(family.name) else {
            return;
        };
        let from_prefix = listed.series.range(series::labels(prefix)..);
        let gone: Vec<Labels> = from_prefix
            .map(|(labels, _)| labels.clone())
            .take_while(|labels| series::start_with(labels, prefix))
            .collect();
        for labels in gone {
            listed.series.remove(&labels);
        }
    }

    /// The families, by name, and their numbers, by label values.
    pub(crate) fn readings(&self) -> impl Iterator<Item = Reading> {
        self.families.values().map(|listed| {
            let numbers = listed.series.iter();
            let numbers = numbers.map(|(labels, number)| (labels.clone(), Value::Number(*number)));
            Reading {
                family: listed.family,
                series: numbers.collect(),
            }
        })
    }

    fn number(&mut self, family: &'static Family, labels: &[&str]) -> &mut f64 {
        debug_assert_eq!(family.labels.len(), labels.len(), "{}", family.name);
        let listed = self.families.entry(family.name).or_insert_with(|| Listed {
            family,
            series: BTreeMap::new(),
        });
        listed.series.entry(series::labels(labels)).or_insert(0.0)
    }
}
