//! What the fuzzer runs, over the inputs that it has found worth keeping (`fuzz/corpus/health`).

use super::answer;
use std::path::Path;

#[path = "../../../../../fuzz/bodies/health.rs"]
mod body;

#[test]
fn the_fuzzers_corpus_of_health_answers_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/health");
    let (mut count, mut passed) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let mut input = std::fs::read(entry.unwrap().path()).unwrap();
        passed += usize::from(body::check(&input));
        // Whatever comes beside the message, and however it is cut.
        for how in 0..64 {
            if let Some(first) = input.first_mut() {
                *first = how;
            }
            body::check(&input);
        }
        count += 1;
    }
    assert!(
        count >= 20 && passed >= 2,
        "{passed} of {count} inputs pass"
    );
}

/// The fuzzer takes these sources by themselves.
#[test]
fn the_reader_of_health_answers_needs_nothing_but_codes() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (file, most) in [("probe/grpc/answer.rs", 1), ("grpc/code.rs", 0)] {
        let text = std::fs::read_to_string(source.join(file)).unwrap();
        assert_eq!(text.matches("crate::").count(), most, "{file}");
        assert_eq!(text.matches("use crate::grpc;").count(), most, "{file}");
    }
}
