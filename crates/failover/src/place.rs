//! The state machine of a place: a site or a provider.
//!
//! It is told what is seen of the place as a whole and decides when the place is left, how long it
//! is left alone, and how slowly it is returned to. `infer` does the seeing.

use crate::held::{Evidence, Held, Word, spoken};
use crate::hold::{HoldDown, Homecoming, Ramp};
use crate::time::Time;
use crate::verdict::{Cause, Verdict};

/// A site or a provider, over all pools.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub held: Held,
    pub word: Word,
    pub hold: HoldDown,
    /// The ramp of a place that is recovering.
    pub ramp: Option<Ramp>,
    /// When it last came into full service.
    pub in_service_since: Time,
    /// An operator lets it come home once it is well.
    pub called_home: bool,
}

/// What is seen of a place as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Nothing is known of it.
    Unknown,
    /// All of it is well.
    Well,
    /// A part of it is bad, not enough to leave.
    Doubtful,
    /// Enough of it is bad.
    Failing,
    /// It may be well, but what it belongs to is left.
    Dragged,
}

/// What a change is journalled with: the cause of a bad sight, and the facts of any.
#[derive(Clone, Debug)]
pub(crate) struct Grounds {
    pub cause: Cause,
    pub evidence: Evidence,
}

impl Place {
    pub(crate) fn new(now: Time) -> Place {
        Place {
            held: Held::new(now),
            word: Word::default(),
            hold: HoldDown::default(),
            ramp: None,
            in_service_since: now,
            called_home: false,
        }
    }

    pub(crate) fn is_left(&self) -> bool {
        self.held.verdict == Verdict::Down
    }

    /// Whether it is left only because what it belongs to is.
    pub(crate) fn is_dragged(&self) -> bool {
        self.is_left() && self.held.cause == Cause::ProviderDown
    }

    /// Whether it is left because it was before a restart, and nothing was seen of it since.
    pub(crate) fn is_remembered(&self) -> bool {
        self.is_left() && self.held.cause == Cause::Remembered
    }

    /// Whether it was well when it was last looked at, and waits to be let home.
    fn waits(&self) -> bool {
        self.is_left() && matches!(self.held.cause, Cause::AwaitsOperator | Cause::AwaitsWindow)
    }

    /// Whether it is left for its own sake, and nothing of that is left but to wait.
    fn is_over(&self, now: Time) -> bool {
        !self.is_dragged() && !self.is_remembered() && self.hold.is_over(now)
    }

    /// Whether it is left for its own sake, and not yet to be returned to.
    pub(crate) fn is_held_down(&self, now: Time) -> bool {
        self.is_left() && !self.is_dragged() && !self.hold.is_over(now)
    }

    /// Share of its normal load while it recovers.
    pub(crate) fn ramp_factor(&self, now: Time) -> Option<f64> {
        self.ramp.map(|ramp| ramp.factor(now))
    }

    /// When time alone may change it.
    pub(crate) fn deadline(&self) -> Time {
        match (self.held.verdict, &self.ramp) {
            (Verdict::Down, _) if !self.is_dragged() => self.hold.until(),
            (Verdict::Recovering, Some(ramp)) => ramp.end(),
            _ => Time::NEVER,
        }
    }

