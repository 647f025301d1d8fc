//! Orders over a trailing window, and whose they were: counts beside a bit for each client.
//!
//! Owns nothing but numbers; `order_path` asks for the sums. Bits cannot be taken out of a sum, so
//! those of the buckets are joined when they are asked for.

use crate::time::Time;
use crate::window::{Counts, Window};
use std::time::Duration;

/// Clients are told apart for a whole of this many parts of the window, and for the one under way.
const PARTS: usize = 4;

/// [`Counts`] with the clients that were seen, and those for whom anything failed.
#[derive(Clone, Debug)]
pub(crate) struct OrderWindow {
    counts: Window,
    /// Nanoseconds that one part spans; at least 1.
    span: u64,
    /// When each part began, in spans, and its clients: seen, hit.
    parts: [(u64, u64, u64); PARTS + 1],
}

impl OrderWindow {
    pub(crate) fn new(length: Duration) -> OrderWindow {
        OrderWindow {
            counts: Window::new(length),
            span: span_of(length),
            parts: [(0, 0, 0); PARTS + 1],
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self, length: Duration) {
        self.counts.clear(length);
        self.span = span_of(length);
        self.parts = [(0, 0, 0); PARTS + 1];
    }

    /// Takes another length; what was counted under the old one says nothing under the new one.
    pub(crate) fn resize(&mut self, length: Duration) {
        if span_of(length) != self.span {
            *self = OrderWindow::new(length);
        }
    }

    /// Adds counts, and the clients that were seen and hit.
    pub(crate) fn add(&mut self, counts: Counts, (seen, hit): (u64, u64), now: Time) {
        self.counts.add(counts, now);
        let position = now.0 / self.span;
        let part = &mut self.parts[(position % (PARTS as u64 + 1)) as usize];
        if part.0 != position {
            *part = (position, 0, 0);
        }
        part.1 |= seen;
        part.2 |= hit;
    }

    /// The sums as of `now`.
    pub(crate) fn sum(&mut self, now: Time) -> Counts {
        self.counts.sum(now)
    }

    /// The clients that were seen as of `now`, and those for whom anything failed.
    pub(crate) fn clients(&self, now: Time) -> (u64, u64) {
        let position = now.0 / self.span;
        let young = |part: &&(u64, u64, u64)| position.saturating_sub(part.0) <= PARTS as u64;
        let parts = self.parts.iter().filter(young);
        parts.fold((0, 0), |(seen, hit), part| (seen | part.1, hit | part.2))
    }
}

fn span_of(length: Duration) -> u64 {
    u64::try_from(length.as_nanos() / PARTS as u128)
        .unwrap_or(u64::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_with_the_window() {
        let mut window = OrderWindow::new(Duration::from_secs(2));
        let one = Counts {
            all: 1,
            ..Counts::default()
        };
        window.add(one, (0b01, 0b01), Time::from_millis(100));
        window.add(one, (0b10, 0), Time::from_millis(1900));
        assert_eq!(window.clients(Time::from_millis(2000)), (0b11, 0b01));
        assert_eq!(window.clients(Time::from_millis(2600)), (0b10, 0));
        assert_eq!(window.clients(Time::NEVER), (0, 0));
        assert_eq!(window.sum(Time::from_millis(2600)).all, 1);
    }
}
