//! What the engine decides. The shell applies it: swaps, starts, counts, logs.

use crate::id::EndpointId;
use crate::table::Table;
use crate::time::Time;
use crate::verdict::{Cause, Verdict};
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// One thing for the shell to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Probe this endpoint now; the answer comes back as [`crate::Input::Probe`].
    Probe(EndpointId),
    /// Publish this table.
    Table(Arc<Table>),
    /// Write this to the journal.
    Event(Event),
}

/// A decision and its evidence: one line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Position in the journal, from 1, without gaps.
    pub seq: u64,
    /// When, on the engine's clock.
    pub at: Time,
    /// What it is about.
    pub subject: Subject,
    /// What it was before and is now.
    #[serde(flatten)]
    pub change: Change,
    /// Why.
    pub cause: Cause,
    /// The facts that it rests on, in the order in which they are best read.
    #[serde(serialize_with = "as_map")]
    pub evidence: Vec<(&'static str, String)>,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Subject {
    /// What kind of thing.
    pub kind: SubjectKind,
    /// `aws`, `aws/us-east-1`, `trading`, or for an endpoint
    /// `trading aws/us-east-1 https://api.example:8443 192.0.2.7:8443`.
    pub name: String,
}

/// What kind of thing an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// One address of a backend.
    Endpoint,
    /// A site, over all pools.
    Site,
    /// A provider, over all pools.
    Provider,
    /// A pool: its active tier, writer or panic.
    Pool,
    /// The policy as a whole.
    Policy,
}

impl SubjectKind {
    /// Every kind.
    pub const ALL: [SubjectKind; 5] = [
        SubjectKind::Endpoint,
        SubjectKind::Site,
        SubjectKind::Provider,
        SubjectKind::Pool,
        SubjectKind::Policy,
    ];

    /// The word in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            SubjectKind::Endpoint => "endpoint",
            SubjectKind::Site => "site",
            SubjectKind::Provider => "provider",
            SubjectKind::Pool => "pool",
            SubjectKind::Policy => "policy",
        }
    }
}

/// What changed, from what to what.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A verdict.
    Verdict {
        /// What it was.
        from: Verdict,
        /// What it is.
        to: Verdict,
    },
    /// The operator's word.
    Operator {
        /// What it was.
        from: crate::OperatorWord,
        /// What it is.
        to: crate::OperatorWord,
    },
    /// The tier that carries most of a pool's reads, counted from 1.
    Tier {
        /// What it was.
        from: usize,
        /// What it is.
        to: usize,
    },
    /// The provider that takes a pool's orders.
    Writer {
        /// Its name before.
        from: String,
        /// Its name now.
        to: String,
    },
    /// The provider that takes a pool's orders for now, while the writer's is silent or gray. Back
    /// at the writer, both ends of a detour are the same.
    Detour {
        /// Who took them before.
        from: String,
        /// Who takes them now.
        to: String,
    },
    /// The verdict on an endpoint's order path: whether orders succeed there while reads do.
    OrderPath {
        /// What it was.
        from: Verdict,
        /// What it is.
        to: Verdict,
    },
    /// Whether orders fail at a pool's writer while reads succeed, and nobody else takes them who has
    /// proved itself, or the policy leaves the writer to an operator.
    OrdersHeld {
        /// Whether they do now.
        on: bool,
    },
    /// Whether a pool distrusts its detector (P4).
    Panic {
        /// Whether it does now.
        on: bool,
    },
    /// The endpoints that are known.
    Endpoints {
        /// How many were added.
        added: usize,
        /// How many were removed.
        removed: usize,
    },
}

