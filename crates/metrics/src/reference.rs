//! The text of `docs/metrics.md`, written from the families.
//!
//! Owns what operators read about metrics, so that it cannot drift from the code: a test compares
//! the file with this. Called by that test.

use crate::access_log::LineDropped;
use crate::cells::{BOUNDS, BUCKETS, CAPACITY};
use crate::clients::{ForwardingField, Http2Error, ProxyHeader};
use crate::control::{PASSED, RELOADS, STATE_FILES, STATE_WRITES};
use crate::family::Family;
use crate::labels::{CHANGES, ConnectionRefusal, RefusedReason, RequestOutcome};
use crate::names::{AddressRefusal, LookupResult};
use crate::parts::{PARTS, Part};
use crate::shortage::{PURPOSES, Shortage};
use crate::slots::STREAMS_ENDED;
use leeward_failover::{Cause, Class, OperatorWord, Outcome, ProbeFailure, SubjectKind, Verdict};
use std::fmt::Write;

const OPENING: &str = "\
# Metrics

This page is written from the code (`crates/metrics`). To renew it after a change:

```
LEEWARD_UPDATE_DOCS=1 cargo test -p leeward-metrics reference
```

`GET /metrics` on the admin address answers in Prometheus' text format. What holds for all of it:

- Times are seconds, sizes are bytes, shares go from 0 to 1. Names of counters end in `_total`.
- A label value comes from the policy, from a resolved address or from a list on this page. Nothing
  that a client sends becomes a label.
- A series starts at 0 when a policy names its listener, route, pool or endpoint, so `rate` and
  `increase` see the first failure. Most series of `leeward_decisions_total` are the exception: they
  appear when they first happen.
- Counters survive a reload of the policy. Series of listeners, routes and pools that a policy no
  longer names stay until leeward restarts. Those of an endpoint that is gone go with it.
- Each data worker counts for itself, and a scrape adds the workers up. A scrape takes no lock that
  a request waits for.
";

const QUERIES: &str = "\
## Questions

| question | query |
|---|---|
| What do clients get? | `sum by (route, outcome) (rate(leeward_requests_total[1m]))` |
| Are there orders of which nobody knows the outcome? | `sum(increase(leeward_requests_total{class=\"order\",outcome=\"unknown\"}[5m])) > 0` |
| Which share of public reads succeeds? | `sum(rate(leeward_requests_total{class=\"public_read\",outcome=~\"success\\|client_error\"}[5m])) / sum(rate(leeward_requests_total{class=\"public_read\"}[5m]))` |
| How long do clients wait (p99)? | `histogram_quantile(0.99, sum by (le, class) (rate(leeward_request_duration_seconds_bucket[5m])))` |
| Which provider is slow (p99)? | `histogram_quantile(0.99, sum by (le, pool, provider) (rate(leeward_upstream_head_seconds_bucket[5m])))` |
| What is down? | `leeward_provider_verdict{verdict=\"down\"} == 1 or leeward_site_verdict{verdict=\"down\"} == 1` |
| Where do reads go? | `leeward_provider_share` |
| How much does each pool hang on one provider? | `max by (pool) (leeward_pool_provider_capacity_share)` |
| Which pools could not lose another tier? | `leeward_pool_tiers_usable == 1` |
| Which certificates end within two weeks? | `leeward_certificate_expires_timestamp_seconds - time() < 1209600 or leeward_upstream_certificate_expires_timestamp_seconds - time() < 1209600` |
| Who takes orders? | `leeward_pool_writer == 1` |
| Does a pool distrust its detector? | `leeward_pool_panic == 1` |
| What do operators keep away? | `leeward_site_operator{word!=\"active\"} == 1 or leeward_provider_operator{word!=\"active\"} == 1` |
| What was decided, and why? | `sum by (subject, change, cause) (increase(leeward_decisions_total[1h])) > 0` |
| How much do retries add? | `sum by (pool) (rate(leeward_pool_retries_total[5m])) / sum by (pool) (rate(leeward_pool_attempts_total[5m]))` |
| Does any resolver fail? | `sum by (resolver, result) (rate(leeward_dns_questions_total{result!=\"answered\"}[5m])) > 0` |
| Do backends live on addresses that DNS no longer names? | `leeward_dns_addresses{state=\"retained\"} > 0` |
| Is the policy on disk another one than the one in force? | `leeward_policy_rejected == 1` |
| Does leeward remember what it should after a restart? | `increase(leeward_state_writes_total{result!=\"written\"}[10m]) > 0` means no |
| Is the access log whole? | `increase(leeward_access_log_dropped_total[10m]) > 0 or increase(leeward_access_log_errors_total[10m]) > 0` means no |
| Do file descriptors run out? | `process_open_fds / process_max_fds > 0.8` |
| Does leeward itself lack what it takes to reach backends? | `sum by (purpose, reason) (rate(leeward_local_shortages_total[5m])) > 0` |
";

