//! The driver of the engine: the one writer of the snapshot.
//!
//! Takes facts in, asks the engine for its deadline, applies what it decides (`effects`). It never
//! judges, and the data path never waits for it (P9).

use crate::effects::Effects;
use crate::operator::{self, Saying};
use crate::record::Driven;
use crate::serving::Serving;
use crate::worker::Shared;
use leeward_failover::{BackendId, EndpointId, Engine, Input, ProbeResult, Status, Tally, Time};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Messages from workers that may wait; beyond that workers keep their counts to themselves.
pub(crate) const INBOX: usize = 4096;

/// What the control task is told from other threads.
pub(crate) enum ControlMessage {
    /// What requests of one worker met.
    Traffic(Vec<(EndpointId, Tally)>),
    /// Endpoints that say nothing to requests, or to orders, of one worker that wait for them.
    Silence(Vec<Input>),
    /// Somebody asks for everything that is known.
    Status(oneshot::Sender<Status>),
    /// Somebody wants to try something on a copy of the engine, under the policy that it goes by.
    Copy(oneshot::Sender<Copied>),
    /// An operator wants something said.
    Say {
        saying: Saying,
        answer: oneshot::Sender<operator::Answer>,
    },
    /// Another policy, built and ready to serve.
    Serve {
        serving: Arc<Serving>,
        /// Told once it is published.
        done: SyncSender<()>,
    },
    /// Somebody wants to know whether this thread lives.
    Alive(oneshot::Sender<()>),
    /// The end.
    Stop,
}

/// A copy of the engine: what is tried on it costs the control task nothing.
pub(crate) struct Copied {
    pub(crate) engine: Engine,
    pub(crate) serving: Arc<Serving>,
    pub(crate) now: Time,
}

/// What tasks on the control thread report. Bounded by the number of endpoints and backends: each
/// has one report under way at most.
pub(crate) enum Report {
    Probe {
        endpoint: EndpointId,
        result: ProbeResult,
    },
    Addresses {
        backend: BackendId,
        addresses: Vec<SocketAddr>,
        retained: Vec<SocketAddr>,
        expired: bool,
    },
}

/// Facts that are decided on together at most: enough that a thousand failures at once are a few
/// decisions, and few enough that none of them takes long.
const MOST_TOGETHER: usize = 64;

/// Ready at the latest after this, whatever the probes say.
const READY_AT_LATEST: Duration = Duration::from_secs(5);

/// Drives `engine` until it is told to stop.
pub(crate) async fn run(
    mut engine: Driven,
    shared: Arc<Shared>,
    mut effects: Effects,
    mut inbox: mpsc::Receiver<ControlMessage>,
    mut reports: mpsc::UnboundedReceiver<Report>,
) {
    loop {
        effects.look_at_windows(&mut engine);
        effects.apply(&mut engine);
        let is_ready = || engine.probed_once() || shared.began.elapsed() >= READY_AT_LATEST;
        if !effects.is_ready() && is_ready() {
            effects.ready();
        }
        let message = tokio::select! {
            biased;
            Some(message) = inbox.recv() => Some(message),
            Some(report) = reports.recv() => {
                hear(&mut engine, report, &mut reports, shared.now());
                None
            }
            () = until(&engine, &shared, &effects) => {
                engine.handle(Input::Wake, shared.now());
                None
            }
        };
        match message {
            None => {}
            Some(ControlMessage::Traffic(batch)) => {
                count(&mut engine, &shared, &mut effects, &batch).await;
            }
            Some(ControlMessage::Silence(silent)) => {
                for input in silent {
                    engine.handle(input, shared.now());
                }
            }
            Some(ControlMessage::Status(to)) => give(to, engine.status(shared.now())),
            Some(ControlMessage::Copy(to)) => give(to, copied(&engine, &shared)),
            Some(ControlMessage::Say { saying, answer }) => {
                let now = shared.now();
                let (said, input) = operator::say(&engine, saying, now);
                if let Some(input) = input {
                    engine.handle(input, now);
                }
                // Whoever asked may have given up; the word holds all the same.
                let _ = answer.send(said);
            }
            Some(ControlMessage::Serve { serving, done }) => {
                // What was reported before has the ids of the policy before.
                while let Ok(report) = reports.try_recv() {
                    engine.handle(input(report), shared.now());
                }
                effects.serve(serving, &mut engine);
                // Whoever offered it may have given up waiting; it serves all the same.
                let _ = done.try_send(());
            }
            Some(ControlMessage::Alive(to)) => give(to, ()),
            Some(ControlMessage::Stop) => {
                effects.end(&mut engine);
                return;
            }
        }
    }
}

