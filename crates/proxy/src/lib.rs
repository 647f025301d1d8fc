//! All of leeward's I/O. What it decides is decided in `leeward_failover`; what it serves is
//! written in a policy that `leeward_config` has compiled.
//!
//! ```text
//! life of a request       listener -> tls -> client_io, framing -> serve -> handler -> route -> job
//!                         -> admit -> attempt -> upstream -> connect -> upstream_io -> classify -> relay
//! life of an observation  probe, tally, dns -> control -> (engine) -> effects -> snapshot
//! over a restart          effects -> state_dir -> app -> (engine)
//! ```
//!
//! `app` puts it together, `worker` is a data thread, `admin` what people and Prometheus see.

mod access_log;
mod admin;
mod admit;
mod alarms;
mod app;
mod attempt;
mod body;
mod body_guard;
mod budgets;
mod casing;
mod certificate;
mod classify;
mod client_io;
mod concentration;
mod connect;
mod control;
mod detect;
mod distance;
mod dns;
mod drain;
mod effects;
mod error;
mod exchange;
pub mod explain;
mod forwarding;
mod framing;
mod gauges;
mod grpc;
mod handler;
mod headers;
mod job;
mod journal;
mod lag;
mod lease;
mod leaving;
mod listener;
mod operator;
mod path_info;
mod per_client;
mod probe;
mod proxy_protocol;
mod pulse;
mod race;
mod record;
mod relay;
mod reload;
mod reserve;
mod respond;
pub mod route;
mod serve;
mod serve_h2;
mod serving;
mod shortage;
mod signs;
mod snapshot;
mod state_dir;
mod tally;
mod tls;
mod tunnel;
mod turn;
mod turnstile;
mod upstream;
mod upstream_h1;
mod upstream_h2;
mod upstream_io;
mod usual;
mod waiting;
mod whole;
mod windows;
mod worker;

pub use app::{Running, start};
pub use drain::Phase;
pub use error::StartError;
pub use pulse::{Pulse, Silence};
pub use reload::Reloader;
