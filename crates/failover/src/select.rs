//! Chooses the endpoint of one attempt. Pure; called on the way of every request.
//!
//! It reads the table and nothing else: no verdict is judged here, no weight computed. It allocates
//! nothing and looks at the lanes of one pool and, as a rule, at the endpoints of one of them.
//!
//! - The first attempt of a read goes to a lane by its share and to one of two endpoints of that
//!   lane by their load. With an affinity key both steps are weighted rendezvous hashing: a small
//!   change of a share moves few keys.
//! - Orders and cancels go to the writer alone. When that has nothing left they go to nobody, or, where
//!   backends refuse a replaced writer, to another provider that looks well.
//! - Further attempts go to usable lanes in tier order, as far away as asked, to what looks well
//!   before what does not, and never to what was tried.

use crate::bugs::{Bug, is_injected};
use crate::class::Class;
use crate::id::{EndpointId, PoolId, ProviderId, SiteId};
use crate::rng;
use crate::table::{Lane, LaneEndpoint, PoolTable, Table};
use crate::verdict::Verdict;

pub use crate::rng::Rng;

/// What selection needs to know of a request.
#[derive(Clone, Copy, Debug)]
pub struct Want<'a> {
    /// The pool of its route.
    pub pool: PoolId,
    /// The class of its route.
    pub class: Class,
    /// Hash of its affinity key; `None` spreads by load.
    pub key: Option<u64>,
    /// Endpoints that were tried already, in order.
    pub tried: &'a [EndpointId],
    /// How far from what was tried the next attempt has to be.
    pub reach: Reach,
}

/// How far from what was tried the next attempt has to be. When nothing is left that far away, the
/// next nearer choice is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Another endpoint.
    Endpoint,
    /// Another site.
    Site,
    /// Another provider.
    Provider,
}

/// Where an attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its site.
    pub site: SiteId,
    /// Its provider.
    pub provider: ProviderId,
}

/// What had no room for a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Full<'a> {
    /// Sites that take no more, whichever of their endpoints is asked.
    pub sites: &'a [SiteId],
    /// Endpoints that take no more.
    pub endpoints: &'a [EndpointId],
}

impl Full<'_> {
    fn is_nothing(&self) -> bool {
        self.sites.is_empty() && self.endpoints.is_empty()
    }

    fn has(&self, lane: &Lane, endpoint: &LaneEndpoint) -> bool {
        self.sites.contains(&lane.site) || self.endpoints.contains(&endpoint.id)
    }

    /// Whether anything of a lane was full.
    fn touches(&self, lane: &Lane) -> bool {
        lane.endpoints
            .iter()
            .any(|endpoint| self.has(lane, endpoint))
    }
}

/// Chooses the endpoint of one attempt; `None` when there is none that may take it.
///
/// `in_flight` says how busy an endpoint is, in any unit; it is asked about two
/// endpoints at most.
pub fn select(
    table: &Table,
    want: &Want<'_>,
    rng: &mut Rng,
    in_flight: impl Fn(EndpointId) -> u32,
) -> Option<Pick> {
    select_beside(table, want, Full::default(), rng, in_flight)
}

/// As [`select`], among what is not `full`.
pub fn select_beside(
    table: &Table,
    want: &Want<'_>,
    full: Full<'_>,
    rng: &mut Rng,
    in_flight: impl Fn(EndpointId) -> u32,
) -> Option<Pick> {
    let pool: &PoolTable = table.pools.get(want.pool.index())?;
    if pool.panic && is_injected(Bug::NothingInPanic) {
        return None;
    }
    let writer = pool
        .writer
        .filter(|_| want.class.goes_to_writer() && !is_injected(Bug::WriterIgnored));
    let mut choice = Choice {
        table,
        want,
        writer: match is_injected(Bug::OrdersTrickleHome) {
            true => trickle(pool, writer, rng),
            false => writer,
        },
        rng,
        in_flight,
        full,
    };
    if !want.tried.is_empty() {
        return choice
            .further(pool)
            .or_else(|| choice.round_the_writer(pool));
    }
    let first = match choice.writer {
        Some(_) => choice.first_of_writer(pool),
        None => choice.first(pool),
    };
    first
        .or_else(|| choice.further(pool))
        .or_else(|| choice.round_the_writer(pool))
}

