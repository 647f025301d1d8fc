//! No false alarms: an hour in which nothing really happens. No site is left and no read fails.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use leeward_failover::{Class, Time};
use leeward_simulate::dice::Dice;
use leeward_simulate::fault::{Mode, Phase};
use leeward_simulate::plan::{Load, Rules};
use leeward_simulate::{Plan, World};
use std::path::PathBuf;
use std::time::Duration;

const HOUR: u64 = 3600;

/// Three sites, an hour, and reads and orders.
fn hour(seed: u64) -> Plan {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/incidents/policy");
    let text = std::fs::read_to_string(folder.join("region.yaml")).unwrap();
    let end = Time::from_millis(HOUR * 1000);
    let mut plan = Plan::around(Rules::compile(&text).unwrap(), seed, end, |_| 3);
    for (class, rate) in [
        (Class::PublicRead, 20.0),
        (Class::PrivateRead, 3.0),
        (Class::Order, 5.0),
        (Class::Cancel, 1.0),
    ] {
        plan.loads.push(Load {
            pool: "trading".to_owned(),
            class,
            rate,
            client: None,
        });
    }
    plan
}

fn at(seconds: f64) -> Time {
    Time::ZERO + Duration::from_secs_f64(seconds)
}

/// Plays it and checks what every kind of calm has in common.
fn play(plan: Plan) -> World {
    let mut world = World::new(plan);
    world.run();
    let places: Vec<_> = world
        .timeline
        .left
        .iter()
        .filter(|(_, name)| !name.contains("://"))
        .collect();
    assert!(places.is_empty(), "left: {places:?}");
    assert_eq!(world.ledger.failed(Class::PublicRead), 0);
    assert_eq!(world.ledger.failed(Class::PrivateRead), 0);
    assert_eq!(world.ledger.duplicates(), 0);
    assert!(world.timeline.moves.is_empty(), "the writer moves");
    assert_eq!(world.shadow.violations(), []);
    assert!(world.ledger.served(Class::PublicRead) > 60_000);
    world
}

#[test]
fn an_hour_of_jitter_leaves_nothing() {
    let world = play(hour(1));
    assert_eq!(world.timeline.left, []);
    assert_eq!(world.ledger.failed(Class::Order), 0);
}

#[test]
fn pauses_of_300_ms_leave_nothing() {
    let mut plan = hour(2);
    let mut dice = Dice::new(2, 99);
    for server in 0..plan.servers.len() {
        let mut seconds = 5.0;
        while seconds < HOUR as f64 {
            let from = at(seconds);
            let to = from + Duration::from_millis(300);
            let mut pause = Phase::new(Mode::Pause, from, to, vec![server]);
            pause.ms = (0, 300);
            plan.phases.push(pause);
            seconds += 10.0 + 20.0 * dice.fraction();
        }
    }
    let world = play(plan);
    assert_eq!(world.timeline.left, []);
    assert_eq!(world.ledger.failed(Class::Order), 0);
}

#[test]
fn an_endpoint_that_is_three_times_slower_than_its_peers_stays() {
    let mut plan = hour(3);
    let slow = plan.at("api-use1")[0];
    plan.servers[slow].work = Duration::from_millis(30);
    for index in plan.at("aws/us-east-1") {
        if index != slow {
            plan.servers[index].work = Duration::from_millis(10);
        }
    }
    let world = play(plan);
    assert_eq!(world.timeline.left, []);
    assert_eq!(world.ledger.failed(Class::Order), 0);
}

#[test]
fn a_rolling_restart_of_all_backends_leaves_no_site() {
    let mut plan = hour(4);
    for server in 0..plan.servers.len() {
        let from = at(120.0 + 240.0 * server as f64);
        let to = from + Duration::from_secs(3);
        let restart = Phase::new(Mode::TcpRefused, from, to, vec![server]);
        plan.phases.push(restart);
    }
    let world = play(plan);
    // Those that were in flight when a process was killed.
    assert!(world.ledger.failed(Class::Order) <= 3);
}

#[test]
fn two_percent_of_packets_lost_leave_no_site() {
    let mut plan = hour(5);
    let all = plan.at("all");
    let mut loss = Phase::new(Mode::TcpLoss, at(5.0), at(HOUR as f64), all);
    loss.factor = 0.02;
    plan.phases.push(loss);
    play(plan);
}
