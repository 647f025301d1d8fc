//! Stories of one endpoint, without neighbours.

use super::*;
use crate::id::{BackendId, ProviderId, SiteId};
use crate::input::ProbeFailure;
use crate::listing::Listing;
use crate::order_path::OrderPath;
use crate::policy::{FailoverParams, HealthParams, OrderParams, ProbeParams, RetryParams};
use crate::rng::Rng;
use std::net::SocketAddr;
use std::time::Duration;

/// An endpoint under the default parameters, and its clock.
struct Bench {
    endpoint: Endpoint,
    pool: Pool,
    now: Time,
}

impl Bench {
    fn new() -> Bench {
        let pool = Pool {
            name: "trading".to_owned(),
            tiers: Vec::new(),
            probe: ProbeParams::default(),
            health: HealthParams::default(),
            failover: FailoverParams::default(),
            orders: OrderParams::default(),
            retry: RetryParams::default(),
        };
        let info = EndpointInfo {
            address: SocketAddr::from(([10, 0, 0, 1], 443)),
            backend: BackendId(0),
            site: SiteId(0),
            provider: ProviderId(0),
        };
        let endpoint = Endpoint {
            id: EndpointId(0),
            info,
            pool: PoolId(0),
            hash: 0,
            listing: Listing::Literal,
            proved: false,
            newcomer: false,
            counts: true,
            held: Held::new(Time::ZERO),
            word: Word::default(),
            slot: Slot::new(Time::ZERO, Duration::ZERO, &mut Rng::new(0)),
            probes: Probes::default(),
            traffic: Traffic::new(&pool.health),
            orders: OrderPath::new(&pool.health, Time::ZERO),
            silence: Silence::default(),
            detour: false,
            hold: HoldDown::default(),
            meanwhile: Meanwhile::default(),
            last_good: None,
            ramp: None,
        };
        Bench {
            endpoint,
            pool,
            now: Time::ZERO,
        }
    }

    fn healthy() -> Bench {
        let mut bench = Bench::new();
        bench.probe(true);
        bench
    }

    fn probe(&mut self, passes: bool) -> Verdict {
        let result = if passes {
            ProbeResult::Passed {
                took: Duration::from_millis(1),
            }
        } else {
            let detail = "status 503, expected 200".to_owned();
            ProbeResult::Failed {
                cause: ProbeFailure::Status,
                detail,
            }
        };
        self.endpoint.probed(
            &result,
            Rules {
                pool: &self.pool,
                now: self.now,
            },
        );
        self.endpoint.held.verdict
    }

    fn serve(&mut self, outcomes: &[(Outcome, u32)]) -> Verdict {
        let mut tally = Tally::default();
        for (outcome, count) in outcomes {
            (0..*count).for_each(|_| tally.add(*outcome, Duration::from_millis(1)));
        }
        self.endpoint.served(
            &tally,
            Excused::default(),
            Rules {
                pool: &self.pool,
                now: self.now,
            },
        );
        self.endpoint.held.verdict
    }

    /// Time passes, with a probe that passes or fails every second.
    fn wait(&mut self, seconds: u64, passes: bool) -> Verdict {
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            self.endpoint.woken(Rules {
                pool: &self.pool,
                now: self.now,
            });
            self.probe(passes);
        }
        self.endpoint.held.verdict
    }

    fn cause(&self) -> Cause {
        self.endpoint.held.cause
    }

    fn fact(&self, name: &str) -> &str {
        let facts = &self.endpoint.held.evidence;
        facts
            .iter()
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    }
}

#[test]
fn one_success_makes_a_new_endpoint_healthy() {
    assert_eq!(Bench::new().probe(true), Verdict::Healthy);
    let mut bench = Bench::new();
    assert_eq!(bench.serve(&[(Outcome::Success, 1)]), Verdict::Healthy);
    assert_eq!(bench.cause(), Cause::TrafficSucceeds);
}

