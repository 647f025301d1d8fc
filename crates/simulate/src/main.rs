//! The command: plays scenario files, or random worlds by their seeds.

fn main() {
    let seeds: u64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1);
    let only = std::env::args().nth(2).is_some();
    let mut bad = 0;
    let range = if only { seeds..seeds + 1 } else { 0..seeds };
    for seed in range {
        let plan = leeward_simulate::random::plan(seed).expect("plan");
        let mut world = leeward_simulate::World::new(plan);
        world.run(); if only { println!("replays {}", leeward_simulate::sweep::replays(&world)); }
        if only {
            println!("{}", world.timeline.text());
        }
        if !world.shadow.violations().is_empty() {
            bad += 1;
            for v in world.shadow.violations() {
                println!("seed {seed}: {v}");
            }
        }
    }
    println!("{bad} of {seeds} bad");
}
