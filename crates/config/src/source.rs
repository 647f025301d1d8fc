//! The text of a policy: files read within bounds, and where their lines begin.
//!
//! Owns reading and its refusals (too large, not UTF-8, no file at all). Does not look at what the
//! text says. Called by [`crate::load`] and [`crate::parse`].

use crate::problem::{Problem, Severity};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes that a policy has at most, all its files together.
pub(crate) const MAX_BYTES: u64 = 10 * 1024 * 1024;

/// Files that the folder of a policy has at most.
const MAX_FILES: usize = 256;

/// A place in one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pos {
    /// Position of the file among the sources.
    pub(crate) file: usize,
    /// From 1.
    pub(crate) line: u32,
    /// In characters, from 1.
    pub(crate) column: u32,
}

/// One file's text.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path as given.
    pub(crate) name: String,
    /// Without a byte order mark.
    pub(crate) text: String,
    starts: Vec<usize>,
}

impl Source {
    pub(crate) fn new(name: String, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let bytes = text.as_bytes();
        let breaks = bytes.iter().enumerate().filter(|&(at, &byte)| {
            byte == b'\n' || (byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'))
        });
        let starts = std::iter::once(0)
            .chain(breaks.map(|(at, _)| at + 1))
            .collect();
        Self { name, text, starts }
    }

    /// A line by its number, from 1, without its break.
    pub(crate) fn line(&self, number: u32) -> Option<&str> {
        let index = (number as usize).checked_sub(1)?;
        let start = *self.starts.get(index)?;
        let end = self
            .starts
            .get(index + 1)
            .copied()
            .unwrap_or(self.text.len());
        Some(self.text.get(start..end)?.trim_end_matches(['\r', '\n']))
    }
}

/// What could be read, and what could not.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// The files, in the order of their names.
    pub(crate) sources: Vec<Source>,
    /// What could not be read.
    pub(crate) problems: Vec<Problem>,
    hasher: Sha256,
    bytes: u64,
}

impl Reading {
    /// A text that is already in memory.
    pub(crate) fn of_text(name: &str, text: &str) -> Self {
        let mut reading = Self::default();
        reading.take(name.to_owned(), text.as_bytes());
        reading
    }

    /// Texts that are already in memory.
    pub(crate) fn of_texts(files: &[(String, String)]) -> Self {
        let mut reading = Self::default();
        for (name, text) in files.iter().take(MAX_FILES) {
            reading.take(name.clone(), text.as_bytes());
        }
        reading
    }

    /// A file, or the `*.yaml` files of a folder in the order of their names.
    pub(crate) fn of_path(path: &Path) -> Self {
        let mut reading = Self::default();
        if path.is_dir() {
            reading.read_folder(path);
        } else {
            reading.read_file(path);
        }
        reading
    }

    /// First 16 hex digits of the SHA-256 of all bytes.
    pub(crate) fn hash(&self) -> String {
        let digest = self.hasher.clone().finalize();
        digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn read_folder(&mut self, folder: &Path) {
        let mut paths = match list(folder) {
            Ok(paths) => paths,
            Err(error) => return self.refuse(folder, format!("cannot read the folder: {error}")),
        };
        paths.sort();
        let (files, misnamed): (Vec<_>, Vec<_>) = paths
            .into_iter()
            .partition(|path| path.extension().is_some_and(|e| e == "yaml"));
        for path in misnamed {
            let hint = "only files that end in `.yaml` are part of a policy";
            let text = "this file is not read".to_owned();
            self.problems
                .push(about(&path, Severity::Warning, text, Some(hint)));
        }
        if files.is_empty() {
            return self.refuse(folder, "the folder has no `*.yaml` file".to_owned());
        }
        if files.len() > MAX_FILES {
            let text = format!("the folder has {} files; {MAX_FILES} at most", files.len());
            return self.refuse(folder, text);
        }
        for path in files {
            self.read_file(&path);
        }
    }

    fn read_file(&mut self, path: &Path) {
        match read_bounded(path, MAX_BYTES.saturating_sub(self.bytes)) {
            Ok(Some(bytes)) => self.take(path.display().to_string(), &bytes),
            Ok(None) => self.refuse(path, too_large()),
            Err(error) => self.refuse(path, format!("cannot read the file: {error}")),
        }
    }

    fn take(&mut self, name: String, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        self.hasher.update(bytes);
        if self.bytes > MAX_BYTES {
            return self.refuse(Path::new(&name), too_large());
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => self.sources.push(Source::new(name, text)),
            Err(error) => {
                let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
                let hint = utf16.then_some("it looks like UTF-16: save it as UTF-8");
                let text = format!("not UTF-8 text, from byte {} on", error.valid_up_to());
                self.problems
                    .push(about(Path::new(&name), Severity::Error, text, hint));
            }
        }
    }

    fn refuse(&mut self, path: &Path, text: String) {
        self.problems.push(about(path, Severity::Error, text, None));
    }
}

fn too_large() -> String {
    format!("the policy is larger than {} MiB", MAX_BYTES / 1024 / 1024)
}

/// A problem of a file as a whole.
fn about(path: &Path, severity: Severity, text: String, hint: Option<&str>) -> Problem {
    Problem {
        file: path.display().to_string(),
        line: 0,
        column: 0,
        severity,
        text,
        hint: hint.map(str::to_owned),
        source: None,
    }
}

/// Files of a folder that look like YAML. Hidden ones are left out: editors and mounted
/// Kubernetes volumes keep their own things there.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|n| n.to_string_lossy().starts_with('.'));
        let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        if yaml && !hidden && !path.is_dir() {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The bytes of a file, or `None` when there are more than `limit`. The size is asked first; the
/// reader is bounded as well, since a pipe or a device has no size.
fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    if file.metadata()?.len() > limit {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}
