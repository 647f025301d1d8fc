//! What outlives the process: verdicts that speak against a place, operators' words, writers and
//! addresses, by name.
//!
//! Owns the shape of the memory and how it is taken from the engine; `recall` gives it back. Ids
//! are of one process and never stand in here. What the next probes and requests say anyway
//! (`suspect`, `degraded`, what is in the window) is not kept. The control task in `proxy` asks for
//! it; where it is kept is the proxy's business.

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::fleet::Fleet;
use crate::held::{Held, Word, millis};
use crate::hold::{HoldDown, HoldMemory};
use crate::id::{BackendId, ProviderId};
use crate::input::OperatorWord;
use crate::place::Place;
use crate::time::Time;
use crate::verdict::{Cause, Verdict};
use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer, Serialize};
use std::net::SocketAddr;

/// All that an engine remembers over a restart. Written by [`Engine::memory`], taken by
/// [`crate::Input::Memory`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The shape of this; [`Memory::VERSION`] where this program wrote it.
    pub version: u32,
    /// The number of the newest event: the journal goes on from there.
    #[serde(default)]
    pub seq: u64,
    /// Providers of which there is anything to remember.
    #[serde(default)]
    pub providers: Vec<PlaceMemory>,
    /// Sites of which there is anything to remember.
    #[serde(default)]
    pub sites: Vec<PlaceMemory>,
    /// Pools that have a writer.
    #[serde(default)]
    pub pools: Vec<PoolMemory>,
    /// Backends whose names resolved to something.
    #[serde(default)]
    pub backends: Vec<BackendMemory>,
    /// Endpoints of which there is anything to remember.
    #[serde(default)]
    pub endpoints: Vec<EndpointMemory>,
}

/// What is remembered of a provider or a site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaceMemory {
    /// `aws` or `aws/us-east-1`.
    pub name: String,
    /// What was held of it.
    #[serde(default)]
    pub held: HeldMemory,
    /// The operator's word, where it keeps new work away.
    #[serde(default)]
    pub word: Option<WordMemory>,
}

/// A verdict and the way home.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldMemory {
    /// What was held; a word that this program does not know counts as `unknown`.
    #[serde(default, deserialize_with = "known_or_default")]
    pub verdict: Verdict,
    /// Why, in the journal's word.
    #[serde(default)]
    pub cause: String,
    /// The last hold-down.
    #[serde(default)]
    pub hold_down: HoldMemory,
}

/// An operator's word about a place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WordMemory {
    /// The word; one that this program does not know counts as `active`.
    #[serde(deserialize_with = "known_or_default")]
    pub word: OperatorWord,
    /// Until it lapses, in milliseconds; absent where it never does.
    #[serde(default)]
    pub left_ms: Option<u64>,
    /// The reason that came with it.
    #[serde(default)]
    pub reason: String,
}

/// What is remembered of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolMemory {
    /// As in the policy.
    pub name: String,
    /// The provider that took its orders.
    pub writer: String,
    /// An operator wants the writer home as soon as it is well there.
    #[serde(default)]
    pub called_home: bool,
}

/// The last addresses of a backend's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendMemory {
    /// The pool that it serves.
    pub pool: String,
    /// The site that it stands in.
    pub site: String,
    /// Its URL as in the policy.
    pub url: String,
    /// What its name resolved to.
    pub addresses: Vec<SocketAddr>,
    /// What it had resolved to before, kept though it was listed no more.
    #[serde(default)]
    pub retained: Vec<SocketAddr>,
}

/// What is remembered of an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointMemory {
    /// The pool that it serves.
    pub pool: String,
    /// The site that it stands in.
    pub site: String,
    /// Its backend's URL as in the policy.
    pub url: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What was held of it.
    #[serde(default)]
    pub held: HeldMemory,
    /// The operator's word, where it keeps new work away.
    #[serde(default)]
    pub word: Option<WordMemory>,
    /// What was held of its order path, where orders failed there: no probe would say it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<HeldMemory>,
}

impl Memory {
    /// The shape that this program writes. It reads this one and those before it.
    pub const VERSION: u32 = 1;
}

/// Nothing is remembered.
impl Default for Memory {
    fn default() -> Memory {
        Memory {
            version: Memory::VERSION,
            seq: 0,
            providers: Vec::new(),
            sites: Vec::new(),
            pools: Vec::new(),
            backends: Vec::new(),
            endpoints: Vec::new(),
        }
    }
}

