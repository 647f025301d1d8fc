//! Everything that leeward counts.
//!
//! Every family, label and help text stands in one file, `family.rs`, and no other crate knows the
//! `prometheus` crate. Three sides meet here:
//!
//! ```text
//! data worker     Cells: one sheet of numbers a worker; an increment is a load and a store
//! control thread  Metrics: resolves names to slots when a policy is loaded, sets verdicts and shares
//! admin thread    Metrics::render: adds the sheets up and writes the text
//! ```
//!
//! A worker never looks a label up, never takes a lock and never writes a cache line that another
//! worker writes. Series are made when a policy names them and start at 0, so that the first
//! failure shows in a rate.

mod access_log;
mod capacity;
mod cells;
mod clients;
mod concentration;
mod control;
mod expose;
mod family;
mod labels;
mod names;
mod numbers;
mod parts;
mod process;
mod reference;
mod registry;
mod series;
mod shortage;
mod slots;
#[cfg(test)]
mod tests;
mod totals;

pub use access_log::{AccessLogSlots, LineDropped};
pub use capacity::SiteSlots;
pub use cells::{Cells, Counter, Gauge, Histogram};
pub use clients::{ForwardingField, Http2Ended, Http2Error, ProxyHeader};
pub use concentration::{Concentration, ProviderPart};
pub use labels::{
    BuildInfo, ConnectionRefusal, EndpointLabels, RefusedReason, RequestOutcome, change_word,
};
pub use names::{AddressCounts, AddressRefusal, LookupResult};
pub use reference::reference;
pub use shortage::{Shortage, ShortageSlots};
pub use slots::{
    DownstreamSlots, EndpointSlots, ListenerSlots, PoolSlots, ProviderSlots, RefusedSlots,
    RouteSlots,
};

pub use totals::{AttemptTotals, LatencyTotals, Totals};

use control::State;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All metrics of one process. Clones are the same metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    state: Arc<Mutex<State>>,
}

impl Metrics {
    /// The metrics of a process that has just started. Everything that needs no policy is there,
    /// at 0.
    pub fn new(build: &BuildInfo) -> Metrics {
        Metrics::with_capacity(build, cells::CAPACITY)
    }

    /// As [`Metrics::new`], with room for `capacity` numbers a worker.
    fn with_capacity(build: &BuildInfo, capacity: u32) -> Metrics {
        Metrics {
            state: Arc::new(Mutex::new(State::new(build, capacity))),
        }
    }

    /// Registers one more data worker. To be called on the worker's own thread, once: the cells do
    /// not leave it, which is what makes one writer a sheet.
    pub fn worker(&self) -> Cells {
        let mut state = self.lock();
        state.workers = state.workers.saturating_add(1);
        state.registry.worker()
    }

    /// The text that `/metrics` answers with, in Prometheus' text format 0.0.4.
    pub fn render(&self) -> String {
        let mut readings = self.lock().readings();
        readings.extend(process::read());
        expose::encode(readings)
    }

    /// Locks the state. A thread that panicked while it held the lock left numbers that are at
    /// worst one update old, so the others go on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
