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
use crate::id::SiteId;
use crate::input::{OperatorWord, Target};
use crate::output::Change;
use crate::time::Time;
use crate::timers::Timer;
use crate::verdict::Cause;
use serde::Serialize;
use std::time::Duration;

/// An operator's word that still keeps work away from a place though what is around it, or in it, was
/// restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WordLeft {
    /// Where it stands, by the name under which it is restored: `aws`, `aws/us-east-1`,
    /// `trading/192.0.2.7:8443`.
    pub target: String,
    /// The word.
    pub word: OperatorWord,
    /// When it lapses, in milliseconds from now; never when absent.
    pub lapses_in_ms: Option<u64>,
    /// Why, as it was said.
    pub reason: String,
}

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

    /// The words that still keep work away from anything at `targets` once these are restored: each was
    /// said by itself, and is taken back by itself. In the order provider, sites, endpoints.
    pub fn words_left(&self, targets: &[Target], now: Time) -> Vec<WordLeft> {
        let fleet = &self.fleet;
        let sites = (0..fleet.sites.len()).map(SiteId::from);
        let providers = (0..fleet.providers.len()).map(|id| Target::Provider(id.into()));
        let endpoints = fleet.all_endpoints().map(|e| Target::Endpoint(e.id));
        let all = providers.chain(sites.map(Target::Site)).chain(endpoints);
        let within = |inner: Target, outer: Target| match (inner, outer) {
            (Target::Endpoint(id), _) => {
                let at = fleet.endpoint(id).map(|endpoint| endpoint.info.site);
                at.is_some_and(|site| fleet.sites_of(outer).contains(&site))
            }
            (Target::Site(id), Target::Provider(_)) => fleet.sites_of(outer).contains(&id),
            _ => false,
        };
        let concerns = |word: &Target| {
            let near = |target: &Target| within(*word, *target) || within(*target, *word);
            !targets.contains(word) && targets.iter().any(near)
        };
        all.filter(concerns)
            .filter_map(|target| {
                let word = fleet.word(target).filter(|word| word.keeps_away())?;
                Some(WordLeft {
                    target: self.spoken_name(target),
                    word: word.word,
                    lapses_in_ms: word.lapses_in_ms(now.max(self.now)),
                    reason: word.reason.clone(),
                })
            })
            .collect()
    }

    /// The name by which an operator says a word about it.
    fn spoken_name(&self, target: Target) -> String {
        match target {
            Target::Endpoint(id) => self
                .fleet
                .endpoint(id)
                .map_or_else(String::new, |endpoint| {
                    let pool = &self.fleet.policy.pools[endpoint.pool.index()].name;
                    format!("{pool}/{}", endpoint.info.address)
                }),
            place => self.name_of(place),
        }
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
