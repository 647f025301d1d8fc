//! `leeward diff`: what a policy would change, in meaning.
//!
//! Owns who is compared with whom and the exit codes. What the difference is, `leeward_config::diff`
//! says; against a proxy that runs, its admin side does. Called by `main`.

use crate::admin;
use crate::args::Diff as Asked;
use leeward_config::diff::{Diff, compare};
use leeward_config::policy::Policy;
use leeward_config::{Files, Options, load_with};
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// Says what would change; the exit code: 0 for nothing, 1 for something, 2 for trouble.
pub(crate) fn run(asked: &Asked) -> u8 {
    let found = match asked.policies.as_slice() {
        [new] => against_running(asked, new),
        [old, new] if asked.admin.admin.is_none() && asked.admin.policy.is_none() => {
            against_policy(old, new)
        }
        _ => Err("leeward: OLD and NEW, or NEW with --admin: not both".to_owned()),
    };
    let diff = match found {
        Ok(diff) => diff,
        Err(text) => {
            // A reader that has gone away changes nothing.
            let _ = writeln!(std::io::stderr(), "{text}");
            return 2;
        }
    };
    let text = if asked.json {
        let told = json!({
            "same": diff.is_empty(), "headline": diff.headline(), "diff": diff
        });
        format!("{told:#}\n")
    } else {
        diff.to_string()
    };
    let _ = write!(std::io::stdout(), "{text}");
    u8::from(!diff.is_empty())
}

fn against_policy(old: &Path, new: &Path) -> Result<Diff, String> {
    // What is wrong with either is said of both.
    let (old, new) = match (load(old), load(new)) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            let wrong: Vec<String> = [old.err(), new.err()].into_iter().flatten().collect();
            return Err(wrong.join("\n"));
        }
    };
    Ok(compare(&old, &new, None))
}

/// A policy, or all its errors. Warnings are `check`'s.
fn load(path: &Path) -> Result<Policy, String> {
    let options = Options {
        files: Files::MayBeMissing,
        ..Options::default()
    };
    let loaded = load_with(path, &options);
    let errors = loaded.problems.iter().filter(|problem| problem.is_error());
    let errors: Vec<String> = errors.map(ToString::to_string).collect();
    loaded.policy.ok_or_else(|| errors.join("\n"))
}

fn against_running(asked: &Asked, new: &Path) -> Result<Diff, String> {
    let files = leeward_config::read(new).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        problems.join("\n")
    })?;
    let body = json!({ "files": files });
    let answer = admin::post(&asked.admin, "/api/v1/diff", &body);
    let answer = answer.map_err(|failed| format!("leeward: {}", failed.text))?;
    if answer.status == 200 {
        let diff = serde_json::from_value(answer.body);
        return diff.map_err(|error| format!("leeward: the answer cannot be read: {error}"));
    }
    let problems = answer.body["problems"].as_array().into_iter().flatten();
    let mut lines: Vec<&str> = problems.filter_map(|problem| problem.as_str()).collect();
    let error = answer.body["error"].as_str();
    let other = format!("the admin side answered {}", answer.status);
    let said = format!("leeward: {}", error.unwrap_or(&other));
    lines.push(&said);
    Err(lines.join("\n"))
}
