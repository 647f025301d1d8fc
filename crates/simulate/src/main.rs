//! The command: plays incident files, or random worlds by their seeds.

use leeward_simulate::scenario::Scenario;
use leeward_simulate::sweep::play;
use leeward_simulate::{World, random};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: leeward-simulate [--quiet] FILE...      plays incidents, see examples/incidents
       leeward-simulate --seeds N [--from N]   plays random worlds
       leeward-simulate --seed N               plays one, with its timeline";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let mut wish = Wish::default();
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|n| n.parse::<u64>().ok());
        match word.as_str() {
            "--quiet" => wish.quiet = true,
            "--seeds" => wish.seeds = number(),
            "--from" => wish.from = number().unwrap_or(0),
            "--seed" => wish.seed = number(),
            file if !file.starts_with('-') => wish.files.push(file.into()),
            _ => return usage(),
        }
    }
    let good = match (wish.seed, wish.seeds) {
        (Some(seed), _) => one(seed),
        (None, Some(seeds)) => many(wish.from, seeds),
        (None, None) if wish.files.is_empty() => return usage(),
        (None, None) => incidents(&wish.files, wish.quiet),
    };
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[derive(Default)]
struct Wish {
    files: Vec<PathBuf>,
    seed: Option<u64>,
    seeds: Option<u64>,
    from: u64,
    quiet: bool,
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Writes a timeline out; whoever reads it may have seen enough.
fn show(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// One world with everything that happens in it.
fn one(seed: u64) -> bool {
    match random::plan(seed) {
        Ok(plan) => {
            let mut world = World::new(plan);
            world.run();
            show(&world.timeline.text());
        }
        Err(problem) => println!("{problem}"),
    }
    match play(seed) {
        Ok(_) => true,
        Err(bad) => {
            print!("{bad}");
            false
        }
    }
}

fn many(from: u64, seeds: u64) -> bool {
    let mut bad = 0;
    for seed in from..from.saturating_add(seeds) {
        if let Err(found) = play(seed) {
            print!("{found}");
            bad += 1;
        }
    }
    println!("{seeds} worlds, {bad} bad");
    bad == 0
}

fn incidents(files: &[PathBuf], quiet: bool) -> bool {
    let good: Vec<bool> = files.iter().map(|file| incident(file, quiet)).collect();
    good.iter().all(|good| *good)
}

fn incident(file: &Path, quiet: bool) -> bool {
    let played = Scenario::read(file).and_then(|scenario| {
        println!("{}: {}", file.display(), scenario.incident);
        scenario.play(file)
    });
    let played = match played {
        Ok(played) => played,
        Err(problem) => {
            println!("{problem}");
            return false;
        }
    };
    if !quiet {
        show(&played.world.timeline.text());
    }
    for (class, (served, failed)) in &played.world.ledger.counts {
        println!("  {}: {served} served, {failed} not", class.as_str());
    }
    for (what, holds) in &played.owed {
        let word = if *holds { "owed, and holds" } else { "owed" };
        println!("  {word}: {what}");
    }
    for broken in &played.broken {
        println!("  BROKEN: {broken}");
    }
    played.broken.is_empty()
}
