//! The alerts: judged by promtool, each with a test and a page.

use super::{content, files, judged, repository};
use std::collections::BTreeSet;
use std::process::Command;

/// The names of all alerts, in their order; some come twice, with another severity.
pub(super) fn alerts() -> Vec<String> {
    let rules = content("deploy/prometheus/alerts.rules.yml");
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

#[test]
fn promtool_takes_the_rules_and_their_tests() {
    for rules in files("deploy/prometheus", ".rules.yml") {
        judged(Command::new("promtool").args(["check", "rules"]).arg(rules));
    }
    for config in [
        "deploy/prometheus/prometheus.yml",
        "deploy/compose/prometheus.yml",
    ] {
        let checked = ["check", "config", "--syntax-only"];
        judged(
            Command::new("promtool")
                .args(checked)
                .arg(repository(config)),
        );
    }
    for tests in files("deploy/prometheus/tests", ".test.yml") {
        judged(Command::new("promtool").args(["test", "rules"]).arg(tests));
    }
}

#[test]
fn each_alert_is_tested_where_it_fires_and_where_it_is_quiet() {
    let tests = files("deploy/prometheus/tests", ".test.yml").into_iter();
    let tests: String = tests
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let cases: Vec<&str> = tests.split("- expr: ").skip(1).collect();
    for alert in alerts() {
        let about = format!("alertname=\"{alert}\"");
        let own = cases
            .iter()
            .filter(|case| case.lines().next().unwrap().contains(&about));
        let (quiet, fires): (Vec<&str>, Vec<&str>) =
            own.partition(|case| case.contains("exp_samples: []"));
        assert!(!quiet.is_empty(), "{alert} is never quiet");
        assert!(
            fires.iter().any(|case| case.contains("{ labels:")),
            "{alert} never fires"
        );
    }
}

#[test]
fn each_alert_has_a_page_and_each_page_an_alert() {
    let alerts: BTreeSet<String> = alerts().into_iter().collect();
    let pages: BTreeSet<String> = files("docs/runbook", ".md")
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "README")
        .collect();
    assert_eq!(alerts, pages);
    let rules = content("deploy/prometheus/alerts.rules.yml");
    for rule in rules.split("- alert: ").skip(1) {
        let alert = rule.lines().next().unwrap();
        let link = format!("runbook_url: docs/runbook/{alert}.md\n");
        assert!(rule.contains(&link), "{alert} does not point at its page");
        assert!(
            rule.contains("labels: { severity: "),
            "{alert} has no severity"
        );
        let list = content("docs/runbook/README.md");
        assert!(
            list.contains(&format!("[{alert}]({alert}.md)")),
            "{alert} is not listed"
        );
    }
}

#[test]
fn each_page_answers_the_same_questions() {
    for alert in alerts() {
        let page = content(&format!("docs/runbook/{alert}.md"));
        assert!(page.starts_with(&format!("# {alert}\n")), "{alert}");
        let mut rest = page.as_str();
        for part in [
            "What it means",
            "How bad it is",
            "What leeward has done",
            "What to look at",
            "What to do",
            "When not to act",
        ] {
            let heading = format!("\n## {part}\n");
            let (_, after) = rest
                .split_once(&heading)
                .unwrap_or_else(|| panic!("{alert}: {part}"));
            rest = after;
        }
    }
}
