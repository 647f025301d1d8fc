//! Makes one upstream connection: address, TCP, TLS, within one time limit.
//!
//! Knows nothing of pools or requests. Used by `upstream` for traffic and by `probe` for probes, so
//! that both take the same path (SNI, certificates, socket options).

use crate::error::Step;
use crate::shortage;
use crate::upstream_io::{Counted, UpstreamStream, Wire};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What it takes to connect to an endpoint of one backend.
#[derive(Clone)]
pub(crate) struct ConnectSpec {
    /// TLS and the name to ask for; `None` for plain.
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Time for all of it.
    pub(crate) timeout: Duration,
}

impl ConnectSpec {
    /// Whether a connection made by one is as good as one made by the other.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some((config, name)), Some((other, other_name))) => {
                Arc::ptr_eq(config, other) && name == other_name
            }
            _ => false,
        };
        tls && self.timeout == other.timeout
    }
}

/// A connection that did not come about. Nothing of a request was sent.
#[derive(Clone, Debug)]
pub(crate) struct ConnectError {
    /// [`Step::Connect`], [`Step::Tls`], or [`Step::Short`] where leeward could not even begin.
    pub(crate) step: Step,
    /// Whether it was the time limit.
    pub(crate) timed_out: bool,
    /// In words.
    pub(crate) detail: String,
}

/// A connection, and what counts its bytes.
pub(crate) type Connected = (UpstreamStream, Rc<Wire>);

/// Connects to `address`.
pub(crate) async fn connect(
    address: SocketAddr,
    spec: &ConnectSpec,
) -> Result<Connected, ConnectError> {
    let mut step = Step::Connect;
    let connecting = async {
        let socket = TcpStream::connect(address).await?;
        set_options(&socket)?;
        let wire = Wire::new(socket);
        let plain = Counted(wire.clone());
        let Some((config, name)) = &spec.tls else {
            return Ok((UpstreamStream::Plain(plain), wire));
        };
        step = Step::Tls;
        let connector = TlsConnector::from(config.clone());
        let stream = connector.connect(name.clone(), plain).await?;
        Ok((UpstreamStream::Tls(Box::new(stream)), wire))
    };
    let result: Result<io::Result<_>, _> = tokio::time::timeout(spec.timeout, connecting).await;
    match result {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(error)) => Err(ConnectError {
            step: shortage::of(&error, address).map_or(step, Step::Short),
            timed_out: false,
            detail: error.to_string(),
        }),
        Err(_) => Err(ConnectError {
            step,
            timed_out: true,
            detail: format!("no connection within {:?}", spec.timeout),
        }),
    }
}

/// A backend that stops acknowledging is noticed by the kernel too: nothing stays unacknowledged
/// for longer than this.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

fn set_options(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = socket2::SockRef::from(socket);
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_tcp_keepalive(
        &socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(15))
            .with_interval(Duration::from_secs(5))
            .with_retries(3),
    )
}
