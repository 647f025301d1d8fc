//! What the control thread says is what is shown.

use super::{ENDPOINT, endpoint, halves, metrics, read};
use crate::{Concentration, Metrics, change_word};
use leeward_failover::{Cause, Change, ProbeFailure, SubjectKind, Verdict};
use std::time::Duration;

#[test]
fn exactly_one_verdict_is_held() {
    let metrics = metrics();
    for held in Verdict::ALL {
        metrics.endpoint(&endpoint());
        metrics.set_endpoint(&endpoint(), held, 0.5);
        metrics.set_site("aws/use1", "aws", held, 0.5);
        metrics.set_provider("aws", held, 0.5);
        let text = read(&metrics);
        for verdict in Verdict::ALL {
            let (word, expected) = (verdict.as_str(), f64::from(u8::from(verdict == held)));
            for series in [
                format!(r#"leeward_endpoint_verdict{{{ENDPOINT},verdict="{word}"}}"#),
                format!(
                    r#"leeward_site_verdict{{provider="aws",site="aws/use1",verdict="{word}"}}"#
                ),
                format!(r#"leeward_provider_verdict{{provider="aws",verdict="{word}"}}"#),
            ] {
                assert_eq!(text.get(&series), expected, "{series}");
            }
        }
        assert_eq!(
            text.get(&format!("leeward_endpoint_share{{{ENDPOINT}}}")),
            0.5
        );
    }
}

#[test]
fn a_pool_has_one_writer_or_none() {
    let metrics = metrics();
    let writers = |metrics: &Metrics| {
        let text = read(metrics);
        let of = |provider| {
            text.find(&format!(
                r#"leeward_pool_writer{{pool="p",provider="{provider}"}}"#
            ))
        };
        (of("aws"), of("gcp"))
    };
    let both = ["aws".to_owned(), "gcp".to_owned()];
    metrics.set_pool("p", true, 2, Some("gcp"), &both);
    assert_eq!(writers(&metrics), (Some(0.0), Some(1.0)));
    assert_eq!(read(&metrics).get(r#"leeward_pool_panic{pool="p"}"#), 1.0);
    assert_eq!(
        read(&metrics).get(r#"leeward_pool_active_tier{pool="p"}"#),
        2.0
    );
    metrics.set_pool("p", false, 1, None, &both);
    assert_eq!(writers(&metrics), (Some(0.0), Some(0.0)));
    metrics.set_pool("p", false, 1, Some("aws"), &both[..1]);
    assert_eq!(
        writers(&metrics),
        (Some(1.0), None),
        "a provider that left the pool is not shown"
    );
}

#[test]
fn places_that_no_policy_names_are_forgotten() {
    let metrics = metrics();
    metrics.set_site("aws/use1", "aws", Verdict::Down, 0.0);
    metrics.set_site("aws/use2", "aws", Verdict::Down, 0.0);
    metrics.set_provider("aws", Verdict::Down, 0.0);
    metrics.set_pool("p", false, 1, None, &["aws".to_owned()]);
    metrics.set_concentration("p", &halves());
    metrics.set_max_share("aws", Some(0.5));
    metrics.forget_site("aws/use1", "aws");
    let text = metrics.render();
    assert!(!text.contains("aws/use1") && text.contains("aws/use2"));
    metrics.forget_provider("aws");
    metrics.forget_pool("p");
    assert!(!metrics.render().contains("aws"));
}

#[test]
fn only_the_policy_in_force_is_shown() {
    let metrics = metrics();
    metrics.policy_loaded("aaaa", 1000.5);
    metrics.policy_rejected();
    metrics.policy_loaded("bbbb", 2000.5);
    let text = read(&metrics);
    assert_eq!(text.find(r#"leeward_policy_info{hash="aaaa"}"#), None);
    assert_eq!(text.get(r#"leeward_policy_info{hash="bbbb"}"#), 1.0);
    assert_eq!(text.get("leeward_policy_loaded_timestamp_seconds"), 2000.5);
    assert_eq!(
        text.get(r#"leeward_policy_reloads_total{result="loaded"}"#),
        2.0
    );
    assert_eq!(
        text.get(r#"leeward_policy_reloads_total{result="rejected"}"#),
        1.0
    );
}

#[test]
fn a_rejected_policy_shows_until_one_is_taken() {
    let metrics = metrics();
    let rejected = || read(&metrics).get("leeward_policy_rejected");
    assert_eq!(rejected(), 0.0);
    metrics.policy_loaded("aaaa", 1000.5);
    metrics.policy_rejected();
    assert_eq!(rejected(), 1.0);
    metrics.policy_loaded("aaaa", 2000.5);
    assert_eq!(rejected(), 0.0);
}

#[test]
fn a_pool_shows_what_it_has_at_each_of_its_providers() {
    let metrics = metrics();
    metrics.set_concentration("p", &halves());
    metrics.set_max_share("aws", Some(0.25));
    metrics.set_max_share("gcp", None);
    let text = read(&metrics);
    for (series, number) in [
        (
            r#"leeward_pool_provider_share{pool="p",provider="aws"}"#,
            0.5,
        ),
        (
            r#"leeward_pool_provider_capacity_share{pool="p",provider="gcp"}"#,
            0.5,
        ),
        (r#"leeward_pool_tiers{pool="p"}"#, 3.0),
        (r#"leeward_pool_tiers_usable{pool="p"}"#, 2.0),
        (r#"leeward_provider_max_share{provider="aws"}"#, 0.25),
        (r#"leeward_provider_max_share{provider="gcp"}"#, 1.0),
    ] {
        assert_eq!(text.get(series), number, "{series}");
    }
    let mut left = halves();
    left.providers.pop();
    metrics.set_concentration(
        "p",
        &Concentration {
            usable_tiers: 1,
            ..left
        },
    );
    let text = metrics.render();
    assert!(
        !text.contains(r#"share{pool="p",provider="gcp"}"#),
        "{text}"
    );
}

#[test]
fn certificates_that_are_no_longer_served_are_not_shown() {
    let metrics = metrics();
    metrics.endpoint(&endpoint());
    metrics.set_certificates(&[("public", "a.pem", 1000), ("public", "b.pem", 2000)]);
    metrics.set_upstream_certificate(&endpoint(), 3000);
    let text = read(&metrics);
    let of = |file| {
        format!(
            r#"leeward_certificate_expires_timestamp_seconds{{listener="public",certificate="{file}"}}"#
        )
    };
    assert_eq!(text.get(&of("a.pem")), 1000.0);
    let upstream = format!("leeward_upstream_certificate_expires_timestamp_seconds{{{ENDPOINT}}}");
    assert_eq!(text.get(&upstream), 3000.0);
    metrics.set_certificates(&[("public", "b.pem", 2500)]);
    metrics.retire_endpoint(&endpoint());
    metrics.set_upstream_certificate(&endpoint(), 3000);
    let text = read(&metrics);
    assert_eq!(text.get(&of("b.pem")), 2500.0);
    assert_eq!(text.find(&of("a.pem")), None);
    assert_eq!(text.find(&upstream), None);
}

#[test]
fn probes_are_counted_by_result_and_timed_when_they_pass() {
    let metrics = metrics();
    metrics.endpoint(&endpoint());
    let series = |result: &str| format!(r#"leeward_probes_total{{{ENDPOINT},result="{result}"}}"#);
    assert_eq!(read(&metrics).get(&series("timeout")), 0.0);
    metrics.probe(&endpoint(), Ok(Duration::from_millis(4)));
    metrics.probe(&endpoint(), Err(ProbeFailure::Timeout));
    let text = read(&metrics);
    assert_eq!(text.get(&series("passed")), 1.0);
    assert_eq!(text.get(&series("timeout")), 1.0);
    assert_eq!(
        text.get(r#"leeward_probe_duration_seconds_count{pool="trading"}"#),
        1.0
    );
    assert_eq!(
        text.get(r#"leeward_probe_duration_seconds_sum{pool="trading"}"#),
        0.004
    );
    assert_eq!(
        text.get("leeward_workers"),
        0.0,
        "the control thread is no data worker"
    );
}

#[test]
fn decisions_are_counted_by_known_words() {
    let metrics = metrics();
    let change = Change::Verdict {
        from: Verdict::Healthy,
        to: Verdict::Down,
    };
    let down = r#"leeward_decisions_total{subject="provider",change="down",cause="sites_down"}"#;
    assert_eq!(
        read(&metrics).get(down),
        0.0,
        "it is there before it happens"
    );
    metrics.event(
        SubjectKind::Provider,
        change_word(&change),
        Cause::SitesDown,
    );
    metrics.event(SubjectKind::Pool, "a word from elsewhere", Cause::Operator);
    let text = read(&metrics);
    assert_eq!(text.get(down), 1.0);
    assert_eq!(
        text.get(r#"leeward_decisions_total{subject="pool",change="other",cause="operator"}"#),
        1.0
    );
}
