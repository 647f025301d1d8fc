//! Tells the engine when a window opens in which places may come home.
//!
//! The engine has no wall clock. The control task looks here with each turn, and at the latest with
//! each minute, since windows open and close on minutes.

use leeward_config::policy::Policy;
use leeward_failover::{Failback, Input, PoolId};
use std::time::Duration;

/// What the engine was told of the windows of the policy that serves.
#[derive(Default)]
pub(crate) struct Windows {
    /// By `PoolId`; `None` where it was told nothing.
    told: Vec<Option<bool>>,
}

impl Windows {
    /// What the engine has to be told now.
    pub(crate) fn look(&mut self, policy: &Policy, since_1970: Duration) -> Vec<Input> {
        self.told.resize(policy.pools.len(), None);
        let pools = policy.pools.iter().zip(&policy.engine.pools);
        let mut inputs = Vec::new();
        for (at, (io, engine)) in pools.enumerate() {
            if engine.failover.failback != Failback::Windows {
                continue;
            }
            let open = io.windows.iter().any(|window| window.is_open(since_1970));
            if self.told[at].replace(open) != Some(open) {
                let pool = PoolId::from(at);
                inputs.push(Input::Window { pool, open });
            }
        }
        inputs
    }

    /// Another policy serves: what was told is of the one before.
    pub(crate) fn forget(&mut self) {
        self.told.clear();
    }

    /// How long it is until one may open or close.
    pub(crate) fn due_in(&self, since_1970: Duration) -> Duration {
        if self.told.iter().all(Option::is_none) {
            return Duration::MAX;
        }
        let minute = Duration::from_secs(since_1970.as_secs() / 60 * 60 + 60);
        minute.saturating_sub(since_1970) + Duration::from_millis(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Open from 02:00 to 06:00 on Thursdays.
    fn policy() -> Policy {
        let text = "
version: 1
listeners: { public: { bind: 127.0.0.1:0 } }
providers: { aws: { sites: [a] } }
pools:
  one:
    backends: [{ url: http://127.0.0.1:9001, site: aws/a }]
    failover: { failback: { windows: [{ days: thu, from: 02:00, to: 06:00 }] } }
  two: { backends: [{ url: http://127.0.0.1:9002, site: aws/a }] }
routes:
  - { match: { path: /one }, pool: one }
  - { match: {}, pool: two }
";
        let loaded = leeward_config::parse("a.yaml", text, std::path::Path::new(""));
        loaded.policy.expect("a good policy")
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    #[test]
    fn the_engine_is_told_once_of_each_change() {
        let (policy, mut windows) = (policy(), Windows::default());
        let told = |open| {
            let pool = PoolId(0);
            vec![Input::Window { pool, open }]
        };
        assert_eq!(windows.look(&policy, hours(1)), told(false));
        assert_eq!(windows.look(&policy, hours(1)), []);
        assert_eq!(windows.look(&policy, hours(2)), told(true));
        assert_eq!(windows.look(&policy, hours(5)), []);
        windows.forget();
        assert_eq!(windows.look(&policy, hours(5)), told(true));
        assert_eq!(windows.look(&policy, hours(6)), told(false));
    }

    #[test]
    fn a_look_is_due_just_after_each_minute() {
        let (policy, mut windows) = (policy(), Windows::default());
        assert_eq!(windows.due_in(hours(1)), Duration::MAX);
        windows.look(&policy, hours(1));
        let due = windows.due_in(hours(1) + Duration::from_secs(59));
        assert_eq!(due, Duration::from_millis(1001));
    }
}
