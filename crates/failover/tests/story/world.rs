//! The small world that a story plays in: endpoints that behave as told, a clock, and the engine.

use super::draft::Draft;
use super::script::{Action, Command};
use super::words::{shown, spoken};
use leeward_failover::{
    Backend, BackendId, EndpointId, Engine, Input, Lane, Output, Overdue, Policy, ProbeFailure,
    ProbeResult, ProviderId, SiteId, Tally, Target, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(100);
/// How long a probe takes that gets an answer.
const ANSWER: Duration = Duration::from_millis(5);

pub(crate) struct World {
    engine: Engine,
    now: Time,
    policy: Policy,
    draft: Draft,
    /// What was said last of the probes of a place; later lines override earlier ones.
    probes: Vec<(String, Option<(ProbeFailure, String)>)>,
    traffic: Vec<(String, Tally)>,
    /// What waits for an answer, and since when.
    waits: Vec<(String, Time, Overdue)>,
    /// What orders meet, and those that wait.
    orders: Vec<(String, Tally)>,
    orders_wait: Vec<(String, Time, Overdue)>,
    /// Probes under way, by when they end.
    under_way: BTreeSet<(Time, EndpointId)>,
    next_tick: Time,
    endpoints: BTreeMap<EndpointId, Seat>,
    transcript: String,
}

/// Where an endpoint stands, to be found by place.
struct Seat {
    pool: String,
    site: String,
    number: usize,
}

impl World {
    pub(crate) fn new() -> World {
        World {
            engine: Engine::new(1),
            now: Time::ZERO,
            policy: Policy::default(),
            draft: Draft::default(),
            probes: Vec::new(),
            traffic: Vec::new(),
            waits: Vec::new(),
            orders: Vec::new(),
            orders_wait: Vec::new(),
            under_way: BTreeSet::new(),
            next_tick: Time::ZERO + TICK,
            endpoints: BTreeMap::new(),
            transcript: String::new(),
        }
    }

    pub(crate) fn transcript(self) -> String {
        self.transcript
    }

    /// Repeats a line of the script.
    pub(crate) fn say(&mut self, line: &str) {
        let line = line.trim_end();
        let mark = if line.is_empty() || line.starts_with('#') {
            ""
        } else {
            "> "
        };
        writeln!(self.transcript, "{mark}{line}").unwrap();
    }

    pub(crate) fn play(&mut self, command: Command) -> Result<(), String> {
        if let Some(at) = command.at {
            self.run_until(Time::ZERO + at);
        }
        match command.action {
            Action::Pool(name) => self.draft.pool(name),
            Action::Tier(sites) => self.draft.tier(sites)?,
            Action::Set(key, value) => self.draft.set(&key, &value)?,
            Action::Load => self.load(),
            Action::Probes(place, behaviour) => self.probes.push((place, behaviour)),
            Action::Traffic(place, tally) => self.traffic.push((place, tally)),
            Action::Orders(place, tally) => self.orders.push((place, tally)),
            Action::Waits(place, overdue) => self.waits.push((place, self.now, overdue)),
            Action::OrdersWait(place, overdue) => {
                self.orders_wait.push((place, self.now, overdue));
            }
            Action::Requests(place, tally) => self.requests(&place, tally)?,
            Action::Resolve(site, addresses) => self.resolve(&site, &addresses)?,
            Action::Operator {
                word,
                place,
                lasts,
                reason,
            } => {
                let target = self.target(&place)?;
                self.tell(Input::Operator {
                    target,
                    word,
                    lasts,
                    reason,
                });
            }
            Action::Suspend(span) => self.suspend(span),
            Action::Restart(away) => self.restart(away),
            Action::Show => self.show(),
            Action::Run(span) => self.run_until(self.now + span),
        }
        Ok(())
    }

    fn load(&mut self) {
        self.policy = self.draft.finish();
        self.tell(Input::Policy(Box::new(self.policy.clone())));
    }

    fn run_until(&mut self, end: Time) {
        loop {
            let answer = self
                .under_way
                .first()
                .map_or(Time::NEVER, |(when, _)| *when);
            let next = self.engine.next_deadline().min(answer).min(self.next_tick);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if next == answer {
                self.answer();
            } else if next == self.next_tick {
                self.next_tick = self.next_tick + TICK;
                self.tick();
                self.order();
                self.wait();
            } else {
                self.tell(Input::Wake);
            }
        }
        self.now = self.now.max(end);
    }

    /// The earliest probe under way ends.
    fn answer(&mut self) {
        let Some((_, endpoint)) = self.under_way.pop_first() else {
            return;
        };
        let result = match self.behaviour(endpoint) {
            None => ProbeResult::Passed { took: ANSWER },
            Some((cause, detail)) => ProbeResult::Failed { cause, detail },
        };
        self.tell(Input::Probe { endpoint, result });
    }

    /// Requests end, wherever reads go.
    fn tick(&mut self) {
        for endpoint in self.endpoints.keys().copied().collect::<Vec<_>>() {
            let serves = self
                .engine
                .table()
                .pools
                .iter()
                .flat_map(|pool| &pool.lanes)
                .any(|lane| {
                    let weight = lane
                        .endpoints
                        .iter()
                        .find(|e| e.id == endpoint)
                        .map(|e| e.weight);
                    lane.share + lane.warm > 0.0 && weight.is_some_and(|weight| weight > 0.0)
                });
            let said = self
                .traffic
                .iter()
                .rev()
                .find(|(place, _)| self.stands(endpoint, place));
            if let Some((_, tally)) = said.filter(|(_, tally)| serves && !tally.is_empty()) {
                self.tell(Input::Traffic {
                    endpoint,
                    tally: *tally,
                });
            }
        }
    }

    /// Orders end, wherever they go.
    fn order(&mut self) {
        for endpoint in self.endpoints.keys().copied().collect::<Vec<_>>() {
            let takes = self.engine.table().pools.iter().any(|pool| {
                let writes = |lane: &&Lane| pool.writer.is_none_or(|w| w == lane.provider);
                let mut here = pool.lanes.iter().filter(writes).flat_map(|l| &l.endpoints);
                here.any(|e| e.id == endpoint && e.order_weight > 0.0)
            });
            let mut said = self.orders.iter().rev();
            let said = said.find(|(place, _)| self.stands(endpoint, place));
            if let Some((_, tally)) = said.filter(|(_, tally)| takes && !tally.is_empty()) {
                let tally = *tally;
                self.tell(Input::Traffic { endpoint, tally });
            }
            if let Some(overdue) = self.overdue(&self.orders_wait, endpoint) {
                self.tell(Input::OrdersWait { endpoint, overdue });
            }
        }
    }

    /// What waits goes on waiting, wherever that is.
    fn wait(&mut self) {
        for endpoint in self.endpoints.keys().copied().collect::<Vec<_>>() {
            if let Some(overdue) = self.overdue(&self.waits, endpoint) {
                self.tell(Input::Silence { endpoint, overdue });
            }
        }
    }

    /// What was last said to wait at an endpoint, by now.
    fn overdue(&self, said: &[(String, Time, Overdue)], endpoint: EndpointId) -> Option<Overdue> {
        let mut said = said.iter().rev();
        let (_, since, overdue) = said.find(|(place, ..)| self.stands(endpoint, place))?;
        let oldest = self.now.since(*since);
        (overdue.requests > 0).then_some(Overdue { oldest, ..*overdue })
    }

    fn requests(&mut self, place: &str, tally: Tally) -> Result<(), String> {
        let there: Vec<EndpointId> = self
            .endpoints
            .keys()
            .copied()
            .filter(|id| self.stands(*id, place))
            .collect();
        if there.is_empty() {
            return Err(format!("nothing stands at {place}"));
        }
        for endpoint in there {
            self.tell(Input::Traffic { endpoint, tally });
        }
        Ok(())
    }

    /// `keeping` divides what is listed from what is kept; `expired` alone empties the name.
    fn resolve(&mut self, site: &str, words: &[String]) -> Result<(), String> {
        let expired = words == ["expired"];
        let words = if expired { &[] } else { words };
        let mut lists = words.split(|word| word == "keeping");
        let addresses = Self::addresses(lists.next().unwrap_or_default())?;
        let retained = Self::addresses(lists.next().unwrap_or_default())?;
        let stands = |backend: &Backend| self.policy.sites[backend.site.index()].name == site;
        let index = self
            .policy
            .backends
            .iter()
            .position(stands)
            .ok_or("no such site")?;
        let backend = BackendId::from(index);
        self.tell(Input::Addresses {
            backend,
            addresses,
            retained,
            expired,
        });
        Ok(())
    }

    fn addresses(words: &[String]) -> Result<Vec<std::net::SocketAddr>, String> {
        let parsed = words.iter().map(|address| format!("{address}:443").parse());
        parsed
            .collect::<Result<_, _>>()
            .map_err(|_| "not an address".to_owned())
    }

    /// Nothing runs; every probe under way has timed out when it goes on.
    fn suspend(&mut self, span: Duration) {
        self.now = self.now + span;
        self.next_tick = self.now + TICK;
        let late = std::mem::take(&mut self.under_way);
        self.tell(Input::Wake);
        for (_, endpoint) in late {
            let result = ProbeResult::Failed {
                cause: ProbeFailure::Timeout,
                detail: String::new(),
            };
            self.tell(Input::Probe { endpoint, result });
        }
    }

    /// Another process, with other ids, knows what is written in a file and nothing else.
    fn restart(&mut self, away: Duration) {
        let file = serde_json::to_string(&self.engine.memory(self.now)).unwrap();
        let memory = Box::new(serde_json::from_str(&file).unwrap());
        self.now = self.now + away;
        self.next_tick = self.now + TICK;
        self.under_way.clear();
        self.engine = Engine::new(2);
        self.engine
            .handle(Input::Policy(Box::new(self.policy.clone())), self.now);
        self.tell(Input::Memory { memory, away });
    }

    fn tell(&mut self, input: Input) {
        self.engine.handle(input, self.now);
        assert!(self.engine.next_deadline() > self.now);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Probe(endpoint) => {
                    let takes = match self.behaviour(endpoint) {
                        Some((ProbeFailure::Timeout | ProbeFailure::ConnectTimeout, _)) => {
                            Duration::from_millis(500)
                        }
                        _ => ANSWER,
                    };
                    self.under_way.insert((self.now + takes, endpoint));
                }
                Output::Table(_) => self.seat(),
                Output::Event(event) => {
                    let line = spoken(&event);
                    writeln!(self.transcript, "{line}").unwrap();
                }
            }
        }
    }

    /// Notes where each endpoint stands, by its number within pool and site.
    fn seat(&mut self) {
        self.endpoints.clear();
        let table = self.engine.table().clone();
        for (pool, lanes) in self.policy.pools.iter().zip(&table.pools) {
            for lane in &lanes.lanes {
                for (index, endpoint) in lane.endpoints.iter().enumerate() {
                    let site = self.policy.sites[lane.site.index()].name.clone();
                    let seat = Seat {
                        pool: pool.name.clone(),
                        site,
                        number: index + 1,
                    };
                    self.endpoints.insert(endpoint.id, seat);
                }
            }
        }
    }

    fn behaviour(&self, endpoint: EndpointId) -> Option<(ProbeFailure, String)> {
        let said = self
            .probes
            .iter()
            .rev()
            .find(|(place, _)| self.stands(endpoint, place));
        said.and_then(|(_, behaviour)| behaviour.clone())
    }

    fn stands(&self, endpoint: EndpointId, place: &str) -> bool {
        let Some(seat) = self.endpoints.get(&endpoint) else {
            return false;
        };
        let (pool, place) = place
            .split_once(':')
            .map_or((None, place), |(p, rest)| (Some(p), rest));
        let within = place == "all"
            || place == seat.site
            || place == seat.site.split('/').next().unwrap_or("")
            || place == format!("{}/{}", seat.site, seat.number);
        within && pool.is_none_or(|pool| pool == seat.pool)
    }

    fn target(&self, place: &str) -> Result<Target, String> {
        let provider = self.policy.providers.iter().position(|p| p.name == place);
        let site = self.policy.sites.iter().position(|s| s.name == place);
        let endpoint = || {
            self.endpoints
                .keys()
                .copied()
                .find(|id| self.stands(*id, place))
        };
        provider
            .map(|index| Target::Provider(ProviderId::from(index)))
            .or(site.map(|index| Target::Site(SiteId::from(index))))
            .or_else(|| endpoint().map(Target::Endpoint))
            .ok_or_else(|| format!("no such place: {place}"))
    }

    fn show(&mut self) {
        let status = self.engine.status(self.now);
        self.transcript.push_str(&shown(&status));
    }
}
