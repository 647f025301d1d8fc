//! Each incident of `examples/incidents` ends as its file says.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use leeward_simulate::scenario::Scenario;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/incidents")
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml"))
        .collect();
    files.sort_unstable();
    files
}

#[test]
fn every_incident_ends_as_its_file_says() {
    let files = files();
    assert_eq!(files.len(), 17);
    let mut report = String::new();
    for file in files {
        let scenario = Scenario::read(&file).unwrap();
        let played = scenario.play(&file).unwrap();
        for broken in played.broken {
            report.push_str(&format!("{}: {broken}\n", scenario.incident));
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn an_expectation_that_does_not_hold_is_found() {
    let file = folder().join("13-fastly-2021-06-08.yaml");
    let mut scenario = Scenario::read(&file).unwrap();
    scenario.expect.stays = vec!["www.".to_owned()];
    let played = scenario.play(&file).unwrap();
    assert_eq!(played.broken.len(), 1, "{:?}", played.broken);
}
