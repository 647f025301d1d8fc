//! What would follow from an operator's word: the numbers, and what speaks against it.

mod fixture;

use leeward_failover::{
    Backend, Change, EndpointId, Engine, Event, Guards, Input, Leaving, ObjectionKind,
    OperatorWord, Outcome, Output, Policy, ProbeResult, ProviderId, Tally, Target, Time,
};
use std::time::Duration;

const AWS: Target = Target::Provider(ProviderId(0));
const GCP: Target = Target::Provider(ProviderId(1));

/// aws before gcp, with one backend each that declares so much.
fn policy(capacity: Option<u32>) -> Policy {
    let backend = |number| Backend {
        capacity,
        ..fixture::backend(number, number)
    };
    fixture::policy(
        vec![fixture::pool("trading")],
        (0..2).map(backend).collect(),
    )
}

/// Both endpoints have passed their probes.
fn serving(capacity: Option<u32>) -> Engine {
    let mut engine = Engine::new(1);
    engine.handle(Input::Policy(Box::new(policy(capacity))), Time::ZERO);
    for id in 0..2 {
        let result = ProbeResult::Passed {
            took: Duration::from_millis(3),
        };
        let endpoint = EndpointId(id);
        engine.handle(Input::Probe { endpoint, result }, at(10));
    }
    events(&mut engine);
    engine
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn events(engine: &mut Engine) -> Vec<Event> {
    let outputs = std::iter::from_fn(|| engine.poll_output());
    let event = |output| match output {
        Output::Event(event) => Some(event),
        _ => None,
    };
    outputs.filter_map(event).collect()
}

fn said(targets: &[Target], word: OperatorWord, forced: bool) -> Input {
    Input::Words {
        targets: targets.to_vec(),
        word,
        lasts: Some(Duration::from_secs(60)),
        reason: "a test".to_owned(),
        forced,
    }
}

#[test]
fn a_word_is_considered_without_being_said() {
    let mut engine = serving(None);
    let found = engine.consider(&[AWS], OperatorWord::Evacuated, at(20));
    assert_eq!(found.objections, []);
    let pool = &found.pools[0];
    assert_eq!(pool.before.shares[0], ("aws/one".to_owned(), 0.98));
    assert_eq!(pool.after.shares[0], ("aws/one".to_owned(), 0.0));
    assert_eq!(pool.after.shares[1], ("gcp/one".to_owned(), 1.0));
    let writers = [&pool.before.writer, &pool.after.writer];
    assert_eq!(writers, [&Some("aws".to_owned()), &Some("gcp".to_owned())]);
    assert_eq!(events(&mut engine), []);
    assert_eq!(
        engine.status(at(20)).pools[0].writer.as_deref(),
        Some("aws")
    );
}

#[test]
fn what_is_considered_is_what_happens() {
    for word in [OperatorWord::Draining, OperatorWord::Evacuated] {
        let mut engine = serving(None);
        let found = engine.consider(&[AWS], word, at(20));
        engine.handle(said(&[AWS], word, false), at(20));
        let pool = &engine.status(at(20)).pools[0];
        assert_eq!(pool.shares, found.pools[0].after.shares);
        assert_eq!(pool.writer, found.pools[0].after.writer);
    }
}

#[test]
fn a_drain_and_an_evacuation_differ_for_what_runs() {
    for (word, leaving) in [
        (OperatorWord::Draining, Leaving::Slowly),
        (OperatorWord::Evacuated, Leaving::AtOnce),
        (OperatorWord::Active, Leaving::Stays),
    ] {
        let mut engine = serving(None);
        engine.handle(said(&[AWS], word, false), at(20));
        assert_eq!(engine.table().leaving(EndpointId(0)), leaving);
        assert_eq!(engine.table().leaving(EndpointId(1)), Leaving::Stays);
    }
}

#[test]
fn the_last_capacity_is_not_given_up_without_objection() {
    let engine = serving(None);
    let found = engine.consider(&[AWS, GCP], OperatorWord::Draining, at(20));
    let kinds: Vec<ObjectionKind> = found.objections.iter().map(|o| o.kind).collect();
    assert_eq!(kinds, [ObjectionKind::LastCapacity]);
    let text = &found.objections[0].text;
    assert_eq!(
        text,
        "trading: nothing would be left of 2 endpoints that serve"
    );
}

#[test]
fn what_is_left_must_have_proved_itself() {
    let mut engine = serving(None);
    engine.handle(
        Input::Addresses {
            backend: leeward_failover::BackendId(1),
            addresses: vec![([10, 0, 0, 9], 443).into()],
            retained: Vec::new(),
            expired: false,
        },
        at(6_000),
    );
    let ids = [EndpointId(1)].map(Target::Endpoint);
    engine.handle(said(&ids, OperatorWord::Evacuated, false), at(6_010));
    let found = engine.consider(&[AWS], OperatorWord::Evacuated, at(6_020));
    assert_eq!(found.objections[0].kind, ObjectionKind::Unproven);
}

#[test]
fn declared_capacity_is_held_against_what_is_used_now() {
    let mut engine = serving(Some(100));
    let mut tally = Tally::default();
    (0..300).for_each(|_| tally.add(Outcome::Success, Duration::from_millis(2)));
    let endpoint = EndpointId(0);
    engine.handle(Input::Traffic { endpoint, tally }, at(20));
    let found = engine.consider(&[AWS], OperatorWord::Evacuated, at(30));
    assert_eq!(found.objections[0].kind, ObjectionKind::TooLittle);
    let text = &found.objections[0].text;
    assert_eq!(
        text,
        "trading: 100/s of 200/s would be left, 150/s are needed now"
    );
    // A little later the load is gone, and nothing speaks against it.
    let later = engine.consider(&[AWS], OperatorWord::Evacuated, at(9_000));
    assert_eq!(later.objections, []);
}

#[test]
fn a_forced_word_says_in_the_journal_what_spoke_against_it() {
    let mut engine = serving(None);
    engine.handle(said(&[AWS, GCP], OperatorWord::Evacuated, true), at(20));
    let events = events(&mut engine);
    let words: Vec<&Event> = events
        .iter()
        .filter(|event| matches!(event.change, Change::Operator { .. }))
        .collect();
    assert_eq!(words.len(), 2);
    for event in words {
        let fact = |name| event.evidence.iter().find(|(fact, _)| *fact == name);
        let forced = fact("forced").expect("what spoke against it");
        assert_eq!(
            forced.1,
            "trading: nothing would be left of 2 endpoints that serve"
        );
        assert!(fact("kept").is_some(), "P4 holds all the same: {event:?}");
    }
    assert_eq!(engine.table().leaving(EndpointId(0)), Leaving::Stays);
}

#[test]
fn a_restore_is_never_objected_to() {
    let mut engine = serving(Some(1));
    engine.handle(said(&[AWS], OperatorWord::Evacuated, false), at(20));
    let found = engine.consider(&[AWS], OperatorWord::Active, at(30));
    assert_eq!(found.objections, []);
    assert_eq!(found.pools[0].after.shares[0].1, 0.01);
}

/// Both endpoints serve; the policy asks so much of itself.
fn guarded(guards: Guards) -> Engine {
    let mut engine = serving(Some(100));
    let policy = Policy {
        guards,
        ..policy(Some(100))
    };
    engine.handle(Input::Policy(Box::new(policy)), at(15));
    events(&mut engine);
    engine
}

#[test]
fn a_word_that_breaks_a_guard_is_objected_to_with_the_numbers() {
    let of_provider = Guards {
        capacity_without_provider: 0.6,
        ..Guards::default()
    };
    let engine = guarded(of_provider);
    let found = engine.consider(&[AWS], OperatorWord::Evacuated, at(20));
    assert_eq!(found.objections[0].kind, ObjectionKind::Guard);
    let numbers = "trading: 100/s of 200/s would be left, which is 50%, 60% are asked for by the \
                   guard `capacity_without_provider`";
    assert_eq!(found.objections[0].text, numbers);

    let of_number = Guards {
        providers: 2,
        ..Guards::default()
    };
    let engine = guarded(of_number);
    let found = engine.consider(&[AWS], OperatorWord::Draining, at(20));
    let numbers = "trading: 1 provider would be left, 2 are asked for by the guard `providers`";
    assert_eq!(found.objections[0].text, numbers);
}

#[test]
fn a_word_that_leaves_what_is_asked_for_or_takes_nothing_breaks_no_guard() {
    let mut engine = guarded(Guards {
        capacity_without_site: 1.0,
        capacity_without_provider: 0.5,
        providers: 1,
        second_tier: true,
        forced: None,
    });
    let found = engine.consider(&[AWS], OperatorWord::Evacuated, at(20));
    assert_eq!(found.objections, []);
    // What is left already cannot be taken away once more.
    engine.handle(said(&[AWS], OperatorWord::Evacuated, false), at(30));
    let stricter = Guards {
        capacity_without_provider: 0.9,
        providers: 2,
        ..Guards::default()
    };
    let policy = Policy {
        guards: stricter,
        ..policy(Some(100))
    };
    engine.handle(Input::Policy(Box::new(policy)), at(40));
    let found = engine.consider(&[AWS], OperatorWord::Evacuated, at(50));
    assert_eq!(found.objections, []);
}

#[test]
fn a_policy_that_was_forced_says_so_in_the_journal() {
    let mut engine = serving(Some(100));
    let mut forced = policy(Some(100));
    forced.guards = Guards {
        providers: 3,
        forced: Some("INC-42".to_owned()),
        ..Guards::default()
    };
    engine.handle(Input::Policy(Box::new(forced.clone())), at(20));
    let told = |engine: &mut Engine| {
        let events = events(engine);
        let mut facts = events.into_iter().flat_map(|event| event.evidence);
        facts
            .find(|(fact, _)| *fact == "forced")
            .map(|(_, text)| text)
    };
    let text = "INC-42: trading: it depends on 2 providers, and 3 are asked for";
    assert_eq!(told(&mut engine).as_deref(), Some(text));
    forced.guards.providers = 2;
    engine.handle(Input::Policy(Box::new(forced)), at(30));
    assert_eq!(told(&mut engine), None);
}

#[test]
fn another_policy_is_foreseen_without_being_taken() {
    let engine = serving(Some(100));
    let mut other = policy(Some(100));
    other.pools[0].tiers.reverse();
    let then = engine.foresee(&other, at(20));
    let shares = |engine: &Engine| engine.status(at(20)).pools[0].shares.clone();
    assert_eq!(shares(&engine)[0], ("aws/one".to_owned(), 0.98));
    assert_eq!(shares(&then)[0], ("gcp/one".to_owned(), 0.98));
    assert_eq!(engine.policy(), &policy(Some(100)));
}

#[test]
fn what_nobody_has_looked_up_or_probed_yet_is_foreseen_as_serving() {
    let mut named = policy(None);
    named.backends.iter_mut().for_each(|b| b.addresses.clear());
    let calm = Engine::calm(&named);
    let pool = &calm.status(at(0)).pools[0];
    assert_eq!(pool.endpoints.len(), 2);
    for endpoint in &pool.endpoints {
        assert_eq!(endpoint.verdict, leeward_failover::Verdict::Healthy);
        let address = endpoint.address.parse().expect("an address");
        assert!(leeward_failover::stands_for_a_name(address));
    }
    assert_eq!(pool.shares[0].1, 0.98);
}
