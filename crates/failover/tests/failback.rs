//! Who says when a place comes home: itself, a window, an operator.

mod fixture;

use leeward_failover::{
    Backend, Cause, EndpointId, Engine, Failback, FailoverParams, Input, OperatorWord, Policy,
    Pool, PoolId, ProbeFailure, ProbeResult, ProviderId, SiteId, Target, Time, Verdict,
};
use std::time::Duration;

const AWS: Target = Target::Provider(ProviderId(0));

/// aws before gcp, with one backend each, in so many pools.
fn policy(failbacks: &[Failback]) -> Policy {
    let pool = |(number, failback): (usize, &Failback)| Pool {
        failover: FailoverParams {
            hold_down_first: Duration::from_secs(10),
            ramp: Duration::from_secs(20),
            failback: *failback,
            ..FailoverParams::default()
        },
        ..fixture::pool(&format!("pool-{number}"))
    };
    let backend = |number: u32| Backend {
        pool: PoolId(number / 2),
        ..fixture::backend(number, number % 2)
    };
    let backends = (0..failbacks.len() as u32 * 2).map(backend);
    fixture::policy(
        failbacks.iter().enumerate().map(pool).collect(),
        backends.collect(),
    )
}

/// An engine whose endpoints are probed each second; those at aws fail while `aws` is false.
struct World {
    engine: Engine,
    endpoints: u32,
    second: u64,
    aws: bool,
}

impl World {
    fn new(failbacks: &[Failback]) -> Self {
        let mut engine = Engine::new(1);
        let policy = Box::new(policy(failbacks));
        engine.handle(Input::Policy(policy), Time::ZERO);
        let endpoints = failbacks.len() as u32 * 2;
        let mut world = Self {
            engine,
            endpoints,
            second: 0,
            aws: true,
        };
        world.run(3);
        world
    }

    fn tell(&mut self, input: Input) {
        self.engine
            .handle(input, Time::from_millis(self.second * 1000));
        while self.engine.poll_output().is_some() {}
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.second += 1;
            for id in 0..self.endpoints {
                let result = if self.aws || id % 2 == 1 {
                    ProbeResult::Passed {
                        took: Duration::from_millis(2),
                    }
                } else {
                    ProbeResult::Failed {
                        cause: ProbeFailure::Refused,
                        detail: "refused".to_owned(),
                    }
                };
                let endpoint = EndpointId(id);
                self.tell(Input::Probe { endpoint, result });
            }
        }
    }

    /// aws is lost for five seconds, and then well for longer than its hold-down.
    fn outage(failbacks: &[Failback]) -> Self {
        let mut world = Self::new(failbacks);
        world.aws = false;
        world.run(5);
        assert_eq!(world.site().0, Verdict::Down);
        world.aws = true;
        world.run(15);
        world
    }

    fn site(&self) -> (Verdict, Cause) {
        let status = self.engine.status(Time::from_millis(self.second * 1000));
        (status.sites[0].verdict, status.sites[0].cause)
    }

    fn provider(&self) -> (Verdict, Cause) {
        let status = self.engine.status(Time::from_millis(self.second * 1000));
        (status.providers[0].verdict, status.providers[0].cause)
    }

    fn restore(&mut self, target: Target) {
        self.tell(Input::Words {
            targets: vec![target],
            word: OperatorWord::Active,
            lasts: None,
            reason: String::new(),
            forced: false,
        });
    }

    /// The share of aws in each pool.
    fn shares(&self) -> Vec<f64> {
        let pools = &self.engine.table().pools;
        pools.iter().map(|pool| pool.lanes[0].share).collect()
    }
}

#[test]
fn a_place_comes_home_by_itself_where_nothing_else_is_said() {
    let world = World::outage(&[Failback::Automatic]);
    assert_eq!(world.site().0, Verdict::Recovering);
}

