//! Whatever the text, compiling it as a policy neither panics nor hangs, and a policy comes out
//! exactly where no problem is an error.
//!
//! Run by the fuzzer, and over its corpus by the ordinary tests.

use leeward_config::{Files, Options, Problem, Variables, parse_with};
use std::collections::BTreeMap;
use std::path::Path;

/// What must hold of any text.
pub(crate) fn check(text: &str) {
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
}
