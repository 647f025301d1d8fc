//! The driver of the engine: the one writer of the snapshot.
//!
//! Takes facts in, asks the engine for its deadline, applies what it decides (`effects`). It never
//! judges, and the data path never waits for it (P9).

use crate::effects::Effects;
use crate::operator::{self, Saying};
use crate::record::Driven;
use crate::serving::Serving;
use crate::worker::Shared;
use leeward_failover::{BackendId, EndpointId, Engine, Input, ProbeResult, Status, Tally};
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
    /// Somebody asks for everything that is known.
    Status(oneshot::Sender<Status>),
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
        if engine.probed_once() || shared.began.elapsed() >= READY_AT_LATEST {
            effects.ready();
        }
        let message = tokio::select! {
            biased;
            Some(message) = inbox.recv() => Some(message),
            Some(report) = reports.recv() => {
                engine.handle(input(report), shared.now());
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
                let now = shared.now();
                for (endpoint, tally) in batch {
                    engine.handle(Input::Traffic { endpoint, tally }, now);
                }
            }
            Some(ControlMessage::Status(answer)) => {
                // Whoever asked may have given up.
                let _ = answer.send(engine.status(shared.now()));
            }
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
            Some(ControlMessage::Alive(answer)) => {
                // Whoever asked may have given up.
                let _ = answer.send(());
            }
            Some(ControlMessage::Stop) => {
                effects.end(&mut engine);
                return;
            }
        }
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
