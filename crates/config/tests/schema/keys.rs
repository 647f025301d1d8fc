//! Every key that is declared is read: with the default and the bounds that the schema names.
//!
//! Goes through the schema, writes each value that it can make up itself into one large policy, and
//! looks at what that changes by `leeward_config::diff`.

use super::{options, schema};
use leeward_config::diff::compare;
use leeward_config::parse_with;
use leeward_config::policy::Policy;
use serde_json::{Value, json};
use std::path::Path;

/// A policy that has every section, with nothing in it that need not be there.
fn whole() -> Value {
    json!({
        "version": 1,
        "admin": { "bind": "127.0.0.1:9900" },
        "drain": {}, "limits": {}, "dns": {}, "guards": { "force": "a test" },
        "journal": { "record": "run.jsonl" },
        "listeners": {
            "a": {
                "bind": "127.0.0.1:1",
                "tls": { "certificates": [{ "cert": "a.pem", "key": "a.key" }] },
                "proxy_protocol": { "from": "192.0.2.0/24" },
                "trusted": { "from": "192.0.2.0/24" },
            },
        },
        "providers": { "aws": { "sites": ["a", "b"] }, "gcp": { "sites": ["c"] } },
        "pools": {
            "web": {
                "backends": [
                    {
                        "url": "https://a.example", "site": "aws/a",
                        "file_sd": { "path": "a.json" },
                        "http_sd": { "url": "https://b.example" },
                    },
                    { "url": "https://d.example", "site": "aws/a" },
                    { "url": "https://e.example", "site": "aws/b" },
                    { "url": "https://c.example", "site": "gcp/c" },
                ],
                "probe": { "path": "/", "expect": {} },
                "health": { "error_if": {} },
                "failover": {
                    "tiers": [[{ "site": "aws/a" }, "aws/b"], ["gcp"]],
                    "evacuate": { "site": {}, "provider": {} },
                    "hold_down": {},
                },
                "orders": { "affinity": { "header": "X-Key" } },
                "retry": {},
            },
        },
        "routes": [{ "match": {}, "pool": "web" }, { "match": { "path": "/a" }, "pool": "web" }],
    })
}

fn compiled(policy: &Value) -> Result<Policy, Vec<String>> {
    let loaded = parse_with("p.yaml", &policy.to_string(), Path::new(""), &options());
    let problems = loaded.problems.iter().map(|problem| problem.text.clone());
    loaded.policy.ok_or_else(|| problems.collect())
}

/// The sections of the whole policy with their definitions, by path.
fn sections(schema: &Value) -> Vec<(String, Value)> {
    let top = |name: &str| schema["definitions"][name].clone();
    let mut found = vec![(String::new(), schema.clone())];
    for (path, name) in [
        ("/admin", "admin"),
        ("/drain", "drain"),
        ("/limits", "limits"),
        ("/dns", "dns"),
        ("/journal", "journal"),
        ("/guards", "guards"),
        ("/listeners/a", "listeners"),
        ("/listeners/a/proxy_protocol", "proxy_protocol"),
        ("/listeners/a/trusted", "trusted"),
        ("/providers/gcp", "providers"),
        ("/pools/web", "pools"),
        ("/pools/web/backends/0", "backends"),
        ("/pools/web/backends/0/file_sd", "file_sd"),
        ("/pools/web/backends/0/http_sd", "http_sd"),
        ("/pools/web/probe", "probe"),
        ("/pools/web/probe/expect", "expect"),
        ("/pools/web/health", "health"),
        ("/pools/web/failover", "failover"),
        ("/pools/web/failover/tiers/0/0", "tier"),
        ("/pools/web/failover/evacuate/site", "evacuate_site"),
        ("/pools/web/failover/evacuate/provider", "evacuate_provider"),
        ("/pools/web/failover/hold_down", "hold_down"),
        ("/pools/web/orders", "orders"),
        ("/pools/web/retry", "retry"),
        ("/routes/0", "routes"),
    ] {
        let definition = top(name);
        assert!(definition.is_object(), "no definition `{name}`");
        found.push((path.to_owned(), definition));
    }
    found
}

fn with(path: &str, key: &str, value: &Value) -> Value {
    let mut policy = whole();
    if path == "/pools/web/orders" && key == "protocol" {
        policy["pools"]["web"]["protocol"] = json!("http2");
    }
    if value == "grpc" {
        policy["pools"]["web"]["protocol"] = json!("http2");
    }
    let section = policy.pointer_mut(path).expect("a section of the whole");
    section[key] = value.clone();
    // What another key asks for.
    match key {
        "h2c" => drop(section.as_object_mut().and_then(|all| all.remove("tls"))),
        "min_ttl" => section["max_ttl"] = json!("24h"),
        "max_ttl" => section["min_ttl"] = json!("100ms"),
        "max" => section["first"] = json!("1ms"),
        "affinity" if path == "/pools/web" => section["orders"] = json!({}),
        "type" => drop(section.as_object_mut().map(serde_json::Map::clear)),
        _ => {}
    }
    if key == "type" {
        section[key] = value.clone();
        if value == "http" {
            section["path"] = json!("/");
        }
    }
    policy
}

