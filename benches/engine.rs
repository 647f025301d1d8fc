//! What the engine costs: selection on the way of every request, and the control task's ticks.
//!
//! `cargo bench --bench engine`; `cargo bench --bench engine -- --test` only checks that it runs.
//! Pools have ten endpoints each, in three sites of two providers.

use divan::{Bencher, black_box};
use leeward_failover::select::{Reach, Rng, Want, affinity_key, select};
use leeward_failover::{
    Backend, Class, EndpointId, Engine, FailoverParams, Guards, HealthParams, Input, OrderParams,
    Outcome, Output, Policy, Pool, PoolId, ProbeParams, ProbeResult, Provider, ProviderId,
    ProviderKind, RetryParams, Site, SiteId, Tally, TierSite, Time,
};
use std::net::SocketAddr;
use std::time::Duration;

const SIZES: [usize; 3] = [10, 1_000, 10_000];
const POOL: usize = 10;
/// Facts that the control task tells together.
const TOGETHER: usize = 64;

fn main() {
    divan::main();
}

fn policy(endpoints: usize) -> Policy {
    let provider = |name: &str| Provider {
        name: name.to_owned(),
        kind: ProviderKind::Cloud,
        max_share: None,
    };
    let site = |name: &str, provider| Site {
        name: name.to_owned(),
        provider: ProviderId(provider),
    };
    let entry = |site| TierSite {
        site: SiteId(site),
        weight: 1,
    };
    let pool = |number: usize| Pool {
        name: format!("pool-{number}"),
        tiers: vec![vec![entry(0), entry(1)], vec![entry(2)]],
        probe: ProbeParams::default(),
        health: HealthParams::default(),
        failover: FailoverParams::default(),
        orders: OrderParams::default(),
        retry: RetryParams::default(),
    };
    let backend = |number: usize| Backend {
        name: format!("https://backend-{number}.example:443"),
        pool: PoolId::from(number / POOL),
        site: SiteId::from(number % POOL % 3),
        weight: 1,
        capacity: None,
        addresses: vec![SocketAddr::from((
            [10, 0, (number >> 8) as u8, number as u8],
            443,
        ))],
    };
    Policy {
        providers: vec![provider("aws"), provider("gcp")],
        sites: vec![
            site("aws/use1", 0),
            site("aws/euw1", 0),
            site("gcp/use4", 1),
        ],
        pools: (0..endpoints.div_ceil(POOL)).map(pool).collect(),
        backends: (0..endpoints).map(backend).collect(),
        guards: Guards::default(),
    }
}

/// An engine and its clock; every probe passes in no time.
struct World {
    engine: Engine,
    now: Time,
}

impl World {
    /// A fleet that has been well for three seconds.
    fn settled(endpoints: usize) -> World {
        let mut world = World {
            engine: Engine::new(1),
            now: Time::ZERO,
        };
        world.tell(Input::Policy(Box::new(policy(endpoints))));
        while world.now < Time::from_millis(3_000) {
            world.tick();
        }
        world
    }

    /// Ten milliseconds pass, with all the probes that fall due in them.
    fn tick(&mut self) {
        self.now = self.now + Duration::from_millis(10);
        self.tell(Input::Wake);
    }

    fn tell(&mut self, input: Input) {
        self.engine.handle(input, self.now);
        while let Some(output) = self.engine.poll_output() {
            if let Output::Probe(endpoint) = output {
                let result = ProbeResult::Passed {
                    took: Duration::from_millis(1),
                };
                self.engine
                    .handle(Input::Probe { endpoint, result }, self.now);
            }
        }
    }

    /// The same from every endpoint, as the control task tells it: in parts.
    fn tell_all(&mut self, endpoints: usize, tally: Tally) {
        let endpoints: Vec<EndpointId> = (0..endpoints).map(EndpointId::from).collect();
        for part in endpoints.chunks(TOGETHER) {
            let traffic = part.iter().map(|endpoint| Input::Traffic {
                endpoint: *endpoint,
                tally,
            });
            self.tell(Input::Together(traffic.collect()));
        }
    }
}

fn tally(outcome: Outcome, count: u32) -> Tally {
    let mut tally = Tally::default();
    (0..count).for_each(|_| tally.add(outcome, Duration::from_millis(2)));
    tally
}

#[divan::bench(args = [false, true])]
fn select_first_attempt(bencher: Bencher<'_, '_>, keyed: bool) {
    select_with(bencher, keyed, &[]);
}

#[divan::bench(args = [false, true])]
fn select_second_attempt(bencher: Bencher<'_, '_>, keyed: bool) {
    select_with(bencher, keyed, &[EndpointId(0)]);
}

fn select_with(bencher: Bencher<'_, '_>, keyed: bool, tried: &[EndpointId]) {
    let table = World::settled(POOL).engine.table().clone();
    let mut rng = Rng::new(1);
    let mut number = 0_u64;
    bencher.bench_local(|| {
        number += 1;
        let key = keyed.then(|| affinity_key(&number.to_be_bytes()));
        let (pool, class, reach) = (PoolId(0), Class::PublicRead, Reach::Endpoint);
        let want = Want {
            pool,
            class,
            key,
            tried,
            reach,
        };
        select(black_box(&table), &want, &mut rng, |id| id.0 % 4)
    });
}

/// Ten milliseconds of a fleet that is well: a hundredth of its probes.
#[divan::bench(args = SIZES, sample_count = 50)]
fn tick(bencher: Bencher<'_, '_>, endpoints: usize) {
    let mut world = World::settled(endpoints);
    bencher.bench_local(|| world.tick());
}

/// One batch of outcomes from every endpoint, all well.
#[divan::bench(args = SIZES, sample_count = 50)]
fn traffic_of_all_endpoints(bencher: Bencher<'_, '_>, endpoints: usize) {
    let mut world = World::settled(endpoints);
    let tally = tally(Outcome::Success, 3);
    bencher.bench_local(|| {
        world.now = world.now + Duration::from_millis(10);
        world.tell_all(endpoints, tally);
    });
}

/// Every endpoint goes down at once.
#[divan::bench(args = SIZES, sample_count = 10)]
fn everything_goes_down(bencher: Bencher<'_, '_>, endpoints: usize) {
    let tally = tally(Outcome::ConnectFailed, 3);
    bencher
        .with_inputs(|| World::settled(endpoints))
        .bench_local_refs(|world| world.tell_all(endpoints, tally));
}

/// A policy takes the place of the same one.
#[divan::bench(args = SIZES, sample_count = 10)]
fn reload(bencher: Bencher<'_, '_>, endpoints: usize) {
    let mut world = World::settled(endpoints);
    bencher
        .with_inputs(|| Box::new(policy(endpoints)))
        .bench_local_values(|policy| world.tell(Input::Policy(policy)));
}
