//! What the service manager is told, and the unit that asks for it.

use super::listener;
use crate::support::backend::Backend;
use crate::support::policy::Policy;
use crate::support::proxy::{Proxy, leeward};
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::net::UnixDatagram;

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Not in the test's own folder: the path of such a socket has 107 bytes at most.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("leeward-manager-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::remove_file(&path).ok();
        Self {
            socket: UnixDatagram::bind(&path).unwrap(),
            path,
        }
    }

    /// Starts a leeward under this manager, with these variables too.
    async fn start(&self, variables: &[&str]) -> (Backend, Proxy) {
        let backend = Backend::start("aws");
        let policy = Policy::of(&[("aws/one", &backend)])
            .listeners(&listener("plain", ""))
            .top("drain: { linger: 100ms }")
            .workers(2);
        let socket = format!("NOTIFY_SOCKET={}", self.path.display());
        let wrapper: Vec<&str> = ["env", &socket]
            .into_iter()
            .chain(variables.iter().copied())
            .collect();
        let proxy = Proxy::launch(TempDir::new(), &policy.text(), &wrapper).await;
        (backend, proxy)
    }

    /// The lines of the next message that comes within `within`.
    async fn message(&self, within: Duration) -> Option<Vec<String>> {
        let mut bytes = [0; 4096];
        let received = tokio::time::timeout(within, self.socket.recv(&mut bytes)).await;
        let len = received.ok()?.unwrap();
        let text = std::str::from_utf8(&bytes[..len]).unwrap();
        Some(text.lines().map(str::to_owned).collect())
    }

    /// The next message that has this line. Others before it are passed over.
    async fn hears(&self, line: &str) -> Vec<String> {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.message(left).await;
            let message = message.unwrap_or_else(|| panic!("never told {line}"));
            if message.iter().any(|said| said == line) {
                return message;
            }
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

fn value<'a>(message: &'a [String], name: &str) -> &'a str {
    let found = message.iter().find_map(|line| line.strip_prefix(name));
    found.unwrap_or_else(|| panic!("no {name} in {message:?}"))
}

#[tokio::test]
async fn the_manager_is_told_of_the_start_and_of_the_end() {
    let manager = Manager::new();
    let (_backend, mut proxy) = manager.start(&[]).await;
    let ready = manager.hears("READY=1").await;
    assert!(value(&ready, "STATUS=").contains("1 listener"), "{ready:?}");
    assert_eq!(proxy.admin("/readyz").await.status(), 200);
    proxy.signal(Signal::SIGTERM);
    let stopping = manager.hears("STOPPING=1").await;
    assert!(value(&stopping, "STATUS=").contains("draining"));
    assert_eq!(proxy.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_reload_is_told_with_the_time_and_ends_with_ready() {
    let manager = Manager::new();
    let (_backend, proxy) = manager.start(&[]).await;
    manager.hears("READY=1").await;
    let before = monotonic_usec();
    proxy.signal(Signal::SIGHUP);
    let reloading = manager.hears("RELOADING=1").await;
    let at: u64 = value(&reloading, "MONOTONIC_USEC=").parse().unwrap();
    assert!((before..=monotonic_usec()).contains(&at), "{reloading:?}");
    manager.hears("READY=1").await;
    assert!(proxy.get("/read/x").await.is_ok());
}

fn monotonic_usec() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    let micros = now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000;
    u64::try_from(micros).unwrap()
}

/// A thread of a process that stands still, until this is dropped.
struct Held(Pid);

impl Held {
    fn new(thread: Pid) -> Self {
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        Self(thread)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        ptrace::detach(self.0, None).ok();
    }
}

#[tokio::test]
async fn the_watchdog_hears_of_it_twice_in_each_of_its_periods() {
    let manager = Manager::new();
    // From before the first ping, so that a test that is late cannot make them look quicker.
    let began = Instant::now();
    let (_backend, _proxy) = manager.start(&["WATCHDOG_USEC=400000"]).await;
    for _ in 0..8 {
        manager.hears("WATCHDOG=1").await;
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1300), "{took:?}");
}

#[tokio::test]
async fn a_thread_that_is_stuck_stops_the_pings_until_it_goes_on() {
    let manager = Manager::new();
    let (_backend, proxy) = manager.start(&["WATCHDOG_USEC=400000"]).await;
    manager.hears("READY=1").await;
    for name in ["leeward-data-0", "leeward-data-1", "leeward-control"] {
        manager.hears("WATCHDOG=1").await;
        let held = Held::new(proxy.thread(name));
        let said = format!("thread=\"{name}\"");
        let before = proxy.log().matches(&said).count();
        eventually("the silence is noticed", SOON, async || {
            (proxy.log().matches(&said).count() > before).then_some(())
        })
        .await;
        while manager.message(Duration::ZERO).await.is_some() {}
        let ping = manager.message(Duration::from_millis(1000)).await;
        assert_eq!(ping, None, "while {name} stands still");
        drop(held);
        manager.hears("WATCHDOG=1").await;
    }
    assert_eq!(proxy.admin("/livez").await.status(), 200);
}

#[tokio::test]
async fn a_manager_that_is_gone_disturbs_nothing() {
    let manager = Manager::new();
    std::fs::remove_file(&manager.path).unwrap();
    let (_backend, mut proxy) = manager.start(&["WATCHDOG_USEC=200000"]).await;
    assert!(proxy.get("/read/x").await.is_ok());
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.ended().await.code, Some(0));
}

/// What systemd says of the unit, with the binary of this test in the place of the installed one.
#[test]
fn systemd_has_nothing_to_say_about_the_unit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unit = std::fs::read_to_string(root.join("deploy/systemd/leeward.service")).unwrap();
    let mut unit = unit.replace("/usr/local/bin/leeward", &leeward());
    assert!(unit.contains(&leeward()));
    let version = Command::new("systemd-analyze").arg("--version").output();
    let version = version
        .expect("systemd-analyze; ./tests/run installs it")
        .stdout;
    let version = String::from_utf8(version).unwrap();
    let number: u32 = version.split_whitespace().nth(1).unwrap().parse().unwrap();
    if number < 253 {
        // That one does not know the type. All else can be verified.
        assert!(unit.contains("Type=notify-reload"));
        unit = unit.replace("Type=notify-reload", "Type=notify");
    }
    let dir = TempDir::new();
    let path = dir.write("leeward.service", &unit);
    let said = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&path)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && words.is_empty(), "{words}");
}
