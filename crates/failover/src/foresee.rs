//! What would follow from another policy, before it is taken.
//!
//! A copy of the engine is told the policy, and that everything new answers its probes: what it then
//! decides is what would be decided. Nothing is estimated beside it. Asked by `leeward diff`, about a
//! policy that nobody serves (`calm`) or about what a proxy holds now.

use crate::engine::Engine;
use crate::id::{BackendId, EndpointId};
use crate::input::{Input, ProbeResult};
use crate::policy::Policy;
use crate::time::Time;
use crate::verdict::Verdict;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How long the probes take that nobody made.
const TOOK: Duration = Duration::from_millis(1);

impl Engine {
    /// An engine that serves `policy` while all is well.
    pub fn calm(policy: &Policy) -> Engine {
        Engine::new(0).foresee(policy, Time::ZERO)
    }

    /// A copy that serves `policy`, once everything that is new in it has answered its probes. What is
    /// known of the rest holds. Backends whose addresses nobody knows yet get one that stands for
    /// them, see [`stands_for_a_name`].
    pub fn foresee(&self, policy: &Policy, now: Time) -> Engine {
        let mut then = self.clone();
        then.handle(Input::Policy(Box::new(policy.clone())), now);
        let nameless =
            |(_, state): &(usize, &crate::fleet::BackendState)| state.endpoints.is_empty();
        let backends = then.fleet.backends.iter().enumerate();
        let unknown: Vec<usize> = backends.filter(nameless).map(|(index, _)| index).collect();
        for index in unknown {
            let backend = BackendId::from(index);
            let addresses = vec![stand_in(then.fleet.endpoints.len())];
            then.handle(
                Input::Addresses {
                    backend,
                    addresses,
                    retained: Vec::new(),
                    expired: false,
                },
                now,
            );
        }
        let new = then.fleet.all_endpoints().filter(|e| !e.probes.any);
        let new: Vec<EndpointId> = new.map(|endpoint| endpoint.id).collect();
        for endpoint in new {
            then.answers(endpoint, now);
        }
        then
    }

    /// An endpoint passes its probes until it is known.
    fn answers(&mut self, endpoint: EndpointId, now: Time) {
        let Some(found) = self.fleet.endpoint(endpoint) else {
            return;
        };
        let rise = self.fleet.policy.pools[found.pool.index()].probe.rise;
        for _ in 0..rise.max(1) {
            let known = |e: &crate::endpoint::Endpoint| e.held.verdict == Verdict::Healthy;
            if self.fleet.endpoint(endpoint).is_none_or(known) {
                return;
            }
            let result = ProbeResult::Passed { took: TOOK };
            self.handle(Input::Probe { endpoint, result }, now);
        }
    }
}

/// An address of the documentation's network (RFC 3849), which nobody has, that stands for what a name
/// resolves to.
fn stand_in(number: usize) -> SocketAddr {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let [high, low] = [(number >> 16) as u16, number as u16];
    SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 1, high, low), 1))
}

/// Whether an address only stands for those that the name of a backend will turn out to have.
pub fn stands_for_a_name(address: SocketAddr) -> bool {
    match address {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(v6) => v6.port() == 1 && v6.ip().segments()[..2] == [0x2001, 0xdb8],
    }
}
