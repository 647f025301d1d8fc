//! Admission as one worker does it: room at a site and at an endpoint is taken before an attempt goes
//! there, and given back at its end. What is full is the engine's own `limit` to say.
//!
//! Plays what `crates/proxy` does in `admit`, but for the part of a pool that `max_share` holds back.

use crate::ledger::Told;
use crate::world::World;
use leeward_failover::limit::{Limiter, Pace, Recent, take};
use leeward_failover::retry::Sent;
use leeward_failover::select::{Full, Pick, Want, select_beside};
use leeward_failover::{Class, EndpointId, Lane, PoolId, SiteId, Table, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// After so many endpoints of a site that were full the site is taken to be.
const ASKED_OF_A_SITE: usize = 4;

/// What a worker knows of the room there is.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    sites: BTreeMap<(PoolId, SiteId), Limiter>,
    rooms: BTreeMap<EndpointId, Room>,
}

/// The room of one endpoint.
#[derive(Debug, Default)]
struct Room {
    /// When all that was let in will be worked off.
    due: u64,
    learned: Option<Pace>,
    sent: Recent,
}

/// Room for one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permit {
    pool: PoolId,
    site: SiteId,
    endpoint: EndpointId,
    class: Class,
    /// Requests per second that the endpoint declares.
    declared: Option<f64>,
    entered: Time,
}

/// Where an attempt goes.
#[derive(Debug)]
pub(crate) enum Placed {
    At(Pick, Permit),
    /// Every endpoint that may take it is full.
    Full(Filled),
    Nowhere,
}

/// What was full for a request.
#[derive(Debug)]
pub(crate) struct Filled {
    /// The first that was asked.
    first: EndpointId,
    /// Those that were full by their own rate. How many a site has at a time goes up and down from one moment
    /// to the next, and says nothing of who came before whom.
    by_rate: Vec<EndpointId>,
}

impl Gates {
    /// Lets an attempt in where there is room for its class. `Err` says whether the site is full.
    fn admit(
        &mut self,
        lane: &Lane,
        pick: &Pick,
        want: &Want<'_>,
        now: Time,
    ) -> Result<Permit, bool> {
        let (pool, site, endpoint, class) = (want.pool, pick.site, pick.endpoint, want.class);
        let limiter = self.sites.entry((pool, site)).or_default();
        if !limiter.has_room(class) {
            return Err(true);
        }
        let declared = lane.declared(endpoint, class);
        let room = self.rooms.entry(endpoint).or_default();
        if let Some(rate) = declared.filter(|_| lane.tight) {
            room.due = take(room.due, rate, class, now).map_err(|_| false)?;
        }
        if room.learned.as_ref().is_some_and(|pace| pace.is_over(now)) {
            room.learned = None;
        }
        if let Some(pace) = &mut room.learned
            && !pace.take(class, now)
        {
            return Err(false);
        }
        room.sent.add(now);
        limiter.enter();
        Ok(Permit {
            pool,
            site,
            endpoint,
            class,
            declared: declared.map(|rate| rate.own),
            entered: now,
        })
    }

    /// The head of an answer came: what the limits learn from. `full` says that it is back-pressure.
    pub(crate) fn head(&mut self, permit: &Permit, full: bool, latency: Duration, now: Time) {
        let room = self.rooms.entry(permit.endpoint).or_default();
        if full {
            match &mut room.learned {
                Some(pace) => pace.cut(permit.entered, now),
                none => {
                    let sent = room.sent.sent(now);
                    *none = Some(Pace::new(sent, permit.declared, now));
                }
            }
        } else if matches!(permit.class, Class::PublicRead | Class::PrivateRead)
            && let Some(limiter) = self.sites.get_mut(&(permit.pool, permit.site))
        {
            limiter.answered(latency, now);
        }
    }

    /// An attempt is over.
    pub(crate) fn leave(&mut self, permit: &Permit) {
        if let Some(limiter) = self.sites.get_mut(&(permit.pool, permit.site)) {
            limiter.leave();
        }
    }
}

impl World {
    /// Finds a place for one attempt.
    pub(crate) fn find_room(&mut self, table: &Table, want: &Want<'_>) -> Placed {
        let (mut sites, mut endpoints, mut by_rate) = (Vec::new(), Vec::new(), Vec::new());
        let mut of_last = (None, 0);
        loop {
            let in_flight = &self.in_flight;
            let load = |endpoint| in_flight.get(&endpoint).copied().unwrap_or(0);
            let full = Full {
                sites: &sites,
                endpoints: &endpoints,
            };
            let pick = select_beside(table, want, full, &mut self.lots, load);
            let Some(pick) = pick else {
                return match endpoints.first() {
                    None => Placed::Nowhere,
                    Some(first) => Placed::Full(Filled {
                        first: *first,
                        by_rate,
                    }),
                };
            };
            let lanes = table.pools.get(want.pool.index()).map(|pool| &pool.lanes);
            let lane = lanes.and_then(|lanes| lanes.iter().find(|lane| lane.site == pick.site));
            let Some(lane) = lane else {
                return Placed::Nowhere;
            };
            match self.gates.admit(lane, &pick, want, self.now) {
                Ok(permit) => return Placed::At(pick, permit),
                Err(by_site) => {
                    let same = of_last.0 == Some(pick.site);
                    of_last = (Some(pick.site), if same { of_last.1 + 1 } else { 1 });
                    endpoints.push(pick.endpoint);
                    by_rate.extend((!by_site).then_some(pick.endpoint));
                    if by_site || of_last.1 == ASKED_OF_A_SITE {
                        sites.push(pick.site);
                    }
                }
            }
        }
    }

    /// Every endpoint that might take a request is full: it is told so, where none of it was sent.
    pub(crate) fn turn_down(&mut self, id: u64, full: &Filled) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        if request.spare.is_some() || request.sent == Sent::Maybe {
            self.end_unanswered(id);
            return;
        }
        let class = request.class;
        self.note_shed(full.first);
        self.with_shadow(|shadow, world| shadow.shed(world, class, &full.by_rate));
        self.end(id, Told::Shed);
    }

    /// The table that an attempt is placed by: what follows the first knows what was learned since.
    pub(crate) fn table_of(&self, first: bool, began_with: &Arc<Table>) -> Arc<Table> {
        Arc::clone(if first { began_with } else { &self.table })
    }
}
