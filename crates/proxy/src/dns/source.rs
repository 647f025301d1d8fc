//! One source of a backend's addresses, asked once: a resolver about a name or a service, a file,
//! an HTTP service.
//!
//! Turns what came into a word for the book. Judges no address; called by `keeper`.

use super::ask::{Found, Memory, Resolver, Target};
use super::book::Word;
use super::fetch;
use super::system::System;
use super::targets::Targets;
use hickory_resolver::proto::rr::Name;
use leeward_config::policy::{FileSd, HttpSd};
use leeward_metrics::LookupResult;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;

/// What can be asked for addresses.
pub(crate) enum Source {
    /// The names that the host of the URL may stand for.
    Host {
        resolver: Rc<Resolver>,
        names: Vec<Name>,
        memory: Memory,
    },
    /// A service, and what was found of its targets.
    Service {
        resolver: Rc<Resolver>,
        name: Name,
        memory: HashMap<Name, Memory>,
    },
    File(FileSd),
    Http {
        from: HttpSd,
        system: Rc<System>,
        resolvers: Vec<Rc<Resolver>>,
    },
}

/// What a source said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) word: Word,
    /// For how long it may be used.
    pub(crate) ttl: Duration,
    /// Records that belong to other names.
    pub(crate) others: usize,
    /// Targets that are no addresses.
    pub(crate) bad: Vec<String>,
}

impl Source {
    /// Who is asked, for labels and logs.
    pub(crate) fn asked(&self) -> &str {
        match self {
            Source::Host { resolver, .. } | Source::Service { resolver, .. } => &resolver.label,
            Source::File(_) => "file",
            Source::Http { .. } => "http",
        }
    }

    /// Its name in the book; the same under another policy.
    pub(crate) fn voice(&self) -> String {
        match self {
            Source::Host { resolver, .. } => format!("host {}", resolver.label),
            Source::Service { resolver, name, .. } => format!("srv {name} {}", resolver.label),
            Source::File(file) => format!("file {}", file.path.display()),
            Source::Http { from, .. } => format!("http {}:{}{}", from.host, from.port, from.target),
        }
    }

    /// Least and longest time for which an answer is used, where the source has its own.
    pub(crate) fn refresh(&self) -> Option<Duration> {
        match self {
            Source::Host { .. } | Source::Service { .. } => None,
            Source::File(file) => Some(file.refresh),
            Source::Http { from, .. } => Some(from.refresh),
        }
    }

    /// Asks once; `port` is that of the backend's URL.
    ///
    /// # Errors
    /// Why there are no addresses: as a word, and in words.
    pub(crate) async fn ask(&mut self, port: u16) -> Result<Said, fetch::Failed> {
        let plain = |said: LookupResult| (said, String::new());
        match self {
            Source::Host {
                resolver,
                names,
                memory,
            } => {
                let found = resolver.addresses(names, memory).await.map_err(plain)?;
                let listed = found
                    .ips
                    .iter()
                    .map(|ip| SocketAddr::new(*ip, port))
                    .collect();
                let word = Word {
                    listed,
                    standby: Vec::new(),
                };
                Ok(Said {
                    word,
                    ttl: secs(found.ttl),
                    others: found.others,
                    bad: Vec::new(),
                })
            }
            Source::Service {
                resolver,
                name,
                memory,
            } => service(resolver, name, memory).await.map_err(plain),
            Source::File(file) => listed(fetch::file(file.path.clone(), port).await?, file.refresh),
            Source::Http {
                from,
                system,
                resolvers,
            } => listed(
                fetch::http(from, port, system, resolvers).await?,
                from.refresh,
            ),
        }
    }
}

fn secs(ttl: u32) -> Duration {
    Duration::from_secs(u64::from(ttl))
}

fn listed(targets: Targets, ttl: Duration) -> Result<Said, fetch::Failed> {
    let Targets { addresses, refused } = targets;
    match (addresses.as_slice(), refused.first()) {
        ([], Some(target)) => {
            let text = format!("no target is an address: `{target}`");
            Err((LookupResult::Malformed, text))
        }
        ([], None) => Err((LookupResult::Empty, "no targets".to_owned())),
        _ => {
            let word = Word {
                listed: addresses,
                standby: Vec::new(),
            };
            Ok(Said {
                word,
                ttl,
                others: 0,
                bad: refused,
            })
        }
    }
}

/// Looks a service up, then its targets, all at once. Targets of the best rank are listed, the
/// others stand by. A target that cannot be looked up keeps what was found of it before.
async fn service(
    resolver: &Rc<Resolver>,
    name: &Name,
    memory: &mut HashMap<Name, Memory>,
) -> Result<Said, LookupResult> {
    let (targets, ttl) = resolver.targets(name).await?;
    let best = targets.first().map(|target| target.priority);
    memory.retain(|name, _| targets.iter().any(|target| target.name == *name));
    let mut asking = JoinSet::new();
    for target in targets {
        let resolver = resolver.clone();
        let mut of_target = memory.remove(&target.name).unwrap_or_default();
        asking.spawn_local(async move {
            let names = [target.name.clone()];
            let found = resolver.addresses(&names, &mut of_target).await;
            (target, found, of_target)
        });
    }
    let mut said = Said {
        ttl: secs(ttl),
        ..Said::default()
    };
    let mut failure = None;
    while let Some(asked) = asking.join_next().await {
        let Ok((target, found, of_target)) = asked else {
            continue;
        };
        let found = found.or_else(|failed| remembered(failed, &of_target));
        memory
            .entry(target.name.clone())
            .or_default()
            .extend(of_target);
        match found {
            Ok(found) => take(&mut said, &target, &found, best),
            Err(failed) => failure = Some(failed),
        }
    }
    if said.word.listed.is_empty() && said.word.standby.is_empty() {
        return Err(failure.unwrap_or(LookupResult::Empty));
    }
    Ok(said)
}

/// What was found of a target before, where nothing can be found of it now.
fn remembered(failed: LookupResult, memory: &Memory) -> Result<Found, LookupResult> {
    let gone = matches!(failed, LookupResult::NxDomain | LookupResult::Empty);
    let ips: Vec<_> = memory.values().flatten().copied().collect();
    if gone || ips.is_empty() {
        return Err(failed);
    }
    // Asked again soon: the bounds of the policy see to it.
    Ok(Found {
        ips,
        ttl: 0,
        others: 0,
    })
}

fn take(said: &mut Said, target: &Target, found: &Found, best: Option<u16>) {
    let addresses = found.ips.iter().map(|ip| SocketAddr::new(*ip, target.port));
    if Some(target.priority) == best {
        said.word.listed.extend(addresses);
    } else {
        said.word.standby.extend(addresses);
    }
    said.ttl = said.ttl.min(secs(found.ttl));
    said.others += found.others;
}
