//! The least of an HTTP client: one connection, one request at a time.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// A client with a connection, or without one yet.
pub(crate) struct Client {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            sender: None,
        }
    }

    /// Sends a request; `None` when the connection broke.
    pub(crate) async fn send(&mut self, method: &str, path: &str, body: String) -> Option<Answer> {
        let sent = self.try_send(method, path, body).await;
        if sent.is_none() {
            self.sender = None;
        }
        sent
    }

    async fn try_send(&mut self, method: &str, path: &str, body: String) -> Option<Answer> {
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => connect(self.address).await?,
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "demo.leeward.example")
            .body(Full::new(Bytes::from(body)))
            .ok()?;
        sender.ready().await.ok()?;
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        self.sender = Some(sender);
        Some(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

async fn connect(address: SocketAddr) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(async move {
        // How it ended shows in the request that it carried.
        let _ = connection.await;
    });
    Some(sender)
}
