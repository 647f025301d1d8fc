//! Orders fail and reads succeed, at an endpoint, a site, a provider or everywhere: orders find their
//! way, reads stay, and no place is left.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use leeward_failover::bugs::{Bug, inject};
use leeward_failover::{Class, Time};
use leeward_simulate::fault::{Mode, Phase};
use leeward_simulate::plan::{Load, Rules};
use leeward_simulate::{Plan, World};
use std::path::PathBuf;

const FROM: Time = Time::from_millis(20_000);
const TO: Time = Time::from_millis(140_000);

/// Four sites of three providers, reads and orders for three minutes; orders fail at a place for two.
fn play(place: &str, mode: Mode, rate: f64) -> World {
    play_in_part(place, mode, 1.0, rate)
}

/// The same with a part of the orders.
fn play_in_part(place: &str, mode: Mode, share: f64, rate: f64) -> World {
    let world = world(place, mode, share, rate);
    assert_eq!(world.shadow.violations(), [], "{place}");
    assert_eq!(world.timeline.left, [], "{place}: nothing is left");
    assert_eq!(world.ledger.failed(Class::PublicRead), 0);
    assert_eq!(world.ledger.duplicates(), 0);
    world
}

fn world(place: &str, mode: Mode, share: f64, rate: f64) -> World {
    world_of("region.yaml", 2, (place, mode, share, rate))
}

fn world_of(
    policy: &str,
    addresses: usize,
    (place, mode, share, rate): (&str, Mode, f64, f64),
) -> World {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/incidents/policy");
    let text = std::fs::read_to_string(folder.join(policy)).unwrap();
    let end = Time::from_millis(200_000);
    let mut plan = Plan::around(Rules::compile(&text).unwrap(), 7, end, |_| addresses);
    for (class, rate) in [
        (Class::PublicRead, rate * 5.0),
        (Class::Order, rate),
        (Class::Cancel, rate / 4.0),
    ] {
        let pool = "trading".to_owned();
        let client = None;
        plan.loads.push(Load {
            pool,
            class,
            rate,
            client,
        });
    }
    let mut phase = Phase::new(mode, FROM, TO, plan.at(place));
    phase.classes = vec![Class::Order, Class::Cancel];
    phase.codes = vec![if share < 1.0 { 500 } else { 503 }];
    phase.share = share;
    plan.phases.push(phase);
    let mut world = World::new(plan);
    world.run();
    world
}

#[test]
fn the_writer_of_a_provider_whose_orders_fail_moves_once() {
    for mode in [Mode::Http, Mode::AcceptHang] {
        let world = play("aws", mode, 40.0);
        let moves: Vec<_> = world.timeline.moves.iter().map(|(_, _, to)| to).collect();
        assert_eq!(moves, ["gcp"], "{mode:?}");
        let failed = world.ledger.failed(Class::Order);
        assert!(failed <= 100, "{mode:?}: {failed} orders failed");
    }
}

#[test]
fn orders_of_a_site_go_to_another_one_of_its_provider() {
    for mode in [Mode::Http, Mode::AcceptHang] {
        let world = play("aws/us-east-1", mode, 40.0);
        assert_eq!(world.timeline.moves, [], "{mode:?}: the writer moves");
        let failed = world.ledger.failed(Class::Order);
        assert!(failed <= 100, "{mode:?}: {failed} orders failed");
    }
}

#[test]
fn a_few_orders_a_second_are_enough() {
    let world = play("aws", Mode::Http, 3.0);
    let moves: Vec<_> = world.timeline.moves.iter().map(|(_, _, to)| to).collect();
    assert_eq!(moves, ["gcp"]);
    let failed = world.ledger.failed(Class::Order);
    assert!(failed <= 60, "{failed} of 360 orders failed");
}

#[test]
fn orders_that_fail_in_part_move_their_writer_as_well() {
    for (rate, most) in [(40.0, 300), (12.0, 250)] {
        let world = play_in_part("aws", Mode::Http, 0.3, rate);
        let moves: Vec<_> = world.timeline.moves.iter().map(|(_, _, to)| to).collect();
        assert_eq!(moves, ["gcp"], "{rate} a second");
        let failed = world.ledger.failed(Class::Order);
        assert!(failed <= most, "{rate} a second: {failed} orders failed");
    }
}

#[test]
fn that_nobody_looks_at_orders_that_fail_in_part_is_found() {
    inject(Some(Bug::PartialFailuresIgnored));
    // Several endpoints doubt each other, and now and then five in a row fail by chance.
    let rates = [8.0, 9.0, 10.0, 11.0];
    let mut worlds = rates.map(|rate| world_of("capacity.yaml", 1, ("aws", Mode::Http, 0.3, rate)));
    inject(None);
    let found = |world: &mut World| {
        let mut found = world.shadow.violations().iter();
        found.any(|found| found.what.contains("fail in part"))
    };
    assert!(worlds.iter_mut().any(found));
}

#[test]
fn orders_that_fail_in_part_everywhere_are_no_carousel() {
    let world = play_in_part("all", Mode::Http, 0.3, 40.0);
    let moves = world.timeline.moves.len();
    assert!(moves <= 6, "{moves} moves");
}

#[test]
fn a_few_orders_that_fail_move_nothing() {
    let world = play_in_part("aws", Mode::Http, 0.04, 40.0);
    assert_eq!(world.timeline.moves, []);
}

#[test]
fn orders_that_hang_everywhere_leave_the_reads_where_they_are() {
    let world = play("all", Mode::AcceptHang, 40.0);
    assert!(world.ledger.served(Class::Order) > 2000, "before and after");
}

#[test]
fn where_orders_fail_everywhere_the_writer_holds_its_position() {
    let world = play("all", Mode::Http, 40.0);
    let (first, later): (Vec<_>, Vec<_>) = world
        .timeline
        .moves
        .iter()
        .partition(|(at, _, _)| *at < Time::from_millis(45_000));
    assert!(first.len() <= 2, "each is tried once: {first:?}");
    assert!(
        later.len() <= 3,
        "then once in a hold-down that grows: {later:?}"
    );
    assert!(world.ledger.served(Class::Order) > 2000, "before and after");
}
