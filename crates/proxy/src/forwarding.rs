//! The trust boundary: who a request's client is, and what backends are told of it.
//!
//! What a client says of itself in forwarding fields is removed. What a trusted peer says is read
//! from the right, each entry being the word of the one behind it, up to the first address that is
//! not trusted: that is the client. What stands left of it is the client's own word, and goes.
//! Refuses to read both kinds of fields: the policy names the one that trusted peers write, since
//! the other may have passed through them as the client wrote it. Called for each request by
//! `handler` (who is it) and by `headers` (what is sent).

mod node;
mod rfc7239;

use http::header::{FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue};
use leeward_config::policy::{Clients, Trusted, TrustedFields};
use leeward_failover::select::affinity_key;
use leeward_metrics::ForwardingField;
use node::Node;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Every field that backends take for a word about the client, but the standard one.
pub(crate) const FIELDS: [HeaderName; 5] = [
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_REAL_IP,
];
/// Trusted peers in a row at most. More of them are a loop, or a network that is too wide.
const MAX_HOPS: usize = 32;

/// The client side of forwarding fields, made once a connection and again when its listener's rules
/// have changed: a peer that is trusted no longer is not believed on its open connections either.
#[derive(Debug)]
pub(crate) struct Forwarding {
    peer: IpAddr,
    peer_text: HeaderValue,
    tls: bool,
    rules: Arc<Clients>,
    /// Whether the peer's word is believed.
    believed: bool,
}

/// What a request's forwarding fields say, as far as they are believed; nothing by default.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The client's address; `None` for the peer's own.
    pub(crate) client: Option<IpAddr>,
    /// Fields that were malformed, and are ignored for it.
    pub(crate) malformed: Vec<ForwardingField>,
    /// From the client to the one who told the peer.
    chain: Vec<Hop>,
    /// Of the client's connection.
    proto: Option<String>,
    /// What the client asked for.
    host: Option<String>,
}

/// One entry of a chain.
#[derive(Debug)]
struct Hop {
    node: Node,
    /// The element of `Forwarded` that it stood in.
    element: Option<String>,
    /// What that element says of the request.
    host: Option<String>,
    proto: Option<String>,
}

/// An address as an affinity key.
pub(crate) fn address_key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => affinity_key(&address.octets()),
        IpAddr::V6(address) => affinity_key(&address.octets()),
    }
}

impl Forwarding {
    /// For a connection from `peer`, over TLS or not, at a listener with these rules.
    pub(crate) fn new(peer: IpAddr, tls: bool, rules: &Arc<Clients>) -> Self {
        let peer = peer.to_canonical();
        Self {
            peer,
            peer_text: value(&peer.to_string()),
            tls,
            rules: rules.clone(),
            believed: rules.trusted.from.contains(peer),
        }
    }

    /// The same connection under other rules; `None` when they are the same.
    pub(crate) fn under(&self, rules: &Arc<Clients>) -> Option<Self> {
        (!Arc::ptr_eq(&self.rules, rules)).then(|| Self::new(self.peer, self.tls, rules))
    }

    /// What a request says of its client, as far as that is believed.
    pub(crate) fn see(&self, headers: &HeaderMap) -> Seen {
        let trusted = &self.rules.trusted;
        match trusted.fields {
            _ if !self.believed => Seen::default(),
            TrustedFields::XForwarded => see_x_forwarded(headers, trusted),
            TrustedFields::Forwarded => see_forwarded(headers, trusted),
        }
    }