    /// Looks at the place; returns the verdict before where it changed, or the same where only the
    /// reason is another one. `awaits` is the cause for which it may not come home yet; `grounds` is
    /// asked for the facts only where something changed.
    pub(crate) fn step(
        &mut self,
        sight: Sight,
        params: &Homecoming,
        awaits: Option<Cause>,
        now: Time,
        grounds: impl FnOnce() -> Grounds,
    ) -> Option<Verdict> {
        match (self.held.verdict, sight) {
            (Verdict::Down, Sight::Failing) if self.is_dragged() || self.waits() => {
                Some(self.leave(grounds(), params, now))
            }
            (Verdict::Down, Sight::Failing) => None,
            (Verdict::Down, Sight::Dragged) if !self.is_over(now) || awaits.is_none() => None,
            (Verdict::Down, _) if !self.is_dragged() && !self.hold.is_over(now) => None,
            (Verdict::Down, Sight::Unknown) if self.is_remembered() => None,
            (Verdict::Down, _) if awaits.is_some_and(|cause| cause == self.held.cause) => None,
            (Verdict::Down, _) if let Some(cause) = awaits => {
                let grounds = Grounds { cause, ..grounds() };
                Some(self.become_(Verdict::Down, grounds, now))
            }
            (Verdict::Down, _) => {
                let called = self.called_home && self.waits();
                let cause = if called {
                    Cause::Operator
                } else {
                    Cause::HoldDownOver
                };
                Some(self.return_(cause, grounds().evidence, params, now))
            }
            (_, Sight::Failing) => Some(self.leave(grounds(), params, now)),
            (_, Sight::Dragged) => Some(self.become_(Verdict::Down, grounds(), now)),
            (Verdict::Recovering, _) => self.recovering(sight, params, now, grounds),
            (_, Sight::Unknown) => None,
            (Verdict::Suspect, Sight::Doubtful) | (Verdict::Healthy, Sight::Well) => None,
            (_, Sight::Doubtful) => Some(self.become_(Verdict::Suspect, grounds(), now)),
            (from, Sight::Well) => {
                let cause = if from == Verdict::Unknown {
                    Cause::ProbesPassed
                } else {
                    Cause::HoldDownOver
                };
                Some(self.become_(Verdict::Healthy, Grounds { cause, ..grounds() }, now))
            }
        }
    }

    /// It returns by an operator's word: slowly, whatever it was.
    pub(crate) fn returns(
        &mut self,
        cause: Cause,
        params: &Homecoming,
        now: Time,
    ) -> Option<Verdict> {
        match self.held.verdict {
            Verdict::Unknown | Verdict::Down => None,
            _ => {
                let evidence = vec![("ramp", spoken(params.ramp))];
                Some(self.return_(cause, evidence, params, now))
            }
        }
    }

    fn recovering(
        &mut self,
        sight: Sight,
        params: &Homecoming,
        now: Time,
        grounds: impl FnOnce() -> Grounds,
    ) -> Option<Verdict> {
        if self.ramp.is_some_and(|ramp| !ramp.is_over(now)) {
            return None;
        }
        self.in_service_since = now;
        if sight == Sight::Doubtful {
            return Some(self.become_(Verdict::Suspect, grounds(), now));
        }
        let evidence = vec![("ramp", spoken(params.ramp))];
        Some(self.become_(
            Verdict::Healthy,
            Grounds {
                cause: Cause::RampOver,
                evidence,
            },
            now,
        ))
    }

    fn leave(&mut self, grounds: Grounds, params: &Homecoming, now: Time) -> Verdict {
        self.hold.begin(params, now);
        let Grounds {
            mut cause,
            mut evidence,
        } = grounds;
        if self.held.verdict == Verdict::Recovering {
            evidence.insert(0, ("reason", cause.as_str().to_owned()));
            cause = Cause::FailedInRamp;
        }
        evidence.push(("hold_down", spoken(self.hold.span())));
        self.become_(Verdict::Down, Grounds { cause, evidence }, now)
    }

    fn return_(
        &mut self,
        cause: Cause,
        evidence: Evidence,
        params: &Homecoming,
        now: Time,
    ) -> Verdict {
        self.hold.release(now);
        let from = self.become_(Verdict::Recovering, Grounds { cause, evidence }, now);
        self.ramp = Some(Ramp::new(now, params.ramp));
        from
    }

    fn become_(&mut self, to: Verdict, grounds: Grounds, now: Time) -> Verdict {
        self.ramp = None;
        // A word that called it home does so once.
        self.called_home &= (self.held.verdict, to) == (Verdict::Down, Verdict::Down);
        if self.held.verdict == Verdict::Unknown {
            self.in_service_since = now;
        }
        self.held.become_(to, grounds.cause, grounds.evidence, now)
    }
}
