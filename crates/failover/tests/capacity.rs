//! Declared capacities against measured demand, through the whole engine.

use leeward_failover::{
    Backend, EndpointId, Engine, FailoverParams, HealthParams, Input, Lane, OrderParams, Outcome,
    Output, Policy, Pool, PoolId, ProbeFailure, ProbeParams, ProbeResult, Provider, ProviderId,
    ProviderKind, RetryParams, Site, SiteId, Tally, TierSite, Time,
};
use std::time::Duration;

/// Providers of one site and one backend each, a tier each, with these capacities.
fn policy(capacities: &[Option<u32>]) -> Policy {
    let mut policy = Policy::default();
    let mut tiers = Vec::new();
    for (index, capacity) in capacities.iter().enumerate() {
        let (provider, site) = (ProviderId::from(index), SiteId::from(index));
        let name = format!("p{index}");
        policy.sites.push(Site {
            name: format!("{name}/one"),
            provider,
        });
        policy.providers.push(Provider {
            name,
            kind: ProviderKind::Cloud,
            max_share: None,
        });
        policy.backends.push(Backend {
            name: format!("http://{index}.example"),
            pool: PoolId(0),
            site,
            weight: 1,
            capacity: *capacity,
            addresses: vec![([10, 0, 0, index as u8], 80).into()],
        });
        tiers.push(vec![TierSite { site, weight: 1 }]);
    }
    policy.pools.push(Pool {
        name: "main".to_owned(),
        tiers,
        probe: ProbeParams::default(),
        health: HealthParams::default(),
        failover: FailoverParams::default(),
        orders: OrderParams::default(),
        retry: RetryParams::default(),
    });
    policy
}

/// An engine whose endpoints are all well, in traffic.
struct Scene {
    engine: Engine,
    now: Time,
    tables: usize,
    /// Asked for, and not answered yet.
    probes: Vec<EndpointId>,
}

impl Scene {
    fn new(capacities: &[Option<u32>]) -> Scene {
        let mut scene = Scene {
            engine: Engine::new(1),
            now: Time::ZERO,
            tables: 0,
            probes: Vec::new(),
        };
        scene.tell(Input::Policy(Box::new(policy(capacities))));
        for endpoint in 0..capacities.len() {
            let took = Duration::from_millis(1);
            scene.tell(Input::Probe {
                endpoint: endpoint.into(),
                result: ProbeResult::Passed { took },
            });
        }
        scene
    }

    fn tell(&mut self, input: Input) {
        self.engine.handle(input, self.now);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Table(_) => self.tables += 1,
                Output::Probe(endpoint) => self.probes.push(endpoint),
                _ => {}
            }
        }
    }

    /// So many seconds of requests per second, where the table sends them; a batch each 50 ms, a
    /// fifth more or less. The probes go on.
    fn serve(&mut self, rate: f64, seconds: u64) {
        for batch in 0..seconds * 20 {
            self.now = self.now + Duration::from_millis(50);
            let wobble = [1.0, 1.2, 0.8, 1.1, 0.9][batch as usize % 5];
            let shares: Vec<f64> = self.lanes().iter().map(|lane| lane.share).collect();
            for (endpoint, share) in shares.into_iter().enumerate() {
                let mut tally = Tally::default();
                let requests = (rate / 20.0 * wobble * share).round() as u32;
                (0..requests).for_each(|_| tally.add(Outcome::Success, Duration::from_millis(2)));
                if requests > 0 {
                    let endpoint = endpoint.into();
                    self.tell(Input::Traffic { endpoint, tally });
                }
            }
        }
    }

    /// Until an endpoint is to be probed, while the others pass their probes and requests are shed, or not.
    fn until_probed(&mut self, wanted: usize, sheds: bool) {
        let took = Duration::from_millis(1);
        loop {
            self.now = self.now + Duration::from_millis(10);
            if sheds {
                let mut tally = Tally::default();
                tally.add_shed();
                let endpoint = 1.into();
                self.tell(Input::Traffic { endpoint, tally });
            }
            self.tell(Input::Wake);
            for endpoint in std::mem::take(&mut self.probes) {
                if endpoint == wanted.into() {
                    return;
                }
                let result = ProbeResult::Passed { took };
                self.tell(Input::Probe { endpoint, result });
            }
        }
    }

    fn lanes(&self) -> &[Lane] {
        &self.engine.table().pools[0].lanes
    }

    fn shares(&self) -> Vec<f64> {
        let round = |lane: &Lane| (lane.share * 100.0).round() / 100.0;
        self.lanes().iter().map(round).collect()
    }
}