#[test]
fn probes_that_fail_in_a_row_take_it_down() {
    let mut bench = Bench::healthy();
    assert_eq!(bench.probe(false), Verdict::Suspect);
    assert_eq!(bench.probe(true), Verdict::Healthy);
    assert_eq!(
        [bench.probe(false), bench.probe(false)],
        [Verdict::Suspect; 2]
    );
    assert_eq!(bench.probe(false), Verdict::Down);
    assert_eq!(bench.cause(), Cause::ProbesFailed);
    assert_eq!(bench.fact("failed_in_a_row"), "3");
    assert_eq!(bench.fact("last"), "status 503, expected 200");
    assert_eq!(bench.fact("hold_down"), "30s");
}

#[test]
fn what_flaps_while_it_is_held_down_has_to_be_quiet_first() {
    let mut bench = Bench::healthy();
    assert_eq!(bench.wait(4, false), Verdict::Down);
    // Up and down again, though nothing is sent there; two failed probes are not down.
    bench.wait(5, true);
    bench.wait(2, false);
    assert_eq!(bench.fact("flaps"), "");
    bench.wait(3, false);
    assert_eq!(bench.fact("flaps"), "yes");
    bench.wait(5, true);
    bench.wait(3, false);
    assert_eq!(bench.wait(29, true), Verdict::Down, "it counts from there");
    assert_eq!(bench.wait(3, true), Verdict::Recovering);
    assert_eq!(bench.fact("hold_down"), "30s", "that is not longer for it");
}

#[test]
fn what_is_seen_to_flap_only_when_its_hold_down_is_over_has_to_be_quiet_too() {
    let mut bench = Bench::healthy();
    assert_eq!(bench.wait(4, false), Verdict::Down);
    bench.wait(27, true);
    bench.wait(3, false);
    assert_eq!(bench.fact("flaps"), "yes");
    assert_eq!(bench.wait(28, true), Verdict::Down);
    assert_eq!(bench.wait(3, true), Verdict::Recovering);
}

#[test]
fn what_hangs_again_on_its_ramp_goes_back_however_green_its_probes_are() {
    let mut bench = Bench::healthy();
    assert_eq!(bench.wait(4, false), Verdict::Down);
    assert_eq!(bench.wait(33, true), Verdict::Recovering);
    let overdue = Overdue {
        requests: 2,
        oldest: Duration::from_millis(200),
        dead_paths: 0,
        orders: 0,
    };
    let Bench {
        endpoint,
        pool,
        now,
    } = &mut bench;
    endpoint.waited_for(overdue, Rules { pool, now: *now });
    assert_eq!(bench.endpoint.held.verdict, Verdict::Recovering);
    // Those who waited went elsewhere, then a probe passes.
    assert_eq!(bench.wait(1, true), Verdict::Down);
    assert_eq!(bench.cause(), Cause::FailedInRamp);
}

#[test]
fn probes_that_fail_all_the_time_or_never_for_long_prolong_no_hold_down() {
    for passes in [0, 1] {
        let mut bench = Bench::healthy();
        assert_eq!(bench.wait(4, false), Verdict::Down);
        for _ in 0..6 {
            bench.wait(passes, true);
            bench.wait(4 - passes, false);
        }
        assert_eq!(bench.wait(4, true), Verdict::Down);
        assert_eq!(bench.wait(3, true), Verdict::Recovering, "{passes}");
    }
}

#[test]
fn what_was_left_with_green_probes_flaps_when_they_fail_for_the_second_time() {
    let mut bench = Bench::healthy();
    assert_eq!(bench.serve(&[(Outcome::GatewayError, 5)]), Verdict::Down);
    bench.wait(5, true);
    bench.wait(5, false);
    bench.wait(19, true);
    assert_eq!(bench.wait(3, true), Verdict::Recovering);
}

