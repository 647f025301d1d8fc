//! The thread that writes the access log: records become lines, lines go to the sink of the newest
//! policy.
//!
//! Lines that cannot be written are kept and tried again, while those behind them wait in the queue;
//! when that is full, workers drop. So a full disk or a socket that is gone loses nothing that fits,
//! and disturbs nobody. A failure is said once, and once that it is over.

use super::sink::{Sink, named};
use super::{Message, Told};
use crate::worker::Shared;
use leeward_config::policy::LogTarget;
use leeward_metrics::{LineDropped, Metrics};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Bytes that are written at once, a line more or less.
const BATCH: usize = 64 * 1024;
/// Batches that still go to a file that is left, where lines never stop coming.
const LAST_BATCHES: usize = 64;
/// How long a first line waits for others, so that not every request wakes this thread.
const PACE: Duration = Duration::from_millis(5);
/// Rest between two tries of what fails.
const RETRY: Duration = Duration::from_millis(500);
/// How often it looks whether it is told something while it fails.
const LOOK: Duration = Duration::from_millis(20);

/// What it takes to write the log.
pub(crate) struct Writer {
    records: Receiver<Message>,
    told: Arc<Told>,
    /// Where lines go by the newest policy.
    target: Option<LogTarget>,
    sink: Option<Sink>,
    /// Something was written to `sink`.
    proven: bool,
    /// Lines, each with its end.
    lines: Vec<u8>,
    /// How many bytes of them are written.
    written: usize,
    retry_at: Option<Instant>,
}

impl Writer {
    pub(super) fn new(records: Receiver<Message>, told: Arc<Told>) -> Self {
        Self {
            records,
            told,
            target: None,
            sink: None,
            proven: false,
            lines: Vec::new(),
            written: 0,
            retry_at: None,
        }
    }

    /// Writes until it is told to end. Blocks: for a thread of its own.
    pub(crate) fn run(mut self, shared: &Shared) {
        let metrics = &shared.metrics;
        loop {
            self.follow(shared);
            let ending = self.told.end.load(Ordering::Relaxed);
            if self.target.is_none() {
                self.lines.clear();
            } else if self
                .retry_at
                .is_none_or(|at| ending || at <= Instant::now())
            {
                self.try_write(metrics);
            }
            let hopeless = self.retry_at.is_some_and(|at| at > Instant::now());
            if ending && (hopeless || (self.retry_at.is_none() && !self.collect())) {
                return self.give_up(metrics);
            }
            if self.retry_at.is_some() {
                std::thread::sleep(LOOK);
            } else if self.lines.is_empty() {
                self.wait();
            }
        }
    }

    /// Goes by the newest policy, and opens anew when told to. What waits goes where it would have
    /// gone before, as far as that takes it.
    fn follow(&mut self, shared: &Shared) {
        self.told.look.store(false, Ordering::SeqCst);
        let reopen = self.told.reopen.swap(false, Ordering::Relaxed);
        let snapshot = shared.snapshot.load();
        let wanted = snapshot.serving.policy.access_log.as_ref();
        let wanted = wanted.map(|log| &log.to);
        if wanted == self.target.as_ref() && !reopen {
            return;
        }
        for _ in 0..LAST_BATCHES {
            if self.target.is_none() || self.retry_at.is_some() || !self.collect() {
                break;
            }
            self.try_write(&shared.metrics);
        }
        self.close();
        self.retry_at = None;
        self.target = wanted.cloned();
    }

    /// Waits for a record, or for a word. Where none is there, the first one to come waits for others.
    fn wait(&mut self) {
        // What says that it is told something may have been among what was collected.
        if self.collect() || self.told.look.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(Message::Record(record)) = self.records.recv() {
            record.write(&mut self.lines);
            std::thread::sleep(PACE);
        }
    }

    /// Makes lines of what waits, a batch at most; whether there is anything to be written.
    fn collect(&mut self) -> bool {
        while self.lines.len() < BATCH
            && let Ok(message) = self.records.try_recv()
        {
            if let Message::Record(record) = message {
                record.write(&mut self.lines);
            }
        }
        !self.lines.is_empty()
    }

    fn try_write(&mut self, metrics: &Metrics) {
        self.collect();
        let tried = self.open().and_then(|()| self.write_all());
        match tried {
            Ok(()) => self.succeeded(metrics),
            Err(error) => self.failed(&error, metrics),
        }
    }

