//! What holds for any input, in any order: the engine never panics, keeps its invariants (debug
//! builds sweep them after each input), and decides the same again when told the same again.
//! What holds for any table: selection stays within its rules.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod random;

use leeward_failover::select::{Pick, Reach, Rng, Want, affinity_key, select};
use leeward_failover::{
    Backend, Class, EndpointId, EndpointStatus, Engine, Input, Lane, LaneEndpoint, Memory,
    OperatorWord, Output, PlaceStatus, Policy, PoolId, ProviderId, Site, SiteId, Status, Table,
    TierSite, Time, Verdict,
};
use proptest::prelude::*;
use random::{address, pool_of, provider, runs};
use std::collections::BTreeSet;
use std::time::Duration;

/// Everything that the engine says when it is told a run, as text.
fn replay(seed: u64, run: &(Policy, Vec<(u64, Input)>)) -> (String, Engine) {
    let mut engine = Engine::new(seed);
    let mut said = String::new();
    let mut tell = |engine: &mut Engine, input: Input, now: Time| {
        engine.handle(input, now);
        assert!(engine.next_deadline() > now);
        while let Some(output) = engine.poll_output() {
            said.push_str(&match output {
                Output::Probe(id) => format!("probe {id:?}\n"),
                Output::Table(table) => serde_json::to_string(&table).unwrap() + "\n",
                Output::Event(event) => serde_json::to_string(&event).unwrap() + "\n",
            });
        }
    };
    tell(
        &mut engine,
        Input::Policy(Box::new(run.0.clone())),
        Time::ZERO,
    );
    let mut now = Time::ZERO;
    for (gap, input) in &run.1 {
        now = now + Duration::from_millis(*gap);
        // A driver that keeps its deadlines, except where the gap is a jump.
        while *gap < 900 && engine.next_deadline() <= now {
            let due = engine.next_deadline();
            tell(&mut engine, Input::Wake, due);
        }
        tell(&mut engine, input.clone(), now);
    }
    (said, engine)
}

fn numbers(said: &str) -> Vec<u64> {
    let events = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    events
        .filter_map(|line: serde_json::Value| line.get("seq")?.as_u64())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_inputs_give_the_same_decisions(run in runs(), seed in any::<u64>()) {
        let (said, _) = replay(seed, &run);
        prop_assert_eq!(&said, &replay(seed, &run).0);
        let seqs = numbers(&said);
        prop_assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "a gap in the journal");
    }

    #[test]
    fn a_recorded_run_replays_to_the_same_decisions(run in runs()) {
        let recorded = serde_json::to_string(&run).unwrap();
        let read = serde_json::from_str(&recorded).unwrap();
        prop_assert_eq!(&run, &read);
        prop_assert_eq!(replay(1, &run).0, replay(1, &read).0);
    }

    #[test]
    fn the_status_can_be_built_and_written_at_any_time(run in runs()) {
        let (_, engine) = replay(1, &run);
        serde_json::to_string(&engine.status(Time::ZERO)).unwrap();
        serde_json::to_string(&engine.status(Time::NEVER)).unwrap();
    }

    #[test]
    fn selection_stays_within_its_rules(run in runs(), seed in any::<u64>()) {
        let (_, engine) = replay(1, &run);
        let table = engine.table().clone();
        let mut rng = Rng::new(seed);
        for pool in 0..table.pools.len() {
            for class in Class::ALL {
                for key in [None, Some(rng.next_u64())] {
                    check_attempts(&table, PoolId::from(pool), class, key, &mut rng)?;
                }
            }
        }
    }

    #[test]
    fn a_memory_keeps_verdicts_words_and_writers_over_a_restart(run in runs(), away in 0..300_u64) {
        let (_, before) = replay(1, &run);
        let mut policies = run.1.iter().filter_map(|(_, input)| match input {
            Input::Policy(policy) => Some(policy.as_ref()),
            _ => None,
        });
        let policy = policies.next_back().unwrap_or(&run.0);
        let memory = before.memory(Time::ZERO);
        let written = serde_json::to_string(&memory).unwrap();
        let read: Memory = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(&memory, &read);
        let mut after = Engine::new(2);
        after.handle(Input::Policy(Box::new(policy.clone())), Time::ZERO);
        let away = Duration::from_secs(away);
        after.handle(Input::Memory { memory: Box::new(read), away }, Time::ZERO);
        let (before, mut after) = (before.status(Time::ZERO), after);
        check_kept(&before, &after.status(Time::ZERO), away)?;
        let first = std::iter::from_fn(|| after.poll_output()).find_map(|output| match output {
            Output::Event(event) => Some(event.seq),
            _ => None,
        });
        prop_assert_eq!(first, Some(memory.seq + 1));
    }

    #[test]
    fn a_memory_that_makes_no_sense_is_survived(
        run in runs(),
        numbers in prop::collection::vec(prop_oneof![any::<u64>(), Just(u64::MAX), 0..4_u64], 8),
        away in prop_oneof![any::<u64>(), Just(0)],
        late in any::<bool>(),
    ) {
        let (_, before) = replay(1, &run);
        let memory = Box::new(distorted(before.memory(Time::ZERO), &numbers));
        let input = Input::Memory { memory, away: Duration::from_secs(away) };
        let mut inputs = run.1.clone();
        inputs.insert(if late { inputs.len() / 2 } else { 0 }, (0, input));
        replay(2, &(run.0, inputs));
    }

    #[test]
    fn any_bytes_at_the_end_of_time_are_survived(run in runs(), at in any::<u64>()) {
        let (_, mut engine) = replay(1, &run);
        engine.handle(Input::Wake, Time(at));
        engine.handle(Input::Wake, Time::NEVER);
        engine.handle(Input::Wake, Time::ZERO);
    }
}

