//! Silence: requests that wait for an endpoint that says nothing.
//!
//! Two answers to it, so that a quick reaction and few false alarms do not fight. A *detour* begins
//! as soon as a few requests are overdue, or one whose path is dead: new requests go elsewhere, and
//! the next answer undoes it. That costs a healthy backend that paused for a moment nothing. Only a
//! silence that is *confirmed* takes the endpoint down: its paths are dead as far as the kernel
//! knows, a probe failed beside it, it lasts, or it comes back again and again while probes pass.
//!
//! Part of an endpoint's evidence. `endpoint` asks what it speaks for.

use crate::held::{Evidence, spoken};
use crate::input::{Overdue, Tally};
use crate::time::Time;
use crate::verdict::Cause;
use std::time::Duration;

/// Overdue requests that begin a detour while their paths are fine.
const FEW: u32 = 2;
/// Overdue requests that are enough to confirm a silence that lasts.
const SEVERAL: u32 = 3;
/// A silence that lasts for so long, with [`SEVERAL`] waiting, needs no other witness.
const LASTING: Duration = Duration::from_secs(1);
/// A silence beside which a probe failed is confirmed after this long: no shorter pause of a backend
/// is worth an evacuation.
const WITNESSED: Duration = Duration::from_millis(500);
/// Two dead paths confirm a silence after this long ...
const DEAD_PATHS: Duration = Duration::from_millis(250);
/// ... and a single one after this long: one packet may be lost a few times in a row.
const DEAD_PATH: Duration = Duration::from_secs(1);
/// A late answer ends a silence up to this long: it was a pause.
const PAUSE: Duration = Duration::from_millis(600);
/// Reports come far more often than this while requests wait.
const QUIET: Duration = Duration::from_millis(150);
/// Detours within [`MEMORY`] that no answer ended, after which the endpoint is left: its probes
/// pass, and its requests hang.
const MOST_UNANSWERED: usize = 3;
const MEMORY: Duration = Duration::from_secs(30);

/// What is known of an endpoint's silence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Silence {
    spell: Option<Spell>,
    /// When detours ended that no answer had ended.
    unanswered: Vec<Time>,
}

/// A silence under way.
#[derive(Clone, Debug)]
struct Spell {
    /// When the oldest request that waits was sent.
    since: Time,
    /// When anything was last reported of it.
    reported: Time,
    overdue: Overdue,
    /// New requests go elsewhere.
    detour: bool,
    probe_failed: bool,
    probe_passed: bool,
    /// Nobody waits any more, as far as reports tell.
    quiet: bool,
    /// Whether anything but orders and cancels waits, or has in this silence.
    reads: bool,
}

impl Silence {
    /// Requests wait.
    pub(crate) fn report(&mut self, overdue: Overdue, now: Time) {
        let since = now - overdue.oldest;
        let spell = self.spell.get_or_insert(Spell {
            since,
            reported: now,
            overdue,
            detour: false,
            probe_failed: false,
            probe_passed: false,
            quiet: false,
            reads: false,
        });
        // Each worker reports what waits there: the worst of them counts.
        let fresh = now.since(spell.reported) < QUIET && !spell.quiet;
        spell.overdue = if fresh {
            worst(spell.overdue, overdue)
        } else {
            overdue
        };
        spell.since = spell.since.min(since);
        spell.reported = now;
        spell.quiet = false;
        spell.reads |= !overdue.is_of_orders_alone();
        spell.look();
    }

    /// Those who wait are orders alone, and others judge them. True where that ends a silence.
    pub(crate) fn excuse(&mut self) -> bool {
        let spell = self.spell.take_if(|spell| !spell.reads);
        spell.is_some()
    }

    /// Requests met something. True where that ends a pause, whose late answers say nothing more.
    pub(crate) fn served(&mut self, tally: &Tally, now: Time) -> bool {
        self.answered(tally.answers(), tally.late, now)
    }

