//! What probes and traffic said of one endpoint: counters, and what they speak for.
//!
//! Probes and traffic are kept apart, because traffic outranks probes: it can take an endpoint down
//! whose probes pass, and acquit one whose probes fail. Requests that wait for an answer are in
//! `silence`. Nothing here changes a verdict; `endpoint`
//! does.

use crate::held::Evidence;
use crate::input::{Outcome, ProbeFailure, ProbeResult, Tally};
use crate::policy::{HealthParams, Pool};
use crate::time::Time;
use crate::verdict::Cause;
use crate::window::{Counts, Window};
use std::time::Duration;

/// Share of failed requests under which traffic acquits an endpoint whose probes fail.
const ACQUITTING: f64 = 0.01;
/// Share of [`HealthParams::failing`] at which the weight begins to fall.
const DEGRADING: f64 = 0.25;
/// Failures and late answers below which the weight stays.
const LEAST_BAD: u32 = 4;
/// The part of the window that is its last moment.
const RECENT: u32 = 8;
/// How much longer the long window is.
const LONG: u32 = 15;
/// The weight of a degraded endpoint is halved at most this often ...
const MOST_HALVINGS: u32 = 3;
/// ... and at most once in this part of the window; doubled at most once in a whole one.
const HALVING: u32 = 4;
/// ... and in this many windows where nothing was sent.
const UNSEEN: u32 = 5;
/// Answers of "full" in a row, without a success for [`FULL_FOR`], that count as failures: nobody
/// is so full that nothing succeeds.
const FULL: u32 = 20;
const FULL_FOR: Duration = Duration::from_millis(500);
/// Failures in a row after which a place that returns is left again.
const FAILS_AT_ONCE: u32 = 2;
/// Answers elsewhere that are enough to say that an endpoint's 500 are everybody's.
const PEERS: u32 = 5;

/// Why an endpoint has to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Probes,
    Consecutive,
    Connect,
    Ratio,
    /// Confirmed silence, with its cause.
    Silence(Cause),
}

impl Reason {
    pub(crate) const fn cause(self) -> Cause {
        match self {
            Reason::Probes => Cause::ProbesFailed,
            Reason::Consecutive => Cause::ConsecutiveFailures,
            Reason::Connect => Cause::ConnectFailures,
            Reason::Ratio => Cause::FailureRatio,
            Reason::Silence(cause) => cause,
        }
    }
}

/// What probes found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probes {
    /// Passed in a row.
    pub passes: u32,
    /// Failed in a row.
    pub fails: u32,
    /// Whether any has ended.
    pub any: bool,
    /// The last one had no connection.
    pub cannot_connect: bool,
    /// The last one had an answer with the wrong content: that requests succeed does not speak against
    /// it, since stale data is served as fast as any.
    pub wrong_content: bool,
    /// The last one, in words.
    pub last: String,
}

impl Probes {
    pub(crate) fn record(&mut self, result: &ProbeResult) {
        self.any = true;
        self.cannot_connect = matches!(
            result,
            ProbeResult::Failed {
                cause: ProbeFailure::Refused | ProbeFailure::ConnectTimeout | ProbeFailure::Tls,
                ..
            }
        );
        self.wrong_content = matches!(
            result,
            ProbeResult::Failed {
                cause: ProbeFailure::Content,
                ..
            }
        );
        match result {
            ProbeResult::Passed { took } => {
                self.passes = self.passes.saturating_add(1);
                self.fails = 0;
                self.last = format!("passed in {:.1} ms", took.as_secs_f64() * 1000.0);
            }
            ProbeResult::Failed { cause, detail } => {
                self.fails = self.fails.saturating_add(1);
                self.passes = 0;
                self.last = if detail.is_empty() {
                    cause.as_str().to_owned()
                } else {
                    clip(detail)
                };
            }
            ProbeResult::Unmade => {}
        }
    }
}

/// What requests met.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    pub window: Window,
    /// The last moment of it: what began just now shows here.
    recent: Window,
    /// Much longer: where little is sent, enough is seen only here.
    long: Window,
    /// Failures since the last success.
    pub failures_in_row: u32,
    /// Connect failures since the last success, and since when.
    pub connect_failures: u32,
    connect_since: Time,
    /// Connect failures in the window, whatever succeeded over older connections.
    unconnected: Window,
    /// The last failure that no good news has answered yet.
    suspicion: Option<Time>,
    /// How often the weight is halved, and since when.
    pub halvings: u32,
    halved_at: Time,
    /// What was seen since: a lowered weight rises again for what succeeds, not for what is not sent.
    since_step: Counts,
    /// Answers of "full" since the last success, and when that was.
    full_in_row: u32,
    succeeded_at: Time,
}

