//! A backend that speaks HTTP/2 as it should, by hyper, and HTTP/1.1 over TLS where it is asked to.
//!
//! It answers by the words of the path and remembers what it was asked, by which version and on
//! which connection.

use crate::support::certs::{Leaf, acceptor_for};
use crate::support::wire::pattern;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) version: Version,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) authority: Option<String>,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    /// Which connection it came over.
    pub(crate) connection: usize,
}

/// A running one; it ends when this is dropped.
pub(crate) struct Site {
    asked: Arc<Mutex<Vec<Asked>>>,
    streamed: Arc<Mutex<u64>>,
    agrees_to: Arc<Mutex<Protocols>>,
    ended: watch::Sender<bool>,
    address: SocketAddr,
    tls: bool,
    thread: Option<JoinHandle<()>>,
}

/// Names of protocols (ALPN).
type Protocols = &'static [&'static str];

impl Site {
    /// A plain one: HTTP/2 alone, by prior knowledge.
    pub(crate) fn start() -> Self {
        Self::with(None, &[])
    }

    /// One with TLS that agrees to these protocols.
    pub(crate) fn start_tls(leaf: Leaf, protocols: Protocols) -> Self {
        Self::with(Some(leaf), protocols)
    }

    fn with(tls: Option<Leaf>, protocols: Protocols) -> Self {
        let agrees_to = Arc::new(Mutex::new(protocols));
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let streamed = Arc::<Mutex<u64>>::default();
        let (ended, mut end) = watch::channel(false);
        let (report, address) = mpsc::channel();
        let secure = tls.is_some();
        let site = (Arc::clone(&asked), Arc::clone(&streamed));
        let agreed = Arc::clone(&agrees_to);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = run(tls, agreed, &report, site) => {}
                    _ = end.changed() => {}
                }
            });
        });
        Self {
            asked,
            streamed,
            agrees_to,
            ended,
            address: address.recv().unwrap(),
            tls: secure,
            thread: Some(thread),
        }
    }

    /// An entry of a policy, with more keys.
    pub(crate) fn entry(&self, more: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}, {more}", self.address)
    }

    /// Agrees to these protocols on new connections from now on; those that stand go on.
    pub(crate) fn agree_to(&self, protocols: Protocols) {
        *self.agrees_to.lock().unwrap() = protocols;
    }

    /// What it was asked so far, probes apart.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        let real = asked.iter().filter(|a| a.target != "/healthz");
        real.cloned().collect()
    }

    /// The versions that probes came by.
    pub(crate) fn probed(&self) -> Vec<Version> {
        let asked = self.asked.lock().unwrap();
        let probes = asked.iter().filter(|a| a.target == "/healthz");
        probes.map(|probe| probe.version).collect()
    }

    /// The last request.
    pub(crate) fn last(&self) -> Asked {
        self.asked().pop().expect("a request at the site")
    }

    /// Bytes of `/stream` answers that were asked of it.
    pub(crate) fn streamed(&self) -> u64 {
        *self.streamed.lock().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.ended.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

type Shared = (Arc<Mutex<Vec<Asked>>>, Arc<Mutex<u64>>);

async fn run(
    tls: Option<Leaf>,
    agrees_to: Arc<Mutex<Protocols>>,
    report: &mpsc::Sender<SocketAddr>,
    site: Shared,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    report.send(listener.local_addr().unwrap()).unwrap();
    for connection in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).ok();
        let acceptor = tls.as_ref();
        let acceptor = acceptor.map(|leaf| acceptor_for(leaf, *agrees_to.lock().unwrap()));
        let site = site.clone();
        tokio::spawn(async move {
            let Some(acceptor) = acceptor else {
                return serve(stream, true, site, connection).await;
            };
            if let Ok(stream) = acceptor.accept(stream).await {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                serve(stream, http2, site, connection).await;
            }
        });
    }
}

async fn serve<S>(stream: S, http2: bool, site: Shared, connection: usize)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(site.clone(), connection, request));
    let io = TokioIo::new(stream);
    if http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(1000);
        builder.serve_connection(io, service).await.ok();
    } else {
        let builder = hyper::server::conn::http1::Builder::new();
        builder.serve_connection(io, service).await.ok();
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(
    site: Shared,
    connection: usize,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let collected = body.collect().await;
    let (body, trailers) = match collected {
        Ok(collected) => {
            let trailers = collected.trailers().cloned();
            (collected.to_bytes().to_vec(), trailers)
        }
        Err(_) => (Vec::new(), None),
    };
    let target = head.uri.path_and_query().map(ToString::to_string);
    let asked = Asked {
        version: head.version,
        target: target.unwrap_or_default(),
        authority: head.uri.authority().map(ToString::to_string),
        fields: head.headers,
        body,
        trailers,
        connection,
    };
    site.0.lock().unwrap().push(asked.clone());
    Ok(respond(&asked, site.1))
}

fn respond(asked: &Asked, streamed: Arc<Mutex<u64>>) -> Response<Body> {
    let path = asked.target.split('?').next().unwrap_or_default();
    let words: Vec<&str> = path.split('/').collect();
    let number = words.last().and_then(|word| word.parse().ok());
    if words.contains(&"bytes") {
        return Response::new(full(pattern(number.unwrap_or(0))));
    }
    if words.contains(&"status") {
        let mut response = Response::new(full(Vec::new()));
        *response.status_mut() = http::StatusCode::from_u16(number.unwrap_or(200) as u16).unwrap();
        return response;
    }
    if words.contains(&"stream") {
        return Response::new(BodyExt::boxed(Pieces {
            pieces: VecDeque::new(),
            repeat: number.unwrap_or(0),
            streamed: Some(streamed),
        }));
    }
    if words.contains(&"echo") {
        let data = Frame::data(Bytes::from(asked.body.clone()));
        let trailers = asked.trailers.clone().map(Frame::trailers);
        return Response::new(BodyExt::boxed(Pieces {
            pieces: std::iter::once(data).chain(trailers).collect(),
            repeat: 0,
            streamed: None,
        }));
    }
    Response::new(full(b"site\n".to_vec()))
}

fn full(bytes: Vec<u8>) -> Body {
    BodyExt::boxed(Full::new(Bytes::from(bytes)))
}

/// A body in pieces: those given, then so many of 64 KiB, made as they are asked for.
struct Pieces {
    pieces: VecDeque<Frame<Bytes>>,
    repeat: usize,
    streamed: Option<Arc<Mutex<u64>>>,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(piece)));
        }
        if self.repeat == 0 {
            return Poll::Ready(None);
        }
        self.repeat -= 1;
        let piece = pattern(64 * 1024);
        if let Some(streamed) = &self.streamed {
            *streamed.lock().unwrap() += piece.len() as u64;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(piece)))))
    }
}
