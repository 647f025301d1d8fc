//! What requests meet at endpoints, and those that find no room at any, counted on the worker and
//! sent to the control task in batches.
//!
//! A success can wait for the next batch; a failure goes at once, since a failover waits for it.
//! When the control task is behind, counts gather here: nothing is lost and nothing grows.

use crate::control::ControlMessage;
use crate::exchange::Head;
use leeward_failover::{EndpointId, Outcome, Tally};
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

/// Longest time that a success waits.
const BATCH: Duration = Duration::from_millis(50);

/// Counts of one worker that the control task has not seen yet.
#[derive(Default)]
pub(crate) struct Tallies {
    /// By `EndpointId`; those in `touched` are not empty.
    by_endpoint: RefCell<Vec<Tally>>,
    touched: RefCell<Vec<EndpointId>>,
    urgent: Cell<bool>,
    waiting: Notify,
}

impl Tallies {
    /// Counts one attempt; of an order or a cancel `client` is whose it was, by its affinity key.
    pub(crate) fn note(
        &self,
        endpoint: EndpointId,
        outcome: Outcome,
        Head { latency, late }: Head,
        client: Option<u64>,
    ) {
        self.change(endpoint, |tally| {
            tally.add(outcome, latency);
            if late {
                tally.add_late();
            }
            if let Some(client) = client {
                tally.add_order(outcome, client, late);
            }
        });
        if outcome.is_failure() {
            self.hurry();
        }
    }

    /// Counts a request that was shed, at the first endpoint that was full for it.
    pub(crate) fn shed(&self, endpoint: EndpointId) {
        self.change(endpoint, Tally::add_shed);
    }

    fn change(&self, endpoint: EndpointId, add: impl FnOnce(&mut Tally)) {
        let mut by_endpoint = self.by_endpoint.borrow_mut();
        if by_endpoint.len() <= endpoint.index() {
            by_endpoint.resize_with(endpoint.index() + 1, Tally::default);
        }
        let tally = &mut by_endpoint[endpoint.index()];
        let first = tally.is_empty();
        add(tally);
        if first {
            let mut touched = self.touched.borrow_mut();
            touched.push(endpoint);
            if touched.len() == 1 {
                self.waiting.notify_one();
            }
        }
    }

    /// What was counted does not wait for the batch to be full: it matters now.
    pub(crate) fn hurry(&self) {
        if !self.urgent.replace(true) {
            self.waiting.notify_one();
        }
    }

    /// Sends batches for as long as the worker lives.
    pub(crate) async fn send_batches(&self, control: Sender<ControlMessage>) {
        loop {
            self.waiting.notified().await;
            if !self.urgent.get() {
                // Ends early when a failure comes.
                let _ = tokio::time::timeout(BATCH, self.waiting.notified()).await;
            }
            let batch = self.take();
            if batch.is_empty() {
                continue;
            }
            if control.send(ControlMessage::Traffic(batch)).await.is_err() {
                return;
            }
        }
    }

    fn take(&self) -> Vec<(EndpointId, Tally)> {
        self.urgent.set(false);
        let mut by_endpoint = self.by_endpoint.borrow_mut();
        self.touched
            .borrow_mut()
            .drain(..)
            .map(|endpoint| (endpoint, std::mem::take(&mut by_endpoint[endpoint.index()])))
            .collect()
    }
}