#[test]
fn a_first_tier_that_gets_too_much_keeps_what_it_carries() {
    let mut scene = Scene::new(&[Some(200), Some(1000)]);
    scene.serve(100.0, 5);
    assert_eq!(scene.shares(), [1.0, 0.0]);
    assert!(!scene.lanes()[0].tight);
    scene.serve(800.0, 6);
    let share = scene.shares()[0];
    assert!((0.2..=0.3).contains(&share), "{:?}", scene.shares());
    assert!(scene.lanes()[0].tight);
    scene.serve(80.0, 6);
    assert_eq!(scene.shares(), [1.0, 0.0]);
    assert!(!scene.lanes()[0].tight);
}

#[test]
fn what_is_shed_is_part_of_what_a_pool_is_asked_for() {
    let mut scene = Scene::new(&[Some(200), Some(1000)]);
    for _ in 0..60 {
        scene.now = scene.now + Duration::from_millis(50);
        let mut tally = Tally::default();
        (0..4).for_each(|_| tally.add(Outcome::Success, Duration::from_millis(2)));
        (0..36).for_each(|_| tally.add_shed());
        let endpoint = 0.into();
        scene.tell(Input::Traffic { endpoint, tally });
    }
    let share = scene.shares()[0];
    assert!((0.2..=0.3).contains(&share), "{:?}", scene.shares());
}

#[test]
fn noise_publishes_no_tables() {
    let mut scene = Scene::new(&[Some(200), Some(1000)]);
    scene.serve(400.0, 10);
    let before = scene.tables;
    scene.serve(400.0, 60);
    assert!(
        scene.tables - before <= 2,
        "{} tables",
        scene.tables - before
    );
}

#[test]
fn where_nothing_is_declared_demand_is_not_looked_at() {
    let mut scene = Scene::new(&[None, None]);
    let before = scene.tables;
    scene.serve(5000.0, 5);
    assert_eq!(scene.tables, before);
    assert_eq!(scene.engine.status(scene.now).pools[0].demand, None);
}

#[test]
fn where_traffic_stops_demand_goes_to_nothing_and_the_engine_looks_no_more() {
    for rate in [400.0, 20.0] {
        let mut scene = Scene::new(&[Some(200), Some(1000)]);
        let demand = |scene: &Scene| scene.engine.status(scene.now).pools[0].demand;
        assert_eq!(demand(&scene), None);
        scene.serve(rate, 5);
        assert!(demand(&scene).is_some_and(|demand| demand > rate / 2.0));
        // A reload gives ids another meaning; it forgets no look that is due.
        scene.tell(Input::Policy(Box::new(policy(&[Some(200), Some(1000)]))));
        let end = scene.now + Duration::from_secs(5);
        while scene.engine.next_deadline() < end {
            scene.now = scene.now.max(scene.engine.next_deadline());
            scene.tell(Input::Wake);
        }
        assert_eq!(demand(&scene), Some(0.0), "{rate}");
        assert_eq!(scene.shares(), [1.0, 0.0]);
        assert!(!scene.lanes()[0].tight);
        scene.serve(rate, 5);
        assert!(demand(&scene).is_some_and(|demand| demand > rate / 2.0));
    }
}

#[test]
fn a_rehearsal_goes_by_what_is_asked_for_now() {
    let mut scene = Scene::new(&[Some(200), Some(200), Some(1000)]);
    scene.serve(300.0, 6);
    let spilled = scene.shares()[1];
    assert!(spilled > 0.2, "{:?}", scene.shares());
    let target = leeward_failover::Target::Site(SiteId(2));
    let played = scene.engine.rehearse(&[target], scene.now);
    let lanes = &played.engine.table().pools[0].lanes;
    assert!((lanes[1].share - spilled).abs() < 0.1, "{lanes:?}");
}

/// While requests are turned away, a lost place that answers again is asked for its proof at once, not
/// when its turn comes; while there is room, it waits for its turn.
#[test]
fn what_answers_again_is_asked_for_its_proof_at_once_while_requests_are_shed() {
    let waits = |sheds: bool| {
        let mut scene = Scene::new(&[Some(100), Some(100)]);
        let failed = ProbeResult::Failed {
            cause: ProbeFailure::Refused,
            detail: "refused".to_owned(),
        };
        let probe = |result| Input::Probe {
            endpoint: 0.into(),
            result,
        };
        for _ in 0..4 {
            scene.until_probed(0, sheds);
            scene.tell(probe(failed.clone()));
        }
        let lost = scene.engine.table().pools[0].lanes[0].share;
        assert!(lost < 0.01, "{lost}");
        scene.until_probed(0, sheds);
        let took = Duration::from_millis(1);
        scene.tell(probe(ProbeResult::Passed { took }));
        let answered = scene.now;
        scene.until_probed(0, sheds);
        scene.now.since(answered)
    };
    let (in_turn, at_once) = (waits(false), waits(true));
    assert!(in_turn >= Duration::from_millis(800), "{in_turn:?}");
    assert!(at_once <= Duration::from_millis(250), "{at_once:?}");
}
