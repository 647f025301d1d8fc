//! `probe` of a pool: when it is due, what it sends.

use super::backends::Members;
use super::expect;
use super::http::{header_name, named_headers, path};
use crate::fields::{Fields, expected, present, word};
use crate::policy::{Backend as BackendIo, GrpcProbe, HttpProbe, Probe, Protocol};
use crate::report::Report;
use crate::shape;
use crate::shape::words::{PROBES, ProbeType};
use crate::tree::Node;
use http::header::{self, HeaderName, HeaderValue};
use leeward_failover::{Backend, ProbeParams};

/// Keys that each type of probe takes, beside those that all of them take.
const HTTP: [&str; 5] = ["path", "host", "headers", "expect", "max_body"];
const GRPC: [&str; 3] = ["service", "host", "headers"];
/// Those of any type.
const SPECIAL: [&str; 6] = ["path", "service", "host", "headers", "expect", "max_body"];

/// Reads `probe`.
pub(super) fn compile(fields: &mut Fields<'_>) -> (Probe, ProbeParams) {
    let report = fields.report;
    let Some(node) = fields.get("probe") else {
        return (Probe::Tcp, ProbeParams::default());
    };
    if let Some(text) = node.text() {
        return (in_a_word(report, node, text), ProbeParams::default());
    }
    let Some(mut probe) = Fields::of(report, node, &shape::failover::PROBE) else {
        return (Probe::Tcp, ProbeParams::default());
    };
    let params = params(&mut probe);
    let given = probe.word("type", &PROBES);
    let spoken = given.unwrap_or_else(|| match (probe.has("path"), probe.has("service")) {
        (true, _) => ProbeType::Http,
        (false, true) => ProbeType::Grpc,
        (false, false) => ProbeType::Tcp,
    });
    let sends = match spoken {
        ProbeType::Tcp => {
            useless(&mut probe, "a tcp", &[], given.is_some());
            Probe::Tcp
        }
        ProbeType::Http => {
            useless(&mut probe, "an http", &HTTP, given.is_some());
            Probe::Http(http(&mut probe))
        }
        ProbeType::Grpc => {
            useless(&mut probe, "a grpc", &GRPC, given.is_some());
            Probe::Grpc(grpc(&mut probe))
        }
    };
    probe.finish();
    (sends, params)
}

/// A probe whose settings are all defaults.
fn in_a_word(report: &Report<'_>, node: &Node, text: &str) -> Probe {
    if text == "http" {
        let hint = format!(
            "an http probe needs a path: `{}`",
            shape::failover::PROBE.example
        );
        let what = "tcp, grpc, or the settings of a probe";
        expected(report, node, what, Some(hint));
        return Probe::Tcp;
    }
    match word(report, node, &[("tcp", false), ("grpc", true)]) {
        Some(true) => Probe::Grpc(GrpcProbe::default()),
        _ => Probe::Tcp,
    }
}

/// A gRPC server is asked over HTTP/2 alone.
pub(super) fn speakers(fields: &Fields<'_>, probe: &Probe, backends: &Members) {
    let deaf = |(_, io): &(&Backend, &BackendIo)| io.protocol == Protocol::Http1;
    if let Probe::Grpc(_) = probe
        && let Some(pos) = fields.key_pos("probe")
        && let Some((backend, _)) = backends.backends.iter().zip(&backends.io).find(deaf)
    {
        let text = format!(
            "a grpc probe needs HTTP/2, and HTTP/1.1 is spoken to `{}`",
            backend.name
        );
        let hint = "`protocol: http2` in the pool or in that backend";
        fields.report.error_hint(pos, text, hint);
    }
}

/// Reports the keys that a probe of this type does nothing with.
fn useless(fields: &mut Fields<'_>, spoken: &str, of_use: &[&str], given: bool) {
    for key in SPECIAL {
        if of_use.contains(&key) {
            continue;
        }
        fields.get(key);
        let Some(pos) = fields.key_pos(key) else {
            continue;
        };
        let hint = match (key, spoken) {
            ("path", "a tcp") => "remove `type: tcp`",
            ("path", _) => "remove `type: grpc`, or the path",
            ("service", "an http") if !given => "a `path` makes it http, a `service` grpc",
            ("service", _) => "a probe with a `service` is grpc: `type: grpc`",
            (_, "a grpc") => "it passes where the answer is SERVING, and only there",
            _ => "a probe with a `path` is http",
        };
        let text = format!("`{key}` has no use in {spoken} probe");
        fields.report.error_hint(pos, text, hint);
    }
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

fn http(fields: &mut Fields<'_>) -> HttpProbe {
    let report = fields.report;
    let d = HttpProbe::default();
    let path = fields
        .require("path", "/healthz")
        .and_then(|node| path(report, node, true));
    let max_body = fields.size("max_body", d.max_body as u64);
    let found = HttpProbe {
        path: path.map_or_else(|| d.path.clone(), str::to_owned),
        host: host(fields),
        headers: sent(fields),
        max_body: usize::try_from(max_body).unwrap_or(d.max_body),
        ..d
    };
    match fields.get("expect") {
        Some(node) => expect::compile(report, node, found),
        None => found,
    }
}

fn grpc(fields: &mut Fields<'_>) -> GrpcProbe {
    let service = fields.text("service", "the full name of a service");
    if let Some(node) = fields.get("service")
        && let Some(text) = service
        && !text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/')
    {
        let what = "the full name of a service such as exchange.v1.Orders";
        let hint = "without a method: `package.Service`";
        expected(fields.report, node, what, Some(hint.to_owned()));
    }
    let headers = sent(fields);
    for (name, _) in &headers {
        let own = *name == header::CONTENT_TYPE || name.as_str().starts_with("grpc-");
        if own && let Some(pos) = fields.key_pos("headers") {
            let text = format!("a grpc probe sends its own `{name}`");
            fields.report.error(pos, text);
        }
    }
    GrpcProbe {
        service: service.unwrap_or_default().to_owned(),
        host: host(fields),
        headers,
    }
}

fn host(fields: &mut Fields<'_>) -> Option<String> {
    let host = fields.text("host", "a host name").map(str::to_owned);
    if let Some(node) = fields.get("host")
        && let Some(text) = &host
        && HeaderValue::from_str(text).is_err()
    {
        expected(fields.report, node, "a host name", None);
    }
    host
}

fn sent(fields: &mut Fields<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let report = fields.report;
    fields
        .get("headers")
        .map(|node| headers(report, node))
        .unwrap_or_default()
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
