//! `admin`: where the admin side listens, and who may use it.
//!
//! Refuses an admin side that the network could use without showing anything.

use super::Context;
use super::http::{address, is_host_name};
use super::listeners::{file, overlap};
use crate::access::{AdminAccess, AdminClients, AdminTls, AdminToken, Role};
use crate::fields::{Fields, expected, list, named, present, text};
use crate::policy::{Certificate, DEFAULT_ADMIN};
use crate::shape::process::{self, MAX_ADMIN_NAMES, MAX_TOKENS};
use crate::tree::Node;
use std::net::SocketAddr;

/// What the policy says of the admin side.
#[derive(Default)]
pub(super) struct Admin {
    /// All of it; nowhere for `admin: off`.
    pub(super) bind: Option<SocketAddr>,
    /// Metrics and the proxy's own health alone.
    pub(super) read_only: Option<SocketAddr>,
    /// Who may use it.
    pub(super) access: AdminAccess,
}

/// Reads `admin`.
pub(super) fn admin(context: &Context<'_>, fields: &mut Fields<'_>) -> Admin {
    let default = Admin {
        bind: Some(DEFAULT_ADMIN),
        ..Admin::default()
    };
    let Some(node) = fields.get("admin") else {
        return default;
    };
    if node.text() == Some("off") {
        return Admin::default();
    }
    let report = context.report;
    let Some(mut admin) = Fields::of(report, node, &process::ADMIN) else {
        return default;
    };
    let node = admin.get("bind");
    let bind = node
        .and_then(|node| address(report, node))
        .unwrap_or(DEFAULT_ADMIN);
    let declared = admin.has("tokens") || admin.has("tls");
    let access = AdminAccess {
        tokens: admin
            .get("tokens")
            .map(|node| tokens(context, node))
            .unwrap_or_default(),
        tls: admin.get("tls").and_then(|node| tls(context, node)),
    };
    if let Some(node) = node.filter(|_| !bind.ip().is_loopback()) {
        guard(context, node, &access, declared);
    }
    let node = admin.get("read_only");
    let read_only = node.and_then(|node| address(report, node));
    if let (Some(node), Some(read_only)) = (node, read_only)
        && overlap(bind, read_only)
    {
        report.error(node.pos, format!("{read_only} is taken by the admin side"));
    }
    admin.finish();
    Admin {
        bind: Some(bind),
        read_only,
        access,
    }
}

/// What the network can reach has to be guarded. Where tokens or TLS are `declared` and useless, what
/// is wrong with them has been said already, or has its own hint.
fn guard(context: &Context<'_>, bind: &Node, access: &AdminAccess, declared: bool) {
    let report = context.report;
    if !access.is_guarded() {
        let text =
            "the admin side would be open to the network: whoever reaches it could say words";
        let hint = match declared {
            true => "`tls` alone asks clients for nothing: add `tls: { clients: … }` or `tokens`",
            false => {
                "bind it to 127.0.0.1, or say who may use it: `tokens: { oncall: { file: tokens/oncall, role: operate } }`; `read_only` is for the network"
            }
        };
        report.error_hint(bind.pos, text, hint);
    } else if access.tls.is_none() {
        let text = "tokens cross the network in the clear";
        let hint = "add `tls: { cert: FILE, key: FILE }`, or guard the way to this port";
        report.warning(bind.pos, text, hint);
    }
}

fn tokens(context: &Context<'_>, node: &Node) -> Vec<AdminToken> {
    let report = context.report;
    let mut found: Vec<AdminToken> = Vec::new();
    for entry in named(report, node, "tokens", MAX_TOKENS) {
        let Some(node) = present(report, entry) else {
            continue;
        };
        let Some(mut token) = Fields::of(report, node, &process::ADMIN_TOKEN) else {
            continue;
        };
        let path = token
            .require("file", "tokens/oncall")
            .and_then(|node| file(context, node));
        let roles = Role::ALL.map(|role| (role.as_str(), role));
        let role = match token.has("role") {
            true => token.word("role", &roles),
            false => {
                token.require("role", "operate");
                None
            }
        };
        token.finish();
        if let (Some(file), Some(role)) = (path, role) {
            let name = entry.key.clone();
            found.push(AdminToken { name, file, role });
        }
    }
    found
}

fn tls(context: &Context<'_>, node: &Node) -> Option<AdminTls> {
    let mut tls = Fields::of(context.report, node, &process::ADMIN_TLS)?;
    let cert = tls.require("cert", "tls/admin.pem");
    let cert = cert.and_then(|node| file(context, node));
    let key = tls.require("key", "tls/admin.key");
    let key = key.and_then(|node| file(context, node));
    let clients = tls.get("clients").and_then(|node| clients(context, node));
    tls.finish();
    let certificate = Certificate {
        cert: cert?,
        key: key?,
    };
    Some(AdminTls {
        certificate,
        clients,
    })
}

fn clients(context: &Context<'_>, node: &Node) -> Option<AdminClients> {
    let report = context.report;
    let mut clients = Fields::of(report, node, &process::ADMIN_CLIENTS)?;
    let ca = clients.require("ca", "tls/ops-ca.pem");
    let ca = ca.and_then(|node| file(context, node));
    let names = clients
        .get("operate")
        .and_then(|node| list(report, node, "a list of names", MAX_ADMIN_NAMES));
    clients.finish();
    let name = |node: &Node| {
        let found = text(report, node, "a DNS name")?;
        if !is_host_name(found) {
            expected(report, node, "a DNS name such as oncall.ops.example", None);
        }
        Some(found.to_ascii_lowercase())
    };
    Some(AdminClients {
        ca: ca?,
        operate: names.unwrap_or_default().iter().filter_map(name).collect(),
    })
}
