//! What leeward itself runs out of when it opens a connection to a backend.
//!
//! Owns this family and its words. Workers count for requests; the control thread for probes.

use crate::Metrics;
use crate::cells::Counter;
use crate::family::{Family, counter};

pub(crate) static SHORTAGES: Family = counter(
    "leeward_local_shortages_total",
    &["purpose", "reason"],
    "Connections to backends that were not opened because leeward itself had run out of something. \
     Nothing is held against the backend.",
);

/// The values of `purpose`.
pub(crate) const PURPOSES: [&str; 2] = ["request", "probe"];

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// File descriptors, of the process or of the machine.
    FileDescriptors,
    /// Local ports towards that address.
    Ports,
    /// Memory of the kernel.
    Memory,
}

impl Shortage {
    /// Everything that may run out.
    pub const ALL: [Shortage; 3] = [Shortage::FileDescriptors, Shortage::Ports, Shortage::Memory];

    /// The word in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Shortage::FileDescriptors => "file_descriptors",
            Shortage::Ports => "ports",
            Shortage::Memory => "memory",
        }
    }

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Shortage::FileDescriptors => {
                "No file descriptor is left: raise `LimitNOFILE` or `ulimit -n`, or `fs.file-max`."
            }
            Shortage::Ports => {
                "No local port is left towards that address: widen `net.ipv4.ip_local_port_range`."
            }
            Shortage::Memory => "The kernel has no memory for another socket.",
        }
    }
}

/// What workers count of it.
#[derive(Clone, Copy, Debug)]
pub struct ShortageSlots {
    requests: [Counter; Shortage::ALL.len()],
}

impl ShortageSlots {
    /// Connections that were wanted for a request and could not be opened for want of this.
    pub const fn requests(&self, of: Shortage) -> Counter {
        self.requests[of as usize]
    }
}

impl Metrics {
    /// The handles of what leeward runs out of; what is shown of it begins at 0 with this.
    pub fn shortages(&self) -> ShortageSlots {
        let registry = &mut self.lock().registry;
        let mut of_purpose =
            |purpose| Shortage::ALL.map(|of| registry.counter(&SHORTAGES, &[purpose, of.as_str()]));
        let [requests, _] = PURPOSES.map(&mut of_purpose);
        ShortageSlots { requests }
    }

    /// A probe was due and could not be made for want of this.
    pub fn probe_not_made(&self, of: Shortage) {
        let state = &mut *self.lock();
        let labels = [PURPOSES[1], of.as_str()];
        let counter = state.registry.counter(&SHORTAGES, &labels);
        state.sheet.add(counter.0, 1);
    }
}
