//! An endpoint's order path: whether orders and cancels succeed there, while reads do.
//!
//! ```text
//! healthy ──orders fail, reads succeed──► down ──hold-down over──► recovering ──five succeed──► healthy
//!    ▲                                     │ ▲                          │
//!    └──five succeed where they have to────┘ └──two fail: held longer───┘
//! ```
//!
//! A database that went read-only or a matching engine that is gone breaks orders and nothing else:
//! reads and probes go on succeeding, and prove nothing of it. So orders are judged by orders alone.
//! It trips on failures in a row, on a ratio with a minimum count, on a smaller one that lasts
//! (`order_blocks`), and on orders that wait while reads are answered (`reads`). It protects against
//! callers: what one client's orders do alone says nothing while others' succeed, and it takes more of
//! them where they are 500 to a single client. Where reads fail as well it says nothing: that is the
//! endpoint's own verdict (`endpoint`).
//!
//! `orders` feeds it and applies what it says; `spread` and `writer` go by it.

use crate::bugs::{Bug, is_injected};
use crate::facts::{Reason, spoken_counts};
use crate::held::{Evidence, Held, spoken};
use crate::hold::{HoldDown, Homecoming};
use crate::input::{Outcome, Overdue, Tally};
use crate::order_blocks::{Blocks, GRAY};
use crate::order_window::OrderWindow;
use crate::policy::{HealthParams, Pool};
use crate::reads::{LONG, Reads};
use crate::silence::Silence;
use crate::time::Time;
use crate::verdict::{Cause, Verdict};
use crate::window::Counts;

/// Orders that succeed in a row, after which the path has proved itself.
const PROVED: u32 = 5;
/// Orders that fail in a row, after which a path on trial is left again.
const FAILS_AT_ONCE: u32 = 2;
/// Clients whose orders fail that are enough, where there are so many.
const SEVERAL: u32 = 3;
/// Answers of "full" in a row, without a success for [`FULL_FOR`], that count as failures.
const FULL: u32 = 20;
const FULL_FOR: std::time::Duration = std::time::Duration::from_millis(500);

/// What is known of the orders of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct OrderPath {
    /// `healthy`, `down` or `recovering`.
    pub held: Held,
    window: OrderWindow,
    long: OrderWindow,
    /// Those that fail in part.
    blocks: Blocks,
    /// It was shut for those: a few that succeed in a row prove nothing.
    gray: bool,
    /// Failures since the last success.
    row: Row,
    /// Successes since the last failure.
    succeeded_in_row: u32,
    /// Answers of "full" since the last success, and when that was.
    full_in_row: u32,
    succeeded_at: Time,
    reads: Reads,
    silence: Silence,
    hold: HoldDown,
    /// Orders fail at another endpoint of its provider.
    doubted: bool,
}

/// What stands around an endpoint whose orders are judged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Around {
    /// Orders go there: what succeeds was sent lately.
    pub taken: bool,
    /// The order path of another endpoint of its provider is down: less is enough.
    pub doubted: bool,
    /// When a probe that passed stands in for reads: its pool's reads go elsewhere, as those of a
    /// standby do.
    pub probed: Option<Time>,
}

/// Orders that failed in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    failed: u32,
    /// Those of them that were answered 500.
    errors: u32,
    clients: u64,
    /// When the first was heard of, and the last.
    since: Time,
    last: Time,
}

/// What may go there of a pool's orders, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fitness {
    /// All of its part.
    #[default]
    Fit,
    /// Little: it failed before and has not proved itself since.
    OnTrial,
    /// Whatever has to: its orders wait, and none is answered.
    Silent,
    /// None, while anything else takes them.
    Unfit,
}

impl OrderPath {
    pub(crate) fn new(health: &HealthParams, now: Time) -> OrderPath {
        OrderPath {
            held: Held {
                verdict: Verdict::Healthy,
                ..Held::new(now)
            },
            window: OrderWindow::new(health.window),
            long: OrderWindow::new(health.window * LONG),
            blocks: Blocks::default(),
            gray: false,
            row: Row::default(),
            succeeded_in_row: 0,
            full_in_row: 0,
            succeeded_at: Time::ZERO,
            reads: Reads::new(health),
            silence: Silence::default(),
            hold: HoldDown::default(),
            doubted: false,
        }
    }

