//! Whether the threads that traffic needs are alive: each is asked, and has to answer from its loop.
//!
//! Owns the question, not what follows from a silence. Taken by whoever keeps a supervisor informed.

use crate::control::ControlMessage;
use crate::drain::Phase;
use crate::worker::{Shared, WorkerMessage};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Asks the threads of a running proxy for a sign of life.
#[derive(Clone)]
pub struct Pulse {
    shared: Arc<Shared>,
}

/// A thread that did not answer in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The thread's name.
    pub thread: String,
}

impl Pulse {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: shared.clone(),
        }
    }

    /// Asks the control thread and every worker, each of which has to answer within `patience`.
    /// Workers that have ended because the proxy drains need not.
    ///
    /// # Errors
    /// The first thread that is silent.
    pub async fn take(&self, patience: Duration) -> Result<(), Silence> {
        let until = Instant::now() + patience;
        let draining = || self.shared.phase() == Phase::Draining;
        let control = ask(&self.shared.control, ControlMessage::Alive);
        if !matches!(timeout_at(until, control).await, Ok(Some(()))) {
            return Err(Silence {
                thread: "leeward-control".to_owned(),
            });
        }
        for (index, peer) in self.shared.peers.iter().enumerate() {
            let worker = ask(&peer.inbox, WorkerMessage::Alive);
            match timeout_at(until, worker).await {
                Ok(Some(())) => {}
                Ok(None) if draining() => {}
                _ => {
                    return Err(Silence {
                        thread: format!("leeward-data-{index}"),
                    });
                }
            }
        }
        Ok(())
    }
}

/// `None` when the thread has ended.
async fn ask<T>(
    inbox: &mpsc::Sender<T>,
    message: impl FnOnce(oneshot::Sender<()>) -> T,
) -> Option<()> {
    let (ask, answer) = oneshot::channel();
    inbox.send(message(ask)).await.ok()?;
    answer.await.ok()
}
