//! How much a site and its endpoints may be given, and by which classes: decided on the way of every request.
//!
//! Three bounds, each alone able to say "full":
//!
//! - [`take`]: an endpoint's declared capacity in requests per second, shared by all workers;
//! - [`Pace`]: a rate that is learned from an endpoint's back-pressure, for what nobody declared or
//!   what is true no more; shared by all workers while it is in force;
//! - [`Limiter`]: requests at a time at a site, learned from latency by each worker for itself.
//!
//! Room is divided by class: whoever is shed first is told "full" first. The order is public reads,
//! private reads with everything that is no order, orders, cancels. Nobody waits: what finds no room
//! goes to another site or is shed.
//!
//! Pure: no clock, no dice, no sharing. The data path keeps a [`Limiter`] for each site of a pool
//! and worker, and for each endpoint one number of a declared capacity and one [`Pace`] while there
//! is any. Nothing here sees a status: the caller says what was back-pressure, and 4xx never is (P11).

mod crowd;
mod meter;
mod pace;
mod recent;

use crate::bugs::{Bug, is_injected};
use crate::class::Class;
use crate::time::Time;
use crowd::Crowd;
pub use meter::{Rate, take};
pub use pace::Pace;
pub use recent::{Recent, Sent};
use std::time::Duration;

/// Who is shed last, first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Cancel,
    Order,
    Private,
    Public,
}

impl Part {
    pub(crate) fn of(class: Class) -> Part {
        match class {
            Class::Order | Class::Cancel if is_injected(Bug::ReadsBeforeOrders) => Part::Public,
            Class::PublicRead if is_injected(Bug::ReadsBeforeOrders) => Part::Order,
            Class::Cancel => Part::Cancel,
            Class::Order => Part::Order,
            Class::PrivateRead | Class::Stream | Class::Tcp => Part::Private,
            Class::PublicRead => Part::Public,
        }
    }
}

/// One site of one pool, as one worker sees it.
#[derive(Clone, Debug, Default)]
pub struct Limiter {
    crowd: Crowd,
}

impl Limiter {
    /// Whether there is room for one more of this class.
    pub fn has_room(&self, class: Class) -> bool {
        self.crowd.has_room(Part::of(class))
    }

    /// Lets one more request in. It has to [`leave`](Limiter::leave).
    pub fn enter(&mut self) {
        self.crowd.enter();
    }

    /// A read was answered, and its head took so long. Orders and streams are not asked: what they
    /// take is theirs.
    pub fn answered(&mut self, took: Duration, now: Time) {
        self.crowd.answered(took, now);
    }

    /// A request that was let in is over.
    pub fn leave(&mut self) {
        self.crowd.leave();
    }

    /// Requests that are in.
    pub fn in_flight(&self) -> u32 {
        self.crowd.in_flight()
    }

    /// Requests at a time that are let in at most, those with the last room among them.
    pub fn limit(&self) -> u32 {
        self.crowd.limit()
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
