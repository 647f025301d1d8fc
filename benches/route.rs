//! What it costs to find the route of a request, by the number of routes in the policy.
//!
//! Each case asks for routes spread over the whole table, the last one among them: what costs the
//! same with 10 and with 10 000 routes does not look at them one by one.

use divan::{Bencher, black_box};
use http::{HeaderMap, Method};
use leeward_config::policy::{Match, PathMatch};
use leeward_proxy::route::{Asked, RouteTable};

const ROUTES: [usize; 3] = [10, 1_000, 10_000];
/// Requests that are asked in turn.
const REQUESTS: usize = 10;

fn main() {
    divan::main();
}

/// One exact path a route, no hosts.
#[divan::bench(args = ROUTES)]
fn exact_path(bencher: Bencher<'_, '_>, routes: usize) {
    let table = table(routes, |n| Match { path: PathMatch::Exact(path(n)), ..Match::default() });
    find(bencher, &table, routes, |n| (String::from("api.example.com"), path(n)));
}

/// One prefix a route, no hosts; the request's path goes two segments deeper.
#[divan::bench(args = ROUTES)]
fn path_prefix(bencher: Bencher<'_, '_>, routes: usize) {
    let table = table(routes, |n| Match { path: PathMatch::Prefix(path(n)), ..Match::default() });
    find(bencher, &table, routes, |n| (String::from("api.example.com"), path(n) + "/depth/20"));
}

/// One host a route, and a prefix below it.
#[divan::bench(args = ROUTES)]
fn host_and_prefix(bencher: Bencher<'_, '_>, routes: usize) {
    let table = table(routes, |n| Match {
        hosts: vec![host(n)],
        path: PathMatch::Prefix(String::from("/api")),
        ..Match::default()
    });
    find(bencher, &table, routes, |n| (host(n), String::from("/api/v3/depth")));
}

/// Nothing matches: every index is asked.
#[divan::bench(args = ROUTES)]
fn no_route(bencher: Bencher<'_, '_>, routes: usize) {
    let table = table(routes, |n| Match {
        hosts: vec![host(n), format!("*.{}", host(n))],
        path: PathMatch::Prefix(path(n)),
        ..Match::default()
    });
    find(bencher, &table, 0, |n| (format!("ws.{}", host(n)), String::from("/api/v3/depth")));
}

fn table(routes: usize, wanted: impl Fn(usize) -> Match) -> RouteTable {
    let matches: Vec<Match> = (0..routes).map(wanted).collect();
    RouteTable::new("public", &matches)
}

/// Asks for `REQUESTS` of the routes, from the first to the last, with the fields of a usual
/// request; with `routes` 0 for some that are not there.
fn find(
    bencher: Bencher<'_, '_>,
    table: &RouteTable,
    routes: usize,
    request: impl Fn(usize) -> (String, String),
) {
    let last = routes.saturating_sub(1);
    let requests: Vec<_> = (0..REQUESTS).map(|turn| last * turn / (REQUESTS - 1)).collect();
    let asked: Vec<_> = requests.iter().map(|n| request(*n)).collect();
    let headers = HeaderMap::new();
    let find = |host: &str, path: &str| {
        table.find(&Asked { host, path, method: &Method::GET, headers: &headers })
    };
    for (n, (host, path)) in requests.iter().zip(&asked) {
        assert_eq!(find(host, path), (routes > 0).then_some(*n));
    }
    bencher.counter(REQUESTS).bench_local(|| {
        for (host, path) in black_box(&asked) {
            black_box(find(host, path));
        }
    });
}

fn path(n: usize) -> String {
    format!("/api/v3/account-{n}/orders")
}

fn host(n: usize) -> String {
    format!("api-{n}.example.com")
}
