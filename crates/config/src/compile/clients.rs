//! `proxy_protocol`, `trusted` and `forwarded` of a listener: who clients are, and who may say so.

use crate::fields::{Fields, expected, one_or_list, text, word};
use crate::policy::{Clients, ForwardingFields, Networks, ProxyProtocol, Trusted, TrustedFields};
use crate::report::Report;
use crate::shape;
use crate::shape::listeners::MAX_NETWORKS;
use crate::shape::words::{FORWARDED, TRUSTED};
use crate::tree::{Kind, Node};
use ipnet::IpNet;
use std::net::IpAddr;

const WHAT: &str = "an address or a network such as 10.0.0.0/8";

/// Reads the keys of a listener that say who its clients are.
pub(super) fn clients(report: &Report<'_>, listener: &mut Fields<'_>) -> Clients {
    Clients {
        proxy_protocol: proxy_protocol(report, listener),
        trusted: trusted(report, listener),
        forwarded: forwarded(report, listener),
    }
}

fn proxy_protocol(report: &Report<'_>, listener: &mut Fields<'_>) -> ProxyProtocol {
    let default = ProxyProtocol::default();
    let Some(node) = listener.get("proxy_protocol") else {
        return default;
    };
    let Some(mut fields) = Fields::of(report, node, &shape::listeners::PROXY_PROTOCOL) else {
        return default;
    };
    let from = fields.require("from", "[10.0.0.0/8]").map(|node| {
        networks(
            report,
            node,
            "anybody can claim any address by a PROXY header",
        )
    });
    let timeout = fields.duration("timeout", default.timeout);
    fields.finish();
    ProxyProtocol {
        from: from.unwrap_or_default(),
        timeout,
    }
}

fn trusted(report: &Report<'_>, listener: &mut Fields<'_>) -> Trusted {
    const EVERYBODY: &str = "anybody can claim any address in a forwarding field";
    let Some(node) = listener.get("trusted") else {
        return Trusted::default();
    };
    if !matches!(node.kind, Kind::Mapping(_)) {
        return Trusted {
            from: networks(report, node, EVERYBODY),
            fields: TrustedFields::default(),
        };
    }
    let Some(mut fields) = Fields::of(report, node, &shape::listeners::TRUSTED_PEERS) else {
        return Trusted::default();
    };
    let from = fields
        .require("from", "[10.0.0.0/8]")
        .map(|node| networks(report, node, EVERYBODY));
    let kind = fields.word("fields", &TRUSTED);
    fields.finish();
    Trusted {
        from: from.unwrap_or_default(),
        fields: kind.unwrap_or_default(),
    }
}

fn forwarded(report: &Report<'_>, listener: &mut Fields<'_>) -> ForwardingFields {
    let Some(node) = listener.get("forwarded") else {
        return ForwardingFields::default();
    };
    let mut found = ForwardingFields {
        x_forwarded: false,
        forwarded: false,
    };
    for node in one_or_list(report, node, "kinds of forwarding fields", FORWARDED.len()) {
        match word(report, node, &FORWARDED) {
            Some(true) => found.x_forwarded = true,
            Some(false) => found.forwarded = true,
            None => {}
        }
    }
    found
}

/// An address or a network, or a list of them. `everybody` is what it means to name everybody.
fn networks(report: &Report<'_>, node: &Node, everybody: &str) -> Networks {
    let items = one_or_list(
        report,
        node,
        "a list of addresses and networks",
        MAX_NETWORKS,
    );
    let mut found = Vec::new();
    for node in items {
        let Some(network) = network(report, node) else {
            continue;
        };
        if network.prefix_len() == 0 {
            let hint = "name the load balancers or proxies in front of leeward";
            report.warning(
                node.pos,
                format!("{network} is everybody: {everybody}"),
                hint,
            );
        }
        found.push(network);
    }
    Networks::new(&found)
}

fn network(report: &Report<'_>, node: &Node) -> Option<IpNet> {
    let text = text(report, node, WHAT)?;
    let parsed = match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address)),
        Err(_) => text.parse::<IpNet>().ok(),
    };
    let Some(network) = parsed else {
        let hint = "names are not looked up here: write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32";
        expected(report, node, WHAT, Some(hint.to_owned()));
        return None;
    };
    if network.addr().to_canonical() != network.addr() {
        let hint = format!("write it as IPv4: `{}`", network.addr().to_canonical());
        report.error_hint(
            node.pos,
            format!("{text} is IPv4 in the clothes of IPv6"),
            hint,
        );
        return None;
    }
    if network.network() != network.addr() {
        let hint = format!(
            "did you mean `{}` or `{}`?",
            network.trunc(),
            network.addr()
        );
        let text = format!("{text} has bits behind its prefix");
        report.error_hint(node.pos, text, hint);
        return None;
    }
    Some(network)
}
