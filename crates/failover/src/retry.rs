//! Whether a failed attempt may be followed by another, and how far away it has to be.
//!
//! The rules of DESIGN section 6, by class. Owns the retry budget that bounds amplification (P8).
//! It chooses no endpoint ([`crate::select`] does) and knows nothing of deadlines: the caller stops
//! when the request's time is up.

use crate::bugs::{Bug, is_injected};
use crate::class::{Class, Repeat};
use crate::policy::RetryParams;
use crate::select::Reach;
use crate::time::Time;
use std::time::Duration;

/// What the backend of a failed attempt may have received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Proven: not one byte of it, or the remote itself said that it did not look at it (P1).
    Nothing,
    /// Perhaps all of it.
    Maybe,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, this far from what was tried.
    Again(Reach),
    /// No other attempt.
    Stop(Stop),
}

/// Why no other attempt follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stop {
    /// The class forbids another once a byte may have been sent.
    Class,
    /// It was the last attempt that the policy allows.
    Attempts,
    /// The retry budget is spent.
    Budget,
    /// The pool distrusts its detector: more load is the last thing that it needs (P4).
    Panic,
}

impl Stop {
    /// Every reason.
    pub const ALL: [Stop; 4] = [Stop::Class, Stop::Attempts, Stop::Budget, Stop::Panic];

    /// The word in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stop::Class => "class",
            Stop::Attempts => "attempts",
            Stop::Budget => "budget",
            Stop::Panic => "panic",
        }
    }
}

/// Attempts that a request of `class` has in all, the first among them, where so much of it may have
/// been received.
pub const fn allowed(class: Class, sent: Sent, params: &RetryParams) -> u32 {
    match (class.repeat(), sent) {
        (Repeat::Budgeted, _) => params.attempts,
        (Repeat::Once, _) => 2,
        (Repeat::ProvenNotSent | Repeat::AtConnect, Sent::Maybe) => 1,
        (Repeat::ProvenNotSent | Repeat::AtConnect, Sent::Nothing) => params.attempts,
    }
}

/// Whether further attempts of `class` are taken from the retry budget: those that could add to an
/// overload.
pub const fn asks_budget(class: Class) -> bool {
    matches!(class, Class::PublicRead | Class::PrivateRead)
}

/// Decides what follows a failed attempt of a request.
///
/// `attempts` counts those made so far, the failed one among them, so it is at least 1. `panic` is
/// the pool's flag in the table. The budget is only touched when nothing else forbids the attempt.
pub fn after_failure(
    class: Class,
    attempts: u32,
    sent: Sent,
    params: &RetryParams,
    panic: bool,
    budget: &mut Budget,
    now: Time,
) -> Next {
    let sent = if is_injected(Bug::OrderSentAgain) {
        Sent::Nothing
    } else {
        sent
    };
    let allowed = allowed(class, sent, params);
    let bound = matches!(class.repeat(), Repeat::ProvenNotSent | Repeat::AtConnect);
    if bound && sent == Sent::Maybe {
        return Next::Stop(Stop::Class);
    }
    if attempts >= allowed {
        return Next::Stop(Stop::Attempts);
    }
    if panic && !class.goes_to_writer() {
        return Next::Stop(Stop::Panic);
    }
    if asks_budget(class) && !budget.spend(now) {
        return Next::Stop(Stop::Budget);
    }
    Next::Again(reach(attempts, allowed))
}

/// Each attempt goes further than the one before, and the last one as far as there is.
const fn reach(attempts: u32, allowed: u32) -> Reach {
    if attempts + 1 >= allowed {
        return Reach::Provider;
    }
    match attempts {
        0 | 1 => Reach::Endpoint,
        2 => Reach::Site,
        _ => Reach::Provider,
    }
}

/// Hedges per second that a pool has whatever it is asked.
const HEDGE_FLOOR: f64 = 0.2;

