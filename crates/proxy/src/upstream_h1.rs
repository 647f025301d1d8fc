//! One connection to a backend that speaks HTTP/1.1: hyper's own, on a task of its own.
//!
//! Owns the task, and what leeward holds of it: the count of bytes, the names of fields, the stream
//! itself once the backend has switched protocols. Which one is lent to whom is `upstream`'s.

use crate::body::RequestBody;
use crate::casing::{Cased, Casing};
use crate::connect::ConnectError;
use crate::framing::Names;
use crate::upstream::Open;
use crate::upstream_io::{UpstreamStream, Wire};
use bytes::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// hyper's handle of a connection and leeward's own.
pub(crate) struct Connection {
    sender: http1::SendRequest<RequestBody>,
    wire: Rc<Wire>,
    casing: Rc<Casing>,
    task: AbortHandle,
    upgrade: Rc<Cell<Option<oneshot::Sender<Upgraded>>>>,
}

/// The stream under a connection that switched protocols, and what came behind the 101.
pub(crate) struct Upgraded {
    pub(crate) stream: UpstreamStream,
    pub(crate) wire: Rc<Wire>,
    pub(crate) read_ahead: Bytes,
}

impl Connection {
    /// Speaks HTTP/1.1 over a stream. `open` lives as long as the connection does.
    pub(crate) async fn make(
        stream: UpstreamStream,
        wire: Rc<Wire>,
        open: Open,
    ) -> Result<Self, ConnectError> {
        let (stream, casing) = Cased::new(stream);
        let made = http1::Builder::new()
            .handshake::<_, RequestBody>(TokioIo::new(stream))
            .await;
        let (sender, mut http) = made.map_err(|error| ConnectError {
            step: crate::error::Step::Connect,
            timed_out: false,
            detail: error.to_string(),
        })?;
        let upgrade: Rc<Cell<Option<oneshot::Sender<Upgraded>>>> = Rc::default();
        let task = tokio::task::spawn_local({
            let (upgrade, wire) = (upgrade.clone(), wire.clone());
            async move {
                let _open = open;
                let ended = poll_fn(|cx| http.poll_without_shutdown(cx)).await;
                if let (Ok(()), Some(taker)) = (ended, upgrade.take()) {
                    let parts = http.into_parts();
                    let stream = parts.io.into_inner().into_inner();
                    let read_ahead = parts.read_buf;
                    // A taker that is gone leaves nobody to talk to.
                    let _ = taker.send(Upgraded {
                        stream,
                        wire,
                        read_ahead,
                    });
                }
            }
        });
        Ok(Self {
            sender,
            wire,
            casing,
            task: task.abort_handle(),
            upgrade,
        })
    }

    /// Whether it takes a request now.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether it comes to take a request: not when the backend has closed it.
    pub(crate) async fn becomes_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Whether it takes no more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(crate) fn wire(&self) -> &Rc<Wire> {
        &self.wire
    }

    /// Sends `request`; the future is hyper's own answer to it.
    pub(crate) fn send(
        &mut self,
        request: http::Request<RequestBody>,
        names: Option<Rc<Names>>,
    ) -> impl Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>> + use<> {
        self.casing.give(names);
        self.casing.expect();
        self.sender.send_request(request)
    }

    /// The names of the fields of the answer that came, as they were written.
    pub(crate) fn names(&self) -> Option<Rc<Names>> {
        self.casing.take()
    }

    /// Who gets the stream itself once the backend has switched protocols.
    pub(crate) fn on_upgrade(&self, taker: oneshot::Sender<Upgraded>) {
        self.upgrade.set(Some(taker));
    }

    /// Ends it by reset.
    pub(crate) fn give_up(self) {
        self.wire.reset();
        self.task.abort();
    }
}
