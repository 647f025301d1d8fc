//! Finds the route of a request: first match wins, at a cost that does not grow with the policy.
//!
//! Routes are indexed by host, then by exact path or by prefix; what remains (method, header
//! fields) is checked in the policy's order. Nothing is normalised: clients sign what they wrote.

use http::{HeaderMap, Method};
use leeward_config::policy::{Match, PathMatch};
use std::borrow::Cow;
use std::collections::HashMap;

/// The routes of one listener, indexed. Values are positions in the policy's list of routes.
#[derive(Debug, Default)]
pub struct RouteTable {
    by_host: HashMap<String, PathIndex>,
    by_suffix: HashMap<String, PathIndex>,
    any_host: PathIndex,
    conditions: Vec<Conditions>,
}

#[derive(Debug, Default)]
struct PathIndex {
    exact: HashMap<String, Vec<u32>>,
    prefix: HashMap<String, Vec<u32>>,
    any: Vec<u32>,
}

/// What is left to check once host and path match.
#[derive(Debug, Default)]
struct Conditions {
    methods: Vec<Method>,
    headers: Vec<(http::HeaderName, Option<String>)>,
}

/// The parts of a request that routes look at.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The Host field's host, without port; empty when there is none.
    pub host: &'a str,
    /// The path as the client wrote it, without the query.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

impl RouteTable {
    /// Indexes `matches`, in the policy's order, for the listener called `listener`.
    pub fn new<'a>(listener: &str, matches: impl IntoIterator<Item = &'a Match>) -> Self {
        let mut table = Self::default();
        for (position, wanted) in matches.into_iter().enumerate() {
            table.conditions.push(Conditions {
                methods: wanted.methods.clone(),
                headers: wanted.headers.clone(),
            });
            let here =
                wanted.listeners.is_empty() || wanted.listeners.iter().any(|l| l == listener);
            if here {
                table.insert(u32::try_from(position).unwrap_or(u32::MAX), wanted);
            }
        }
        table
    }

    fn insert(&mut self, position: u32, wanted: &Match) {
        if wanted.hosts.is_empty() {
            self.any_host.insert(position, &wanted.path);
        }
        for host in &wanted.hosts {
            let host = host.to_ascii_lowercase();
            let index = match host.strip_prefix("*.") {
                Some(parent) => self.by_suffix.entry(parent.to_owned()).or_default(),
                None => self.by_host.entry(host).or_default(),
            };
            index.insert(position, &wanted.path);
        }
    }

    /// The first route that matches, as its position in the policy.
    pub fn find(&self, asked: &Asked<'_>) -> Option<usize> {
        let mut best = u32::MAX;
        if !self.by_host.is_empty() || !self.by_suffix.is_empty() {
            let host = lower(asked.host);
            if let Some(index) = self.by_host.get(host.as_ref()) {
                self.search(index, asked, &mut best);
            }
            let parent = host.split_once('.').map(|(_, parent)| parent);
            if let Some(index) = parent.and_then(|parent| self.by_suffix.get(parent)) {
                self.search(index, asked, &mut best);
            }
        }
        self.search(&self.any_host, asked, &mut best);
        (best != u32::MAX).then_some(best as usize)
    }

    /// Lowers `best` to the first route of `index` that matches.
    fn search(&self, index: &PathIndex, asked: &Asked<'_>, best: &mut u32) {
        let mut consider = |positions: &Vec<u32>| {
            let found = positions
                .iter()
                .take_while(|position| **position < *best)
                .find(|position| self.conditions[**position as usize].hold(asked));
            if let Some(position) = found {
                *best = *position;
            }
        };
        if let Some(positions) = index.exact.get(asked.path) {
            consider(positions);
        }
        if !index.prefix.is_empty() {
            for (at, _) in asked.path.match_indices('/') {
                for end in [at, at + 1] {
                    if let Some(positions) = index.prefix.get(&asked.path[..end]) {
                        consider(positions);
                    }
                }
            }
            if !asked.path.ends_with('/')
                && let Some(positions) = index.prefix.get(asked.path)
            {
                consider(positions);
            }
        }
        consider(&index.any);
    }
}

