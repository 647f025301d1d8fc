//! Where a class of requests goes in a pool: by the table, as `select` reads it, and by the engine's
//! own account of what it holds.
//!
//! Shares are counted from many choices of `select` itself, because orders, keyed requests and reads
//! do not go alike. Called by `explain`.

use super::says::{
    Decided, EndpointSays, PlaceSays, PoolSays, SiteSays, Standing, Then, WriterSays,
};
use super::{View, millis};
use crate::exchange::header_key;
use http::HeaderMap;
use leeward_config::policy::{Affinity, Route};
use leeward_failover::retry::{self, Budget, Next, Sent};
use leeward_failover::select::{Pick, Reach, Rng, Want, select};
use leeward_failover::{
    Class, EndpointId, EndpointStatus, Engine, Event, OperatorWord, PlaceStatus, PoolId, Repeat,
    SiteId, Status, SubjectKind, Table, Target, Time, Verdict, Writer,
};
use std::collections::BTreeMap;

/// Choices from which shares are counted: good to half a percent ...
const DRAWS: usize = 100_000;
/// ... or fewer in a pool of so many endpoints that they would keep the admin side from others.
const WORK: usize = 4_000_000;
const LEAST_DRAWS: usize = 5_000;
/// Seed of those choices: the same question has the same answer.
const SEED: u64 = 1;
/// Requests that a retry budget is told of before it is asked, so that it is not what says no.
const CALM: u32 = 1000;
/// Endpoints of a site that are told one by one at most.
const MOST_ENDPOINTS: usize = 4;
/// Decisions of a rehearsal that are told at most.
const MOST_DECISIONS: usize = 16;

impl View<'_> {
    pub(super) fn pool(&self, route: &Route, headers: &HeaderMap, down: &[Target]) -> PoolSays {
        let params = &self.policy.engine.pools[route.pool.index()];
        let affinity = &self.policy.pools[route.pool.index()].affinity;
        let class = route.class;
        let way = Way {
            pool: route.pool,
            class,
            key: header_key(affinity, headers),
        };
        let writes = class.goes_to_writer() && params.orders.writer == Writer::Single;
        PoolSays {
            name: params.name.clone(),
            writer: writes.then_some(WriterSays {
                moves: params.orders.moves,
                failback: params.orders.failback,
                fenced: params.orders.fenced,
            }),
            affinity: kept_together(affinity, class, way.key.is_some()),
            needed: self.live.then(|| self.engine.needed(route.pool, self.now)),
            now: self.standing(self.engine, self.now, &way),
            then: (!down.is_empty()).then(|| self.then(down, &way)),
        }
    }

    /// The same with places down.
    fn then(&self, down: &[Target], way: &Way) -> Then {
        let rehearsal = self.engine.rehearse(down, self.now);
        let pool = &self.policy.engine.pools[way.pool.index()].name;
        let matters = |event: &&Event| match event.subject.kind {
            SubjectKind::Site | SubjectKind::Provider => true,
            SubjectKind::Pool => event.subject.name == *pool,
            SubjectKind::Endpoint | SubjectKind::Policy => false,
        };
        let decisions = rehearsal.events.iter().filter(matters);
        Then {
            down: down
                .iter()
                .map(|target| self.engine.name_of(*target))
                .collect(),
            complete: rehearsal.complete,
            decisions: decisions
                .take(MOST_DECISIONS)
                .map(|event| Decided {
                    after_ms: millis(event.at.since(self.now)),
                    event: serde_json::to_value(event).unwrap_or_default(),
                })
                .collect(),
            standing: self.standing(&rehearsal.engine, rehearsal.now, way),
        }
    }

    fn standing(&self, engine: &Engine, now: Time, way: &Way) -> Standing {
        let status = engine.status(now);
        let table = engine.table();
        let spread = way.spread(table);
        let pool = table.pools.get(way.pool.index());
        let lanes = pool.map_or(&[][..], |pool| &pool.lanes);
        let held = &status.pools[way.pool.index()];
        let sites = lanes.iter().map(|lane| {
            let name = &self.policy.engine.sites[lane.site.index()].name;
            let own = held.endpoints.iter().filter(|e| e.site == *name);
            let bounds = held.capacity.iter().find(|bounds| bounds.site == *name);
            let troubled = own.clone().filter(|e| is_troubled(e));
            SiteSays {
                place: place(&status.sites[lane.site.index()], now),
                tier: lane.tier + 1,
                share: spread.share_of(lane.site),
                rate: bounds.and_then(|bounds| bounds.rate),
                tight: lane.tight,
                most: lane.most,
                endpoints: own.count(),
                troubled: troubled.take(MOST_ENDPOINTS).map(endpoint).collect(),
            }
        });
        let sites: Vec<SiteSays> = sites.collect();
        let panic = pool.is_some_and(|pool| pool.panic);
        Standing {
            panic,
            writer: held.writer.clone(),
            providers: providers(&status, &sites, now),
            sites,
            way: self.way(table, way, &spread, panic),
            unplaced: spread.unplaced(),
            capacity: engine.stand(way.pool, now).capacity,
        }
    }

    /// The sites that a request tries one after the other.
    fn way(&self, table: &Table, way: &Way, spread: &Spread, panic: bool) -> Vec<String> {
        let Some(first) = spread.usual else {
            return Vec::new();
        };
        let params = self.policy.engine.pools[way.pool.index()].retry;
        let sent = match way.class.repeat() {
            Repeat::Budgeted | Repeat::Once => Sent::Maybe,
            Repeat::ProvenNotSent | Repeat::AtConnect => Sent::Nothing,
        };
        let mut budget = Budget::new(params, 1);
        for _ in 0..CALM {
            budget.request(Time::ZERO);
        }
        let name = |site: SiteId| self.policy.engine.sites[site.index()].name.clone();
        let (mut tried, mut sites) = (vec![first.endpoint], vec![name(first.site)]);
        let rng = &mut Rng::new(SEED);
        loop {
            let attempts = u32::try_from(tried.len()).unwrap_or(u32::MAX);
            let asked = retry::after_failure(
                way.class,
                attempts,
                sent,
                &params,
                panic,
                &mut budget,
                Time::ZERO,
            );
            let Next::Again(reach) = asked else {
                return sites;
            };
            let want = way.want(way.key, &tried, reach);
            let Some(next) = select(table, &want, rng, |_| 0) else {
                return sites;
            };
            tried.push(next.endpoint);
            sites.push(name(next.site));
        }
    }
}