/// The whole page, in Markdown.
pub fn reference() -> String {
    let mut page = OPENING.to_owned();
    for part in &PARTS {
        write_part(&mut page, part);
    }
    write_sizes(&mut page);
    write_labels(&mut page);
    page.push('\n');
    page.push_str(QUERIES);
    page
}

fn write_part(page: &mut String, part: &Part) {
    line(page, format_args!("\n## {}\n", part.title));
    line(
        page,
        format_args!("| name | type | labels | meaning |\n|---|---|---|---|"),
    );
    for Family {
        name,
        kind,
        labels,
        help,
    } in part.families
    {
        let labels = quoted(labels.iter().copied());
        line(
            page,
            format_args!("| `{name}` | {} | {labels} | {help} |", kind.as_str()),
        );
    }
}

fn write_sizes(page: &mut String) {
    let bounds: Vec<String> = BOUNDS
        .iter()
        .map(|micros| (*micros as f64 / 1e6).to_string())
        .collect();
    let bounds = bounds.join(", ");
    line(page, format_args!("\n## Buckets and sizes\n"));
    line(
        page,
        format_args!("All histograms have the same bounds, in seconds: {bounds}."),
    );
    line(
        page,
        format_args!(
            "\nAn endpoint has {ENDPOINT_SERIES} series at most, a route has {} for each of its listeners, and a \
             histogram has {}. There is room for {CAPACITY} numbers in all; what finds none is not \
             shown, and `leeward_metrics_overflow_total` says so.",
            RequestOutcome::ALL.len(),
            BUCKETS + 2,
        ),
    );
}

/// Series of one endpoint: its attempts, probes and verdicts by word, two gauges and two counters of
/// the workers, the share, and over TLS the end of its certificate.
pub(crate) const ENDPOINT_SERIES: usize =
    Outcome::ALL.len() + (ProbeFailure::ALL.len() + 1) + Verdict::ALL.len() + 4 + 2;

fn write_labels(page: &mut String) {
    line(
        page,
        format_args!("\n## Labels\n\n| label | meaning |\n|---|---|"),
    );
    for (label, meaning) in LABELS {
        line(page, format_args!("| `{label}` | {meaning} |"));
    }
    let verdicts = quoted(Verdict::ALL.map(Verdict::as_str));
    let rows = [
        ("class", quoted(Class::ALL.map(Class::as_str))),
        (
            "field",
            quoted(ForwardingField::ALL.map(ForwardingField::as_str)),
        ),
        ("verdict", verdicts),
        ("word", quoted(OperatorWord::ALL.map(OperatorWord::as_str))),
        ("subject", quoted(SubjectKind::ALL.map(SubjectKind::as_str))),
        ("change", quoted(CHANGES)),
        ("cause", quoted(Cause::ALL.map(Cause::as_str))),
        ("result of a policy", quoted(RELOADS)),
        ("reason of the end of a stream", quoted(STREAMS_ENDED)),
        ("file", quoted(STATE_FILES)),
        ("result of a write", quoted(STATE_WRITES)),
        ("purpose", quoted(PURPOSES)),
        (
            "result of a probe",
            quoted(std::iter::once(PASSED).chain(ProbeFailure::ALL.map(ProbeFailure::as_str))),
        ),
        (
            "outcome of an attempt",
            quoted(Outcome::ALL.map(Outcome::as_str)),
        ),
    ];
    line(
        page,
        format_args!("\n## Values\n\n| label | values |\n|---|---|"),
    );
    for (label, values) in rows {
        line(page, format_args!("| {label} | {values} |"));
    }
    write_meanings(page);
}