/// The plain type of a property: by what it refers to.
fn refers(property: &Value) -> Option<&str> {
    let mut places = vec![property];
    places.extend(property["anyOf"].as_array().into_iter().flatten());
    places.iter().find_map(|place| {
        let to = place["allOf"][0]["$ref"].as_str()?;
        to.rsplit('/').next()
    })
}

/// The words that a value may be.
fn words(property: &Value) -> Vec<Value> {
    fn gather(value: &Value, found: &mut Vec<Value>) {
        found.extend(value["enum"].as_array().into_iter().flatten().cloned());
        for below in value["anyOf"].as_array().into_iter().flatten() {
            gather(below, found);
        }
    }
    let mut found = Vec::new();
    gather(property, &mut found);
    found
}

/// The bounds that a description tells, as the policy writes them.
fn bounds(property: &Value) -> Option<(String, String)> {
    let said = property["description"].as_str()?;
    let (_, bounds) = said.split_once("Bounds: ")?;
    let (bounds, _) = bounds.split_once(". ")?;
    let (low, high) = bounds.split_once(" to ")?;
    let days = |text: &str| match text.strip_suffix(" days") {
        Some(days) => format!("{}h", days.parse::<u64>().expect("days") * 24),
        None => text.replace(',', ""),
    };
    Some((days(low), days(high)))
}

/// Whatever is taken at the ends of its bounds, and beyond them is not.
#[test]
fn bounds_are_those_that_are_declared() {
    let schema = schema();
    let mut seen = 0;
    for (path, section) in sections(&schema) {
        for (key, property) in section["properties"].as_object().expect("keys") {
            let counted = refers(property).is_some_and(|kind| kind != "text");
            let numbers = property["anyOf"][0]["type"] == "integer";
            let Some((low, high)) = bounds(property).filter(|_| counted || numbers) else {
                continue;
            };
            for end in [&low, &high] {
                let taken = compiled(&with(&path, key, &json!(end)));
                assert!(taken.is_ok(), "{path}/{key}: {end} is refused: {taken:?}");
            }
            let digits = high
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(high.len());
            let (number, unit) = high.split_at(digits);
            let beyond = number.parse::<u64>().expect("a number") + 1;
            let beyond = format!("{beyond}{unit}");
            let refused = compiled(&with(&path, key, &json!(beyond)));
            let problems = refused.expect_err("too much");
            assert!(
                problems
                    .iter()
                    .any(|text| text.contains("must be between") || text.contains("share")),
                "{path}/{key}: {beyond}: {problems:?}"
            );
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen} keys with bounds");
}

/// A default that is written changes nothing; another value does.
#[test]
fn defaults_are_those_that_are_declared_and_every_key_is_read() {
    let schema = schema();
    let mut seen = 0;
    for (path, section) in sections(&schema) {
        for (key, property) in section["properties"].as_object().expect("keys") {
            let mut base = with(&path, key, &Value::Null);
            let holder = base.pointer_mut(&path).and_then(Value::as_object_mut);
            holder.expect("a section").remove(key);
            let Ok(base) = compiled(&base) else { continue };
            let same = |value: &Value| {
                let policy = compiled(&with(&path, key, value))
                    .unwrap_or_else(|problems| panic!("{path}/{key}: {value}: {problems:?}"));
                compare(&base, &policy, None).is_empty()
            };
            let default = &property["default"];
            if !default.is_null() {
                assert!(same(default), "{path}/{key}: {default} is not the default");
                seen += 1;
            }
            let mut others = words(property);
            if others.is_empty()
                && let Some((low, high)) = bounds(property)
                && refers(property).is_none_or(|kind| kind != "text")
            {
                others = vec![json!(low), json!(high)];
            }
            // Alike in this policy, which does without: TLS decides, or one word stands for the pool's.
            if others.len() > 1 && !is_property_of_others(key, &path) {
                let differs = others.iter().any(|other| !same(other));
                assert!(differs, "{path}/{key}: none of {others:?} changes anything");
                seen += 1;
            }
        }
    }
    assert!(seen > 120, "{seen} values");
}

/// Keys whose values are not to be made up from the schema alone.
fn is_property_of_others(key: &str, path: &str) -> bool {
    let listed = [
        "listeners",
        "providers",
        "pools",
        "routes",
        "version",
        "tiers",
        "sites",
    ];
    listed.contains(&key) || key == "backends" || (key == "admin" && path.is_empty())
}
