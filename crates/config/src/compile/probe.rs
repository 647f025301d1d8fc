//! `probe` of a pool: when it is due, what it sends.

use super::expect;
use super::http::{header_name, named_headers, path};
use crate::fields::{Fields, expected, present, word};
use crate::policy::{HttpProbe, Probe};
use crate::report::Report;
use crate::shape;
use crate::shape::words::PROBES;
use crate::tree::Node;
use http::header::{self, HeaderName, HeaderValue};
use leeward_failover::ProbeParams;

/// Keys that only a probe over HTTP has.
const HTTP_ONLY: [&str; 4] = ["host", "headers", "expect", "max_body"];

/// Reads `probe`.
pub(super) fn compile(fields: &mut Fields<'_>) -> (Probe, ProbeParams) {
    let report = fields.report;
    let Some(node) = fields.get("probe") else {
        return (Probe::Tcp, ProbeParams::default());
    };
    if let Some(text) = node.text() {
        if text == "http" {
            let hint = format!(
                "an http probe needs a path: `{}`",
                shape::failover::PROBE.example
            );
            expected(report, node, "tcp, or the settings of a probe", Some(hint));
        } else {
            word(report, node, &[("tcp", ())]);
        }
        return (Probe::Tcp, ProbeParams::default());
    }
    let Some(mut probe) = Fields::of(report, node, &shape::failover::PROBE) else {
        return (Probe::Tcp, ProbeParams::default());
    };
    let params = params(&mut probe);
    let given = probe.word("type", &PROBES);
    let is_http = given.unwrap_or_else(|| probe.has("path"));
    let http = http(&mut probe, is_http);
    probe.finish();
    (
        if is_http {
            Probe::Http(http)
        } else {
            Probe::Tcp
        },
        params,
    )
}

fn params(fields: &mut Fields<'_>) -> ProbeParams {
    let d = ProbeParams::default();
    let interval = fields.duration("interval", d.interval);
    let timeout = fields.duration("timeout", d.timeout);
    if timeout > interval
        && let Some(pos) = fields
            .key_pos("timeout")
            .or_else(|| fields.key_pos("interval"))
    {
        let text = "the timeout of the probe is longer than its interval";
        fields
            .report
            .warning(pos, text, "slow probes delay the next ones");
    }
    ProbeParams {
        interval,
        timeout,
        rise: fields.count("rise", d.rise),
        fall: fields.count("fall", d.fall),
    }
}

fn http(fields: &mut Fields<'_>, is_http: bool) -> HttpProbe {
    let report = fields.report;
    if !is_http {
        for key in HTTP_ONLY {
            fields.get(key);
            if let Some(pos) = fields.key_pos(key) {
                let text = format!("`{key}` has no use in a tcp probe");
                report.error_hint(pos, text, "a probe with a `path` is http");
            }
        }
        if let Some(pos) = fields.key_pos("path") {
            report.error_hint(
                pos,
                "`path` has no use in a tcp probe",
                "remove `type: tcp`",
            );
        }
        fields.get("path");
        return HttpProbe::default();
    }
    let d = HttpProbe::default();
    let path = fields
        .require("path", "/healthz")
        .and_then(|node| path(report, node, true));
    let host = fields.text("host", "a host name").map(str::to_owned);
    if let Some(node) = fields.get("host")
        && let Some(text) = &host
        && HeaderValue::from_str(text).is_err()
    {
        expected(report, node, "a host name", None);
    }
    let headers = fields
        .get("headers")
        .map(|node| headers(report, node))
        .unwrap_or_default();
    let max_body = fields.size("max_body", d.max_body as u64);
    let found = HttpProbe {
        path: path.map_or_else(|| d.path.clone(), str::to_owned),
        host,
        headers,
        max_body: usize::try_from(max_body).unwrap_or(d.max_body),
        ..d
    };
    match fields.get("expect") {
        Some(node) => expect::compile(report, node, found),
        None => found,
    }
}

fn headers(report: &Report<'_>, node: &Node) -> Vec<(HeaderName, HeaderValue)> {
    let owned = [
        header::HOST,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::TE,
    ];
    let mut found = Vec::new();
    for entry in named_headers(report, node) {
        let Some(name) = header_name(report, entry) else {
            continue;
        };
        let Some(node) = present(report, entry) else {
            continue;
        };
        if owned.contains(&name) {
            let hint = (name == header::HOST).then(|| "use `host` of the probe".to_owned());
            report.error_hint(entry.pos, format!("a probe sends its own `{name}`"), hint);
            continue;
        }
        // The value may be a secret from the environment: it is not repeated in a message.
        match node.text().map(HeaderValue::from_str) {
            Some(Ok(value)) => found.push((name, value)),
            _ => report.error(node.pos, format!("this cannot be the value of `{name}`")),
        }
    }
    found
}
