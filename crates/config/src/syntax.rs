//! What the YAML parser may spend, and what its errors mean.
//!
//! Owns the budget and the words for syntax errors. Called by [`crate::tree`].

use crate::report::Report;
use crate::tree::pos;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Location, NonFiniteFloatPolicy, Options};

/// The deepest policy has eight levels.
const MAX_DEPTH: usize = 24;
/// Values of all kinds in one file.
const MAX_NODES: usize = 500_000;
/// Anchors in one file, and aliases.
const MAX_ANCHORS: usize = 1000;
/// Values that aliases stand for, in all.
const MAX_REPLAYED: usize = 100_000;

/// The parser's options: everything bounded, nothing of YAML that a policy has no use for.
pub(crate) fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 2 * MAX_NODES,
            max_nodes: MAX_NODES,
            max_aliases: MAX_ANCHORS,
            max_anchors: MAX_ANCHORS,
            max_recorded_anchor_events: MAX_REPLAYED,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_documents: 1,
            max_merge_keys: MAX_ANCHORS,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
            max_replay_stack_depth: 8,
        },
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// Reports what stopped the parser.
pub(crate) fn explain(report: &Report<'_>, file: usize, error: &Error) {
    let error = error.without_snippet();
    let place = pos(file, error.location().unwrap_or(Location::UNKNOWN));
    let (text, mut hint) = words(error);
    let line = report
        .sources
        .get(file)
        .and_then(|source| source.line(place.line));
    if hint.is_none() && line.is_some_and(|line| line.contains("${")) {
        hint = Some("within `{ }` and `[ ]`, quote what has a `${…}`");
    }
    report.error_hint(place, text, hint.map(str::to_owned));
}

fn words(error: &Error) -> (String, Option<&'static str>) {
    match error {
        Error::ExternalMessage { msg, .. } => (format!("not YAML: {msg}"), guess(msg)),
        Error::MultipleDocuments { .. } => several(),
        Error::UnknownAnchor { .. } => ("alias of an anchor that does not exist".to_owned(), None),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => (bomb(), None),
        Error::AliasError { error, .. } => words(error),
        Error::Budget {
            breach: BudgetBreach::Documents { .. },
            ..
        } => several(),
        Error::Budget { breach, .. } => (budget(breach), None),
        Error::UnsupportedTag { tag, .. } => (
            format!("tag `{tag}` has no meaning in a policy"),
            Some("remove it"),
        ),
        other => (plain(other), None),
    }
}

fn several() -> (String, Option<&'static str>) {
    let hint = "a policy of several files is a folder: `leeward check FOLDER`";
    (
        "the file has several documents; a policy is one".to_owned(),
        Some(hint),
    )
}

fn bomb() -> String {
    "the aliases stand for too much".to_owned()
}

fn budget(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => format!("nested deeper than {MAX_DEPTH} levels"),
        BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
            format!("more than {MAX_NODES} values")
        }
        BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } => {
            format!("more than {MAX_ANCHORS} anchors or aliases")
        }
        _ => bomb(),
    }
}

/// The parser's own words, on one line and without the place that we give ourselves.
fn plain(error: &Error) -> String {
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = text.split(" at line ").next().unwrap_or(text);
    format!("not YAML: {}", text.trim_end_matches(['.', ':']))
}

fn guess(message: &str) -> Option<&'static str> {
    let message = message.to_lowercase();
    if message.contains("tab") {
        return Some("indent with spaces");
    }
    None
}