/// Now and then the provider whose order paths are on trial, in place of the writer: a bug, see
/// [`Bug::OrdersTrickleHome`].
fn trickle(pool: &PoolTable, writer: Option<ProviderId>, rng: &mut Rng) -> Option<ProviderId> {
    let tries = |e: &LaneEndpoint| e.order_weight > 0.0 && e.order_weight < e.weight * 0.1;
    let other = |lane: &&Lane| lane.usable && Some(lane.provider) != writer;
    let mut lanes = pool.lanes.iter().filter(other);
    let home = lanes.find(|lane| lane.endpoints.iter().any(tries));
    let home = home.map(|lane| lane.provider);
    home.filter(|_| writer.is_some() && rng.fraction() < 0.1)
        .or(writer)
}

/// Where first attempts of a class go that has no affinity key: each site of the pool with its part
/// of them, 0 to 1, in tier order. What [`select`] does on average while nothing is full.
pub fn shares(pool: &PoolTable, class: Class) -> Vec<(SiteId, f64)> {
    let orders = class.goes_to_writer();
    if let Some(writer) = pool.writer.filter(|_| orders) {
        let tiers = pool.lanes.chunk_by(|a, b| a.tier == b.tier);
        let takes = |lane: &Lane| {
            let any = || lane.endpoints.iter().any(|e| e.order_weight > 0.0);
            let own = allowed(lane, Some(writer)) && any();
            if own { lane.capacity } else { 0.0 }
        };
        let best = tiers.map(|tier| (tier, tier.iter().map(takes).sum::<f64>()));
        let Some((tier, all)) = best.into_iter().find(|(_, all)| *all > 0.0) else {
            return Vec::new();
        };
        return tier
            .iter()
            .map(|lane| (lane.site, takes(lane) / all))
            .collect();
    }
    let warms = class == Class::PublicRead;
    let warm = |lane: &Lane| if warms { lane.warm } else { 0.0 };
    let all: f64 = pool.lanes.iter().map(warm).sum();
    let part = |lane: &Lane| (lane.site, lane.share * (1.0 - all) + warm(lane));
    pool.lanes.iter().map(part).collect()
}

/// A stable hash of an affinity key: the same over restarts and over several leeward processes, so
/// that they agree on the path of a key.
pub fn affinity_key(bytes: &[u8]) -> u64 {
    rng::stable_hash(bytes)
}

/// One choice under way.
struct Choice<'a, F> {
    table: &'a Table,
    want: &'a Want<'a>,
    /// The only provider that may be chosen, if the class has one.
    writer: Option<ProviderId>,
    rng: &'a mut Rng,
    in_flight: F,
    full: Full<'a>,
}

impl<'a, F: Fn(EndpointId) -> u32> Choice<'a, F> {
    /// By share, then by load.
    fn first(&mut self, pool: &PoolTable) -> Option<Pick> {
        let warm = self.may_warm() && {
            let all: f64 = pool.lanes.iter().map(|lane| lane.warm).sum();
            all > 0.0 && self.rng.fraction() < all
        };
        let room = self.room();
        let share = |lane: &Lane| match warm {
            _ if !room.is_in(lane) => 0.0,
            true => lane.warm,
            false => lane.share,
        };
        let lane = draw(&pool.lanes, self.want.key, self.rng, share, |lane| {
            lane.hash
        })?;
        self.endpoint(lane, |_| true)
    }

