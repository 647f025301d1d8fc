//! Clients and workers: requests in open loop, their attempts, retries and ends.
//!
//! Plays what `crates/proxy` does with a request (`job`, `attempt`, `tally`) by the engine's own
//! `select` and `retry`; which answer means what is stated anew here. `attempt` has the steps of one
//! attempt.

use crate::admit::Placed;
use crate::attempt::Attempt;
use crate::ledger::{Done, OrderTrail, Told};
use crate::queue::Event;
use crate::world::World;
use leeward_failover::retry::{Next, Sent, Stop, after_failure};
use leeward_failover::select::{Reach, Want, affinity_key};
use leeward_failover::{
    Class, EndpointId, Outcome, PoolId, Repeat, RetryParams, Table, Tally, Time,
};
use std::sync::Arc;
use std::time::Duration;

/// Clients that send orders.
const CLIENTS: u64 = 40;
/// Longest time that a success waits before it is told to the engine.
const BATCH: Duration = Duration::from_millis(50);
/// How long a client waits where its class has no deadline.
const PATIENT_CLIENT: Duration = Duration::from_secs(15);

/// A request that has not ended.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) class: Class,
    pub(crate) pool: PoolId,
    pub(crate) client: u64,
    key: Option<u64>,
    born: Time,
    pub(crate) deadline: Time,
    /// Whether the deadline is leeward's, not the client's own.
    pub(crate) is_limited: bool,
    /// The table that it began with and keeps.
    table: Arc<Table>,
    params: RetryParams,
    /// Endpoints that were tried, in order.
    pub(crate) tried: Vec<EndpointId>,
    servers: Vec<usize>,
    /// Whether any of them may have received something.
    pub(crate) sent: Sent,
    /// A 5xx that is told where nobody gives a better answer.
    pub(crate) spare: Option<u16>,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) attempts: u32,
    out_of_budget: bool,
    in_panic: bool,
}

impl Request {
    /// Attempts that the class allows in all; `None` where one may not be left without an answer.
    pub(crate) fn allowed(&self) -> Option<u32> {
        match self.class.repeat() {
            Repeat::Budgeted => Some(self.params.attempts),
            Repeat::Once => Some(2),
            Repeat::ProvenNotSent | Repeat::AtConnect => None,
        }
    }
}

/// Counts that the engine has not seen yet.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    waiting: Vec<(EndpointId, Tally)>,
    planned: bool,
    /// What was counted matters now.
    pub(crate) hurry: bool,
}

impl Tallies {
    pub(crate) fn take(&mut self) -> Vec<(EndpointId, Tally)> {
        (self.planned, self.hurry) = (false, false);
        std::mem::take(&mut self.waiting)
    }

    fn of(&mut self, endpoint: EndpointId) -> &mut Tally {
        let known = self.waiting.iter().position(|(e, _)| *e == endpoint);
        let at = known.unwrap_or_else(|| {
            self.waiting.push((endpoint, Tally::default()));
            self.waiting.len() - 1
        });
        &mut self.waiting[at].1
    }
}

impl World {
    /// The next request of a load comes.
    pub(crate) fn arrive(&mut self, index: usize) {
        let load = self.plan.loads[index].clone();
        let rate = load.rate * self.surge(&load);
        let gap = self.arrivals.gap(rate);
        self.queue.plan(self.now + gap, Event::Arrival(index));
        let Some(pool) = self.rules.pool(&load.pool) else {
            return;
        };
        let some = self.arrivals.between(1, CLIENTS);
        let client = load.client.unwrap_or(some);
        let key = load
            .class
            .goes_to_writer()
            .then(|| affinity_key(format!("192.0.2.{client}").as_bytes()));
        let deadline = self.rules.deadlines.get(&(pool, load.class)).copied();
        let deadline = deadline.unwrap_or(load.class.default_deadline());
        self.born += 1;
        let request = Request {
            class: load.class,
            pool: PoolId::from(pool),
            client,
            key,
            born: self.now,
            deadline: self.now + deadline.unwrap_or(PATIENT_CLIENT),
            is_limited: deadline.is_some(),
            table: Arc::clone(&self.table),
            params: self.rules.engine.pools[pool].retry,
            tried: Vec::new(),
            servers: Vec::new(),
            sent: Sent::Nothing,
            spare: None,
            attempt: None,
            attempts: 0,
            out_of_budget: false,
            in_panic: false,
        };
        if load.class.goes_to_writer() {
            self.ledger.orders.insert(self.born, OrderTrail::default());
        }
        self.budgets[pool].request(self.now);
        self.shadow.asked(pool, self.now);
        self.requests.insert(self.born, request);
        self.place(self.born, Reach::Endpoint);
    }

