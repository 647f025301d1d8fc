//! P8 and the order of shedding: orders and cancels are not turned away one after the other by
//! somebody who takes public reads meanwhile.

use super::Found;
use crate::world::World;
use leeward_failover::{Class, EndpointId, Time};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Meanwhile.
const SPAN: Duration = Duration::from_secs(1);
/// Where only a few may come at a time, one order or two find others before them.
const FEW: usize = 5;

#[derive(Debug, Default)]
pub(crate) struct Room {
    /// By endpoint: when it took public reads lately, and when orders were turned away.
    known: BTreeMap<EndpointId, [VecDeque<Time>; 2]>,
}

impl Room {
    pub(crate) fn took(&mut self, endpoint: EndpointId, class: Class, now: Time) {
        if class == Class::PublicRead {
            let [took, _] = self.known.entry(endpoint).or_default();
            note(took, now);
        }
    }

    pub(crate) fn shed(
        &mut self,
        world: &World,
        class: Class,
        full: &[EndpointId],
        found: &mut Found,
    ) {
        if !class.goes_to_writer() {
            return;
        }
        for endpoint in full {
            let [took, shed] = self.known.entry(*endpoint).or_default();
            note(shed, world.now);
            let first = shed.front().copied().unwrap_or(world.now);
            let meanwhile = took.iter().filter(|at| **at > first).count();
            if shed.len() >= FEW && meanwhile >= FEW {
                let address = world.table.endpoint(*endpoint).map(|info| info.address);
                let address = address.map_or_else(String::new, |address| address.to_string());
                let what = format!("orders are shed at {address}, which takes public reads");
                found.broken(world.now, "P8", what);
            }
        }
    }
}

fn note(times: &mut VecDeque<Time>, now: Time) {
    times.push_back(now);
    while times.front().is_some_and(|at| now.since(*at) > SPAN) {
        times.pop_front();
    }
}