    /// In the writer's best tier; what looks well first, unless a key pins the path.
    fn first_of_writer(&mut self, pool: &PoolTable) -> Option<Pick> {
        for tier in pool.lanes.chunk_by(|a, b| a.tier == b.tier) {
            let (room, writer) = (self.room(), self.writer);
            let capacity = |lane: &Lane| {
                let takes = allowed(lane, writer)
                    && lane.endpoints.iter().any(|e| room.weight(lane, e) > 0.0);
                if takes { lane.capacity } else { 0.0 }
            };
            let key = self.want.key;
            let Some(lane) = draw(tier, key, self.rng, capacity, |lane| lane.hash) else {
                continue;
            };
            if self.want.key.is_none() {
                let well = self.endpoint(lane, |endpoint| rank(endpoint.verdict) == 0);
                if well.is_some() {
                    return well;
                }
            }
            return self.endpoint(lane, |_| true);
        }
        None
    }

    /// As far away as asked, or the next nearer; what looks well first; then in tier order.
    fn further(&mut self, pool: &PoolTable) -> Option<Pick> {
        let mut reach = self.want.reach;
        loop {
            for wanted in 0..=WORST_RANK {
                for tier in pool.lanes.chunk_by(|a, b| a.tier == b.tier) {
                    let pick = self.further_in(tier, reach, wanted);
                    if pick.is_some() {
                        return pick;
                    }
                }
            }
            reach = match reach {
                Reach::Provider => Reach::Site,
                Reach::Site => Reach::Endpoint,
                Reach::Endpoint => return None,
            };
        }
    }

    /// Nothing of the writer's provider takes it. Where a replaced writer is refused by the backends
    /// themselves, what looks well elsewhere may. A writer that is only full is none that is gone.
    fn round_the_writer(&mut self, pool: &PoolTable) -> Option<Pick> {
        let writer = self.writer.filter(|_| pool.fenced && !pool.panic)?;
        let mut own = pool.lanes.iter().filter(|lane| lane.provider == writer);
        if own.any(|lane| self.full.touches(lane)) {
            return None;
        }
        self.writer = None;
        let mut tiers = pool.lanes.chunk_by(|a, b| a.tier == b.tier);
        tiers.find_map(|tier| self.further_in(tier, Reach::Provider, 0))
    }

    fn further_in(&mut self, tier: &[Lane], reach: Reach, wanted: u8) -> Option<Pick> {
        let (table, writer, tried) = (self.table, self.writer, self.want.tried);
        let room = self.room();
        let fits = |lane: &Lane, e: &LaneEndpoint| {
            let rank = rank(e.verdict).max(u8::from(lane.suspect));
            rank == wanted && !tried.contains(&e.id)
        };
        let capacity = |lane: &Lane| {
            let takes = allowed(lane, writer)
                && is_far(table, tried, lane, reach)
                && lane
                    .endpoints
                    .iter()
                    .any(|e| fits(lane, e) && room.weight(lane, e) > 0.0);
            if takes { lane.capacity } else { 0.0 }
        };
        let lane = draw(tier, self.want.key, self.rng, capacity, |lane| lane.hash)?;
        self.endpoint(lane, |e| fits(lane, e))
    }

    /// One endpoint of a lane among those that fit: by key, or the less loaded of two draws.
    fn endpoint(&mut self, lane: &Lane, fits: impl Fn(&LaneEndpoint) -> bool) -> Option<Pick> {
        let (room, key) = (self.room(), self.want.key);
        let by_weight = |e: &LaneEndpoint| if fits(e) { room.weight(lane, e) } else { 0.0 };
        let one = draw(&lane.endpoints, key, self.rng, by_weight, |e| e.hash)?;
        let mut chosen = one;
        if self.want.key.is_none() {
            let other = |e: &LaneEndpoint| if e.id == one.id { 0.0 } else { by_weight(e) };
            if let Some(two) = draw(&lane.endpoints, key, self.rng, other, |e| e.hash) {
                let load =
                    |e: &LaneEndpoint| f64::from((self.in_flight)(e.id)) / room.weight(lane, e);
                if load(two) < load(one) {
                    chosen = two;
                }
            }
        }
        Some(Pick {
            endpoint: chosen.id,
            site: lane.site,
            provider: lane.provider,
        })
    }

