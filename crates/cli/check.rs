//! `leeward check`: says what is wrong with policies, and whether they could be used.
//!
//! Certificates are allowed to be missing here: a policy is often checked somewhere else than where
//! it runs. Starts nothing. Called by `main`.

use leeward_config::{Files, Loaded, Options, Problem, load_with};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Checks each path, a policy file or a folder of them. Problems go to stderr as text, or to stdout
/// as one JSON array. Returns the exit code: 0 where no policy has an error, 2 otherwise.
pub(crate) fn run(paths: &[PathBuf], json: bool) -> u8 {
    let options = Options {
        files: Files::MayBeMissing,
        ..Options::default()
    };
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut all: Vec<Problem> = Vec::new();
    let mut good = true;
    for path in paths {
        let loaded = load_with(path, &options);
        good &= loaded.policy.is_some();
        if !json {
            for problem in &loaded.problems {
                say(&mut err, &format!("{problem}\n"));
            }
            say(&mut out, &summary(path, &loaded));
        }
        all.extend(loaded.problems);
    }
    if json {
        match serde_json::to_string_pretty(&all) {
            Ok(text) => say(&mut out, &text),
            Err(error) => say(&mut err, &format!("error: {error}")),
        }
    }
    if good { 0 } else { 2 }
}

/// Writes a line. A reader that has gone away changes nothing about the policies.
fn say(to: &mut impl Write, text: &str) {
    let _ = writeln!(to, "{text}");
}

/// `examples/quickstart.yaml: ok, 1 pool, 2 routes, 1 warning`.
fn summary(path: &Path, loaded: &Loaded) -> String {
    let errors = loaded
        .problems
        .iter()
        .filter(|problem| problem.is_error())
        .count();
    let warnings = loaded.problems.len() - errors;
    let mut parts = match &loaded.policy {
        Some(policy) => vec![
            "ok".to_owned(),
            counted(policy.pools.len(), "pool"),
            counted(policy.routes.len(), "route"),
        ],
        None => vec![counted(errors, "error")],
    };
    if warnings > 0 {
        parts.push(counted(warnings, "warning"));
    }
    format!("{}: {}", path.display(), parts.join(", "))
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
