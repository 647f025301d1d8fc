//! What a worker may still repeat of each pool's requests: its share of the retry and hedge budgets.
//!
//! Owns one pair of budgets a pool. How a budget grows and is spent is the engine's
//! ([`leeward_failover::retry`]).

use leeward_failover::retry::Budget;
use leeward_failover::{Class, Pool, PoolId, Time};
use std::cell::RefCell;

/// One worker's budgets, by pool of the newest policy.
#[derive(Default)]
pub(crate) struct Budgets(RefCell<Vec<Pair>>);

struct Pair {
    retries: Budget,
    hedges: Budget,
}

impl Budgets {
    /// Begins anew with the pools of another policy, which `workers` workers share.
    pub(crate) fn follow(&self, pools: &[Pool], workers: usize) {
        let pairs = pools.iter().map(|pool| Pair {
            retries: Budget::new(pool.retry, workers),
            hedges: Budget::of_hedges(pool.retry, workers),
        });
        *self.0.borrow_mut() = pairs.collect();
    }

    /// A request of a pool begins: its budgets grow.
    pub(crate) fn count_request(&self, pool: PoolId, class: Class, now: Time) {
        self.with(pool, |pair| {
            pair.retries.request(now);
            if class == Class::PublicRead {
                pair.hedges.request(now);
            }
        });
    }

    /// Uses the retry budget of a pool; `None` when the newest policy has no such pool.
    pub(crate) fn retries<T>(&self, pool: PoolId, act: impl FnOnce(&mut Budget) -> T) -> Option<T> {
        self.with(pool, |pair| act(&mut pair.retries))
    }

    /// Takes one hedge from the budget of a pool; false when none is left.
    pub(crate) fn spend_hedge(&self, pool: PoolId, now: Time) -> bool {
        self.with(pool, |pair| pair.hedges.spend(now))
            .unwrap_or(false)
    }

    fn with<T>(&self, pool: PoolId, act: impl FnOnce(&mut Pair) -> T) -> Option<T> {
        self.0.borrow_mut().get_mut(pool.index()).map(act)
    }
}
