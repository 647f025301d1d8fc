//! What an engine remembers, given to another one: how old it may be, what outranks it, and what
//! makes no sense.

mod fixture;

use fixture::address;
use leeward_failover::{
    BackendMemory, Cause, EndpointId, EndpointMemory, Engine, HeldMemory, HoldMemory, Input,
    Memory, OperatorWord, PlaceMemory, PlaceStatus, Policy, PoolMemory, ProbeResult, ProviderKind,
    Status, Time, Verdict, WordMemory,
};
use std::time::Duration;

const AWAY: Duration = Duration::from_secs(5);

/// aws before gcp, with so many backends each.
fn policy(backends: u32) -> Policy {
    let backend = |number| fixture::backend(number, number / backends);
    let pools = vec![fixture::pool("trading")];
    fixture::policy(pools, (0..backends * 2).map(backend).collect())
}

fn begin(policy: Policy) -> Engine {
    let mut engine = Engine::new(1);
    engine.handle(Input::Policy(Box::new(policy)), Time::ZERO);
    engine
}

fn recalled(policy: Policy, memory: Memory, away: Duration) -> Engine {
    let mut engine = begin(policy);
    let memory = Box::new(memory);
    engine.handle(Input::Memory { memory, away }, Time::ZERO);
    engine
}

fn held(verdict: Verdict, left_ms: u64) -> HeldMemory {
    HeldMemory {
        verdict,
        cause: "probes_failed".to_owned(),
        hold_down: HoldMemory {
            left_ms,
            span_ms: left_ms,
            doublings: 1,
            ..HoldMemory::default()
        },
    }
}

fn place(name: &str, held: HeldMemory) -> PlaceMemory {
    PlaceMemory {
        name: name.to_owned(),
        held,
        word: None,
    }
}

fn endpoint(number: u32, site: &str, held: HeldMemory) -> EndpointMemory {
    EndpointMemory {
        pool: "trading".to_owned(),
        site: site.to_owned(),
        url: format!("https://{number}.example"),
        address: address(number),
        held,
        word: None,
        orders: None,
    }
}

/// aws is down with its only endpoint, for so long.
fn outage(left_ms: u64) -> Memory {
    let down = || held(Verdict::Down, left_ms);
    Memory {
        providers: vec![place("aws", down())],
        sites: vec![place("aws/one", down())],
        endpoints: vec![endpoint(0, "aws/one", down())],
        ..Memory::default()
    }
}

fn pass(engine: &mut Engine, endpoint: u32, seconds: u64) {
    let result = ProbeResult::Passed {
        took: Duration::from_millis(1),
    };
    let endpoint = EndpointId(endpoint);
    let now = Time::ZERO + Duration::from_secs(seconds);
    engine.handle(Input::Probe { endpoint, result }, now);
}

fn status(engine: &Engine) -> Status {
    engine.status(Time::ZERO)
}

fn aws(engine: &Engine) -> PlaceStatus {
    status(engine).sites[0].clone()
}

#[test]
fn a_place_stays_down_for_what_is_left_of_its_hold_down() {
    let mut engine = recalled(policy(1), outage(20_000), AWAY);
    let site = aws(&engine);
    assert_eq!(
        (site.verdict, site.cause),
        (Verdict::Down, Cause::Remembered)
    );
    assert_eq!(site.hold_down_left_ms, Some(15_000));
    assert_eq!(status(&engine).pools[0].active_tier, 2);
    (1..15).for_each(|second| pass(&mut engine, 0, second));
    assert_eq!(aws(&engine).verdict, Verdict::Down);
    pass(&mut engine, 0, 15);
    assert_eq!(aws(&engine).verdict, Verdict::Recovering);
}

#[test]
fn probes_have_to_pass_though_the_hold_down_ended_meanwhile() {
    let mut engine = recalled(policy(1), outage(1000), AWAY);
    assert_eq!(aws(&engine).hold_down_left_ms, Some(0));
    engine.handle(Input::Wake, Time::ZERO + Duration::from_secs(1));
    pass(&mut engine, 0, 2);
    assert_eq!(aws(&engine).verdict, Verdict::Down);
    pass(&mut engine, 0, 3);
    assert_eq!(aws(&engine).verdict, Verdict::Recovering);
}

/// Its endpoints were well again, so nothing is remembered of them.
#[test]
fn a_place_whose_endpoints_are_unseen_waits_to_be_seen() {
    let memory = Memory {
        endpoints: Vec::new(),
        ..outage(1000)
    };
    let mut engine = recalled(policy(3), memory, AWAY);
    engine.handle(Input::Wake, Time::ZERO + Duration::from_secs(1));
    assert_eq!(aws(&engine).verdict, Verdict::Down);
    pass(&mut engine, 0, 2);
    assert_eq!(aws(&engine).verdict, Verdict::Recovering);
    assert_eq!(status(&engine).providers[0].verdict, Verdict::Recovering);
}

/// They were down one after the other, and their site never was.
#[test]
fn endpoints_that_return_do_not_look_like_a_dead_site() {
    let returns = || held(Verdict::Recovering, 0);
    let memory = Memory {
        endpoints: vec![
            endpoint(0, "aws/one", returns()),
            endpoint(1, "aws/one", returns()),
        ],
        ..Memory::default()
    };
    let engine = recalled(policy(3), memory, AWAY);
    assert_ne!(aws(&engine).verdict, Verdict::Down);
    assert_eq!(aws(&engine).endpoints_down, 0);
    let endpoints = &status(&engine).pools[0].endpoints;
    assert_eq!(endpoints[0].verdict, Verdict::Recovering);
    assert!(
        endpoints[0].share < 0.01 && endpoints[2].share > 0.4,
        "{endpoints:?}"
    );
}