impl Traffic {
    pub(crate) fn new(health: &HealthParams) -> Traffic {
        Traffic {
            window: Window::new(health.window),
            recent: Window::new(health.window / RECENT),
            long: Window::new(health.window * LONG),
            failures_in_row: 0,
            connect_failures: 0,
            connect_since: Time::ZERO,
            unconnected: Window::new(health.window),
            suspicion: None,
            halvings: 0,
            halved_at: Time::ZERO,
            since_step: Counts::default(),
            full_in_row: 0,
            succeeded_at: Time::ZERO,
        }
    }

    /// Takes in what requests met.
    pub(crate) fn record(
        &mut self,
        tally: &Tally,
        excused: Excused,
        health: &HealthParams,
        now: Time,
    ) {
        let full = tally.count(Outcome::Backpressure);
        let succeeded = tally.count(Outcome::Success).saturating_add(excused.errors);
        if succeeded > 0 {
            (self.full_in_row, self.succeeded_at) = (0, now);
        }
        self.full_in_row = self.full_in_row.saturating_add(full);
        let hopeless = self.full_in_row >= FULL && now.since(self.succeeded_at) >= FULL_FOR;
        let refused = if hopeless { full } else { 0 };
        let failed = tally
            .failures()
            .saturating_sub(excused.errors)
            .saturating_add(refused);
        let counts = Counts {
            all: failed
                .saturating_add(succeeded)
                .saturating_add(full - refused),
            failed,
            late: tally.late.saturating_sub(excused.late),
        };
        self.window.add(counts, now);
        self.recent.add(counts, now);
        self.long.add(counts, now);
        self.since_step = self.since_step.with(counts);
        let trailing = tally.trailing_failures.saturating_sub(excused.errors);
        let trailing = trailing.saturating_add(refused).min(failed);
        let connect = tally
            .count(Outcome::ConnectFailed)
            .saturating_add(tally.count(Outcome::TlsFailed))
            .min(trailing);
        if succeeded > 0 {
            (self.failures_in_row, self.connect_failures) = (0, 0);
        }
        let unconnected = tally
            .count(Outcome::ConnectFailed)
            .saturating_add(tally.count(Outcome::TlsFailed));
        if unconnected > 0 {
            let counts = Counts {
                all: unconnected,
                failed: unconnected,
                late: 0,
            };
            self.unconnected.add(counts, now);
        }
        self.failures_in_row = self.failures_in_row.saturating_add(trailing);
        if connect > 0 {
            if self.connect_failures == 0 || now.since(self.connect_since) > health.window {
                (self.connect_failures, self.connect_since) = (0, now);
            }
            self.connect_failures = self.connect_failures.saturating_add(connect);
        }
        if failed > 0 {
            self.suspicion = Some(now);
        }
    }

    /// Takes another length of the windows; what was counted under the old one says nothing under it.
    pub(crate) fn resize(&mut self, health: &HealthParams) {
        self.window.resize(health.window);
        self.recent.resize(health.window / RECENT);
        self.long.resize(health.window * LONG);
        self.unconnected.resize(health.window);
    }

    /// Whether a failure is still unanswered. A success answers it, or probes that pass where
    /// nothing is sent; either way it stays for a window, or the verdict would flicker.
    pub(crate) fn is_suspicious(&mut self, probes: &Probes, pool: &Pool, now: Time) -> bool {
        let answered = self.failures_in_row == 0 || probes.passes >= pool.probe.rise;
        let fresh = |failed_at| now.since(failed_at) < pool.health.window;
        self.suspicion = self
            .suspicion
            .filter(|failed_at| !answered || fresh(*failed_at));
        self.suspicion.is_some()
    }

    /// Whether so many requests succeed that probes which fail must be wrong.
    pub(crate) fn acquits(&mut self, health: &HealthParams, now: Time) -> bool {
        let counts = self.window.sum(now);
        counts.all.saturating_sub(counts.failed) >= health.min_requests.max(1)
            && counts.ratio() < ACQUITTING
    }

    /// Halves or doubles the weight by one step: fast down, slowly up.
    pub(crate) fn adjust_weight(&mut self, health: &HealthParams, now: Time) {
        let counts = self.window.sum(now);
        let bad = is_gray(counts, health) || is_gray(self.recent.sum(now), health);
        let since = now.since(self.halved_at);
        let first = self.halvings == 0;
        let seen = self.since_step;
        let proved = seen.all >= (health.min_requests / 2).max(1) && !is_gray(seen, health);
        let unseen = seen.all == 0 && since >= health.window * UNSEEN;
        if bad && self.halvings < MOST_HALVINGS && (first || since >= health.window / HALVING) {
            self.halvings += 1;
            self.step(now);
        } else if bad {
            self.halved_at = self.halved_at.max(now - health.window / HALVING);
        } else if !first && since >= health.window && (proved || unseen) {
            self.halvings -= 1;
            self.step(now);
        }
    }

