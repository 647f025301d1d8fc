//! What the system says of names: `/etc/resolv.conf` and `/etc/hosts`.
//!
//! Read when a policy is loaded. Where the policy names resolvers, `resolv.conf` says nothing and
//! names are taken as whole ones; `/etc/hosts` counts in any case.

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Resolvers of the system that are asked at most; the C library stops at three.
const MOST_RESOLVERS: usize = 3;

/// What the system says.
pub(crate) struct System {
    pub(crate) resolvers: Vec<SocketAddr>,
    search: Vec<Name>,
    ndots: usize,
    hosts: Hosts,
}

impl System {
    /// With these resolvers, or those of the system where there is none.
    pub(crate) fn read(resolvers: &[SocketAddr]) -> Self {
        let mut system = Self {
            resolvers: resolvers.to_vec(),
            search: Vec::new(),
            ndots: 1,
            hosts: Hosts::from_system().unwrap_or_default(),
        };
        if !system.resolvers.is_empty() {
            return system;
        }
        match read_system_conf() {
            Ok((config, options)) => {
                system.search = config.search().to_vec();
                system.ndots = options.ndots;
                for server in config.name_servers().iter().take(MOST_RESOLVERS) {
                    system.resolvers.push(SocketAddr::new(server.ip, 53));
                }
            }
            Err(error) => {
                let fallback = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
                tracing::warn!(%error, %fallback, "the system names no resolver");
                system.resolvers.push(fallback);
            }
        }
        system
    }

    /// The whole names that a host may stand for, in the order in which they are tried.
    pub(crate) fn names(&self, host: &str) -> Vec<Name> {
        let Ok(name) = Name::from_str_relaxed(host) else {
            return Vec::new();
        };
        let mut whole = name.clone();
        whole.set_fqdn(true);
        if name.is_fqdn() {
            return vec![whole];
        }
        let longer = self
            .search
            .iter()
            .filter_map(|domain| name.clone().append_domain(domain).ok());
        let mut names: Vec<Name> = longer.collect();
        let dots = host.matches('.').count();
        let at = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(at, whole);
        for name in &mut names {
            name.set_fqdn(true);
        }
        names
    }

    /// The addresses that `/etc/hosts` has for a host.
    pub(crate) fn hosts(&self, host: &str) -> Vec<IpAddr> {
        let Ok(name) = Name::from_str_relaxed(host) else {
            return Vec::new();
        };
        let families = [RecordType::A, RecordType::AAAA];
        let lookups = families.into_iter().filter_map(|family| {
            self.hosts
                .lookup_static_host(&Query::query(name.clone(), family))
        });
        let addresses = |lookup: hickory_resolver::lookup::Lookup| {
            let data = lookup
                .answers()
                .iter()
                .filter_map(|r| super::answer::address(&r.data));
            data.collect::<Vec<_>>()
        };
        lookups.flat_map(addresses).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(search: &[&str], ndots: usize) -> System {
        let search = search
            .iter()
            .map(|name| Name::from_ascii(name).unwrap())
            .collect();
        System {
            resolvers: Vec::new(),
            search,
            ndots,
            hosts: Hosts::default(),
        }
    }

    fn names(system: &System, host: &str) -> Vec<String> {
        system.names(host).iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn a_host_is_a_whole_name_where_nothing_is_searched() {
        assert_eq!(names(&system(&[], 1), "api"), ["api."]);
        assert_eq!(
            names(&system(&["x.example."], 1), "api.example."),
            ["api.example."]
        );
    }

    #[test]
    fn short_names_are_searched_first_and_long_ones_last() {
        let system = system(&["ns.svc.cluster.local.", "example."], 2);
        let short = ["api.ns.svc.cluster.local.", "api.example.", "api."];
        assert_eq!(names(&system, "api"), short);
        let long = ["a.b.c.", "a.b.c.ns.svc.cluster.local.", "a.b.c.example."];
        assert_eq!(names(&system, "a.b.c"), long);
    }
}