/// Takes in a report, and those that came meanwhile.
fn hear(
    engine: &mut Driven,
    report: Report,
    reports: &mut mpsc::UnboundedReceiver<Report>,
    now: Time,
) {
    let more = std::iter::from_fn(|| reports.try_recv().ok()).take(MOST_TOGETHER - 1);
    let facts = std::iter::once(report).chain(more).map(input).collect();
    tell(engine, facts, now);
}

/// Takes in what requests met, in parts: what was decided does not wait for the rest, and probes go on
/// meanwhile.
async fn count(
    engine: &mut Driven,
    shared: &Shared,
    effects: &mut Effects,
    batch: &[(EndpointId, Tally)],
) {
    for batch in batch.chunks(MOST_TOGETHER) {
        let facts = batch.iter().map(|(endpoint, tally)| Input::Traffic {
            endpoint: *endpoint,
            tally: *tally,
        });
        tell(engine, facts.collect(), shared.now());
        effects.apply(engine);
        tokio::task::yield_now().await;
    }
}

/// Tells what came together in as few words as may be: what follows is decided once. Addresses change
/// what the rest is about, so that they stand alone.
fn tell(engine: &mut Driven, facts: Vec<Input>, now: Time) {
    let mut together = Vec::new();
    for fact in facts {
        if matches!(fact, Input::Addresses { .. }) {
            tell_at_once(engine, std::mem::take(&mut together), now);
            engine.handle(fact, now);
        } else {
            together.push(fact);
        }
    }
    tell_at_once(engine, together, now);
}

fn tell_at_once(engine: &mut Driven, mut facts: Vec<Input>, now: Time) {
    match facts.len() {
        0 => {}
        1 => facts.drain(..).for_each(|fact| engine.handle(fact, now)),
        _ => engine.handle(Input::Together(facts), now),
    }
}

/// Answers; whoever asked may have given up.
fn give<T>(to: oneshot::Sender<T>, answer: T) {
    let _ = to.send(answer);
}

fn copied(engine: &Engine, shared: &Shared) -> Copied {
    Copied {
        engine: engine.clone(),
        serving: shared.snapshot.load().serving.clone(),
        now: shared.now(),
    }
}

fn input(report: Report) -> Input {
    match report {
        Report::Probe { endpoint, result } => Input::Probe { endpoint, result },
        Report::Addresses {
            backend,
            addresses,
            retained,
            expired,
        } => Input::Addresses {
            backend,
            addresses,
            retained,
            expired,
        },
    }
}

/// Sleeps until the engine or what is to be kept is due, and not past the moment of readiness while
/// that is to come.
async fn until(engine: &Engine, shared: &Shared, effects: &Effects) {
    let due = engine.next_deadline().since(shared.now());
    let due = due.min(effects.due_in());
    let due = if effects.is_ready() {
        due
    } else {
        due.min(Duration::from_millis(50))
    };
    tokio::time::sleep(due.min(Duration::from_secs(3600))).await;
}

