//! The page about metrics, and that it is about all of them.

use super::{busy, read};
use crate::parts::PARTS;
use crate::reference;
use crate::reference::{ENDPOINT_SERIES, LABELS};
use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

#[test]
fn the_reference_is_the_checked_in_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = reference();
    if env::var_os("LEEWARD_UPDATE_DOCS").is_some() {
        fs::write(&path, &page).expect("docs can be written");
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == page,
        "docs/metrics.md is not what the code says: run \
         LEEWARD_UPDATE_DOCS=1 cargo test -p leeward-metrics reference"
    );
}

#[test]
fn the_reference_names_every_family_once() {
    let listed: Vec<&str> = PARTS
        .iter()
        .flat_map(|part| part.families)
        .map(|family| family.name)
        .collect();
    let distinct: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(distinct.len(), listed.len());
    let sources = [
        include_str!("../family.rs"),
        include_str!("../capacity.rs"),
        include_str!("../concentration.rs"),
        include_str!("../access_log.rs"),
        include_str!("../shortage.rs"),
    ];
    let defined: usize = sources
        .map(|text| text.matches(": Family =").count())
        .iter()
        .sum();
    assert_eq!(defined, listed.len(), "a family is defined but in no part");
    for (name, ..) in read(&busy()).families() {
        assert!(distinct.contains(name), "{name}");
    }
}

#[test]
fn a_busy_process_shows_every_family() {
    let text = read(&busy());
    let shown: BTreeSet<&str> = text.families().map(|(name, ..)| name).collect();
    for family in PARTS.iter().flat_map(|part| part.families) {
        let of_linux = family.name.starts_with("process_") && !cfg!(target_os = "linux");
        assert!(of_linux || shown.contains(family.name), "{}", family.name);
    }
}

#[test]
fn the_reference_explains_every_label() {
    let used: BTreeSet<&str> = PARTS
        .iter()
        .flat_map(|part| part.families)
        .flat_map(|family| family.labels.iter().copied())
        .collect();
    let explained: BTreeSet<&str> = LABELS.iter().map(|(label, _)| *label).collect();
    assert_eq!(used, explained);
}

#[test]
fn an_endpoint_has_as_many_series_as_the_reference_says() {
    let page = busy().render();
    let of_endpoint = page.lines().filter(|line| line.contains("address=\""));
    assert_eq!(of_endpoint.count(), ENDPOINT_SERIES);
}
