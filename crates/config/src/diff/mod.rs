//! What another policy would change, in meaning: comments, spelling and the order of keys are no
//! difference.
//!
//! Settings are compared as things with values (`describe`). What follows from them for traffic and
//! for health the engine is asked for: a copy of it takes the policy (`moves`, `endpoints`). Called by
//! `leeward diff`, with two policies, and by the admin side, with what a proxy holds now.

mod describe;
mod describe_pool;
mod endpoints;
mod moves;
mod settings;
mod words;

use crate::policy::Policy;
use describe::{Thing, describe};
use leeward_failover::{EndpointId, Engine, Time};
use serde::{Deserialize, Serialize};
use settings::Settings;
use std::collections::{BTreeMap, BTreeSet};

pub use endpoints::{Endpoints, Reset};
pub use moves::Move;

/// What a policy would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// Hash of the policy before.
    pub from: String,
    /// Hash of the policy after.
    pub to: String,
    /// Whether it was compared with what a proxy serves and holds now, or with a policy at its best.
    pub live: bool,
    /// The traffic that goes elsewhere.
    pub moves: Vec<Move>,
    /// What becomes of endpoints and of what is known of them.
    pub endpoints: Endpoints,
    /// WebSockets and other streams that are open now at endpoints that go; nothing where no proxy
    /// was asked.
    pub streams: Option<u64>,
    /// What is written in another way and means another thing.
    pub changes: Vec<Change>,
}

/// A thing of the policy that comes, goes or is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What kind of thing.
    pub kind: Kind,
    /// Its name; empty for the process.
    pub name: String,
    /// What becomes of it.
    pub what: What,
    /// What it is, in short, where it comes or goes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Where it changes: what of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Changed>,
}

/// What becomes of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is new.
    Added,
    /// It goes.
    Removed,
    /// It stays, and is another one.
    Changed,
}

/// One setting that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Its key, as in the policy.
    pub key: String,
    /// Its value before; the same as after where it is not shown since it may be a secret.
    pub from: String,
    /// Its value after.
    pub to: String,
    /// Whether a reload does not change it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restart: bool,
}

/// The kinds of things, in the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The process itself: `workers`, `limits` and the like.
    Process,
    /// A listener.
    Listener,
    /// A provider.
    Provider,
    /// A pool.
    Pool,
    /// A backend of a pool.
    Backend,
    /// A route.
    Route,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Kind::Process => "process",
            Kind::Listener => "listener",
            Kind::Provider => "provider",
            Kind::Pool => "pool",
            Kind::Backend => "backend",
            Kind::Route => "route",
        }
    }
}

/// A proxy that runs, as it is asked.
pub struct Running<'a> {
    /// What it holds.
    pub engine: &'a Engine,
    /// Its time.
    pub now: Time,
    /// Streams that are open at an endpoint.
    pub streams: &'a dyn Fn(EndpointId) -> u64,
}

/// Settings that a reload leaves as they are.
const RESTART: [&str; 6] = [
    "admin.bind",
    "admin.read_only",
    "workers",
    "state_dir",
    "journal.record",
    "journal.record_size",
];

/// What would change if `new` took the place of `old`, which `running` serves.
pub fn compare(old: &Policy, new: &Policy, running: Option<&Running<'_>>) -> Diff {
    let (before, now) = match running {
        Some(running) => (
            running.engine.foresee(&old.engine, running.now),
            running.now,
        ),
        None => (Engine::calm(&old.engine), Time::ZERO),
    };
    let after = before.foresee(&new.engine, now);
    let found = endpoints::compare(&before, &after, now);
    let streams = running.map(|running| {
        let gone = found.gone.iter().map(|id| (running.streams)(*id));
        gone.sum()
    });
    Diff {
        from: old.hash.clone(),
        to: new.hash.clone(),
        live: running.is_some(),
        moves: moves::compare((old, &before), (new, &after)),
        endpoints: found.endpoints,
        streams,
        changes: changes(old, new),
    }
}

impl Diff {
    /// Whether the two mean the same.
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.changes.is_empty() && self.endpoints.is_empty()
    }
}

