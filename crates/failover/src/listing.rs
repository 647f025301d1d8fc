//! Which of a backend's endpoints are in play: those that are listed now, or those that were.
//!
//! An address that DNS no longer lists is retained for a while (P6). It is probed like any other,
//! and it stands in where no listed endpoint of its backend serves; otherwise it gets no new work
//! and says nothing of its site. An address that DNS lists but that never answered, beside one that
//! did, says nothing of its site either: a name that lies must not get a site evacuated.
//!
//! Decides for one backend at a time. `reload` says who is listed, `pool` and `infer` follow.

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::id::{BackendId, EndpointId};
use crate::verdict::Verdict;

/// Where an endpoint's address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Listing {
    /// The policy has it.
    Literal,
    /// The backend's name has it now.
    Listed,
    /// The backend's name had it.
    Retained,
}

/// One endpoint of a backend, as far as its part in it is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub listing: Listing,
    /// It served at least once.
    pub proved: bool,
    /// It serves, and nobody keeps it away.
    pub serves: bool,
    /// It serves, on the ramp of its way back.
    pub returns: bool,
    pub down: bool,
}

/// What listed endpoints on their ramp have of their backend's weight while others stand in.
const RETURNING: f64 = 0.25;

impl Member {
    fn is_listed(self) -> bool {
        self.listing != Listing::Retained
    }
}

/// Which endpoints of a backend are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cast {
    /// Those that are listed.
    Listed,
    /// Those that are retained and serve: no listed one does, but for those that just return.
    StandIns,
    /// All of them: none serves.
    Everyone,
}

impl Cast {
    pub(crate) fn of(members: &[Member]) -> Cast {
        let any = |of: &dyn Fn(&Member) -> bool| members.iter().any(of);
        if any(&|m| m.is_listed() && m.serves && !m.returns) {
            Cast::Listed
        } else if any(&|m| !m.is_listed() && m.serves) {
            Cast::StandIns
        } else if any(&|m| m.serves) {
            Cast::Listed
        } else {
            Cast::Everyone
        }
    }

    /// The part of its backend's weight that each member has, 0 to 1; `None` for one that is not in
    /// play.
    pub(crate) fn parts(self, members: &[Member]) -> Vec<Option<f64>> {
        let count = |of: &dyn Fn(&Member) -> bool| members.iter().filter(|m| of(m)).count().max(1);
        let even = |n: usize| 1.0 / n as f64;
        let part = |m: &Member| match self {
            Cast::Listed if !m.is_listed() => None,
            Cast::Listed if m.down && !is_expected(*m, members) => Some(0.0),
            Cast::Listed => Some(even(count(&|m| is_expected(*m, members)))),
            Cast::StandIns if !m.serves => m.is_listed().then_some(0.0),
            Cast::StandIns => {
                let returning = count(&|m| m.is_listed() && m.serves);
                let others = count(&|m| !m.is_listed() && m.serves);
                let any = members.iter().any(|m| m.is_listed() && m.serves);
                Some(match (m.is_listed(), any) {
                    (true, _) => RETURNING * even(returning),
                    (false, true) => (1.0 - RETURNING) * even(others),
                    (false, false) => even(others),
                })
            }
            Cast::Everyone => Some(even(members.len().max(1))),
        };
        members.iter().map(part).collect()
    }

    /// Whether each member says something of its site.
    fn counted(self, members: &[Member]) -> Vec<bool> {
        let any_listed = members.iter().any(|m| m.is_listed());
        let counts = |m: &Member| match self {
            Cast::StandIns => m.serves,
            _ if !any_listed => true,
            _ => is_expected(*m, members),
        };
        members.iter().map(counts).collect()
    }
}

/// Listed, and either written in the policy, or proved, or no worse than its listed neighbours.
fn is_expected(member: Member, members: &[Member]) -> bool {
    let vouched = member.listing == Listing::Literal || member.proved;
    member.is_listed() && (vouched || !members.iter().any(|m| m.is_listed() && m.proved))
}