    /// What has room.
    fn room(&self) -> Room<'a> {
        Room {
            full: self.full,
            orders: self.want.class.goes_to_writer(),
        }
    }

    /// Reads that may be repeated keep standbys warm; a keyed one stays on its path.
    fn may_warm(&self) -> bool {
        self.want.class == Class::PublicRead && self.want.key.is_none()
    }
}

/// Where there is room for a request.
#[derive(Clone, Copy)]
struct Room<'a> {
    full: Full<'a>,
    /// Whether it is an order's.
    orders: bool,
}

impl Room<'_> {
    /// An endpoint's part of what the request would bring to its lane; 0 where it is full.
    fn weight(&self, lane: &Lane, endpoint: &LaneEndpoint) -> f64 {
        match self.full.has(lane, endpoint) {
            true => 0.0,
            false if self.orders => endpoint.order_weight,
            false => endpoint.weight,
        }
    }

    /// Whether anything of a lane has room.
    fn is_in(&self, lane: &Lane) -> bool {
        self.full.is_nothing() || lane.endpoints.iter().any(|e| self.weight(lane, e) > 0.0)
    }
}

/// Draws one item by weight: by the key where there is one, by the dice otherwise. `None` when no
/// item has any weight.
fn draw<'t, T>(
    items: &'t [T],
    key: Option<u64>,
    rng: &mut Rng,
    weight: impl Fn(&T) -> f64,
    hash: impl Fn(&T) -> u64,
) -> Option<&'t T> {
    match key {
        Some(key) => rendezvous(items, key, weight, hash),
        None => lot(items, rng, weight),
    }
}

/// Weighted rendezvous hashing: each item draws `-ln(u) / weight` from the key and itself, and the
/// least wins. Changing one weight moves keys only from or to that item.
fn rendezvous<T>(
    items: &[T],
    key: u64,
    weight: impl Fn(&T) -> f64,
    hash: impl Fn(&T) -> u64,
) -> Option<&T> {
    let mut best = None;
    for item in items {
        let weight = weight(item);
        if weight > 0.0 {
            // Half a step away from 0, whose logarithm is infinite.
            let draw = rng::to_fraction(rng::mix(key ^ hash(item))) + f64::EPSILON / 4.0;
            let score = -draw.ln() / weight;
            if best.is_none_or(|(least, _)| score < least) {
                best = Some((score, item));
            }
        }
    }
    best.map(|(_, item)| item)
}

fn lot<'t, T>(items: &'t [T], rng: &mut Rng, weight: impl Fn(&T) -> f64) -> Option<&'t T> {
    let total: f64 = items.iter().map(&weight).sum();
    if total <= 0.0 {
        return None;
    }
    let mut left = rng.fraction() * total;
    let mut last = None;
    for item in items {
        let weight = weight(item);
        if weight > 0.0 {
            if left < weight {
                return Some(item);
            }
            left -= weight;
            last = Some(item);
        }
    }
    // Rounding may leave a little after the last item.
    last
}

fn allowed(lane: &Lane, writer: Option<ProviderId>) -> bool {
    lane.usable && writer.is_none_or(|writer| writer == lane.provider)
}

fn is_far(table: &Table, tried: &[EndpointId], lane: &Lane, reach: Reach) -> bool {
    tried
        .iter()
        .filter_map(|id| table.endpoint(*id))
        .all(|info| match reach {
            Reach::Endpoint => true,
            Reach::Site => info.site != lane.site,
            Reach::Provider => info.provider != lane.provider,
        })
}

const WORST_RANK: u8 = 2;

/// How well an endpoint looks, best first, for attempts that must not fail again.
const fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Healthy => 0,
        Verdict::Suspect | Verdict::Degraded => 1,
        Verdict::Unknown | Verdict::Recovering | Verdict::Down => WORST_RANK,
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
