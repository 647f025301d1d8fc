//! When an order path is left, what does not take it away, and how it comes back.

use super::*;
use std::time::Duration;

struct Bench {
    path: OrderPath,
    pool: Pool,
    now: Time,
    around: Around,
}

impl Bench {
    /// Reads and orders succeeded for a while.
    fn well() -> Bench {
        let pool = Pool {
            name: "trading".to_owned(),
            tiers: Vec::new(),
            probe: crate::policy::ProbeParams::default(),
            health: HealthParams::default(),
            failover: crate::policy::FailoverParams::default(),
            orders: crate::policy::OrderParams::default(),
            retry: crate::policy::RetryParams::default(),
        };
        let now = Time::from_millis(100_000);
        let mut bench = Bench {
            path: OrderPath::new(&pool.health, now),
            pool,
            now,
            around: Around::default(),
        };
        for _ in 0..10 {
            bench.tell(
                &[(Outcome::Success, 3)],
                &[(Outcome::Success, 1)],
                &[1, 2, 3],
            );
        }
        bench
    }

    /// A batch, then 50 ms pass.
    fn tell(
        &mut self,
        reads: &[(Outcome, u32)],
        orders: &[(Outcome, u32)],
        clients: &[u64],
    ) -> Option<Cause> {
        let mut tally = Tally::default();
        for (outcome, count) in reads {
            (0..*count).for_each(|_| tally.add(*outcome, Duration::from_millis(1)));
        }
        for (outcome, count) in orders {
            for _ in 0..*count {
                for client in clients {
                    tally.add(*outcome, Duration::from_millis(1));
                    tally.add_order(*outcome, *client, false);
                }
            }
        }
        let around = Around {
            taken: true,
            ..self.around
        };
        let changed = self.path.served(&tally, around, &self.pool, self.now);
        self.now = self.now + Duration::from_millis(50);
        changed.map(|_| self.path.held.cause)
    }

    fn good_reads(&mut self) -> Option<Cause> {
        self.tell(&[(Outcome::Success, 10)], &[], &[])
    }

    fn wait_for(&mut self, requests: u32, oldest: u64) -> Option<Verdict> {
        let overdue = Overdue {
            requests,
            oldest: Duration::from_millis(oldest),
            ..Overdue::default()
        };
        self.path
            .waited_for(overdue, self.around.probed, &self.pool, self.now)
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        self.path.woken(&self.pool, self.now);
    }
}

const FAILS: [(Outcome, u32); 1] = [(Outcome::GatewayError, 1)];

#[test]
fn orders_that_fail_in_a_row_while_reads_succeed_take_the_path_down() {
    let mut bench = Bench::well();
    assert_eq!(bench.tell(&[], &FAILS, &[1, 2]), None);
    assert_eq!(
        bench.tell(&[], &FAILS, &[3, 1, 2]),
        None,
        "no read said so yet"
    );
    assert_eq!(bench.good_reads(), Some(Cause::ConsecutiveFailures));
    assert_eq!(bench.path.fitness(), Fitness::Unfit);
}

#[test]
fn where_reads_fail_as_well_it_says_nothing() {
    let mut bench = Bench::well();
    for _ in 0..20 {
        assert_eq!(bench.tell(&FAILS, &FAILS, &[1, 2, 3]), None);
    }
    assert!(!bench.path.reads_vouch(bench.now));
    let mut alone = Bench::well();
    alone.path = OrderPath::new(&alone.pool.health, alone.now);
    for _ in 0..20 {
        assert_eq!(alone.tell(&[], &FAILS, &[1, 2, 3]), None, "no reads at all");
    }
}

#[test]
fn a_probe_stands_in_for_the_reads_of_a_standby() {
    let mut bench = Bench::well();
    bench.path = OrderPath::new(&bench.pool.health, bench.now);
    bench.around.probed = Some(bench.now);
    let told = bench.tell(&[], &FAILS, &[1, 2, 3, 4, 5]);
    assert_eq!(told, Some(Cause::ConsecutiveFailures));
}

#[test]
fn two_failures_are_enough_where_a_neighbour_fails_so_already() {
    let mut bench = Bench::well();
    bench.around.doubted = true;
    bench.tell(&[], &FAILS, &[1]);
    let told = bench.tell(&[(Outcome::Success, 5)], &FAILS, &[2]);
    assert_eq!(told, Some(Cause::ConsecutiveFailures));
}

