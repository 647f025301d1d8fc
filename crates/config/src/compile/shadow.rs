//! Routes that are never reached, because an earlier one takes all they would match.
//!
//! Owns the comparison of two matches. Only one earlier route is looked at at a time: two that
//! cover a third together go unnoticed.

use super::routes::Draft;
use crate::policy::{Match, PathMatch};
use crate::report::Report;

/// Comparisons of hosts that are made at most: past that, hidden routes go unnoticed.
const MAX_STEPS: usize = 50_000_000;

/// Warns of every route that an earlier one hides.
pub(super) fn warn(report: &Report<'_>, drafts: &[Draft]) {
    let mut steps = MAX_STEPS;
    for (index, later) in drafts.iter().enumerate() {
        let earlier = drafts.iter().take(index).find(|earlier| {
            let (a, b) = (&earlier.matches, &later.matches);
            steps = steps.saturating_sub(1 + a.hosts.len() * b.hosts.len());
            steps > 0 && covers(a, b)
        });
        let Some(earlier) = earlier else { continue };
        let place = report.place(earlier.pos, later.pos);
        let text = match &later.name {
            Some((name, _)) => format!("route `{name}` is never reached"),
            None => "this route is never reached".to_owned(),
        };
        let hint = format!("the route at {place} matches all that it matches: put this one first");
        report.warning(later.pos, text, hint);
    }
}

/// Whether every request that `b` matches is matched by `a` as well.
fn covers(a: &Match, b: &Match) -> bool {
    path_covers(&a.path, &b.path)
        && any_or_all(&a.methods, &b.methods, |a, b| a == b)
        && any_or_all(&a.listeners, &b.listeners, |a, b| a == b)
        && a.headers.iter().all(|(name, value)| {
            b.headers
                .iter()
                .any(|(other, given)| name == other && (value.is_none() || value == given))
        })
        && any_or_all(&a.hosts, &b.hosts, |a, b| host_covers(a, b))
}

/// Empty lists stand for anything.
fn any_or_all<T>(a: &[T], b: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    a.is_empty() || (!b.is_empty() && b.iter().all(|b| a.iter().any(|a| covers(a, b))))
}

fn host_covers(a: &str, b: &str) -> bool {
    let one_label_more = |tail: &str| b.split_once('.').is_some_and(|(_, rest)| rest == tail);
    a == b || a.strip_prefix("*.").is_some_and(one_label_more)
}

fn path_covers(a: &PathMatch, b: &PathMatch) -> bool {
    match (a, b) {
        (PathMatch::Any, _) => true,
        (PathMatch::Exact(a), PathMatch::Exact(b)) => a == b,
        (PathMatch::Prefix(a), PathMatch::Exact(b) | PathMatch::Prefix(b)) => below(a, b),
        (PathMatch::Exact(_) | PathMatch::Prefix(_), _) => false,
    }
}

/// Whether a path is a prefix or below it, as [`PathMatch::Prefix`] says.
fn below(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}
