//! Random worlds: everything that the shadow watches holds, and every world replays.

use leeward_simulate::sweep::{play, sweep};
use leeward_simulate::{World, random};

/// Plays a quarter of the 256 seeds of the normal test run.
fn quarter(number: u64) {
    let bad = sweep(number * 64..(number + 1) * 64, 5);
    let found: Vec<String> = bad.iter().map(ToString::to_string).collect();
    assert!(
        bad.is_empty(),
        "{}play one again: cargo run -p leeward-simulate -- --seed N",
        found.concat()
    );
}

#[test]
fn promises_hold_in_random_worlds_0_to_63() {
    quarter(0);
}

#[test]
fn promises_hold_in_random_worlds_64_to_127() {
    quarter(1);
}

#[test]
fn promises_hold_in_random_worlds_128_to_191() {
    quarter(2);
}

#[test]
fn promises_hold_in_random_worlds_192_to_255() {
    quarter(3);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = World::new(random::plan(seed).unwrap());
        world.run();
        (world.timeline.fingerprint, world.timeline.text())
    };
    for seed in [3, 55, 1_000_003] {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(3).0, run(4).0);
}

#[test]
fn worlds_are_worth_playing() {
    let worlds: Vec<World> = (0..24).filter_map(|seed| play(seed).ok()).collect();
    let sum = |of: &dyn Fn(&World) -> u64| worlds.iter().map(of).sum::<u64>();
    use leeward_failover::Class;
    let reads = sum(&|w| w.ledger.served(Class::PublicRead));
    assert!(reads > 50_000, "{reads}");
    let orders = sum(&|w| w.ledger.served(Class::Order));
    assert!(orders > 10_000, "{orders}");
    let unknown = sum(&|w| w.ledger.unknown_orders);
    assert!(unknown > 20, "faults hit orders: {unknown}");
    assert_eq!(sum(&|w| w.ledger.duplicates() as u64), 0);
}
