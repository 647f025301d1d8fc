//! The world: a virtual clock, what stands in it, and the loop that plays it.
//!
//! `control` drives the engine as the proxy's control task does, `traffic` plays clients and
//! workers, `server` and `fault` are the truth about what is behind them. No sleeping, no threads,
//! no clock but its own: the same plan gives the same run.

use crate::admit::Gates;
use crate::dice::Dice;
use crate::fault::{Mode, Phase};
use crate::ledger::Ledger;
use crate::plan::{Load, Plan, Rules};
use crate::queue::{Event, Queue};
use crate::server::{Server, Sky};
use crate::shadow::Shadow;
use crate::timeline::Timeline;
use crate::traffic::{Request, Tallies};
use crate::waiting::Waiting;
use leeward_failover::retry::Budget;
use leeward_failover::select::Rng;
use leeward_failover::{Class, EndpointId, Engine, Input, Table, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often the shadow looks around though nothing happened.
const LOOK: Duration = Duration::from_millis(500);
/// What ended this long ago is felt no more.
const LATELY: Duration = Duration::from_secs(40);

/// A world at a moment.
#[derive(Debug)]
pub struct World {
    /// The virtual clock.
    pub now: Time,
    /// When it ends.
    pub end: Time,
    /// Every address that there ever is.
    pub servers: Vec<Server>,
    /// Everything that goes wrong.
    pub phases: Vec<Phase>,
    /// The policy that leeward has.
    pub rules: Rules,
    /// The newest table.
    pub table: Arc<Table>,
    /// What really happened.
    pub ledger: Ledger,
    /// What is written down for people.
    pub timeline: Timeline,
    /// What has to hold.
    pub shadow: Shadow,
    pub(crate) plan: Plan,
    pub(crate) queue: Queue,
    pub(crate) engine: Engine,
    /// By server: the phases that are about it.
    pub(crate) here: Vec<Vec<usize>>,
    pub(crate) by_address: BTreeMap<SocketAddr, usize>,
    /// Everything that the engine was told, by engine.
    pub(crate) told: Vec<(u64, Vec<(Time, Input)>)>,
    /// When the engine is woken next.
    pub(crate) wake_at: Time,
    /// Until then the process stands still.
    pub(crate) asleep_until: Time,
    /// Counts the processes: what an earlier one waits for concerns nobody.
    pub(crate) process: u64,
    pub(crate) requests: BTreeMap<u64, Request>,
    pub(crate) born: u64,
    pub(crate) tallies: Tallies,
    pub(crate) waiting: Waiting,
    pub(crate) gates: Gates,
    pub(crate) in_flight: BTreeMap<EndpointId, u32>,
    pub(crate) budgets: Vec<Budget>,
    pub(crate) lots: Rng,
    pub(crate) arrivals: Dice,
    pub(crate) fates: Dice,
    pub(crate) probes: Dice,
}

impl World {
    /// A world at its beginning; leeward has just been started.
    pub fn new(plan: Plan) -> World {
        let seed = plan.seed;
        let mut here = vec![Vec::new(); plan.servers.len()];
        for (index, phase) in plan.phases.iter().enumerate() {
            for server in &phase.servers {
                here[*server].push(index);
            }
        }
        let addresses = plan.servers.iter().enumerate();
        let mut world = World {
            now: Time::ZERO,
            end: plan.end,
            servers: plan.servers.clone(),
            phases: plan.phases.clone(),
            rules: plan.rules.clone(),
            table: Arc::default(),
            ledger: Ledger::default(),
            timeline: Timeline::default(),
            shadow: Shadow::new(&plan),
            queue: Queue::default(),
            engine: Engine::new(seed),
            here,
            by_address: addresses.map(|(index, s)| (s.address, index)).collect(),
            told: vec![(seed, Vec::new())],
            wake_at: Time::NEVER,
            asleep_until: Time::ZERO,
            process: 0,
            requests: BTreeMap::new(),
            born: 0,
            tallies: Tallies::default(),
            waiting: Waiting::default(),
            gates: Gates::default(),
            in_flight: BTreeMap::new(),
            budgets: Vec::new(),
            lots: Rng::new(seed ^ 0x6c6f_7473),
            arrivals: Dice::new(seed, 2),
            fates: Dice::new(seed, 3),
            probes: Dice::new(seed, 4),
            plan,
        };
        world.begin();
        world
    }

    /// Plays the world to its end, or to the first thing that must not be.
    pub fn run(&mut self) {
        while self.step() {}
        self.with_shadow(|shadow, world| shadow.at_the_end(world));
    }

    /// Plays one event; false at the end.
    fn step(&mut self) -> bool {
        let Some((at, event)) = self.queue.next() else {
            return false;
        };
        if at > self.end || self.shadow.is_lost() {
            return false;
        }
        self.now = self.now.max(at);
        if self.now < self.asleep_until && is_leewards(&event) {
            self.queue.plan(self.asleep_until, event);
            return true;
        }
        match event {
            Event::Arrival(load) => self.arrive(load),
            Event::Step {
                request,
                attempt,
                step,
            } => self.take_step(request, attempt, step),
            Event::Flush => self.flush(),
            Event::Wake => self.wake(),
            Event::Probed(endpoint, result, process) if process == self.process => {
                self.tell(Input::Probe { endpoint, result });
                self.apply();
            }
            Event::Probed(..) => {}
            Event::Resolve(name) => self.resolve(name),
            Event::Edge => self.edge(),
            Event::Deed(deed) => self.deed(deed),
            Event::Watch => self.look_at_waiting(),
            Event::Look => {
                self.queue.plan(self.now + LOOK, Event::Look);
                self.with_shadow(|shadow, world| shadow.look(world));
            }
        }
        true
    }

    /// The sky over a server.
    pub(crate) fn sky(&self, server: usize) -> Sky<'_> {
        Sky {
            phases: &self.phases,
            here: &self.here[server],
            now: self.now,
        }
    }

    /// Whether anything that may hurt requests was felt at a server since `since`.
    pub fn is_hurt_since(&self, server: usize, since: Time) -> bool {
        self.here[server].iter().any(|index| {
            let phase = &self.phases[*index];
            phase.hurts() && phase.from <= self.now && phase.to >= since
        })
    }

    /// Whether orders are hit at a server now, and nothing else was for a while.
    pub fn hurts_orders_alone(&self, server: usize) -> bool {
        let hurting = |phase: &&Phase| phase.hurts() && phase.from <= self.now;
        let here = self.here[server].iter().map(|index| &self.phases[*index]);
        let mut felt = here.filter(hurting).filter(|p| p.to + LATELY >= self.now);
        let orders = |phase: &Phase| {
            let reads = [Class::PublicRead, Class::PrivateRead];
            !phase.classes.is_empty() && !reads.iter().any(|read| phase.classes.contains(read))
        };
        let here = self.here[server].iter().map(|index| &self.phases[*index]);
        let mut now = here.filter(|p| !p.classes.is_empty());
        now.any(|phase| phase.felt(self.now) > 0.0) && felt.all(orders)
    }

    /// The server at an address.
    pub fn server_at(&self, address: SocketAddr) -> Option<usize> {
        self.by_address.get(&address).copied()
    }

    /// What the offered load of a pool is multiplied by.
    pub(crate) fn surge(&self, load: &Load) -> f64 {
        let surges = self.phases.iter().filter(|phase| {
            phase.mode == Mode::Surge
                && phase.felt(self.now) > 0.0
                && phase
                    .servers
                    .iter()
                    .any(|s| self.servers[*s].pool == load.pool)
        });
        surges.map(|phase| phase.factor).product()
    }

    pub(crate) fn with_shadow(&mut self, look: impl FnOnce(&mut Shadow, &World)) {
        let mut shadow = std::mem::take(&mut self.shadow);
        look(&mut shadow, self);
        for violation in shadow.fresh() {
            self.timeline.note(self.now, &format!("BROKEN {violation}"));
        }
        self.shadow = shadow;
    }

    fn begin(&mut self) {
        let edges: BTreeSet<Time> = self.phases.iter().flat_map(Phase::edges).collect();
        for edge in edges {
            self.queue.plan(edge, Event::Edge);
        }
        for (index, (at, _)) in self.plan.deeds.iter().enumerate() {
            self.queue.plan(*at, Event::Deed(index));
        }
        for load in 0..self.plan.loads.len() {
            let first = Duration::from_secs(1) + self.arrivals.gap(self.plan.loads[load].rate);
            self.queue.plan(Time::ZERO + first, Event::Arrival(load));
        }
        self.queue.plan(Time::ZERO + LOOK, Event::Look);
        self.start();
    }

    /// Something begins or ceases to be felt.
    fn edge(&mut self) {
        for index in 0..self.phases.len() {
            let phase = &self.phases[index];
            if !phase.edges().contains(&self.now) {
                continue;
            }
            let felt = phase.felt(self.now) > 0.0;
            let words = if felt { "begins" } else { "ends" };
            let spoken = format!("{words}: {}", phase.spoken());
            if phase.mode != Mode::Pause {
                self.timeline.world(self.now, &spoken);
            }
            let (mode, servers) = (phase.mode, phase.servers.clone());
            let total = phase.share >= 1.0;
            if felt && mode == Mode::TcpRefused && total {
                self.kill(&servers);
            }
            if mode.is_dns() {
                self.names_change(&servers);
            }
        }
        self.with_shadow(|shadow, world| shadow.look(world));
    }
}

/// Whether something happens in leeward's own process.
const fn is_leewards(event: &Event) -> bool {
    use crate::queue::Step;
    match event {
        Event::Step { step, .. } => !matches!(step, Step::Reach),
        Event::Edge | Event::Deed(_) | Event::Look => false,
        _ => true,
    }
}
