//! A policy of a thousand endpoints costs no more than a thousand times one: probes are spread, and
//! what happens to many at once is decided once.

mod fixture;

use fixture::{backend, policy, pool};
use leeward_failover::{
    Backend, EndpointId, Engine, Event, Input, Outcome, Output, PoolId, ProbeFailure, ProbeResult,
    SubjectKind, Table, Tally, Time, Verdict,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const ENDPOINTS: u32 = 1000;
const POOL: u32 = 10;
const TICK: Duration = Duration::from_millis(10);

/// What the engine said in a while.
#[derive(Default)]
struct Said {
    probes: usize,
    tables: Vec<Arc<Table>>,
    events: Vec<Event>,
}

/// An engine and its clock; what it asks for is answered within the same tick.
struct World {
    engine: Engine,
    now: Time,
    /// Whether probes pass.
    well: bool,
}

impl World {
    /// A thousand endpoints in pools of ten that have been well for some seconds.
    fn settled() -> Self {
        let backend = |number: u32| {
            let address =
                SocketAddr::from(([10, 0, (number / 250) as u8, (number % 250) as u8], 443));
            Backend {
                pool: PoolId(number / POOL),
                addresses: vec![address],
                ..backend(number, number % 2)
            }
        };
        let pools = (0..ENDPOINTS / POOL).map(|number| pool(&format!("pool {number}")));
        let policy = policy(pools.collect(), (0..ENDPOINTS).map(backend).collect());
        let mut world = Self {
            engine: Engine::new(7),
            now: Time::ZERO,
            well: true,
        };
        world.tell(Input::Policy(Box::new(policy)));
        world.run(Duration::from_secs(5));
        world
    }

    fn tell(&mut self, input: Input) -> Said {
        let mut said = Said::default();
        self.engine.handle(input, self.now);
        let mut probed = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Probe(endpoint) => probed.push(endpoint),
                Output::Table(table) => said.tables.push(table),
                Output::Event(event) => said.events.push(event),
            }
        }
        said.probes = probed.len();
        if !probed.is_empty() {
            let result = |endpoint| Input::Probe {
                endpoint,
                result: self.result(),
            };
            let answers = Input::Together(probed.into_iter().map(result).collect());
            said.add(self.tell(answers));
        }
        said
    }

    fn result(&self) -> ProbeResult {
        let failed = ProbeResult::Failed {
            cause: ProbeFailure::Status,
            detail: "status 500".to_owned(),
        };
        let took = Duration::from_millis(1);
        if self.well {
            ProbeResult::Passed { took }
        } else {
            failed
        }
    }

    /// Lets time pass; what was said in each tick.
    fn run(&mut self, span: Duration) -> Vec<Said> {
        let end = self.now + span;
        let mut ticks = Vec::new();
        while self.now < end {
            self.now = self.now + TICK;
            ticks.push(self.tell(Input::Wake));
        }
        ticks
    }

    /// The numbers of probes in each tenth of a second.
    fn probes_by_slice(&mut self, span: Duration) -> Vec<usize> {
        let ticks = self.run(span);
        let slices = ticks.chunks(10);
        slices
            .map(|ticks| ticks.iter().map(|said| said.probes).sum())
            .collect()
    }
}

impl Said {
    fn add(&mut self, more: Said) {
        self.probes += more.probes;
        self.tables.extend(more.tables);
        self.events.extend(more.events);
    }
}

/// Traffic of all endpoints of which so many requests fail.
fn failures(of_each: u32) -> Vec<Input> {
    let mut tally = Tally::default();
    (0..of_each).for_each(|_| tally.add(Outcome::ConnectFailed, Duration::from_millis(1)));
    let endpoints = (0..ENDPOINTS).map(EndpointId);
    let traffic = |endpoint| Input::Traffic { endpoint, tally };
    endpoints.map(traffic).collect()
}

fn assert_even(slices: &[usize]) {
    let fair = ENDPOINTS as usize / 10;
    for slice in slices {
        let even = fair * 6 / 10..=fair * 14 / 10;
        assert!(
            even.contains(slice),
            "{slice} probes in a slice: {slices:?}"
        );
    }
}

#[test]
fn probes_are_spread_evenly_over_their_interval() {
    let mut world = World::settled();
    assert_even(&world.probes_by_slice(Duration::from_secs(5)));
}

#[test]
fn probes_of_endpoints_that_were_suspected_at_once_are_spread_again() {
    let mut world = World::settled();
    // Whatever is suspected is asked at once, once.
    let said = world.tell(Input::Together(failures(1)));
    assert!(
        said.probes
            + world
                .run(Duration::from_millis(300))
                .iter()
                .map(|s| s.probes)
                .sum::<usize>()
            >= ENDPOINTS as usize
    );
    world.run(Duration::from_secs(1));
    assert_even(&world.probes_by_slice(Duration::from_secs(5)));
}

#[test]
fn what_a_thousand_endpoints_meet_at_once_is_one_decision() {
    let mut world = World::settled();
    world.well = false;
    let said = world.tell(Input::Together(failures(10)));
    assert_eq!(said.tables.len(), 1, "tables");
    let down = |event: &&Event| event.subject.kind == SubjectKind::Endpoint;
    let down = said.events.iter().filter(down).count();
    assert_eq!(down, ENDPOINTS as usize, "each endpoint has its event");
}

#[test]
fn what_comes_together_is_judged_as_what_comes_one_by_one() {
    let (mut together, mut one_by_one) = (World::settled(), World::settled());
    together.tell(Input::Together(failures(10)));
    for input in failures(10) {
        one_by_one.tell(input);
    }
    let verdicts = |world: &World| -> Vec<Verdict> {
        let status = world.engine.status(world.now);
        let endpoints = status.pools.into_iter().flat_map(|pool| pool.endpoints);
        endpoints.map(|endpoint| endpoint.verdict).collect()
    };
    assert_eq!(verdicts(&together), verdicts(&one_by_one));
    let shares = |world: &World| -> Vec<_> {
        let pools = world.engine.table().pools.iter();
        pools
            .map(|pool| {
                (
                    pool.panic,
                    pool.lanes.iter().map(|lane| lane.share).collect::<Vec<_>>(),
                )
            })
            .collect()
    };
    assert_eq!(shares(&together), shares(&one_by_one));
}

#[test]
fn what_changes_a_policy_is_ignored_among_what_comes_together() {
    let mut world = World::settled();
    let policy = Input::Policy(Box::default());
    let nested = Input::Together(failures(10));
    let said = world.tell(Input::Together(vec![policy, nested]));
    assert!(said.events.is_empty() && said.tables.is_empty());
    let known = world.engine.endpoint(EndpointId(0));
    assert_eq!(known.expect("it is still there").backend.index(), 0);
}
