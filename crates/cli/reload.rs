//! Reloads the policy while it serves: when a file changes, and on SIGHUP.
//!
//! Runs on a thread of its own: reading, binding and building may take their time, and nothing waits
//! for them. What cannot be served changes nothing and is said.

use crate::args::LogFormat;
use crate::notify;
use crate::run::say;
use leeward_config::policy::Policy;
use leeward_config::{Loaded, Nudge, Wake, Watch};
use leeward_proxy::Reloader;
use std::path::PathBuf;

/// A policy's path under watch.
pub(crate) struct Watched {
    path: PathBuf,
    watch: Watch,
    nudge: Nudge,
}

/// Begins to watch the policy at `path`, which was loaded as `policy`. To be called before the files
/// that it names are read, so that no change is missed.
pub(crate) fn watch(path: PathBuf, policy: &Policy) -> Watched {
    let (mut watch, nudge) = Watch::new(&path);
    watch.follow(policy);
    Watched { path, watch, nudge }
}

/// Reloads whenever there is reason to; the nudge is one.
///
/// # Errors
/// No thread can be started.
pub(crate) fn start(
    watched: Watched,
    reloader: Reloader,
    format: LogFormat,
) -> Result<Nudge, String> {
    let Watched {
        path,
        mut watch,
        nudge,
    } = watched;
    let thread = std::thread::Builder::new().name("leeward-reload".into());
    // It ends with the process.
    thread
        .spawn(move || {
            loop {
                let woken = watch.wait();
                notify::reloading();
                let said = match reload(&path, woken, &mut watch, &reloader, format) {
                    Some(hash) => format!("serving, policy {hash}"),
                    None => "serving; the last policy offered was not taken".to_owned(),
                };
                notify::ready(&said);
            }
        })
        .map_err(|error| format!("no thread can be started: {error}"))?;
    Ok(nudge)
}

/// Loads what is there now and offers it to the proxy; the hash of the policy when it was taken.
fn reload(
    path: &std::path::Path,
    woken: Wake,
    watch: &mut Watch,
    reloader: &Reloader,
    format: LogFormat,
) -> Option<String> {
    let because = match woken {
        Wake::Changed => "a file changed",
        Wake::Nudged => "SIGHUP",
    };
    tracing::info!(because, "reloading the policy");
    let Loaded { policy, problems } = leeward_config::load(path);
    say(&problems, format);
    let Some(policy) = policy else {
        let errors = problems.iter().filter(|problem| problem.is_error());
        reloader.reject(errors.map(ToString::to_string).collect());
        tracing::error!(
            policy = %path.display(),
            "the policy cannot be served; the one from before goes on serving"
        );
        return None;
    };
    watch.follow(&policy);
    let hash = policy.hash.clone();
    match reloader.reload(policy) {
        Ok(()) => Some(hash),
        Err(error) => {
            tracing::error!(
                policy = %path.display(),
                "{error}; the policy from before goes on serving"
            );
            None
        }
    }
}
