//! `listeners`: where clients connect.

use super::Context;
use super::admin::Admin;
use super::clients::clients;
use super::http::address;
use super::server::count;
use crate::Files;
use crate::fields::{Fields, expected, list, named, present, text};
use crate::policy::{Certificate, DEFAULT_MAX_CONNECTIONS, Listener};
use crate::shape;
use crate::shape::listeners::{MAX_CERTIFICATES, MAX_LISTENERS};
use crate::shape::words::SWITCH;
use crate::source::Pos;
use crate::tree::{Entry, Node};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Reads `listeners`; `admin` has neighbours that may sit on the same port.
pub(super) fn compile(
    context: &Context<'_>,
    fields: &mut Fields<'_>,
    admin: &Admin,
) -> Vec<Listener> {
    let example = "{ public: { bind: 0.0.0.0:8080 } }";
    let Some(node) = fields.require("listeners", example) else {
        return Vec::new();
    };
    let mut taken: Vec<(SocketAddr, Option<Pos>, String)> = Vec::new();
    let neighbours = [
        (admin.bind, "the admin side"),
        (admin.read_only, "the read-only admin side"),
    ];
    for (address, name) in neighbours {
        taken.extend(address.map(|address| (address, None, name.to_owned())));
    }
    let mut found = Vec::new();
    for entry in named(context.report, node, "listeners", MAX_LISTENERS) {
        let Some((listener, pos)) = listener(context, entry) else {
            continue;
        };
        let clash = taken
            .iter()
            .find(|(address, ..)| overlap(*address, listener.bind));
        if let Some((_, first, name)) = clash {
            let text = format!("{} is taken by {name}", listener.bind);
            let hint = first.map(|first| format!("at {}", context.report.place(first, pos)));
            context.report.error_hint(pos, text, hint);
        }
        taken.push((
            listener.bind,
            Some(pos),
            format!("listener `{}`", listener.name),
        ));
        found.push(listener);
    }
    found
}

/// Whether two sockets cannot both listen. Port 0 is a different port every time.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_family = a.is_ipv4() == b.is_ipv4();
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && same_family && same_ip
}

fn listener(context: &Context<'_>, entry: &Entry) -> Option<(Listener, Pos)> {
    let report = context.report;
    let node = present(report, entry)?;
    let mut fields = Fields::of(report, node, &shape::listeners::LISTENER)?;
    let node = fields.require("bind", "0.0.0.0:8080");
    let bind = node.and_then(|node| address(report, node));
    let certificates = fields
        .get("tls")
        .map(|node| tls(context, node))
        .unwrap_or_default();
    let max_connections = count(&mut fields, "max_connections", DEFAULT_MAX_CONNECTIONS);
    let per_client = fields.number("max_connections_per_client");
    let clients = clients(report, &mut fields);
    let (http2, h2c) = versions(&mut fields);
    fields.finish();
    let name = entry.key.clone();
    Some((
        Listener {
            name,
            bind: bind?,
            certificates,
            max_connections,
            max_connections_per_client: per_client.and_then(|most| usize::try_from(most).ok()),
            clients,
            http2,
            h2c,
        },
        node?.pos,
    ))
}

/// Whether HTTP/2 is served: over TLS unless switched off, over plain TCP only when asked for.
fn versions(fields: &mut Fields<'_>) -> (bool, bool) {
    let secure = fields.has("tls");
    let http2 = fields.word("http2", &SWITCH);
    let h2c = fields.flag("h2c", false);
    let (misplaced, text, hint) = if secure {
        (
            "h2c",
            "`h2c` has no use with `tls`",
            "clients agree to HTTP/2 in the handshake: `http2: on`, which is the default",
        )
    } else {
        (
            "http2",
            "`http2` has no use without `tls`",
            "`h2c: true` takes HTTP/2 over plain TCP from clients that know of it",
        )
    };
    if let Some(pos) = fields.key_pos(misplaced) {
        fields.report.error_hint(pos, text, hint);
    }
    (secure && http2.unwrap_or(true), !secure && h2c)
}

fn tls(context: &Context<'_>, node: &Node) -> Vec<Certificate> {
    let report = context.report;
    let Some(mut fields) = Fields::of(report, node, &shape::listeners::TLS) else {
        return Vec::new();
    };
    let items = fields
        .require("certificates", "[{ cert: tls/api.pem, key: tls/api.key }]")
        .and_then(|node| {
            let items = list(report, node, "a list of certificates", MAX_CERTIFICATES)?;
            if items.is_empty() {
                expected(report, node, "at least one certificate", None);
            }
            Some(items)
        });
    fields.finish();
    let read = |node| {
        let mut fields = Fields::of(report, node, &shape::listeners::CERTIFICATE)?;
        let cert = fields
            .require("cert", "tls/api.pem")
            .and_then(|node| file(context, node));
        let key = fields
            .require("key", "tls/api.key")
            .and_then(|node| file(context, node));
        fields.finish();
        Some(Certificate {
            cert: cert?,
            key: key?,
        })
    };
    items.unwrap_or_default().iter().filter_map(read).collect()
}

/// The path of a file that has to be there: an error where the policy is about to be used, a warning
/// where it is only checked.
pub(super) fn file(context: &Context<'_>, node: &Node) -> Option<PathBuf> {
    let text = text(context.report, node, "the path of a file")?;
    let path = context.base.join(text);
    if !path.is_file() {
        let text = format!("there is no file `{}`", path.display());
        let hint = "paths are relative to the folder of the policy";
        match context.report.options.files {
            Files::MustExist => context.report.error_hint(node.pos, text, hint),
            Files::MayBeMissing => context.report.warning(node.pos, text, hint),
        }
    }
    Some(path)
}
