//! A seeded world on a virtual clock that drives leeward's engine through incidents.
//!
//! ```text
//! plan      what a world is made of ── random (from a seed), scenario (from a file)
//! world     the clock and the loop ── queue (what comes next), dice (all chance)
//! fault     what goes wrong ── server (what an exchange meets because of it)
//! control   drives the engine as the proxy's control task does
//! traffic   clients and workers ── admit (room), attempt (one try at one server), ledger (what
//!           really happened)
//! shadow    what has to hold, restated without the engine's code
//! timeline  what is written down for people
//! ```
//!
//! No sleeping, no threads, no clock: the same plan gives the same run, down to the journal.

mod admit;
mod attempt;
mod control;
pub mod dice;
pub mod expect;
pub mod fault;
pub mod ledger;
pub mod plan;
mod queue;
pub mod random;
pub mod scenario;
pub mod server;
pub mod shadow;
pub mod sweep;
pub mod timeline;
mod traffic;
mod waiting;
pub mod world;

pub use plan::Plan;
pub use world::World;