#[test]
fn refusals_of_orders_say_nothing() {
    let mut bench = Bench::well();
    for _ in 0..100 {
        // 4xx is a success here (P11).
        let told = bench.tell(&[(Outcome::Success, 5)], &[(Outcome::Success, 2)], &[1, 2]);
        assert_eq!(told, None);
    }
}

#[test]
fn one_client_alone_takes_nothing_down_while_others_succeed() {
    let mut bench = Bench::well();
    for _ in 0..100 {
        assert_eq!(bench.tell(&[(Outcome::Success, 5)], &FAILS, &[9]), None);
        assert_eq!(bench.tell(&[], &[(Outcome::ServerError, 3)], &[9]), None);
        assert_eq!(bench.tell(&[], &[(Outcome::Success, 1)], &[1]), None);
    }
}

#[test]
fn a_few_500_to_the_only_client_are_its_own_and_many_are_not() {
    let mut bench = Bench::well();
    bench.pass(Duration::from_secs(60));
    bench.tell(&[(Outcome::Success, 10)], &[], &[]);
    for _ in 0..19 {
        let told = bench.tell(&[(Outcome::Success, 5)], &[(Outcome::ServerError, 1)], &[9]);
        assert_eq!(told, None);
    }
    let told = bench.tell(&[(Outcome::Success, 5)], &[(Outcome::ServerError, 1)], &[9]);
    assert_eq!(told, Some(Cause::ConsecutiveFailures));
}

#[test]
fn a_failed_order_a_minute_among_good_ones_is_no_reason() {
    let mut bench = Bench::well();
    for _ in 0..60 {
        assert_eq!(bench.tell(&[(Outcome::Success, 5)], &FAILS, &[1]), None);
        bench.pass(Duration::from_secs(30));
        let good = [(Outcome::Success, 1)];
        assert_eq!(bench.tell(&[(Outcome::Success, 5)], &good, &[2]), None);
        bench.pass(Duration::from_secs(30));
    }
}

#[test]
fn few_orders_that_all_fail_are_seen_in_the_end() {
    let mut bench = Bench::well();
    for client in [1, 2, 3, 4] {
        assert_eq!(
            bench.tell(&[(Outcome::Success, 5)], &FAILS, &[client]),
            None
        );
        bench.pass(Duration::from_secs(5));
    }
    let told = bench.tell(&[(Outcome::Success, 5)], &FAILS, &[5]);
    assert_eq!(told, Some(Cause::ConsecutiveFailures));
}

#[test]
fn orders_that_hang_while_reads_are_answered_make_a_detour_then_take_it_down() {
    let mut bench = Bench::well();
    assert_eq!(bench.wait_for(2, 30), None);
    assert!(!bench.path.is_detour(), "no read was answered since");
    bench.good_reads();
    assert_eq!(bench.path.fitness(), Fitness::Silent);
    for waited in (100..1000).step_by(50) {
        assert_eq!(bench.wait_for(5, waited), None);
        bench.good_reads();
    }
    bench.wait_for(5, 1100);
    assert_eq!(bench.path.held.cause, Cause::Silent);
    assert_eq!(bench.path.fitness(), Fitness::Unfit);
}

#[test]
fn an_order_that_is_answered_ends_the_detour() {
    let mut bench = Bench::well();
    bench.wait_for(3, 100);
    bench.good_reads();
    assert!(bench.path.is_detour());
    bench.tell(&[], &[(Outcome::Success, 1)], &[1]);
    assert_eq!(bench.path.fitness(), Fitness::Fit);
}

#[test]
fn time_alone_proves_nothing_and_two_failures_end_a_trial_for_longer() {
    let mut bench = Bench::well();
    bench.tell(&[], &FAILS, &[1, 2, 3, 4, 5]);
    bench.good_reads();
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.path.fitness(), Fitness::OnTrial);
    bench.pass(Duration::from_secs(3600));
    assert_eq!(bench.path.fitness(), Fitness::OnTrial, "nothing was sent");
    bench.tell(&[(Outcome::Success, 10)], &[], &[]);
    bench.tell(&[], &FAILS, &[1]);
    assert_eq!(bench.good_reads(), None);
    let told = bench.tell(&[(Outcome::Success, 10)], &FAILS, &[1]);
    assert_eq!(told, Some(Cause::FailedInRamp));
}

