//! What a process before this one left in the state folder.
//!
//! Nothing here stops a start. What is missing is missing; a memory that cannot be used is set aside
//! under another name and logged, and lines of the journal that are no entries are skipped.

use super::{Found, JOURNAL, MEMORY, OLD_JOURNAL, unix_millis};
use leeward_failover::Memory;
use serde::Deserialize;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

/// A larger memory is none of leeward's.
const LARGEST_MEMORY: u64 = 16 * 1024 * 1024;
/// Entries that are read back.
const MOST_ENTRIES: usize = 1000;
/// Bytes at the end of each journal file in which they are looked for.
const TAIL: u64 = 4 * 1024 * 1024;
/// A longer line is no entry.
const LONGEST_LINE: usize = 64 * 1024;

/// Everything that can be used.
pub(super) fn read(dir: &Path) -> Found {
    let memory = read_memory(&dir.join(MEMORY), unix_millis());
    let journal = read_journal(dir);
    let newest = journal.last().map(|(seq, _)| *seq);
    let memory = match (memory, newest) {
        (None, None) => None,
        (memory, newest) => {
            let (mut memory, away) = memory.unwrap_or_default();
            memory.seq = memory.seq.max(newest.unwrap_or_default());
            Some((memory, away))
        }
    };
    Found { memory, journal }
}

/// As `write` writes it.
#[derive(Deserialize)]
struct Written<T> {
    written_ms: u64,
    memory: T,
}

/// What all versions of a memory have.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn read_memory(path: &Path, now_ms: u64) -> Option<(Memory, Duration)> {
    let found = bytes_of_memory(path).and_then(|bytes| match bytes {
        Some(bytes) => parse_memory(&bytes).map(Some),
        None => Ok(None),
    });
    match found {
        Ok(None) => {
            tracing::info!(path = %path.display(), "nothing is remembered of before");
            None
        }
        Ok(Some((written_ms, memory))) => {
            // A clock that went back says nothing: no time has passed, then.
            let away = Duration::from_millis(now_ms.saturating_sub(written_ms));
            tracing::info!(path = %path.display(), ?away, "remembering what was known before");
            Some((memory, away))
        }
        Err(problem) => {
            set_aside(path, &problem);
            None
        }
    }
}

/// `None` where there is none.
fn bytes_of_memory(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(|error| error.to_string())?,
    };
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST_MEMORY + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST_MEMORY {
        return Err("it is larger than 16 MiB".to_owned());
    }
    Ok(Some(bytes))
}

fn parse_memory(bytes: &[u8]) -> Result<(u64, Memory), String> {
    let corrupt = |error: serde_json::Error| format!("it is corrupt: {error}");
    let peek: Written<Versioned> = serde_json::from_slice(bytes).map_err(corrupt)?;
    let version = peek.memory.version;
    if version > Memory::VERSION {
        return Err(format!(
            "its version {version} is newer than this program, which reads {}",
            Memory::VERSION
        ));
    }
    let whole: Written<Memory> = serde_json::from_slice(bytes).map_err(corrupt)?;
    Ok((whole.written_ms, whole.memory))
}

fn set_aside(path: &Path, problem: &str) {
    let aside = path.with_extension("json.bad");
    let moved = match std::fs::rename(path, &aside) {
        Ok(()) => format!("set aside as {}", aside.display()),
        Err(error) => format!("it cannot be set aside either: {error}"),
    };
    tracing::error!(
        path = %path.display(),
        "what was known before cannot be used: {problem}; {moved}; starting without it"
    );
}

/// The newest entries, oldest first. Numbers that do not rise end the search: what is older belongs
/// to another journal.
fn read_journal(dir: &Path) -> Vec<(u64, Value)> {
    let mut newest_first: Vec<(u64, Value)> = Vec::new();
    for name in [JOURNAL, OLD_JOURNAL] {
        let path = dir.join(name);
        let tail = match tail(&path) {
            Ok(tail) => tail,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the journal cannot be read back");
                continue;
            }
        };
        let lines = tail.rsplit(|byte| *byte == b'\n');
        for (seq, entry) in lines.filter_map(parse_entry) {
            let rises = newest_first.last().is_none_or(|(newer, _)| seq < *newer);
            if newest_first.len() == MOST_ENTRIES || !rises {
                break;
            }
            newest_first.push((seq, entry));
        }
    }
    newest_first.reverse();
    newest_first
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(metadata.len().saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse_entry(line: &[u8]) -> Option<(u64, Value)> {
    if line.len() > LONGEST_LINE {
        return None;
    }
    let entry: Value = serde_json::from_slice(line).ok()?;
    Some((entry.get("seq")?.as_u64()?, entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("leeward-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, content).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn numbers(found: &Found) -> Vec<u64> {
        found.journal.iter().map(|(seq, _)| *seq).collect()
    }

    #[test]
    fn an_empty_folder_remembers_nothing() {
        let folder = Folder::new("empty");
        let found = read(&folder.0);
        assert!(found.memory.is_none() && found.journal.is_empty());
    }

    #[test]
    fn a_memory_that_cannot_be_used_is_set_aside() {
        let folder = Folder::new("aside");
        let huge = " ".repeat(16 * 1024 * 1024 + 1);
        let deep = "[".repeat(100_000);
        let newer = r#"{"written_ms":1,"memory":{"version":2,"verdicts":"are gone"}}"#;
        let bad = [
            "",
            "{",
            "\0\0\0",
            r#"{"written_ms":-1,"memory":{"version":1}}"#,
            newer,
            &deep,
            &huge,
        ];
        for content in bad {
            let path = folder.write(MEMORY, content);
            assert!(read_memory(&path, 0).is_none());
            assert!(!path.exists());
            let aside = std::fs::read_to_string(folder.0.join("state.json.bad")).unwrap();
            assert!(aside == content);
        }
        std::fs::create_dir(folder.0.join(MEMORY)).unwrap();
        assert!(read_memory(&folder.0.join(MEMORY), 0).is_none());
    }

    #[test]
    fn the_clock_says_how_long_nobody_was_there_and_never_less_than_nothing() {
        let folder = Folder::new("clock");
        let path = folder.write(MEMORY, r#"{"written_ms":5000,"memory":{"version":1}}"#);
        let away = |now| read_memory(&path, now).unwrap().1.as_millis();
        assert_eq!([away(7500), away(5000), away(10)], [2500, 0, 0]);
    }

    #[test]
    fn the_journal_goes_on_over_both_files_torn_lines_and_strangers() {
        let folder = Folder::new("journal");
        let old = "{\"seq\":9}\n{\"seq\":1}\n{\"seq\":2}\n";
        folder.write(OLD_JOURNAL, old);
        let torn = "{\"seq\":3}\nnoise\n{\"no\":\"number\"}\n{\"seq\":4}\n{\"seq\":5,\"subj";
        folder.write(JOURNAL, torn);
        let found = read(&folder.0);
        assert_eq!(numbers(&found), [1, 2, 3, 4]);
        assert_eq!(found.memory.unwrap().0.seq, 4);
    }

    #[test]
    fn only_the_newest_entries_are_read_back() {
        let folder = Folder::new("newest");
        let lines = (1..=3000).map(|seq| format!("{{\"seq\":{seq}}}\n"));
        folder.write(JOURNAL, lines.collect::<String>());
        let expected: Vec<u64> = (2001..=3000).collect();
        assert_eq!(numbers(&read(&folder.0)), expected);
    }
}
