//! `dns`, and where a backend's addresses come from beside its URL: `resolve`, `srv`, `file_sd`,
//! `http_sd`.
//!
//! Owns their spelling and bounds. Whether a name exists or a file is there is not looked at: both
//! may come later. Called for the whole policy and for each backend.

use super::Context;
use super::backends::split_port;
use super::http::is_host_name;
use super::listeners::file;
use crate::fields::{Fields, expected, one_or_list, text};
use crate::policy::{Dns, FileSd, HttpSd, Sources, UpstreamTls};
use crate::report::Report;
use crate::shape;
use crate::shape::pools::{FILE_REFRESH, HTTP_REFRESH, HTTP_TIMEOUT};
use crate::shape::process::MAX_RESOLVERS;
use crate::shape::words::PRIVATE;
use crate::tree::{Kind, Node};
use std::net::{IpAddr, SocketAddr};

/// How names are looked up.
pub(super) fn dns(fields: &mut Fields<'_>) -> Dns {
    let default = Dns::default();
    let Some(node) = fields.get("dns") else {
        return default;
    };
    let report = fields.report;
    let Some(mut f) = Fields::of(report, node, &shape::process::DNS) else {
        return default;
    };
    let resolvers = f.get("resolvers").map(|node| resolvers(report, node));
    let max_pos = f.key_pos("max_ttl");
    let found = Dns {
        resolvers: resolvers.unwrap_or_default(),
        timeout: f.duration("timeout", default.timeout),
        min_ttl: f.duration("min_ttl", default.min_ttl),
        max_ttl: f.duration("max_ttl", default.max_ttl),
        keep: f.duration("keep", default.keep),
        keep_decentralized: f.duration("keep_decentralized", default.keep_decentralized),
        private: f.word("private", &PRIVATE).unwrap_or(default.private),
    };
    if found.max_ttl < found.min_ttl {
        let pos = max_pos.unwrap_or(f.pos);
        report.error(pos, "`max_ttl` is below `min_ttl`");
    }
    f.finish();
    found
}

fn resolvers(report: &Report<'_>, node: &Node) -> Vec<SocketAddr> {
    const WHAT: &str = "the address of a resolver such as 1.1.1.1 or 1.1.1.1:53";
    let mut found = Vec::new();
    for item in one_or_list(report, node, "resolvers", MAX_RESOLVERS) {
        let Some(text) = text(report, item, WHAT) else {
            continue;
        };
        let ip = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        match ip.ok().or_else(|| text.parse().ok()) {
            Some(address) if found.contains(&address) => {
                report.error(item.pos, format!("resolver `{text}` is given twice"));
            }
            Some(address) => found.push(address),
            None => {
                let hint = "a resolver has an address: nobody could look its name up";
                expected(report, item, WHAT, Some(hint.to_owned()));
            }
        }
    }
    found
}

/// Where the addresses of a backend come from; `literal` is whether the policy lists any. Its
/// `resolve` says whether the host of the URL is a place to connect to, be it a name or an address.
pub(super) fn sources(context: &Context<'_>, fields: &mut Fields<'_>, literal: bool) -> Sources {
    let report = context.report;
    let srv = fields.get("srv").and_then(|node| srv(report, node));
    let file = fields
        .get("file_sd")
        .and_then(|node| file_sd(context, node));
    let http = fields
        .get("http_sd")
        .and_then(|node| http_sd(context, node));
    let resolve = fields.flag("resolve", srv.is_none());
    let others = ["srv", "file_sd", "http_sd"];
    if !resolve && !literal && !others.iter().any(|key| fields.has(key)) {
        let pos = fields.key_pos("resolve").unwrap_or(fields.pos);
        let hint = "give it `addresses`, `srv`, `file_sd` or `http_sd`";
        report.error_hint(pos, "this backend has no source of addresses", hint);
    }
    Sources {
        resolve,
        srv,
        file,
        http,
    }
}