impl PathIndex {
    fn insert(&mut self, position: u32, path: &PathMatch) {
        match path {
            PathMatch::Any => self.any.push(position),
            PathMatch::Exact(path) => self.exact.entry(path.clone()).or_default().push(position),
            PathMatch::Prefix(path) => self.prefix.entry(path.clone()).or_default().push(position),
        }
    }
}

impl Conditions {
    fn hold(&self, asked: &Asked<'_>) -> bool {
        (self.methods.is_empty() || self.methods.contains(asked.method))
            && self.headers.iter().all(|(name, value)| match value {
                None => asked.headers.contains_key(name),
                Some(value) => asked.headers.get_all(name).iter().any(|v| v == value),
            })
    }
}

/// Host names compare without case (RFC 9110 section 4.2.3).
fn lower(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// A condition of a route that a request does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It came by another listener.
    Listener,
    /// It is for another host.
    Host,
    /// It has another path.
    Path,
    /// It has another method.
    Method,
    /// It has not this field, or has it with another value.
    Header(http::HeaderName),
}

/// Why a route does not match a request that came by `listener`: nothing where it does. The table
/// itself is asked, with one condition at a time.
pub fn misses(listener: &str, wanted: &Match, asked: &Asked<'_>) -> Vec<Miss> {
    let any = Match::default;
    let listeners = wanted.listeners.clone();
    let hosts = wanted.hosts.clone();
    let path = wanted.path.clone();
    let methods = wanted.methods.clone();
    let conditions = [
        (Miss::Listener, Match { listeners, ..any() }),
        (Miss::Host, Match { hosts, ..any() }),
        (Miss::Path, Match { path, ..any() }),
        (Miss::Method, Match { methods, ..any() }),
    ];
    let fields = wanted.headers.iter().map(|field| {
        let headers = vec![field.clone()];
        (Miss::Header(field.0.clone()), Match { headers, ..any() })
    });
    conditions
        .into_iter()
        .chain(fields)
        .filter(|(_, alone)| RouteTable::new(listener, [alone]).find(asked).is_none())
        .map(|(miss, _)| miss)
        .collect()
}