impl Engine {
    /// What a process that starts after this one should know, as of `now`.
    pub fn memory(&self, now: Time) -> Memory {
        let now = now.max(self.now);
        let fleet = &self.fleet;
        let policy = &fleet.policy;
        let providers = policy.providers.iter().zip(&fleet.providers);
        let sites = policy.sites.iter().zip(&fleet.sites);
        Memory {
            version: Memory::VERSION,
            seq: self.journal.seq(),
            providers: providers
                .filter_map(|(params, state)| place(&params.name, &state.place, now))
                .collect(),
            sites: sites
                .filter_map(|(params, state)| place(&params.name, &state.place, now))
                .collect(),
            pools: self.pool_memories(),
            backends: (0..fleet.backends.len())
                .filter_map(|index| addresses(fleet, index.into()))
                .collect(),
            endpoints: fleet
                .all_endpoints()
                .filter_map(|known| endpoint(fleet, known, now))
                .collect(),
        }
    }

    fn pool_memories(&self) -> Vec<PoolMemory> {
        let pools = self.fleet.policy.pools.iter().zip(&self.fleet.pools);
        let memory = |name: &str, writer: ProviderId, called_home| PoolMemory {
            name: name.to_owned(),
            writer: self.fleet.provider_name(writer).to_owned(),
            called_home,
        };
        pools
            .filter_map(|(params, pool)| {
                Some(memory(&params.name, pool.writer?, pool.writer_called_home))
            })
            .collect()
    }
}

/// A site that is left only because its provider is, follows it again.
fn place(name: &str, place: &Place, now: Time) -> Option<PlaceMemory> {
    let held = Some(&place.held).filter(|_| !place.is_dragged());
    let (held, word) = notable(held, &place.hold, &place.word, now)?;
    Some(PlaceMemory {
        name: name.to_owned(),
        held,
        word,
    })
}

fn endpoint(fleet: &Fleet, known: &Endpoint, now: Time) -> Option<EndpointMemory> {
    let path = &known.orders;
    let failed = path.held.verdict != Verdict::Healthy;
    let orders = failed.then(|| held_memory(Some(&path.held), path.hold(), now));
    let notable = notable(Some(&known.held), &known.hold, &known.word, now);
    let (held, word) = match notable {
        None if orders.is_some() => (HeldMemory::default(), None),
        notable => notable?,
    };
    let backend = fleet.policy.backends.get(known.info.backend.index())?;
    Some(EndpointMemory {
        pool: fleet.policy.pools.get(known.pool.index())?.name.clone(),
        site: fleet.site_name(known.info.site).to_owned(),
        url: backend.name.clone(),
        address: known.info.address,
        held,
        word,
        orders,
    })
}

fn addresses(fleet: &Fleet, id: BackendId) -> Option<BackendMemory> {
    let backend = fleet.policy.backends.get(id.index())?;
    let names = fleet.backends.get(id.index())?;
    let known = !names.resolved.is_empty() || !names.retained.is_empty();
    known.then(|| BackendMemory {
        pool: fleet.policy.pools[backend.pool.index()].name.clone(),
        site: fleet.site_name(backend.site).to_owned(),
        url: backend.name.clone(),
        addresses: names.resolved.clone(),
        retained: names.retained.clone(),
    })
}

/// What is to be remembered, where there is anything: it is left or has just returned, it flaps, or
/// an operator keeps new work away.
fn notable(
    held: Option<&Held>,
    hold: &HoldDown,
    word: &Word,
    now: Time,
) -> Option<(HeldMemory, Option<WordMemory>)> {
    let memory = held_memory(held, hold, now);
    let word = word.keeps_away().then(|| WordMemory {
        word: word.word,
        left_ms: word.until.map(|until| millis(until.since(now))),
        reason: word.reason.clone(),
    });
    let against = matches!(memory.verdict, Verdict::Down | Verdict::Recovering);
    (against || memory.hold_down.doublings > 0 || word.is_some()).then_some((memory, word))
}

fn held_memory(held: Option<&Held>, hold: &HoldDown, now: Time) -> HeldMemory {
    HeldMemory {
        verdict: held.map_or(Verdict::Unknown, |held| held.verdict),
        cause: held.map(first_cause).unwrap_or_default(),
        hold_down: hold.memory(now),
    }
}

/// The cause of the first process, however often it was remembered since.
fn first_cause(held: &Held) -> String {
    let remembered = held.evidence.iter().find(|(fact, _)| *fact == "cause");
    match remembered {
        Some((_, cause)) if held.cause == Cause::Remembered => cause.clone(),
        _ => held.cause.as_str().to_owned(),
    }
}

/// A word that this program does not know says nothing.
fn known_or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    let word = String::deserialize(deserializer)?;
    let known: Result<T, serde::de::value::Error> = T::deserialize(word.into_deserializer());
    Ok(known.unwrap_or_default())
}
