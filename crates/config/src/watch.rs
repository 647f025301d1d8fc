//! Notices that a policy, or a file that it names, has changed on disk.
//!
//! Owns the watch on the folders and the memory of what stood in the files. Whether a change is a
//! good one is not its business: whoever waits on it loads the policy again. Atomic renames and the
//! symlink swaps of Kubernetes' volumes show in the folders; what counts is what can be read through
//! the path, so that a touch without a change wakes nobody.

use crate::policy::{Certificate, Policy};
use crate::source::{MAX_BYTES, Reading};
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// A file is looked at once it has been left alone for this long: writers take several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// It is looked at after this in any case, so that constant writing cannot hide a change.
const SETTLE_AT_MOST: Duration = Duration::from_secs(1);
/// Without any word from the system the files are looked at this often: some file systems say
/// nothing.
const LOOK: Duration = Duration::from_secs(10);

/// A watch on a policy and the files that it names.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    content: u64,
    /// Something changed before it could be watched.
    missed: bool,
    watcher: Option<RecommendedWatcher>,
    events: Receiver<Wake>,
    stirred: Arc<Stirred>,
}

/// What the system says of the folders. A log may lie there as well, of which it says much: the watch is
/// woken once, not for each word.
#[derive(Debug, Default)]
struct Stirred {
    words: AtomicU64,
    /// The watch has been woken and has not looked since.
    told: AtomicBool,
}

/// Why a watch woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// What can be read has changed.
    Changed,
    /// Somebody asked for it.
    Nudged,
}

/// Wakes a [`Watch`] though nothing may have changed: for SIGHUP.
#[derive(Clone, Debug)]
pub struct Nudge(Sender<Wake>);

impl Nudge {
    /// Wakes the watch.
    pub fn nudge(&self) {
        // A watch that is gone needs no waking.
        let _ = self.0.send(Wake::Nudged);
    }
}

impl Watch {
    /// Watches the policy at `path`, a file or a folder. Where the system cannot watch, the files are
    /// looked at every ten seconds instead.
    pub fn new(path: &Path) -> (Self, Nudge) {
        let (sender, events) = channel();
        let nudge = Nudge(sender.clone());
        let stirred = Arc::<Stirred>::default();
        let mut watch = Self {
            path: path.to_owned(),
            files: BTreeSet::new(),
            folders: BTreeSet::new(),
            content: 0,
            missed: false,
            watcher: watcher(sender, stirred.clone()),
            events,
            stirred,
        };
        watch.content = watch.read();
        (watch, nudge)
    }

    /// Watches the files that `policy` names too, from now on. To be called with each policy that was
    /// loaded from the path, before its files are read: what changes after that is a change, and so
    /// is a policy that is another one already than the one that was loaded.
    pub fn follow(&mut self, policy: &Policy) {
        self.files = named_files(policy);
        let folders = self.wanted_folders();
        if let Some(watcher) = &mut self.watcher {
            for gone in self.folders.difference(&folders) {
                // It may be gone from the disk as well.
                let _ = watcher.unwatch(gone);
            }
            for new in folders.difference(&self.folders) {
                // What cannot be watched is still looked at now and then.
                let _ = watcher.watch(new, RecursiveMode::NonRecursive);
            }
        }
        self.folders = folders;
        self.content = self.read_as(Some(&policy.hash));
        if self.content != self.read() {
            self.missed = true;
        }
    }