/// How many retries a worker may still send to one pool.
///
/// Over a trailing window of ten seconds: a share of the requests in it, plus the floor that lets a
/// quiet pool retry at all, less the retries in it. What is saved in good times is gone after ten
/// seconds, so an outage never starts with a hoard of retries.
#[derive(Clone, Debug)]
pub struct Budget {
    /// What each request adds.
    per_request: f64,
    /// What is there without any request, over the whole window.
    floor: f64,
    /// Additions less withdrawals, by second.
    buckets: [f64; Budget::SECONDS],
    /// The second that the newest bucket stands for.
    second: u64,
}

impl Budget {
    /// Seconds that the window spans.
    const SECONDS: usize = 10;

    /// A budget for one of `workers` workers that share a pool's policy.
    ///
    /// Each worker is left one retry per window, however many share the floor: a part of a retry
    /// could never be spent.
    pub fn new(params: RetryParams, workers: usize) -> Budget {
        let share = params.floor_per_second * Self::SECONDS as f64 / workers.max(1) as f64;
        let floor = if params.floor_per_second > 0.0 {
            share.max(1.0)
        } else {
            0.0
        };
        Budget {
            per_request: params.budget,
            floor,
            buckets: [0.0; Self::SECONDS],
            second: 0,
        }
    }

    /// A budget of hedges: a share of public reads, and a little that lets a quiet pool hedge at all.
    pub fn of_hedges(params: RetryParams, workers: usize) -> Budget {
        let floor = if params.hedge > 0.0 { HEDGE_FLOOR } else { 0.0 };
        let hedges = RetryParams {
            budget: params.hedge,
            floor_per_second: floor,
            ..params
        };
        Budget::new(hedges, workers)
    }

    /// Counts a request; retries and hedges are none.
    pub fn request(&mut self, now: Time) {
        *self.newest(now) += self.per_request;
    }

    /// Takes one retry; false, and nothing taken, when none is left.
    pub fn spend(&mut self, now: Time) -> bool {
        let newest = self.newest(now);
        *newest -= 1.0;
        // A sum of tenths may fall short of a whole by a rounding error.
        let covered = self.tokens() > -1e-6 || is_injected(Bug::NoRetryBudget);
        if !covered {
            *self.newest(now) += 1.0;
        }
        covered
    }

    /// Retries that are left, as of the last call.
    pub fn tokens(&self) -> f64 {
        self.floor + self.buckets.iter().sum::<f64>()
    }