/// A sender of reports for tasks on the control thread.
pub(crate) type Reports = Rc<mpsc::UnboundedSender<Report>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;
    use crate::reload::{Book, Reloads};
    use crate::snapshot::{Snapshot, endpoints};
    use crate::worker::local_runtime;
    use arc_swap::ArcSwap;
    use leeward_config::policy::Policy;
    use leeward_metrics::{BuildInfo, Metrics};
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU8;
    use std::time::Instant;

    const BUILD: BuildInfo = BuildInfo {
        version: "0",
        revision: "0",
        rustc: "0",
    };

    /// A policy with these backends in this order; none has an address of its own.
    fn policy(names: [&str; 2]) -> Policy {
        let backend = |name| {
            format!(
                "{{ url: http://{name}.test, site: aws/a, resolve: false, file_sd: none.json }}"
            )
        };
        let text = format!(
            "version: 1\nlisteners: {{ public: {{ bind: \"127.0.0.1:0\" }} }}\n\
             providers: {{ aws: {{ sites: [a] }} }}\n\
             pools: {{ web: {{ probe: {{ interval: 10m }}, backends: [{}, {}] }} }}\n",
            backend(names[0]),
            backend(names[1])
        );
        let loaded = leeward_config::parse("test.yaml", &text, Path::new("/nonexistent"));
        loaded.policy.expect("a good policy")
    }

    /// What all threads of a proxy that serves `policy` share, and the control task's inbox.
    fn share(policy: Policy, engine: &Engine) -> (Arc<Shared>, mpsc::Receiver<ControlMessage>) {
        let metrics = Metrics::new(&BUILD);
        let serving = Arc::new(Serving::new(policy, &[0], None, &metrics).expect("it can serve"));
        let table = engine.table().clone();
        let endpoints = Arc::new(endpoints(&serving, &table, &Vec::new(), &metrics));
        let (control, inbox) = mpsc::channel(INBOX);
        let shared = Shared {
            snapshot: ArcSwap::from_pointee(Snapshot {
                serving,
                table,
                endpoints,
            }),
            metrics,
            control,
            phase: AtomicU8::default(),
            began: Instant::now(),
            peers: Vec::new(),
            reloads: Mutex::new(Reloads::taken(0.0, &Book::default())),
            access_log: crate::access_log::new().0,
        };
        (Arc::new(shared), inbox)
    }

    /// The ids of a report are those of the policy by which its task was started. One that waits
    /// while another policy comes must not be taken for one about another backend.
    #[test]
    fn what_was_reported_before_another_policy_counts_under_the_policy_before() {
        let first = policy(["one", "two"]);
        let build = BuildInfo {
            version: "0",
            revision: "0",
            rustc: "0",
        };
        let (mut engine, _) = Driven::new(1, "0", None, Metrics::new(&build));
        engine.handle(Input::Policy(Box::new(first.engine.clone())), Time::ZERO);
        let (shared, inbox) = share(first, &engine);
        let before = shared.snapshot.load_full();
        let second = policy(["two", "one"]);
        let second = Serving::new(second, &[0], Some(&before.serving), &shared.metrics);
        let address: SocketAddr = "127.0.0.1:81".parse().expect("an address");
        local_runtime().expect("a runtime").block_on(async {
            let (reports, received) = mpsc::unbounded_channel();
            let reports = Rc::new(reports);
            let journal = Arc::new(Journal::going_on_from(Vec::new()));
            let effects = Effects::new(
                &engine,
                shared.clone(),
                journal,
                Arc::default(),
                reports.clone(),
                None,
            );
            let report = Report::Addresses {
                backend: BackendId::from(0),
                addresses: vec![address],
                retained: Vec::new(),
                expired: false,
            };
            assert!(reports.send(report).is_ok());
            let (done, taken) = std::sync::mpsc::sync_channel(1);
            let serving = Arc::new(second.expect("it can serve"));
            let control = &shared.control;
            assert!(
                control
                    .try_send(ControlMessage::Serve { serving, done })
                    .is_ok()
            );
            assert!(control.try_send(ControlMessage::Stop).is_ok());
            run(engine, shared.clone(), effects, inbox, received).await;
            assert_eq!(taken.try_recv(), Ok(()));
        });
        let after = shared.snapshot.load_full();
        let known: Vec<_> = after.table.endpoints.iter().flatten().collect();
        assert_eq!(known.len(), 1);
        let backend = &after.serving.policy.engine.backends[known[0].backend.index()];
        assert_eq!(
            (backend.name.as_str(), known[0].address),
            ("http://one.test", address)
        );
    }
}
