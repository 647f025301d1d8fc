//! Where the lines of the access log go: a file, standard output, a unix socket.
//!
//! A socket is a stream: a line may be of any length, and whoever reads it can be slow for a while
//! without a loss. A datagram socket would lose what does not fit.

use leeward_config::policy::LogTarget;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A reader that takes nothing for longer is as good as gone.
const SOCKET_STALL: Duration = Duration::from_secs(1);
/// Who may read a file that is made: its owner and group. It says who the clients are.
const MODE: u32 = 0o640;

/// Where lines go, open.
pub(super) enum Sink {
    File(File),
    Socket(UnixStream),
}

impl Sink {
    pub(super) fn open(target: &LogTarget) -> io::Result<Self> {
        match target {
            LogTarget::File(path) => {
                let mut options = OpenOptions::new();
                let file = options.append(true).create(true).mode(MODE).open(path)?;
                Ok(Sink::File(file))
            }
            LogTarget::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned()?;
                Ok(Sink::File(File::from(stdout)))
            }
            LogTarget::Unix(path) => {
                let socket = UnixStream::connect(path)?;
                socket.set_write_timeout(Some(SOCKET_STALL))?;
                Ok(Sink::Socket(socket))
            }
        }
    }

    /// Writes what goes in at once.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::File(file) => file.write(bytes),
            Sink::Socket(socket) => socket.write(bytes),
        }
    }

    /// Whether the same sink may take the rest of a line after this: a full disk gets room again.
    pub(super) fn survives(&self, error: &io::Error) -> bool {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::WouldBlock
        );
        full && matches!(self, Sink::File(_))
    }
}

/// In words, for the log.
pub(super) fn named(target: &LogTarget) -> String {
    match target {
        LogTarget::File(path) => path.display().to_string(),
        LogTarget::Stdout => "stdout".to_owned(),
        LogTarget::Unix(path) => format!("unix:{}", path.display()),
    }
}
