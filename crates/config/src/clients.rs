//! How a listener knows who its clients are, and what it tells backends of them.
//!
//! Owns [`Networks`], the sets of peers that a policy names, and the types of the trust boundary.
//! Decides nothing about a connection: the proxy does. Part of [`crate::policy`].

use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A set of addresses; nobody where empty. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Arc<[IpNet]>);

impl Networks {
    /// The union of `networks`.
    pub fn new(networks: &[IpNet]) -> Self {
        let mut disjoint = IpNet::aggregate(&networks.to_vec());
        disjoint.sort_unstable_by_key(IpNet::network);
        Self(disjoint.into())
    }

    /// Whether `address` is among them. An IPv4 address that came in by an IPv6 socket counts as
    /// the IPv4 address that it is. Costs a binary search.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let behind = self.0.partition_point(|net| net.network() <= address);
        let before = behind.checked_sub(1).and_then(|at| self.0.get(at));
        before.is_some_and(|net| net.contains(&address))
    }

    /// Whether nobody is among them.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Display for Networks {
    /// `10.0.0.0/8, 192.0.2.7/32`; `nobody` where it is empty.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_empty() {
            return f.write_str("nobody");
        }
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join(", "))
    }
}

/// How a listener knows who its clients are, and what it tells backends of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Who begins each connection with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// Whose forwarding fields are believed.
    pub trusted: Trusted,
    /// What is told to backends.
    pub forwarded: ForwardingFields,
}

/// Peers that begin each connection with a PROXY header, version 1 or 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// From these it is required; from others it is not looked for.
    pub from: Networks,
    /// Time for the whole header, from accept on.
    pub timeout: Duration,
}

/// Peers whose word about their own clients is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    /// Who they are.
    pub from: Networks,
    /// The one kind of fields that they write themselves; the other kind is a client's word.
    pub fields: TrustedFields,
}

/// The kind of forwarding fields that trusted peers write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrustedFields {
    /// `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The kinds of forwarding fields that backends get; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardingFields {
    /// `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`.
    pub x_forwarded: bool,
    /// `Forwarded` (RFC 7239).
    pub forwarded: bool,
}

impl Default for ProxyProtocol {
    fn default() -> Self {
        Self {
            from: Networks::default(),
            timeout: Duration::from_secs(5),
        }
    }
}

impl Default for ForwardingFields {
    fn default() -> Self {
        Self {
            x_forwarded: true,
            forwarded: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        let networks: Vec<IpNet> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Networks::new(&networks)
    }

    fn has(networks: &Networks, address: &str) -> bool {
        networks.contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_a_network_up_to_its_very_edges() {
        let set = networks(&["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.7",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "::ffff:10.1.2.3",
        ] {
            assert!(has(&set, inside), "{inside}");
        }
        for outside in [
            "9.255.255.255",
            "11.0.0.0",
            "192.0.2.6",
            "192.0.2.8",
            "2001:db7:ffff::",
            "2001:db9::",
            "::1",
        ] {
            assert!(!has(&set, outside), "{outside}");
        }
    }

    #[test]
    fn networks_that_overlap_are_one() {
        let set = networks(&["10.1.0.0/16", "10.0.0.0/8", "10.1.2.0/24", "11.0.0.0/8"]);
        for inside in ["10.0.0.1", "10.1.2.3", "10.200.0.1", "11.255.0.0"] {
            assert!(has(&set, inside), "{inside}");
        }
        assert!(!has(&set, "12.0.0.0"));
    }

    #[test]
    fn every_ipv4_address_is_not_every_ipv6_address() {
        let v4 = networks(&["0.0.0.0/0"]);
        assert!(has(&v4, "203.0.113.9") && !has(&v4, "2001:db8::1"));
        let v6 = networks(&["::/0"]);
        assert!(has(&v6, "2001:db8::1") && !has(&v6, "203.0.113.9"));
        assert!(!has(&Networks::default(), "127.0.0.1"));
    }
}
