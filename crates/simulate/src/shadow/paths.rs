//! Order paths (decision 13): shut for orders of several clients that really failed there, opened by
//! orders that really succeeded there or by an operator, and never by time.

use super::{Found, Quiet};
use crate::world::World;
use leeward_failover::{Cause, Change, EndpointId, Event, Time, Verdict};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What the engine looks back on when it judges orders.
const WINDOW: Duration = Duration::from_secs(31);
/// Orders that prove a path at least.
const PROVED: usize = 5;
/// So many other clients whose orders succeed are enough to say that it is one client's own trouble.
const OTHERS: usize = 5;
/// So many orders that a quarter of each quarter of them fails leave no doubt.
const ENOUGH: usize = 240;
/// What was met reaches the engine this much later at most, and clocks are read in milliseconds.
const SLACK: Duration = Duration::from_millis(150);
/// More is not remembered of an endpoint.
const MOST: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Paths {
    known: BTreeMap<EndpointId, Path>,
}

#[derive(Debug, Default)]
struct Path {
    /// What orders met there: when, whose, and whether they failed.
    met: VecDeque<(Time, u64, bool)>,
    /// When what is held of it last changed, and whether it was shut then.
    changed: Option<Time>,
    shut: Option<Time>,
}

impl Paths {
    /// An order or a cancel met something at an endpoint.
    pub(crate) fn met(&mut self, endpoint: EndpointId, client: u64, failed: bool, now: Time) {
        let met = &mut self.known.entry(endpoint).or_default().met;
        met.push_back((now, client, failed));
        while met.len() > MOST
            || met
                .front()
                .is_some_and(|(at, ..)| now.since(*at) > WINDOW * 4)
        {
            met.pop_front();
        }
    }

    pub(crate) fn decided(
        &mut self,
        world: &World,
        events: &[Event],
        quiet: &Quiet,
        found: &mut Found,
    ) {
        for event in events {
            let Change::OrderPath { to, .. } = event.change else {
                continue;
            };
            let Some(endpoint) = endpoint_of(world, event) else {
                continue;
            };
            let path = self.known.entry(endpoint).or_default();
            let wrong = match to {
                Verdict::Down => path.shut_wrongly(event),
                Verdict::Recovering => path.tried_wrongly(world, endpoint, event),
                _ => path.opened_wrongly(world, endpoint, event, quiet),
            };
            if let Some(wrong) = wrong {
                let (promise, what) = wrong;
                let name = &event.subject.name;
                found.broken(world.now, promise, format!("the orders of {name} {what}"));
            }
            path.changed = Some(event.at);
            // What is remembered was shut at a time that another process knew.
            let shut = to == Verdict::Down && event.cause != Cause::Remembered;
            path.shut = shut.then_some(event.at);
        }
    }

    /// Orders do not fail in part for long where nothing else does, and nothing is said of it.
    pub(crate) fn look(&mut self, world: &World, quiet: &Quiet, found: &mut Found) {
        if quiet.is_upset(world.now, WINDOW) || quiet.has_words(world.now) {
            return;
        }
        for (endpoint, path) in &self.known {
            let info = world.table.endpoint(*endpoint);
            let server = info.and_then(|info| world.server_at(info.address));
            let Some(server) = server.filter(|_| path.shut.is_none()) else {
                continue;
            };
            if world.hurts_orders_alone(server) && path.fails_in_part() {
                let what = "fail in part, and its order path is not shut";
                let name = world.servers[server].address;
                found.broken(world.now, "detection", format!("orders at {name} {what}"));
            }
        }
    }

    pub(crate) fn restarted(&mut self) {
        self.known.clear();
    }
}

