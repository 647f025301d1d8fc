//! Operators' words: evacuate, drain, restore, each with a reason and an expiry.
//!
//! `prospect` says beforehand what would follow from a word, and what speaks against it.
//!
//! A word stands beside the verdict and outranks it, with one limit: it never takes the last
//! capacity of a pool away (P4, see `spread`); the event says so where it would. What returns by a
//! word, or because one lapsed, returns on a ramp (P7).

use crate::endpoint::Rules;
use crate::engine::Engine;
use crate::held::{Evidence, Word, spoken};
use crate::input::{OperatorWord, Target};
use crate::output::Change;
use crate::timers::Timer;
use crate::verdict::Cause;
use std::time::Duration;

impl Engine {
    /// Takes an operator's word about some places at once. One that was `forced` says in its events
    /// what spoke against it.
    pub(crate) fn speak(
        &mut self,
        targets: &[Target],
        word: OperatorWord,
        lasts: Option<Duration>,
        reason: String,
        forced: bool,
    ) {
        let lasts = lasts.filter(|_| word != OperatorWord::Active);
        let mut evidence = vec![("reason", reason.clone())];
        evidence.extend(lasts.map(|span| ("lasts", spoken(span))));
        if forced {
            let against = self.consider(targets, word, self.now).objections;
            let against: Vec<String> = against.into_iter().map(|found| found.text).collect();
            if !against.is_empty() {
                evidence.push(("forced", against.join("; ")));
            }
        }
        if word == OperatorWord::Active {
            for target in targets {
                self.restore_order_paths(*target);
                self.call_home(*target);
            }
        }
        let word = Word {
            word,
            until: lasts.map(|span| self.now + span),
            reason,
        };
        self.set_words(targets, &word, Cause::Operator, &evidence);
    }

    /// An operator's word has lapsed, unless it was renewed.
    pub(crate) fn lapse(&mut self, target: Target) {
        let now = self.now;
        let lapsed = self
            .fleet
            .word_mut(target)
            .is_some_and(|word| word.until.is_some_and(|until| until <= now));
        if lapsed {
            let before = self.fleet.word_mut(target).map(|word| word.reason.clone());
            let evidence = vec![("reason", before.unwrap_or_default())];
            let (word, cause) = (Word::default(), Cause::OperatorWordLapsed);
            self.set_words(&[target], &word, cause, &evidence);
        }
    }

    /// All are set before anything follows from them, so that no order of theirs makes a difference.
    fn set_words(&mut self, targets: &[Target], word: &Word, cause: Cause, evidence: &Evidence) {
        let mut events = Vec::new();
        let mut returning = Vec::new();
        for target in targets.iter().copied() {
            let Some(held) = self.fleet.word_mut(target) else {
                continue;
            };
            let before = std::mem::replace(held, word.clone());
            match word.until {
                Some(until) => self.timers.set(Timer::Word(target), until, self.now),
                None => self.timers.clear(Timer::Word(target)),
            }
            events.push((self.journal.position(), target));
            let change = Change::Operator {
                from: before.word,
                to: word.word,
            };
            let subject = self.fleet.subject(target);
            self.journal
                .event(self.now, subject, change, cause, evidence.clone());
            if before.keeps_away() && !word.keeps_away() {
                returning.push(target);
            }
        }
        for target in returning {
            self.returns(target, cause);
        }
        for (_, target) in &events {
            self.mark_pools_of(*target, cause);
        }
        self.settle();
        for (event, target) in events.into_iter().filter(|_| word.keeps_away()) {
            self.confess(event, target);
        }
    }

    /// Says in the word's event for which pools it is not followed.
    pub(crate) fn confess(&mut self, event: usize, target: Target) {
        for id in self.fleet.pools_of(target) {
            if self.fleet.pools[id.index()].trust.overrides_words() {
                let pool = &self.fleet.policy.pools[id.index()].name;
                self.journal
                    .amend(event, "kept", format!("{pool}: it is the last capacity"));
            }
        }
    }

    /// What was kept away comes back, slowly.
    fn returns(&mut self, target: Target, cause: Cause) {
        let now = self.now;
        if let Target::Endpoint(id) = target {
            let fleet = &mut self.fleet;
            let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
                return;
            };
            let rules = Rules {
                pool: &fleet.policy.pools[endpoint.pool.index()],
                now,
            };
            if let Some(changed) = endpoint.returns(cause, rules) {
                self.endpoint_changed(id, changed.from);
            }
            return;
        }
        for id in self.fleet.sites_of(target) {
            if self.fleet.is_kept_away(id) {
                continue;
            }
            let site = &mut self.fleet.sites[id.index()];
            if let Some(from) = site.place.returns(cause, &site.homecoming, now) {
                let deadline = site.place.deadline();
                self.place_changed(Target::Site(id), from);
                self.arm(Timer::Site(id), deadline);
            }
        }
    }

    /// What is restored by an operator may come home as soon as it is well: places, and writers.
    fn call_home(&mut self, target: Target) {
        self.call_places_home(target);
        self.call_writers_home(target);
    }

    /// A provider or site that is restored by an operator may take orders again: the pools whose
    /// home it is get their writer back as soon as it is well.
    fn call_writers_home(&mut self, target: Target) {
        let sites = self.fleet.sites_of(target);
        for pool in &mut self.fleet.pools {
            let home = pool
                .lanes
                .first()
                .map(|lane| self.fleet.sites[lane.site.index()].provider);
            let restored = sites.iter().any(|id| {
                let provider = self.fleet.sites[id.index()].provider;
                Some(provider) == home && pool.lanes.iter().any(|lane| lane.site == *id)
            });
            if restored && pool.writer != home {
                pool.writer_called_home = true;
            }
        }
    }
}
