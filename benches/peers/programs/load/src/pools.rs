//! The open loop: when requests are due, of which kind they are, and which connection is free for them.

use crate::plan::Plan;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A request that found no connection for so long is not sent any more: its client has left.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Pools {
    /// When the next request is due.
    next: Instant,
    step: Duration,
    pools: Vec<Pool>,
}

/// One kind.
struct Pool {
    share: f64,
    /// Grows by the share with each request of whatever kind; the highest is next.
    credit: f64,
    free: Vec<usize>,
    waiting: VecDeque<Instant>,
}

impl Pools {
    pub(crate) fn new(plan: &Plan, rate: f64, start: Instant) -> Self {
        let total: f64 = plan.kinds.iter().map(|kind| kind.share).sum();
        let pools = plan.kinds.iter().map(|kind| Pool {
            share: kind.share / total,
            credit: 0.0,
            free: Vec::new(),
            waiting: VecDeque::new(),
        });
        Self {
            next: start,
            step: Duration::from_secs_f64(1.0 / rate),
            pools: pools.collect(),
        }
    }

    /// A connection of that kind is free.
    pub(crate) fn free(&mut self, kind: usize, connection: usize) {
        self.pools[kind].free.push(connection);
    }

    /// What became due until `now`, and before `end`, waits from now on.
    pub(crate) fn fall_due(&mut self, now: Instant, end: Instant) {
        while self.next <= now && self.next < end {
            for pool in &mut self.pools {
                pool.credit += pool.share;
            }
            let next = self
                .pools
                .iter_mut()
                .max_by(|a, b| a.credit.total_cmp(&b.credit));
            if let Some(pool) = next {
                pool.credit -= 1.0;
                pool.waiting.push_back(self.next);
            }
            self.next += self.step;
        }
    }

    /// Drops what has waited too long; how many of that kind.
    pub(crate) fn give_up(&mut self, kind: usize, now: Instant) -> u64 {
        let waiting = &mut self.pools[kind].waiting;
        let left = waiting.partition_point(|due| *due + PATIENCE < now);
        waiting.drain(..left);
        left as u64
    }

    /// The next request of that kind that has a connection, and when it was due.
    pub(crate) fn next(&mut self, kind: usize) -> Option<(usize, Instant)> {
        let pool = &mut self.pools[kind];
        let due = *pool.waiting.front()?;
        let connection = pool.free.pop()?;
        pool.waiting.pop_front();
        Some((connection, due))
    }

    /// How many of that kind still wait.
    pub(crate) fn waiting(&self, kind: usize) -> u64 {
        self.pools[kind].waiting.len() as u64
    }

    pub(crate) fn next_due(&self) -> Instant {
        self.next
    }
}
