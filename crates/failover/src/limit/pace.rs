//! A rate that is learned from back-pressure: cut at once, then back along a cubic curve.
//!
//! A site that is full says so with 503 and Retry-After, often within a millisecond and with next to
//! nothing in flight: a bound on requests at a time cannot hold it. So the rate is what is learned.
//!
//! It trips on the first back-pressure: reads pause for a moment, then go on at a part of the rate
//! at which they were sent. While the rate is a guess it doubles every second, until the site is full
//! again: then what it took in between is known. From there it recovers as TCP CUBIC does (RFC 9438):
//! fast towards that rate, slowly past it; when nothing is said for a while it doubles again. Without back-pressure for some time it is
//! forgotten.
//! It protects orders: they are charged to the rate and never held by it, since it is a guess, and a
//! wrong guess must not refuse an order that the site would have taken.

use super::{Part, Sent, meter};
use crate::class::Class;
use crate::time::Time;
use std::time::Duration;

/// What is left of the rate after a cut that knows what the site takes.
const TRIM: f64 = 0.80;
/// What is left of a declared rate after the first cut.
const NEARLY: f64 = 0.9;
/// A declared rate of which this part was sent was nearly reached.
const NEAR: f64 = 0.6;
/// What was counted for less than this says nothing against a declared rate: a herd that arrives at once is
/// refused by a site that is as good as its word.
const HERD: Duration = Duration::from_millis(250);
/// What is left after the first cut where nothing is declared.
const HALT: f64 = 0.6;
/// What is left of it after a cut that comes soon after another: the rate is far off.
const SEARCH: f64 = 0.75;
/// Less than this of a rate that is known is not left, however often it stumbles.
const LEAST: f64 = 0.2;
const SOON: Duration = Duration::from_millis(250);
/// Back-pressure within this of a cut, and to what was sent before it, says nothing new.
const ECHO: Duration = Duration::from_millis(40);
/// Reads pause for this long after a cut, so that the site has room for the orders that follow.
const PAUSE: Duration = Duration::from_millis(50);
/// Seconds in which a rate doubles that was guessed.
const DOUBLE: f64 = 1.5;
/// Seconds from a cut to where the rate is what the site takes.
const RETURN: f64 = 5.0;
/// Seconds without back-pressure after which a rate that is known doubles as a guess does.
const QUIET: f64 = 4.0;
/// Forgotten when it has grown to so many times that.
const FORGOTTEN: f64 = 10.0;
/// Least rate, requests per second.
const FLOOR: f64 = 1.0;
/// How far ahead of the rate public and private reads may go, nanoseconds.
const AHEAD: [u64; 2] = [50_000_000, 100_000_000];
/// What orders take beyond the rate holds reads back for this long at most, nanoseconds.
const DEBT: u64 = 300_000_000;

/// A learned rate of one site, over all workers.
#[derive(Clone, Debug)]
pub struct Pace {
    /// What the site takes, as far as is known.
    top: f64,
    /// What was left of it by the last cut.
    kept: f64,
    /// Whether nobody knows yet.
    guessed: bool,
    cut_at: Time,
    /// Let in since the last cut.
    taken: u32,
    /// When all that was let in would be worked off.
    due: u64,
}

impl Pace {
    /// The first back-pressure, when so much was `sent`. A `declared` rate that was nearly reached is
    /// taken to be nearly right, until more follows, and so is one that nothing speaks against yet. One that
    /// was far from reached is no longer true; what the site takes lies somewhere between.
    pub fn new(sent: Sent, declared: Option<f64>, now: Time) -> Pace {
        let is_near = |rate: &f64| sent.over < HERD || sent.rate >= rate * NEAR;
        let near = declared.filter(is_near);
        let top = match (near, declared) {
            (Some(rate), _) if sent.over < HERD => rate,
            (Some(rate), _) => sent.rate.min(rate),
            (None, Some(rate)) => (sent.rate * rate).sqrt(),
            (None, None) => sent.rate,
        };
        Pace {
            top: top.max(FLOOR),
            kept: if near.is_some() { NEARLY } else { HALT },
            guessed: near.is_none(),
            cut_at: now,
            taken: 0,
            due: now.0,
        }
    }

    /// More back-pressure, to a request that was let in at `entered`. Between two of them a site that is full takes just what it can, so that
    /// what was let in is what it can.
    pub fn cut(&mut self, entered: Time, now: Time) {
        let since = now.since(self.cut_at);
        if since < ECHO || entered <= self.cut_at {
            return;
        }
        let rate = self.rate(now);
        let busy = since.saturating_sub(PAUSE).as_secs_f64();
        let took = f64::from(self.taken) / busy.max(0.01);
        (self.top, self.kept) = match (since < SOON, self.guessed) {
            (true, true) => (took.clamp(rate * 0.3, rate).max(FLOOR), SEARCH),
            // The site stumbles at a rate that it took: less for a while, then the same.
            (true, false) => (self.top, (self.kept * SEARCH).max(LEAST)),
            (false, _) => (took.clamp(rate * 0.5, rate).max(FLOOR), TRIM),
        };
        self.guessed &= since < SOON;
        self.cut_at = now;
        self.taken = 0;
    }

    /// What the site takes, as far as is known; requests per second.
    pub fn top(&self) -> f64 {
        self.top
    }

    /// Requests per second that are let in now.
    pub fn rate(&self, now: Time) -> f64 {
        let since = now.since(self.cut_at).as_secs_f64();
        let grown = if self.guessed {
            self.kept * (since / DOUBLE).min(64.0).exp2()
        } else {
            let x = since / RETURN - 1.0;
            let cubic = 1.0 + (1.0 - self.kept) * x * x * x;
            // Nothing was said for so long that what was learned may be far too little: a herd that
            // came back at once teaches less than the site takes.
            let quiet = (since - QUIET).max(0.0) / DOUBLE;
            cubic.max(self.kept * quiet.min(64.0).exp2())
        };
        (self.top * grown).max(FLOOR)
    }

    /// Whether it holds nothing back any more.
    pub fn is_over(&self, now: Time) -> bool {
        self.rate(now) > self.top * FORGOTTEN
    }

    /// Lets one more request of `class` in, or not.
    pub fn take(&mut self, class: Class, now: Time) -> bool {
        let part = Part::of(class);
        let step = meter::step(self.rate(now));
        let ahead = self.due.saturating_sub(now.0);
        let is_read = part >= Part::Private;
        let most = AHEAD[usize::from(part == Part::Private)].max(step);
        let pausing = now.since(self.cut_at) < PAUSE;
        if is_read && (pausing || ahead > most) {
            return false;
        }
        let due = self.due.max(now.0).saturating_add(step);
        self.due = due.min(now.0.saturating_add(DEBT.max(step)));
        self.taken = self.taken.saturating_add(1);
        true
    }
}
