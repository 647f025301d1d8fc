//! Waiting for a state with a deadline: the only way in which a test lets time pass.

use std::time::{Duration, Instant};

/// How long a state may take that should come at once, on a machine that does much else.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Looks again and again until `look` finds something; panics with `what` when the time is over.
pub(crate) async fn eventually<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Looks until `look` gives the same for `calm` without a break, and returns that.
pub(crate) async fn settled<T: PartialEq>(
    what: &str,
    calm: Duration,
    mut look: impl FnMut() -> T,
) -> T {
    let deadline = Instant::now() + SOON * 3;
    let mut last = look();
    let mut since = Instant::now();
    while since.elapsed() < calm {
        assert!(Instant::now() < deadline, "never calm for {calm:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = look();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}
