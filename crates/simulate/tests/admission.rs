//! Admission: what does not fit is shed by class, reads first, and what is left is used.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use leeward_failover::bugs::{Bug, inject};
use leeward_failover::{Class, Time};
use leeward_simulate::fault::{Mode, Phase};
use leeward_simulate::plan::{Load, Rules};
use leeward_simulate::{Plan, World};
use std::path::PathBuf;

const FROM: Time = Time::from_millis(20_000);
const TO: Time = Time::from_millis(80_000);

/// Two sites that declare 100 a second each, and more than one of them can carry.
fn plan(reads: f64, seed: u64) -> Plan {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/incidents/policy");
    let text = std::fs::read_to_string(folder.join("capacity.yaml")).unwrap();
    let end = Time::from_millis(140_000);
    let mut plan = Plan::around(Rules::compile(&text).unwrap(), seed, end, |_| 1);
    for (class, rate) in [
        (Class::PublicRead, reads),
        (Class::PrivateRead, 5.0),
        (Class::Order, 20.0),
        (Class::Cancel, 4.0),
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

fn play(plan: Plan) -> World {
    let mut world = World::new(plan);
    world.run();
    assert_eq!(world.shadow.violations(), []);
    assert_eq!(world.ledger.duplicates(), 0);
    world
}

fn shed(world: &World, class: Class) -> u64 {
    world.ledger.shed.get(&class).copied().unwrap_or(0)
}

#[test]
fn an_evacuation_that_does_not_fit_sheds_reads_and_no_order() {
    for seed in 0..4 {
        let mut plan = plan(130.0, seed);
        let home = plan.at("aws");
        plan.phases
            .push(Phase::new(Mode::TcpRefused, FROM, TO, home));
        let world = play(plan);
        // Some 60 a second do not fit, for a minute.
        let reads = shed(&world, Class::PublicRead);
        assert!((2000..6000).contains(&reads), "{reads} reads were shed");
        assert_eq!(
            (shed(&world, Class::Order), shed(&world, Class::Cancel)),
            (0, 0)
        );
        let failed = world.ledger.failed(Class::Order);
        assert!(failed <= 3, "{failed} orders failed");
        assert!(!world.timeline.left.iter().any(|(_, name)| name == "gcp"));
    }
}

#[test]
fn that_orders_are_turned_away_before_reads_is_found() {
    let mut plan = plan(130.0, 0);
    let home = plan.at("aws");
    plan.phases
        .push(Phase::new(Mode::TcpRefused, FROM, TO, home));
    inject(Some(Bug::ReadsBeforeOrders));
    let mut world = World::new(plan);
    world.run();
    inject(None);
    let mut found = world.shadow.violations().iter();
    assert!(found.any(|found| found.what.contains("orders are shed")));
}

#[test]
fn what_is_full_by_surprise_is_learned_from_its_refusals() {
    for seed in 0..4 {
        let mut plan = plan(60.0, seed);
        let all = plan.at("all");
        let mut less = Phase::new(Mode::Capacity, FROM, TO, all);
        less.factor = 0.3;
        plan.phases.push(less);
        let world = play(plan);
        assert!(shed(&world, Class::PublicRead) > 300, "reads were shed");
        let (failed, served) = (
            world.ledger.failed(Class::Order),
            world.ledger.served(Class::Order),
        );
        assert!(failed * 20 < served, "{failed} of {served} orders failed");
        assert_eq!(world.timeline.left, [], "full is not sick");
    }
}

#[test]
fn nothing_is_shed_where_there_is_room() {
    let world = play(plan(60.0, 7));
    assert!(world.ledger.shed.is_empty(), "{:?}", world.ledger.shed);
    assert_eq!(world.ledger.failed(Class::PublicRead), 0);
}
