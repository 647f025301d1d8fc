//! A declared rate: the generic cell rate algorithm, with a tolerance for each class.
//!
//! All state is one number, the time at which everything that was let in would be worked off, so
//! that workers can share it in one atomic. A class is let in while that is no further away than its
//! tolerance: reads keep a short queue's worth of work ahead of the site, orders find room on top of
//! it. Over time exactly the rate is let in, and orders first.

use super::Part;
use crate::class::Class;
use crate::time::Time;
use std::time::Duration;

/// How far ahead of the site a class may go: in time, and in requests where the rate is small. Streams that
/// were lost together come back together: they may go no further than public reads, or the orders that follow
/// would meet a site that has no room left for them.
fn tolerance(class: Class) -> (u64, u64) {
    const MS: u64 = 1_000_000;
    match Part::of(class) {
        Part::Private if class == Class::Stream => (50 * MS, 4),
        Part::Public => (50 * MS, 4),
        Part::Private => (100 * MS, 6),
        Part::Order => (300 * MS, 12),
        Part::Cancel => (500 * MS, 20),
    }
}

/// Requests per second that are let in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Of the class that asks.
    pub own: f64,
    /// Of the class that has the most. All tolerances go by it: who is let in first does not change with
    /// what the others are left.
    pub most: f64,
}

impl From<f64> for Rate {
    fn from(rate: f64) -> Rate {
        Rate {
            own: rate,
            most: rate,
        }
    }
}

/// Lets one request of `class` in, at `rate`. `due` is when what was let in
/// before will be worked off, in nanoseconds as in [`Time`]; `Ok` is what it is then.
///
/// # Errors
/// The site is full for this class; how long it will be.
pub fn take(due: u64, rate: impl Into<Rate>, class: Class, now: Time) -> Result<u64, Duration> {
    let rate = rate.into();
    let (time, requests) = tolerance(class);
    let most = time.max(step(rate.most).saturating_mul(requests));
    let ahead = due.saturating_sub(now.0);
    if ahead > most {
        return Err(Duration::from_nanos(ahead - most));
    }
    Ok(due.max(now.0).saturating_add(step(rate.own)))
}

/// Nanoseconds between two requests; a rate of nothing is one request in an hour.
pub(super) fn step(rate: f64) -> u64 {
    const HOUR: f64 = 3600e9;
    // Fits: at most an hour, and never negative.
    (1e9 / rate.max(1e-9)).min(HOUR) as u64
}
