//! Routes: names, matches, and which hide others.

use super::{BACKENDS, HEAD, secs, with_pool};
use leeward_config::parse;
use leeward_config::policy::PathMatch;
use std::path::Path;
use std::time::Duration;

#[test]
fn routes_get_names_of_their_own() {
    let policy = with_pool(
        "routes:
  - { match: { path: /o, methods: [POST, PUT] }, pool: web }
  - { match: { path: /o, methods: [POST], headers: { X-A: true } }, pool: web }
  - { match: { path: /o, methods: [POST], headers: { X-B: b } }, pool: web }
  - { name: mine, match: { host: [a.example, b.example], path_prefix: /p/ }, pool: web }
  - { match: { host: [c.example, d.example] }, class: stream, pool: web }
  - { match: { headers: { X-C: true } }, class: public_read, deadline: none, pool: web }
  - { match: { listener: public }, class: cancel, deadline: 250ms, pool: web }
",
    );
    let names: Vec<&str> = policy
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .collect();
    let expected = [
        "POST,PUT /o",
        "POST /o",
        "POST /o (2)",
        "mine",
        "c.example+1",
        "with x-c",
        "on public",
    ];
    assert_eq!(names, expected);
    let deadlines: Vec<Option<Duration>> = policy.routes.iter().map(|r| r.deadline).collect();
    assert_eq!(
        deadlines[3..],
        [Some(secs(2)), None, None, Some(Duration::from_millis(250))]
    );
    let matches = &policy.routes[3].matches;
    assert_eq!(matches.path, PathMatch::Prefix("/p/".to_owned()));
    assert_eq!(matches.hosts, ["a.example", "b.example"]);
}

#[test]
fn a_route_is_hidden_only_by_one_that_matches_all_it_does() {
    let text = format!(
        "{HEAD}pools:\n  web:\n{BACKENDS}    orders: {{ move: operator }}
routes:
  - {{ match: {{ path_prefix: /api/v3/, methods: [GET] }}, pool: web }}
  - {{ match: {{ path_prefix: /api/v3 }}, pool: web }}
  - {{ match: {{ path_prefix: /api/v31 }}, pool: web }}
  - {{ match: {{ host: \"*.example.com\" }}, pool: web }}
  - {{ match: {{ host: [a.example.com, a.b.example.com] }}, pool: web }}
  - {{ match: {{ headers: {{ X-A: a }} }}, pool: web }}
  - {{ match: {{ headers: {{ X-A: true }} }}, pool: web }}
  - {{ pool: web }}
"
    );
    assert_eq!(parse("good.yaml", &text, Path::new("")).problems, []);
}

#[test]
fn ten_thousand_routes_are_a_policy_and_the_one_that_is_hidden_is_found() {
    let mut text =
        format!("{HEAD}pools:\n  web:\n{BACKENDS}    orders: {{ move: operator }}\nroutes:\n");
    for number in 0..10_000 {
        let matches = format!("host: \"*.h{number}.example\", path_prefix: /api/v{number}");
        text.push_str(&format!("  - {{ match: {{ {matches} }}, pool: web }}\n"));
    }
    let hidden = "host: a.h5000.example, path: /api/v5000/order";
    text.push_str(&format!(
        "  - {{ name: late, match: {{ {hidden} }}, pool: web }}\n"
    ));
    let parsed = parse("good.yaml", &text, Path::new(""));
    let texts: Vec<&str> = parsed.problems.iter().map(|p| p.text.as_str()).collect();
    assert_eq!(texts, ["route `late` is never reached"]);
    assert_eq!(parsed.policy.expect("a policy").routes.len(), 10_001);
}
