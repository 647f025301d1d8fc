//! What has to hold, on the world's side of things.
//!
//! A small restatement of the promises that shares no code with the engine: it reads tables and
//! events as data, and compares them with what is true in the world. `orders` has P1, `reads` P2
//! and P8, `room` who is turned away first, `paths` what is held of orders apart from reads, `tables` P4, P5, P6 and P10, `home` P7, `places` detection and false alarms.

mod home;
mod orders;
mod paths;
mod places;
mod reads;
mod room;
mod tables;

use crate::ledger::Done;
use crate::plan::Plan;
use crate::world::World;
use leeward_failover::{Class, EndpointId, Event, OperatorWord, PoolId, Table, Time};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A run is over after this many violations: more only repeat them.
const ENOUGH: usize = 5;
/// For this long after something changed, the engine may still be finding out.
pub(crate) const SETTLING: Duration = Duration::from_secs(20);

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Time,
    /// Which promise: `P1`.
    pub promise: &'static str,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.since(Time::ZERO).as_secs_f64();
        write!(f, "{} at {seconds:.3} s: {}", self.promise, self.what)
    }
}

/// What is watched, and what was found.
#[derive(Debug, Default)]
pub struct Shadow {
    found: Found,
    quiet: Quiet,
    orders: orders::Orders,
    paths: paths::Paths,
    reads: reads::Reads,
    room: room::Room,
    tables: tables::Tables,
    home: home::Home,
    places: places::Places,
}

/// Violations so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    all: Vec<Violation>,
    shown: usize,
}

impl Found {
    pub(crate) fn broken(&mut self, at: Time, promise: &'static str, what: String) {
        let known = self.all.iter().any(|v| v.what == what);
        if !known {
            self.all.push(Violation { at, promise, what });
        }
    }
}

/// What was done to leeward: while it settles, less is asked of it.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    /// Operators' words: place, word, from, until.
    words: Vec<(String, OperatorWord, Time, Time)>,
    /// Reloads, restarts and the ends of suspensions.
    upset: Vec<Time>,
}

impl Quiet {
    /// Whether something was done to leeward in the last `span`.
    pub(crate) fn is_upset(&self, now: Time, span: Duration) -> bool {
        self.upset.iter().any(|at| now < *at + span)
    }

    /// Whether any operator's word stands, or stood a moment ago.
    pub(crate) fn has_words(&self, now: Time) -> bool {
        let stands = |until: &Time| now < *until + SETTLING;
        self.words
            .iter()
            .any(|(_, _, from, until)| *from <= now && stands(until))
    }

    /// Whether an operator's word was ever given about a place.
    pub(crate) fn was_spoken_of(&self, place: &str) -> bool {
        self.words.iter().any(|(of, ..)| of == place)
    }
}

impl Shadow {
    /// Watches over a world that is about to begin.
    pub fn new(plan: &Plan) -> Shadow {
        Shadow {
            places: places::Places::new(plan),
            ..Shadow::default()
        }
    }

    /// Everything that was found.
    pub fn violations(&self) -> &[Violation] {
        &self.found.all
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.found.all.len() >= ENOUGH
    }

    /// What was found since it was asked last.
    pub(crate) fn fresh(&mut self) -> Vec<String> {
        let fresh = self.found.all[self.found.shown..].iter();
        let words = fresh.map(ToString::to_string).collect();
        self.found.shown = self.found.all.len();
        words
    }

    /// The engine decided something: another table, or lines of the journal.
    pub(crate) fn decided(&mut self, world: &World, before: &Arc<Table>, events: &[Event]) {
        let found = &mut self.found;
        self.tables.decided(world, before, events, found);
        self.home.decided(world, events, found);
        self.places.decided(world, events, &self.quiet, found);
        self.paths.decided(world, events, &self.quiet, found);
        self.orders
            .decided(world, before, events, (&self.quiet, found));
    }

    /// Time has passed.
    pub(crate) fn look(&mut self, world: &World) {
        self.places.look(world, &self.quiet, &mut self.found);
        self.paths.look(world, &self.quiet, &mut self.found);
        self.home.look(world, &mut self.found);
        self.tables.look(world, &self.quiet, &mut self.found);
    }

