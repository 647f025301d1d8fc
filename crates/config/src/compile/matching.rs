//! `match` of a route: what has to hold of a request.

use super::http::{conditions, is_host_name, path};
use crate::fields::{Fields, expected, one_or_list, text};
use crate::policy::{Listener, Match, PathMatch};
use crate::report::Report;
use crate::shape;
use crate::shape::routes::{MAX_HOSTS, MAX_LISTENERS, MAX_METHODS};
use crate::tree::Node;
use http::Method;

/// Reads `match`.
pub(super) fn compile(report: &Report<'_>, node: &Node, listeners: &[Listener]) -> Match {
    let Some(mut fields) = Fields::of(report, node, &shape::routes::MATCH) else {
        return Match::default();
    };
    let mut found = Match::default();
    if let Some(node) = fields.get("listener") {
        found.listeners = listener_names(report, node, listeners);
    }
    if let Some(node) = fields.get("host") {
        let items = one_or_list(report, node, "host names", MAX_HOSTS);
        found.hosts = items.iter().filter_map(|item| host(report, item)).collect();
    }
    found.path = path_match(&mut fields);
    if let Some(node) = fields.get("methods") {
        let items = one_or_list(report, node, "methods such as [GET, POST]", MAX_METHODS);
        found.methods = items
            .iter()
            .filter_map(|item| method(report, item))
            .collect();
    }
    if let Some(node) = fields.get("headers") {
        found.headers = conditions(report, node);
    }
    fields.finish();
    found
}

fn listener_names(report: &Report<'_>, node: &Node, listeners: &[Listener]) -> Vec<String> {
    let mut found = Vec::new();
    for item in one_or_list(report, node, "names of listeners", MAX_LISTENERS) {
        let Some(name) = text(report, item, "the name of a listener") else {
            continue;
        };
        let known = listeners.iter().any(|listener| listener.name == name);
        if known || listeners.is_empty() {
            found.push(name.to_owned());
            continue;
        }
        let names = listeners.iter().map(|listener| listener.name.as_str());
        let hint = report.suggest(name, names);
        report.error_hint(item.pos, format!("there is no listener `{name}`"), hint);
    }
    found
}

fn host(report: &Report<'_>, node: &Node) -> Option<String> {
    const WHAT: &str = "a host name such as api.example.com or *.example.com";
    let text = text(report, node, WHAT)?;
    let v6 = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let name = text.strip_prefix("*.").unwrap_or(text);
    let good = match v6 {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host_name(name) && !name.ends_with('.'),
    };
    if !good {
        let hint = if text.contains("://") || text.contains('/') {
            Some("a host is neither a URL nor a path")
        } else if text.contains('*') {
            Some("`*` stands for one whole label, the first")
        } else if text.contains(':') {
            Some("without the port: it is left out of the comparison")
        } else {
            None
        };
        expected(report, node, WHAT, hint.map(str::to_owned));
        return None;
    }
    Some(text.to_ascii_lowercase())
}

fn path_match(fields: &mut Fields<'_>) -> PathMatch {
    let report = fields.report;
    let exact = fields.get("path");
    let prefix = fields.get("path_prefix");
    if exact.is_some()
        && prefix.is_some()
        && let Some(pos) = fields.key_pos("path_prefix")
    {
        let text = "`path` and `path_prefix` exclude each other";
        report.error_hint(pos, text, "a prefix matches itself as well");
    }
    if let Some(node) = exact.or(prefix)
        && let Some(text) = node.text()
        && text.contains('*')
    {
        report.warning(
            node.pos,
            "`*` in a path stands for itself",
            "use `path_prefix`",
        );
    }
    let exact = exact.and_then(|node| path(report, node, false));
    let prefix = prefix.and_then(|node| path(report, node, false));
    match (exact, prefix) {
        (Some(exact), _) => PathMatch::Exact(exact.to_owned()),
        (None, Some(prefix)) => PathMatch::Prefix(prefix.to_owned()),
        (None, None) => PathMatch::Any,
    }
}

fn method(report: &Report<'_>, node: &Node) -> Option<Method> {
    const WHAT: &str = "a method such as GET";
    let text = text(report, node, WHAT)?;
    let method = Method::from_bytes(text.as_bytes()).ok();
    if method.is_none() {
        expected(report, node, WHAT, None);
    }
    let upper = text.to_ascii_uppercase();
    if upper != text {
        let text = format!("method `{text}` never matches `{upper}`: their case matters");
        report.warning(node.pos, text, format!("did you mean `{upper}`?"));
    }
    method
}
