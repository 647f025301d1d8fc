//! A strict reader of the text format, as far as leeward writes it.

use super::{Duration, Metrics, busy, metrics, read};
use crate::cells::BOUNDS;
use leeward_failover::Class;
use std::collections::{BTreeMap, BTreeSet};

/// Series by name and labels, as written.
pub(super) struct Text {
    series: BTreeMap<String, f64>,
    /// Families by name: type and help.
    families: BTreeMap<String, (String, String)>,
}

impl Text {
    /// Reads a whole page; panics on anything that Prometheus would stumble over.
    pub(super) fn parse(page: &str) -> Text {
        let mut text = Text {
            series: BTreeMap::new(),
            families: BTreeMap::new(),
        };
        assert!(page.ends_with('\n'));
        let mut help = None;
        let mut family = String::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = Some(rest.split_once(' ').expect("a help text"));
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                let (helped, help) = help.take().expect("help comes before type");
                assert_eq!(helped, name);
                let seen = text
                    .families
                    .insert(name.to_owned(), (kind.to_owned(), help.to_owned()));
                assert!(seen.is_none(), "{name} comes twice");
                family = name.to_owned();
            } else {
                let (series, number) = line.rsplit_once(' ').expect("a number");
                let name = series.split('{').next().unwrap_or_default();
                assert!(belongs(name, &family), "{name} is not of {family}");
                let number = number.parse().expect("a number");
                let seen = text.series.insert(series.to_owned(), number);
                assert!(seen.is_none(), "{series} comes twice");
            }
        }
        text
    }

    pub(super) fn find(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }

    pub(super) fn get(&self, series: &str) -> f64 {
        self.find(series).unwrap_or_else(|| panic!("no {series}"))
    }

    pub(super) fn families(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.families
            .iter()
            .map(|(name, (kind, help))| (name.as_str(), kind.as_str(), help.as_str()))
    }

    fn series_of(&self, family: &str) -> BTreeSet<&str> {
        let of = |series: &&String| series.split('{').next() == Some(family);
        self.series.keys().filter(of).map(String::as_str).collect()
    }
}

fn belongs(name: &str, family: &str) -> bool {
    name.strip_prefix(family)
        .is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
}

#[test]
fn a_new_process_shows_all_that_needs_no_policy() {
    let text = read(&metrics());
    assert_eq!(text.get("leeward_ready"), 0.0);
    assert_eq!(
        text.get(r#"leeward_build_info{version="0.1.0",revision="abcdef0",rustc="1.95.0"}"#),
        1.0
    );
    assert_eq!(text.get("leeward_metrics_overflow_total"), 0.0);
    assert_eq!(text.get("leeward_workers"), 0.0);
}

#[test]
fn a_route_starts_at_zero_for_every_outcome() {
    let metrics = metrics();
    metrics.route("public", "orders", Class::Order);
    let text = read(&metrics);
    let series = text.series_of("leeward_requests_total");
    assert_eq!(series.len(), 11);
    assert!(series.iter().all(|series| text.get(series) == 0.0));
}

#[test]
fn label_values_are_escaped() {
    let metrics = metrics();
    let cells = metrics.worker();
    cells.inc(metrics.listener("a\"b\\c\nd{}, é").accepted);
    let page = metrics.render();
    let line = r#"leeward_downstream_connections_accepted_total{listener="a\"b\\c\nd{}, é"} 1"#;
    assert!(page.lines().any(|found| found == line), "{page}");
}

#[test]
fn buckets_are_cumulative_and_agree_with_the_count() {
    let metrics = metrics();
    let cells = metrics.worker();
    let histogram = metrics.downstream("l", Class::Order).duration;
    let took = [
        0,
        500_000,
        500_001,
        1_000_000,
        7_000_000,
        10_000_000_000,
        10_000_000_001,
    ];
    for nanos in took {
        cells.observe(histogram, Duration::from_nanos(nanos));
    }
    let text = read(&metrics);
    let bucket = |le: &str| {
        text.get(&format!(
            r#"leeward_request_duration_seconds_bucket{{listener="l",class="order",le="{le}"}}"#
        ))
    };
    assert_eq!(
        bucket("0.0005"),
        2.0,
        "a bound belongs to its bucket, what is past it does not"
    );
    assert_eq!(bucket("0.001"), 4.0);
    assert_eq!(bucket("0.005"), 4.0);
    assert_eq!(bucket("0.01"), 5.0);
    assert_eq!(bucket("10"), 6.0);
    assert_eq!(bucket("+Inf"), 7.0);
    let labels = r#"{listener="l",class="order"}"#;
    assert_eq!(
        text.get(&format!("leeward_request_duration_seconds_count{labels}")),
        7.0
    );
    let sum = text.get(&format!("leeward_request_duration_seconds_sum{labels}"));
    assert!((sum - 20.009).abs() < 1e-5, "{sum}");
    let buckets = text.series_of("leeward_request_duration_seconds_bucket");
    assert_eq!(buckets.len(), BOUNDS.len() + 1);
    let mut counts: Vec<f64> = BOUNDS
        .iter()
        .map(|micros| bucket(&(*micros as f64 / 1e6).to_string()))
        .collect();
    counts.push(bucket("+Inf"));
    assert!(counts.is_sorted());
}

#[test]
fn the_longest_duration_is_no_trouble() {
    let metrics = metrics();
    let cells = metrics.worker();
    let histogram = metrics.provider("p", "aws").head;
    cells.observe(histogram, Duration::MAX);
    cells.observe(histogram, Duration::MAX);
    let count = r#"leeward_upstream_head_seconds_count{pool="p",provider="aws"}"#;
    assert_eq!(read(&metrics).get(count), 2.0);
}

/// What `promtool check metrics` looks at, as far as it can go wrong here.
#[test]
fn names_keep_the_rules_of_prometheus() {
    let metrics: Metrics = busy();
    for (name, kind, help) in read(&metrics).families() {
        let own = name.starts_with("leeward_") || name.starts_with("process_");
        assert!(own, "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert_eq!(
            name.ends_with("_seconds"),
            kind == "histogram" || name.contains("_time"),
            "{name}"
        );
        assert!(help.ends_with('.') && help.len() > 15, "{name}: {help}");
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.chars().all(plain), "{name}");
        for wrong in [
            "_ms", "_millis", "_micro", "_kb", "_count", "_sum", "_bucket",
        ] {
            assert!(!name.ends_with(wrong), "{name}");
        }
    }
}
