//! What would follow from an operator's word, before it is said.
//!
//! The word is said to a copy of the engine, and the copy's decisions are compared with those that
//! stand: nothing is estimated that the engine would decide anyway. What speaks against the word is
//! said with its numbers; whether it is said all the same is the operator's business. The control
//! task asks on behalf of the admin side, and the journal of a word that was forced (`operator`).

use crate::engine::Engine;
use crate::fleet::PoolState;
use crate::guards::{Guard, counted, percent, share};
use crate::id::{PoolId, ProviderId};
use crate::input::{Input, OperatorWord, Target};
use crate::table::{Lane, LaneEndpoint};
use crate::time::Time;
use crate::trust::Trust;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What would follow from a word.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Prospect {
    /// The pools that have anything at the places that it is about, by id.
    pub pools: Vec<PoolProspect>,
    /// What speaks against it; nothing in most cases.
    pub objections: Vec<Objection>,
}

/// One pool, before a word and after it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolProspect {
    /// As in the policy.
    pub name: String,
    /// Where it stands without the word.
    pub before: Stand,
    /// Where it would stand.
    pub after: Stand,
    /// Requests per second that it has now, by the window of `health`.
    pub needed: u64,
}

/// Where a pool stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stand {
    /// Share of first attempts of reads by site, 0 to 1, in tier order.
    pub shares: Vec<(String, f64)>,
    /// The provider that takes orders; absent where they go where reads go.
    pub writer: Option<String>,
    /// Endpoints that reads may go to.
    pub endpoints: usize,
    /// Requests per second that those can carry; absent where not all their backends say.
    pub capacity: Option<u64>,
    /// Providers at which those are.
    pub providers: usize,
}

/// What speaks against a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Objection {
    /// The pool that it would harm.
    pub pool: String,
    /// How.
    pub kind: ObjectionKind,
    /// In words, with the numbers.
    pub text: String,
}

/// How a word would harm a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectionKind {
    /// It would take its last capacity away; the engine would not follow it (P4).
    LastCapacity,
    /// What is left has not proved itself, or is left for reasons of its own.
    Unproven,
    /// What is left declares less capacity than is used now.
    TooLittle,
    /// Orders would have no place to go.
    NoOrders,
    /// What is left is less than a guard of the policy asks for.
    Guard,
}

impl Engine {
    /// What would follow if an operator said `word` about `targets` at `now`. Says nothing to anybody.
    pub fn consider(&self, targets: &[Target], word: OperatorWord, now: Time) -> Prospect {
        let mut then = self.clone();
        let said = Input::Words {
            targets: targets.to_vec(),
            word,
            lasts: None,
            reason: String::new(),
            forced: false,
        };
        then.handle(said, now);
        let touched: BTreeSet<PoolId> = targets
            .iter()
            .flat_map(|target| self.fleet.pools_of(*target))
            .collect();
        let mut prospect = Prospect::default();
        for id in touched {
            let pool = PoolProspect {
                name: self.fleet.policy.pools[id.index()].name.clone(),
                before: self.stand(id, now),
                after: then.stand(id, now),
                needed: self.needed(id, now),
            };
            if word != OperatorWord::Active {
                let states = [self, &then].map(|engine| &engine.fleet.pools[id.index()]);
                let found = objection(&pool, states).or_else(|| self.breach(id, &pool));
                prospect.objections.extend(found);
            }
            prospect.pools.push(pool);
        }
        prospect
    }

    /// Where a pool stands; nothing of it where there is no such pool.
    pub fn stand(&self, id: PoolId, now: Time) -> Stand {
        if self.fleet.pools.get(id.index()).is_none() {
            return Stand::default();
        }
        let status = self.pool_status(id, now);
        let lanes = self.fleet.pools[id.index()].table.lanes.iter();
        let serving: Vec<(ProviderId, &LaneEndpoint)> = lanes
            .filter(|lane| lane.usable)
            .flat_map(|lane| {
                lane.endpoints
                    .iter()
                    .map(|endpoint| (lane.provider, endpoint))
            })
            .filter(|(_, endpoint)| endpoint.weight > 0.0)
            .collect();
        let providers: BTreeSet<ProviderId> = serving.iter().map(|(id, _)| *id).collect();
        let serving: Vec<&LaneEndpoint> = serving.into_iter().map(|(_, serves)| serves).collect();
        Stand {
            shares: status.shares,
            writer: status.writer,
            endpoints: serving.len(),
            capacity: self.declared(&serving),
            providers: providers.len(),
        }
    }

