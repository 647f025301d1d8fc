//! The state machine of one endpoint.
//!
//! ```text
//! unknown ──first success──► healthy ◄──────► suspect ◄──────► degraded
//!    │                          └───────────────┴────────────────┤
//!    └──────────────────────────────► down ◄─────────────────────┘
//!                                     │  ▲
//!              hold-down over, proven ▼  │ fails again: a longer hold-down
//!                                   recovering ──ramp over──► healthy
//! ```
//!
//! It trips on probes that fail in a row, on requests or connections that fail in a row, on a ratio
//! of failures, and on a silence that is confirmed (`silence`). It protects what serves: probes alone
//! take nothing down whose traffic succeeds. It recovers by probes that pass in a row after the
//! hold-down, then by a ramp; one that flaps while it is held down has to be quiet first. Orders stay away
//! until the ramp is over (`spread` sees to it).
//!
//! The engine feeds it and applies what it says. It knows nothing of its neighbours.

use crate::facts::{self, Excused, Probes, Reason, Traffic};
use crate::held::{Evidence, Held, Word, spoken};
use crate::hold::{HoldDown, Homecoming, Ramp};
use crate::id::{EndpointId, PoolId};
use crate::input::{Outcome, Overdue, ProbeResult, Tally};
use crate::listing::Listing;
use crate::order_path::OrderPath;
use crate::policy::Pool;
use crate::schedule::Slot;
use crate::silence::Silence;
use crate::table::EndpointInfo;
use crate::time::Time;
use crate::verdict::{Cause, Verdict};

/// One address of one backend, and all that is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub id: EndpointId,
    pub info: EndpointInfo,
    pub pool: PoolId,
    /// Stable over processes; ranks it for affinity keys.
    pub hash: u64,
    pub listing: Listing,
    /// It served at least once.
    pub proved: bool,
    /// It came when its backend was known by other addresses already: it is probed before it serves,
    /// at the start too.
    pub newcomer: bool,
    /// Its site's census counts it.
    pub counts: bool,
    pub held: Held,
    pub word: Word,
    pub slot: Slot,
    pub probes: Probes,
    pub traffic: Traffic,
    pub silence: Silence,
    /// How its orders fare while its reads succeed.
    pub orders: OrderPath,
    /// New requests go elsewhere until it answers.
    pub detour: bool,
    pub hold: HoldDown,
    /// What its probes saw while it was held down.
    pub meanwhile: Meanwhile,
    /// When it last gave good news: a probe that passed, a request that succeeded.
    pub last_good: Option<Time>,
    /// The ramp of an endpoint that is recovering.
    pub ramp: Option<Ramp>,
}

/// What the probes of an endpoint saw, last of all, since it was left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meanwhile {
    /// They failed as often as it takes to leave it.
    failed: bool,
    /// And passed after that as often as it takes to take it back.
    came_up: bool,
    /// And failed again.
    flaps: bool,
}

/// What an endpoint is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub pool: &'a Pool,
    pub now: Time,
}

/// What judging an endpoint came to, where it changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The verdict before.
    pub from: Verdict,
}

impl Endpoint {
    /// Takes a probe's result in.
    pub(crate) fn probed(&mut self, result: &ProbeResult, rules: Rules<'_>) -> Option<Changed> {
        self.probes.record(result);
        let passed = matches!(result, ProbeResult::Passed { .. });
        if passed {
            self.last_good = Some(rules.now);
        }
        self.silence.probed(passed, rules.now);
        self.judge(Cause::ProbesPassed, rules)
    }

    /// Takes in what requests met; `excused` is what of it is no fault of the endpoint.
    pub(crate) fn served(
        &mut self,
        tally: &Tally,
        mut excused: Excused,
        rules: Rules<'_>,
    ) -> Option<Changed> {
        let Rules { pool, now } = rules;
        if self.silence.served(tally, now) {
            excused.late = tally.late;
        }
        self.traffic.record(tally, excused, &pool.health, now);
        if tally.count(Outcome::Success) > 0 {
            self.last_good = Some(rules.now);
        }
        self.judge(Cause::TrafficSucceeds, rules)
    }

