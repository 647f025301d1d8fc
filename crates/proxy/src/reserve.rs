//! One file descriptor kept back, so that a connection can be refused when there is no other.
//!
//! Without it the kernel would go on holding connections that nobody serves, and their clients
//! would wait for nothing. Called by `listener` when an accept finds no descriptor.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// The log says so often at most that descriptors have run out.
const WARN_EVERY: Duration = Duration::from_secs(1);

/// A descriptor that is good for nothing but to be given up.
#[derive(Debug)]
pub(crate) struct Reserve {
    held: RefCell<Option<File>>,
    warned: Cell<Option<Instant>>,
}

impl Reserve {
    /// Takes the descriptor; goes without when there is none.
    pub(crate) fn new() -> Self {
        Self {
            held: RefCell::new(spare().ok()),
            warned: Cell::new(None),
        }
    }

    /// Accepts one waiting connection and closes it at once. Whether that could be done; if not, the
    /// caller has to wait for descriptors.
    pub(crate) async fn refuse_one(&self, socket: &TcpListener) -> bool {
        if self.held.take().is_none() {
            // Lost to somebody else last time: perhaps there is one again.
            self.held.replace(spare().ok());
            return false;
        }
        let accepted = poll_fn(|cx| match socket.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
            Poll::Pending => Poll::Ready(None),
        });
        // Dropped before the descriptor is taken back: there is no other.
        let refused = accepted.await.is_some();
        self.held.replace(spare().ok());
        refused
    }

    /// Whether it is time to say again that descriptors have run out.
    pub(crate) fn may_warn(&self) -> bool {
        let now = Instant::now();
        let due = self
            .warned
            .get()
            .is_none_or(|last| now.duration_since(last) >= WARN_EVERY);
        if due {
            self.warned.set(Some(now));
        }
        due
    }
}

fn spare() -> io::Result<File> {
    File::open("/dev/null")
}