    /// What a guard of the policy has against it: a word that takes a pool below what is asked for,
    /// or further below. Whether a place went or a whole provider says which guard is meant.
    fn breach(&self, id: PoolId, pool: &PoolProspect) -> Option<Objection> {
        let PoolProspect {
            name,
            before,
            after,
            ..
        } = pool;
        let guards = &self.fleet.policy.guards;
        let object = |guard: Guard, text: String| {
            Some(Objection {
                pool: name.clone(),
                kind: ObjectionKind::Guard,
                text: format!("{name}: {text} by the guard `{}`", guard.as_str()),
            })
        };
        if after.providers < before.providers && after.providers < guards.providers {
            let left = counted(after.providers, "provider");
            let text = format!("{left} would be left, {} are asked for", guards.providers);
            return object(Guard::Providers, text);
        }
        let (guard, least) = if after.providers < before.providers {
            (
                Guard::CapacityWithoutProvider,
                guards.capacity_without_provider,
            )
        } else {
            (Guard::CapacityWithoutSite, guards.capacity_without_site)
        };
        let all = self.fleet.policy.declared(id, |_| true)?;
        let left = after.capacity?;
        if before.capacity.is_some_and(|had| had <= left) || share(left, all) >= least {
            return None;
        }
        let text = format!(
            "{left}/s of {all}/s would be left, which is {}, {} are asked for",
            percent(share(left, all)),
            percent(least)
        );
        object(guard, text)
    }

    /// What endpoints can carry by their backends' word: each address of a backend its part.
    fn declared(&self, serving: &[&LaneEndpoint]) -> Option<u64> {
        let mut by_backend: BTreeMap<usize, usize> = BTreeMap::new();
        for endpoint in serving {
            let backend = self.endpoint(endpoint.id)?.backend.index();
            *by_backend.entry(backend).or_default() += 1;
        }
        let mut sum = 0.0;
        for (backend, serves) in by_backend {
            let capacity = self.fleet.policy.backends.get(backend)?.capacity?;
            let all = self.fleet.backends.get(backend)?.endpoints.len().max(1);
            sum += f64::from(capacity) * serves.min(all) as f64 / all as f64;
        }
        Some(sum as u64)
    }

    /// Requests per second of a pool, by its window of `health`.
    pub fn needed(&self, id: PoolId, now: Time) -> u64 {
        let Some(pool) = self.fleet.policy.pools.get(id.index()) else {
            return 0;
        };
        let window = pool.health.window;
        let of_pool = self.fleet.all_endpoints().filter(|e| e.pool == id);
        let all: u64 = of_pool
            .map(|e| u64::from(e.traffic.window.peek(now).all))
            .sum();
        (all as f64 / window.as_secs_f64().max(0.001)).ceil() as u64
    }
}

/// What speaks against it as far as one pool is concerned: the worst alone.
fn objection(pool: &PoolProspect, [before, after]: [&PoolState; 2]) -> Option<Objection> {
    let PoolProspect {
        name,
        before: was,
        after: is,
        needed,
    } = pool;
    let found = |kind, text| {
        let pool = name.clone();
        Some(Objection { pool, kind, text })
    };
    if after.trust.overrides_words() {
        let text = format!(
            "{name}: nothing would be left of {} endpoints that serve",
            was.endpoints
        );
        return found(ObjectionKind::LastCapacity, text);
    }
    if after.trust > before.trust && after.trust > Trust::All {
        let text = format!(
            "{name}: none of the {} endpoints that would be left is known to serve",
            is.endpoints
        );
        return found(ObjectionKind::Unproven, text);
    }
    if takes_orders(before) && !takes_orders(after) {
        let text = format!("{name}: orders would have no place to go");
        return found(ObjectionKind::NoOrders, text);
    }
    let too_little = is.capacity.filter(|left| left < needed)?;
    if was.capacity.is_some_and(|had| had <= too_little) {
        // It takes nothing away that is not missing already.
        return None;
    }
    let had = was
        .capacity
        .map_or_else(|| "?".to_owned(), |had| had.to_string());
    let text =
        format!("{name}: {too_little}/s of {had}/s would be left, {needed}/s are needed now");
    found(ObjectionKind::TooLittle, text)
}

/// Whether orders have any place to go.
fn takes_orders(pool: &PoolState) -> bool {
    let writes = |lane: &&Lane| pool.table.writer.is_none_or(|id| id == lane.provider);
    let mut lanes = pool
        .table
        .lanes
        .iter()
        .filter(|lane| lane.usable)
        .filter(writes);
    lanes.any(|lane| lane.endpoints.iter().any(|e| e.order_weight > 0.0))
}
