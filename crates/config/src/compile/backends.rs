//! `backends` of a pool: origins, where they stand and how they are reached.

use super::Context;
use super::discovery;
use super::http::is_host_name;
use super::listeners::file;
use super::places::Places;
use crate::fields::{Fields, expected, list, one_or_list, text};
use crate::policy::{Backend, HostHeader, Protocol, UpstreamTls};
use crate::report::Report;
use crate::shape;
use crate::shape::pools::{MAX_ADDRESSES, MAX_BACKENDS};
use crate::shape::words::PROTOCOLS;
use crate::source::Pos;
use crate::tree::Node;
use leeward_failover as engine;
use leeward_failover::{BackendId, PoolId, SiteId};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// The backends of a pool.
#[derive(Default)]
pub(super) struct Members {
    pub(super) backends: Vec<engine::Backend>,
    /// The same, in the same order; their ids are filled in when the pool joins the others.
    pub(super) io: Vec<Backend>,
    /// All of them could be read, so that what is missing is truly missing.
    pub(super) whole: bool,
}

/// A backend and whether its weight was given.
struct Draft {
    engine: engine::Backend,
    io: Backend,
    weighed: bool,
}

/// Reads `backends`.
pub(super) fn compile(
    context: &Context<'_>,
    fields: &mut Fields<'_>,
    places: &Places,
    pool: PoolId,
) -> Members {
    let report = context.report;
    let Some(node) = fields.require("backends", &format!("[{}]", shape::pools::BACKEND.example))
    else {
        return Members::default();
    };
    let Some(items) = list(report, node, "a list of backends", MAX_BACKENDS) else {
        return Members::default();
    };
    if items.is_empty() {
        expected(report, node, "at least one backend", None);
    }
    let usual = fields.word("protocol", &PROTOCOLS).unwrap_or_default();
    let mut seen: HashMap<(String, SiteId), Pos> = HashMap::new();
    let mut drafts = Vec::new();
    for item in items {
        let Some(draft) = backend(context, item, places, pool, usual) else {
            continue;
        };
        let key = (draft.engine.name.clone(), draft.engine.site);
        if let Some(first) = seen.get(&key) {
            let text = format!("backend {} is given twice for its site", key.0);
            let hint = format!("first given at {}", report.place(*first, item.pos));
            report.error_hint(item.pos, text, hint);
        }
        seen.entry(key).or_insert(item.pos);
        drafts.push(draft);
    }
    let whole = drafts.len() == items.len() && !items.is_empty();
    weigh(&mut drafts);
    let (backends, io) = drafts
        .into_iter()
        .map(|draft| (draft.engine, draft.io))
        .unzip();
    Members {
        backends,
        io,
        whole,
    }
}

/// Backends without a weight get their capacity where every backend of their site has one.
fn weigh(drafts: &mut [Draft]) {
    let mut full: HashMap<SiteId, bool> = HashMap::new();
    for draft in drafts.iter() {
        *full.entry(draft.engine.site).or_insert(true) &= draft.engine.capacity.is_some();
    }
    for draft in drafts.iter_mut().filter(|draft| !draft.weighed) {
        let by_capacity = full.get(&draft.engine.site).copied().unwrap_or(false);
        draft.engine.weight = draft.engine.capacity.filter(|_| by_capacity).unwrap_or(1);
    }
}

/// `usual` is what the pool says of the protocol.
fn backend(
    context: &Context<'_>,
    node: &Node,
    places: &Places,
    pool: PoolId,
    usual: Protocol,
) -> Option<Draft> {
    let report = context.report;
    let mut fields = Fields::of(report, node, &shape::pools::BACKEND)?;
    let url_node = fields.require("url", "https://api.use1.example:8443");
    let url = url_node.and_then(|node| url(report, node));
    let site = fields
        .require("site", "aws/us-east-1")
        .and_then(|node| places.site(report, node));
    let capacity = fields.rate("capacity").map(|rate| rate as u32);
    let weighed = fields.has("weight");
    let weight = fields.count("weight", 1);
    let addresses = fields
        .get("addresses")
        .map(|node| addresses(report, node, url.as_ref().map_or(0, |url| url.port)));
    let tls = tls(context, &mut fields, url.as_ref());
    let protocol = protocol(&mut fields, url.as_ref(), usual);
    let host_header = fields
        .get("host")
        .and_then(|node| host_header(report, node));
    let mut sources = discovery::sources(context, &mut fields, addresses.is_some());
    fields.finish();

    let (url, site) = (url?, site?);
    let mut addresses = addresses.unwrap_or_default();
    if sources.resolve
        && let Ok(ip) = url.host.parse::<IpAddr>()
    {
        let own = SocketAddr::new(ip, url.port);
        if !addresses.contains(&own) {
            addresses.insert(0, own);
        }
        sources.resolve = false;
    }
    let name = url_node.and_then(Node::text)?.to_owned();
    let engine = engine::Backend {
        name,
        pool,
        site,
        weight,
        capacity,
        addresses,
    };
    let io = Backend {
        id: BackendId(0),
        host: url.host,
        port: url.port,
        sources,
        tls,
        protocol,
        host_header: host_header.unwrap_or_default(),
    };
    Some(Draft {
        engine,
        io,
        weighed,
    })
}