    /// Takes in what requests met. Returns the verdict before where it changed.
    pub(crate) fn served(
        &mut self,
        tally: &Tally,
        around: Around,
        pool: &Pool,
        now: Time,
    ) -> Option<Verdict> {
        let taken = around.taken;
        self.doubted = around.doubted;
        self.reads.stands_in = around.probed;
        self.reads.record(tally, now);
        let orders = &tally.orders;
        if orders.is_empty() {
            // Reads may only now say that it is the orders alone.
            let waits = self.row.failed > 0 || self.silence.is_suspicious();
            return waits.then(|| self.judge(taken, pool, now)).flatten();
        }
        self.silence.answered(orders.answers(), orders.late, now);
        let succeeded = orders.count(Outcome::Success);
        let full = self.hopelessly_full(succeeded, orders.count(Outcome::Backpressure), now);
        let failed = orders.failures().saturating_add(full);
        let counts = Counts {
            all: failed.saturating_add(succeeded),
            failed,
            late: 0,
        };
        let hit = if full > 0 { orders.clients } else { orders.hit };
        self.window.add(counts, (orders.clients, hit), now);
        self.long.add(counts, (orders.clients, hit), now);
        // What is on trial may take its time.
        let longest = match self.held.verdict {
            Verdict::Healthy => LONG * 2,
            _ => u32::MAX,
        };
        let clients = (orders.clients, hit);
        self.blocks.add(counts, clients, &pool.health, longest, now);
        if succeeded > 0 {
            self.row = Row::default();
        }
        let trailing = orders.trailing_failures.saturating_add(full);
        if trailing > 0 {
            if self.row.failed == 0 {
                self.row.since = now;
            }
            let errors = orders.count(Outcome::ServerError).min(trailing);
            self.row.failed = self.row.failed.saturating_add(trailing);
            self.row.errors = self.row.errors.saturating_add(errors);
            self.row.clients |= hit;
            self.row.last = now;
            self.succeeded_in_row = 0;
        } else {
            self.succeeded_in_row = self.succeeded_in_row.saturating_add(succeeded);
        }
        self.judge(taken, pool, now)
    }

    /// Nobody is so full that no order at all succeeds: how many answers of "full" are failures.
    fn hopelessly_full(&mut self, succeeded: u32, full: u32, now: Time) -> u32 {
        if succeeded > 0 {
            (self.full_in_row, self.succeeded_at) = (0, now);
        }
        self.full_in_row = self.full_in_row.saturating_add(full);
        let hopeless = self.full_in_row >= FULL && now.since(self.succeeded_at) >= FULL_FOR;
        if hopeless { full } else { 0 }
    }

    /// Orders wait, and none was answered since they were sent. Returns the verdict before where it
    /// changed.
    pub(crate) fn waited_for(
        &mut self,
        overdue: Overdue,
        probed: Option<Time>,
        pool: &Pool,
        now: Time,
    ) -> Option<Verdict> {
        self.reads.stands_in = probed;
        // What is known of paths speaks of the endpoint; that it lives, its reads say.
        let overdue = Overdue {
            dead_paths: 0,
            ..overdue
        };
        self.silence.report(overdue, now);
        self.silence.probed(true, now);
        self.judge(false, pool, now)
    }

    /// Time has passed. Returns the verdict before where it changed.
    pub(crate) fn woken(&mut self, pool: &Pool, now: Time) -> Option<Verdict> {
        self.silence.tick(now);
        self.judge(false, pool, now)
    }

    /// An operator says that it is well again. Returns the verdict before where it changed.
    pub(crate) fn restore(&mut self, health: &HealthParams, now: Time) -> Option<Verdict> {
        (self.held.verdict != Verdict::Healthy).then(|| {
            self.hold.release(now);
            self.forget(health);
            self.gray = false;
            self.to(Verdict::Healthy, Cause::Operator, Evidence::new(), now)
        })
    }

    /// What was counted under other windows says nothing under these.
    pub(crate) fn resize(&mut self, health: &HealthParams) {
        self.window.resize(health.window);
        self.long.resize(health.window * LONG);
        self.reads.resize(health);
    }

    /// What may go there.
    pub(crate) fn fitness(&self) -> Fitness {
        match self.held.verdict {
            Verdict::Down => Fitness::Unfit,
            _ if self.is_detour() => Fitness::Silent,
            Verdict::Recovering => Fitness::OnTrial,
            _ => Fitness::Fit,
        }
    }

