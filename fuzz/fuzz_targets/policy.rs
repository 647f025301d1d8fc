//! Whatever the text, compiling it as a policy neither panics nor hangs, and a policy comes out
//! exactly where no problem is an error.
//!
//! `cargo +nightly fuzz run policy fuzz/corpus/policy examples`

#![no_main]

use leeward_config::{Files, Options, Problem, Variables, parse_with};
use std::collections::BTreeMap;
use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let options = Options {
        files: Files::MayBeMissing,
        variables: Variables::Given(BTreeMap::new()),
    };
    let loaded = parse_with("fuzz.yaml", text, Path::new(""), &options);
    assert_eq!(
        loaded.policy.is_none(),
        loaded.problems.iter().any(Problem::is_error)
    );
    for problem in loaded.problems {
        assert!(!problem.to_string().is_empty());
    }
});