#[test]
fn requests_that_fail_in_a_row_take_it_down_with_green_probes() {
    let mut bench = Bench::healthy();
    assert_eq!(bench.serve(&[(Outcome::Reset, 4)]), Verdict::Suspect);
    bench.probe(true);
    assert_eq!(bench.serve(&[(Outcome::Timeout, 1)]), Verdict::Down);
    assert_eq!(bench.cause(), Cause::ConsecutiveFailures);
}

#[test]
fn a_success_between_interrupts_a_row() {
    let mut bench = Bench::healthy();
    bench.serve(&[(Outcome::Reset, 4)]);
    assert_eq!(
        bench.serve(&[(Outcome::Success, 1), (Outcome::Reset, 4)]),
        Verdict::Suspect
    );
}

#[test]
fn connections_that_fail_take_it_down_sooner() {
    let mut bench = Bench::healthy();
    assert_eq!(
        bench.serve(&[(Outcome::ConnectFailed, 1)]),
        Verdict::Suspect
    );
    assert_eq!(bench.serve(&[(Outcome::TlsFailed, 1)]), Verdict::Down);
    assert_eq!(bench.cause(), Cause::ConnectFailures);

    let mut bench = Bench::healthy();
    bench.serve(&[(Outcome::ConnectFailed, 1)]);
    bench.now = bench.now + Duration::from_secs(3);
    assert_eq!(
        bench.serve(&[(Outcome::ConnectFailed, 1)]),
        Verdict::Suspect
    );
}

#[test]
fn a_ratio_of_failures_takes_it_down_once_there_are_enough() {
    let half = [(Outcome::GatewayError, 1), (Outcome::Success, 1)];
    let mut bench = Bench::healthy();
    for _ in 0..9 {
        bench.serve(&half);
    }
    assert_ne!(bench.endpoint.held.verdict, Verdict::Down);
    assert_eq!(bench.serve(&half), Verdict::Down);
    assert_eq!(bench.cause(), Cause::FailureRatio);
    assert_eq!(
        (bench.fact("failed"), bench.fact("threshold")),
        ("10 of 20", "50%")
    );
}

#[test]
fn a_connection_that_the_backend_had_closed_counts_nothing() {
    let mut bench = Bench::healthy();
    assert_eq!(
        bench.serve(&[(Outcome::StaleConnection, 1000)]),
        Verdict::Healthy
    );
    assert_eq!(bench.endpoint.traffic.window.peek(bench.now).all, 0);
}

#[test]
fn traffic_that_succeeds_acquits_what_probes_accuse() {
    let mut bench = Bench::healthy();
    for _ in 0..5 {
        bench.serve(&[(Outcome::Success, 200), (Outcome::Reset, 1)]);
        assert_eq!(bench.probe(false), Verdict::Suspect);
    }
    assert_eq!(bench.cause(), Cause::TrafficSucceeds);
    // Once the traffic has gone there is nobody left to speak for it.
    assert_eq!(bench.wait(3, false), Verdict::Down);
}

#[test]
fn it_comes_back_after_the_hold_down_when_probes_pass_and_then_slowly() {
    let mut bench = Bench::healthy();
    bench.serve(&[(Outcome::ConnectFailed, 2)]);
    assert_eq!(bench.endpoint.factor(bench.now), 0.0);
    assert_eq!(bench.wait(29, true), Verdict::Down);
    assert_eq!(bench.wait(1, true), Verdict::Recovering);
    assert_eq!(
        (bench.cause(), bench.fact("hold_down")),
        (Cause::HoldDownOver, "30s")
    );
    assert_eq!(bench.endpoint.factor(bench.now), 0.01);
    assert_eq!(bench.wait(30, true), Verdict::Recovering);
    assert_eq!(bench.endpoint.factor(bench.now), 0.5);
    assert_eq!(bench.wait(30, true), Verdict::Healthy);
    assert_eq!(bench.cause(), Cause::RampOver);
}

#[test]
fn it_stays_down_while_probes_do_not_pass_in_a_row() {
    let mut bench = Bench::healthy();
    bench.wait(3, false);
    assert_eq!(bench.wait(60, false), Verdict::Down);
    bench.wait(1, true);
    bench.wait(1, false);
    assert_eq!(bench.wait(1, true), Verdict::Down);
    assert_eq!(bench.wait(1, true), Verdict::Recovering);
}