/// What spoke against a place still does, words that did not lapse stand, and orders go where they
/// went unless a word says otherwise.
fn check_kept(before: &Status, after: &Status, away: Duration) -> Result<(), TestCaseError> {
    let against = |verdict| matches!(verdict, Verdict::Down | Verdict::Recovering);
    let places = |status: &Status| -> Vec<PlaceStatus> {
        [status.providers.clone(), status.sites.clone()].concat()
    };
    let mut is_kept_away = false;
    for (was, is) in places(before).iter().zip(&places(after)) {
        prop_assert_eq!(&was.name, &is.name);
        if was.verdict == Verdict::Down && was.endpoints > 0 {
            prop_assert_eq!(is.verdict, Verdict::Down, "{}", was.name);
            prop_assert!(is.hold_down_left_ms <= was.hold_down_left_ms.max(Some(0)));
        }
        if was.verdict == Verdict::Recovering && was.endpoints > 0 {
            prop_assert_ne!(is.verdict, Verdict::Unknown, "{}", was.name);
            prop_assert!(is.verdict == Verdict::Recovering || is.ramp_left_ms.is_none());
        }
        let lapsed = was
            .operator_lapses_in_ms
            .is_some_and(|left| Duration::from_millis(left) <= away);
        let kept = if lapsed {
            OperatorWord::Active
        } else {
            was.operator
        };
        prop_assert_eq!(kept, is.operator, "{}", was.name);
        is_kept_away |= was.operator != OperatorWord::Active;
    }
    for (was, is) in before.pools.iter().zip(&after.pools) {
        for endpoint in &was.endpoints {
            let same = |other: &&EndpointStatus| {
                (&other.backend, &other.site, &other.address)
                    == (&endpoint.backend, &endpoint.site, &endpoint.address)
            };
            let known = is.endpoints.iter().find(same);
            prop_assert!(known.is_some(), "{} is forgotten", endpoint.address);
            is_kept_away |= endpoint.operator != OperatorWord::Active;
            if against(endpoint.verdict) {
                let verdict = known.map(|endpoint| endpoint.verdict);
                prop_assert_eq!(verdict, Some(endpoint.verdict), "{}", endpoint.address);
            }
        }
        prop_assert!(
            is.writer == was.writer || is_kept_away,
            "{}: the writer moved from {:?} to {:?}",
            was.name,
            was.writer,
            is.writer
        );
    }
    Ok(())
}

