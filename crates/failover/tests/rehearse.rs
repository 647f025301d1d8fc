//! What would follow if places fell silent: played on a copy, and the same as what then happens.

mod fixture;

use leeward_failover::{
    Change, EndpointId, Engine, Event, Input, Mover, Output, Policy, PoolId, ProbeFailure,
    ProbeParams, ProbeResult, ProviderId, SubjectKind, Target, Time, Verdict,
};
use std::time::Duration;

const AWS: Target = Target::Provider(ProviderId(0));
const GCP: Target = Target::Provider(ProviderId(1));

/// aws before gcp; the backend of gcp is known by its name alone.
fn policy(moves: Mover) -> Policy {
    let mut pool = fixture::pool("trading");
    pool.orders.moves = moves;
    let backends = (0..2).map(|number| {
        let mut backend = fixture::backend(number, number);
        backend.capacity = Some(100);
        if number == 1 {
            backend.addresses.clear();
        }
        backend
    });
    fixture::policy(vec![pool], backends.collect())
}

fn writer(engine: &Engine, now: Time) -> Option<String> {
    engine.status(now).pools[0].writer.clone()
}

fn shares(engine: &Engine) -> Vec<f64> {
    let lanes = &engine.table().pools[0].lanes;
    lanes.iter().map(|lane| lane.share).collect()
}

#[test]
fn a_policy_in_calm_has_found_everything_well() {
    let calm = Engine::in_calm(&policy(Mover::Automatic));
    let status = calm.engine.status(calm.now);
    let places = status.providers.iter().chain(&status.sites);
    assert!(
        places
            .clone()
            .all(|place| place.verdict == Verdict::Healthy)
    );
    assert_eq!(shares(&calm.engine), [1.0, 0.0]);
    assert_eq!(writer(&calm.engine, calm.now).as_deref(), Some("aws"));
    assert_eq!(calm.engine.stand(PoolId(0), calm.now).capacity, Some(200));
    let empty = Engine::in_calm(&Policy::default());
    assert_eq!(empty.engine.status(empty.now).pools, []);
    assert_eq!(empty.engine.stand(PoolId(7), empty.now).endpoints, 0);
    assert_eq!(empty.engine.needed(PoolId(7), empty.now), 0);
}

#[test]
fn a_rehearsal_moves_what_would_move_and_leaves_the_engine_alone() {
    let calm = Engine::in_calm(&policy(Mover::Automatic));
    let then = calm.engine.rehearse(&[AWS], calm.now);
    assert_eq!(shares(&then.engine), [0.0, 1.0]);
    assert_eq!(writer(&then.engine, then.now).as_deref(), Some("gcp"));
    assert_eq!(then.engine.stand(PoolId(0), then.now).capacity, Some(100));
    assert_eq!(shares(&calm.engine), [1.0, 0.0]);
    assert!(calm.complete && then.complete);
    let after = then.now.since(calm.now);
    assert!(after < Duration::from_secs(6), "{after:?}");
    let mut engine = calm.engine;
    assert!(engine.poll_output().is_none(), "nobody hears of it");
}

#[test]
fn what_is_rehearsed_is_what_happens() {
    let calm = Engine::in_calm(&policy(Mover::Automatic));
    let then = calm.engine.rehearse(&[AWS], calm.now);
    let mut engine = calm.engine.clone();
    let (mut now, mut happened, mut due) = (calm.now, Vec::new(), Vec::<(Time, EndpointId)>::new());
    while now < then.now {
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Probe(id) if id.index() == 0 => {
                    due.push((now + Duration::from_millis(500), id));
                }
                Output::Probe(id) => due.push((now + Duration::from_millis(1), id)),
                Output::Event(event) => happened.push(event),
                Output::Table(_) => {}
            }
        }
        due.sort_unstable();
        let next = due.first().map_or(Time::NEVER, |(at, _)| *at);
        now = next.min(engine.next_deadline()).min(then.now);
        if now < next {
            engine.handle(Input::Wake, now);
            continue;
        }
        let (_, endpoint) = due.remove(0);
        let result = match endpoint.index() {
            0 => ProbeResult::Failed {
                cause: ProbeFailure::Timeout,
                detail: "no answer".to_owned(),
            },
            _ => ProbeResult::Passed {
                took: Duration::from_millis(1),
            },
        };
        engine.handle(Input::Probe { endpoint, result }, now);
    }
    let told = |events: &[Event]| {
        let places = events
            .iter()
            .filter(|event| event.subject.kind != SubjectKind::Endpoint);
        places
            .map(|event| (event.at, event.subject.clone(), event.change.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&happened), told(&then.events));
    assert!(
        happened
            .iter()
            .any(|event| matches!(event.change, Change::Writer { .. }))
    );
    assert_eq!(engine.table().pools, then.engine.table().pools);
}

#[test]
fn a_writer_that_only_an_operator_moves_stays() {
    let calm = Engine::in_calm(&policy(Mover::Operator));
    let then = calm.engine.rehearse(&[AWS], calm.now);
    assert_eq!(shares(&then.engine), [0.0, 1.0]);
    assert_eq!(writer(&then.engine, then.now).as_deref(), Some("aws"));
}

#[test]
fn with_everything_silent_the_detector_is_distrusted() {
    let calm = Engine::in_calm(&policy(Mover::Automatic));
    let then = calm.engine.rehearse(&[AWS, GCP], calm.now);
    assert!(then.engine.table().pools[0].panic);
    assert!(shares(&then.engine).iter().sum::<f64>() > 0.99);
}

#[test]
fn what_is_down_already_stays_down_in_a_rehearsal() {
    let calm = Engine::in_calm(&policy(Mover::Automatic));
    let first = calm.engine.rehearse(&[AWS], calm.now);
    let again = first.engine.rehearse(&[AWS], first.now);
    assert_eq!(shares(&again.engine), [0.0, 1.0]);
    let both = first.engine.rehearse(&[GCP], first.now);
    assert!(both.engine.table().pools[0].panic);
    let none = first.engine.rehearse(&[], first.now);
    assert_eq!(none.events, []);
}

#[test]
fn a_rehearsal_comes_to_an_end_whatever_is_probed_how_often() {
    let mut busy = policy(Mover::Automatic);
    busy.pools[0].probe = ProbeParams {
        interval: Duration::ZERO,
        timeout: Duration::from_secs(3600),
        fall: u32::MAX,
        ..ProbeParams::default()
    };
    let calm = Engine::in_calm(&busy);
    let then = calm.engine.rehearse(&[AWS], calm.now);
    assert!(then.now >= calm.now && !then.complete);
}