fn as_map<S: Serializer>(
    facts: &[(&'static str, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(facts.iter().map(|(name, value)| (name, value)))
}

/// All that the engine knows, for people. Built on request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// When it was built, on the engine's clock.
    pub at: Time,
    /// One entry a provider, in the policy's order.
    pub providers: Vec<PlaceStatus>,
    /// One entry a site, in the policy's order.
    pub sites: Vec<PlaceStatus>,
    /// One entry a pool, in the policy's order.
    pub pools: Vec<PoolStatus>,
}

/// What is held of a provider or a site.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlaceStatus {
    /// `aws` or `aws/us-east-1`.
    pub name: String,
    /// What is held of it.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// The facts that the verdict rests on.
    #[serde(serialize_with = "as_map")]
    pub evidence: Vec<(&'static str, String)>,
    /// Since when, on the engine's clock.
    pub since: Time,
    /// The operator's word.
    pub operator: crate::OperatorWord,
    /// When that word lapses, in milliseconds from now.
    pub operator_lapses_in_ms: Option<u64>,
    /// The reason that came with it.
    pub operator_reason: String,
    /// What is left of the hold-down, in milliseconds.
    pub hold_down_left_ms: Option<u64>,
    /// What is left of the ramp, in milliseconds.
    pub ramp_left_ms: Option<u64>,
    /// Share of its normal load that the ramp lets it have, 0 to 1.
    pub ramp_at: Option<f64>,
    /// Endpoints that are down.
    pub endpoints_down: usize,
    /// All its endpoints.
    pub endpoints: usize,
}

/// What is held of a pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolStatus {
    /// As in the policy.
    pub name: String,
    /// Whether it distrusts its detector (P4).
    pub panic: bool,
    /// The tier that carries most of its reads, counted from 1.
    pub active_tier: usize,
    /// The provider that takes its orders; absent when reads and orders go alike.
    pub writer: Option<String>,
    /// Whether orders fail at the writer while reads succeed, and nobody else takes them who has proved
    /// itself, or the policy leaves the writer to an operator.
    pub orders_held: bool,
    /// Share of first attempts of reads by site, 0 to 1, in tier order.
    pub shares: Vec<(String, f64)>,
    /// Requests per second that its load is spread by; absent where nothing declares a capacity.
    pub demand: Option<f64>,
    /// What its sites declare that they carry, and what bounds them, in tier order. Sites that nothing
    /// bounds are left out.
    pub capacity: Vec<CapacityStatus>,
    /// Its endpoints, by site.
    pub endpoints: Vec<EndpointStatus>,
}

/// What bounds a site of a pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CapacityStatus {
    /// `aws/us-east-1`.
    pub site: String,
    /// Requests per second that it can carry now, where that is declared.
    pub rate: Option<f64>,
    /// Whether so much is expected there that the rate is enforced request by request.
    pub tight: bool,
    /// Share of the pool's first attempts of reads that it gets at most, 0 to 1: by the `max_share`
    /// of its provider or by its ramp.
    pub most: f64,
}

/// What is held of an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointStatus {
    /// Its id, as in recorded inputs.
    pub id: EndpointId,
    /// The backend's URL.
    pub backend: String,
    /// The site that it stands in.
    pub site: String,
    /// Its address.
    pub address: String,
    /// Whether the policy or the backend's name has this address now; one that is not listed any
    /// more is kept for a while, and serves where none of its backend's others does.
    pub listed: bool,
    /// What is held of it.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// The facts that the verdict rests on.
    #[serde(serialize_with = "as_map")]
    pub evidence: Vec<(&'static str, String)>,
    /// Since when, on the engine's clock.
    pub since: Time,
    /// The operator's word about this endpoint alone.
    pub operator: crate::OperatorWord,
    /// What becomes of work that is under way there, by its verdict, its site's and operators' words.
    pub leaving: crate::Leaving,
    /// What is left of the hold-down, in milliseconds.
    pub hold_down_left_ms: Option<u64>,
    /// Until the next probe, in milliseconds.
    pub next_probe_in_ms: u64,
    /// The last probe in words; empty before the first.
    pub last_probe: String,
    /// Outcomes of requests in the window: all, and those that failed.
    pub window: (u32, u32),
    /// Share of first attempts of its pool's reads, 0 to 1.
    pub share: f64,
    /// How its orders fare while its reads succeed.
    pub orders: OrderPathStatus,
}

/// What is held of an endpoint's order path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OrderPathStatus {
    /// `healthy`, `down` (orders go elsewhere while anything else takes them) or `recovering` (it has
    /// not proved itself since).
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// The facts that the verdict rests on.
    #[serde(serialize_with = "as_map")]
    pub evidence: Vec<(&'static str, String)>,
    /// Since when, on the engine's clock.
    pub since: Time,
    /// What is left of the hold-down, in milliseconds.
    pub hold_down_left_ms: Option<u64>,
    /// Orders and cancels in the window: all, and those that failed.
    pub window: (u32, u32),
}
