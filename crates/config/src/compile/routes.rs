//! `routes`: what requests match, in order, and what that means.

use super::matching;
use super::pools::Pools;
use super::shadow;
use crate::fields::{Fields, expected, list, text};
use crate::policy::{Listener, Match, PathMatch, Route};
use crate::report::Report;
use crate::shape;
use crate::shape::routes::MAX_ROUTES;
use crate::shape::words::classes;
use crate::source::Pos;
use crate::tree::Node;
use crate::units;
use leeward_failover::{Class, PoolId};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

const MAX_NAME: usize = 100;
/// The name of a route without any condition.
const EVERYTHING: &str = "everything";

/// Reads `routes`; without them and with one pool, everything goes there as an order.
pub(super) fn compile(
    report: &Report<'_>,
    fields: &mut Fields<'_>,
    pools: &Pools,
    listeners: &[Listener],
) -> Vec<Route> {
    if !fields.has("routes") {
        if let Some(pool) = pools.only() {
            return vec![everything(pool)];
        }
        if pools.torn {
            fields.get("routes");
            return Vec::new();
        }
    }
    let Some(node) = fields.require("routes", &format!("[{}]", shape::routes::ROUTE.example))
    else {
        return Vec::new();
    };
    let Some(items) = list(report, node, "a list of routes", MAX_ROUTES) else {
        return Vec::new();
    };
    if items.is_empty() {
        expected(report, node, "at least one route", None);
    }
    let drafts: Vec<Draft> = items
        .iter()
        .filter_map(|item| draft(report, item, pools, listeners))
        .collect();
    shadow::warn(report, &drafts);
    name_all(report, drafts)
}

/// A route whose name may still be missing.
pub(super) struct Draft {
    pub(super) pos: Pos,
    pub(super) name: Option<(String, Pos)>,
    pub(super) matches: Match,
    class: Class,
    pool: Option<PoolId>,
    deadline: Option<Duration>,
}

fn everything(pool: PoolId) -> Route {
    Route {
        name: EVERYTHING.to_owned(),
        matches: Match::default(),
        class: Class::Order,
        pool,
        deadline: Class::Order.default_deadline(),
    }
}

fn draft(report: &Report<'_>, node: &Node, pools: &Pools, listeners: &[Listener]) -> Option<Draft> {
    let mut fields = Fields::of(report, node, &shape::routes::ROUTE)?;
    let name = fields
        .get("name")
        .and_then(|node| Some((name(report, node)?, node.pos)));
    let matches = fields
        .get("match")
        .map(|node| matching::compile(report, node, listeners))
        .unwrap_or_default();
    let class = class(&mut fields);
    let pool = fields
        .require("pool", "trading")
        .and_then(|node| pools.find(report, node));
    let deadline = deadline(&mut fields, class);
    fields.finish();
    Some(Draft {
        pos: node.pos,
        name,
        matches,
        class,
        pool,
        deadline,
    })
}

fn name(report: &Report<'_>, node: &Node) -> Option<String> {
    let name = text(report, node, "a name")?;
    if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        let text = format!("the name of a route has {MAX_NAME} printable characters at most");
        report.error(node.pos, text);
    }
    Some(name.to_owned())
}

fn class(fields: &mut Fields<'_>) -> Class {
    let report = fields.report;
    if let Some(node) = fields.get("class")
        && node.text() == Some("tcp")
    {
        let hint = "routes are for HTTP; WebSockets are `stream`";
        report.error_hint(node.pos, "class `tcp` cannot be given to a route", hint);
        return Class::Order;
    }
    fields.word("class", &classes()).unwrap_or(Class::Order)
}

fn deadline(fields: &mut Fields<'_>, class: Class) -> Option<Duration> {
    let default = class.default_deadline();
    let Some(node) = fields.get("deadline") else {
        return default;
    };
    if node.text() == Some("none") {
        return None;
    }
    let longest = Duration::from_secs(24 * 3600);
    let fallback = default.unwrap_or(longest);
    let read = fields.duration("deadline", fallback);
    if class == Class::Order && read > Duration::from_secs(60) {
        let text = format!("an order may wait for {}", units::show_duration(read));
        let hint = "its signature is long out of date by then";
        fields.report.warning(node.pos, text, hint);
    }
    Some(read)
}

/// Gives every route a name of its own.
fn name_all(report: &Report<'_>, drafts: Vec<Draft>) -> Vec<Route> {
    let mut given: HashMap<String, Pos> = HashMap::new();
    for (name, pos) in drafts.iter().filter_map(|draft| draft.name.as_ref()) {
        if let Some(first) = given.get(name) {
            let hint = format!("first given at {}", report.place(*first, *pos));
            report.error_hint(*pos, format!("route `{name}` is given twice"), hint);
        }
        given.entry(name.clone()).or_insert(*pos);
    }
    let mut taken: HashSet<String> = given.into_keys().collect();
    let named = |draft: Draft| {
        let name = match draft.name {
            Some((name, _)) => name,
            None => unique(&derived(&draft.matches), &mut taken),
        };
        Some(Route {
            name,
            matches: draft.matches,
            class: draft.class,
            pool: draft.pool?,
            deadline: draft.deadline,
        })
    };
    drafts.into_iter().filter_map(named).collect()
}

/// A name not taken yet: the base, or the base with a number.
fn unique(base: &str, taken: &mut HashSet<String>) -> String {
    let mut name = base.to_owned();
    let mut number = 1u32;
    while !taken.insert(name.clone()) {
        number = number.saturating_add(1);
        name = format!("{base} ({number})");
    }
    name
}

/// The match in short: `POST api.example.com/api/v3/order`, `GET /api/*`, `everything`.
fn derived(matches: &Match) -> String {
    let methods: Vec<&str> = matches.methods.iter().map(http::Method::as_str).collect();
    let hosts = match matches.hosts.as_slice() {
        [] => String::new(),
        [host] => host.clone(),
        [host, others @ ..] => format!("{host}+{}", others.len()),
    };
    let path = match &matches.path {
        PathMatch::Any => String::new(),
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Prefix(path) => format!("{path}*"),
    };
    let place = format!("{hosts}{path}");
    let parts = [methods.join(","), place];
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|p| !p.is_empty())
        .collect();
    match parts.as_slice() {
        [] => derived_from_rest(matches),
        parts => parts.join(" ").chars().take(MAX_NAME).collect(),
    }
}

/// The name of a route that looks at neither method nor host nor path.
fn derived_from_rest(matches: &Match) -> String {
    match (matches.headers.first(), matches.listeners.first()) {
        (Some((header, _)), _) => format!("with {header}"),
        (None, Some(listener)) => format!("on {listener}"),
        (None, None) => EVERYTHING.to_owned(),
    }
}
