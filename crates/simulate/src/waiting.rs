//! Requests that wait too long: the look that workers take at them, and what follows when the
//! engine says that an endpoint is to be left.
//!
//! Plays what `crates/proxy` does in `waiting`, `pace` and `race`, but for hedges: here only a rescue
//! makes a second attempt.

use crate::attempt::Attempt;
use crate::fault::Mode;
use crate::queue::Event;
use crate::world::World;
use leeward_failover::retry::Sent;
use leeward_failover::select::Reach;
use leeward_failover::{Class, EndpointId, Input, Leaving, Overdue, Repeat, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// Time between two looks while anything waits.
const LOOK: Duration = Duration::from_millis(20);
/// A silence that has not changed is told again after this long.
const TELL_AGAIN: Duration = Duration::from_millis(60);
/// What was sent and is not acknowledged after this long does not arrive.
const UNHEARD: Duration = Duration::from_millis(100);
/// A connection that does not come about in this long counts as a dead path.
const UNCONNECTED: Duration = Duration::from_millis(250);
/// Nothing is overdue sooner than this.
const LEAST_OVERDUE: Duration = Duration::from_millis(50);
/// Answers that are remembered of a route, and that are enough to know it.
const MEMORY: usize = 256;
const ENOUGH: usize = 20;

/// How long the answers of one route take.
#[derive(Debug, Default)]
struct Pace {
    took: Vec<Duration>,
    next: usize,
    overdue: Option<Duration>,
}

/// What a worker knows of those that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    paces: BTreeMap<(usize, Class), Pace>,
    /// When each endpoint last answered anything.
    answered: BTreeMap<EndpointId, Time>,
    /// What was last told of each, and when.
    told: BTreeMap<EndpointId, (Overdue, Time)>,
    /// The same of orders alone.
    order_answered: BTreeMap<EndpointId, Time>,
    orders_told: BTreeMap<EndpointId, (Overdue, Time)>,
    planned: bool,
}

impl Pace {
    fn record(&mut self, took: Duration) {
        if self.took.len() < MEMORY {
            self.took.push(took);
        } else {
            self.took[self.next] = took;
        }
        self.next = (self.next + 1) % MEMORY;
        if self.took.len() >= ENOUGH && self.next.is_multiple_of(16) {
            let mut sorted = self.took.clone();
            sorted.sort_unstable();
            let most = sorted[(sorted.len() - 1) * 99 / 100];
            self.overdue = Some((most * 3).max(LEAST_OVERDUE));
        }
    }
}

impl World {
    /// Something waits: workers look at it soon.
    pub(crate) fn watch(&mut self) {
        if !self.waiting.planned {
            self.waiting.planned = true;
            self.queue.plan(self.now + LOOK, Event::Watch);
        }
    }

    /// Workers look at what waits.
    pub(crate) fn look_at_waiting(&mut self) {
        self.waiting.planned = false;
        let now = self.now;
        let (all, orders) = (self.overdue(), self.orders_overdue());
        let mut inputs = Vec::new();
        for (endpoint, overdue) in news(&mut self.waiting.told, all, now) {
            inputs.push(Input::Silence { endpoint, overdue });
        }
        for (endpoint, overdue) in news(&mut self.waiting.orders_told, orders, now) {
            inputs.push(Input::OrdersWait { endpoint, overdue });
        }
        let any = !inputs.is_empty();
        inputs.into_iter().for_each(|input| self.tell(input));
        if any {
            self.apply();
        }
        if self.requests.values().any(|r| r.attempt.is_some()) {
            self.watch();
        }
    }

    /// Orders that wait longer than usual where none was answered since they were sent.
    fn orders_overdue(&self) -> BTreeMap<EndpointId, Overdue> {
        let mut silent: BTreeMap<EndpointId, Overdue> = BTreeMap::new();
        let orders = self.requests.values().filter(|r| r.class == Class::Order);
        for (request, attempt) in orders.filter_map(|r| Some((r, r.attempt.as_ref()?))) {
            let answered = self.waiting.order_answered.get(&attempt.endpoint);
            let age = self.now.since(attempt.began);
            let usual = self.overdue_after(request.pool.index(), request.class);
            let waits = answered.is_none_or(|at| *at <= attempt.began);
            if waits && usual.is_some_and(|usual| age >= usual) {
                let overdue = silent.entry(attempt.endpoint).or_default();
                overdue.requests += 1;
                overdue.oldest = overdue.oldest.max(age);
            }
        }
        silent
    }

