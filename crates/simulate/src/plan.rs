//! What a world is made of before it begins: a policy, servers, names, phases, load, words.
//!
//! `random` and `scenario` write plans, `world` plays them.

use crate::dice::Dice;
use crate::fault::Phase;
use crate::server::Server;
use leeward_config::{Files, Options, Variables};
use leeward_failover::{Class, OperatorWord, Policy, Time};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A policy as far as a world needs it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The engine's part.
    pub engine: Policy,
    /// By pool: time for a connection, age of an idle one, age of one that an order may use.
    pub io: Vec<(Duration, Duration, Duration)>,
    /// By pool and class: the time that all attempts share.
    pub deadlines: BTreeMap<(usize, Class), Option<Duration>>,
}

/// Open-loop load.
#[derive(Clone, Debug)]
pub struct Load {
    /// Name of the pool.
    pub pool: String,
    /// What is asked.
    pub class: Class,
    /// Requests a second on average.
    pub rate: f64,
    /// The only client that asks; many where nothing is said.
    pub client: Option<u64>,
}

/// Something that is done to leeward from outside.
#[derive(Clone, Debug)]
pub enum Deed {
    /// An operator's word about a site or a provider.
    Word {
        /// `aws` or `aws/use1`.
        place: String,
        /// The word.
        word: OperatorWord,
        /// When it lapses.
        lasts: Option<Duration>,
    },
    /// Another policy.
    Reload(Box<Rules>),
    /// The process ends, and another begins this much later with its memory.
    Restart(Duration),
    /// The process stands still.
    Suspend(Duration),
}

/// A name: where it leads.
#[derive(Clone, Debug)]
pub struct Name {
    /// The pool and the backend's URL.
    pub backend: (String, String),
    /// Positions in the world's servers.
    pub servers: Vec<usize>,
    /// Where it leads once it has moved.
    pub spares: Vec<usize>,
    /// What the proxy was told last.
    pub told: (Vec<SocketAddr>, Vec<SocketAddr>),
    /// Whether it has addresses of its own, besides literal ones.
    pub resolves: bool,
}

/// A world before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whatever happens at random follows from it.
    pub seed: u64,
    /// The policy that leeward starts with.
    pub rules: Rules,
    /// Every address of every backend.
    pub servers: Vec<Server>,
    /// Every backend's name.
    pub names: Vec<Name>,
    /// What goes wrong.
    pub phases: Vec<Phase>,
    /// What is asked.
    pub loads: Vec<Load>,
    /// What is done to leeward, and when.
    pub deeds: Vec<(Time, Deed)>,
    /// When the world ends.
    pub end: Time,
}

impl Rules {
    /// Compiles a policy file's text; the problems where there are any.
    pub fn compile(text: &str) -> Result<Rules, String> {
        let options = Options {
            files: Files::MayBeMissing,
            variables: Variables::Given(BTreeMap::new()),
        };
        let loaded = leeward_config::parse_with("policy.yaml", text, Path::new("."), &options);
        let Some(policy) = loaded.policy else {
            let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
            return Err(problems.join("\n"));
        };
        let io = policy
            .pools
            .iter()
            .map(|pool| {
                (
                    pool.connect_timeout,
                    pool.idle_timeout,
                    pool.order_reuse_within,
                )
            })
            .collect();
        let mut deadlines = BTreeMap::new();
        for route in &policy.routes {
            deadlines
                .entry((route.pool.index(), route.class))
                .or_insert(route.deadline);
        }
        Ok(Rules {
            engine: policy.engine,
            io,
            deadlines,
        })
    }

    /// The position of a pool.
    pub fn pool(&self, name: &str) -> Option<usize> {
        self.engine.pools.iter().position(|pool| pool.name == name)
    }
}

impl Plan {
    /// A calm world around a policy: each backend has `addresses(url)` addresses, and no load yet.
    pub fn around(rules: Rules, seed: u64, end: Time, addresses: impl Fn(&str) -> usize) -> Plan {
        let mut dice = Dice::new(seed, 1);
        let mut rtts: BTreeMap<String, Duration> = BTreeMap::new();
        let (mut servers, mut names) = (Vec::new(), Vec::new());
        for backend in &rules.engine.backends {
            let site = rules.engine.sites[backend.site.index()].name.clone();
            let pool = rules.engine.pools[backend.pool.index()].name.clone();
            let rtt = *rtts
                .entry(site.clone())
                .or_insert_with(|| dice.millis(1, 20));
            let mut name = Name {
                backend: (pool.clone(), backend.name.clone()),
                servers: Vec::new(),
                spares: Vec::new(),
                told: (Vec::new(), Vec::new()),
                resolves: backend.addresses.is_empty(),
            };
            let count = addresses(&backend.name).max(1);
            for number in 0..backend.addresses.len().max(count) {
                let literal = backend.addresses.get(number).copied();
                if literal.is_none() && !backend.addresses.is_empty() {
                    break;
                }
                name.servers.push(servers.len());
                let address = literal.unwrap_or_else(|| address(servers.len()));
                servers.push(Server {
                    address,
                    pool: pool.clone(),
                    backend: backend.name.clone(),
                    site: site.clone(),
                    rtt,
                    work: dice.millis(1, 6),
                    capacity: backend.capacity.map(|all| f64::from(all) / count as f64),
                    busy_until: Time::ZERO,
                    idle: Vec::new(),
                });
            }
            names.push(name);
        }
        Plan {
            seed,
            rules,
            servers,
            names,
            phases: Vec::new(),
            loads: Vec::new(),
            deeds: Vec::new(),
            end,
        }
    }

    /// Positions of the servers at a place: `all`, a provider, a site, a backend's URL or host, one
    /// of its addresses by number (`host#2`), in one pool where written `POOL:PLACE`.
    pub fn at(&self, place: &str) -> Vec<usize> {
        let (pool, place) = match place.split_once(':') {
            Some((pool, rest)) if self.rules.pool(pool).is_some() => (Some(pool), rest),
            _ => (None, place),
        };
        let (place, number) = match place.split_once('#') {
            Some((place, number)) => (place, number.parse::<usize>().ok()),
            None => (place, None),
        };
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut found = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            let host = host_of(&server.backend);
            let fits = place == "all"
                || place == server.provider()
                || place == server.site
                || place == server.backend
                || place == host
                || host.split('.').next() == Some(place);
            if !fits || pool.is_some_and(|pool| pool != server.pool) {
                continue;
            }
            let nth = seen.entry(&server.backend).or_default();
            *nth += 1;
            if number.is_none_or(|number| number == *nth) {
                found.push(index);
            }
        }
        found
    }
}

/// The host of a backend's URL.
pub(crate) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(':').next().unwrap_or(rest)
}

/// The address of the n-th server.
pub(crate) fn address(number: usize) -> SocketAddr {
    let [.., high, low] = u32::try_from(number + 1).unwrap_or(u32::MAX).to_be_bytes();
    SocketAddr::from(([10, 77, high, low], 443))
}