    /// Whether orders wait in vain while reads are answered.
    pub(crate) fn is_detour(&self) -> bool {
        let since = self.silence.since();
        let answered = since.is_some_and(|since| self.reads.succeeded_since(since));
        answered && self.silence.is_detour()
    }

    /// Since when no order was answered, while any waits.
    pub(crate) fn silent_since(&self) -> Option<Time> {
        self.silence.since()
    }

    /// Whether orders that have waited since then are judged here alone: reads were answered, or a
    /// probe in their place (`probed`).
    pub(crate) fn is_vouched_since(&mut self, then: Time, probed: Option<Time>, now: Time) -> bool {
        self.reads.stands_in = probed;
        self.reads.vouch(now) && self.reads.succeeded_since(then)
    }

    /// Whether failed orders are judged here alone: reads say that the rest is well.
    pub(crate) fn reads_vouch(&mut self, now: Time) -> bool {
        self.reads.vouch(now)
    }

    /// When time alone may change it.
    pub(crate) fn deadline(&self) -> Time {
        match self.held.verdict {
            Verdict::Down => self.hold.until(),
            _ => self.silence.deadline(),
        }
    }

    /// The hold-down, for the status and the memory.
    pub(crate) const fn hold(&self) -> &HoldDown {
        &self.hold
    }

    /// Orders in the window: all, and those that failed.
    pub(crate) fn peek(&self, now: Time) -> (u32, u32) {
        let counts = self.window.clone().sum(now);
        (counts.all, counts.failed)
    }

    /// As it was before a restart: left for what remains of its hold-down.
    pub(crate) fn recall(&mut self, hold: HoldDown, evidence: Evidence, now: Time) -> Verdict {
        self.hold = hold;
        self.to(Verdict::Down, Cause::Remembered, evidence, now)
    }

    fn judge(&mut self, taken: bool, pool: &Pool, now: Time) -> Option<Verdict> {
        let proved = match self.gray {
            true => self.blocks.is_clean(),
            false => self.succeeded_in_row >= PROVED,
        };
        match self.held.verdict {
            Verdict::Down if proved && taken => Some(self.acquit(now)),
            Verdict::Down if self.hold.is_over(now) => {
                let evidence = vec![("hold_down", spoken(self.hold.span()))];
                self.hold.release(now);
                self.forget(&pool.health);
                let to = match is_injected(Bug::TimeProvesOrders) {
                    true => Verdict::Healthy,
                    false => Verdict::Recovering,
                };
                Some(self.to(to, Cause::HoldDownOver, evidence, now))
            }
            Verdict::Down => None,
            verdict => {
                let on_trial = verdict == Verdict::Recovering;
                if let Some(cause) = self.reason(on_trial, &pool.health, now) {
                    return Some(self.leave(cause, pool, now));
                }
                (on_trial && proved).then(|| self.acquit(now))
            }
        }
    }

    fn reason(&mut self, on_trial: bool, health: &HealthParams, now: Time) -> Option<Cause> {
        let gray = self.is_gray(on_trial);
        let since = match self.row.failed {
            0 if gray => self.blocks.since(),
            0 => self.silence.since()?,
            _ => self.row.since,
        };
        if !self.reads.vouch(now) || !self.reads.succeeded_since(since) {
            return None;
        }
        let soon = self.row.failed >= FAILS_AT_ONCE && !self.is_one_clients(now);
        if on_trial && (soon || gray || self.silence.is_detour()) {
            return Some(Cause::FailedInRamp);
        }
        if let Some(cause) = self.silence.confirmed(now) {
            return Some(cause);
        }
        if self.doubted && soon {
            return Some(Reason::Consecutive.cause());
        }
        if self.fails_in_a_row(health, now) {
            return Some(Reason::Consecutive.cause());
        }
        let others = self.long.clients(now).0;
        let ratio = self.row.failed > 0
            && (is_failing(&mut self.window, others, health, now)
                || is_failing(&mut self.long, others, health, now));
        (ratio || gray).then(|| Reason::Ratio.cause())
    }

    /// Whether orders fail in part for long enough; less is enough where others doubt it already.
    fn is_gray(&self, on_trial: bool) -> bool {
        let enough = if on_trial || self.doubted { 1 } else { 2 };
        self.blocks.gray() >= enough && !is_injected(Bug::PartialFailuresIgnored)
    }

