//! leeward's policy file: YAML text to a compiled [`policy::Policy`], with every problem reported
//! at once.
//!
//! ```text
//! text → tree (serde-saphyr, with places) → variables expanded → compiled, or problems
//! ```
//!
//! Owns the file's shape, its defaults and bounds, and the words for what is wrong with it. Opens no
//! sockets and parses no certificates. Called by `leeward run` and `leeward check`.

mod access;
mod access_log;
mod clients;
mod compile;
pub mod diff;
mod fields;
mod merge;
pub mod policy;
mod problem;
mod reference;
mod report;
mod schema;
mod shape;
mod source;
mod suggest;
mod syntax;
mod tree;
mod units;
mod variables;
mod watch;
mod windows;

pub use problem::{Problem, Severity};
pub use reference::reference;
pub use schema::schema;
pub use watch::{Nudge, Wake, Watch};

use policy::Policy;
use report::Report;
use source::Reading;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// What came of a policy.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The compiled policy; there is one exactly where no problem is an error.
    pub policy: Option<Policy>,
    /// All that is wrong with it, in the order of files and lines.
    pub problems: Vec<Problem>,
}

/// How a policy is read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What a certificate that is not there means.
    pub files: Files,
    /// Where `${NAME}` is looked up.
    pub variables: Variables,
}

/// What a certificate that is not there means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Files {
    /// An error: the policy is about to be used.
    #[default]
    MustExist,
    /// A warning: the policy is checked somewhere else than where it will be used.
    MayBeMissing,
}

/// Where `${NAME}` is looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Variables {
    /// In the environment of this process.
    #[default]
    Process,
    /// Here and nowhere else.
    Given(BTreeMap<String, String>),
}

/// A span of time as the policy writes it: `250ms`, `30m`.
///
/// # Errors
/// What is wrong with it, for whoever wrote it.
pub fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|hint| {
        let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
        format!("`{text}` is no duration such as 30m{hint}")
    })
}

/// A span of time as the policy would write it.
pub fn show_duration(span: Duration) -> String {
    units::show_duration(span)
}

/// What was probably meant by a name that is none of those that are known.
pub fn suggest(name: &str, known: &[&str]) -> Option<String> {
    suggest::names(name, known)
}

/// Reads and compiles a policy to be used: a file, or a folder whose `*.yaml` files are one policy.
pub fn load(path: &Path) -> Loaded {
    load_with(path, &Options::default())
}

/// Reads and compiles a policy: a file, or a folder whose `*.yaml` files are one policy. An
/// unreadable file is a problem like any other.
pub fn load_with(path: &Path, options: &Options) -> Loaded {
    let base = if path.is_dir() {
        Some(path)
    } else {
        path.parent()
    };
    finish(
        Reading::of_path(path),
        base.unwrap_or(Path::new("")),
        options,
    )
}

/// Compiles a policy to be used from a text in memory. `name` stands for its file in problems;
/// paths in it are relative to `base`.
pub fn parse(name: &str, text: &str, base: &Path) -> Loaded {
    parse_with(name, text, base, &Options::default())
}

/// Compiles a policy from a text in memory. `name` stands for its file in problems; paths in it are
/// relative to `base`.
pub fn parse_with(name: &str, text: &str, base: &Path, options: &Options) -> Loaded {
    finish(Reading::of_text(name, text), base, options)
}

/// The files of a policy as they are, with the names that problems are to have: for whoever compiles
/// them elsewhere, by [`parse_files`].
///
/// # Errors
/// What cannot be read.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, Vec<Problem>> {
    let Reading {
        sources, problems, ..
    } = Reading::of_path(path);
    if problems.iter().any(Problem::is_error) {
        return Err(problems);
    }
    Ok(sources.into_iter().map(|s| (s.name, s.text)).collect())
}

/// Compiles a policy from texts in memory, each with the name that problems are to have; paths in
/// them are relative to `base`.
pub fn parse_files(files: &[(String, String)], base: &Path, options: &Options) -> Loaded {
    finish(Reading::of_texts(files), base, options)
}

fn finish(reading: Reading, base: &Path, options: &Options) -> Loaded {
    let hash = reading.hash();
    let Reading {
        sources,
        problems: mut all,
        ..
    } = reading;
    let report = Report::new(&sources, options);
    let trees: Vec<_> = (0..sources.len())
        .map(|file| tree::parse(&report, file))
        .collect();
    let readable = all.iter().all(|problem| !problem.is_error());
    let mut policy = None;
    if readable
        && let Some(trees) = trees.into_iter().collect()
        && let Some(mut root) = merge::merge(&report, trees)
    {
        variables::expand(&report, &mut root);
        policy = compile::compile(&report, &root, base, hash);
    }
    all.extend(report.into_problems());
    if all.iter().any(Problem::is_error) {
        policy = None;
    }
    Loaded {
        policy,
        problems: all,
    }
}
