//! What ships beside the binary: alerts, dashboards, the unit, containers, manifests, runbook.
//!
//! The tools that people use on these files judge them here, and a real Prometheus asks a real leeward
//! everything that alerts and dashboards ask.

mod concentration;
mod containers;
mod dashboards;
mod pages;
mod prometheus;
mod rules;

use crate::support::wire::text;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file or a folder of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the repository.
fn content(path: &str) -> String {
    let path = repository(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder of the repository whose names end like this, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(ending));
    paths.sort();
    assert!(!paths.is_empty(), "nothing in {folder}");
    paths
}

/// A program that `tests/run` has put into its Python's folder.
fn prepared(program: &str) -> Command {
    let path = repository("target/python/bin").join(program);
    assert!(
        path.exists(),
        "{program} is missing; ./tests/run installs it"
    );
    Command::new(path)
}

/// Runs a command that has to end well; what it said on both outputs.
fn judged(command: &mut Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}; ./tests/run installs it"));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {:?}:\n{said}",
        arguments(command)
    );
    said
}

fn arguments(command: &Command) -> Vec<&OsStr> {
    command.get_args().collect()
}
