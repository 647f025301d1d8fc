//! Writes the state folder, on a thread of its own.
//!
//! The memory is replaced whole: a new file, synced, then renamed over the old one. The journal is
//! appended to and rotated. A failure is logged once until it is over, and counted each time; a
//! memory that could not be written is tried again.

use super::{JOURNAL, Line, MEMORY, Mailbox, OLD_JOURNAL, StateDir};
use leeward_failover::Memory;
use leeward_metrics::Metrics;
use serde::Serialize;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

/// A journal file that would get larger is rotated.
const LARGEST_JOURNAL: u64 = 16 * 1024 * 1024;
/// After a failure the memory is tried again, if no newer one came.
const AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// When nothing is left to be written.
const LONG: Duration = Duration::from_secs(3600);

/// As `read` reads it.
#[derive(Serialize)]
struct Written<'a> {
    written_ms: u64,
    memory: &'a Memory,
}

/// Writes until the end.
pub(super) fn run(dir: &StateDir, mailbox: &Mailbox, metrics: &Metrics) {
    let mut journal = JournalFile::new(&dir.path, LARGEST_JOURNAL);
    let mut unwritten: Option<(u64, Memory)> = None;
    let (mut memory_fails, mut journal_fails) = (Failing(false), Failing(false));
    loop {
        let pause = unwritten.as_ref().map_or(LONG, |_| AGAIN_AFTER_FAILURE);
        let (memory, entries, ends) = take(mailbox, pause);
        if !entries.is_empty() {
            let written = journal.append(&entries);
            metrics.journal_written(written.is_ok(), entries.len() as u64);
            journal_fails.note("its journal", &written);
        }
        unwritten = memory.or(unwritten);
        if let Some((written_ms, memory)) = &unwritten {
            let written = write_memory(&dir.path, *written_ms, memory);
            metrics.state_written(written.is_ok());
            memory_fails.note("what is known", &written);
            if written.is_ok() {
                unwritten = None;
            }
        }
        if ends {
            journal.sync();
            mailbox.lock().ended = true;
            mailbox.told.notify_all();
            return;
        }
    }
}

/// Waits for something to write; nothing where the time is over.
fn take(mailbox: &Mailbox, pause: Duration) -> (Option<(u64, Memory)>, VecDeque<Line>, bool) {
    let waits = mailbox.told.wait_timeout_while(mailbox.lock(), pause, |w| {
        w.memory.is_none() && w.journal.is_empty() && !w.ends
    });
    let (mut waiting, _) = waits.unwrap_or_else(PoisonError::into_inner);
    let journal = std::mem::take(&mut waiting.journal);
    (waiting.memory.take(), journal, waiting.ends)
}

/// Whether writing fails, so that it is said once.
struct Failing(bool);

impl Failing {
    fn note(&mut self, what: &str, written: &io::Result<()>) {
        match written {
            Err(error) if !self.0 => {
                tracing::error!(%error, "state_dir: {what} cannot be written; traffic goes on");
            }
            Ok(()) if self.0 => tracing::info!("state_dir: {what} can be written again"),
            _ => {}
        }
        self.0 = written.is_err();
    }
}

fn write_memory(dir: &Path, written_ms: u64, memory: &Memory) -> io::Result<()> {
    let bytes = serde_json::to_vec(&Written { written_ms, memory })?;
    let partial = dir.join("state.json.partial");
    let mut file = File::create(&partial)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, dir.join(MEMORY))?;
    File::open(dir)?.sync_all()
}

/// The journal's file, opened when it is first needed and again after a failure.
struct JournalFile {
    path: PathBuf,
    old: PathBuf,
    largest: u64,
    open: Option<(File, u64)>,
}

impl JournalFile {
    fn new(dir: &Path, largest: u64) -> Self {
        Self {
            path: dir.join(JOURNAL),
            old: dir.join(OLD_JOURNAL),
            largest,
            open: None,
        }
    }

    fn append(&mut self, entries: &VecDeque<Line>) -> io::Result<()> {
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        // What failed may have left half a line: the next one looks.
        let (mut file, mut size) = match self.open.take() {
            Some(open) => open,
            None => open(&self.path)?,
        };
        let more = lines.len() as u64;
        if size > 0 && size + more > self.largest {
            std::fs::rename(&self.path, &self.old)?;
            (file, size) = open(&self.path)?;
        }
        file.write_all(&lines)?;
        self.open = Some((file, size + more));
        Ok(())
    }

    /// Lets the disk have it. A failure changes nothing any more.
    fn sync(&self) {
        if let Some((file, _)) = &self.open {
            let _ = file.sync_data();
        }
    }
}

/// Opens a journal to append to it. A line that was torn by a crash is ended, so that the next one
/// begins a line.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).append(true).create(true).open(path)?;
    let size = file.metadata()?.len();
    if size == 0 {
        return Ok((file, 0));
    }
    file.seek(SeekFrom::Start(size - 1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok((file, size));
    }
    file.write_all(b"\n")?;
    Ok((file, size + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Entry;
    use leeward_failover::{Cause, Change, Event, Subject, SubjectKind, Time};

    fn entry(seq: u64) -> VecDeque<Line> {
        let event = Event {
            seq,
            at: Time::ZERO,
            subject: Subject {
                kind: SubjectKind::Pool,
                name: "trading".to_owned(),
            },
            change: Change::Panic { on: true },
            cause: Cause::AllBad,
            evidence: Vec::new(),
        };
        [Line::Decision(Entry { time: 1.5, event })].into()
    }

    /// A folder of its own.
    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("leeward-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn numbers(path: &Path) -> Vec<u64> {
        let text = std::fs::read_to_string(path).unwrap();
        let entries = text
            .lines()
            .map(serde_json::from_str::<serde_json::Value>)
            .filter_map(Result::ok);
        entries
            .map(|entry| entry["seq"].as_u64().unwrap())
            .collect()
    }

    #[test]
    fn a_journal_is_rotated_before_it_gets_too_large() {
        let dir = folder("rotated");
        let line = serde_json::to_vec(&entry(1)[0]).unwrap().len() as u64 + 1;
        let mut journal = JournalFile::new(&dir, line * 3);
        for seq in 1..=8 {
            journal.append(&entry(seq)).unwrap();
        }
        assert_eq!(numbers(&dir.join(JOURNAL)), [7, 8]);
        assert_eq!(numbers(&dir.join(OLD_JOURNAL)), [4, 5, 6]);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_follows_a_torn_line_is_not_lost_with_it() {
        let dir = folder("torn");
        let path = dir.join(JOURNAL);
        std::fs::write(&path, "{\"seq\":1}\n{\"seq\":2,\"sub").unwrap();
        let mut journal = JournalFile::new(&dir, LARGEST_JOURNAL);
        journal.append(&entry(3)).unwrap();
        journal.append(&entry(4)).unwrap();
        assert_eq!(numbers(&path), [1, 3, 4]);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_disk_that_is_away_for_a_while_is_used_again() {
        let dir = folder("away");
        std::fs::remove_dir_all(&dir).unwrap();
        let mut journal = JournalFile::new(&dir, LARGEST_JOURNAL);
        assert!(journal.append(&entry(1)).is_err());
        assert!(write_memory(&dir, 1, &Memory::default()).is_err());
        std::fs::create_dir_all(&dir).unwrap();
        journal.append(&entry(2)).unwrap();
        write_memory(&dir, 1, &Memory::default()).unwrap();
        assert_eq!(numbers(&dir.join(JOURNAL)), [2]);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