    fn newest(&mut self, now: Time) -> &mut f64 {
        let second = (now.since(Time::ZERO).as_nanos() / Duration::from_secs(1).as_nanos()) as u64;
        let passed = second.saturating_sub(self.second).min(Self::SECONDS as u64);
        self.second = self.second.max(second);
        for back in 0..passed {
            self.buckets[((self.second - back) % Self::SECONDS as u64) as usize] = 0.0;
        }
        &mut self.buckets[(self.second % Self::SECONDS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: RetryParams = RetryParams {
        budget: 0.1,
        floor_per_second: 3.0,
        attempts: 4,
        hedge: 0.05,
    };

    fn after(class: Class, attempts: u32, sent: Sent, panic: bool) -> Next {
        let mut budget = Budget::new(PARAMS, 1);
        after_failure(
            class,
            attempts,
            sent,
            &PARAMS,
            panic,
            &mut budget,
            Time::ZERO,
        )
    }

    #[test]
    fn public_reads_reach_further_with_each_attempt() {
        let next = |attempts| after(Class::PublicRead, attempts, Sent::Maybe, false);
        assert_eq!(next(1), Next::Again(Reach::Endpoint));
        assert_eq!(next(2), Next::Again(Reach::Site));
        assert_eq!(next(3), Next::Again(Reach::Provider));
        assert_eq!(next(4), Next::Stop(Stop::Attempts));
    }

    #[test]
    fn a_private_read_is_tried_once_more_at_another_provider() {
        let next = |attempts| after(Class::PrivateRead, attempts, Sent::Maybe, false);
        assert_eq!(next(1), Next::Again(Reach::Provider));
        assert_eq!(next(2), Next::Stop(Stop::Attempts));
    }

    #[test]
    fn an_order_goes_elsewhere_only_when_nothing_was_sent() {
        assert_eq!(
            after(Class::Order, 1, Sent::Maybe, false),
            Next::Stop(Stop::Class)
        );
        assert_eq!(
            after(Class::Order, 1, Sent::Nothing, false),
            Next::Again(Reach::Endpoint)
        );
        assert_eq!(
            after(Class::Order, 4, Sent::Nothing, false),
            Next::Stop(Stop::Attempts)
        );
    }

    #[test]
    fn streams_and_tcp_go_elsewhere_only_before_a_connection_stands() {
        for class in [Class::Stream, Class::Tcp] {
            assert_eq!(after(class, 1, Sent::Maybe, false), Next::Stop(Stop::Class));
            assert_eq!(
                after(class, 1, Sent::Nothing, false),
                Next::Again(Reach::Endpoint)
            );
        }
    }

    #[test]
    fn panic_stops_all_but_orders_that_were_not_sent_and_cancels() {
        assert_eq!(
            after(Class::PublicRead, 1, Sent::Nothing, true),
            Next::Stop(Stop::Panic)
        );
        assert_eq!(
            after(Class::PrivateRead, 1, Sent::Nothing, true),
            Next::Stop(Stop::Panic)
        );
        assert_eq!(
            after(Class::Stream, 1, Sent::Nothing, true),
            Next::Stop(Stop::Panic)
        );
        assert_eq!(
            after(Class::Order, 1, Sent::Nothing, true),
            Next::Again(Reach::Endpoint)
        );
        assert_eq!(
            after(Class::Cancel, 1, Sent::Maybe, true),
            Next::Again(Reach::Provider)
        );
    }

    #[test]
    fn retries_are_a_tenth_of_the_requests_plus_the_floor() {
        let mut budget = Budget::new(PARAMS, 1);
        for _ in 0..1000 {
            budget.request(Time::ZERO);
        }
        let retries = (0..1000).filter(|_| budget.spend(Time::ZERO)).count();
        assert_eq!(retries, 100 + 30);
    }

    #[test]
    fn savings_and_debts_are_gone_after_ten_seconds() {
        let mut budget = Budget::new(PARAMS, 1);
        for _ in 0..1000 {
            budget.request(Time::ZERO);
        }
        assert!((budget.tokens() - 130.0).abs() < 1e-6);
        assert!(budget.spend(Time::from_millis(10_000)));
        assert!((budget.tokens() - 29.0).abs() < 1e-6);
        budget.request(Time::from_millis(100_000));
        assert!((budget.tokens() - 30.1).abs() < 1e-6);
    }

    #[test]
    fn an_empty_budget_stops_reads_and_takes_nothing_from_cancels() {
        let mut budget = Budget::new(
            RetryParams {
                budget: 0.0,
                floor_per_second: 0.0,
                ..PARAMS
            },
            4,
        );
        let mut next = |class| {
            after_failure(
                class,
                1,
                Sent::Maybe,
                &PARAMS,
                false,
                &mut budget,
                Time::ZERO,
            )
        };
        assert_eq!(next(Class::PublicRead), Next::Stop(Stop::Budget));
        assert_eq!(next(Class::PrivateRead), Next::Stop(Stop::Budget));
        assert_eq!(next(Class::Cancel), Next::Again(Reach::Provider));
    }

    #[test]
    fn each_of_many_workers_keeps_a_whole_retry() {
        let mut budget = Budget::new(PARAMS, 1000);
        assert!(budget.spend(Time::ZERO));
        assert!(!budget.spend(Time::ZERO));
    }

    #[test]
    fn time_that_goes_backwards_is_harmless() {
        let mut budget = Budget::new(PARAMS, 1);
        budget.request(Time::from_millis(60_000));
        budget.request(Time::ZERO);
        assert!((budget.tokens() - 30.2).abs() < 1e-6);
    }
}
