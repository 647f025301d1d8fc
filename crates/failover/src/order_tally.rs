//! What orders and cancels of a batch met, counted beside the batch: they are judged apart, since
//! reads may succeed where no order does.
//!
//! Part of a [`crate::Tally`]; `order_path` judges by it.

use crate::input::{Outcome, Tally};
use serde::{Deserialize, Serialize};

/// Outcomes of orders and cancels at one endpoint, counted. They are in their [`Tally`] as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTally {
    /// How often each [`Outcome`] happened, by its position in [`Outcome::ALL`].
    pub counts: [u32; Outcome::ALL.len()],
    /// Failures since the last success, at the end of the batch; connections that did not come
    /// about are none of them.
    pub trailing_failures: u32,
    /// Answers among them that came later than their like usually do.
    #[serde(default)]
    pub late: u32,
    /// Whose they were: a bit for each client, by the last six bits of its affinity key. Two clients
    /// may share one.
    #[serde(default)]
    pub clients: u64,
    /// Those of them for whom any failed.
    #[serde(default)]
    pub hit: u64,
}

impl OrderTally {
    /// Counts one.
    pub(crate) fn add(&mut self, outcome: Outcome, client: u64, late: bool) {
        let count = &mut self.counts[outcome as usize];
        *count = count.saturating_add(1);
        self.late = self.late.saturating_add(u32::from(late));
        let bit = 1 << (client % u64::from(u64::BITS));
        self.clients |= bit;
        if outcome == Outcome::Success {
            self.trailing_failures = 0;
        } else if speaks_against(outcome) {
            self.trailing_failures = self.trailing_failures.saturating_add(1);
            self.hit |= bit;
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|n| *n == 0)
    }

    /// How often `outcome` happened.
    pub const fn count(&self, outcome: Outcome) -> u32 {
        self.counts[outcome as usize]
    }

    /// How many answers there were, good or bad.
    pub(crate) fn answers(&self) -> u32 {
        self.sum(Outcome::is_answer)
    }

    /// How often anything that speaks against the order path happened.
    pub(crate) fn failures(&self) -> u32 {
        self.sum(speaks_against)
    }

    fn sum(&self, counts: fn(Outcome) -> bool) -> u32 {
        let all = Outcome::ALL.iter().filter(|outcome| counts(**outcome));
        all.fold(0, |sum, outcome| sum.saturating_add(self.count(*outcome)))
    }
}

impl Tally {
    /// Counts the outcome that was counted last as an order's or a cancel's, of the client with this
    /// affinity key; `late` as for [`Tally::add_late`].
    pub fn add_order(&mut self, outcome: Outcome, client: u64, late: bool) {
        self.orders.add(outcome, client, late);
    }

    /// What is left of it without the orders that failed after they had a connection.
    pub(crate) fn without_failed_orders(&self) -> Tally {
        let mut left = *self;
        for outcome in Outcome::ALL.into_iter().filter(|o| speaks_against(*o)) {
            let count = &mut left.counts[outcome as usize];
            *count = count.saturating_sub(self.orders.count(outcome));
        }
        left.trailing_failures = left.trailing_failures.min(left.failures());
        left
    }
}

/// Whether an outcome of an order speaks against the order path. That no connection comes about is
/// the endpoint's own trouble: reads meet it as well.
const fn speaks_against(outcome: Outcome) -> bool {
    outcome.is_failure() && !outcome.is_connect_failure()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn tally(orders: &[Outcome], reads: &[Outcome]) -> Tally {
        let mut tally = Tally::default();
        for outcome in reads {
            tally.add(*outcome, Duration::ZERO);
        }
        for outcome in orders {
            tally.add(*outcome, Duration::ZERO);
            tally.add_order(*outcome, 7, false);
        }
        tally
    }

    #[test]
    fn orders_that_fail_can_be_taken_out_and_connections_that_fail_stay() {
        let mixed = tally(
            &[Outcome::GatewayError, Outcome::ConnectFailed],
            &[Outcome::Success, Outcome::ServerError],
        );
        let left = mixed.without_failed_orders();
        assert_eq!(left.count(Outcome::GatewayError), 0);
        assert_eq!(left.count(Outcome::ConnectFailed), 1);
        assert_eq!((left.failures(), left.trailing_failures), (2, 2));
    }

    #[test]
    fn refusals_of_an_order_are_answers_and_no_failures() {
        let refused = tally(&[Outcome::Success, Outcome::Backpressure], &[]).orders;
        assert_eq!((refused.answers(), refused.failures()), (2, 0));
        assert_eq!((refused.clients, refused.hit), (1 << 7, 0));
    }
}