#[test]
fn five_orders_that_succeed_end_a_trial() {
    let mut bench = Bench::well();
    bench.tell(&[], &FAILS, &[1, 2, 3, 4, 5]);
    bench.good_reads();
    bench.pass(Duration::from_secs(30));
    let good = [(Outcome::Success, 1)];
    assert_eq!(bench.tell(&[], &good, &[1, 2, 3, 4]), None);
    assert_eq!(bench.tell(&[], &good, &[5]), Some(Cause::TrafficSucceeds));
    assert_eq!(bench.path.fitness(), Fitness::Fit);
}

#[test]
fn an_operator_ends_the_hold_down() {
    let mut bench = Bench::well();
    bench.tell(&[], &FAILS, &[1, 2, 3, 4, 5]);
    bench.good_reads();
    bench.path.restore(&bench.pool.health, bench.now);
    assert_eq!(bench.path.fitness(), Fitness::Fit);
}

#[test]
fn orders_that_are_only_ever_told_full_fail() {
    let mut bench = Bench::well();
    let full = [(Outcome::Backpressure, 2)];
    let told = (0..40).find_map(|_| bench.tell(&[(Outcome::Success, 5)], &full, &[1, 2]));
    assert_eq!(told, Some(Cause::FailureRatio));
    let mut some = Bench::well();
    for _ in 0..100 {
        assert_eq!(some.tell(&[(Outcome::Success, 5)], &full, &[1, 2]), None);
        let good = [(Outcome::Success, 1)];
        assert_eq!(some.tell(&[], &good, &[1]), None);
    }
}

#[test]
fn one_client_that_sends_most_takes_nothing_down_while_others_were_well_a_moment_ago() {
    let mut bench = Bench::well();
    bench.pass(Duration::from_secs(5));
    for _ in 0..100 {
        let told = bench.tell(&[(Outcome::Success, 5)], &[(Outcome::ServerError, 2)], &[9]);
        assert_eq!(told, None);
    }
}

#[test]
fn one_clients_failures_shut_no_neighbour_of_a_path_that_is_shut() {
    let mut bench = Bench::well();
    bench.around.doubted = true;
    for _ in 0..100 {
        let told = bench.tell(&[(Outcome::Success, 5)], &[(Outcome::ServerError, 2)], &[9]);
        assert_eq!(told, None);
        bench.tell(&[], &[(Outcome::Success, 1)], &[1]);
    }
}

#[test]
fn failures_of_long_ago_say_nothing_when_reads_succeed_again() {
    let mut bench = Bench::well();
    for _ in 0..5 {
        bench.tell(&FAILS, &FAILS, &[1, 2, 3]);
    }
    bench.pass(Duration::from_secs(40));
    for _ in 0..20 {
        assert_eq!(bench.good_reads(), None);
    }
}

#[test]
fn a_third_of_the_orders_that_fails_for_long_takes_the_path_down() {
    let mut bench = Bench::well();
    let mut told = Vec::new();
    for round in 0..200 {
        let client = round % 20;
        let outcome = match round % 3 {
            0 => Outcome::ServerError,
            _ => Outcome::Success,
        };
        let orders = [(outcome, 1)];
        let cause = bench.tell(&[(Outcome::Success, 5)], &orders, &[client]);
        told.extend(cause.map(|cause| (round, cause)));
        if cause.is_some() {
            break;
        }
    }
    let [(round, Cause::FailureRatio)] = told[..] else {
        panic!("{told:?}");
    };
    assert!(round > 60, "three seconds are no long time: {round}");
}

#[test]
fn a_path_that_failed_in_part_is_not_proved_by_five_that_succeed() {
    let mut bench = Bench::well();
    let some = |round: u64| match round % 3 {
        0 => [(Outcome::ServerError, 1)],
        _ => [(Outcome::Success, 1)],
    };
    let reads = [(Outcome::Success, 5)];
    (0..200).for_each(|round| {
        if bench.path.fitness() == Fitness::Fit {
            bench.tell(&reads, &some(round), &[round % 20]);
        }
    });
    assert_eq!(bench.path.fitness(), Fitness::Unfit);
    bench.pass(Duration::from_secs(30));
    let good = [(Outcome::Success, 1)];
    let told: Vec<_> = (0..60)
        .filter_map(|round| Some((round, bench.tell(&reads, &good, &[round % 20])?)))
        .collect();
    let [(round, Cause::TrafficSucceeds)] = told[..] else {
        panic!("{told:?}");
    };
    assert!(round >= 20, "{round}");
}
