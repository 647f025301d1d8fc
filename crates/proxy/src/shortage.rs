//! What leeward itself lacks when it cannot open a connection to a backend: descriptors, ports, memory.
//!
//! Such a failure says nothing of the backend, so it changes no verdict; it is counted, and said in the
//! log with what helps. Owns which errors of the system are of this kind. `connect` asks that; `turn`
//! and `effects` report what came of it.

use leeward_metrics::{Cells, Metrics, Shortage, ShortageSlots};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The log says so often at most that something has run out, in seconds.
const WARN_EVERY: u64 = 1;

/// What had run out, where that is why there is no connection to `address`; `None` where the error
/// speaks of the backend or of the way there.
pub(crate) fn of(error: &io::Error, address: SocketAddr) -> Option<Shortage> {
    match error.raw_os_error()? {
        libc::EMFILE | libc::ENFILE => Some(Shortage::FileDescriptors),
        libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN => Some(Shortage::Memory),
        // Also said where this machine has no address at all to go there from: that is no shortage,
        // and lasts. Such a place cannot be reached from here.
        libc::EADDRNOTAVAIL if has_source(address) => Some(Shortage::Ports),
        _ => None,
    }
}

/// Whether this machine has an address from which packets could go there. Nothing is sent.
fn has_source(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any)
        .and_then(|socket| socket.connect(address))
        .is_ok()
}

/// Counts what runs out, and says so now and then.
pub(crate) struct Shortages {
    slots: ShortageSlots,
    began: Instant,
    /// When the log said it last, in seconds since `began` and one more; 0 for never.
    said: AtomicU64,
}

impl Shortages {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            slots: metrics.shortages(),
            began: Instant::now(),
            said: AtomicU64::new(0),
        }
    }

    /// A request found no connection to `address` for want of this.
    pub(crate) fn of_request(&self, cells: &Cells, short: Shortage, address: SocketAddr) {
        cells.inc(self.slots.requests(short));
        self.say(short, address);
    }

    /// A probe of `address` could not be made for want of this.
    pub(crate) fn of_probe(&self, metrics: &Metrics, short: Shortage, address: SocketAddr) {
        metrics.probe_not_made(short);
        self.say(short, address);
    }

    fn say(&self, short: Shortage, address: SocketAddr) {
        let now = self.began.elapsed().as_secs() + 1;
        let said = self.said.load(Ordering::Relaxed);
        if said != 0 && now < said + WARN_EVERY {
            return;
        }
        let set = Ordering::Relaxed;
        if self.said.compare_exchange(said, now, set, set).is_ok() {
            tracing::warn!(%address, "{}", words(short));
        }
    }
}

/// What happened, what it means and what helps.
const fn words(short: Shortage) -> &'static str {
    match short {
        Shortage::FileDescriptors => {
            "no file descriptor is left: backends cannot be reached or probed, and none is blamed for it; \
             raise the limit (ulimit -n, LimitNOFILE, fs.file-max)"
        }
        Shortage::Ports => {
            "no local port is left towards a backend, and it is not blamed for it; widen \
             net.ipv4.ip_local_port_range, or give the backend more addresses"
        }
        Shortage::Memory => {
            "the kernel has no memory for another connection to a backend, and it is not blamed for it"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(code: i32, address: &str) -> Option<Shortage> {
        let address = address.parse().expect("an address");
        of(&io::Error::from_raw_os_error(code), address)
    }

    #[test]
    fn what_the_system_lacks_is_told_apart_from_what_a_backend_does() {
        let here = "127.0.0.1:9";
        for (code, expected) in [
            (libc::EMFILE, Shortage::FileDescriptors),
            (libc::ENFILE, Shortage::FileDescriptors),
            (libc::ENOBUFS, Shortage::Memory),
            (libc::ENOMEM, Shortage::Memory),
            (libc::EAGAIN, Shortage::Memory),
            (libc::EADDRNOTAVAIL, Shortage::Ports),
        ] {
            assert_eq!(short(code, here), Some(expected), "{code}");
        }
        for code in [
            libc::ECONNREFUSED,
            libc::ECONNRESET,
            libc::ETIMEDOUT,
            libc::EHOSTUNREACH,
            libc::ENETUNREACH,
            libc::EPIPE,
            libc::EACCES,
        ] {
            assert_eq!(short(code, here), None, "{code}");
        }
        let other = io::Error::new(io::ErrorKind::AddrNotAvailable, "no code of the system");
        assert_eq!(of(&other, here.parse().expect("an address")), None);
    }

    #[test]
    fn an_address_that_nothing_here_can_reach_is_no_want_of_ports() {
        // A link-local address without its interface can be reached from nowhere.
        assert_eq!(short(libc::EADDRNOTAVAIL, "[fe80::1]:9"), None);
    }
}
