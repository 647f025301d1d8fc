//! What the service manager is told (sd_notify(3)): ready, reloading, stopping, alive.
//!
//! Does nothing where no manager asked for it (`NOTIFY_SOCKET`, `WATCHDOG_USEC`). May be called from
//! any thread. Judges nothing but one thing: the watchdog hears of us only while every thread that
//! traffic needs answers, so that a process that hangs is ended and started again.

use leeward_proxy::{Pulse, Silence};
use sd_notify::NotifyState;

/// The start, or a reload, is done; `status` is for people.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; [`ready`] has to follow, whatever comes of it. The time is what the manager of
/// a `Type=notify-reload` unit waits for.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[
            NotifyState::Reloading,
            now,
            NotifyState::Status("reloading the policy"),
        ]),
        Err(error) => tracing::warn!(%error, "there is no monotonic clock"),
    }
}

/// The end begins; `status` is for people.
pub(crate) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// What is going on, for people.
pub(crate) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Starts to tell the watchdog, where there is one, that the threads behind `pulse` are alive:
/// twice in each of its periods, for as long as that is true. Needs a tokio runtime.
pub(crate) fn keep_alive(pulse: Pulse) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return;
    };
    tracing::debug!(?period, "the service manager watches");
    let mut beat = tokio::time::interval(period / 2);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tokio::spawn(async move {
        loop {
            beat.tick().await;
            match pulse.take(period / 4).await {
                Ok(()) => tell(&[NotifyState::Watchdog]),
                Err(Silence { thread }) => {
                    tracing::error!(thread, "a thread does not answer: the watchdog is not told");
                }
            }
        }
    });
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
