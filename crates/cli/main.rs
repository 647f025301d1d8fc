//! leeward: arguments to mode to exit code. One file a verb.

mod admin;
mod args;
mod check;
mod decision;
mod demo;
mod diff;
mod explain;
mod held;
mod log;
mod manual;
mod notify;
mod reload;
mod replay;
mod run;
mod schema;
mod status;
mod terminal;
mod word;

use args::{Args, Verb};
use clap::Parser;
use std::process::ExitCode;

/// Many small allocations of all ages on several threads: what mimalloc is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let code = match args.verb {
        Verb::Run(run) => run::run(&run),
        Verb::Check { policies, json } => check::run(&policies, json),
        Verb::Explain(explain) => explain::run(&explain),
        Verb::Status(status) => status::run(&status),
        Verb::Completions { shell } => manual::completions(shell),
        Verb::Man { dir } => manual::pages(&dir),
        Verb::Diff(asked) => diff::run(&asked),
        Verb::Evacuate(word) => {
            word::say("evacuate", &word.said, word.lasts.as_deref(), word.force)
        }
        Verb::Drain(word) => word::say("drain", &word.said, word.lasts.as_deref(), word.force),
        Verb::Restore(word) => word::say("restore", &word.said, None, false),
        Verb::Replay { record, json } => replay::run(&record, json),
        Verb::Schema => schema::run(),
        Verb::Demo(demo) => demo::run(&demo),
    };
    ExitCode::from(code)
}
