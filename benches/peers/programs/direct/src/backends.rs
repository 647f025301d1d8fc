//! The backends: which of them are well, their kept-alive connections, one try of a request.

use crate::Failure;
use http::{Request, Response};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const EVERY: Duration = Duration::from_secs(1);
const CHECK: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

thread_local! {
    /// Connections that no request uses, by backend. There is one thread.
    static IDLE: RefCell<Vec<Vec<SendRequest<Incoming>>>> = const { RefCell::new(Vec::new()) };
}

/// Two tiers of two.
pub(crate) struct Backends {
    all: Vec<(SocketAddr, AtomicBool)>,
    turn: AtomicUsize,
}

impl Backends {
    pub(crate) fn new(addresses: &[String]) -> Result<Self, Failure> {
        let parsed = addresses
            .iter()
            .map(|address| Ok((address.parse()?, AtomicBool::new(true))));
        let all = parsed.collect::<Result<Vec<_>, Failure>>()?;
        if all.len() != 4 {
            return Err("four backends are needed".into());
        }
        IDLE.with_borrow_mut(|idle| idle.resize_with(all.len(), Vec::new));
        Ok(Self {
            all,
            turn: AtomicUsize::new(0),
        })
    }

    /// Asks every backend each second whether it is well.
    pub(crate) fn watch(self: &Arc<Self>) {
        for place in 0..self.all.len() {
            let backends = Arc::clone(self);
            tokio::spawn(async move {
                loop {
                    let (address, well) = &backends.all[place];
                    let found = tokio::time::timeout(EVERY, check(*address)).await;
                    well.store(matches!(found, Ok(Ok(true))), Relaxed);
                    tokio::time::sleep(EVERY).await;
                }
            });
        }
    }

    /// One try, at a backend of the first tier that has one.
    pub(crate) async fn send(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Relayed>, Failure> {
        let place = self.choose().ok_or("no backend")?;
        let mut sender = self.connection(place).await?;
        let response = sender.send_request(request).await?;
        Ok(response.map(|body| Relayed::new(body, place, sender)))
    }

    fn choose(&self) -> Option<usize> {
        let turn = self.turn.fetch_add(1, Relaxed);
        let mut order = [0, 2]
            .into_iter()
            .flat_map(|tier| [tier + turn % 2, tier + (turn + 1) % 2]);
        order.find(|place| self.all[*place].1.load(Relaxed))
    }

    async fn connection(&self, place: usize) -> Result<SendRequest<Incoming>, Failure> {
        while let Some(mut sender) = IDLE.with_borrow_mut(|idle| idle[place].pop()) {
            if !sender.is_closed() && sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = tokio::time::timeout(EVERY, TcpStream::connect(self.all[place].0)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) = Builder::new().handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

async fn check(address: SocketAddr) -> Result<bool, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(CHECK).await?;
    let mut head = [0; 256];
    let read = stream.read(&mut head).await?;
    Ok(head[..read].starts_with(b"HTTP/1.1 200"))
}

/// The body of an answer. At its end the connection is idle.
pub(crate) struct Relayed {
    body: Incoming,
    from: Option<(usize, SendRequest<Incoming>)>,
}

impl Relayed {
    fn new(body: Incoming, place: usize, sender: SendRequest<Incoming>) -> Self {
        let mut relayed = Self {
            body,
            from: Some((place, sender)),
        };
        relayed.give_back_at_the_end();
        relayed
    }

    fn give_back_at_the_end(&mut self) {
        if self.body.is_end_stream()
            && let Some((place, sender)) = self.from.take()
        {
            IDLE.with_borrow_mut(|idle| idle[place].push(sender));
        }
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if !matches!(polled, Poll::Pending | Poll::Ready(Some(Err(_)))) {
            self.give_back_at_the_end();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