    fn fails_in_a_row(&mut self, health: &HealthParams, now: Time) -> bool {
        let Row {
            failed,
            errors,
            clients,
            last,
            ..
        } = self.row;
        // That reads vouch only now does not make failures of long ago speak.
        if now.since(last) > health.window * LONG {
            return false;
        }
        let enough = health.consecutive.max(1);
        if is_injected(Bug::OneClientMovesOrders) {
            return failed >= enough;
        }
        let hit = clients.count_ones();
        if hit > 1 {
            let seen = self.window.clients(now).0.count_ones();
            return failed >= enough && hit >= seen.min(SEVERAL);
        }
        let hard = failed.saturating_sub(errors);
        let many = failed >= enough.max(health.min_requests);
        (hard >= enough || many) && !self.is_one_clients(now)
    }

    /// Whether only one client's orders failed in a row, and others were seen lately whose did not: its
    /// orders may be what is wrong.
    fn is_one_clients(&self, now: Time) -> bool {
        let hit = self.row.clients;
        let others = self.long.clients(now).0 & !hit;
        hit.count_ones() == 1 && others != 0
    }

    fn leave(&mut self, cause: Cause, pool: &Pool, now: Time) -> Verdict {
        let mut evidence = vec![("orders_failed", spoken_counts(self.window.sum(now)))];
        let on_trial = self.held.verdict == Verdict::Recovering;
        let ratio = matches!(cause, Cause::FailureRatio | Cause::FailedInRamp);
        let gray = ratio && self.is_gray(on_trial);
        match cause {
            _ if gray => {
                let threshold = pool.health.failing * GRAY * 100.0;
                evidence.push(("threshold", format!("{threshold:.1}%")));
                let lasts = now.since(self.blocks.since());
                evidence.push(("for", spoken(lasts)));
            }
            Cause::ConsecutiveFailures | Cause::FailedInRamp if self.row.failed > 0 => {
                evidence.push(("failed_in_a_row", self.row.failed.to_string()));
            }
            Cause::FailureRatio => {
                let threshold = format!("{:.0}%", pool.health.failing * 100.0);
                evidence.push(("threshold", threshold));
            }
            // Its probe is a word of its own, and none about orders.
            _ => {
                let facts = self.silence.evidence(now).into_iter();
                evidence.extend(facts.filter(|(fact, _)| *fact != "probe"));
            }
        }
        evidence.push(("reads_failed", spoken_counts(self.reads.lately(now))));
        self.hold.begin(&Homecoming::of(&pool.failover), now);
        evidence.push(("hold_down", spoken(self.hold.span())));
        self.forget(&pool.health);
        self.gray = gray || self.gray && on_trial;
        self.to(Verdict::Down, cause, evidence, now)
    }

    fn acquit(&mut self, now: Time) -> Verdict {
        let proof = match self.blocks.last().filter(|_| self.gray) {
            Some(counts) => ("orders_failed", spoken_counts(counts)),
            None => ("succeeded_in_a_row", self.succeeded_in_row.to_string()),
        };
        let evidence = vec![proof];
        (self.gray, self.blocks) = (false, Blocks::default());
        self.hold.release(now);
        self.to(Verdict::Healthy, Cause::TrafficSucceeds, evidence, now)
    }

    /// What was before a change says nothing of after it.
    fn forget(&mut self, health: &HealthParams) {
        self.window.clear(health.window);
        self.long.clear(health.window * LONG);
        (self.row, self.succeeded_in_row, self.full_in_row) = (Row::default(), 0, 0);
        self.blocks = Blocks::default();
        self.silence = Silence::default();
    }

    fn to(&mut self, to: Verdict, cause: Cause, evidence: Evidence, now: Time) -> Verdict {
        self.held.become_(to, cause, evidence, now)
    }
}

/// Whether so large a share of the orders fails, and of more than half of the clients; of one alone only
/// where no others were seen `lately`.
fn is_failing(window: &mut OrderWindow, lately: u64, health: &HealthParams, now: Time) -> bool {
    let counts = window.sum(now);
    let (seen, hit) = window.clients(now);
    let alone = hit.count_ones() <= 1;
    let many = match alone {
        true => lately & !hit == 0 || is_injected(Bug::OneClientMovesOrders),
        false => hit.count_ones() * 2 > seen.count_ones(),
    };
    counts.all >= health.min_requests.max(1) && counts.ratio() >= health.failing && many
}

#[cfg(test)]
#[path = "order_path_tests.rs"]
mod tests;
