//! All of leeward's I/O. What it decides is decided in `leeward_failover`; what it serves is
//! written in a policy that `leeward_config` has compiled.
//!
//! ```text
//! life of a request       listener -> tls -> client_io, framing -> serve -> handler -> route -> job
//!                         -> attempt -> upstream -> connect -> upstream_io -> classify -> relay
//! life of an observation  probe, tally, dns -> control -> (engine) -> effects -> snapshot
//! ```
//!
//! `app` puts it together, `worker` is a data thread, `admin` what people and Prometheus see.

mod admin;
mod app;
mod attempt;
mod body;
mod classify;
mod client_io;
mod connect;
mod control;
mod dns;
mod drain;
mod effects;
mod error;
mod exchange;
mod framing;
mod handler;
mod headers;
mod job;
mod journal;
mod listener;
mod path_info;
mod probe;
mod relay;
mod respond;
pub mod route;
mod serve;
mod snapshot;
mod tally;
mod tls;
mod tunnel;
mod upstream;
mod upstream_io;
mod worker;

pub use app::{Running, start};
pub use drain::Phase;
pub use error::StartError;
