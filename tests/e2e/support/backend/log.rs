//! What a backend remembers. Facts only, written by [`super::serve`], read by tests.

use crate::support::wire::{Body, End, Head};
use std::collections::BTreeSet;

/// A request, or as much of one as arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Its head; only `raw` is filled when the connection ended inside it.
    pub(crate) head: Head,
    /// Its body, as far as it came.
    pub(crate) body: Body,
    /// Whether all of it came.
    pub(crate) whole: bool,
    /// On which connection, counted from 1.
    pub(crate) connection: usize,
}

/// How a peer ended a connection on which an answer was due or everything was sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerEnd {
    /// In order.
    Fin,
    /// By a reset.
    Rst,
}

/// All that a backend remembers.
#[derive(Default)]
pub(crate) struct Log {
    pub(super) requests: Vec<Seen>,
    /// Heads that came, probes apart.
    pub(super) heads: usize,
    pub(super) executed: Vec<String>,
    pub(super) used_connections: BTreeSet<usize>,
    pub(super) probes: Vec<Head>,
    pub(super) streamed: u64,
    pub(super) peer_ends: Vec<PeerEnd>,
}

impl Seen {
    /// The id of an order: `X-Order-Id`, or `id` of a JSON body.
    pub(crate) fn order_id(&self) -> Option<String> {
        if let Some(id) = self.head.get("x-order-id") {
            return Some(id.to_owned());
        }
        let value: serde_json::Value = serde_json::from_slice(&self.body.bytes).ok()?;
        value.get("id")?.as_str().map(str::to_owned)
    }

    /// What arrived before the connection ended inside the head.
    pub(super) fn part_of_head(raw: Vec<u8>, connection: usize) -> Self {
        let body = Body {
            end: End::Cut,
            ..Body::default()
        };
        Self {
            head: Head {
                raw,
                ..Head::default()
            },
            body,
            whole: false,
            connection,
        }
    }
}
