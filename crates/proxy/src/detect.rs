//! Which version of HTTP a plain connection begins with, on listeners that take HTTP/2 by prior
//! knowledge (RFC 9113 section 3.3).
//!
//! Owns the first bytes of a connection until they are known to be the preface of HTTP/2, or known
//! not to be: then HTTP/1 gets them, none more and none less. The first byte that differs decides,
//! so that an HTTP/1 client waits for nothing. Called by `listener`.

use crate::serve::{ClientStream, serve};
use crate::serve_h2::serve_h2;
use crate::worker::Worker;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What an HTTP/2 client begins with.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves `stream` in the version that it begins with.
pub(crate) async fn serve_detected<S: ClientStream>(
    worker: &Rc<Worker>,
    mut stream: S,
    peer: SocketAddr,
    listener: usize,
) {
    let limits = worker.snapshot().serving.policy.limits;
    let mut begun = Begun::default();
    // Until something comes it is an idle connection; then it has the time of a head.
    let first = timeout(limits.idle_timeout, begun.read(&mut stream)).await;
    if !matches!(first, Ok(Ok(true))) {
        return;
    }
    let rest = async {
        while begun.undecided() {
            if !matches!(begun.read(&mut stream).await, Ok(true)) {
                return;
            }
        }
    };
    // Whoever stops in the middle of a preface is told so by HTTP/1.
    let _ = timeout(limits.header_timeout, rest).await;
    let http2 = begun.bytes == *PREFACE;
    let stream = Begins { begun, stream };
    if http2 {
        Box::pin(serve_h2(worker, stream, peer, listener, false)).await;
    } else {
        Box::pin(serve(worker, stream, peer, listener, false)).await;
    }
}

/// The first bytes of a connection, as many as the preface has at most.
#[derive(Default)]
struct Begun {
    bytes: [u8; PREFACE.len()],
    len: usize,
    given: usize,
}

impl Begun {
    /// Reads what is there; `false` at the end of the connection.
    async fn read<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<bool> {
        let read = stream.read(&mut self.bytes[self.len..]).await?;
        self.len += read;
        Ok(read > 0)
    }

    /// Whether it is the beginning of the preface, and not all of it.
    fn undecided(&self) -> bool {
        self.len < PREFACE.len() && PREFACE.starts_with(&self.bytes[..self.len])
    }
}

/// A connection that gives its first bytes again.
struct Begins<S> {
    begun: Begun,
    stream: S,
}

impl<S: ClientStream> ClientStream for Begins<S> {
    fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Begins<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let begun = &mut self.begun;
        let held = &begun.bytes[begun.given..begun.len];
        if held.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let len = held.len().min(buf.remaining());
        buf.put_slice(&held[..len]);
        begun.given += len;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begins<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
