//! Many random worlds, each judged by the shadow, by the engine's own invariants (in debug builds)
//! and by a replay of what the engine was told.

use crate::random;
use crate::timeline::Fingerprint;
use crate::world::World;
use leeward_failover::{Engine, Output};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A seed whose world shows something that must not be.
#[derive(Clone, Debug)]
pub struct Bad {
    /// Plays it again.
    pub seed: u64,
    /// What was found.
    pub found: Vec<String>,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in &self.found {
            writeln!(f, "seed {}: {found}", self.seed)?;
        }
        Ok(())
    }
}

/// Plays the world of a seed; what is wrong where anything is.
pub fn play(seed: u64) -> Result<World, Bad> {
    let bad = |found: Vec<String>| Bad { seed, found };
    let plan = random::plan(seed).map_err(|problem| bad(vec![problem]))?;
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(plan);
        world.run();
        let replays = replays(&world);
        (world, replays)
    }));
    let (world, replays) = match played {
        Ok(played) => played,
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.unwrap_or("no words");
            return Err(bad(vec![format!(
                "the engine panics, an invariant of its own: {said}"
            )]));
        }
    };
    let violations = world.shadow.violations().iter();
    let mut found: Vec<String> = violations.map(ToString::to_string).collect();
    if !replays {
        found.push("P10: what was recorded replays to another journal".to_owned());
    }
    if found.is_empty() {
        Ok(world)
    } else {
        Err(bad(found))
    }
}

/// Plays the worlds of many seeds, up to `most` bad ones.
pub fn sweep(seeds: impl IntoIterator<Item = u64>, most: usize) -> Vec<Bad> {
    let bad = seeds.into_iter().filter_map(|seed| play(seed).err());
    bad.take(most).collect()
}

/// Whether the engine decides the same again when it is told the same again.
pub fn replays(world: &World) -> bool {
    let mut again = Fingerprint::default();
    for (seed, told) in &world.told {
        let mut engine = Engine::new(*seed);
        for (index, (at, input)) in told.iter().enumerate() {
            engine.handle(input.clone(), *at);
            // What is told at one moment is told before anything is asked: a policy and a memory.
            if told.get(index + 1).is_some_and(|(next, _)| next == at) {
                continue;
            }
            while let Some(output) = engine.poll_output() {
                if let Output::Event(event) = output {
                    again.add(&event);
                }
            }
        }
    }
    again == world.timeline.fingerprint
}