impl Path {
    /// Whether so many of the last orders failed, in all of that time and of several clients, that it
    /// cannot be chance.
    fn fails_in_part(&self) -> bool {
        let since = self.changed.unwrap_or(Time::ZERO);
        let last = || self.met.iter().rev().take(ENOUGH);
        let young = last().all(|(at, ..)| *at >= since);
        let span = match (last().next(), last().next_back()) {
            (Some((to, ..)), Some((from, ..))) => to.since(*from),
            _ => Duration::ZERO,
        };
        let failed = |skipped: usize| {
            let part = last().skip(skipped).take(ENOUGH / 4);
            part.filter(|(.., failed)| *failed).count()
        };
        let everywhere = (0..4).all(|part| failed(part * ENOUGH / 4) * 4 >= ENOUGH / 4);
        let hit = last().filter(|(.., failed)| *failed);
        let clients: BTreeSet<u64> = hit.map(|(_, client, _)| *client).collect();
        let lasts = span > Duration::from_secs(8) && span < WINDOW * 3;
        let several = clients.len() >= 3;
        last().count() == ENOUGH && young && lasts && everywhere && several
    }

    fn clients(&self, since: Time, failed: bool) -> BTreeSet<u64> {
        let met = self.met.iter();
        let such = met.filter(|(at, _, bad)| *at >= since && *bad == failed);
        such.map(|(_, client, _)| *client).collect()
    }

    fn shut_wrongly(&self, event: &Event) -> Option<(&'static str, String)> {
        if matches!(event.cause, Cause::Remembered | Cause::Silent) {
            return None;
        }
        let since = self.changed.unwrap_or(Time::ZERO).max(event.at - WINDOW);
        let hit = self.clients(since - SLACK, true);
        let well = self.clients(since, false);
        let others = well.difference(&hit).count();
        let silent = event.evidence.iter().any(|(fact, _)| *fact == "silent_for");
        match hit.len() {
            0 if !silent => Some(("P10", "are shut and none of them failed".to_owned())),
            1 if others >= OTHERS && !silent => {
                let what = format!("are shut for one client alone, {others} others are well");
                Some(("P1", what))
            }
            _ => None,
        }
    }

    fn tried_wrongly(
        &self,
        world: &World,
        endpoint: EndpointId,
        event: &Event,
    ) -> Option<(&'static str, String)> {
        let backend = world.table.endpoint(endpoint)?.backend;
        let pool = world.rules.engine.backends.get(backend.index())?.pool;
        let least = world.rules.engine.pools.get(pool.index())?.failover;
        let away = event.at.since(self.shut?);
        let early = away + SLACK < least.hold_down_first;
        (early || event.cause != Cause::HoldDownOver)
            .then(|| ("P7", format!("are tried after {} ms", away.as_millis())))
    }

    fn opened_wrongly(
        &self,
        world: &World,
        endpoint: EndpointId,
        event: &Event,
        quiet: &Quiet,
    ) -> Option<(&'static str, String)> {
        let since = self.changed.unwrap_or(Time::ZERO) - SLACK;
        let good = self.met.iter().filter(|(at, _, bad)| *at >= since && !bad);
        let good = good.count();
        let info = world.table.endpoint(endpoint)?;
        let server = &world.servers[world.server_at(info.address)?];
        let said = quiet.was_spoken_of(&server.site) || quiet.was_spoken_of(server.provider());
        let proved = match event.cause {
            Cause::TrafficSucceeds => good >= PROVED,
            Cause::Operator => said,
            _ => false,
        };
        (!proved).then(|| {
            let cause = event.cause.as_str();
            (
                "P7",
                format!("count as well ({cause}) after {good} that succeeded"),
            )
        })
    }
}

/// The endpoint that an event is about.
fn endpoint_of(world: &World, event: &Event) -> Option<EndpointId> {
    let address = event.subject.name.rsplit(' ').next()?;
    let mut known = world.table.endpoints.iter().enumerate();
    let found =
        known.find(|(_, info)| info.is_some_and(|info| info.address.to_string() == address));
    found.map(|(index, _)| EndpointId::from(index))
}
