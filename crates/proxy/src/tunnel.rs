//! Connections that have switched protocols: raw bytes both ways, after the backend's 101 only.
//!
//! Ends when either side ends, or when its endpoint is left or drained (`leaving`). When the backend's side breaks or
//! is left, the client's is reset, so that a stream that died is never left silent.

mod meter;

use crate::access_log::{Flag, Side};
use crate::leaving;
use crate::relay::Settle;
use crate::serve::{ClientConn, ClientStream};
use crate::upstream_h1::Upgraded;
use crate::worker::Worker;
use leeward_metrics::RequestOutcome;
use meter::{Meter, Tally};
use std::io;
use std::rc::Rc;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::sync::oneshot;

/// A connection that is about to become a tunnel.
pub(crate) struct Tunnel {
    pub(crate) stream: oneshot::Receiver<Upgraded>,
    pub(crate) settle: Settle,
}

impl Tunnel {
    /// Carries bytes until either side ends. `sent` is what the client has sent behind its request.
    pub(crate) async fn run<S: ClientStream>(
        self,
        worker: &Rc<Worker>,
        conn: &ClientConn,
        mut client: S,
        sent: &[&[u8]],
    ) {
        let Tunnel { stream, settle } = self;
        let Ok(upgraded) = stream.await else {
            // The backend's connection ended with its 101.
            let _ = client.socket().set_zero_linger();
            let exchange = settle.into_exchange();
            exchange.log(|account| account.flag(Flag::BackendCut));
            exchange.end(RequestOutcome::Truncated);
            return;
        };
        let upstream = settle.lease.upstream().clone();
        let exchange = settle.into_exchange();
        conn.set_in_flight(false);
        let stop = worker.stop_signal();
        let window = exchange.drain_window(&upstream);
        let must_end = leaving::must_end(worker, &upstream.io, window, true);
        let wire = upgraded.wire.clone();
        let tally = Tally::default();
        let (carried, ended_by) = tokio::select! {
            carried = carry(&mut client, upgraded, sent, &tally) => (carried, tally.ended_by()),
            why = must_end => {
                exchange.count_ended(&upstream, why);
                wire.reset();
                (Err(io::ErrorKind::ConnectionAborted.into()), Side::Leeward)
            }
            () = stop => (Err(io::ErrorKind::ConnectionAborted.into()), Side::Leeward),
        };
        if carried.is_err() {
            let _ = client.socket().set_zero_linger();
        }
        exchange.log(|account| account.carried(tally.received(), tally.sent(), ended_by));
        exchange.end(RequestOutcome::Informational);
    }
}

async fn carry<S: ClientStream>(
    client: &mut S,
    upgraded: Upgraded,
    sent: &[&[u8]],
    tally: &Tally,
) -> io::Result<()> {
    let Upgraded {
        mut stream,
        wire,
        read_ahead,
    } = upgraded;
    let mut client = Meter::new(client, tally);
    client.write_all(&read_ahead).await?;
    for bytes in sent {
        tally.receive(bytes.len());
        stream.write_all(bytes).await?;
    }
    let carried = copy_bidirectional(&mut client, &mut stream).await;
    if carried.is_err() {
        wire.reset();
    }
    carried.map(|_| ())
}