    /// Waits for a change on disk, or for a nudge.
    pub fn wait(&mut self) -> Wake {
        if std::mem::take(&mut self.missed) {
            self.content = self.read();
            return Wake::Changed;
        }
        loop {
            match self.events.recv_timeout(LOOK) {
                Ok(Wake::Nudged) => {
                    self.content = self.read();
                    return Wake::Nudged;
                }
                Ok(Wake::Changed) => {
                    if self.settle() {
                        return Wake::Nudged;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Neither a watcher nor anybody to nudge: only looking is left.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
            }
            let content = self.read();
            if content != self.content {
                self.content = content;
                // A symlink may lead elsewhere now.
                self.refollow();
                return Wake::Changed;
            }
        }
    }

    /// Waits until the writers are done; whether somebody nudged meanwhile.
    fn settle(&self) -> bool {
        let end = Instant::now() + SETTLE_AT_MOST;
        let mut nudged = false;
        while !nudged && Instant::now() < end {
            let words = self.stirred.words.load(Ordering::Acquire);
            nudged = self.events.recv_timeout(SETTLE) == Ok(Wake::Nudged);
            if self.stirred.words.load(Ordering::Acquire) == words {
                break;
            }
        }
        // Before the files are read: what comes after that is told anew.
        self.stirred.told.store(false, Ordering::Release);
        nudged
    }

    fn wanted_folders(&self) -> BTreeSet<PathBuf> {
        let named = self.files.iter().flat_map(|file| folders(file));
        named.chain(folders_of_policy(&self.path)).collect()
    }

    /// Watches where the paths lead now, beside where they led before.
    fn refollow(&mut self) {
        let folders = self.wanted_folders();
        if let Some(watcher) = &mut self.watcher {
            for new in folders.difference(&self.folders) {
                // As in `follow`.
                let _ = watcher.watch(new, RecursiveMode::NonRecursive);
            }
        }
        self.folders.extend(folders);
    }

    /// What can be read through the paths now, in short. A file that cannot be read counts as such.
    fn read(&self) -> u64 {
        self.read_as(None)
    }

    /// The same, as if the policy had this hash.
    fn read_as(&self, hash: Option<&str>) -> u64 {
        let mut hasher = DefaultHasher::new();
        let policy = Reading::of_path(&self.path);
        match hash {
            Some(hash) => hash.hash(&mut hasher),
            None => policy.hash().as_str().hash(&mut hasher),
        }
        // A policy that cannot be read is another one than one that can.
        policy
            .problems
            .iter()
            .map(|problem| &problem.text)
            .for_each(|text| text.hash(&mut hasher));
        for file in &self.files {
            read_bounded(file).hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn watcher(sender: Sender<Wake>, stirred: Arc<Stirred>) -> Option<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        // Reading is no change; to take it for one would be to wake oneself for ever.
        let read = event.is_ok_and(|event| match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            kind => kind.is_access(),
        });
        if read {
            return;
        }
        stirred.words.fetch_add(1, Ordering::AcqRel);
        if !stirred.told.swap(true, Ordering::AcqRel) {
            // Nobody listens once the watch is gone.
            let _ = sender.send(Wake::Changed);
        }
    })
    .ok()
}

/// The beginning of a file, far more than a certificate has; `None` when it cannot be read.
fn read_bounded(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

/// Certificates, keys, CAs and tokens.
fn named_files(policy: &Policy) -> BTreeSet<PathBuf> {
    let pairs = policy
        .listeners
        .iter()
        .flat_map(|listener| &listener.certificates);
    let own = pairs.flat_map(|pair| [pair.cert.clone(), pair.key.clone()]);
    let tls = policy
        .backends
        .iter()
        .filter_map(|backend| backend.tls.as_ref());
    let admin = &policy.admin_access;
    let tokens = admin.tokens.iter().map(|token| token.file.clone());
    let guard = admin.tls.iter().flat_map(|tls| {
        let ca = tls.clients.as_ref().map(|clients| clients.ca.clone());
        let Certificate { cert, key } = tls.certificate.clone();
        [Some(cert), Some(key), ca]
    });
    own.chain(tls.filter_map(|tls| tls.ca.clone()))
        .chain(tokens)
        .chain(guard.flatten())
        .collect()
}

/// The folder that a file stands in, and the one that it really stands in.
fn folders(file: &Path) -> Vec<PathBuf> {
    let real = file.canonicalize().ok();
    let parent = |file: &Path| match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(PathBuf::from(".")),
        parent => parent.map(Path::to_owned),
    };
    [parent(file), real.as_deref().and_then(parent)]
        .into_iter()
        .flatten()
        .collect()
}

fn folders_of_policy(path: &Path) -> Vec<PathBuf> {
    let mut found = folders(path);
    if path.is_dir() {
        found.push(path.to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_log_that_is_written_beside_the_policy_wakes_the_watch_once() {
        let folder = std::env::temp_dir().join(format!("leeward-watch-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let policy = folder.join("leeward.yaml");
        std::fs::write(&policy, "version: 1\n").unwrap();
        let (mut watch, _nudge) = Watch::new(&policy);
        watch.refollow();
        let mut log = File::create(folder.join("access.log")).unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while watch.stirred.words.load(Ordering::Acquire) < 50 {
            assert!(Instant::now() < end, "the system says nothing of writes");
            log.write_all(b"a line\n").unwrap();
            std::thread::yield_now();
        }
        assert_eq!(watch.events.try_iter().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