    /// Replaces all forwarding fields, where there may be any, by leeward's own.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, seen: &Seen, any: bool) {
        if any {
            for name in FIELDS.into_iter().chain([FORWARDED]) {
                headers.remove(name);
            }
        }
        let write = self.rules.forwarded;
        if write.forwarded {
            let told = self.rfc7239(headers.get(HOST), seen);
            headers.insert(FORWARDED, value(&told));
        }
        if !write.x_forwarded {
            return;
        }
        headers.insert(X_FORWARDED_FOR, self.x_forwarded_for(seen));
        let proto = seen.proto.as_deref().map(value);
        let own = HeaderValue::from_static(self.proto());
        headers.insert(X_FORWARDED_PROTO, proto.unwrap_or(own));
        let host = seen.host.as_deref().map(value);
        match host.or_else(|| headers.get(HOST).cloned()) {
            Some(host) => headers.insert(X_FORWARDED_HOST, host),
            None => headers.remove(X_FORWARDED_HOST),
        };
    }

    const fn proto(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    fn x_forwarded_for(&self, seen: &Seen) -> HeaderValue {
        if seen.chain.is_empty() {
            return self.peer_text.clone();
        }
        let mut told = String::new();
        for hop in &seen.chain {
            // Writing into a string does not fail.
            let _ = write!(told, "{}, ", hop.node.x_forwarded());
        }
        let _ = write!(told, "{}", self.peer);
        value(&told)
    }

    /// The chain, then the peer: RFC 7239 section 7.4 says how `X-Forwarded-For` becomes one.
    fn rfc7239(&self, host: Option<&HeaderValue>, seen: &Seen) -> String {
        let mut told = String::new();
        let mut own = rfc7239::Element {
            node: Node::Address(self.peer),
            host: host.and_then(|host| host.to_str().ok()),
            proto: Some(self.proto()),
        };
        for (position, hop) in seen.chain.iter().enumerate() {
            let element = rfc7239::Element {
                node: hop.node.clone(),
                host: seen.host.as_deref().filter(|_| position == 0),
                proto: seen.proto.as_deref().filter(|_| position == 0),
            };
            let _ = match &hop.element {
                Some(element) => write!(told, "{element}, "),
                None => write!(told, "{element}, "),
            };
        }
        if seen.chain.is_empty() {
            own.host = seen.host.as_deref().or(own.host);
            own.proto = seen.proto.as_deref().or(own.proto);
        }
        let _ = write!(told, "{own}");
        told
    }
}

/// A text that was made of what field values may have.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

fn see_x_forwarded(headers: &HeaderMap, trusted: &Trusted) -> Seen {
    let mut seen = Seen::default();
    // From the right, over all lines of the field.
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let entries = lines
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        // RFC 9110 section 5.6.1.2: empty elements do not count.
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let node = Node::of_x_forwarded(std::str::from_utf8(entry).ok()?)?;
            Some(Hop {
                node,
                element: None,
                host: None,
                proto: None,
            })
        });
    seen.walk(entries, trusted, ForwardingField::XFor);
    let proto = one(headers, &X_FORWARDED_PROTO, rfc7239::is_scheme);
    seen.proto = seen.ignore_malformed(proto, ForwardingField::XProto);
    let host = one(headers, &X_FORWARDED_HOST, rfc7239::is_host);
    seen.host = seen.ignore_malformed(host, ForwardingField::XHost);
    seen
}

fn see_forwarded(headers: &HeaderMap, trusted: &Trusted) -> Seen {
    let mut seen = Seen::default();
    let lines = headers.get_all(FORWARDED).iter().rev();
    let entries = lines
        .flat_map(|line| rfc7239::from_the_right(line.as_bytes()))
        .filter(|element| !element.is_empty())
        .map(|element| {
            let text = std::str::from_utf8(element).ok()?;
            let parsed = rfc7239::parse(text).filter(|_| text.is_ascii())?;
            Some(Hop {
                node: parsed.node,
                element: Some(text.to_owned()),
                host: parsed.host,
                proto: parsed.proto,
            })
        });
    seen.walk(entries, trusted, ForwardingField::Forwarded);
    if let Some(first) = seen.chain.first_mut() {
        // Written by who met the client: it says how the client came.
        seen.host = first.host.take();
        seen.proto = first.proto.take();
    }
    seen
}

impl Seen {
    /// Takes entries, given from the right, up to and with the first whose address is not trusted.
    /// One that is malformed ends the chain before it: nobody knows whose word the rest is.
    fn walk(
        &mut self,
        entries: impl Iterator<Item = Option<Hop>>,
        trusted: &Trusted,
        field: ForwardingField,
    ) {
        for entry in entries {
            let Some(hop) = entry.filter(|_| self.chain.len() < MAX_HOPS) else {
                self.malformed.push(field);
                break;
            };
            let address = hop.node.address();
            self.chain.push(hop);
            let Some(address) = address else {
                // Somebody whom the peer will not or cannot name.
                break;
            };
            self.client = Some(address);
            if !trusted.from.contains(address) {
                break;
            }
        }
        self.chain.reverse();
    }

    fn ignore_malformed<T>(
        &mut self,
        read: Result<Option<T>, Malformed>,
        field: ForwardingField,
    ) -> Option<T> {
        read.unwrap_or_else(|Malformed| {
            self.malformed.push(field);
            None
        })
    }
}

/// A field that is not what it should be.
struct Malformed;

/// The value of a field that has one, and only one.
fn one(
    headers: &HeaderMap,
    name: &HeaderName,
    good: impl Fn(&str) -> bool,
) -> Result<Option<String>, Malformed> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| Malformed)?.trim_ascii();
    if values.next().is_some() || !good(text) {
        return Err(Malformed);
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests;
