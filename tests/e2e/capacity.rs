//! Capacity: what does not fit is shed at once and by class, and what is left is used.

mod bounds;
mod loss;
mod worker;

use crate::support::load::Told;

/// How many orders were told something else than 200, in short.
fn failed_orders<'a>(told: impl IntoIterator<Item = &'a Told>) -> Vec<String> {
    let failed = told.into_iter().filter(|t| !t.is_read() && !t.is_ok());
    failed.map(Told::summary).collect()
}

/// Whether leeward shed it at its own limits.
fn is_shed(told: &Told) -> bool {
    let answer = told.answer.as_ref();
    answer.is_some_and(|a| a.status() == 503 && a.outcome() == Some("shed"))
}