    fn open(&mut self) -> io::Result<()> {
        if let (None, Some(target)) = (&self.sink, &self.target) {
            self.sink = Some(Sink::open(target)?);
        }
        Ok(())
    }

    fn write_all(&mut self) -> io::Result<()> {
        let Some(sink) = &mut self.sink else {
            return Ok(());
        };
        while self.written < self.lines.len() {
            match sink.write(&self.lines[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.proven = true;
        }
        Ok(())
    }

    fn succeeded(&mut self, metrics: &Metrics) {
        if !self.lines.is_empty() {
            metrics.access_log_written(count(&self.lines));
            self.lines.clear();
            self.lines.shrink_to(BATCH * 2);
            self.written = 0;
        }
        self.retry_at = None;
        if self.told.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(to = self.to(), "the access log is written again");
        }
    }

    fn failed(&mut self, error: &io::Error, metrics: &Metrics) {
        metrics.access_log_failed();
        let was_good = std::mem::take(&mut self.proven);
        if !self.sink.as_ref().is_some_and(|sink| sink.survives(error)) {
            self.close();
            if was_good && self.retry_at.is_none() {
                // A reader that was started anew may be there by now.
                self.retry_at = Some(Instant::now());
                return;
            }
        }
        self.retry_at = Some(Instant::now() + RETRY);
        if !self.told.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(
                to = self.to(),
                %error,
                "the access log cannot be written: requests go on, their lines wait, then they are dropped"
            );
        }
    }

    /// Closes the sink. A line of which it has a part goes whole to the next one.
    fn close(&mut self) {
        self.sink = None;
        self.proven = false;
        let done = &self.lines[..self.written];
        self.written = done
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
    }

    /// The end, with lines that nobody takes.
    fn give_up(mut self, metrics: &Metrics) {
        let mut lost = count(&self.lines[self.written..]);
        loop {
            self.lines.clear();
            if !self.collect() {
                break;
            }
            lost += count(&self.lines);
        }
        if lost > 0 && self.target.is_some() {
            metrics.access_log_dropped(LineDropped::Unwritable, lost);
            tracing::warn!(to = self.to(), lost, "lines of the access log are lost");
        }
    }

    fn to(&self) -> String {
        self.target.as_ref().map_or_else(String::new, named)
    }
}

/// Lines in a text.
fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use leeward_metrics::BuildInfo;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    fn metrics() -> Metrics {
        Metrics::new(&BuildInfo {
            version: "0",
            revision: "0",
            rustc: "0",
        })
    }

    /// A writer with these lines that were not written, and the sink of a socket.
    fn writer(lines: &[u8]) -> (Writer, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (_, records) = std::sync::mpsc::sync_channel(1);
        let mut writer = Writer::new(records, Arc::default());
        writer.sink = Some(Sink::Socket(ours));
        writer.lines = lines.to_vec();
        (writer, theirs)
    }

    #[test]
    fn a_line_that_was_cut_goes_whole_to_the_next_sink() {
        let (mut writer, _theirs) = writer(b"one\ntwo\nthree\n");
        for (written, from) in [(0, 0), (3, 0), (4, 4), (6, 4), (8, 8), (14, 14)] {
            writer.written = written;
            writer.close();
            assert_eq!(writer.written, from, "after {written}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_kept_tried_again_and_written_once() {
        let metrics = metrics();
        let (mut writer, theirs) = writer(b"one\ntwo\n");
        drop(theirs);
        writer.try_write(&metrics);
        assert_eq!(writer.lines, b"one\ntwo\n");
        assert!(writer.retry_at.is_some() && writer.told.failing.load(Ordering::Relaxed));
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        writer.sink = Some(Sink::Socket(ours));
        writer.try_write(&metrics);
        assert!(writer.lines.is_empty() && writer.retry_at.is_none());
        assert!(!writer.told.failing.load(Ordering::Relaxed));
        drop(writer);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
        let page = metrics.render();
        assert!(
            page.contains("leeward_access_log_lines_total 2\n"),
            "{page}"
        );
        assert!(
            page.contains("leeward_access_log_errors_total 1\n"),
            "{page}"
        );
    }
}