    /// So many answers came, and so many of them late. True where that ends a pause.
    pub(crate) fn answered(&mut self, answers: u32, late: u32, now: Time) -> bool {
        let Some(spell) = &self.spell else {
            return false;
        };
        let timely = answers > late;
        let paused = answers > 0 && now.since(spell.since) <= PAUSE;
        if timely || paused {
            self.spell = None;
        }
        paused
    }

    /// A probe ended.
    pub(crate) fn probed(&mut self, passed: bool, now: Time) {
        let Some(spell) = &mut self.spell else { return };
        if passed {
            spell.probe_passed = true;
        } else {
            spell.probe_failed = true;
        }
        spell.look();
        self.close(now);
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Time) {
        if let Some(spell) = &mut self.spell {
            spell.quiet |= now.since(spell.reported) >= QUIET;
            self.close(now);
        }
    }

    /// Nobody waits any more: a probe's word decides then.
    fn close(&mut self, now: Time) {
        let Some(spell) = &self.spell else { return };
        if !spell.quiet {
            return;
        }
        if !spell.detour {
            self.spell = None;
        } else if spell.probe_passed && !spell.probe_failed {
            self.spell = None;
            self.unanswered.retain(|ended| now.since(*ended) < MEMORY);
            self.unanswered.push(now);
        }
    }

    /// Whether anything is overdue.
    pub(crate) const fn is_suspicious(&self) -> bool {
        self.spell.is_some()
    }

    /// Whether new requests go elsewhere.
    pub(crate) fn is_detour(&self) -> bool {
        self.spell.as_ref().is_some_and(|spell| spell.detour)
    }

    /// Whether a detour has ended lately that no answer had ended: probes pass, and requests hang.
    pub(crate) fn is_unanswered(&self, now: Time) -> bool {
        self.unanswered.iter().any(|at| now.since(*at) < MEMORY)
    }

    /// Since when nothing was answered.
    pub(crate) fn since(&self) -> Option<Time> {
        self.spell.as_ref().map(|spell| spell.since)
    }

    /// Why it is to be left, where the silence is confirmed.
    pub(crate) fn confirmed(&self, now: Time) -> Option<Cause> {
        if self.unanswered.len() >= MOST_UNANSWERED
            && self.unanswered.iter().all(|at| now.since(*at) < MEMORY)
        {
            return Some(Cause::Silent);
        }
        let spell = self.spell.as_ref()?;
        let lasted = now.since(spell.since);
        let Overdue {
            requests,
            dead_paths,
            ..
        } = spell.overdue;
        if dead_paths >= 2 && lasted >= DEAD_PATHS || dead_paths >= 1 && lasted >= DEAD_PATH {
            return Some(Cause::PathDead);
        }
        let witnessed = spell.probe_failed && lasted >= WITNESSED;
        let lasting = !spell.quiet && requests >= SEVERAL && lasted >= LASTING;
        (spell.detour && (witnessed || lasting)).then_some(Cause::Silent)
    }

    /// When time alone may change something.
    pub(crate) fn deadline(&self) -> Time {
        match &self.spell {
            Some(spell) if !spell.quiet => spell.reported + QUIET,
            _ => Time::NEVER,
        }
    }

    /// The facts.
    pub(crate) fn evidence(&self, now: Time) -> Evidence {
        let Some(spell) = &self.spell else {
            return vec![("unanswered_detours", self.unanswered.len().to_string())];
        };
        let mut facts = vec![
            ("overdue", spell.overdue.requests.to_string()),
            ("silent_for", spoken(now.since(spell.since))),
        ];
        if spell.overdue.dead_paths > 0 {
            facts.push(("dead_paths", spell.overdue.dead_paths.to_string()));
        }
        if spell.probe_failed {
            facts.push(("probe", "failed".to_owned()));
        } else if spell.probe_passed {
            facts.push(("probe", "passed".to_owned()));
        }
        if spell.detour {
            facts.push(("detour", "yes".to_owned()));
        }
        facts
    }
}

impl Overdue {
    /// Whether all that is known of it is that orders and cancels wait.
    pub(crate) const fn is_of_orders_alone(&self) -> bool {
        self.orders >= self.requests && self.dead_paths == 0
    }
}

