//! The real binary, started with a policy and ended with the test.

use super::client::{Answer, Client};
use super::metrics::Metrics;
use super::temp::TempDir;
use super::wait::{SOON, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running leeward; it is killed when this is dropped.
pub(crate) struct Proxy {
    child: Child,
    dir: TempDir,
    ready: Value,
}

/// How a leeward ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None` when a signal killed it.
    pub(crate) code: Option<i32>,
    /// All that it said on stderr.
    pub(crate) stderr: String,
}

impl Proxy {
    /// Starts it with this policy and waits until it is ready.
    pub(crate) async fn start(policy: &str) -> Self {
        Self::start_in(TempDir::new(), policy).await
    }

    /// The same with a folder that already has the files that the policy names.
    pub(crate) async fn start_in(dir: TempDir, policy: &str) -> Self {
        let proxy = Self::launch(dir, policy, &[]).await;
        proxy.wait_until_ready().await;
        proxy
    }

    /// Starts it under `wrapper` and waits until it listens.
    pub(crate) async fn launch(dir: TempDir, policy: &str, wrapper: &[&str]) -> Self {
        dir.write("policy.yaml", policy);
        Self::launch_as_is(dir, wrapper, &[]).await
    }

    /// The same with more arguments behind `run`.
    pub(crate) async fn launch_with(
        dir: TempDir,
        policy: &str,
        wrapper: &[&str],
        arguments: &[&str],
    ) -> Self {
        dir.write("policy.yaml", policy);
        Self::launch_as_is(dir, wrapper, arguments).await
    }

    async fn launch_as_is(dir: TempDir, wrapper: &[&str], arguments: &[&str]) -> Self {
        let child = spawn(&dir, &dir.path("policy.yaml"), wrapper, arguments);
        let mut proxy = Self {
            child,
            dir,
            ready: Value::Null,
        };
        proxy.wait_until_it_listens().await;
        proxy
    }

    async fn wait_until_it_listens(&mut self) {
        let file = self.dir.path("ready.json");
        let child = &mut self.child;
        self.ready = eventually("leeward listens", SOON * 2, async || {
            assert!(
                child.try_wait().unwrap().is_none(),
                "leeward ended at its start"
            );
            serde_json::from_str(&std::fs::read_to_string(&file).ok()?).ok()
        })
        .await;
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts another one in the folder of one that has ended, and waits until it listens: not until
    /// it is ready.
    pub(crate) async fn start_again(&mut self) {
        std::fs::remove_file(self.dir.path("ready.json")).ok();
        self.child = spawn(&self.dir, &self.dir.path("policy.yaml"), &[], &[]);
        self.wait_until_it_listens().await;
    }

    /// Starts it in a folder that has a `policy.yaml` already, and waits until it is ready.
    pub(crate) async fn start_as_is(dir: TempDir) -> Self {
        let proxy = Self::launch_as_is(dir, &[], &[]).await;
        proxy.wait_until_ready().await;
        proxy
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &TempDir {
        &self.dir
    }

    /// Starts it and waits for its end: for starts that must fail.
    pub(crate) async fn run_to_end(dir: &TempDir, policy: &str) -> Ended {
        let path = dir.write("bad.yaml", policy);
        let mut child = spawn(dir, &path, &[], &[]);
        let code = exit_code(&mut child).await;
        Ended {
            code,
            stderr: stderr_of(dir),
        }
    }

    /// Where a listener is.
    pub(crate) fn listener(&self, name: &str) -> SocketAddr {
        let address = self.ready["listeners"][name].as_str();
        address
            .unwrap_or_else(|| panic!("no listener {name} in {}", self.ready))
            .parse()
            .unwrap()
    }

    /// Where the listener `plain` is.
    pub(crate) fn plain(&self) -> SocketAddr {
        self.listener("plain")
    }

    /// Where the admin side is.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin_if_any().expect("an admin address")
    }

    /// The same where it may be switched off.
    pub(crate) fn admin_if_any(&self) -> Option<SocketAddr> {
        self.ready["admin"]
            .as_str()
            .map(|address| address.parse().unwrap())
    }

    /// A new connection to the listener `plain`.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.plain()).await
    }