    fn overdue(&self) -> BTreeMap<EndpointId, Overdue> {
        let mut silent: BTreeMap<EndpointId, Overdue> = BTreeMap::new();
        for request in self.requests.values() {
            let Some(attempt) = &request.attempt else {
                continue;
            };
            let answered = self.waiting.answered.get(&attempt.endpoint);
            if answered.is_some_and(|at| *at > attempt.began) {
                continue;
            }
            let age = self.now.since(attempt.began);
            let usual = self.overdue_after(request.pool.index(), request.class);
            let is_overdue = usual.is_some_and(|usual| age >= usual);
            let dead = self.is_dead(attempt, age);
            if is_overdue || dead {
                let overdue = silent.entry(attempt.endpoint).or_default();
                overdue.requests += 1;
                overdue.orders += u32::from(request.class.goes_to_writer());
                overdue.dead_paths += u32::from(dead);
                overdue.oldest = overdue.oldest.max(age);
            }
        }
        silent
    }

    /// Whether the kernel knows that what was sent does not arrive.
    fn is_dead(&self, attempt: &Attempt, age: Duration) -> bool {
        if !attempt.wrote {
            return age >= UNCONNECTED;
        }
        let rtt = self.servers[attempt.server].rtt;
        age >= UNHEARD.max(rtt * 4) && self.is_dark(attempt.server)
    }

    /// Whether nothing gets through to a server and back.
    pub(crate) fn is_dark(&self, server: usize) -> bool {
        self.here[server].iter().any(|index| {
            let phase = &self.phases[*index];
            phase.mode == Mode::TcpBlackhole && phase.share >= 1.0 && phase.felt(self.now) > 0.0
        })
    }

    /// After how long a request is overdue, where that is known.
    pub(crate) fn overdue_after(&self, pool: usize, class: Class) -> Option<Duration> {
        self.waiting.paces.get(&(pool, class))?.overdue
    }

    /// An endpoint answered. True where that came later than usual.
    pub(crate) fn answered(
        &mut self,
        endpoint: EndpointId,
        pool: usize,
        class: Class,
        took: Duration,
    ) -> bool {
        let late = self
            .overdue_after(pool, class)
            .is_some_and(|usual| took >= usual);
        self.waiting.answered.insert(endpoint, self.now);
        let mut told = self.waiting.told.remove(&endpoint).is_some();
        if class == Class::Order {
            self.waiting.order_answered.insert(endpoint, self.now);
            told |= self.waiting.orders_told.remove(&endpoint).is_some();
        }
        self.tallies.hurry |= told;
        let pace = self.waiting.paces.entry((pool, class)).or_default();
        pace.record(took);
        late
    }

    /// Another table is out: whoever waits where work does not stay goes elsewhere, as far as it may.
    pub(crate) fn turn_away(&mut self) {
        if self.table.pools.iter().all(|pool| pool.leaving.is_empty()) {
            return;
        }
        let waiting = self.requests.iter().filter_map(|(id, request)| {
            let attempt = request.attempt.as_ref()?;
            let leaving = self.table.leaving(attempt.endpoint);
            (leaving != Leaving::Stays).then(|| (*id, attempt.clone(), leaving))
        });
        let waiting: Vec<(u64, Attempt, Leaving)> = waiting.collect();
        for (id, attempt, leaving) in waiting {
            let Some(request) = self.requests.get(&id) else {
                continue;
            };
            let repeats = matches!(request.class.repeat(), Repeat::Budgeted | Repeat::Once);
            let more = request.tried.len() as u32 + 1 < request.allowed().unwrap_or(1);
            let goes = match leaving {
                Leaving::Stays | Leaving::Slowly => false,
                Leaving::Detour | Leaving::AtOnce if repeats => more,
                Leaving::Detour => !attempt.wrote && self.has_way_round(id, &attempt),
                Leaving::AtOnce => !attempt.wrote,
            };
            if goes {
                let sent = if attempt.wrote {
                    Sent::Maybe
                } else {
                    Sent::Nothing
                };
                self.left(id, &attempt, sent);
                self.place(id, Reach::Provider);
            }
        }
    }

    fn has_way_round(&self, id: u64, attempt: &Attempt) -> bool {
        let provider = self.table.endpoint(attempt.endpoint).map(|i| i.provider);
        let request = self.requests.get(&id);
        let pool = request.and_then(|r| self.table.pools.get(r.pool.index()));
        let writer = pool.and_then(|pool| pool.writer);
        let writes = request.is_some_and(|r| r.class.goes_to_writer());
        !writes || writer.is_none() || writer != provider
    }
}

/// What is told of silences: those that are new, worse, or last.
fn news(
    told: &mut BTreeMap<EndpointId, (Overdue, Time)>,
    silent: BTreeMap<EndpointId, Overdue>,
    now: Time,
) -> Vec<(EndpointId, Overdue)> {
    let mut news = Vec::new();
    for (endpoint, overdue) in silent {
        let again = told.get(&endpoint).is_none_or(|(told, at)| {
            let worse =
                overdue.requests >= told.requests * 2 || overdue.dead_paths > told.dead_paths;
            worse || now.since(*at) >= TELL_AGAIN
        });
        if again {
            told.insert(endpoint, (overdue, now));
            news.push((endpoint, overdue));
        }
    }
    news
}