impl Spell {
    /// A detour begins where enough is overdue.
    fn look(&mut self) {
        let Overdue {
            requests,
            dead_paths,
            ..
        } = self.overdue;
        self.detour |= requests >= FEW || dead_paths >= 1 || requests >= 1 && self.probe_failed;
    }
}

fn worst(one: Overdue, two: Overdue) -> Overdue {
    Overdue {
        requests: one.requests.max(two.requests),
        oldest: one.oldest.max(two.oldest),
        dead_paths: one.dead_paths.max(two.dead_paths),
        orders: one.orders.max(two.orders),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Outcome;

    const fn waits(requests: u32, millis: u64, dead_paths: u32) -> Overdue {
        Overdue {
            requests,
            oldest: Duration::from_millis(millis),
            dead_paths,
            orders: 0,
        }
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(10_000 + millis)
    }

    fn answers(late: u32) -> Tally {
        let mut tally = Tally::default();
        tally.add(Outcome::Success, Duration::from_millis(2));
        tally.late = late;
        tally
    }

    #[test]
    fn one_request_that_waits_is_a_suspicion_and_two_are_a_detour() {
        let mut silence = Silence::default();
        silence.report(waits(1, 60, 0), at(60));
        assert!(silence.is_suspicious() && !silence.is_detour());
        silence.report(waits(2, 80, 0), at(80));
        assert!(silence.is_detour());
        assert_eq!(silence.confirmed(at(80)), None);
    }

    #[test]
    fn one_that_waits_on_a_dead_path_or_beside_a_failed_probe_is_a_detour() {
        let mut silence = Silence::default();
        silence.report(waits(1, 120, 1), at(120));
        assert!(silence.is_detour());
        let mut silence = Silence::default();
        silence.report(waits(1, 60, 0), at(60));
        silence.probed(false, at(560));
        assert!(silence.is_detour());
    }

    #[test]
    fn any_answer_ends_a_pause_and_only_a_timely_one_ends_a_long_silence() {
        let mut silence = Silence::default();
        silence.report(waits(5, 100, 0), at(100));
        assert!(silence.served(&answers(1), at(300)));
        assert!(!silence.is_suspicious());
        silence.report(waits(2, 800, 0), at(800));
        assert!(!silence.served(&answers(1), at(810)));
        assert!(silence.is_detour());
        silence.served(&answers(0), at(820));
        assert!(!silence.is_detour());
    }

    #[test]
    fn a_silence_is_confirmed_by_dead_paths_or_a_probe_or_its_length() {
        let confirmed = |overdue, probe_failed: bool, after| {
            let mut silence = Silence::default();
            silence.report(overdue, at(0) + overdue.oldest);
            if probe_failed {
                silence.probed(false, at(400));
            }
            silence.report(overdue, at(after));
            silence.confirmed(at(after))
        };
        assert_eq!(
            confirmed(waits(6, 200, 2), false, 260),
            Some(Cause::PathDead)
        );
        assert_eq!(confirmed(waits(6, 200, 1), false, 260), None);
        assert_eq!(confirmed(waits(6, 200, 0), true, 520), Some(Cause::Silent));
        assert_eq!(confirmed(waits(6, 200, 0), false, 990), None);
        assert_eq!(
            confirmed(waits(6, 200, 0), false, 1000),
            Some(Cause::Silent)
        );
        assert_eq!(confirmed(waits(2, 200, 0), false, 5000), None);
    }

    #[test]
    fn detours_that_only_probes_end_lead_to_an_evacuation_in_the_end() {
        let mut silence = Silence::default();
        for round in 0..3 {
            let now = at(round * 1000);
            assert_eq!(silence.confirmed(now), None);
            silence.report(waits(3, 80, 0), now);
            silence.probed(true, now + Duration::from_millis(5));
            assert!(silence.is_detour(), "reads still wait");
            silence.tick(now + QUIET);
            assert!(!silence.is_detour());
        }
        assert_eq!(silence.confirmed(at(3000)), Some(Cause::Silent));
        assert_eq!(silence.confirmed(at(40_000)), None);
    }
}
