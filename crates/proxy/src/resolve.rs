//! Names of backends to addresses, by the system's resolver.
//!
//! A name is asked for at the start and again now and then; what a failing DNS says changes nothing
//! (P6). Runs on the control thread; nothing on the way of a request waits for it.

use crate::control::{Report, Reports};
use leeward_config::policy::{Backend, Policy};
use leeward_failover::BackendId;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Between two questions about one name, when the last one was answered.
const AGAIN: Duration = Duration::from_secs(30);
/// After one that was not.
const AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(2);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The address of a backend whose URL has a literal one.
pub(crate) fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.parse::<IpAddr>()
        .ok()
        .map(|address| SocketAddr::new(address, port))
}

/// Begins to resolve every backend of `policy` that has a name; the tasks end when aborted.
pub(crate) fn start(policy: &Policy, reports: &Reports) -> Vec<AbortHandle> {
    let named = |backend: &&Backend| literal(&backend.host, backend.port).is_none();
    let resolve = |backend: &Backend| {
        let (id, host, port) = (backend.id, backend.host.clone(), backend.port);
        let task = keep_resolving(id, host, port, reports.clone());
        tokio::task::spawn_local(task).abort_handle()
    };
    policy.backends.iter().filter(named).map(resolve).collect()
}

async fn keep_resolving(backend: BackendId, host: String, port: u16, reports: Reports) {
    loop {
        let asked = tokio::net::lookup_host((host.as_str(), port));
        let answer = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(addresses)) => Ok(addresses.collect::<Vec<_>>()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        let pause = match answer {
            Ok(addresses) if !addresses.is_empty() => {
                if reports
                    .send(Report::Addresses { backend, addresses })
                    .is_err()
                {
                    return;
                }
                AGAIN
            }
            Ok(_) => AGAIN_AFTER_FAILURE,
            Err(error) => {
                tracing::warn!(
                    host,
                    error,
                    "a backend's name cannot be resolved; known addresses stay"
                );
                AGAIN_AFTER_FAILURE
            }
        };
        tokio::time::sleep(pause).await;
    }
}
