//! The steps of one attempt at one server: connect, write, wait, answer or not.
//!
//! What the server does comes from `server`; whether a byte of a request was written is known
//! exactly, as the proxy knows it. Orders that are executed go into the ledger at that moment.

use crate::admit::Permit;
use crate::fault::Asker;
use crate::ledger::Told;
use crate::queue::{Event, Step};
use crate::server::{Answered, Dialled, ask, dial};
use crate::world::World;
use leeward_failover::retry::{Next, Sent};
use leeward_failover::select::Reach;
use leeward_failover::{Class, EndpointId, Outcome, Time};
use std::time::Duration;

/// How often an attempt that is past its patience asks again whether it may be left.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// An idle connection older than this may have been closed by the backend meanwhile.
const TIRED: Duration = Duration::from_secs(5);

/// One attempt that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) endpoint: EndpointId,
    pub(crate) server: usize,
    permit: Permit,
    pub(crate) began: Time,
    /// Whether a byte of the request was written.
    pub(crate) wrote: bool,
    /// From when on it may be left.
    patience: Option<Time>,
}

impl World {
    /// Begins an attempt, on a connection that waits where there is one.
    pub(crate) fn attempt(
        &mut self,
        id: u64,
        (endpoint, server): (EndpointId, usize),
        permit: Permit,
    ) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        request.attempts += 1;
        let number = request.attempts;
        let tried = request.tried.len() as u32;
        let left = request.allowed().map_or(0, |all| all.saturating_sub(tried));
        let patience = (left > 1).then(|| self.now + request.deadline.since(self.now) / left);
        let (class, pool, deadline) = (request.class, request.pool.index(), request.deadline);
        let pooled = self.take_idle(server, pool, class);
        let attempt = Attempt {
            number,
            endpoint,
            server,
            permit,
            began: self.now,
            wrote: pooled,
            patience,
        };
        let mut dice = self.fates.clone();
        let (after, step) = if pooled {
            (self.servers[server].rtt / 2, Step::Reach)
        } else {
            let connect = self.rules.io[pool].0;
            match dial(&self.servers[server], &self.sky(server), &mut dice) {
                Dialled::Stands(after) if after < connect => {
                    (after + self.servers[server].rtt / 2, Step::Reach)
                }
                Dialled::Stands(_) | Dialled::Silence => (connect, Step::Undialled { tls: false }),
                Dialled::Refused(after) => (after, Step::Undialled { tls: false }),
                Dialled::TlsFailed(after) => (after, Step::Undialled { tls: true }),
            }
        };
        self.fates = dice;
        let timer = patience.unwrap_or(deadline).min(deadline);
        if let Some(request) = self.requests.get_mut(&id) {
            request.attempt = Some(attempt);
        }
        if pooled {
            self.wrote(id, server);
        }
        self.plan_step(id, number, self.now + after, step);
        self.plan_step(id, number, timer, Step::Timer);
        self.watch();
    }

    fn plan_step(&mut self, request: u64, attempt: u32, at: Time, step: Step) {
        let event = Event::Step {
            request,
            attempt,
            step,
        };
        self.queue.plan(at, event);
    }

    /// An idle connection that is young enough, for whoever may use one.
    fn take_idle(&mut self, server: usize, pool: usize, class: Class) -> bool {
        let (_, idle, for_orders) = self.rules.io[pool];
        let oldest = if class.goes_to_writer() {
            for_orders
        } else {
            idle
        };
        let now = self.now;
        let connections = &mut self.servers[server].idle;
        connections.retain(|proved| now.since(*proved) < idle);
        let young = connections
            .last()
            .is_some_and(|proved| now.since(*proved) < oldest);
        if young {
            let proved = connections.pop();
            let tired = proved.is_some_and(|at| now.since(at) > TIRED);
            // Closed by the backend just now: found out before a byte of it is written.
            return !(tired && self.fates.chance(0.02));
        }
        false
    }

    /// A byte of a request was taken by a connection to a server.
    fn wrote(&mut self, id: u64, server: usize) {
        if let Some(attempt) = self.current(id) {
            attempt.wrote = true;
        }
        if let Some(trail) = self.ledger.orders.get_mut(&id) {
            trail.wrote.push(server);
        }
        self.with_shadow(|shadow, world| shadow.wrote(world, id, server));
    }

    fn current(&mut self, id: u64) -> Option<&mut Attempt> {
        self.requests.get_mut(&id)?.attempt.as_mut()
    }

    /// Something comes back, or does not.
    pub(crate) fn take_step(&mut self, id: u64, number: u32, step: Step) {
        let Some(attempt) = self.current(id).cloned() else {
            return;
        };
        if attempt.number != number {
            return;
        }
        match step {
            Step::Undialled { tls } => {
                let outcome = if tls {
                    Outcome::TlsFailed
                } else {
                    Outcome::ConnectFailed
                };
                self.failed(id, &attempt, outcome);
                self.after(id, Sent::Nothing);
            }
            Step::Reach => self.reach(id, &attempt),
            Step::Answer { code, whole, full } => self.answer(id, &attempt, code, whole, full),
            Step::Break => {
                self.failed(id, &attempt, Outcome::Reset);
                self.after(id, Sent::Maybe);
            }
            Step::Timer => self.timer(id, &attempt),
        }
    }

    /// The request is at the server's door.
    fn reach(&mut self, id: u64, attempt: &Attempt) {
        let server = attempt.server;
        if !attempt.wrote {
            self.wrote(id, server);
        }
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let (class, client) = (request.class, request.client);
        let asker = Asker { class, client };
        let mut dice = self.fates.clone();
        let mut there = self.servers[server].clone();
        let answered = ask(&mut there, &self.sky(server), Some(asker), &mut dice);
        let executed = match answered {
            Answered::Status { code: 200, .. } => 1.0,
            Answered::Status {
                code: 500..,
                full: false,
                ..
            }
            | Answered::Silence => 0.2,
            Answered::Reset(_) => 0.5,
            Answered::Status { .. } | Answered::Stale(_) | Answered::Lost => 0.0,
        };
        let executed = dice.chance(executed);
        self.fates = dice;
        self.servers[server].busy_until = there.busy_until;
        if executed && class == Class::Order {
            self.execute(id, server);
        }
        let number = attempt.number;
        let back = self.now + self.servers[server].rtt / 2;
        match answered {
            Answered::Status {
                code,
                after,
                whole,
                full,
            } => {
                self.plan_step(id, number, back + after, Step::Answer { code, whole, full });
            }
            Answered::Reset(after) => self.plan_step(id, number, back + after, Step::Break),
            Answered::Stale(_) | Answered::Silence | Answered::Lost => {}
        }
    }

    fn execute(&mut self, id: u64, server: usize) {
        let now = self.now;
        if let Some(trail) = self.ledger.orders.get_mut(&id) {
            trail.executed.push((now, server));
        }
        self.with_shadow(|shadow, world| shadow.executed(world, id));
    }

    fn answer(&mut self, id: u64, attempt: &Attempt, code: u16, whole: bool, full: bool) {
        if self.is_dark(attempt.server) {
            // The path died while the answer was on its way.
            return;
        }
        let latency = self.now.since(attempt.began);
        self.servers[attempt.server].idle.push(self.now);
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let said = judge(code, full);
        let (class, in_time) = (request.class, self.now < request.deadline);
        let pool = request.pool.index();
        let attempts = request.tried.len() as u32 + 1;
        let client = self.client_of(id);
        let late = self.answered(attempt.endpoint, pool, class, latency);
        let head = (latency, late);
        let full = said == Outcome::Backpressure;
        self.gates.head(&attempt.permit, full, latency, self.now);
        if !whole {
            // A small answer is held until it is whole: one that is cut is as good as none.
            self.failed(id, attempt, Outcome::Truncated);
            self.after(id, Sent::Maybe);
            return;
        }
        if may_be_better(class, code) && in_time {
            let next = self.next(id, attempts, Sent::Maybe);
            if let Next::Again(reach) = next {
                self.left(id, attempt, Sent::Maybe);
                if let Some(request) = self.requests.get_mut(&id) {
                    request.spare = Some(code);
                }
                self.note(attempt.endpoint, said, head, client);
                self.place(id, reach);
                return;
            }
        }
        self.left(id, attempt, Sent::Maybe);
        self.end(id, Told::Answered(code));
        self.note(attempt.endpoint, said, head, client);
    }

    /// Patience is over, or time is.
    fn timer(&mut self, id: u64, attempt: &Attempt) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let deadline = request.deadline;
        let sent = if attempt.wrote {
            Sent::Maybe
        } else {
            Sent::Nothing
        };
        if self.now >= deadline {
            if request.is_limited {
                self.failed(id, attempt, Outcome::Timeout);
            } else {
                // The client gave up: that says nothing of the endpoint.
                self.left(id, attempt, Sent::Nothing);
            }
            if let Some(request) = self.requests.get_mut(&id)
                && sent == Sent::Maybe
            {
                request.sent = Sent::Maybe;
            }
            self.end_unanswered(id);
            return;
        }
        // Only an attempt whose request was written waits for an answer; a connection has its own
        // limit.
        let ready = attempt.wrote && attempt.patience.is_some_and(|at| self.now >= at);
        if ready && let Some(reach) = self.may_leave(id) {
            self.failed(id, attempt, Outcome::Timeout);
            if let Some(request) = self.requests.get_mut(&id) {
                request.sent = Sent::Maybe;
            }
            self.place(id, reach);
            return;
        }
        let again = (self.now + ASK_AGAIN).min(deadline);
        self.plan_step(id, attempt.number, again, Step::Timer);
    }

    fn may_leave(&mut self, id: u64) -> Option<Reach> {
        let attempts = self.requests.get(&id)?.tried.len() as u32 + 1;
        match self.next(id, attempts, Sent::Maybe) {
            Next::Again(reach) => Some(reach),
            Next::Stop(_) => None,
        }
    }

    /// An attempt is over: its endpoint counts as tried.
    pub(crate) fn left(&mut self, id: u64, attempt: &Attempt, sent: Sent) {
        if let Some(waiting) = self.in_flight.get_mut(&attempt.endpoint) {
            *waiting = waiting.saturating_sub(1);
        }
        self.gates.leave(&attempt.permit);
        if let Some(request) = self.requests.get_mut(&id) {
            request.attempt = None;
            request.tried.push(attempt.endpoint);
            if sent == Sent::Maybe {
                request.sent = Sent::Maybe;
            }
        }
    }

    fn failed(&mut self, id: u64, attempt: &Attempt, outcome: Outcome) {
        self.left(id, attempt, Sent::Nothing);
        let client = self.client_of(id);
        self.note(attempt.endpoint, outcome, (Duration::ZERO, false), client);
    }

    /// Another attempt, or the end.
    fn after(&mut self, id: u64, sent: Sent) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if sent == Sent::Maybe {
            request.sent = Sent::Maybe;
        }
        let (attempts, in_time) = (request.tried.len() as u32, self.now < request.deadline);
        if in_time && let Next::Again(reach) = self.next(id, attempts, sent) {
            self.place(id, reach);
            return;
        }
        self.end_unanswered(id);
    }

    /// Processes are killed: what waits there breaks at once.
    pub(crate) fn kill(&mut self, servers: &[usize]) {
        for server in servers {
            self.servers[*server].idle.clear();
        }
        let hit = |r: &crate::traffic::Request| {
            r.attempt
                .as_ref()
                .is_some_and(|a| servers.contains(&a.server) && a.wrote)
        };
        let broken: Vec<(u64, u32)> = self
            .requests
            .iter()
            .filter(|(_, r)| hit(r))
            .filter_map(|(id, r)| Some((*id, r.attempt.as_ref()?.number)))
            .collect();
        for (id, number) in broken {
            let rtt = self
                .current(id)
                .map(|a| a.server)
                .map(|s| self.servers[s].rtt);
            let at = self.now + rtt.unwrap_or_default() / 2;
            self.plan_step(id, number, at, Step::Break);
        }
    }
}

/// What an answer says of the endpoint. Never less than 500 against it (P11).
const fn judge(code: u16, full: bool) -> Outcome {
    match code {
        503 if full => Outcome::Backpressure,
        502..=504 => Outcome::GatewayError,
        500.. => Outcome::ServerError,
        _ => Outcome::Success,
    }
}

/// Whether an answer may be replaced by another backend's.
const fn may_be_better(class: Class, code: u16) -> bool {
    match class {
        Class::PublicRead | Class::PrivateRead => matches!(code, 500 | 502..=504),
        Class::Cancel => matches!(code, 502..=504),
        Class::Order | Class::Stream | Class::Tcp => false,
    }
}