/// What each value of the labels means whose values do not speak for themselves.
fn write_meanings(page: &mut String) {
    write_words(
        page,
        "`outcome` of `leeward_requests_total`",
        RequestOutcome::ALL.map(|word| (word.as_str(), word.meaning())),
    );
    write_words(
        page,
        "`reason` of `leeward_requests_refused_total`",
        RefusedReason::ALL.map(|word| (word.as_str(), word.meaning())),
    );
    write_words(
        page,
        "`reason` of `leeward_access_log_dropped_total`",
        LineDropped::ALL.map(|word| (word.as_str(), word.meaning())),
    );
    write_words(
        page,
        "`reason` of `leeward_downstream_connections_refused_total`",
        ConnectionRefusal::ALL.map(|word| (word.as_str(), word.meaning())),
    );
    write_words(
        page,
        "`reason` of `leeward_local_shortages_total`",
        Shortage::ALL.map(|word| (word.as_str(), word.meaning())),
    );
    write_words(
        page,
        "`said` of `leeward_downstream_proxy_headers_total`",
        ProxyHeader::ALL.map(|word| (word.as_str(), word.meaning())),
    );
    write_words(
        page,
        "`reason` of `leeward_downstream_protocol_errors_total`",
        Http2Error::ALL.map(|word| (word.as_str(), word.meaning())),
    );
    write_words(
        page,
        "`result` of `leeward_dns_questions_total`",
        LookupResult::ALL
            .iter()
            .map(|word| (word.as_str(), word.meaning().trim_start())),
    );
    write_words(
        page,
        "`reason` of `leeward_dns_refused_total`",
        AddressRefusal::ALL
            .iter()
            .map(|word| (word.as_str(), word.meaning().trim_start())),
    );
}

fn write_words<'a>(
    page: &mut String,
    title: &str,
    words: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    line(
        page,
        format_args!("\n### {title}\n\n| value | meaning |\n|---|---|"),
    );
    for (word, meaning) in words {
        line(page, format_args!("| `{word}` | {meaning} |"));
    }
}

/// What each label says, in the order in which they are met.
pub(crate) const LABELS: [(&str, &str); 28] = [
    (
        "file",
        "What is written to the state folder, or the record.",
    ),
    ("listener", "The listener's name in the policy."),
    (
        "route",
        "The route's name in the policy, or the one derived from its match; `(none)` where no route matched.",
    ),
    ("class", "What the request means. It comes from the route."),
    (
        "outcome",
        "How a request ended for its client, or what an attempt came to for its endpoint's health.",
    ),
    (
        "reason",
        "Why a request, a stream, a connection or an address was refused, a stream ended, or a line was dropped; what had run out.",
    ),
    (
        "purpose",
        "What a connection was wanted for: a `request` or a `probe`.",
    ),
    ("field", "The name of a forwarding field, in lower case."),
    ("said", "What a PROXY header said of the client."),
    (
        "ended",
        "What an error of HTTP/2 ended: `stream` (RST_STREAM) or `connection` (GOAWAY).",
    ),
    ("pool", "The pool's name in the policy."),
    ("provider", "The provider's name in the policy: `aws`."),
    ("site", "The site's whole name: `aws/us-east-1`."),
    ("backend", "The backend's URL in the policy."),
    ("address", "The address and port of one endpoint."),
    (
        "resolver",
        "Who was asked: the resolver's address, `file` for `file_sd`, `http` for `http_sd`.",
    ),
    ("state", "`listed`, `retained` or `literal`."),
    (
        "verdict",
        "What is held of an endpoint, a site or a provider. Exactly one of them is 1.",
    ),
    (
        "word",
        "What an operator said: `active` where nothing is said, or it was taken back.",
    ),
    ("subject", "What kind of thing a decision is about."),
    (
        "change",
        "The verdict that was reached, or what else changed. A word that is not in the list counts as `other`.",
    ),
    ("cause", "Why it was decided."),
    (
        "result",
        "How a probe or a question ended, or whether a policy took force.",
    ),
    (
        "certificate",
        "The file of a listener's certificate, as the policy's folder and the policy name it.",
    ),
    ("hash", "The hash of the policy's text."),
    ("version", "The version of leeward."),
    ("revision", "The commit that it was built from."),
    ("rustc", "The compiler that built it."),
];

fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a string does not fail.
    let _ = writeln!(page, "{text}");
}