#[test]
fn failing_on_the_ramp_sends_it_back_for_twice_as_long() {
    let mut bench = Bench::healthy();
    bench.wait(3, false);
    bench.wait(31, true);
    assert_eq!(bench.endpoint.held.verdict, Verdict::Recovering);
    assert_eq!(bench.wait(3, false), Verdict::Down);
    assert_eq!(
        (bench.cause(), bench.fact("reason")),
        (Cause::FailedInRamp, "probes_failed")
    );
    assert_eq!(bench.fact("hold_down"), "1m");
}

#[test]
fn what_was_before_the_hold_down_says_nothing_of_after_it() {
    let mut bench = Bench::healthy();
    bench.serve(&[(Outcome::Reset, 100)]);
    bench.wait(31, true);
    assert_eq!(bench.endpoint.held.verdict, Verdict::Recovering);
    assert_eq!(
        bench.serve(&[(Outcome::Success, 1), (Outcome::Reset, 1)]),
        Verdict::Recovering
    );
}

#[test]
fn gray_failure_halves_the_weight_down_to_an_eighth_and_back() {
    let mut bench = Bench::healthy();
    let mut factors = Vec::new();
    for _ in 0..5 {
        bench.serve(&[(Outcome::ServerError, 4), (Outcome::Success, 16)]);
        factors.push(bench.endpoint.factor(bench.now));
        bench.now = bench.now + Duration::from_secs(2);
    }
    assert_eq!(factors, [0.5, 0.25, 0.125, 0.125, 0.125]);
    assert_eq!(bench.endpoint.held.verdict, Verdict::Degraded);
    for _ in 0..3 {
        bench.serve(&[(Outcome::Success, 100)]);
        bench.now = bench.now + Duration::from_secs(2);
    }
    assert_eq!(bench.endpoint.held.verdict, Verdict::Healthy);
}

#[test]
fn a_suspicion_by_traffic_does_not_flicker() {
    let mut bench = Bench::healthy();
    bench.serve(&[(Outcome::Success, 99), (Outcome::Reset, 1)]);
    assert_eq!(bench.serve(&[(Outcome::Success, 100)]), Verdict::Suspect);
    bench.now = bench.now + Duration::from_secs(2);
    assert_eq!(bench.serve(&[(Outcome::Success, 100)]), Verdict::Healthy);
}

#[test]
fn probes_that_pass_clear_a_suspicion_where_nothing_is_sent() {
    let mut bench = Bench::healthy();
    bench.serve(&[(Outcome::Reset, 1)]);
    assert_eq!(bench.wait(1, true), Verdict::Suspect);
    assert_eq!(bench.wait(1, true), Verdict::Healthy);
}

#[test]
fn what_an_operator_brings_back_returns_on_a_ramp() {
    let mut bench = Bench::healthy();
    let rules = Rules {
        pool: &bench.pool,
        now: bench.now,
    };
    let changed = bench.endpoint.returns(Cause::Operator, rules);
    assert_eq!(
        changed,
        Some(Changed {
            from: Verdict::Healthy
        })
    );
    assert_eq!(bench.endpoint.factor(bench.now), 0.01);
}

#[test]
fn no_count_is_too_large() {
    let mut bench = Bench::healthy();
    let tally = Tally {
        counts: [u32::MAX; Outcome::ALL.len()],
        late: u32::MAX,
        trailing_failures: u32::MAX,
        latency_micros: u64::MAX,
        ..Tally::default()
    };
    for _ in 0..30 {
        bench.endpoint.served(
            &tally,
            Excused::default(),
            Rules {
                pool: &bench.pool,
                now: bench.now,
            },
        );
        bench.now = bench.now + Duration::from_millis(300);
    }
    assert_eq!(bench.endpoint.held.verdict, Verdict::Down);
}