    /// The next attempt of a request, or its end where there is nowhere to go.
    pub(crate) fn place(&mut self, id: u64, reach: Reach) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        // What follows the first attempt knows what was learned since.
        let first = request.tried.is_empty();
        let table = self.table_of(first, &request.table);
        let (class, pool) = (request.class, request.pool);
        let (tried_ids, tried) = (request.tried.clone(), request.servers.clone());
        let want = Want {
            pool,
            class,
            key: request.key,
            tried: &tried_ids,
            reach,
        };
        let (pick, permit) = match self.find_room(&table, &want) {
            Placed::At(pick, permit) => (Some(pick), Some(permit)),
            Placed::Full(full) => return self.turn_down(id, &full),
            Placed::Nowhere => (None, None),
        };
        let address = pick.and_then(|p| table.endpoint(p.endpoint));
        let server = address.and_then(|info| self.server_at(info.address));
        let chosen = pick.map(|p| p.endpoint).zip(server);
        self.with_shadow(|shadow, world| {
            shadow.selected(world, &table, (pool, class, first), chosen, &tried);
        });
        match chosen.zip(permit) {
            Some(((endpoint, server), permit)) => {
                if let Some(request) = self.requests.get_mut(&id) {
                    request.servers.push(server);
                }
                *self.in_flight.entry(endpoint).or_default() += 1;
                self.shadow.took(endpoint, class, self.now);
                self.attempt(id, (endpoint, server), permit);
            }
            None => self.end_unanswered(id),
        }
    }

    /// What follows a failed attempt.
    pub(crate) fn next(&mut self, id: u64, attempts: u32, sent: Sent) -> Next {
        let Some(request) = self.requests.get_mut(&id) else {
            return Next::Stop(Stop::Class);
        };
        let pool = request.pool.index();
        let panic = request.table.pools.get(pool).is_some_and(|p| p.panic);
        let Some(budget) = self.budgets.get_mut(pool) else {
            return Next::Stop(Stop::Budget);
        };
        let (class, params) = (request.class, &request.params);
        let next = after_failure(class, attempts, sent, params, panic, budget, self.now);
        request.out_of_budget |= next == Next::Stop(Stop::Budget);
        request.in_panic |= next == Next::Stop(Stop::Panic);
        let budgeted = matches!(class, Class::PublicRead | Class::PrivateRead);
        if matches!(next, Next::Again(_)) && budgeted {
            self.shadow.repeated(pool, self.now);
        }
        next
    }

    /// Whose request it is, where it is an order or a cancel.
    pub(crate) fn client_of(&self, id: u64) -> Option<u64> {
        let request = self.requests.get(&id)?;
        request.key.filter(|_| request.class.goes_to_writer())
    }

    /// Counts one attempt; of an order or a cancel with whose it was. A failure goes to the engine at
    /// once.
    pub(crate) fn note(
        &mut self,
        endpoint: EndpointId,
        outcome: Outcome,
        (latency, late): (Duration, bool),
        client: Option<u64>,
    ) {
        if let Some(client) = client {
            self.shadow
                .met(endpoint, client, outcome.is_failure(), self.now);
        }
        let tally = self.tallies.of(endpoint);
        tally.add(outcome, latency);
        if late {
            tally.add_late();
        }
        if let Some(client) = client {
            tally.add_order(outcome, client, late);
        }
        if outcome.is_failure() || self.tallies.hurry {
            self.flush();
        } else {
            self.plan_flush();
        }
    }

    /// Counts a request that found no room, at the first endpoint that was full for it.
    pub(crate) fn note_shed(&mut self, endpoint: EndpointId) {
        self.tallies.of(endpoint).add_shed();
        self.plan_flush();
    }

    fn plan_flush(&mut self) {
        if !self.tallies.planned {
            self.tallies.planned = true;
            self.queue.plan(self.now + BATCH, Event::Flush);
        }
    }

    /// No backend answered: the client is told what is known.
    pub(crate) fn end_unanswered(&mut self, id: u64) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let told = match (request.spare, request.sent) {
            (Some(code), _) => Told::Answered(code),
            (None, Sent::Nothing) => Told::NotSent,
            (None, Sent::Maybe) => Told::Unknown,
        };
        self.end(id, told);
    }

    pub(crate) fn end(&mut self, id: u64, told: Told) {
        let Some(request) = self.requests.remove(&id) else {
            return;
        };
        let done = Done {
            id,
            class: request.class,
            pool: request.pool.index(),
            born: request.born,
            at: self.now,
            told,
            tried: request.servers,
            out_of_budget: request.out_of_budget,
            in_panic: request.in_panic,
        };
        if let Some(trail) = self.ledger.orders.get_mut(&id) {
            trail.told = Some(told);
        }
        self.ledger.end(&done);
        self.timeline.done(&done);
        self.with_shadow(|shadow, world| shadow.ended(world, &done));
    }
}
