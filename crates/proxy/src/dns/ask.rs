//! Asks one resolver: addresses of a name, targets of a service.
//!
//! hickory speaks the protocol (UDP, TCP where an answer was cut); what an answer means is read in
//! `answer`. Nothing is cached: a question is asked when `keeper` says so. Each resolver is asked by
//! itself, so that one that is slow or lies says nothing for the others.

use super::answer::{self, MOST_ALIASES, Reading};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use leeward_metrics::LookupResult;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Targets of a service that are looked up at most.
const MOST_TARGETS: usize = 32;

/// One resolver.
pub(crate) struct Resolver {
    /// Its address, for labels and logs.
    pub(crate) label: String,
    pool: NameServerPool<TokioRuntimeProvider>,
    timeout: Duration,
}

/// Addresses of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) ips: Vec<IpAddr>,
    /// For how long they may be used, in seconds.
    pub(crate) ttl: u32,
    /// Records of other names that came with them.
    pub(crate) others: usize,
}

/// What was last found by name and family: where one of several questions fails, what it said
/// before stands.
pub(crate) type Memory = HashMap<(Name, RecordType), Vec<IpAddr>>;

/// One target of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) priority: u16,
    pub(crate) port: u16,
    pub(crate) name: Name,
}

impl Resolver {
    /// A resolver at `address`; `timeout` is for each question.
    ///
    /// # Errors
    /// hickory cannot be set up.
    pub(crate) fn new(address: SocketAddr, timeout: Duration) -> Result<Self, NetError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        let at_port = connections.map(|mut connection| {
            connection.port = address.port();
            connection
        });
        let server = NameServerConfig::new(address.ip(), true, at_port.to_vec());
        let mut options = ResolverOpts::default();
        options.timeout = timeout;
        options.attempts = 0;
        let context = Arc::new(PoolContext::new(options, TlsConfig::new()?));
        let provider = TokioRuntimeProvider::default();
        Ok(Self {
            label: address.to_string(),
            pool: NameServerPool::from_config([server], context, provider),
            timeout,
        })
    }

    /// All addresses of the first of `names` that has any.
    ///
    /// # Errors
    /// Why the last of them has none.
    pub(crate) async fn addresses(
        &self,
        names: &[Name],
        memory: &mut Memory,
    ) -> Result<Found, LookupResult> {
        let mut last = LookupResult::NxDomain;
        for name in names {
            match self.of_name(name, memory).await {
                Err(said @ (LookupResult::NxDomain | LookupResult::Empty)) => last = said,
                other => return other,
            }
        }
        Err(last)
    }

    /// Both families at once. Where one answers and the other fails, what the other said before
    /// stands.
    async fn of_name(&self, name: &Name, memory: &mut Memory) -> Result<Found, LookupResult> {
        if let Some(found) = special(name) {
            return found;
        }
        let families = [RecordType::A, RecordType::AAAA];
        let [v4, v6] = families.map(|family| self.family(name, family));
        let (v4, v6) = tokio::join!(v4, v6);
        let (mut all, mut failure) = (
            Found {
                ttl: u32::MAX,
                ..Found::default()
            },
            None,
        );
        let answered = v4.is_ok() || v6.is_ok();
        for (family, result) in families.into_iter().zip([v4, v6]) {
            let key = (name.clone(), family);
            match result {
                Ok(found) => {
                    all.ips.extend(&found.ips);
                    all.ttl = all.ttl.min(found.ttl);
                    all.others += found.others;
                    memory.insert(key, found.ips);
                }
                Err(LookupResult::NxDomain | LookupResult::Empty) if answered => {
                    memory.remove(&key);
                }
                Err(_) if answered => all.ips.extend(memory.get(&key).into_iter().flatten()),
                Err(said) => failure = worse(failure, said),
            }
        }
        if answered {
            Ok(all)
        } else {
            Err(failure.unwrap_or(LookupResult::Empty))
        }
    }

    async fn family(&self, name: &Name, family: RecordType) -> Result<Found, LookupResult> {
        let (ips, ttl, others) = self.records(name, family, answer::address).await?;
        Ok(Found { ips, ttl, others })
    }

    /// The targets of a service, the best ranks first, and for how long they may be used.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) async fn targets(&self, service: &Name) -> Result<(Vec<Target>, u32), LookupResult> {
        let target = |data: &RData| match data {
            // A lone dot means that there is no such service (RFC 2782).
            RData::SRV(srv) if !srv.target.is_root() && srv.port > 0 => Some(Target {
                priority: srv.priority,
                port: srv.port,
                name: srv.target.clone(),
            }),
            _ => None,
        };
        let (mut targets, ttl, _) = self.records(service, RecordType::SRV, target).await?;
        targets.sort_by_key(|target| target.priority);
        targets.truncate(MOST_TARGETS);
        Ok((targets, ttl))
    }

    /// The records of one kind, aliases followed.
    async fn records<T>(
        &self,
        name: &Name,
        kind: RecordType,
        value: impl Fn(&RData) -> Option<T> + Copy,
    ) -> Result<(Vec<T>, u32, usize), LookupResult> {
        let (mut name, mut ttl) = (name.clone(), u32::MAX);
        let mut aliases = MOST_ALIASES;
        loop {
            let records = self.ask(&name, kind).await?;
            match answer::read(&name, kind, &records, &mut aliases, value)? {
                Reading::Found(found, its_ttl, others) => {
                    return Ok((found, ttl.min(its_ttl), others));
                }
                Reading::Alias(target, its_ttl) => (name, ttl) = (target, ttl.min(its_ttl)),
            }
        }
    }

    /// One question.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Vec<Record>, LookupResult> {
        let query = Query::query(name.clone(), kind);
        let asked = self
            .pool
            .lookup(query.clone(), DnsRequestOptions::default());
        let answer = tokio::time::timeout(self.timeout, asked.first_answer()).await;
        let response = match answer {
            Err(_) => return Err(LookupResult::Timeout),
            Ok(Err(error)) => return Err(meaning(&error)),
            Ok(Ok(response)) => response,
        };
        match response.response_code {
            ResponseCode::NoError => {}
            // What does not exist has no records, whatever else the answer holds.
            ResponseCode::NXDomain => return Err(LookupResult::NxDomain),
            _ => return Err(LookupResult::ServFail),
        }
        if response.queries.iter().any(|asked| *asked != query) {
            return Err(LookupResult::OtherName);
        }
        if response.truncation {
            return Err(LookupResult::Truncated);
        }
        Ok(response.into_message().answers)
    }
}

