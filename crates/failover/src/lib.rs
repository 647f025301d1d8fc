//! leeward's pure engine.
//!
//! It is told facts ([`Input`]) and the time, and says what to do ([`Output`]). It has no clock, no
//! socket, no task, no lock, no log and no dice of its own: the same inputs at the same times give
//! the same decisions, so every incident replays.
//!
//! ```text
//! engine.handle(input, now)      take a fact in
//! engine.next_deadline()         when to call handle(Input::Wake, now) at the latest
//! engine.poll_output()           what to do now, until None
//! ```
//!
//! The data path reads what the engine decided through [`select`], and asks [`retry`] whether a
//! failed attempt may go elsewhere; [`limit`] says how much a site may be given.
//!
//! What another policy would lead to, `foresee` says; what a policy asks of itself, `guards`.
//!
//! An observation's way through the files:
//!
//! ```text
//! engine      takes it in ── reload (a policy, addresses), operator (a word), or
//! endpoint    judges one address by its facts: probes, traffic, window, silence
//! order_path  judges its orders apart, where its reads succeed; orders applies it
//! infer       from endpoints to sites to providers, whose way back is in place, hold and failback
//! pool        decides who serves: trust (whom to believe), spread and fill (who carries how much
//!             of the demand),
//!             writer (who takes orders), detour (who takes them for now)
//! leaving     says what becomes of what runs where nothing new goes
//! journal     numbers what changed; the table goes out when it is another one
//! ```
//!
//! `schedule` and `timers` know when the next thing is due, `fleet` holds what is known, `topology`
//! builds it, `status` shows it, `prospect` says what a word would lead to,
//! `rehearse` what a place that falls silent would, `memory` and `recall` carry it over a restart, and `invariants` states what must always hold.

#[cfg_attr(not(feature = "injected-bugs"), doc(hidden))]
pub mod bugs;
mod class;
mod demand;
mod detour;
mod endpoint;
mod engine;
mod facts;
mod failback;
mod fill;
mod fleet;
mod foresee;
mod guards;
mod held;
mod hold;
mod id;
mod infer;
mod input;
#[cfg(debug_assertions)]
mod invariants;
mod journal;
mod leaving;
pub mod limit;
mod listing;
mod memory;
mod operator;
mod order_blocks;
mod order_path;
mod order_tally;
mod order_window;
mod orders;
mod output;
mod place;
mod policy;
mod pool;
mod prospect;
mod reads;
mod recall;
mod rehearse;
mod reload;
pub mod retry;
mod rng;
mod schedule;
pub mod select;
mod silence;
mod spread;
mod status;
mod table;
mod time;
mod timers;
mod topology;
mod trust;
mod verdict;
mod window;
mod writer;

pub use class::{Class, Repeat};
pub use engine::Engine;
pub use foresee::stands_for_a_name;
pub use guards::{Breach, Guard, Guards};
pub use hold::HoldMemory;
pub use id::{BackendId, EndpointId, PoolId, ProviderId, RouteId, SiteId};
pub use input::{Input, OperatorWord, Outcome, Overdue, ProbeFailure, ProbeResult, Tally, Target};
pub use memory::{
    BackendMemory, EndpointMemory, HeldMemory, Memory, PlaceMemory, PoolMemory, WordMemory,
};
pub use operator::WordLeft;
pub use order_tally::OrderTally;
pub use output::{
    CapacityStatus, Change, EndpointStatus, Event, OrderPathStatus, Output, PlaceStatus,
    PoolStatus, Status, Subject, SubjectKind,
};
pub use policy::{
    Backend, Failback, FailoverParams, HealthParams, Mover, OrderParams, Policy, Pool, ProbeParams,
    Provider, ProviderKind, RetryParams, Site, Suspicion, TierSite, Writer,
};
pub use prospect::{Objection, ObjectionKind, PoolProspect, Prospect, Stand};
pub use rehearse::Rehearsal;
pub use table::{EndpointInfo, Lane, LaneEndpoint, Leaving, PoolTable, Table};
pub use time::Time;
pub use verdict::{Cause, Verdict};
