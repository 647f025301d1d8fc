//! An address at which nobody listens.

use std::net::SocketAddr;
use tokio::net::TcpSocket;

/// A port of the loopback address that refuses connections, and that nobody else gets, for as long as
/// this lives.
pub(crate) struct Nobody(TcpSocket);

impl Nobody {
    /// A free port.
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self(socket)
    }

    /// The address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Its URL for a policy.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}