/// Names that no resolver has to be asked about (RFC 6761).
fn special(name: &Name) -> Option<Result<Found, LookupResult>> {
    let last = name
        .iter()
        .next_back()
        .unwrap_or_default()
        .to_ascii_lowercase();
    match last.as_slice() {
        b"localhost" => {
            let ips = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            Some(Ok(Found {
                ips,
                ttl: u32::MAX,
                others: 0,
            }))
        }
        b"invalid" => Some(Err(LookupResult::NxDomain)),
        _ => None,
    }
}

/// Of two failures the one that says more: that nothing is there says least.
fn worse(one: Option<LookupResult>, other: LookupResult) -> Option<LookupResult> {
    let says_little = |said| matches!(said, LookupResult::Empty | LookupResult::NxDomain);
    match one {
        Some(one) if !says_little(one) || says_little(other) => Some(one),
        _ => Some(other),
    }
}

fn meaning(error: &NetError) -> LookupResult {
    match error {
        NetError::Timeout => LookupResult::Timeout,
        NetError::Truncated => LookupResult::Truncated,
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => LookupResult::NxDomain,
            ResponseCode::NoError => LookupResult::Empty,
            _ => LookupResult::ServFail,
        },
        NetError::Dns(_) => LookupResult::ServFail,
        NetError::Io(_) | NetError::NoConnections | NetError::Busy => LookupResult::Unreachable,
        _ => LookupResult::Malformed,
    }
}
