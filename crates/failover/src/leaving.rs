//! What becomes of work that is under way where nothing new goes any more.
//!
//! Owns the difference between a place that is left and one that is drained: what runs at the first
//! ends now, what runs at the second may end in its time. It follows `trust`: where a verdict or a
//! word is set aside because nothing else is left, what runs stays. `pool` asks for it with each
//! decision; the data path reads it from the table.

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::fleet::PoolState;
use crate::id::EndpointId;
use crate::input::OperatorWord;
use crate::table::Leaving;
use crate::trust::Trust;
use crate::verdict::Verdict;

impl Engine {
    /// The endpoints of a pool at which work under way does not stay, by id.
    pub(crate) fn leaving(&self, pool: &PoolState, trust: Trust) -> Vec<(EndpointId, Leaving)> {
        let endpoints = pool.lanes.iter().flat_map(|lane| &lane.endpoints);
        let mut leaving: Vec<(EndpointId, Leaving)> = endpoints
            .filter_map(|id| Some((*id, self.leaves(self.fleet.endpoint(*id)?, trust))))
            .filter(|(_, leaving)| *leaving != Leaving::Stays)
            .collect();
        leaving.sort_unstable();
        leaving
    }

    /// What becomes of work under way at an endpoint, as published.
    pub(crate) fn leaving_of(&self, endpoint: &Endpoint) -> Leaving {
        let leaving = &self.fleet.pools[endpoint.pool.index()].table.leaving;
        let found = leaving.binary_search_by_key(&endpoint.id, |(id, _)| *id);
        found.map_or(Leaving::Stays, |at| leaving[at].1)
    }

    fn leaves(&self, endpoint: &Endpoint, trust: Trust) -> Leaving {
        let site = &self.fleet.sites[endpoint.info.site.index()];
        let provider = &self.fleet.providers[site.provider.index()];
        let is_down = endpoint.held.verdict == Verdict::Down && !trust.is_panic();
        let is_left = site.place.is_left() && trust < Trust::LeftPlaces;
        let words = [&endpoint.word, &site.place.word, &provider.place.word];
        let word = words.map(|word| word.word).into_iter().max();
        match word.filter(|_| !trust.overrides_words()) {
            _ if is_down || is_left => Leaving::AtOnce,
            Some(OperatorWord::Evacuated) => Leaving::AtOnce,
            Some(OperatorWord::Draining) => Leaving::Slowly,
            Some(OperatorWord::Active) | None if endpoint.detour && trust == Trust::All => {
                Leaving::Detour
            }
            Some(OperatorWord::Active) | None => Leaving::Stays,
        }
    }
}