/// A memory with other numbers in it, and names that mean nothing.
fn distorted(mut memory: Memory, numbers: &[u64]) -> Memory {
    memory.seq = numbers[0];
    let places = memory.providers.iter_mut().chain(&mut memory.sites);
    let held = places
        .map(|place| (&mut place.held, &mut place.word))
        .chain(
            memory
                .endpoints
                .iter_mut()
                .map(|e| (&mut e.held, &mut e.word)),
        );
    for (held, word) in held {
        let hold = &mut held.hold_down;
        (hold.left_ms, hold.quiet_ms, hold.span_ms) = (numbers[1], numbers[2], numbers[3]);
        hold.doublings = numbers[4] as u32;
        held.verdict = Verdict::ALL[numbers[5] as usize % Verdict::ALL.len()];
        if let Some(word) = word {
            word.left_ms = Some(numbers[6]);
        }
    }
    if numbers[7].is_multiple_of(2) {
        memory
            .pools
            .iter_mut()
            .for_each(|pool| pool.writer = "nobody".to_owned());
        memory
            .sites
            .iter_mut()
            .for_each(|site| site.name = "no/where".to_owned());
    }
    memory
}

/// Follows one request over all the attempts that there are.
fn check_attempts(
    table: &Table,
    pool: PoolId,
    class: Class,
    key: Option<u64>,
    rng: &mut Rng,
) -> Result<(), TestCaseError> {
    let lanes = &table.pools[pool.index()];
    let mut tried = Vec::new();
    for reach in [Reach::Endpoint, Reach::Site, Reach::Provider]
        .into_iter()
        .cycle()
        .take(400)
    {
        let want = Want {
            pool,
            class,
            key,
            tried: &tried,
            reach,
        };
        let Some(pick) = select(table, &want, rng, |id| id.0 % 7) else {
            break;
        };
        prop_assert!(!tried.contains(&pick.endpoint), "tried twice");
        prop_assert_eq!(
            table.endpoint(pick.endpoint).map(|e| e.site),
            Some(pick.site)
        );
        if let Some(writer) = lanes.writer.filter(|_| class.goes_to_writer()) {
            prop_assert_eq!(pick.provider, writer, "an order left its writer");
        }
        let lane = lanes
            .lanes
            .iter()
            .find(|lane| lane.site == pick.site)
            .unwrap();
        prop_assert!(lane.usable);
        let endpoint = lane
            .endpoints
            .iter()
            .find(|e| e.id == pick.endpoint)
            .unwrap();
        prop_assert!(lanes.panic || endpoint.verdict != Verdict::Down);
        let warmed = lane.share == 0.0 && tried.is_empty() && reads_are_well(&lanes.lanes, class);
        prop_assert!(!warmed || (class == Class::PublicRead && key.is_none() && lane.warm > 0.0));
        tried.push(pick.endpoint);
    }
    let takes = |e: &LaneEndpoint| e.weight > 0.0;
    let all = lanes
        .lanes
        .iter()
        .flat_map(|lane| &lane.endpoints)
        .filter(|e| takes(e))
        .count();
    prop_assert!(
        class.goes_to_writer() || tried.len() == all,
        "{} of {all} tried",
        tried.len()
    );
    Ok(())
}

/// Whether first attempts of a class find their place by share.
fn reads_are_well(lanes: &[Lane], class: Class) -> bool {
    !class.goes_to_writer() && lanes.iter().any(|lane| lane.share > 0.0)
}

