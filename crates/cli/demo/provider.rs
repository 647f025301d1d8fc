//! A small exchange on one provider: a ticker, orders, a stream; and the record of what it did.
//!
//! The record outlives the provider's death, like a ledger outlives a machine.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

/// Between two ticks of a stream.
const TICK: Duration = Duration::from_millis(100);

/// One provider, alive or dead.
pub(crate) struct Provider {
    name: &'static str,
    address: SocketAddr,
    record: Arc<Record>,
    alive: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// What a provider did, ever.
#[derive(Default)]
pub(crate) struct Record {
    /// Executions by order id.
    orders: Mutex<HashMap<u64, u32>>,
    served: AtomicU64,
}

impl Record {
    /// Requests answered.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Executions by order id.
    pub(crate) fn orders(&self) -> HashMap<u64, u32> {
        self.orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn execute(&self, id: u64) {
        *self
            .orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(id)
            .or_default() += 1;
    }
}

impl Provider {
    /// Starts on a port of loopback that the system chooses.
    pub(crate) fn start(name: &'static str) -> io::Result<Self> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        let mut provider = Self {
            name,
            address,
            record: Arc::default(),
            alive: None,
        };
        provider.live(socket)?;
        Ok(provider)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Dies at once: the port is closed, every connection with it.
    pub(crate) fn kill(&mut self) {
        if let Some((stop, thread)) = self.alive.take() {
            // A provider that has ended by itself is as dead as it can be.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Comes back on the same port.
    pub(crate) fn revive(&mut self) -> io::Result<()> {
        self.live(TcpListener::bind(self.address)?)
    }

    fn live(&mut self, socket: TcpListener) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let record = self.record.clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(format!("demo-{}", self.name))
            .spawn(move || {
                runtime.block_on(async move {
                    tokio::select! {
                        () = serve(socket, record) => {}
                        _ = stopped => {}
                    }
                });
                // The runtime goes here, and every connection with it.
            })?;
        self.alive = Some((stop, thread));
        Ok(())
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn serve(socket: TcpListener, record: Arc<Record>) {
    let Ok(socket) = tokio::net::TcpListener::from_std(socket) else {
        return;
    };
    loop {
        let Ok((stream, _)) = socket.accept().await else {
            continue;
        };
        // Without it the demo works too, only slower.
        let _ = stream.set_nodelay(true);
        let record = record.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, record.clone()));
            let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A connection that breaks is what the demo is about.
            let _ = http.with_upgrades().await;
        });
    }
}

async fn answer(
    mut request: Request<Incoming>,
    record: Arc<Record>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => (StatusCode::OK, "ok"),
        (&Method::GET, "/ticker") => {
            record.served.fetch_add(1, Ordering::Relaxed);
            (StatusCode::OK, r#"{"symbol":"BTC-USD","price":"64250.10"}"#)
        }
        (&Method::GET, "/stream") => return Ok(stream(&mut request)),
        (&Method::POST, "/order") => {
            record.served.fetch_add(1, Ordering::Relaxed);
            let body = request.body_mut().collect().await;
            let id = body
                .ok()
                .and_then(|b| std::str::from_utf8(&b.to_bytes()).ok()?.parse().ok());
            match id {
                Some(id) => {
                    record.execute(id);
                    (StatusCode::CREATED, r#"{"status":"filled"}"#)
                }
                None => (StatusCode::BAD_REQUEST, "an order is a number"),
            }
        }
        _ => (StatusCode::NOT_FOUND, "no such thing"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    Ok(response)
}

/// Switches to a protocol of one line a tick.
fn stream(request: &mut Request<Incoming>) -> Response<Full<Bytes>> {
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut stream = TokioIo::new(upgraded);
        while stream.write_all(b"tick\n").await.is_ok() {
            tokio::time::sleep(TICK).await;
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(
        hyper::header::CONNECTION,
        hyper::header::HeaderValue::from_static("upgrade"),
    );
    headers.insert(
        hyper::header::UPGRADE,
        hyper::header::HeaderValue::from_static("ticks"),
    );
    response
}