#[test]
fn a_place_waits_for_its_operator_however_long_it_is_well() {
    let mut world = World::outage(&[Failback::Manual]);
    world.run(600);
    let waits = (Verdict::Down, Cause::AwaitsOperator);
    assert_eq!((world.site(), world.provider()), (waits, waits));
    assert_eq!(world.shares(), [0.0]);
    world.restore(AWS);
    assert_eq!(world.site().0, Verdict::Recovering);
    assert_eq!(world.shares(), [0.01], "it returns on its ramp");
    world.run(25);
    assert_eq!(world.site(), (Verdict::Healthy, Cause::RampOver));
}

#[test]
fn restoring_a_site_lets_its_provider_come_home_too() {
    let mut world = World::outage(&[Failback::Manual]);
    world.restore(Target::Site(SiteId(0)));
    assert_eq!(world.site().0, Verdict::Recovering);
    assert_ne!(world.provider().0, Verdict::Down);
}

#[test]
fn a_restore_that_comes_early_holds_until_the_place_is_well() {
    let mut world = World::new(&[Failback::Manual]);
    world.aws = false;
    world.run(5);
    world.restore(AWS);
    world.run(30);
    assert_eq!(world.site().0, Verdict::Down);
    world.aws = true;
    world.run(15);
    assert_eq!(world.site().0, Verdict::Recovering);
}

#[test]
fn a_restore_counts_once() {
    let mut world = World::outage(&[Failback::Manual]);
    world.restore(AWS);
    world.run(3);
    world.aws = false;
    world.run(5);
    assert_eq!(
        world.site(),
        (Verdict::Down, Cause::FailedInRamp),
        "errors on the ramp end it"
    );
    assert_eq!(world.shares(), [0.0]);
    world.aws = true;
    world.run(120);
    assert_eq!(world.site(), (Verdict::Down, Cause::AwaitsOperator));
    // A restore of what is well is no promise for later.
    world.restore(AWS);
    world.run(60);
    world.restore(AWS);
    world.aws = false;
    world.run(5);
    world.aws = true;
    world.run(300);
    assert_eq!(world.site(), (Verdict::Down, Cause::AwaitsOperator));
}

#[test]
fn what_fails_while_it_waits_is_held_down_again() {
    let mut world = World::outage(&[Failback::Manual]);
    world.aws = false;
    world.run(5);
    assert_eq!(world.site(), (Verdict::Down, Cause::EndpointsDown));
    world.restore(AWS);
    world.aws = true;
    world.run(5);
    assert_eq!(world.site().0, Verdict::Down, "a longer hold-down first");
    world.run(60);
    assert_eq!(world.site().0, Verdict::Healthy);
}

#[test]
fn a_place_waits_for_a_window() {
    let pool = PoolId(0);
    let mut world = World::outage(&[Failback::Windows]);
    world.run(100);
    assert_eq!(world.site(), (Verdict::Down, Cause::AwaitsWindow));
    world.tell(Input::Window { pool, open: true });
    assert_eq!(world.site().0, Verdict::Recovering);
    world.tell(Input::Window { pool, open: false });
    world.run(25);
    assert_eq!(
        world.site().0,
        Verdict::Healthy,
        "what is under way goes on"
    );
}

#[test]
fn the_most_patient_pool_is_followed() {
    let mut world = World::outage(&[Failback::Automatic, Failback::Windows]);
    assert_eq!(world.site(), (Verdict::Down, Cause::AwaitsWindow));
    world.tell(Input::Window {
        pool: PoolId(1),
        open: true,
    });
    assert_eq!(world.site().0, Verdict::Recovering);
}

#[test]
fn what_waits_serves_where_nothing_else_does() {
    let mut world = World::outage(&[Failback::Manual]);
    for _ in 0..4 {
        world.second += 1;
        world.tell(Input::Probe {
            endpoint: EndpointId(1),
            result: ProbeResult::Failed {
                cause: ProbeFailure::Refused,
                detail: "refused".to_owned(),
            },
        });
    }
    assert_eq!(world.site().0, Verdict::Down);
    assert_eq!(world.shares(), [1.0]);
}
