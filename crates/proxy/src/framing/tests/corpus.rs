//! What the fuzzer runs, over the inputs that it has found worth keeping (`fuzz/corpus/framing`).

use crate::framing;
use std::path::Path;

#[path = "../../../../../fuzz/bodies/framing.rs"]
mod body;

/// How an input is cut: whole, byte by byte, in threes, in thirteens.
const CUTS: [u8; 4] = [0, 1, 3, 14];

#[test]
fn the_fuzzers_corpus_holds_however_it_is_cut() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/framing");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let mut input = std::fs::read(entry.unwrap().path()).unwrap();
        body::check(&input);
        for cut in CUTS {
            if let Some(first) = input.first_mut() {
                *first = cut;
            }
            body::check(&input);
        }
        count += 1;
    }
    assert!(count >= 100, "{count} inputs");
}

/// The fuzzer takes the source of the framing by itself.
#[test]
fn the_framing_needs_nothing_else_of_this_crate() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let parts = std::fs::read_dir(source.join("framing")).unwrap();
    let parts = parts.map(|part| part.unwrap().path());
    let mut seen = 0;
    for path in parts.chain([source.join("framing.rs")]) {
        if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("crate::"), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 9, "{seen} files");
}