/// What the URL of a backend says.
struct Url {
    https: bool,
    host: String,
    port: u16,
}

fn url(report: &Report<'_>, node: &Node) -> Option<Url> {
    const WHAT: &str = "a URL such as https://api.use1.example:8443";
    let text = text(report, node, WHAT)?;
    let fail = |hint: &str| -> Option<Url> {
        expected(report, node, WHAT, Some(hint.to_owned()));
        None
    };
    let Some((scheme, authority)) = text.split_once("://") else {
        return fail("a URL begins with `http://` or `https://`");
    };
    let https = match scheme {
        "https" => true,
        "http" => false,
        _ => return fail("backends are reached by `http` or `https`"),
    };
    if authority.contains(['/', '?', '#']) {
        return fail("end after the port: the path and query are those of the request");
    }
    if authority.contains('@') {
        return fail("credentials are those of the request");
    }
    let (host, port) = match split_port(authority) {
        Some((host, Some(port))) => (host, port),
        Some((host, None)) => (host, if https { 443 } else { 80 }),
        None => return fail("a port is a number from 1 to 65535"),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let good = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host_name(host),
    };
    if !good {
        return fail("its host is a name, or an address (IPv6 in brackets)");
    }
    Some(Url {
        https,
        host: bare.unwrap_or(host).to_ascii_lowercase(),
        port,
    })
}

/// A host and its port, where there is one; `None` where the port is no port.
pub(super) fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let at = authority.rfind(']').unwrap_or(0);
    match authority.get(at..).and_then(|rest| rest.find(':')) {
        None => Some((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at_checked(at + colon)?;
            let port: u16 = port.strip_prefix(':')?.parse().ok()?;
            (port > 0).then_some((host, Some(port)))
        }
    }
}

fn addresses(report: &Report<'_>, node: &Node, port: u16) -> Vec<SocketAddr> {
    const WHAT: &str = "an address such as 192.0.2.7 or 192.0.2.7:8443";
    let mut found: Vec<SocketAddr> = Vec::new();
    for item in one_or_list(report, node, "addresses", MAX_ADDRESSES) {
        let Some(text) = text(report, item, WHAT) else {
            continue;
        };
        let bare = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        let ip = bare
            .parse::<IpAddr>()
            .ok()
            .map(|ip| SocketAddr::new(ip, port));
        match ip.or_else(|| text.parse().ok()) {
            Some(address) if found.contains(&address) => {
                report.error(item.pos, format!("address `{text}` is given twice"));
            }
            Some(address) => found.push(address),
            None => {
                let hint = "names belong into `url`; they are looked up there";
                expected(report, item, WHAT, Some(hint.to_owned()));
            }
        }
    }
    found
}

fn tls(context: &Context<'_>, fields: &mut Fields<'_>, url: Option<&Url>) -> Option<UpstreamTls> {
    let report = context.report;
    let server_name = fields.text("server_name", "a host name");
    let node = fields.get("server_name");
    if let (Some(name), Some(node)) = (server_name, node)
        && !is_host_name(name)
        && name.parse::<IpAddr>().is_err()
    {
        expected(report, node, "a host name", None);
    }
    let ca_node = fields.get("ca");
    let url = url?;
    if !url.https {
        for key in ["server_name", "ca"] {
            if let Some(pos) = fields.key_pos(key) {
                let text = format!("`{key}` has no use with `http`");
                report.error_hint(pos, text, "reach the backend by `https`, or remove the key");
            }
        }
        return None;
    }
    let ca = ca_node.and_then(|node| file(context, node));
    let server_name = server_name.unwrap_or(&url.host).to_ascii_lowercase();
    let server_name = server_name.trim_end_matches('.').to_owned();
    Some(UpstreamTls { server_name, ca })
}

/// What is spoken to a backend: its own word, else the pool's. Without TLS there is nothing to agree
/// by, so that the pool's `auto` means HTTP/1.1 there.
fn protocol(fields: &mut Fields<'_>, url: Option<&Url>, usual: Protocol) -> Protocol {
    let own = fields.word("protocol", &PROTOCOLS);
    let plain = url.is_some_and(|url| !url.https);
    if plain
        && own == Some(Protocol::Auto)
        && let Some(pos) = fields.key_pos("protocol")
    {
        let text = "`protocol: auto` has no use with `http`";
        let hint = "it is agreed to in the TLS handshake; say `http1` or `http2`";
        fields.report.error_hint(pos, text, hint);
    }
    match own.unwrap_or(usual) {
        Protocol::Auto if plain => Protocol::Http1,
        protocol => protocol,
    }
}

fn host_header(report: &Report<'_>, node: &Node) -> Option<HostHeader> {
    const WHAT: &str = "client, backend, or a host name";
    match text(report, node, WHAT)? {
        "client" => Some(HostHeader::Client),
        "backend" => Some(HostHeader::Backend),
        name => {
            let host = split_port(name).map(|(host, _)| host);
            if host.is_some_and(is_host_name) {
                return Some(HostHeader::Literal(name.to_owned()));
            }
            expected(report, node, WHAT, None);
            None
        }
    }
}