    fn step(&mut self, now: Time) {
        (self.halved_at, self.since_step) = (now, Counts::default());
    }

    /// Whether it is degraded more for late answers than for failures.
    pub(crate) fn is_slow(&mut self, now: Time) -> bool {
        let counts = self.window.sum(now);
        counts.late > counts.failed
    }

    /// Share of its normal load: 1, a half, a quarter or an eighth.
    pub(crate) fn weight(&self) -> f64 {
        0.5_f64.powi(self.halvings.cast_signed())
    }

    /// Whether no connection can be made any more, as probes that fail to connect say as well: what
    /// succeeds over connections that are there already does not speak for the endpoint then.
    pub(crate) fn is_unreachable(
        &mut self,
        probes: &Probes,
        health: &HealthParams,
        now: Time,
    ) -> bool {
        probes.cannot_connect && self.unconnected.sum(now).failed >= health.connect_failures.max(1)
    }

    /// Whether it fails as it did before it was left. What has only just come back is not given the
    /// benefit of the doubt.
    pub(crate) const fn fails_at_once(&self) -> bool {
        self.failures_in_row >= FAILS_AT_ONCE
    }

    /// Whether it alone says that the endpoint must be left.
    pub(crate) fn reason(&mut self, health: &HealthParams, now: Time) -> Option<Reason> {
        let counts = self.window.sum(now);
        if self.connect_failures >= health.connect_failures.max(1) {
            Some(Reason::Connect)
        } else if self.failures_in_row >= health.consecutive.max(1) {
            Some(Reason::Consecutive)
        } else if is_failing(counts, health)
            || self.failures_in_row > 0 && is_failing(self.long.sum(now), health)
        {
            Some(Reason::Ratio)
        } else {
            None
        }
    }

    /// Forgets everything: what was before a hold-down says nothing of after it.
    pub(crate) fn clear(&mut self, health: &HealthParams) {
        let mut window = self.window.clone();
        window.clear(health.window);
        *self = Traffic {
            window,
            ..Traffic::new(health)
        };
    }
}

/// The facts behind a reason to leave.
pub(crate) fn evidence(
    reason: Reason,
    probes: &Probes,
    traffic: &Traffic,
    pool: &Pool,
    now: Time,
) -> Evidence {
    let counts = traffic.window.peek(now);
    match reason {
        Reason::Probes => {
            vec![
                ("failed_in_a_row", probes.fails.to_string()),
                ("last", probes.last.clone()),
            ]
        }
        // Its facts are the silence's own.
        Reason::Silence(_) => Vec::new(),
        Reason::Consecutive => vec![("failed_in_a_row", traffic.failures_in_row.to_string())],
        Reason::Connect => {
            let failures = traffic.unconnected.peek(now).failed;
            vec![("connect_failures", failures.to_string())]
        }
        Reason::Ratio => {
            let threshold = format!("{:.0}%", pool.health.failing * 100.0);
            vec![("failed", spoken_counts(counts)), ("threshold", threshold)]
        }
    }
}

/// Whether so much fails that it has to be left.
fn is_failing(counts: Counts, health: &HealthParams) -> bool {
    counts.all >= health.min_requests.max(1) && counts.ratio() >= health.failing
}

/// Whether so much fails or comes late that the weight has to fall.
fn is_gray(counts: Counts, health: &HealthParams) -> bool {
    let bad = counts.failed.saturating_add(counts.late).min(counts.all);
    bad >= LEAST_BAD
        && counts.all >= (health.min_requests / 2).max(1)
        && f64::from(bad) >= f64::from(counts.all) * health.failing * DEGRADING
}

/// What of a batch is no fault of its endpoint: 500 and late answers that the pool's other providers
/// give as well are the application's, or a client's, and no reason to leave for them.
pub(crate) fn excused(own: Counts, elsewhere: Counts, tally: &Tally) -> Excused {
    let share = |part: u32, counts: Counts| f64::from(part) / f64::from(counts.all.max(1));
    let same = |part: fn(Counts) -> u32| {
        elsewhere.all >= PEERS && share(part(elsewhere), elsewhere) * 2.0 >= share(part(own), own)
    };
    let errors = tally.count(Outcome::ServerError);
    Excused {
        errors: if same(|counts| counts.failed) {
            errors
        } else {
            0
        },
        late: if same(|counts| counts.late) {
            tally.late
        } else {
            0
        },
    }
}

/// What of a batch is no fault of its endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Excused {
    /// 500 and alike.
    pub errors: u32,
    /// Late answers.
    pub late: u32,
}

/// `12 of 40`.
pub(crate) fn spoken_counts(counts: Counts) -> String {
    format!("{} of {}", counts.failed, counts.all)
}

/// A detail comes from a backend: it is cut where it is longer than a line.
fn clip(text: &str) -> String {
    const LONGEST: usize = 200;
    text.chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