    /// Requests wait for it.
    pub(crate) fn waited_for(&mut self, overdue: Overdue, rules: Rules<'_>) -> Option<Changed> {
        self.silence.report(overdue, rules.now);
        self.judge(Cause::ProbesPassed, rules)
    }

    /// Orders alone wait for it, and its order path judges them.
    pub(crate) fn orders_wait(&mut self, rules: Rules<'_>) -> Option<Changed> {
        let ended = self.silence.excuse();
        ended.then(|| self.judge(Cause::ProbesPassed, rules))?
    }

    /// Looks at it anew because time has passed.
    pub(crate) fn woken(&mut self, rules: Rules<'_>) -> Option<Changed> {
        self.silence.tick(rules.now);
        self.judge(Cause::ProbesPassed, rules)
    }

    /// It returns by an operator's word: slowly, whatever it was.
    pub(crate) fn returns(&mut self, cause: Cause, rules: Rules<'_>) -> Option<Changed> {
        match self.held.verdict {
            Verdict::Unknown | Verdict::Down => None,
            _ => {
                let evidence = vec![("ramp", spoken(rules.pool.failover.ramp))];
                Some(self.recover(cause, evidence, rules))
            }
        }
    }

    /// When time alone may change it.
    pub(crate) fn deadline(&self) -> Time {
        match (self.held.verdict, &self.ramp) {
            (Verdict::Down, _) => self.hold.until(),
            (Verdict::Recovering, Some(ramp)) => ramp.end().min(self.silence.deadline()),
            _ => self.silence.deadline(),
        }
    }

    /// Share of its normal load that it may take, 0 to 1. A ramp of its site comes on top.
    pub(crate) fn factor(&self, now: Time) -> f64 {
        match self.held.verdict {
            Verdict::Down => 0.0,
            Verdict::Recovering => self.ramp.map_or(1.0, |ramp| ramp.factor(now)),
            Verdict::Degraded => self.traffic.weight(),
            Verdict::Unknown | Verdict::Healthy | Verdict::Suspect => 1.0,
        }
    }

    /// Whether it is down, yet answers its probes: the least bad of the bad.
    pub(crate) fn answers(&self, pool: &Pool) -> bool {
        self.probes.passes >= pool.probe.rise.max(1)
    }

    /// `good` is the cause of a change for the better.
    fn judge(&mut self, good: Cause, rules: Rules<'_>) -> Option<Changed> {
        if self.held.verdict == Verdict::Down {
            return self.down(rules);
        }
        let detour = self.silence.is_detour();
        let turned = std::mem::replace(&mut self.detour, detour) != detour;
        let changed = match self.held.verdict {
            Verdict::Unknown => self.unknown(good, rules),
            Verdict::Recovering => self.recovering(rules),
            _ => self.serving(good, rules),
        };
        if changed.is_some() || !turned {
            return changed;
        }
        // A detour begins or ends beside the same verdict.
        let (cause, evidence) = if detour {
            (Cause::Overdue, self.silence.evidence(rules.now))
        } else {
            (good, vec![("detour", "over".to_owned())])
        };
        Some(self.to(self.held.verdict, cause, evidence, rules))
    }

    /// New: one success says that it serves; failures count as for any other.
    fn unknown(&mut self, good: Cause, rules: Rules<'_>) -> Option<Changed> {
        if let Some(reason) = self.reason_to_leave(rules) {
            return Some(self.leave(reason.cause(), self.evidence(reason, rules), rules));
        }
        let counts = self.traffic.window.sum(rules.now);
        let served = counts.all > counts.failed && self.traffic.failures_in_row == 0;
        let evidence = if self.probes.passes > 0 {
            vec![("last", self.probes.last.clone())]
        } else if served {
            vec![("failed", facts::spoken_counts(counts))]
        } else {
            return None;
        };
        Some(self.to(Verdict::Healthy, good, evidence, rules))
    }

