//! What the fuzzer runs, over the inputs that it has found worth keeping (`fuzz/corpus/policy`), and
//! over every policy that the repository ships, good and bad.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

use std::path::Path;

#[path = "../../../fuzz/bodies/policy.rs"]
mod body;

/// Runs every file of a folder; how many there were.
fn run(folder: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(folder);
    let entries = std::fs::read_dir(folder).expect("a folder");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let mut count = 0;
    for file in files.filter(|file| file.is_file()) {
        let bytes = std::fs::read(&file).expect("a file");
        // The fuzzer gives texts alone.
        if let Ok(text) = std::str::from_utf8(&bytes) {
            body::check(text);
            count += 1;
        }
    }
    count
}

#[test]
fn the_fuzzers_corpus_holds() {
    let count = run("fuzz/corpus/policy");
    assert!(count >= 50, "{count} inputs");
}

#[test]
fn every_policy_of_the_repository_holds() {
    assert!(run("examples") > 0);
    assert!(run("tests/bad") >= 40);
}
