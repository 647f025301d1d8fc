//! Operators' words from outside: names to targets, what they would lead to, whether they are said.
//!
//! The engine judges (`leeward_failover::Prospect`); this asks it first, and says a word that
//! something speaks against only where that was forced. Called by the control task on behalf of
//! `admin/words`; nothing here waits for anything.

use leeward_config::suggest;
use leeward_failover::{
    EndpointId, Engine, Input, Objection, OperatorWord, Policy, PoolProspect, ProviderId, SiteId,
    Target, Time, WordLeft,
};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What an operator wants said.
#[derive(Clone, Debug)]
pub(crate) struct Saying {
    pub(crate) word: OperatorWord,
    /// Providers, sites, endpoints by address.
    pub(crate) targets: Vec<String>,
    pub(crate) lasts: Option<Duration>,
    pub(crate) reason: String,
    /// Whatever speaks against it.
    pub(crate) force: bool,
    /// Only what would follow is wanted.
    pub(crate) dry_run: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It was said, or would have been.
    Said(Report),
    /// Something speaks against it, and it was not forced.
    Refused(Report),
    /// Names that mean nothing, or more than one thing; each with a hint.
    Unknown(Vec<String>),
}

/// A word and what it leads to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    word: &'static str,
    /// By the names of the journal.
    targets: Vec<String>,
    /// Whether it holds now.
    said: bool,
    /// Whether it was said against what follows in `objections`.
    forced: bool,
    /// When it lapses, in milliseconds from now.
    lasts_ms: Option<u64>,
    reason: String,
    objections: Vec<Objection>,
    /// Of what is restored: words around it and in it that were said by themselves, and stand.
    still: Vec<WordLeft>,
    pools: Vec<PoolProspect>,
}

/// What comes of a word, and what the engine has to be told for it; nothing where it is not said.
pub(crate) fn say(engine: &Engine, saying: Saying, now: Time) -> (Answer, Option<Input>) {
    let policy = engine.policy();
    let mut targets: Vec<Target> = Vec::new();
    let mut unknown = Vec::new();
    for name in &saying.targets {
        match find(policy, engine, name) {
            Ok(found) => targets.extend(found),
            Err(text) => unknown.push(text),
        }
    }
    if !unknown.is_empty() {
        return (Answer::Unknown(unknown), None);
    }
    targets.sort_unstable();
    targets.dedup();
    let prospect = engine.consider(&targets, saying.word, now);
    let objected = !prospect.objections.is_empty();
    let lasts = saying.lasts.filter(|_| saying.word != OperatorWord::Active);
    let mut report = Report {
        word: saying.word.as_str(),
        targets: targets
            .iter()
            .map(|target| engine.name_of(*target))
            .collect(),
        said: false,
        forced: objected && saying.force,
        lasts_ms: lasts.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        reason: saying.reason.clone(),
        objections: prospect.objections,
        still: match saying.word {
            OperatorWord::Active => engine.words_left(&targets, now),
            OperatorWord::Draining | OperatorWord::Evacuated => Vec::new(),
        },
        pools: prospect.pools,
    };
    if objected && !saying.force {
        return (Answer::Refused(report), None);
    }
    if saying.dry_run {
        return (Answer::Said(report), None);
    }
    report.said = true;
    let input = Input::Words {
        targets,
        word: saying.word,
        lasts,
        reason: saying.reason,
        forced: report.forced,
    };
    (Answer::Said(report), Some(input))
}

/// A provider `aws`, a site `aws/us-east-1`, an endpoint `192.0.2.7:8443` or `trading/192.0.2.7:8443`;
/// an address without a port where that says enough.
pub(crate) fn find(policy: &Policy, engine: &Engine, name: &str) -> Result<Vec<Target>, String> {
    if let Some(at) = policy.providers.iter().position(|known| known.name == name) {
        return Ok(vec![Target::Provider(ProviderId::from(at))]);
    }
    if let Some(at) = policy.sites.iter().position(|known| known.name == name) {
        return Ok(vec![Target::Site(SiteId::from(at))]);
    }
    let (pool, address) = match name.rsplit_once('/') {
        Some((pool, address)) => (Some(pool), address),
        None => (None, name),
    };
    match Wanted::of(address) {
        Some(wanted) => endpoints(policy, engine, pool, wanted, name),
        None => {
            let providers = policy.providers.iter().map(|known| known.name.as_str());
            let sites = policy.sites.iter().map(|known| known.name.as_str());
            let known: Vec<&str> = providers.chain(sites).collect();
            let hint = suggest(name, &known).map_or_else(String::new, |hint| format!("; {hint}"));
            Err(format!("there is no provider or site `{name}`{hint}"))
        }
    }
}

/// An address as an operator writes it.
#[derive(Clone, Copy)]
enum Wanted {
    Whole(SocketAddr),
    AnyPort(IpAddr),
}

impl Wanted {
    fn of(text: &str) -> Option<Wanted> {
        let whole = text.parse().map(Wanted::Whole);
        whole.or_else(|_| text.parse().map(Wanted::AnyPort)).ok()
    }

    fn is(self, address: SocketAddr) -> bool {
        match self {
            Wanted::Whole(wanted) => wanted == address,
            Wanted::AnyPort(wanted) => wanted == address.ip(),
        }
    }
}

/// All endpoints of one pool at an address: a pool may have it at several backends.
fn endpoints(
    policy: &Policy,
    engine: &Engine,
    pool: Option<&str>,
    wanted: Wanted,
    name: &str,
) -> Result<Vec<Target>, String> {
    let pools: Vec<&str> = policy.pools.iter().map(|pool| pool.name.as_str()).collect();
    if let Some(pool) = pool.filter(|pool| !pools.contains(pool)) {
        let hint = suggest(pool, &pools).map_or_else(String::new, |hint| format!("; {hint}"));
        return Err(format!("`{name}`: there is no pool `{pool}`{hint}"));
    }
    let table = engine.table();
    let known: Vec<(Target, String)> = table
        .endpoints
        .iter()
        .enumerate()
        .filter_map(|(at, info)| {
            let info = info.as_ref()?;
            let of = &policy.pools[policy.backends.get(info.backend.index())?.pool.index()].name;
            let here = pool.is_none_or(|pool| pool == of);
            let place = format!("{of}/{}", info.address);
            here.then(|| (Target::Endpoint(EndpointId::from(at)), place, info.address))
        })
        .filter(|(_, _, address)| wanted.is(*address))
        .map(|(target, place, _)| (target, place))
        .collect();
    let mut places: Vec<&str> = known.iter().map(|(_, place)| place.as_str()).collect();
    places.sort_unstable();
    places.dedup();
    match places.len() {
        0 => Err(format!("there is no endpoint `{name}`")),
        1 => Ok(known.into_iter().map(|(target, _)| target).collect()),
        _ => {
            let places: Vec<String> = places.iter().map(|place| format!("`{place}`")).collect();
            let places = places.join(" or ");
            Err(format!("`{name}` is more than one endpoint; say {places}"))
        }
    }
}