    /// In use: left for a reason, its weight lowered by a ratio, suspect by less.
    fn serving(&mut self, good: Cause, rules: Rules<'_>) -> Option<Changed> {
        if let Some(reason) = self.reason_to_leave(rules) {
            return Some(self.leave(reason.cause(), self.evidence(reason, rules), rules));
        }
        let weight = self.traffic.halvings;
        self.traffic.adjust_weight(&rules.pool.health, rules.now);
        if self.traffic.halvings > 0 {
            let changed = self.traffic.halvings != weight || self.held.verdict != Verdict::Degraded;
            return changed.then(|| self.degrade(rules));
        }
        let (verdict, cause) = self.in_use(good, rules);
        let acquitted = cause == Cause::TrafficSucceeds && self.held.cause != cause;
        if verdict == self.held.verdict && !(verdict == Verdict::Suspect && acquitted) {
            return None;
        }
        let counts = facts::spoken_counts(self.traffic.window.sum(rules.now));
        let last = self.probes.last.clone();
        let evidence = match (verdict, cause) {
            (_, Cause::Overdue) => self.silence.evidence(rules.now),
            (Verdict::Suspect, Cause::TrafficSucceeds) => vec![("failed", counts), ("last", last)],
            (_, Cause::ProbeFailed | Cause::ProbesPassed) => vec![("last", last)],
            _ => vec![("failed", counts)],
        };
        Some(self.to(verdict, cause, evidence, rules))
    }

    /// Left: it comes back when the hold-down is over and it has proved itself.
    fn down(&mut self, rules: Rules<'_>) -> Option<Changed> {
        let flaps = self.note_flaps(rules);
        if flaps.is_some() || !self.hold.is_over(rules.now) {
            return flaps;
        }
        let passed = self.answers(rules.pool);
        // Requests reach it while its pool distrusts its detector; those that succeed count.
        let acquitted =
            !self.probes.wrong_content && self.traffic.acquits(&rules.pool.health, rules.now);
        if !passed && !acquitted {
            return None;
        }
        let evidence = vec![
            ("passed_in_a_row", self.probes.passes.to_string()),
            ("hold_down", spoken(self.hold.span())),
        ];
        Some(self.recover(Cause::HoldDownOver, evidence, rules))
    }

    /// What comes up and goes down again while it is held down flaps, though nothing is sent there: it has
    /// to be quiet first. That it went down may be known only when the hold-down is over. It is said once.
    fn note_flaps(&mut self, rules: Rules<'_>) -> Option<Changed> {
        let passes = self.answers(rules.pool);
        let seen = &mut self.meanwhile;
        if self.probes.fails < rules.pool.probe.fall.max(1) {
            seen.came_up |= seen.failed && passes;
            return None;
        }
        seen.failed = true;
        if !std::mem::take(&mut seen.came_up) {
            return None;
        }
        let way_home = Homecoming::of(&rules.pool.failover);
        self.hold.prolong(&way_home, rules.now);
        if std::mem::replace(&mut seen.flaps, true) {
            return None;
        }
        let mut evidence = vec![("flaps", "yes".to_owned())];
        evidence.extend(self.evidence(Reason::Probes, rules));
        evidence.push(("quiet_for", spoken(way_home.first)));
        let cause = Reason::Probes.cause();
        Some(self.to(Verdict::Down, cause, evidence, rules))
    }

    /// Well again: its share grows, and any reason to leave sends it back for longer.
    fn recovering(&mut self, rules: Rules<'_>) -> Option<Changed> {
        let failed = self.traffic.fails_at_once().then_some(Reason::Consecutive);
        // Whose requests hang again while its probes pass has not changed.
        let hangs = self.silence.is_unanswered(rules.now);
        let failed = failed.or(hangs.then_some(Reason::Silence(Cause::Silent)));
        if let Some(reason) = failed.or_else(|| self.reason_to_leave(rules)) {
            let mut evidence = vec![("reason", reason.cause().as_str().to_owned())];
            evidence.extend(self.evidence(reason, rules));
            return Some(self.leave(Cause::FailedInRamp, evidence, rules));
        }
        if self.ramp.is_some_and(|ramp| !ramp.is_over(rules.now)) {
            return None;
        }
        let evidence = vec![("ramp", spoken(rules.pool.failover.ramp))];
        Some(self.to(Verdict::Healthy, Cause::RampOver, evidence, rules))
    }

