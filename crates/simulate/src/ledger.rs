//! What really happened: every order's executions, and what every client was told.
//!
//! Kept by the world, never by what is tested. `shadow` compares the two sides.

use leeward_failover::{Class, Time};
use std::collections::BTreeMap;

/// What a client was told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A whole answer of a backend, with this status.
    Answered(u16),
    /// The head of an answer and a part of its body.
    Truncated,
    /// 503, `leeward-outcome: not-sent`.
    NotSent,
    /// 503, `leeward-outcome: shed`: there is no room for it.
    Shed,
    /// 504 for an order or a cancel, `leeward-outcome: unknown`; 502 or 504 for others.
    Unknown,
}

impl Told {
    /// Whether the client got what it asked for; a refusal below 500 is an answer.
    pub const fn is_served(self) -> bool {
        matches!(self, Told::Answered(code) if code < 500)
    }
}

/// A request that ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// Which.
    pub id: u64,
    /// Its class.
    pub class: Class,
    /// Position of its pool in the policy that took it in.
    pub pool: usize,
    /// When the client sent it.
    pub born: Time,
    /// When it ended.
    pub at: Time,
    /// How it ended.
    pub told: Told,
    /// Servers that were tried, in order.
    pub tried: Vec<usize>,
    /// Whether the retry rules said that the budget is spent.
    pub out_of_budget: bool,
    /// Whether the pool was said to be in panic.
    pub in_panic: bool,
}

/// One order's way through the world.
#[derive(Clone, Debug, Default)]
pub struct OrderTrail {
    /// Servers that executed it, each with the time.
    pub executed: Vec<(Time, usize)>,
    /// What its client was told.
    pub told: Option<Told>,
    /// Servers whose connection took at least a byte of it.
    pub wrote: Vec<usize>,
}

/// The world's book.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Every order and cancel, by request.
    pub orders: BTreeMap<u64, OrderTrail>,
    /// How many requests ended, by class and by how: served, failed.
    pub counts: BTreeMap<Class, (u64, u64)>,
    /// Answers to orders that said nothing of their fate.
    pub unknown_orders: u64,
    /// Orders that were proven not sent.
    pub unsent_orders: u64,
    /// Requests for which there was no room, by class.
    pub shed: BTreeMap<Class, u64>,
}

impl Ledger {
    /// Writes the end of a request down.
    pub fn end(&mut self, done: &Done) {
        let counts = self.counts.entry(done.class).or_default();
        if done.told.is_served() {
            counts.0 += 1;
        } else {
            counts.1 += 1;
        }
        if done.told == Told::Shed {
            *self.shed.entry(done.class).or_default() += 1;
        }
        if done.class == Class::Order {
            match done.told {
                Told::Unknown => self.unknown_orders += 1,
                Told::NotSent => self.unsent_orders += 1,
                Told::Answered(_) | Told::Truncated | Told::Shed => {}
            }
        }
    }

    /// Requests of a class that did not get what they asked for.
    pub fn failed(&self, class: Class) -> u64 {
        self.counts.get(&class).map_or(0, |counts| counts.1)
    }

    /// Requests of a class that did.
    pub fn served(&self, class: Class) -> u64 {
        self.counts.get(&class).map_or(0, |counts| counts.0)
    }

    /// Orders that were executed more than once.
    pub fn duplicates(&self) -> usize {
        let twice = |trail: &&OrderTrail| trail.executed.len() > 1;
        self.orders.values().filter(twice).count()
    }
}
