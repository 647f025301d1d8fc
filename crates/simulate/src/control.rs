//! Drives the engine as the proxy's control task does: facts in, decisions applied.
//!
//! Probes start when the engine says so and come back as facts; names are asked at their pace;
//! counts arrive in batches. It judges nothing.

use crate::admit::Gates;
use crate::fault::Mode;
use crate::plan::{Deed, Rules};
use crate::queue::Event;
use crate::server::{Answered, Dialled, ask, dial};
use crate::traffic::Tallies;
use crate::waiting::Waiting;
use crate::world::World;
use leeward_failover::retry::Budget;
use leeward_failover::{
    BackendId, EndpointId, Engine, Input, Output, ProbeFailure, ProbeResult, ProviderId, SiteId,
    Target, Time,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often a name is asked.
const TTL: Duration = Duration::from_secs(5);

impl World {
    /// A process begins with the policy.
    pub(crate) fn start(&mut self) {
        self.budgets = budgets(&self.rules);
        self.tell(Input::Policy(Box::new(self.rules.engine.clone())));
        self.apply();
        for name in 0..self.plan.names.len() {
            if self.plan.names[name].resolves {
                self.queue.plan(
                    self.now + Duration::from_millis(5 + name as u64),
                    Event::Resolve(name),
                );
            }
        }
    }

    pub(crate) fn tell(&mut self, input: Input) {
        if let Some((_, told)) = self.told.last_mut() {
            told.push((self.now, input.clone()));
        }
        self.engine.handle(input, self.now);
    }

    /// Does everything that the engine has to say.
    pub(crate) fn apply(&mut self) {
        let mut published = None;
        let mut events = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Probe(endpoint) => self.probe(endpoint),
                Output::Table(table) => published = Some(table),
                Output::Event(event) => {
                    self.timeline.event(&event);
                    events.push(event);
                }
            }
        }
        let before = Arc::clone(&self.table);
        if let Some(table) = published {
            self.table = table;
        }
        let changed = !Arc::ptr_eq(&before, &self.table);
        if changed || !events.is_empty() {
            self.with_shadow(|shadow, world| shadow.decided(world, &before, &events));
        }
        if changed {
            self.turn_away();
        }
        let due = self.engine.next_deadline();
        if due < self.wake_at {
            self.wake_at = due;
            self.queue.plan(due, Event::Wake);
        }
    }

    pub(crate) fn wake(&mut self) {
        if self.now < self.wake_at {
            return;
        }
        self.wake_at = Time::NEVER;
        if self.engine.next_deadline() <= self.now {
            self.tell(Input::Wake);
        }
        self.apply();
    }

    /// What workers counted goes to the engine, all at once.
    pub(crate) fn flush(&mut self) {
        for (endpoint, tally) in self.tallies.take() {
            self.tell(Input::Traffic { endpoint, tally });
        }
        self.apply();
    }

    fn probe(&mut self, endpoint: EndpointId) {
        let Some(info) = self.engine.endpoint(endpoint) else {
            return;
        };
        let Some(server) = self.server_at(info.address) else {
            return;
        };
        let pool = self.rules.engine.backends[info.backend.index()].pool;
        let timeout = self.rules.engine.pools[pool.index()].probe.timeout;
        let (takes, result) = self.probed(server, timeout);
        let process = self.process;
        self.shadow.probed(endpoint, self.now);
        self.queue
            .plan(self.now + takes, Event::Probed(endpoint, result, process));
    }

    fn probed(&mut self, index: usize, timeout: Duration) -> (Duration, ProbeResult) {
        let failed = |takes: Duration, cause: ProbeFailure, detail: String| {
            (takes.min(timeout), ProbeResult::Failed { cause, detail })
        };
        let mut dice = self.probes.clone();
        let dialled = dial(&self.servers[index], &self.sky(index), &mut dice);
        let mut server = self.servers[index].clone();
        let answered = ask(&mut server, &self.sky(index), None, &mut dice);
        self.probes = dice;
        let stands = match dialled {
            Dialled::Stands(after) if after < timeout => after + server.rtt / 2,
            Dialled::Stands(_) | Dialled::Silence => {
                return failed(timeout, ProbeFailure::ConnectTimeout, String::new());
            }
            Dialled::Refused(after) => {
                return failed(after, ProbeFailure::Refused, "connection refused".into());
            }
            Dialled::TlsFailed(after) => {
                return failed(after, ProbeFailure::Tls, "certificate expired".into());
            }
        };
        match answered {
            Answered::Status { after, .. } if stands + after >= timeout => {
                failed(timeout, ProbeFailure::Timeout, String::new())
            }
            Answered::Status { code, after, .. } if code >= 400 => {
                let detail = format!("status {code}, expected 200");
                failed(stands + after, ProbeFailure::Status, detail)
            }
            Answered::Status { after, .. } => {
                let took = stands + after;
                (took, ProbeResult::Passed { took })
            }
            Answered::Stale(after) => {
                let detail = "json /engine/lag_ms is 60000, expected < 500".to_owned();
                failed(stands + after, ProbeFailure::Content, detail)
            }
            Answered::Reset(after) => failed(stands + after, ProbeFailure::Reset, String::new()),
            Answered::Silence | Answered::Lost => {
                failed(timeout, ProbeFailure::Timeout, String::new())
            }
        }
    }

    /// A name is asked, and what it says goes to the engine where it is news.
    pub(crate) fn resolve(&mut self, index: usize) {
        self.queue.plan(self.now + TTL, Event::Resolve(index));
        self.report_name(index);
    }

    /// What names say has changed: the proxy learns it at its pace, old servers die at theirs.
    pub(crate) fn names_change(&mut self, servers: &[usize]) {
        for index in 0..self.plan.names.len() {
            let name = &self.plan.names[index];
            if name.resolves && name.servers.iter().any(|s| servers.contains(s)) {
                self.report_name(index);
            }
        }
    }

    fn report_name(&mut self, index: usize) {
        let name = &self.plan.names[index];
        let felt = |mode: Mode| {
            let mut phases = self.phases.iter();
            phases.find(|phase| {
                phase.mode == mode
                    && phase.felt(self.now) > 0.0
                    && phase.servers.iter().any(|s| name.servers.contains(s))
            })
        };
        let all: Vec<SocketAddr> = self.standing(index);
        let listed = if felt(Mode::DnsServfail).is_some() {
            // A resolver that fails says nothing: the book keeps its last word.
            return;
        } else if felt(Mode::DnsEmpty).is_some() {
            Vec::new()
        } else if let Some(flap) = felt(Mode::DnsFlap) {
            let keep = (all.len() as f64 * flap.factor).ceil().max(1.0) as usize;
            let turn = self.now.since(Time::ZERO).as_secs() as usize % all.len().max(1);
            let turned = all.iter().cycle().skip(turn).take(keep.min(all.len()));
            turned.copied().collect()
        } else {
            all
        };
        let retained = if listed.is_empty() {
            Vec::new()
        } else {
            let known = name.told.0.iter().chain(&name.told.1);
            let mut kept: Vec<SocketAddr> = known
                .filter(|address| !listed.contains(address))
                .copied()
                .collect();
            kept.sort_unstable();
            kept.dedup();
            kept
        };
        let Some(backend) = self.backend_of(index) else {
            return;
        };
        if name.told == (listed.clone(), retained.clone()) {
            return;
        }
        if !listed.is_empty() {
            self.plan.names[index].told = (listed.clone(), retained.clone());
        }
        self.tell(Input::Addresses {
            backend,
            addresses: listed,
            retained,
            expired: false,
        });
        self.apply();
    }

    fn backend_of(&self, name: usize) -> Option<BackendId> {
        let name = &self.plan.names[name];
        let position = self.rules.engine.backends.iter().position(|backend| {
            let pool = &self.rules.engine.pools[backend.pool.index()].name;
            (pool, &backend.name) == (&name.backend.0, &name.backend.1)
        });
        position.map(BackendId::from)
    }

    /// The addresses that a name has now: its own, or those that it moved to.
    fn standing(&self, index: usize) -> Vec<SocketAddr> {
        let name = &self.plan.names[index];
        let moved = self.phases.iter().any(|phase| {
            phase.mode == Mode::DnsMove
                && phase.from <= self.now
                && phase.servers.iter().any(|s| name.servers.contains(s))
        });
        let listed = if moved { &name.spares } else { &name.servers };
        listed.iter().map(|s| self.servers[*s].address).collect()
    }

    pub(crate) fn deed(&mut self, index: usize) {
        let deed = self.plan.deeds[index].1.clone();
        self.timeline.world(self.now, &spoken(&deed));
        match deed {
            Deed::Word { place, word, lasts } => {
                let Some(target) = self.target(&place) else {
                    return;
                };
                self.shadow.word(&place, word, lasts, self.now);
                self.tell(Input::Operator {
                    target,
                    word,
                    lasts,
                    reason: "the plan says so".into(),
                });
                self.apply();
            }
            Deed::Reload(rules) => {
                self.rules = *rules;
                self.budgets = budgets(&self.rules);
                self.with_shadow(|shadow, world| shadow.reloaded(world));
                self.tell(Input::Policy(Box::new(self.rules.engine.clone())));
                self.apply();
            }
            Deed::Restart(away) => self.restart(away),
            Deed::Suspend(span) => {
                self.asleep_until = self.now + span;
                self.shadow.slept(self.now, self.asleep_until);
            }
        }
    }

    /// The process ends; what runs in it ends with it. Another begins with its memory.
    fn restart(&mut self, away: Duration) {
        let memory = Box::new(self.engine.memory(self.now));
        self.requests.clear();
        self.in_flight.clear();
        self.tallies = Tallies::default();
        self.waiting = Waiting::default();
        self.gates = Gates::default();
        for server in &mut self.servers {
            server.idle.clear();
        }
        self.process += 1;
        self.now = self.now + away;
        self.with_shadow(|shadow, world| shadow.restarted(world));
        let seed = self.plan.seed.wrapping_add(self.process);
        self.engine = Engine::new(seed);
        self.told.push((seed, Vec::new()));
        self.wake_at = Time::NEVER;
        self.table = Arc::default();
        self.budgets = budgets(&self.rules);
        self.tell(Input::Policy(Box::new(self.rules.engine.clone())));
        self.tell(Input::Memory { memory, away });
        // The last good addresses are remembered as well.
        for index in 0..self.plan.names.len() {
            let (addresses, retained) = self.plan.names[index].told.clone();
            if let Some(backend) = self.backend_of(index).filter(|_| !addresses.is_empty()) {
                self.tell(Input::Addresses {
                    backend,
                    addresses,
                    retained,
                    expired: false,
                });
            }
        }
        self.apply();
    }

    fn target(&self, place: &str) -> Option<Target> {
        let engine = &self.rules.engine;
        let site = engine.sites.iter().position(|site| site.name == place);
        let provider = || engine.providers.iter().position(|p| p.name == place);
        site.map(|index| Target::Site(SiteId::from(index)))
            .or_else(|| provider().map(|index| Target::Provider(ProviderId::from(index))))
    }
}

fn budgets(rules: &Rules) -> Vec<Budget> {
    let pools = rules.engine.pools.iter();
    pools.map(|pool| Budget::new(pool.retry, 1)).collect()
}

fn spoken(deed: &Deed) -> String {
    match deed {
        Deed::Word { place, word, lasts } => {
            let lasts = lasts.map_or(String::new(), |span| format!(" for {} s", span.as_secs()));
            format!("an operator says {word:?} of {place}{lasts}")
        }
        Deed::Reload(_) => "the policy is reloaded".into(),
        Deed::Restart(away) => format!("leeward restarts after {} ms", away.as_millis()),
        Deed::Suspend(span) => format!("leeward stands still for {} ms", span.as_millis()),
    }
}
