//! Who says when a place that was left comes home: it does by itself, a window of the policy opens,
//! or an operator says so.
//!
//! A place that has to wait stays down, and its cause says what it waits for. Its endpoints come back
//! by themselves, so that it is there when it is needed: where nothing else serves, a place that
//! waits does (P4, see `trust`). Where pools differ, the most patient is followed. `infer` asks.

use crate::engine::Engine;
use crate::id::PoolId;
use crate::input::Target;
use crate::place::Place;
use crate::policy::Failback;
use crate::verdict::Cause;

impl Engine {
    /// What a place waits for though it is well, if it has to wait.
    pub(crate) fn awaits(&self, target: Target) -> Option<Cause> {
        let (place, homecoming) = match target {
            Target::Provider(id) => {
                let provider = self.fleet.providers.get(id.index())?;
                (&provider.place, &provider.homecoming)
            }
            Target::Site(id) => {
                let site = self.fleet.sites.get(id.index())?;
                (&site.place, &site.homecoming)
            }
            Target::Endpoint(_) => return None,
        };
        if !place.is_left() || place.called_home {
            return None;
        }
        match homecoming.failback {
            Failback::Automatic => None,
            Failback::Manual => Some(Cause::AwaitsOperator),
            Failback::Windows => (!self.windows_open(target)).then_some(Cause::AwaitsWindow),
        }
    }

    /// Whether every pool there that has windows has one that is open.
    fn windows_open(&self, target: Target) -> bool {
        let open = |id: &PoolId| {
            let params = &self.fleet.policy.pools[id.index()].failover;
            params.failback != Failback::Windows || self.fleet.pools[id.index()].window_open
        };
        self.fleet.pools_of(target).iter().all(open)
    }

    /// A window has opened or closed.
    pub(crate) fn window(&mut self, id: PoolId, open: bool) {
        let Some(pool) = self.fleet.pools.get_mut(id.index()) else {
            return;
        };
        if std::mem::replace(&mut pool.window_open, open) == open {
            return;
        }
        let sites = pool.lanes.iter().map(|lane| lane.site.index());
        let providers = sites.map(|site| self.fleet.sites[site].provider);
        self.dirty.providers.extend(providers);
    }

    /// An operator lets what waits at a place come home: a provider with all its sites, a site with
    /// its provider, where that waits too.
    pub(crate) fn call_places_home(&mut self, target: Target) {
        let call = |place: &mut Place| place.called_home |= place.is_left();
        let sites = self.fleet.sites_of(target);
        for id in sites {
            let site = &mut self.fleet.sites[id.index()];
            call(&mut site.place);
            let provider = site.provider;
            call(&mut self.fleet.providers[provider.index()].place);
            self.dirty.providers.insert(provider);
        }
    }
}
