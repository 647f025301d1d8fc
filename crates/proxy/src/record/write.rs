//! Writes the record to its file, on a thread of its own.
//!
//! What an earlier process recorded is kept once, beside it. The file has a bound; where it is
//! reached, where the disk fails or is too slow, the record ends and its last line says why: one with
//! a hole would not replay.

use super::{Line, json};
use leeward_config::policy::Record;
use leeward_metrics::Metrics;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};

/// Room that is kept for the last line.
const LAST_LINE: u64 = 64;

/// What it takes to write a record.
pub(crate) struct Writer {
    record: Record,
    head: String,
    lines: Receiver<Arc<Line>>,
    torn: Arc<AtomicBool>,
}

/// Why a record ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped,
    Full,
    Slow,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            End::Stopped => "stopped",
            End::Full => "full",
            End::Slow => "slow",
        }
    }
}

impl Writer {
    pub(super) fn new(
        record: Record,
        head: String,
        lines: Receiver<Arc<Line>>,
        torn: Arc<AtomicBool>,
    ) -> Self {
        Self {
            record,
            head,
            lines,
            torn,
        }
    }

    /// Makes the file. What is there already is kept beside it, in the place of what was there.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn open(&self) -> io::Result<File> {
        let mut before = self.record.path.clone().into_os_string();
        before.push(".1");
        match std::fs::rename(&self.record.path, PathBuf::from(before)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::create(&self.record.path)
    }

    /// Writes until nothing more comes. Blocks: for a thread of its own.
    pub(crate) fn run(self, file: File, metrics: &Metrics) {
        let path = self.record.path.display().to_string();
        let mut file = BufWriter::new(file);
        match self.write(&mut file, metrics) {
            Ok(End::Stopped) => {}
            Ok(end) => tracing::warn!(path, because = end.as_str(), "the record has ended"),
            Err(error) => {
                metrics.record_written(false, 1);
                tracing::error!(path, %error, "the record cannot be written and has ended");
            }
        }
    }

    fn write(&self, file: &mut impl Write, metrics: &Metrics) -> io::Result<End> {
        file.write_all(self.head.as_bytes())?;
        let mut written = self.head.len() as u64;
        let mut uncounted = 0;
        let end = loop {
            let line = match self.lines.try_recv() {
                Ok(line) => line,
                Err(TryRecvError::Empty) => {
                    file.flush()?;
                    metrics.record_written(true, std::mem::take(&mut uncounted));
                    match self.lines.recv() {
                        Ok(line) => line,
                        Err(_) => break self.why(),
                    }
                }
                Err(TryRecvError::Disconnected) => break self.why(),
            };
            let line = json(&*line);
            written += line.len() as u64;
            if written + LAST_LINE > self.record.size {
                break End::Full;
            }
            file.write_all(line.as_bytes())?;
            uncounted += 1;
        };
        let last = json(&json!({ "end": end.as_str() }));
        file.write_all(last.as_bytes())?;
        file.flush()?;
        metrics.record_written(true, uncounted);
        Ok(end)
    }

    fn why(&self) -> End {
        if self.torn.load(Ordering::Relaxed) {
            End::Slow
        } else {
            End::Stopped
        }
    }
}
