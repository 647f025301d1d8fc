//! A client of HTTP/2 that keeps the rules, by the `h2` crate: one connection, many requests.

use crate::support::certs::Ca;
use crate::support::wait::SOON;
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A connection to leeward.
pub(crate) struct H2Client {
    sender: SendRequest<Bytes>,
    driven: JoinHandle<Result<(), h2::Error>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    /// How the body was cut, if it was.
    pub(crate) cut: Option<Reason>,
}

impl Got {
    /// A stream that ended before its head.
    fn cut_at_once(error: &h2::Error) -> Self {
        Self {
            status: 0,
            fields: HeaderMap::new(),
            body: Vec::new(),
            trailers: None,
            cut: Some(error.reason().unwrap_or(Reason::INTERNAL_ERROR)),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.status == 200 && self.cut.is_none()
    }

    /// What leeward says of a request that failed.
    pub(crate) fn outcome(&self) -> Option<&str> {
        self.fields
            .get("leeward-outcome")
            .map(|value| value.to_str().unwrap())
    }
}

impl H2Client {
    /// Connects in plain, by prior knowledge.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::with_window(address, 1 << 20).await
    }

    /// The same with windows of this size.
    pub(crate) async fn with_window(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream, window).await
    }

    /// Connects over TLS; the protocol that was agreed to must be HTTP/2.
    pub(crate) async fn connect_tls(address: SocketAddr, name: &str, ca: &Ca) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let connector = ca.connector_for(&["h2", "http/1.1"]);
        let stream = connector.connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Self::over(stream, 1 << 20).await
    }

    async fn over<S>(stream: S, window: u32) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(window.max(65_535))
            .handshake(stream)
            .await
            .unwrap();
        Self {
            sender,
            driven: tokio::spawn(connection),
        }
    }

    /// Opens a stream; the rest of the request goes by what comes back.
    pub(crate) async fn open(
        &mut self,
        request: Request<()>,
        ends: bool,
    ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let mut sender = self.sender.clone().ready().await.expect("a stream");
        sender.send_request(request, ends).expect("a stream")
    }

    /// Sends a request with its body and reads the whole answer.
    pub(crate) async fn ask(
        &mut self,
        request: Request<()>,
        body: &[u8],
        trailers: Option<HeaderMap>,
    ) -> Got {
        let bare = body.is_empty() && trailers.is_none();
        let (answer, mut stream) = self.open(request, bare).await;
        let send = async {
            if bare {
                return;
            }
            send_all(&mut stream, body, trailers.is_none()).await;
            if let Some(trailers) = trailers {
                stream.send_trailers(trailers).ok();
            }
        };
        let read = async {
            match answer.await {
                Ok(response) => read(response).await,
                Err(error) => Got::cut_at_once(&error),
            }
        };
        let both = async { tokio::join!(send, read).1 };
        let limited = tokio::time::timeout(SOON * 3, both).await;
        limited.expect("an answer in time")
    }

    /// Asks for a target and nothing else.
    pub(crate) async fn get(&mut self, target: &str) -> Got {
        self.ask(get(target), b"", None).await
    }

    /// Sends an order with this id.
    pub(crate) async fn order(&mut self, target: &str, id: &str) -> Got {
        let request = Request::post(url(target)).body(()).unwrap();
        let body = format!("{{\"id\":\"{id}\"}}");
        self.ask(request, body.as_bytes(), None).await
    }

    /// Another handle of the same connection.
    pub(crate) fn again(&self) -> SendRequest<Bytes> {
        self.sender.clone()
    }

    /// Waits for the end of the connection: well, or by an error.
    pub(crate) async fn ended(self, within: Duration) -> Result<(), h2::Error> {
        let Self { sender, driven } = self;
        // Held until the end: a client that lets go of it ends the connection itself.
        let ended = tokio::time::timeout(within, driven).await;
        drop(sender);
        ended.expect("the end of the connection").unwrap()
    }
}

/// Sends all of it as the window opens.
pub(crate) async fn send_all(stream: &mut h2::SendStream<Bytes>, body: &[u8], ends: bool) {
    let mut left = Bytes::copy_from_slice(body);
    while !left.is_empty() {
        stream.reserve_capacity(left.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(Ok(room)) = room else {
            return;
        };
        let part = left.split_to(room.min(left.len()));
        let last = ends && left.is_empty();
        if stream.send_data(part, last).is_err() {
            return;
        }
    }
    if ends && body.is_empty() {
        stream.send_data(Bytes::new(), true).ok();
    }
}

/// Reads all of an answer.
pub(crate) async fn read(response: Response<RecvStream>) -> Got {
    let (head, mut stream) = response.into_parts();
    let mut got = Got {
        status: head.status.as_u16(),
        fields: head.headers,
        body: Vec::new(),
        trailers: None,
        cut: None,
    };
    while let Some(piece) = stream.data().await {
        match piece {
            Ok(piece) => {
                stream.flow_control().release_capacity(piece.len()).ok();
                got.body.extend_from_slice(&piece);
            }
            Err(error) => {
                got.cut = Some(error.reason().unwrap_or(Reason::INTERNAL_ERROR));
                return got;
            }
        }
    }
    match stream.trailers().await {
        Ok(trailers) => got.trailers = trailers,
        Err(error) => got.cut = Some(error.reason().unwrap_or(Reason::INTERNAL_ERROR)),
    }
    got
}

/// The URL of a target.
pub(crate) fn url(target: &str) -> String {
    format!("https://api.example{target}")
}

/// A GET of a target.
pub(crate) fn get(target: &str) -> Request<()> {
    Request::get(url(target)).body(()).unwrap()
}
