//! The JSON Schema and the tables of `docs/policy.md` say what the reader does.
//!
//! `LEEWARD_UPDATE_DOCS=1` writes both anew instead of comparing them.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "schema/keys.rs"]
mod keys;

use leeward_config::{Files, Options, Variables, parse_with};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn root(path: &str) -> PathBuf {
    Path::new(ROOT).join(path)
}

fn read(path: &str) -> String {
    let path = root(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares a file with what it should be, or writes it.
fn keep(path: &str, wanted: &str) {
    if std::env::var_os("LEEWARD_UPDATE_DOCS").is_some() {
        std::fs::write(root(path), wanted).expect("a file that can be written");
    }
    let same = root(path).is_file() && read(path) == wanted;
    assert!(
        same,
        "{path} is out of date: set LEEWARD_UPDATE_DOCS=1 to renew it"
    );
}

fn schema() -> Value {
    serde_json::from_str(&leeward_config::schema()).expect("the schema is JSON")
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft7::new(&schema()).expect("the schema is one")
}

/// A YAML text as JSON, read by another way than policies are.
fn instance(text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).expect("YAML")
}

fn options() -> Options {
    Options {
        files: Files::MayBeMissing,
        variables: Variables::Given(BTreeMap::new()),
    }
}

fn is_good(text: &str) -> bool {
    parse_with("p.yaml", text, Path::new(""), &options())
        .policy
        .is_some()
}

#[test]
fn the_schema_in_the_docs_is_the_one_that_is_printed() {
    keep("docs/policy.schema.json", &leeward_config::schema());
}

#[test]
fn the_tables_of_the_policy_page_are_written_from_the_declarations() {
    let page = read("docs/policy.md");
    let wanted = leeward_config::reference(&page).expect("marks that can be followed");
    keep("docs/policy.md", &wanted);
}

#[test]
fn the_schema_is_a_good_schema() {
    jsonschema::meta::validate(&schema()).expect("a good schema");
}

#[test]
fn every_key_has_a_description_with_its_default() {
    fn walk(value: &Value, path: &str, seen: &mut usize) {
        if let Some(properties) = value["properties"].as_object() {
            for (key, property) in properties {
                let said = property["description"].as_str().unwrap_or_default();
                let told = said.contains("Default: ") || said.contains("Required.");
                assert!(told && said.len() > 15, "{path}.{key}: `{said}`");
                *seen += 1;
            }
        }
        for (key, below) in value.as_object().into_iter().flatten() {
            walk(below, &format!("{path}.{key}"), seen);
        }
    }
    let mut seen = 0;
    walk(&schema(), "", &mut seen);
    assert!(seen > 120, "{seen} keys");
}

/// The YAML texts of a folder.
fn texts(folder: &str) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(root(folder)).expect("a folder");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let mut found: Vec<(PathBuf, String)> = files
        .filter(|path| path.is_file())
        .filter_map(|path| {
            let text = std::fs::read_to_string(&path).ok()?;
            Some((path, text))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn every_good_policy_of_the_repository_validates() {
    let validator = validator();
    let mut seen = 0;
    for folder in [
        "examples",
        "tests/bad",
        "fuzz/corpus/policy",
        "crates/config/tests/diff",
    ] {
        for (path, text) in texts(folder) {
            if !is_good(&text) {
                continue;
            }
            let wrong: Vec<String> = validator
                .iter_errors(&instance(&text))
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(wrong.is_empty(), "{}: {wrong:?}\n{text}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 15, "only {seen} good policies");
}

#[test]
fn unknown_keys_and_wrong_types_do_not_validate() {
    let validator = validator();
    for (name, bad) in [
        ("unknown-far.yaml", true),
        ("unknown-tier.yaml", true),
        ("unknown-top.yaml", true),
        ("listeners-list.yaml", true),
        ("duration-list.yaml", true),
        ("duration-unit.yaml", true),
        ("duration-word.yaml", true),
        ("duration-negative.yaml", true),
        ("flag.yaml", true),
        ("number-word.yaml", true),
        ("number-range.yaml", true),
        ("size-unit.yaml", true),
        ("share-plain.yaml", true),
        ("rate-plain.yaml", true),
        ("provider-kind.yaml", true),
        ("route-class.yaml", true),
        ("route-match-key.yaml", true),
        ("tier-flat.yaml", true),
        ("bind-missing.yaml", true),
        ("backends-empty.yaml", true),
        ("listener-name.yaml", true),
        ("no-value.yaml", true),
        // What one value alone cannot tell.
        ("tier-twice.yaml", false),
        ("port-clash.yaml", false),
    ] {
        let text = read(&format!("tests/bad/{name}"));
        assert!(!is_good(&text), "{name}");
        assert_eq!(!validator.is_valid(&instance(&text)), bad, "{name}");
    }
}

#[test]
fn what_variables_stand_for_is_not_looked_at() {
    let validator = validator();
    let mut policy = instance(&read("examples/smallest.yaml"));
    for value in ["${WORKERS}", "${WORKERS:-4}"] {
        policy["workers"] = json!(value);
        assert!(validator.is_valid(&policy), "{value}");
    }
    policy["workers"] = json!("WORKERS");
    assert!(!validator.is_valid(&policy));
}

#[test]
fn a_part_of_a_policy_validates_by_itself() {
    assert!(validator().is_valid(&instance("routes: [{ pool: trading, class: order }]\n")));
}
