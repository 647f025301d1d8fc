//! A backend that can only do so much: it answers 503 with Retry-After to the rest and runs none of
//! it. It remembers how much it could have done.

use std::time::Instant;

/// So many requests per second, and some more after a pause.
pub(super) struct Capacity {
    rate: f64,
    burst: f64,
    tokens: f64,
    since: Instant,
    at: Instant,
    carried: Carried,
}

/// What a bounded backend could have run and what it ran since it was bounded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carried {
    /// Requests that it could have run.
    pub(crate) could: f64,
    /// Requests that it ran.
    pub(crate) ran: u32,
    /// Requests that it refused.
    pub(crate) refused: u32,
}

impl Carried {
    /// The part of what it could have run that it ran.
    pub(crate) fn used(&self) -> f64 {
        f64::from(self.ran) / self.could
    }
}

impl Capacity {
    pub(super) fn new(rate: f64, burst: f64) -> Self {
        let now = Instant::now();
        Self {
            rate,
            burst,
            tokens: burst,
            since: now,
            at: now,
            carried: Carried::default(),
        }
    }

    /// Whether it runs one more.
    pub(super) fn takes(&mut self) -> bool {
        let now = Instant::now();
        let grown = now.duration_since(self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + grown).min(self.burst);
        self.at = now;
        let takes = self.tokens >= 1.0;
        if takes {
            self.tokens -= 1.0;
            self.carried.ran += 1;
        } else {
            self.carried.refused += 1;
        }
        takes
    }

    pub(super) fn carried(&self) -> Carried {
        Carried {
            could: self.since.elapsed().as_secs_f64() * self.rate,
            ..self.carried
        }
    }
}