/// Requests of one class in one pool.
struct Way {
    pool: PoolId,
    class: Class,
    /// The affinity key that the request has by its fields.
    key: Option<u64>,
}

/// Where requests went.
#[derive(Default)]
struct Spread {
    draws: u32,
    sites: BTreeMap<SiteId, u32>,
    /// Where most of them went.
    usual: Option<Pick>,
}

impl Way {
    fn want<'t>(&self, key: Option<u64>, tried: &'t [EndpointId], reach: Reach) -> Want<'t> {
        Want {
            pool: self.pool,
            class: self.class,
            key,
            tried,
            reach,
        }
    }

    /// Where first attempts go. Orders and cancels without a key have their client's address for one:
    /// each draw is another client.
    fn spread(&self, table: &Table) -> Spread {
        let rng = &mut Rng::new(SEED);
        let mut found = Spread::default();
        let mut picks: BTreeMap<EndpointId, (u32, Pick)> = BTreeMap::new();
        let lanes = table.pools.get(self.pool.index()).map(|pool| &pool.lanes);
        let size = lanes
            .into_iter()
            .flatten()
            .map(|lane| 1 + lane.endpoints.len());
        let draws = WORK / size.sum::<usize>().max(1);
        for _ in 0..draws.clamp(LEAST_DRAWS, DRAWS) {
            let clients = self.class.goes_to_writer();
            let key = self.key.or_else(|| clients.then(|| rng.next_u64()));
            let want = self.want(key, &[], Reach::Endpoint);
            found.draws += 1;
            if let Some(pick) = select(table, &want, rng, |_| 0) {
                *found.sites.entry(pick.site).or_default() += 1;
                picks.entry(pick.endpoint).or_insert((0, pick)).0 += 1;
            }
        }
        // The first of those that are drawn most.
        let most = picks.values().map(|(count, _)| *count).max();
        let usual = picks.values().find(|(count, _)| Some(*count) == most);
        found.usual = usual.map(|(_, pick)| *pick);
        found
    }
}

impl Spread {
    fn share_of(&self, site: SiteId) -> f64 {
        let count = self.sites.get(&site).copied().unwrap_or_default();
        f64::from(count) / f64::from(self.draws.max(1))
    }

    fn unplaced(&self) -> f64 {
        let placed: u32 = self.sites.values().sum();
        f64::from(self.draws - placed) / f64::from(self.draws.max(1))
    }
}

/// What keeps one client's requests on one path.
fn kept_together(affinity: &Affinity, class: Class, given: bool) -> Option<String> {
    match affinity {
        Affinity::Header(name) if given => Some(format!("this {name} has this path")),
        Affinity::Header(name) if class.goes_to_writer() => Some(format!(
            "each {name} has its path, or else each client address"
        )),
        Affinity::Header(name) => Some(format!("each {name} has its path")),
        Affinity::Client if class.goes_to_writer() => {
            Some("each client address has its path".to_owned())
        }
        Affinity::Client => None,
    }
}

/// The providers of these sites of which there is more to say than that they are healthy.
fn providers(status: &Status, sites: &[SiteSays], now: Time) -> Vec<PlaceSays> {
    let of_it = |provider: &str| {
        let mut names = sites.iter().map(|site| site.place.name.split_once('/'));
        names.any(|name| name.is_some_and(|(known, _)| known == provider))
    };
    let all = status.providers.iter();
    all.filter(|provider| of_it(&provider.name))
        .filter(|p| p.verdict != Verdict::Healthy || p.operator != OperatorWord::Active)
        .map(|provider| place(provider, now))
        .collect()
}

fn is_troubled(endpoint: &EndpointStatus) -> bool {
    endpoint.verdict != Verdict::Healthy || endpoint.operator != OperatorWord::Active
}

fn place(status: &PlaceStatus, now: Time) -> PlaceSays {
    PlaceSays {
        name: status.name.clone(),
        verdict: status.verdict,
        cause: status.cause,
        evidence: facts(&status.evidence),
        for_ms: millis(now.since(status.since)),
        operator: status.operator,
        operator_reason: status.operator_reason.clone(),
        operator_lapses_in_ms: status.operator_lapses_in_ms,
        hold_down_left_ms: status.hold_down_left_ms,
        ramp_left_ms: status.ramp_left_ms,
        ramp_at: status.ramp_at,
    }
}

fn endpoint(status: &EndpointStatus) -> EndpointSays {
    EndpointSays {
        address: status.address.clone(),
        backend: status.backend.clone(),
        verdict: status.verdict,
        cause: status.cause,
        evidence: facts(&status.evidence),
        last_probe: status.last_probe.clone(),
        hold_down_left_ms: status.hold_down_left_ms,
    }
}

fn facts(evidence: &[(&'static str, String)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&'static str, String)| ((*name).to_owned(), value.clone());
    evidence.iter().map(owned).collect()
}