#[test]
fn verdicts_are_used_until_they_are_as_old_as_the_longest_hold_down() {
    let verdict = |away| {
        aws(&recalled(
            policy(1),
            outage(1000),
            Duration::from_secs(away),
        ))
        .verdict
    };
    assert_eq!(
        [verdict(900), verdict(901)],
        [Verdict::Down, Verdict::Unknown]
    );
}

#[test]
fn the_writer_stays_however_long_it_was() {
    let pool = PoolMemory {
        name: "trading".to_owned(),
        writer: "gcp".to_owned(),
        called_home: false,
    };
    let memory = |pool| Memory {
        pools: vec![pool],
        ..Memory::default()
    };
    let writer = |pool, away| {
        status(&recalled(policy(1), memory(pool), away)).pools[0]
            .writer
            .clone()
    };
    assert_eq!(writer(pool.clone(), Duration::MAX).as_deref(), Some("gcp"));
    let gone = PoolMemory {
        writer: "azure".to_owned(),
        ..pool
    };
    assert_eq!(writer(gone, AWAY).as_deref(), Some("aws"));
}

#[test]
fn words_go_on_for_what_is_left_of_them() {
    let word = |left_ms| {
        let word = WordMemory {
            word: OperatorWord::Evacuated,
            left_ms,
            reason: "a drill".to_owned(),
        };
        let site = PlaceMemory {
            word: Some(word),
            ..place("aws/one", HeldMemory::default())
        };
        let memory = Memory {
            sites: vec![site],
            ..Memory::default()
        };
        aws(&recalled(policy(1), memory, AWAY))
    };
    let site = word(Some(60_000));
    assert_eq!(site.operator, OperatorWord::Evacuated);
    assert_eq!(site.operator_lapses_in_ms, Some(55_000));
    assert_eq!(site.operator_reason, "a drill");
    assert_eq!(word(None).operator_lapses_in_ms, None);
    assert_eq!(word(None).operator, OperatorWord::Evacuated);
    let site = word(Some(5000));
    assert_eq!(site.operator, OperatorWord::Active);
    assert_eq!(
        (site.verdict, site.cause),
        (Verdict::Recovering, Cause::Remembered)
    );
}

#[test]
fn no_number_makes_a_hold_down_longer_than_the_policy_does() {
    let site = aws(&recalled(policy(1), outage(u64::MAX), Duration::ZERO));
    assert_eq!(site.hold_down_left_ms, Some(900_000));
}

#[test]
fn what_was_learned_outranks_what_is_remembered() {
    let mut engine = begin(policy(1));
    pass(&mut engine, 1, 0);
    let memory = Box::new(outage(20_000));
    engine.handle(Input::Memory { memory, away: AWAY }, Time::ZERO);
    assert_eq!(aws(&engine).verdict, Verdict::Unknown);
}

#[test]
fn a_memory_of_a_newer_version_is_ignored() {
    let memory = Memory {
        version: Memory::VERSION + 1,
        ..outage(20_000)
    };
    assert_eq!(
        aws(&recalled(policy(1), memory, AWAY)).verdict,
        Verdict::Unknown
    );
}

#[test]
fn words_that_nobody_knows_say_nothing() {
    let text = r#"{"version":1,"later":[],"sites":[{"name":"aws/one","held":{"verdict":"sulking",
        "cause":"mood","hold_down":{}},"word":{"word":"bewitched","reason":"?"}}]}"#;
    let memory: Memory = serde_json::from_str(text).unwrap();
    let site = aws(&recalled(policy(1), memory, AWAY));
    assert_eq!(
        (site.verdict, site.operator),
        (Verdict::Unknown, OperatorWord::Active)
    );
}

/// The causes of the first process are kept, not that they were remembered.
#[test]
fn what_is_remembered_twice_is_the_same() {
    let engine = recalled(policy(1), outage(20_000), Duration::ZERO);
    let memory = engine.memory(Time::ZERO);
    let again = recalled(policy(1), memory.clone(), Duration::ZERO).memory(Time::ZERO);
    assert_eq!(memory.sites[0].held.cause, "probes_failed");
    assert_eq!(
        (&memory.sites, &memory.endpoints),
        (&again.sites, &again.endpoints)
    );
    assert!(again.seq > memory.seq);
}

#[test]
fn addresses_are_used_for_a_day_and_leased_ones_for_ten_minutes() {
    let known = |kind, minutes: u64| {
        let mut policy = policy(1);
        policy.providers[0].kind = kind;
        policy.backends[0].addresses.clear();
        let memory = Memory {
            backends: vec![BackendMemory {
                pool: "trading".to_owned(),
                site: "aws/one".to_owned(),
                url: "https://0.example".to_owned(),
                addresses: vec![address(9)],
                retained: Vec::new(),
            }],
            ..Memory::default()
        };
        let engine = recalled(policy, memory, Duration::from_secs(minutes * 60));
        let endpoints = status(&engine).pools[0].endpoints.clone();
        endpoints
            .iter()
            .any(|e| e.address == address(9).to_string())
    };
    for kind in [ProviderKind::Cloud, ProviderKind::SelfHosted] {
        assert!(
            known(kind, 24 * 60) && !known(kind, 24 * 60 + 1),
            "{kind:?}"
        );
    }
    let leased = ProviderKind::Decentralized;
    assert!(known(leased, 10) && !known(leased, 11));
}