/// The host of a Host field: without port, brackets kept.
pub fn host_of(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_path(path: PathMatch) -> Match {
        Match {
            path,
            ..Match::default()
        }
    }

    fn find(table: &RouteTable, host: &str, method: &Method, path: &str) -> Option<usize> {
        let headers = HeaderMap::new();
        table.find(&Asked {
            host: host_of(host),
            path,
            method,
            headers: &headers,
        })
    }

    #[test]
    fn the_first_match_wins_whatever_kind_it_is() {
        let table = RouteTable::new(
            "public",
            &[
                Match {
                    methods: vec![Method::POST],
                    ..on_path(PathMatch::Exact("/order".into()))
                },
                on_path(PathMatch::Prefix("/".into())),
                on_path(PathMatch::Exact("/order".into())),
            ],
        );
        assert_eq!(find(&table, "x", &Method::POST, "/order"), Some(0));
        assert_eq!(find(&table, "x", &Method::GET, "/order"), Some(1));
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        let table = RouteTable::new("public", &[on_path(PathMatch::Prefix("/api".into()))]);
        assert_eq!(find(&table, "x", &Method::GET, "/api"), Some(0));
        assert_eq!(find(&table, "x", &Method::GET, "/api/"), Some(0));
        assert_eq!(find(&table, "x", &Method::GET, "/api/v3/order"), Some(0));
        assert_eq!(find(&table, "x", &Method::GET, "/apis"), None);
        assert_eq!(find(&table, "x", &Method::GET, "//api"), None);
        let slash = RouteTable::new("public", &[on_path(PathMatch::Prefix("/api/".into()))]);
        assert_eq!(find(&slash, "x", &Method::GET, "/api/v3"), Some(0));
        assert_eq!(find(&slash, "x", &Method::GET, "/api"), None);
    }

    #[test]
    fn hosts_compare_without_case_and_a_wildcard_stands_for_one_label() {
        let host = |name: &str| Match {
            hosts: vec![name.into()],
            ..Match::default()
        };
        let table = RouteTable::new("public", &[host("api.example.com"), host("*.example.com")]);
        assert_eq!(
            find(&table, "API.Example.com:8443", &Method::GET, "/"),
            Some(0)
        );
        assert_eq!(find(&table, "ws.example.com", &Method::GET, "/"), Some(1));
        assert_eq!(find(&table, "a.b.example.com", &Method::GET, "/"), None);
        assert_eq!(find(&table, "example.com", &Method::GET, "/"), None);
        assert_eq!(find(&table, "[::1]:80", &Method::GET, "/"), None);
        assert_eq!(host_of("[::1]:80"), "[::1]");
        assert_eq!(host_of("[::1]"), "[::1]");
    }

    #[test]
    fn a_route_of_another_listener_does_not_match() {
        let table = RouteTable::new(
            "public",
            &[
                Match {
                    listeners: vec!["inner".into()],
                    ..Match::default()
                },
                Match::default(),
            ],
        );
        assert_eq!(find(&table, "x", &Method::GET, "/"), Some(1));
    }

    /// Routes with conditions of every kind.
    fn mixed(kind: &http::HeaderName) -> [Match; 4] {
        let path = |path| on_path(path);
        let field = |value: Option<&str>| vec![(kind.clone(), value.map(Into::into))];
        [
            Match {
                methods: vec![Method::POST],
                hosts: vec!["api.test".into()],
                ..path(PathMatch::Exact("/order".into()))
            },
            Match {
                hosts: vec!["*.test".into()],
                headers: field(Some("spot")),
                ..path(PathMatch::Prefix("/order".into()))
            },
            Match {
                headers: field(None),
                ..path(PathMatch::Prefix("/a/".into()))
            },
            Match {
                methods: vec![Method::GET, Method::POST],
                ..Match::default()
            },
        ]
    }

    /// Whatever the table is asked, a route matches exactly where it misses nothing, and the first of
    /// those is found.
    #[test]
    fn what_is_missed_is_why_another_route_was_found() {
        let kind = http::HeaderName::from_static("x-kind");
        let routes = mixed(&kind);
        let table = RouteTable::new("public", &routes);
        let mut spot = HeaderMap::new();
        spot.insert(&kind, http::HeaderValue::from_static("spot"));
        let mut seen = std::collections::BTreeSet::new();
        for host in ["api.test", "a.b.test", "other", ""] {
            for path in ["/order", "/order/1", "/a/b", "/"] {
                for method in &[Method::GET, Method::POST, Method::PUT] {
                    for headers in [&HeaderMap::new(), &spot] {
                        let asked = Asked {
                            host,
                            path,
                            method,
                            headers,
                        };
                        let hit = |route| misses("public", route, &asked).is_empty();
                        assert_eq!(table.find(&asked), routes.iter().position(hit));
                        seen.insert(table.find(&asked));
                    }
                }
            }
        }
        assert_eq!(seen.len(), 5, "every route, and none, is found at times");
    }

    #[test]
    fn a_route_of_another_listener_misses_that() {
        let elsewhere = Match {
            listeners: vec!["inner".into()],
            ..Match::default()
        };
        let asked = Asked {
            host: "",
            path: "/",
            method: &Method::GET,
            headers: &HeaderMap::new(),
        };
        assert_eq!(misses("public", &elsewhere, &asked), [Miss::Listener]);
        assert_eq!(misses("inner", &elsewhere, &asked), []);
    }

    #[test]
    fn header_conditions_hold_by_presence_or_by_value() {
        let header = |value: Option<&str>| Match {
            headers: vec![(
                http::HeaderName::from_static("x-kind"),
                value.map(Into::into),
            )],
            ..Match::default()
        };
        let table = RouteTable::new("public", &[header(Some("spot")), header(None)]);
        let mut headers = HeaderMap::new();
        let method = Method::GET;
        let find = |headers: &HeaderMap| {
            table.find(&Asked {
                host: "x",
                path: "/",
                method: &method,
                headers,
            })
        };
        assert_eq!(find(&headers), None);
        headers.insert("x-kind", http::HeaderValue::from_static("margin"));
        assert_eq!(find(&headers), Some(1));
        headers.append("x-kind", http::HeaderValue::from_static("spot"));
        assert_eq!(find(&headers), Some(0));
    }
}