impl Engine {
    /// Lets a site's census count the endpoints of one of its backends that speak for it. To be
    /// called whenever a verdict or the listing of one of them has changed.
    pub(crate) fn recount(&mut self, id: BackendId) {
        let fleet = &mut self.fleet;
        let Some(backend) = fleet.backends.get(id.index()) else {
            return;
        };
        let serves = |e: &Endpoint| !matches!(e.held.verdict, Verdict::Unknown | Verdict::Down);
        let ids: Vec<EndpointId> = backend.endpoints.clone();
        let mut members = Vec::with_capacity(ids.len());
        for id in &ids {
            let Some(endpoint) = fleet.endpoint_mut(*id) else {
                continue;
            };
            endpoint.proved |= serves(endpoint);
            members.push(endpoint.member(serves(endpoint)));
        }
        let site = fleet.policy.backends[id.index()].site.index();
        let counted = Cast::of(&members).counted(&members);
        for (id, counts) in ids.iter().zip(counted) {
            let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
                continue;
            };
            let census = &mut fleet.sites[site].census;
            match (std::mem::replace(&mut endpoint.counts, counts), counts) {
                (false, true) => census.add(endpoint.held.verdict),
                (true, false) => census.remove(endpoint.held.verdict),
                _ => {}
            }
        }
    }
}

impl Endpoint {
    /// Its part in its backend.
    pub(crate) fn member(&self, serves: bool) -> Member {
        let (down, returns) = (
            self.held.verdict == Verdict::Down,
            self.held.verdict == Verdict::Recovering,
        );
        Member {
            listing: self.listing,
            proved: self.proved,
            serves,
            returns,
            down,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn member(listing: Listing, serves: bool) -> Member {
        Member {
            listing,
            proved: serves,
            serves,
            returns: false,
            down: !serves,
        }
    }

    fn judged(members: &[Member]) -> (Cast, Vec<Option<f64>>, Vec<bool>) {
        let cast = Cast::of(members);
        (cast, cast.parts(members), cast.counted(members))
    }

    #[test]
    fn a_retained_endpoint_is_out_of_play_while_a_listed_one_serves() {
        let members = [
            member(Listing::Listed, true),
            member(Listing::Retained, true),
        ];
        let expected = (Cast::Listed, vec![Some(1.0), None], vec![true, false]);
        assert_eq!(judged(&members), expected);
    }

    #[test]
    fn a_retained_endpoint_stands_in_where_no_listed_one_serves() {
        let members = [
            member(Listing::Listed, false),
            member(Listing::Retained, true),
        ];
        let expected = (
            Cast::StandIns,
            vec![Some(0.0), Some(1.0)],
            vec![false, true],
        );
        assert_eq!(judged(&members), expected);
    }

    #[test]
    fn a_listed_endpoint_that_returns_takes_over_bit_by_bit() {
        let returning = Member {
            returns: true,
            ..member(Listing::Listed, true)
        };
        let members = [returning, member(Listing::Retained, true)];
        let expected = (
            Cast::StandIns,
            vec![Some(0.25), Some(0.75)],
            vec![true, true],
        );
        assert_eq!(judged(&members), expected);
        assert_eq!(judged(&[returning]).0, Cast::Listed);
    }

    #[test]
    fn where_nothing_serves_everything_may_have_to() {
        let members = [
            member(Listing::Listed, false),
            member(Listing::Retained, false),
        ];
        let expected = (
            Cast::Everyone,
            vec![Some(0.5), Some(0.5)],
            vec![true, false],
        );
        assert_eq!(judged(&members), expected);
    }

    #[test]
    fn listed_addresses_that_never_answered_say_nothing_of_the_site() {
        let members = [
            member(Listing::Listed, true),
            member(Listing::Listed, false),
        ];
        let expected = (Cast::Listed, vec![Some(1.0), Some(0.0)], vec![true, false]);
        assert_eq!(judged(&members), expected);
    }

    #[test]
    fn literal_addresses_always_count() {
        let members = [
            member(Listing::Listed, true),
            member(Listing::Literal, false),
        ];
        let expected = (Cast::Listed, vec![Some(0.5), Some(0.5)], vec![true, true]);
        assert_eq!(judged(&members), expected);
    }

    #[test]
    fn an_endpoint_that_answered_once_counts_when_it_is_down() {
        let died = Member {
            proved: true,
            ..member(Listing::Listed, false)
        };
        let members = [member(Listing::Listed, true), died];
        let expected = (Cast::Listed, vec![Some(0.5), Some(0.5)], vec![true, true]);
        assert_eq!(judged(&members), expected);
    }
}
