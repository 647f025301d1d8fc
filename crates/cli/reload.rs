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

/// Begins to watch the policy at `path`, which serves as `policy` now.
///
/// # Errors
/// No thread can be started.
pub(crate) fn start(
    path: PathBuf,
    policy: &Policy,
    reloader: Reloader,
    format: LogFormat,
) -> Result<Nudge, String> {
    let (mut watch, nudge) = Watch::new(&path);
    watch.follow(Some(policy));
    let thread = std::thread::Builder::new().name("leeward-reload".into());
    // It ends with the process.
    thread
        .spawn(move || {
            loop {
                let woken = watch.wait();
                notify::reloading();
                match reload(&path, woken, &reloader, format) {
                    Some(policy) => {
                        watch.follow(Some(&policy));
                        notify::ready(&format!("serving, policy {}", policy.hash));
                    }
                    None => notify::ready("serving; the last policy offered was not taken"),
                }
            }
        })
        .map_err(|error| format!("no thread can be started: {error}"))?;
    Ok(nudge)
}

/// Loads what is there now; the policy when it serves.
fn reload(
    path: &std::path::Path,
    woken: Wake,
    reloader: &Reloader,
    format: LogFormat,
) -> Option<Policy> {
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
    match reloader.reload(policy.clone()) {
        Ok(()) => Some(policy),
        Err(error) => {
            tracing::error!(
                policy = %path.display(),
                "{error}; the policy from before goes on serving"
            );
            None
        }
    }
}