fn changes(old: &Policy, new: &Policy) -> Vec<Change> {
    type Named = BTreeMap<(Kind, String), Settings>;
    let named = |policy| -> Named {
        let thing = |(kind, name, settings): Thing| ((kind, name), settings);
        describe(policy).into_iter().map(thing).collect()
    };
    let (mut before, after) = (named(old), named(new));
    let mut found = Vec::new();
    for ((kind, name), settings) in after {
        let change = match before.remove(&(kind, name.clone())) {
            None => Some(whole(kind, name, What::Added, &settings)),
            Some(was) => changed(kind, name, &was, &settings),
        };
        found.extend(change);
    }
    let gone = before.into_iter();
    found.extend(gone.map(|((kind, name), was)| whole(kind, name, What::Removed, &was)));
    // A pool that comes or goes does so with its backends.
    let whole: Vec<String> = found
        .iter()
        .filter(|change| change.kind == Kind::Pool && change.what != What::Changed)
        .map(|change| format!("{} ", change.name))
        .collect();
    let of_whole = |name: &str| whole.iter().any(|pool| name.starts_with(pool));
    found.retain(|change| change.kind != Kind::Backend || !of_whole(&change.name));
    if let Some((route, place)) = order_of_routes(old, new) {
        let known = found.iter_mut();
        match known
            .into_iter()
            .find(|c| c.kind == Kind::Route && c.name == route)
        {
            Some(change) => change.settings.push(place),
            None => found.push(Change {
                kind: Kind::Route,
                name: route,
                what: What::Changed,
                note: String::new(),
                settings: vec![place],
            }),
        }
    }
    found.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    found
}

fn whole(kind: Kind, name: String, what: What, settings: &Settings) -> Change {
    let keys: &[&str] = match kind {
        Kind::Process => &[],
        Kind::Listener => &["bind"],
        Kind::Provider => &["sites"],
        Kind::Pool => &["failover.tiers"],
        Kind::Backend => &["capacity"],
        Kind::Route => &["class", "pool"],
    };
    let told = settings.0.iter().filter(|s| keys.contains(&s.key.as_str()));
    let told: Vec<String> = told.map(|s| format!("{}: {}", s.key, s.shown)).collect();
    Change {
        kind,
        name,
        what,
        note: told.join(", "),
        settings: Vec::new(),
    }
}

fn changed(kind: Kind, name: String, was: &Settings, is: &Settings) -> Option<Change> {
    let mut settings = Vec::new();
    let value = |settings: &Settings, key: &str| {
        let mut all = settings.0.iter();
        all.find(|setting| setting.key == key).cloned()
    };
    let shown = |setting: &Option<settings::Setting>| {
        let shown = setting.as_ref().map(|setting| setting.shown.clone());
        shown.unwrap_or_else(|| "none".to_owned())
    };
    let mut keys: Vec<&str> = is.0.iter().map(|setting| setting.key.as_str()).collect();
    let gone = was.0.iter().map(|setting| setting.key.as_str());
    let gone: Vec<&str> = gone.filter(|key| !keys.contains(key)).collect();
    keys.extend(gone);
    for key in keys {
        let (from, to) = (value(was, key), value(is, key));
        if from != to {
            settings.push(Changed {
                key: key.to_owned(),
                from: shown(&from),
                to: shown(&to),
                restart: kind == Kind::Process && RESTART.contains(&key),
            });
        }
    }
    (!settings.is_empty()).then_some(Change {
        kind,
        name,
        what: What::Changed,
        note: String::new(),
        settings,
    })
}

/// The first route that stands elsewhere: the first that matches wins, so that their order means
/// something.
fn order_of_routes(old: &Policy, new: &Policy) -> Option<(String, Changed)> {
    let names = |policy: &Policy, other: &Policy| -> Vec<String> {
        let known = other.routes.iter().map(|route| route.name.as_str());
        let known: BTreeSet<&str> = known.collect();
        let names = policy.routes.iter().map(|route| route.name.clone());
        names.filter(|name| known.contains(name.as_str())).collect()
    };
    let (before, after) = (names(old, new), names(new, old));
    let (one, other) = before.iter().zip(&after).find(|(a, b)| a != b)?;
    let place = Changed {
        key: "place".to_owned(),
        from: format!("behind `{one}`"),
        to: format!("before `{one}`"),
        restart: false,
    };
    Some((other.clone(), place))
}
