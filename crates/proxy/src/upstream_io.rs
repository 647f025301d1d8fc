//! The bytes of one upstream connection, under leeward's own count.
//!
//! Owns the socket under hyper's client connection: counts what the kernel accepted (the proof for
//! P1: a request whose connection accepted no byte was not sent), remembers when the backend last
//! said something, reads `TCP_INFO`, and ends by reset when told to. Knows nothing of HTTP.
//! Made by `connect`, held by `upstream`.

use crate::path_info::{PathInfo, path_info};
use rustls::pki_types::CertificateDer;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What one upstream connection has done so far. Shared by hyper's side of it and by the attempts
/// that use it, all on one worker thread.
pub(crate) struct Wire {
    socket: RefCell<Option<TcpStream>>,
    written: Cell<u64>,
    read: Cell<u64>,
    last_read: Cell<Instant>,
    /// Nobody waits any more, but what the kernel knows of the path is wanted for a moment.
    lingers: Cell<bool>,
}

impl Wire {
    pub(crate) fn new(socket: TcpStream) -> Rc<Self> {
        Rc::new(Self {
            socket: RefCell::new(Some(socket)),
            written: Cell::new(0),
            read: Cell::new(0),
            last_read: Cell::new(Instant::now()),
            lingers: Cell::new(false),
        })
    }

    /// Bytes that the kernel accepted for sending, TLS records as such.
    pub(crate) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Bytes that came from the backend.
    pub(crate) fn read(&self) -> u64 {
        self.read.get()
    }

    /// When the backend last said something; when the connection was made, before that.
    pub(crate) fn last_read(&self) -> Instant {
        self.last_read.get()
    }

    /// What the kernel knows of the path; `None` once the connection was reset.
    pub(crate) fn path(&self) -> Option<PathInfo> {
        self.socket.borrow().as_ref().and_then(path_info)
    }

    /// Ends the connection now by a reset: no byte is accepted after this, and the kernel drops
    /// what it has not delivered yet. Doing it twice is harmless. One that lingers goes on until
    /// [`Self::end_lingering`].
    pub(crate) fn reset(&self) {
        if self.lingers.get() {
            return;
        }
        if let Some(socket) = self.socket.borrow_mut().take() {
            // Failing leaves an ordinary close, which is all that can still be had.
            let _ = socket.set_zero_linger();
        }
    }

    /// The request on it was answered elsewhere: its socket stays for a moment, to be asked for the
    /// path. Only for a connection of one request that may have been sent twice.
    pub(crate) fn linger(&self) {
        self.lingers.set(true);
    }

    /// Ends a connection that lingers, by a reset.
    pub(crate) fn end_lingering(&self) {
        self.lingers.set(false);
        self.reset();
    }

    /// Whether an idle connection is still open as far as the kernel knows: nothing to read, not
    /// even an end. One system call; asked before an order reuses a connection.
    pub(crate) fn quiet(&self) -> bool {
        let socket = self.socket.borrow();
        let Some(socket) = socket.as_ref() else {
            return false;
        };
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        match socket2::SockRef::from(socket).peek(&mut byte) {
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Whether bytes came that nobody has read.
    pub(crate) fn has_unread(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        let socket = self.socket.borrow();
        socket
            .as_ref()
            .is_some_and(|socket| matches!(socket2::SockRef::from(socket).peek(&mut byte), Ok(1..)))
    }

    fn with_socket<T>(
        &self,
        act: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.socket.borrow_mut().as_mut() {
            Some(socket) => act(Pin::new(socket)),
            None => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        }
    }
}

/// The counted socket, as TLS and hyper see it.
pub(crate) struct Counted(pub(crate) Rc<Wire>);

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = self.0.with_socket(|socket| socket.poll_read(cx, buf));
        let got = buf.filled().len() - before;
        if got > 0 {
            self.0.read.set(self.0.read.get() + got as u64);
            self.0.last_read.set(Instant::now());
        }
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.count(|socket| socket.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.count(|socket| socket.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with_socket(|socket| socket.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with_socket(|socket| socket.poll_shutdown(cx))
    }
}

impl Counted {
    fn count(
        &self,
        write: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let polled = self.0.with_socket(write);
        if let Poll::Ready(Ok(n)) = &polled {
            self.0.written.set(self.0.written.get() + *n as u64);
        }
        polled
    }
}

/// What HTTP to a backend runs over.
pub(crate) enum UpstreamStream {
    /// Plain TCP.
    Plain(Counted),
    /// TLS over it.
    Tls(Box<TlsStream<Counted>>),
}

impl UpstreamStream {
    /// Whether the backend agreed to HTTP/2 in the TLS handshake; `None` without TLS.
    pub(crate) fn agreed_to_http2(&self) -> Option<bool> {
        match self {
            UpstreamStream::Plain(_) => None,
            UpstreamStream::Tls(stream) => {
                Some(stream.get_ref().1.alpn_protocol() == Some(crate::tls::ALPN_H2))
            }
        }
    }

    /// The certificates that the backend showed, its own first; empty without TLS.
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        match self {
            UpstreamStream::Plain(_) => &[],
            UpstreamStream::Tls(stream) => {
                stream.get_ref().1.peer_certificates().unwrap_or_default()
            }
        }
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            UpstreamStream::Plain(stream) => stream.is_write_vectored(),
            UpstreamStream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (Counted, Rc<Wire>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(ours, listener.accept());
        let wire = Wire::new(ours.unwrap());
        (Counted(wire.clone()), wire, theirs.unwrap().0)
    }

    #[tokio::test]
    async fn bytes_count_once_the_kernel_has_them() {
        let (mut ours, wire, mut theirs) = pair().await;
        assert_eq!((wire.written(), wire.read()), (0, 0));
        ours.write_all(b"order").await.unwrap();
        assert_eq!(wire.written(), 5);
        let mut got = [0; 5];
        theirs.read_exact(&mut got).await.unwrap();
        theirs.write_all(b"ok").await.unwrap();
        ours.read_exact(&mut got[..2]).await.unwrap();
        assert_eq!(wire.read(), 2);
    }

    #[tokio::test]
    async fn after_a_reset_no_byte_is_accepted_and_the_peer_sees_it() {
        let (mut ours, wire, mut theirs) = pair().await;
        wire.reset();
        assert!(ours.write_all(b"order").await.is_err());
        assert_eq!(wire.written(), 0);
        let seen = theirs.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(seen.kind(), io::ErrorKind::ConnectionReset);
        wire.reset();
        assert_eq!(wire.path(), None);
    }

    #[tokio::test]
    async fn a_connection_is_quiet_until_its_peer_says_or_ends_something() {
        let (_ours, wire, mut theirs) = pair().await;
        assert!(wire.quiet());
        theirs.write_all(b"x").await.unwrap();
        while wire.quiet() {
            tokio::task::yield_now().await;
        }
        let (_ours, wire, theirs) = pair().await;
        drop(theirs);
        while wire.quiet() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_kernel_says_that_everything_was_acknowledged() {
        let (mut ours, wire, mut theirs) = pair().await;
        ours.write_all(b"order").await.unwrap();
        theirs.read_exact(&mut [0; 5]).await.unwrap();
        while wire.path().expect("TCP_INFO").unacknowledged > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(wire.path().map(|path| path.retransmits), Some(0));
    }
}
