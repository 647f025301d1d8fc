//! All that is known, for people: the admin API, the page and `leeward status` show it.
//!
//! Built on request from the fleet; it decides nothing and remembers nothing.

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::fleet::{PoolState, SiteState};
use crate::held::millis;
use crate::hold::HoldDown;
use crate::id::PoolId;
use crate::listing::Listing;
use crate::order_path::OrderPath;
use crate::output::{
    CapacityStatus, EndpointStatus, OrderPathStatus, PlaceStatus, PoolStatus, Status,
};
use crate::place::Place;
use crate::table::Lane;
use crate::time::Time;
use crate::verdict::Verdict;

impl Engine {
    /// All that is known, for people, as of `now`.
    pub fn status(&self, now: Time) -> Status {
        let (providers, sites) = self.place_status(now);
        Status {
            at: now.max(self.now),
            providers,
            sites,
            pools: (0..self.fleet.pools.len())
                .map(|pool| self.pool_status(pool.into(), now))
                .collect(),
        }
    }

    /// How often each pool was decided anew, by [`PoolId`], and the requests per second that its load
    /// is spread by. While the first stays, nothing else of [`Engine::pool_status`] has changed that
    /// is a decision.
    pub fn decided(&self) -> impl Iterator<Item = (u64, Option<f64>)> {
        let pools = self.fleet.pools.iter();
        pools.map(|pool| (pool.decided, pool.demand_shown()))
    }

    /// What is held of all providers, and of all sites.
    pub fn place_status(&self, now: Time) -> (Vec<PlaceStatus>, Vec<PlaceStatus>) {
        let now = now.max(self.now);
        let fleet = &self.fleet;
        let count = |sites: &mut dyn Iterator<Item = &SiteState>| {
            sites.fold((0, 0), |(down, all), site| {
                (
                    down + site.census.of(Verdict::Down),
                    all + site.census.total(),
                )
            })
        };
        let providers =
            fleet
                .providers
                .iter()
                .zip(&fleet.policy.providers)
                .map(|(state, params)| {
                    let mut sites = state.sites.iter().map(|id| &fleet.sites[id.index()]);
                    place(&params.name, &state.place, count(&mut sites), now)
                });
        let sites = fleet
            .sites
            .iter()
            .zip(&fleet.policy.sites)
            .map(|(state, params)| {
                place(
                    &params.name,
                    &state.place,
                    count(&mut std::iter::once(state)),
                    now,
                )
            });
        (providers.collect(), sites.collect())
    }

    /// What is held of a pool, which the policy has to name.
    pub fn pool_status(&self, id: PoolId, now: Time) -> PoolStatus {
        let now = now.max(self.now);
        let pool = &self.fleet.pools[id.index()];
        let warm: f64 = pool.table.lanes.iter().map(|lane| lane.warm).sum();
        let share = |lane: &Lane| lane.share * (1.0 - warm) + lane.warm;
        let lanes = pool.lanes.iter().filter(|lane| !lane.endpoints.is_empty());
        PoolStatus {
            name: self.fleet.policy.pools[id.index()].name.clone(),
            panic: pool.table.panic,
            active_tier: pool.active_tier + 1,
            writer: pool
                .table
                .writer
                .map(|id| self.fleet.provider_name(id).to_owned()),
            orders_held: pool.orders_held,
            shares: pool
                .table
                .lanes
                .iter()
                .map(|lane| (self.fleet.site_name(lane.site).to_owned(), share(lane)))
                .collect(),
            demand: pool.demand_shown(),
            capacity: self.capacity(pool),
            endpoints: lanes
                .flat_map(|lane| &lane.endpoints)
                .filter_map(|id| self.fleet.endpoint(*id))
                .map(|endpoint| {
                    let share = endpoint_share(pool, endpoint, share);
                    self.endpoint_status(endpoint, share, now)
                })
                .collect(),
        }
    }

    fn capacity(&self, pool: &PoolState) -> Vec<CapacityStatus> {
        let lanes = pool.table.lanes.iter();
        let bounded = lanes.filter(|lane| lane.rate.is_some() || lane.most < 1.0);
        bounded
            .map(|lane| CapacityStatus {
                site: self.fleet.site_name(lane.site).to_owned(),
                rate: lane.rate.filter(|_| lane.usable).or(lane.rate.map(|_| 0.0)),
                tight: lane.tight,
                most: lane.most,
            })
            .collect()
    }

    fn endpoint_status(&self, endpoint: &Endpoint, share: f64, now: Time) -> EndpointStatus {
        let counts = endpoint.traffic.window.peek(now);
        let backend = &self.fleet.policy.backends[endpoint.info.backend.index()];
        EndpointStatus {
            id: endpoint.id,
            backend: backend.name.clone(),
            site: self.fleet.site_name(endpoint.info.site).to_owned(),
            address: endpoint.info.address.to_string(),
            listed: endpoint.listing != Listing::Retained,
            verdict: endpoint.held.verdict,
            cause: endpoint.held.cause,
            evidence: endpoint.held.evidence.clone(),
            since: endpoint.held.since,
            operator: endpoint.word.word,
            leaving: self.leaving_of(endpoint),
            hold_down_left_ms: hold_down_left(endpoint.held.verdict, &endpoint.hold, now),
            next_probe_in_ms: millis(endpoint.slot.next().since(now)),
            last_probe: endpoint.probes.last.clone(),
            window: (counts.all, counts.failed),
            share,
            orders: order_path(&endpoint.orders, now),
        }
    }
}

fn order_path(path: &OrderPath, now: Time) -> OrderPathStatus {
    OrderPathStatus {
        verdict: path.held.verdict,
        cause: path.held.cause,
        evidence: path.held.evidence.clone(),
        since: path.held.since,
        hold_down_left_ms: hold_down_left(path.held.verdict, path.hold(), now),
        window: path.peek(now),
    }
}

fn place(name: &str, place: &Place, (down, all): (usize, usize), now: Time) -> PlaceStatus {
    PlaceStatus {
        name: name.to_owned(),
        verdict: place.held.verdict,
        cause: place.held.cause,
        evidence: place.held.evidence.clone(),
        since: place.held.since,
        operator: place.word.word,
        operator_lapses_in_ms: place.word.lapses_in_ms(now),
        operator_reason: place.word.reason.clone(),
        hold_down_left_ms: hold_down_left(place.held.verdict, &place.hold, now)
            .filter(|_| !place.is_dragged()),
        ramp_left_ms: place.ramp.map(|ramp| millis(ramp.end().since(now))),
        ramp_at: place.ramp_factor(now),
        endpoints_down: down,
        endpoints: all,
    }
}

fn hold_down_left(verdict: Verdict, hold: &HoldDown, now: Time) -> Option<u64> {
    (verdict == Verdict::Down).then(|| millis(hold.until().since(now)))
}

/// An endpoint's part of its lane's share.
fn endpoint_share(pool: &PoolState, endpoint: &Endpoint, share: impl Fn(&Lane) -> f64) -> f64 {
    let lane = pool
        .table
        .lanes
        .iter()
        .find(|lane| lane.site == endpoint.info.site);
    lane.map_or(0.0, |lane| {
        let all: f64 = lane.endpoints.iter().map(|e| e.weight).sum();
        let own = lane
            .endpoints
            .iter()
            .find(|e| e.id == endpoint.id)
            .map_or(0.0, |e| e.weight);
        if all > 0.0 {
            share(lane) * own / all
        } else {
            0.0
        }
    })
}
