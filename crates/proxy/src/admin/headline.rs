//! The one answer: what is failing, what leeward did about it, and whether it is safe.
//!
//! Made from the engine's status and from where the pools stand; decides nothing. The page shows it
//! on top, and whoever asks for the status gets it as text. Times are UTC, as in the log.

mod failing;
mod words;

use super::standing::Standing;
use leeward_failover::Status;
use serde::Serialize;
use std::collections::BTreeSet;
use words::{list, percent};

/// A share of traffic below this is not worth a word: standbys are kept warm with less.
const WORTH_SAYING: f64 = 0.05;

/// What it is made from.
pub(super) struct Facts<'a> {
    pub(super) status: &'a Status,
    pub(super) standing: &'a [Standing],
    /// The engine's beginning, in seconds since 1970.
    pub(super) began: f64,
    /// Requests per second that leeward refuses at its own limits, or has no place for.
    pub(super) shed: f64,
    /// Requests whose outcome nobody knows, lately.
    pub(super) unknown: u64,
    /// Whether the last policy was not taken.
    pub(super) rejected: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Headline {
    pub(super) level: Level,
    /// One sentence.
    pub(super) text: String,
}

/// How much it matters, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// Nothing is failing.
    Calm,
    /// Something is not as usual, and clients do not feel it.
    Watch,
    /// Something is down, or clients are turned away.
    Outage,
}

/// The answer as it grows.
struct Answer<'a> {
    facts: &'a Facts<'a>,
    level: Level,
    parts: Vec<String>,
    /// Sites that are left, or that an operator said something of.
    away: BTreeSet<String>,
}

impl Headline {
    /// The answer to these facts.
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let mut answer = Answer {
            facts,
            level: Level::Calm,
            parts: Vec::new(),
            away: BTreeSet::new(),
        };
        answer.say_what_fails();
        answer.say_what_moved();
        answer.say_whether_it_is_safe();
        let mut text = answer.parts.join("; ");
        text.push('.');
        if let Some(first) = text.get(..1).map(str::to_uppercase)
            && !begins_with_a_name(facts, &text)
        {
            text.replace_range(..1, &first);
        }
        Self {
            level: answer.level,
            text,
        }
    }
}

/// Names keep their case: `aws` is not `Aws`.
fn begins_with_a_name(facts: &Facts<'_>, text: &str) -> bool {
    let places = facts.status.providers.iter().chain(&facts.status.sites);
    let mut names = places.map(|place| place.name.as_str());
    names.any(|name| {
        text.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', ',']))
    })
}

impl<'a> Answer<'a> {
    fn rise(&mut self, level: Level) {
        self.level = self.level.max(level);
    }

    /// The pools that have anything at what is away; all of them where nothing is.
    fn touched(&self) -> Vec<&'a Standing> {
        let away = &self.away;
        let pools = self.facts.standing.iter();
        pools
            .filter(|pool| away.is_empty() || pool.sites.iter().any(|site| away.contains(site)))
            .collect()
    }

    /// What was done: where the traffic of what is away goes, and orders.
    fn say_what_moved(&mut self) {
        let touched = self.touched();
        let goes = |orders: bool| {
            let mut to = BTreeSet::new();
            let (mut any, mut stuck) = (false, false);
            for flow in touched.iter().flat_map(|pool| &pool.flow) {
                if flow.is_orders() == orders {
                    any = true;
                    stuck |= flow.to.is_empty();
                    let worth = flow.to.iter().filter(|part| part.share >= WORTH_SAYING);
                    to.extend(worth.map(|part| part.site.as_str()));
                }
            }
            (any, stuck, to.into_iter().collect::<Vec<_>>())
        };
        let (reads, _, reads_to) = goes(false);
        let (orders, orders_stuck, orders_to) = goes(true);
        if orders && orders_stuck {
            self.rise(Level::Outage);
            self.parts.push("orders have no place to go".to_owned());
        }
        let its = if self.away.len() == 1 { "its" } else { "their" };
        let known = orders && !orders_stuck;
        if self.away.is_empty() {
            if known {
                self.parts
                    .push(format!("orders go to {}", list(&orders_to)));
            }
            return;
        }
        if reads && known && reads_to == orders_to {
            self.parts
                .push(format!("{its} reads and orders go to {}", list(&reads_to)));
            return;
        }
        if reads && !reads_to.is_empty() {
            self.parts
                .push(format!("{its} reads go to {}", list(&reads_to)));
        }
        if known {
            let what = if reads {
                "orders".to_owned()
            } else {
                format!("{its} orders")
            };
            self.parts
                .push(format!("{what} go to {}", list(&orders_to)));
        }
    }

    /// Whether it is safe: what is left, what is turned away, what nobody knows.
    fn say_whether_it_is_safe(&mut self) {
        let part = |pool: &Standing| match (pool.capacity_left, pool.capacity) {
            (Some(left), Some(all)) if all > 0.0 => left / all,
            _ => pool.serving as f64 / pool.endpoints.max(1) as f64,
        };
        let pools = self.touched();
        let worst = pools.iter().min_by(|a, b| part(a).total_cmp(&part(b)));
        if let Some(worst) = worst.filter(|pool| part(pool) < 1.0) {
            let of = match pools.len() {
                1 => String::new(),
                _ => format!(" of pool {}", worst.pool),
            };
            self.parts.push(match worst.capacity {
                Some(_) => format!("{} of the capacity{of} is left", percent(part(worst))),
                None => format!(
                    "{} of {} endpoints{of} serve",
                    worst.serving, worst.endpoints
                ),
            });
        }
        if self.facts.shed > 0.0 {
            self.rise(Level::Outage);
            let rate = self.facts.shed;
            self.parts.push(if rate < 1.0 {
                "a few requests are turned away".to_owned()
            } else {
                format!("{rate:.0} requests/s are turned away")
            });
        } else {
            self.parts.push("nothing is shed".to_owned());
        }
        match self.facts.unknown {
            0 => {}
            1 => self
                .parts
                .push("1 request ended as unknown in the last ten minutes".to_owned()),
            n => self.parts.push(format!(
                "{n} requests ended as unknown in the last ten minutes"
            )),
        }
        if self.facts.rejected {
            self.rise(Level::Watch);
            self.parts
                .push("the last reload was refused, the policy from before serves".to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
