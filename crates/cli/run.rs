//! `leeward run`: load, start, obey signals, end.

use crate::args::{LogFormat, Run};
use crate::{log, notify, reload};
use leeward_config::policy::Policy;
use leeward_config::{Nudge, Problem};
use leeward_metrics::BuildInfo;
use leeward_proxy::{Running, StartError};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// All is well.
const FINE: u8 = 0;
/// Something outside the policy failed: a supervisor may try again.
const FAILED: u8 = 1;
/// The command line or the policy is wrong: trying again will not help.
const BAD_USAGE: u8 = 2;

/// What this binary was built from.
pub(crate) const BUILD: BuildInfo = BuildInfo {
    version: env!("CARGO_PKG_VERSION"),
    revision: match option_env!("LEEWARD_REVISION") {
        Some(revision) => revision,
        None => "unknown",
    },
    rustc: env!("CARGO_PKG_RUST_VERSION"),
};

/// Serves until it is told to end; the exit code.
pub(crate) fn run(args: &Run) -> u8 {
    if let Err(text) = log::start(args.log_format, &args.log_level) {
        eprintln!("leeward: {text}");
        return BAD_USAGE;
    }
    let Some(policy) = load(&args.policy, args.log_format) else {
        return BAD_USAGE;
    };
    raise_file_limit();
    let seed = args.seed.unwrap_or_else(|| {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_nanos() & u128::from(u64::MAX)).unwrap_or_default()
    });
    match serve(policy, args, seed) {
        Ok(()) => FINE,
        Err(Failed { text, code }) => {
            tracing::error!("{text}");
            code
        }
    }
}

/// Loads a policy and says everything that is wrong with it.
fn load(path: &Path, format: LogFormat) -> Option<Policy> {
    let loaded = leeward_config::load(path);
    say(&loaded.problems, format);
    if loaded.policy.is_none() {
        tracing::error!("{}: the policy cannot be served", path.display());
    }
    loaded.policy
}

/// Says problems of a policy as the log is wanted.
pub(crate) fn say(problems: &[Problem], format: LogFormat) {
    for problem in problems {
        match format {
            LogFormat::Text => eprintln!("{problem}\n"),
            LogFormat::Json => log_problem(problem),
        }
    }
}

fn log_problem(problem: &Problem) {
    let Problem {
        file,
        line,
        column,
        text,
        hint,
        ..
    } = problem;
    let hint = hint.as_deref().unwrap_or_default();
    if problem.is_error() {
        tracing::error!(file, line, column, hint, "{text}");
    } else {
        tracing::warn!(file, line, column, hint, "{text}");
    }
}

/// Every client and every backend connection is a file descriptor: take all that may be had.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok((soft, hard))
    });
    match raised {
        Ok((soft, hard)) => {
            tracing::debug!(soft, hard, "file descriptors raised to the hard limit")
        }
        Err(error) => tracing::warn!(%error, "the limit of file descriptors cannot be raised"),
    }
}

/// Why it ended, and with which code.
struct Failed {
    text: String,
    code: u8,
}

impl From<String> for Failed {
    fn from(text: String) -> Self {
        Self { text, code: FAILED }
    }
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        let code = if error.is_policy() { BAD_USAGE } else { FAILED };
        Self {
            text: error.to_string(),
            code,
        }
    }
}

fn serve(policy: Policy, args: &Run, seed: u64) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(async {
        // Before anything listens: a signal must never find the default action.
        let mut signals = Signals::new()?;
        let hash = policy.hash.clone();
        let watched = reload::watch(args.policy.clone(), &policy);
        let running = leeward_proxy::start(policy, &BUILD, seed)?;
        announce(&running, &hash, args.ready_file.as_deref())?;
        notify::keep_alive(running.pulse());
        let nudge = reload::start(watched, running.reloader(), args.log_format)?;
        let status = format!(
            "serving {} listeners, policy {hash}",
            running.listeners().len()
        );
        until_told(&mut signals, &running, &nudge, &status).await?;
        Ok(drain(&mut signals, running).await?)
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
}

impl Signals {
    fn new() -> Result<Self, String> {
        let on = |kind| signal(kind).map_err(|error| format!("no signal handler: {error}"));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
            user1: on(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hangup.recv() => Told::Reload,
            _ = self.user1.recv() => Told::Reopen,
        }
    }

    /// SIGTERM or SIGINT.
    async fn end(&mut self) {
        while self.next().await != Told::End {}
    }
}

/// What a signal tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    End,
    Reload,
    Reopen,
}

fn announce(running: &Running, hash: &str, ready_file: Option<&Path>) -> Result<(), String> {
    for (name, address) in running.listeners() {
        tracing::info!(listener = %name, %address, "listening");
    }
    if let Some(address) = running.admin() {
        tracing::info!(%address, "admin");
    }
    if let Some(address) = running.admin_read_only() {
        tracing::info!(%address, "admin, read-only");
    }
    tracing::info!(hash, version = BUILD.version, "policy loaded");
    let Some(path) = ready_file else {
        return Ok(());
    };
    let listeners: serde_json::Map<String, serde_json::Value> = running
        .listeners()
        .iter()
        .map(|(name, address)| (name.clone(), json!(address.to_string())))
        .collect();
    let text = json!({
        "listeners": listeners,
        "admin": running.admin().map(|address| address.to_string()),
        "admin_read_only": running.admin_read_only().map(|address| address.to_string()),
    })
    .to_string();
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(|error| format!("{}: cannot be written: {error}", path.display()))
}

/// Serves until a signal says that it is enough. `status` is what the service manager hears of it.
async fn until_told(
    signals: &mut Signals,
    running: &Running,
    nudge: &Nudge,
    status: &str,
) -> Result<(), String> {
    let mut look = tokio::time::interval(Duration::from_secs(1));
    let mut told_ready = false;
    notify::status("the first round of probes is under way");
    loop {
        tokio::select! {
            () = until_ready(running), if !told_ready => {
                told_ready = true;
                notify::ready(status);
            }
            told = signals.next() => match told {
                Told::End => return Ok(()),
                Told::Reload => nudge.nudge(),
                Told::Reopen => running.reopen_logs(),
            },
            _ = look.tick() => {
                if running.broken() {
                    return Err("a thread ended by itself; see the lines above".into());
                }
            }
        }
    }
}

async fn until_ready(running: &Running) {
    while !running.ready() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Not ready, linger, accept no more, let what is in flight end. A second signal ends it now.
async fn drain(signals: &mut Signals, running: Running) -> Result<(), String> {
    let times = running.drain_times();
    tracing::info!(linger = ?times.linger, timeout = ?times.timeout, "draining");
    notify::stopping(&format!("draining {} connections", running.connections()));
    running.linger();
    let now = tokio::select! {
        () = tokio::time::sleep(times.linger) => false,
        () = signals.end() => true,
    };
    running.drain();
    if !now {
        let give_up = Instant::now() + times.timeout;
        while !running.drained() && Instant::now() < give_up {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
                () = signals.end() => break,
            }
        }
    }
    let left = running.connections();
    if left > 0 {
        tracing::warn!(
            connections = left,
            "the drain time is over: connections are cut"
        );
    }
    running.stop().map_err(|error| error.to_string())?;
    tracing::info!("gone");
    Ok(())
}
