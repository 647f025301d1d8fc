//! What the kernel knows of the path under one connection (`TCP_INFO`, tcp(7)).
//!
//! On a connection whose request is overdue it tells a dead path from a slow server: bytes that
//! nobody acknowledged and that are being sent again.

use nix::sys::socket::sockopt::GetStruct;
use std::time::Duration;
use tokio::net::TcpStream;

/// The first 128 bytes of the kernel's `struct tcp_info`, which every kernel since 4.2 fills.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct TcpInfo {
    state: u8,
    ca_state: u8,
    retransmits: u8,
    probes: u8,
    backoff: u8,
    options: u8,
    window_scale: u8,
    flags: u8,
    rto: u32,
    ato: u32,
    snd_mss: u32,
    rcv_mss: u32,
    unacked: u32,
    unused: [u32; 10],
    rtt: u32,
    rest: [u32; 8],
    pacing_rate: u64,
    max_pacing_rate: u64,
    bytes_acked: u64,
}

#[derive(Clone, Copy)]
struct ReadTcpInfo;

nix::getsockopt_impl!(
    ReadTcpInfo,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    TcpInfo,
    GetStruct<TcpInfo>
);

/// What matters of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathInfo {
    /// Segments sent that nobody acknowledged.
    pub(crate) unacknowledged: u32,
    /// Times that the oldest of them was sent again in a row.
    pub(crate) retransmits: u8,
    /// Doublings of the retransmission timer.
    pub(crate) backoff: u8,
    /// Bytes that the peer's kernel acknowledged since the connection was begun, the SYN among them.
    pub(crate) acknowledged: u64,
    /// Smoothed round-trip time.
    pub(crate) rtt: Duration,
}

impl PathInfo {
    /// Whether what was sent does not arrive: it is being sent again, or the other side has no room
    /// and the kernel's questions for some go unanswered.
    pub(crate) fn is_dead(self) -> bool {
        self.unacknowledged > 0 && self.retransmits > 0 || self.backoff > 0
    }
}

/// Reads it; `None` where the system has no such thing.
pub(crate) fn path_info(socket: &TcpStream) -> Option<PathInfo> {
    let info = nix::sys::socket::getsockopt(socket, ReadTcpInfo).ok()?;
    Some(PathInfo {
        unacknowledged: info.unacked,
        retransmits: info.retransmits,
        backoff: info.backoff,
        acknowledged: info.bytes_acked,
        rtt: Duration::from_micros(u64::from(info.rtt)),
    })
}
