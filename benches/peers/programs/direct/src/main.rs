//! The least that a proxy on hyper is: `server::conn` towards clients, `client::conn::http1` towards
//! backends, one thread. Two tiers of two backends, a check of each every second, kept-alive
//! connections, X-Forwarded-For. No routes, no metrics, no time limits on requests, no retries.
//!
//!     direct PLAIN_PORT TLS_PORT CERTIFICATE KEY BACKEND BACKEND BACKEND BACKEND

mod backends;

use backends::{Backends, Relayed};
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever can go wrong; the client's connection ends.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [plain, tls, certificate, key, backends @ ..] = &arguments[..] else {
        return Err("PLAIN_PORT TLS_PORT CERTIFICATE KEY BACKEND BACKEND BACKEND BACKEND".into());
    };
    let backends = Arc::new(Backends::new(backends)?);
    let acceptor = acceptor(certificate, key)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        backends.watch();
        let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, plain.parse()?)).await?;
        let tls = TcpListener::bind((Ipv4Addr::LOCALHOST, tls.parse()?)).await?;
        loop {
            tokio::select! {
                accepted = plain.accept() => {
                    let (stream, client) = accepted?;
                    stream.set_nodelay(true)?;
                    tokio::spawn(serve(stream, false, client, Arc::clone(&backends)));
                }
                accepted = tls.accept() => {
                    let (stream, client) = accepted?;
                    stream.set_nodelay(true)?;
                    tokio::spawn(serve_tls(acceptor.clone(), stream, client, Arc::clone(&backends)));
                }
            }
        }
    })
}

fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor, Failure> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve_tls(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    client: SocketAddr,
    backends: Arc<Backends>,
) {
    if let Ok(stream) = acceptor.accept(stream).await {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        serve(stream, http2, client, backends).await;
    }
}

/// Serves one connection; how it ends is the client's affair.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
    client: SocketAddr,
    backends: Arc<Backends>,
) {
    let service = service_fn(move |request| forward(request, client, Arc::clone(&backends)));
    let stream = TokioIo::new(stream);
    let _ = if http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .serve_connection(stream, service)
            .await
    } else {
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(stream, service)
            .await
    };
}

/// Makes the request one for a backend, and the answer one for the client.
async fn forward(
    mut request: Request<Incoming>,
    client: SocketAddr,
    backends: Arc<Backends>,
) -> Result<Response<Relayed>, Failure> {
    if let (false, Some(host)) = (
        request.headers().contains_key(HOST),
        request.uri().authority(),
    ) {
        let host = HeaderValue::from_str(host.as_str())?;
        request.headers_mut().insert(HOST, host);
    }
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = target
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
        .into();
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().remove(CONNECTION);
    let client = HeaderValue::from_str(&client.ip().to_string())?;
    request.headers_mut().append(FORWARDED_FOR, client);
    let mut response = backends.send(request).await?;
    response.headers_mut().remove(CONNECTION);
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}