    /// Traffic first; probes only where traffic does not speak for it.
    fn reason_to_leave(&mut self, rules: Rules<'_>) -> Option<Reason> {
        let Rules { pool, now } = rules;
        if let Some(cause) = self.silence.confirmed(now) {
            return Some(Reason::Silence(cause));
        }
        if self.traffic.is_unreachable(&self.probes, &pool.health, now) {
            return Some(Reason::Connect);
        }
        self.traffic.reason(&pool.health, now).or_else(|| {
            let red = self.probes.fails >= pool.probe.fall.max(1);
            let acquitted = !self.probes.wrong_content && self.traffic.acquits(&pool.health, now);
            (red && !acquitted).then_some(Reason::Probes)
        })
    }

    /// The verdict of an endpoint that stays in use at full weight.
    fn in_use(&mut self, good: Cause, rules: Rules<'_>) -> (Verdict, Cause) {
        let Rules { pool, now } = rules;
        if self.silence.is_suspicious() {
            return (Verdict::Suspect, Cause::Overdue);
        }
        if self.probes.fails >= pool.probe.fall.max(1) {
            return (Verdict::Suspect, Cause::TrafficSucceeds);
        }
        if self.probes.fails > 0 {
            return (Verdict::Suspect, Cause::ProbeFailed);
        }
        if self.traffic.is_suspicious(&self.probes, pool, now) {
            return (Verdict::Suspect, Cause::RequestFailed);
        }
        (Verdict::Healthy, good)
    }

    fn degrade(&mut self, rules: Rules<'_>) -> Changed {
        let counts = self.traffic.window.sum(rules.now);
        let mut evidence = vec![("failed", facts::spoken_counts(counts))];
        if counts.late > 0 {
            evidence.push(("late", counts.late.to_string()));
        }
        evidence.push(("weight", self.traffic.weight().to_string()));
        let slow = self.traffic.is_slow(rules.now);
        let cause = if slow {
            Cause::Slow
        } else {
            Cause::FailureRatio
        };
        self.to(Verdict::Degraded, cause, evidence, rules)
    }

    fn leave(&mut self, cause: Cause, mut evidence: Evidence, rules: Rules<'_>) -> Changed {
        self.hold
            .begin(&Homecoming::of(&rules.pool.failover), rules.now);
        evidence.push(("hold_down", spoken(self.hold.span())));
        self.ramp = None;
        self.meanwhile = Meanwhile::default();
        (self.silence, self.detour) = (Silence::default(), false);
        self.to(Verdict::Down, cause, evidence, rules)
    }

    fn recover(&mut self, cause: Cause, evidence: Evidence, rules: Rules<'_>) -> Changed {
        self.hold.release(rules.now);
        self.probes.fails = 0;
        self.traffic.clear(&rules.pool.health);
        self.ramp = Some(Ramp::new(rules.now, rules.pool.failover.ramp));
        self.to(Verdict::Recovering, cause, evidence, rules)
    }

    fn to(&mut self, to: Verdict, cause: Cause, evidence: Evidence, rules: Rules<'_>) -> Changed {
        if to != Verdict::Recovering {
            self.ramp = None;
        }
        Changed {
            from: self.held.become_(to, cause, evidence, rules.now),
        }
    }

    fn evidence(&self, reason: Reason, rules: Rules<'_>) -> Evidence {
        match reason {
            Reason::Silence(_) => self.silence.evidence(rules.now),
            _ => facts::evidence(reason, &self.probes, &self.traffic, rules.pool, rules.now),
        }
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