    /// Asks `plain` for a target on a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.client().await.get(target).await
    }

    /// Asks the admin side.
    pub(crate) async fn admin(&self, target: &str) -> Answer {
        let host = self.admin_address();
        Client::connect(host)
            .await
            .ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await
    }

    /// All that the engine knows.
    pub(crate) async fn status(&self) -> Value {
        json(&self.admin("/api/v1/status").await)["engine"].clone()
    }

    /// The journal from after `since`.
    pub(crate) async fn events(&self, since: u64) -> Vec<Value> {
        let answer = json(&self.admin(&format!("/api/v1/events?since={since}")).await);
        answer["events"].as_array().expect("events").clone()
    }

    /// A scrape.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::new(self.admin("/metrics").await.text())
    }

    /// What is held of a provider or a site: `aws` or `aws/one`.
    pub(crate) async fn verdict(&self, place: &str) -> String {
        let status = self.status().await;
        let list = &status[if place.contains('/') {
            "sites"
        } else {
            "providers"
        }];
        let mut places = list.as_array().expect("places").iter();
        let found = places.find(|p| p["name"] == place).expect("the place");
        found["verdict"].as_str().expect("a verdict").to_owned()
    }

    /// Waits until this is held of a place.
    pub(crate) async fn wait_for_verdict(&self, place: &str, verdict: &str) {
        let what = format!("{place} is {verdict}");
        eventually(&what, SOON * 2, async || {
            (self.verdict(place).await == verdict).then_some(())
        })
        .await;
    }

    /// What `read` finds in the status of the pool `main`.
    pub(crate) async fn pool(&self) -> Value {
        self.status().await["pools"][0].clone()
    }

    /// Waits until a scrape shows at least this much.
    pub(crate) async fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], least: f64) {
        let what = format!("{name}{labels:?} >= {least}");
        let look = async || {
            self.metrics()
                .await
                .sum(name, labels)
                .filter(|v| *v >= least)
                .map(|_| ())
        };
        eventually(&what, SOON, look).await;
    }

    /// Resident memory, bytes.
    pub(crate) fn memory(&self) -> usize {
        let status = self.proc("status");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("VmRSS");
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
            * 1024
    }

    /// A file of `/proc` about it.
    pub(crate) fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// Where the read-only admin side is.
    pub(crate) fn admin_read_only(&self) -> Option<SocketAddr> {
        let address = self.ready["admin_read_only"].as_str();
        address.map(|address| address.parse().unwrap())
    }

    /// The id of its thread of this name, as the kernel has it: 15 characters at most.
    pub(crate) fn thread(&self, name: &str) -> Pid {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let mut ids = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
        let found = ids.find(|id| {
            let comm = self.proc(&format!("task/{id}/comm"));
            comm.trim_end() == &name[..name.len().min(15)]
        });
        let id = found.unwrap_or_else(|| panic!("no thread {name}"));
        Pid::from_raw(id.parse().unwrap())
    }

    /// What it has said on stderr so far.
    pub(crate) fn log(&self) -> String {
        stderr_of(&self.dir)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Ended {
        let code = exit_code(&mut self.child).await;
        Ended {
            code,
            stderr: stderr_of(&self.dir),
        }
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    async fn wait_until_ready(&self) {
        let ready = async || (self.admin("/readyz").await.status() == 200).then_some(());
        eventually("leeward is ready", SOON * 2, ready).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!(
                "--- leeward's stderr, {}\n{}---",
                self.dir.path("").display(),
                stderr_of(&self.dir)
            );
        }
    }
}

/// The binary under test: what cargo has built, or the one that `LEEWARD_TEST_BINARY` names.
pub(crate) fn leeward() -> String {
    std::env::var("LEEWARD_TEST_BINARY")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_leeward").to_owned())
}

/// An answer's body as JSON.
pub(crate) fn json(answer: &Answer) -> Value {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    serde_json::from_slice(&answer.body.bytes).expect("JSON")
}

fn spawn(dir: &TempDir, policy: &Path, wrapper: &[&str], arguments: &[&str]) -> Child {
    let stderr = std::fs::File::create(dir.path("stderr")).unwrap();
    let binary = leeward();
    let mut words = wrapper.iter().copied().chain([binary.as_str()]);
    Command::new(words.next().unwrap())
        .args(words)
        .arg("run")
        .arg(policy)
        .arg("--ready-file")
        .arg(dir.path("ready.json"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap()
}

async fn exit_code(child: &mut Child) -> Option<i32> {
    let within = Duration::from_secs(20);
    eventually("leeward ends", within, async || child.try_wait().unwrap())
        .await
        .code()
}

fn stderr_of(dir: &TempDir) -> String {
    let bytes = std::fs::read(dir.path("stderr")).unwrap_or_default();
    super::wire::text(&bytes)
}