/// A pool of two tiers, all well, with the shares given to the lanes of the first.
fn table_with_shares(shares: &[f64]) -> Table {
    let mut policy = Policy {
        providers: vec![provider("aws")],
        pools: vec![pool_of(0, vec![Vec::new()], 1, 2, 0, (true, true, false))],
        ..Policy::default()
    };
    for index in 0..shares.len() {
        let name = format!("aws/site-{index}");
        policy.sites.push(Site {
            name,
            provider: ProviderId(0),
        });
        policy.pools[0].tiers[0].push(TierSite {
            site: SiteId::from(index),
            weight: 1,
        });
        for number in 0..3 {
            policy.backends.push(Backend {
                name: format!("https://{index}-{number}.example"),
                pool: PoolId(0),
                site: SiteId::from(index),
                weight: 1,
                capacity: None,
                addresses: vec![address(index as u32 * 10 + number)],
            });
        }
    }
    let mut engine = Engine::new(1);
    engine.handle(Input::Policy(Box::new(policy)), Time::ZERO);
    let mut table = Table::clone(engine.table());
    let pool = std::sync::Arc::make_mut(&mut table.pools[0]);
    for (lane, share) in pool.lanes.iter_mut().zip(shares) {
        lane.share = *share;
    }
    table
}

fn pick_by_key(table: &Table, class: Class, key: u64) -> Pick {
    let want = Want {
        pool: PoolId(0),
        class,
        key: Some(key),
        tried: &[],
        reach: Reach::Endpoint,
    };
    select(table, &want, &mut Rng::new(key), |_| 0).unwrap()
}

#[test]
fn a_small_change_of_a_share_moves_few_keys() {
    let before = table_with_shares(&[0.5, 0.3, 0.2]);
    let after = table_with_shares(&[0.5, 0.29, 0.21]);
    let keys: Vec<u64> = (0..20_000)
        .map(|n: u32| affinity_key(&n.to_be_bytes()))
        .collect();
    let picks = |table: &Table| -> Vec<Pick> {
        keys.iter()
            .map(|key| pick_by_key(table, Class::PrivateRead, *key))
            .collect()
    };
    let (before, after) = (picks(&before), picks(&after));
    for (site, share) in [(0, 0.5), (1, 0.3), (2, 0.2)] {
        let there = before
            .iter()
            .filter(|pick| pick.site == SiteId(site))
            .count();
        let part = there as f64 / keys.len() as f64;
        assert!(
            (part - share).abs() < 0.015,
            "site {site} has {part} of the keys, not {share}"
        );
    }
    let moved: Vec<_> = before
        .iter()
        .zip(&after)
        .filter(|(was, is)| was != is)
        .collect();
    assert!(
        moved.len() < keys.len() / 50,
        "{} of {} keys moved",
        moved.len(),
        keys.len()
    );
    assert!(
        moved.iter().all(|(was, is)| was.site != is.site),
        "a key moved within its site"
    );
}

#[test]
fn first_attempts_without_a_key_follow_the_shares() {
    let table = table_with_shares(&[0.7, 0.3, 0.0]);
    let mut rng = Rng::new(3);
    let mut there = [0_u32; 3];
    let mut endpoints = BTreeSet::new();
    for _ in 0..10_000 {
        let want = Want {
            pool: PoolId(0),
            class: Class::PublicRead,
            key: None,
            tried: &[],
            reach: Reach::Endpoint,
        };
        let pick = select(&table, &want, &mut rng, |_| 0).unwrap();
        there[pick.site.index()] += 1;
        endpoints.insert(pick.endpoint);
    }
    assert!((6800..7200).contains(&there[0]), "{there:?}");
    assert_eq!(there[2], 0);
    assert_eq!(endpoints.len(), 6);
}

#[test]
fn the_less_loaded_of_two_endpoints_is_taken() {
    let table = table_with_shares(&[1.0]);
    let mut rng = Rng::new(3);
    for _ in 0..100 {
        let want = Want {
            pool: PoolId(0),
            class: Class::PublicRead,
            key: None,
            tried: &[],
            reach: Reach::Endpoint,
        };
        // Of three endpoints two are drawn: the busiest never wins.
        let pick = select(
            &table,
            &want,
            &mut rng,
            |id| if id.0 == 1 { 100 } else { 1 },
        )
        .unwrap();
        assert_ne!(pick.endpoint, EndpointId(1));
    }
}