fn srv(report: &Report<'_>, node: &Node) -> Option<String> {
    const WHAT: &str = "the name of a service such as _api._tcp.example.com";
    let name = text(report, node, WHAT)?;
    let mut labels = name.split('.');
    let service = labels.next().is_some_and(|label| label.starts_with('_'));
    let protocol = labels.next().is_some_and(|label| label.starts_with('_'));
    if !service || !protocol || labels.next().is_none() || !is_host_name(name) {
        let hint = "it begins with `_SERVICE._PROTOCOL.`";
        expected(report, node, WHAT, Some(hint.to_owned()));
        return None;
    }
    Some(name.to_ascii_lowercase())
}

fn file_sd(context: &Context<'_>, node: &Node) -> Option<FileSd> {
    let report = context.report;
    let (mut fields, refresh, path);
    if let Kind::Mapping(_) = node.kind {
        fields = Fields::of(report, node, &shape::pools::FILE_SD)?;
        path = fields.require("path", "api.json");
        refresh = fields.duration("refresh", FILE_REFRESH);
        fields.finish();
    } else {
        (path, refresh) = (Some(node), FILE_REFRESH);
    }
    let name = text(report, path?, "a file such as api.json")?;
    let known = [".json", ".yaml", ".yml"];
    if !known.iter().any(|end| name.ends_with(end)) {
        let hint = "Prometheus' formats are told apart by `.json`, `.yaml` and `.yml`";
        expected(report, path?, "a file such as api.json", Some(hint.into()));
        return None;
    }
    Some(FileSd {
        path: context.base.join(name),
        refresh,
    })
}

fn http_sd(context: &Context<'_>, node: &Node) -> Option<HttpSd> {
    let report = context.report;
    let (mut refresh, mut timeout) = (HTTP_REFRESH, HTTP_TIMEOUT);
    let (mut url, mut ca) = (Some(node), None);
    let mut ca_pos = None;
    if let Kind::Mapping(_) = node.kind {
        let mut fields = Fields::of(report, node, &shape::pools::HTTP_SD)?;
        url = fields.require("url", "http://registry.example/api");
        refresh = fields.duration("refresh", refresh);
        timeout = fields.duration("timeout", timeout);
        ca = fields.get("ca").and_then(|node| file(context, node));
        ca_pos = fields.key_pos("ca");
        fields.finish();
    }
    let (https, host, port, target) = http_url(report, url?)?;
    if let (Some(pos), false) = (ca_pos, https) {
        report.error(pos, "`ca` has no use with `http`");
    }
    let server_name = host.clone();
    Some(HttpSd {
        tls: https.then_some(UpstreamTls { server_name, ca }),
        host,
        port,
        target,
        refresh,
        timeout,
    })
}

/// Whether it is https, host, port, and path with query.
fn http_url(report: &Report<'_>, node: &Node) -> Option<(bool, String, u16, String)> {
    const WHAT: &str = "a URL such as http://registry.example/api";
    let written = text(report, node, WHAT)?;
    let (https, rest) = match written.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        _ => {
            let hint = "a URL begins with `http://` or `https://`".to_owned();
            expected(report, node, WHAT, Some(hint));
            return None;
        }
    };
    let slash = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(slash);
    let host = split_port(authority).map(|(host, port)| {
        let own = if https { 443 } else { 80 };
        (host, port.unwrap_or(own))
    });
    let bare = |host: &str| {
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned()
    };
    let good = |host: &str| is_host_name(host) || bare(host).parse::<IpAddr>().is_ok();
    let Some((host, port)) = host.filter(|(host, _)| good(host)) else {
        let hint = "its host is a name or an address, without user and password".to_owned();
        expected(report, node, WHAT, Some(hint));
        return None;
    };
    let target = match target {
        "" => "/",
        target => target,
    };
    let plain = |byte: u8| (0x21..=0x7e).contains(&byte) && byte != b'#';
    if !target.starts_with('/') || !target.bytes().all(plain) {
        let hint = "its path begins with a slash and is written percent-encoded".to_owned();
        expected(report, node, WHAT, Some(hint));
        return None;
    }
    let host = bare(host).to_ascii_lowercase();
    Some((https, host, port, target.to_owned()))
}
