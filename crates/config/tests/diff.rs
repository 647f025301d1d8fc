//! What `leeward diff` says, as stories: two policies in, words out.
//!
//! `tests/diff/NAME.old.yaml` and `NAME.new.yaml` give `NAME.txt`; `LEEWARD_BLESS=1` writes those anew.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

use leeward_config::diff::{Diff, Running, compare};
use leeward_config::policy::Policy;
use leeward_config::{Files, Options, load_with};
use leeward_failover::{Engine, Input, OperatorWord, ProviderId, Target, Time};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diff")
}

fn policy(name: &str) -> Policy {
    let options = Options {
        files: Files::MayBeMissing,
        ..Options::default()
    };
    let loaded = load_with(&folder().join(name), &options);
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    loaded
        .policy
        .unwrap_or_else(|| panic!("{name}: {}", problems.join("\n")))
}

fn pair(name: &str) -> (Policy, Policy) {
    let side = |which: &str| policy(&format!("{name}.{which}.yaml"));
    (side("old"), side("new"))
}

fn stories() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("a folder");
    let names = entries.filter_map(|entry| entry.expect("an entry").file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter_map(|name| name.strip_suffix(".old.yaml").map(str::to_owned))
        .collect();
    names.sort();
    names
}

#[test]
fn the_difference_is_said_as_the_stories_have_it() {
    let mut different = Vec::new();
    let stories = stories();
    for name in &stories {
        let (old, new) = pair(name);
        let said = compare(&old, &new, None).to_string();
        let path = folder().join(format!("{name}.txt"));
        if std::env::var_os("LEEWARD_BLESS").is_some() {
            std::fs::write(&path, &said).expect("a file that can be written");
        }
        let wanted = std::fs::read_to_string(&path).unwrap_or_default();
        if said != wanted {
            different.push(format!("--- {name}\n{wanted}+++ {name}\n{said}"));
        }
    }
    assert!(stories.len() >= 5, "{stories:?}");
    assert!(different.is_empty(), "\n{}", different.join("\n"));
}

#[test]
fn a_policy_is_the_same_as_itself() {
    for name in stories() {
        let (old, new) = pair(&name);
        for one in [old, new] {
            assert!(compare(&one, &one, None).is_empty(), "{name}");
        }
    }
}

#[test]
fn a_difference_survives_the_way_over_json() {
    let (old, new) = pair("05-settings");
    let diff = compare(&old, &new, None);
    let text = serde_json::to_string(&diff).expect("JSON");
    let back: Diff = serde_json::from_str(&text).expect("a difference");
    assert_eq!(back.to_string(), diff.to_string());
}

#[test]
fn secrets_are_in_no_difference() {
    let (old, new) = pair("05-settings");
    let diff = compare(&old, &new, None);
    let json = serde_json::to_string(&diff).expect("JSON");
    for text in [json, diff.to_string()] {
        assert!(!text.contains("token="), "{text}");
        assert!(
            text.contains("http_sd") && text.contains("probe") || text.contains("headers"),
            "{text}"
        );
    }
}

/// What holds at a proxy that runs is where the difference begins.
#[test]
fn what_an_operator_keeps_away_now_does_not_move() {
    let (old, new) = pair("02-a-provider-goes");
    let now = Time::from_millis(60_000);
    let mut engine = Engine::calm(&old.engine);
    let word = Input::Operator {
        target: Target::Provider(ProviderId(0)),
        word: OperatorWord::Evacuated,
        lasts: None,
        reason: String::new(),
    };
    engine.handle(word, now);
    let running = Running {
        engine: &engine,
        now,
        streams: &|_| 1200,
    };
    let diff = compare(&old, &new, Some(&running));
    assert_eq!(diff.moves, [], "aws has nothing any more that could move");
    assert_eq!(diff.streams, Some(3600), "of three endpoints");
    assert!(diff.live && !diff.is_empty());
    assert!(
        diff.headline().contains("3600 open streams"),
        "{}",
        diff.headline()
    );
}