    pub(crate) fn at_the_end(&mut self, world: &World) {
        if !self.is_lost() {
            self.places.at_the_end(world, &mut self.found);
        }
    }

    /// A request of a pool came.
    pub(crate) fn asked(&mut self, pool: usize, now: Time) {
        self.reads.asked(pool, now);
    }

    /// A read of a pool is tried again within the budget.
    pub(crate) fn repeated(&mut self, pool: usize, now: Time) {
        self.reads.repeated(pool, now);
    }

    /// An endpoint was chosen, or none.
    pub(crate) fn selected(
        &mut self,
        world: &World,
        table: &Table,
        (pool, class, first): (PoolId, Class, bool),
        chosen: Option<(EndpointId, usize)>,
        tried: &[usize],
    ) {
        let found = &mut self.found;
        self.tables
            .selected(world, table, (pool, class, first), chosen, found);
        if class.goes_to_writer() {
            self.orders
                .selected(world, table, (pool, tried), chosen, found);
            if first {
                let home = &self.home;
                self.orders
                    .returns(world, table, pool, chosen, (home, found));
                self.orders.placed(world, pool, chosen, &self.quiet, found);
            }
        }
        let again = chosen.is_some_and(|(_, server)| tried.contains(&server));
        if again {
            found.broken(world.now, "P2", format!("{class:?} goes where it failed"));
        }
    }

    /// An endpoint takes a request.
    pub(crate) fn took(&mut self, endpoint: EndpointId, class: Class, now: Time) {
        self.room.took(endpoint, class, now);
    }

    /// A request is turned away: these are full.
    pub(crate) fn shed(&mut self, world: &World, class: Class, full: &[EndpointId]) {
        self.room.shed(world, class, full, &mut self.found);
    }

    /// A byte of a request was written to a server.
    pub(crate) fn wrote(&mut self, world: &World, id: u64, server: usize) {
        self.orders.wrote(world, id, server, &mut self.found);
    }

    /// An order was executed.
    pub(crate) fn executed(&mut self, world: &World, id: u64) {
        self.orders.executed(world, id, &mut self.found);
    }

    /// An order or a cancel of a client met something at an endpoint.
    pub(crate) fn met(&mut self, endpoint: EndpointId, client: u64, failed: bool, now: Time) {
        self.paths.met(endpoint, client, failed, now);
    }

    /// A request ended.
    pub(crate) fn ended(&mut self, world: &World, done: &Done) {
        self.orders.ended(world, done, &self.quiet, &mut self.found);
        self.reads.ended(world, done, &self.quiet, &mut self.found);
    }

    /// A probe began.
    pub(crate) fn probed(&mut self, endpoint: EndpointId, now: Time) {
        self.tables.probed(endpoint, now);
    }

    /// An operator said something.
    pub(crate) fn word(
        &mut self,
        place: &str,
        word: OperatorWord,
        lasts: Option<Duration>,
        now: Time,
    ) {
        let until = match (word, lasts) {
            (OperatorWord::Active, _) => now,
            (_, Some(lasts)) => now + lasts,
            (_, None) => Time::NEVER,
        };
        for (of, _, _, ends) in &mut self.quiet.words {
            if of == place {
                *ends = (*ends).min(now);
            }
        }
        self.quiet.words.push((place.to_owned(), word, now, until));
    }

    /// Another policy is about to be loaded.
    pub(crate) fn reloaded(&mut self, world: &World) {
        self.quiet.upset.push(world.now);
        self.tables.reloaded(world);
        self.reads = reads::Reads::default();
    }

    /// The process ended and another is about to begin.
    pub(crate) fn restarted(&mut self, world: &World) {
        self.quiet.upset.push(world.now);
        self.tables.restarted();
        self.orders.restarted();
        self.paths.restarted();
        self.room = room::Room::default();
        self.reads = reads::Reads::default();
    }

    /// The process stands still for a while.
    pub(crate) fn slept(&mut self, from: Time, until: Time) {
        self.quiet.upset.extend([from, until]);
    }
}
