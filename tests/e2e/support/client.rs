//! A client that can say anything and reads exactly what comes back.
//!
//! Every wait has a limit: a proxy that stays silent fails the test instead of hanging it.

use super::certs::Ca;
use super::wait::SOON;
use super::wire::{Body, End, Framing, Head, Wire};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// A connection to leeward.
pub(crate) struct Client {
    wire: Wire,
}

/// An answer and all that came before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// Interim heads (1xx apart from 101), in order.
    pub(crate) interim: Vec<Head>,
    /// The final head.
    pub(crate) head: Head,
    /// Its body.
    pub(crate) body: Body,
}

impl Answer {
    /// The status.
    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        super::wire::text(&self.body.bytes)
    }

    /// What leeward says of an order that failed.
    pub(crate) fn outcome(&self) -> Option<&str> {
        self.head.get("leeward-outcome")
    }

    /// The name of the backend that answered.
    pub(crate) fn backend(&self) -> &str {
        self.head.get("x-backend").unwrap_or("leeward")
    }

    /// Whether it is a whole 200.
    pub(crate) fn is_ok(&self) -> bool {
        self.status() == 200 && self.body.end == End::Whole
    }
}

impl Client {
    /// Connects in plain.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self {
            wire: Wire::new(Box::new(tcp(address).await)),
        }
    }

    /// Connects in plain from an address of this machine, such as `127.0.0.2`.
    pub(crate) async fn connect_from(local: &str, address: SocketAddr) -> Self {
        let stream = tcp_from(local, address).await;
        Self {
            wire: Wire::new(Box::new(stream)),
        }
    }

    /// Connects from an address of this machine, says `first` in plain, then TLS as
    /// [`Client::connect_tls`] does.
    pub(crate) async fn connect_tls_behind(
        local: &str,
        address: SocketAddr,
        first: &[u8],
        name: &str,
        ca: &Ca,
    ) -> Self {
        let mut stream = tcp_from(local, address).await;
        let said = tokio::io::AsyncWriteExt::write_all(&mut stream, first);
        limited("leeward to read", said).await.expect("to send");
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let handshake = ca.connector().connect(name, stream);
        let stream = limited("a TLS handshake", handshake).await;
        Self {
            wire: Wire::new(Box::new(stream.expect("a TLS handshake"))),
        }
    }

    /// Connects with TLS, asks for `name` and requires a certificate of `ca` for it.
    pub(crate) async fn connect_tls(address: SocketAddr, name: &str, ca: &Ca) -> Self {
        Self::try_connect_tls(address, name, ca)
            .await
            .expect("a TLS handshake")
    }

    /// The same, with what went wrong.
    pub(crate) async fn try_connect_tls(
        address: SocketAddr,
        name: &str,
        ca: &Ca,
    ) -> io::Result<Self> {
        Self::shake(tcp(address).await, name, ca).await
    }

    /// The same on a connection that stands. What it has to say first is sent when it is first polled.
    pub(crate) async fn shake(stream: TcpStream, name: &str, ca: &Ca) -> io::Result<Self> {
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let handshake = ca.connector().connect(name, stream);
        let stream = limited("a TLS handshake", handshake).await?;
        Ok(Self {
            wire: Wire::new(Box::new(stream)),
        })
    }

    /// Sends exactly this.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        limited("leeward to read", self.wire.send(bytes.as_ref()))
            .await
            .expect("to send");
    }

    /// Sends exactly this, as far as leeward takes it.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        limited("leeward to read", self.wire.send(bytes.as_ref()))
            .await
            .ok();
    }

    /// Reads the next head, interim ones among them; `None` when the connection ends instead.
    pub(crate) async fn head(&mut self) -> Option<Head> {
        limited("a head", self.wire.head()).await.ok()
    }

    /// Reads the answer to a request with this method; `None` when the connection ends instead.
    pub(crate) async fn try_answer(&mut self, method: &str) -> Option<Answer> {
        let mut interim = Vec::new();
        loop {
            let head = self.head().await?;
            if (100..200).contains(&head.status()) && head.status() != 101 {
                interim.push(head);
                continue;
            }
            let body = limited("a body", self.wire.body(Framing::of_answer(&head, method))).await;
            return Some(Answer {
                interim,
                head,
                body,
            });
        }
    }

    /// Reads the answer to a request with this method.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        self.try_answer(method)
            .await
            .expect("an answer, not the end of the connection")
    }

    /// Sends a request of one piece and reads its answer.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        let request = request.as_ref();
        self.send(request).await;
        self.answer(&Head::parse(request).method()).await
    }

    /// Asks for a target with a field of Host and nothing else.
    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        self.ask(format!(
            "GET {target} HTTP/1.1\r\nHost: api.example\r\n\r\n"
        ))
        .await
    }

    /// Sends an order with this id to a target.
    pub(crate) async fn order(&mut self, target: &str, id: &str) -> Answer {
        self.ask(order(target, id)).await
    }

    /// Some bytes; none at the end of the connection, whichever way it ends.
    pub(crate) async fn some(&mut self) -> Vec<u8> {
        limited("bytes", self.wire.some()).await.unwrap_or_default()
    }

    /// Waits for the end of the connection; `false` when bytes come instead.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.some().await.is_empty()
    }

    /// Says FIN and reads on.
    pub(crate) async fn finish(&mut self) {
        self.wire.finish().await.ok();
    }

    /// Ends the connection with RST.
    pub(crate) fn reset(self) {
        self.wire.reset();
    }

    /// The connection without limits, for tests that stall on purpose.
    pub(crate) fn into_wire(self) -> Wire {
        self.wire
    }
}

/// A POST with an order's id in the field and in the body.
pub(crate) fn order(target: &str, id: &str) -> String {
    let body = format!("{{\"id\":\"{id}\",\"side\":\"buy\",\"price\":\"97000.01\"}}");
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: api.example\r\nX-Order-Id: {id}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// A connection on which nothing has been said.
pub(crate) async fn tcp(address: SocketAddr) -> TcpStream {
    let stream = limited("a connection", TcpStream::connect(address))
        .await
        .expect("a connection");
    stream.set_nodelay(true).unwrap();
    stream
}

async fn tcp_from(local: &str, address: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket
        .bind((local.parse::<std::net::Ipv4Addr>().unwrap(), 0).into())
        .unwrap();
    let stream = limited("a connection", socket.connect(address)).await;
    let stream = stream.expect("a connection");
    stream.set_nodelay(true).unwrap();
    stream
}

async fn limited<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(SOON * 2, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited too long for {what}"),
    }
}
