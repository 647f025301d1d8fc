//! Routes that are never reached, because an earlier one takes all they would match.
//!
//! Owns the comparison of two matches. Only one earlier route is looked at at a time: two that
//! cover a third together go unnoticed.

use super::routes::Draft;
use crate::policy::{Match, PathMatch};
use crate::report::Report;
use std::collections::HashMap;

/// Comparisons of hosts that are made at most: past that, hidden routes go unnoticed.
const MAX_STEPS: usize = 10_000_000;

/// Warns of every route that an earlier one hides.
pub(super) fn warn(report: &Report<'_>, drafts: &[Draft]) {
    let mut steps = MAX_STEPS;
    let mut index = Index::default();
    for (number, later) in drafts.iter().enumerate() {
        let hides = |earlier: &usize| {
            let (a, b) = (&drafts[*earlier].matches, &later.matches);
            steps = steps.saturating_sub(1 + a.hosts.len() * b.hosts.len());
            steps > 0 && covers(a, b)
        };
        let earlier = index.candidates(&later.matches).into_iter().find(hides);
        index.add(number, &later.matches);
        let Some(earlier) = earlier.map(|number| &drafts[number]) else {
            continue;
        };
        let place = report.place(earlier.pos, later.pos);
        let text = match &later.name {
            Some((name, _)) => format!("route `{name}` is never reached"),
            None => "this route is never reached".to_owned(),
        };
        let hint = format!("the route at {place} matches all that it matches: put this one first");
        report.warning(later.pos, text, hint);
    }
}

/// Earlier routes by host and path, so that thousands of routes are not compared each with each.
#[derive(Default)]
struct Index<'a>(HashMap<(Host<'a>, Path<'a>), Vec<usize>>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Host<'a> {
    Any,
    Named(&'a str),
    /// Every host of one label more.
    Below(&'a str),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Path<'a> {
    Any,
    Exact(&'a str),
    Prefix(&'a str),
}

impl<'a> Index<'a> {
    fn add(&mut self, number: usize, matches: &'a Match) {
        let path = match &matches.path {
            PathMatch::Any => Path::Any,
            PathMatch::Exact(path) => Path::Exact(path),
            PathMatch::Prefix(path) => Path::Prefix(path),
        };
        let mut add = |host| self.0.entry((host, path)).or_default().push(number);
        if matches.hosts.is_empty() {
            add(Host::Any);
        }
        for host in &matches.hosts {
            add(host
                .strip_prefix("*.")
                .map_or(Host::Named(host), Host::Below));
        }
    }

    /// The routes so far that may cover this one, in order: whoever covers it covers its first host
    /// and its path.
    fn candidates(&self, of: &Match) -> Vec<usize> {
        let mut hosts = vec![Host::Any];
        if let Some(first) = of.hosts.first() {
            hosts.push(Host::Named(first));
            hosts.extend(first.split_once('.').map(|(_, rest)| Host::Below(rest)));
        }
        let mut paths = vec![Path::Any];
        if let PathMatch::Exact(path) | PathMatch::Prefix(path) = &of.path {
            paths.extend([Path::Exact(path), Path::Prefix(path)]);
            for (at, _) in path.match_indices('/') {
                paths.push(Path::Prefix(&path[..at]));
                paths.push(Path::Prefix(&path[..=at]));
            }
        }
        let mut found: Vec<usize> = hosts
            .iter()
            .flat_map(|host| paths.iter().filter_map(|path| self.0.get(&(*host, *path))))
            .flatten()
            .copied()
            .collect();
        found.sort_unstable();
        found.dedup();
        found
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
