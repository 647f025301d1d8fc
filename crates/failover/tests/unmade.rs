//! Probes that could not be made say nothing: no verdict changes, and they go on.

mod fixture;

use fixture::{address, backend, policy, pool};
use leeward_failover::{
    BackendId, Engine, Input, Output, ProbeFailure, ProbeResult, Time, Verdict,
};
use std::time::Duration;

/// Answers every probe so for a while; how many there were.
fn play(engine: &mut Engine, from: Time, seconds: u64, result: &ProbeResult) -> (usize, Time) {
    let (mut now, end) = (from, from + Duration::from_secs(seconds));
    let mut probes = 0;
    while engine.next_deadline() <= end {
        now = now.max(engine.next_deadline());
        engine.handle(Input::Wake, now);
        let mut due = Vec::new();
        while let Some(output) = engine.poll_output() {
            if let Output::Probe(endpoint) = output {
                due.push(endpoint);
            }
        }
        for endpoint in due {
            probes += 1;
            let result = result.clone();
            engine.handle(Input::Probe { endpoint, result }, now);
        }
    }
    (probes, now)
}

fn verdicts(engine: &Engine, now: Time) -> Vec<Verdict> {
    let status = engine.status(now);
    let endpoints = status.pools.iter().flat_map(|pool| &pool.endpoints);
    endpoints.map(|endpoint| endpoint.verdict).collect()
}

fn started() -> Engine {
    let mut engine = Engine::new(1);
    let policy = policy(vec![pool("main")], vec![backend(0, 0), backend(1, 1)]);
    engine.handle(Input::Policy(Box::new(policy)), Time::ZERO);
    for number in 0..2 {
        let addresses = Input::Addresses {
            backend: BackendId(number),
            addresses: vec![address(number)],
            retained: Vec::new(),
            expired: false,
        };
        engine.handle(addresses, Time::ZERO);
    }
    engine
}

#[test]
fn a_probe_that_could_not_be_made_changes_no_verdict_and_the_next_one_is_made() {
    let mut engine = started();
    let passed = ProbeResult::Passed {
        took: Duration::from_millis(1),
    };
    let (usual, now) = play(&mut engine, Time::ZERO, 20, &passed);
    assert_eq!(verdicts(&engine, now), [Verdict::Healthy; 2]);
    let (probes, now) = play(&mut engine, now, 20, &ProbeResult::Unmade);
    assert_eq!(verdicts(&engine, now), [Verdict::Healthy; 2]);
    assert!(
        probes.abs_diff(usual) * 5 < usual,
        "{probes} and {usual} before"
    );
    let failed = ProbeResult::Failed {
        cause: ProbeFailure::Refused,
        detail: String::new(),
    };
    let (_, now) = play(&mut engine, now, 20, &failed);
    assert!(!verdicts(&engine, now).contains(&Verdict::Healthy));
    let (_, now) = play(&mut engine, now, 20, &ProbeResult::Unmade);
    assert!(
        !verdicts(&engine, now).contains(&Verdict::Healthy),
        "nor is it good news"
    );
}

#[test]
fn nothing_is_known_of_what_was_never_probed() {
    let mut engine = started();
    let (_, now) = play(&mut engine, Time::ZERO, 20, &ProbeResult::Unmade);
    assert_eq!(verdicts(&engine, now), [Verdict::Unknown; 2]);
    assert!(!engine.probed_once());
}
