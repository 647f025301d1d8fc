//! A backend in a process of its own, for SIGKILL and SIGSTOP.
//!
//! The test binary starts itself again with [`backend_process`] as its only test. What that process
//! ran is in a file that it appends to at once, so the record survives its death.

use super::backend::{Backend, Options};
use super::h2::breaker::{self, Act, Breaker};
use super::temp::TempDir;
use super::wait::{SOON, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NAME: &str = "LEEWARD_TEST_BACKEND";
const DIR: &str = "LEEWARD_TEST_BACKEND_DIR";
const BIND: &str = "LEEWARD_TEST_BACKEND_BIND";
const THINK: &str = "LEEWARD_TEST_BACKEND_THINK_MS";
const HTTP2: &str = "LEEWARD_TEST_BACKEND_HTTP2";

/// The process itself; as a plain test it does nothing.
#[test]
fn backend_process() {
    let Ok(name) = std::env::var(NAME) else {
        return;
    };
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
    let dir = std::env::var(DIR).unwrap();
    let bind = std::env::var(BIND).ok().map(|a| a.parse().unwrap());
    let think = Duration::from_millis(std::env::var(THINK).unwrap().parse().unwrap());
    let journal = Some(Path::new(&dir).join("executed"));
    if std::env::var(HTTP2).is_ok() {
        let options = breaker::Options {
            bind,
            name: Some(name),
            journal,
            think,
            ..breaker::Options::default()
        };
        let breaker = Breaker::with(Act::Serve, options);
        stay(&dir, breaker.address());
    }
    let options = Options {
        bind,
        journal,
        think,
        ..Options::default()
    };
    let backend = Backend::with(&name, options);
    stay(&dir, backend.address());
}

/// Says where the backend listens, and lets it run.
fn stay(dir: &str, address: SocketAddr) -> ! {
    let part = Path::new(dir).join("address.part");
    std::fs::write(&part, address.to_string()).unwrap();
    std::fs::rename(&part, Path::new(dir).join("address")).unwrap();
    loop {
        std::thread::park();
    }
}

/// A running backend process; it is killed when this is dropped.
pub(crate) struct BackendProcess {
    name: String,
    child: Child,
    dir: TempDir,
    address: SocketAddr,
    think: Duration,
    http2: bool,
}

impl BackendProcess {
    /// Starts one that takes this time for each answer.
    pub(crate) async fn start(name: &str, think: Duration) -> Self {
        Self::with(name, think, false).await
    }

    /// The same with one that speaks HTTP/2, in plain.
    pub(crate) async fn start_http2(name: &str, think: Duration) -> Self {
        Self::with(name, think, true).await
    }

    async fn with(name: &str, think: Duration, http2: bool) -> Self {
        let dir = TempDir::new();
        let child = spawn(name, &dir, None, think, http2);
        let address = address(&dir).await;
        Self {
            name: name.to_owned(),
            child,
            dir,
            address,
            think,
            http2,
        }
    }

    /// Its URL for a policy.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The ids of the orders that ran, over all its lives.
    pub(crate) fn executed(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.path("executed")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again at its address.
    pub(crate) async fn restart(&mut self) {
        std::fs::remove_file(self.dir.path("address")).ok();
        let at = Some(self.address);
        self.child = spawn(&self.name, &self.dir, at, self.think, self.http2);
        address(&self.dir).await;
    }

    /// SIGSTOP.
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for BackendProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(
    name: &str,
    dir: &TempDir,
    bind: Option<SocketAddr>,
    think: Duration,
    http2: bool,
) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "support::process::backend_process",
            "--nocapture",
        ])
        .env(NAME, name)
        .env(DIR, dir.path(""))
        .env(THINK, think.as_millis().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if http2 {
        command.env(HTTP2, "1");
    }
    if let Some(bind) = bind {
        command.env(BIND, bind.to_string());
    }
    command.spawn().unwrap()
}

async fn address(dir: &TempDir) -> SocketAddr {
    let file = dir.path("address");
    let look = async || std::fs::read_to_string(&file).ok()?.parse().ok();
    eventually("the backend process listens", SOON * 2, look).await
}
