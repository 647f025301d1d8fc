//! Guard rails: what a policy asks of itself, so that nobody makes it more dependent than it should be.
//!
//! They are held against a policy (`leeward-config` refuses one that breaks them) and against what an
//! operator's word would leave (`prospect`). They never hold the engine: what it leaves by its own
//! judgement it leaves whatever they say.

use crate::id::{PoolId, ProviderId, SiteId};
use crate::policy::Policy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a policy asks of each of its pools. Nothing where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Guards {
    /// Least share of a pool's declared capacity that is left without any one of its sites, 0 to 1;
    /// nothing is asked at 0.
    pub capacity_without_site: f64,
    /// The same without any one of its providers.
    pub capacity_without_provider: f64,
    /// Least number of providers that a pool depends on; nothing is asked at 0 and 1.
    pub providers: usize,
    /// Whether a pool needs a second tier. An operator's word is not held by it: a second tier is
    /// there to be used.
    pub second_tier: bool,
    /// Why a policy that breaks them is taken all the same.
    pub forced: Option<String>,
}

/// One guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// [`Guards::capacity_without_site`]
    CapacityWithoutSite,
    /// [`Guards::capacity_without_provider`]
    CapacityWithoutProvider,
    /// [`Guards::providers`]
    Providers,
    /// [`Guards::second_tier`]
    SecondTier,
}

impl Guard {
    /// Its key in the policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Guard::CapacityWithoutSite => "capacity_without_site",
            Guard::CapacityWithoutProvider => "capacity_without_provider",
            Guard::Providers => "providers",
            Guard::SecondTier => "second_tier",
        }
    }
}

/// A pool that breaks a guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which pool.
    pub pool: PoolId,
    /// Which guard.
    pub guard: Guard,
    /// In words, with the numbers; the pool is not named.
    pub text: String,
}

impl Policy {
    /// What breaks the guards of this policy, by pool: of each guard the worst.
    pub fn breaches(&self) -> Vec<Breach> {
        let pools = (0..self.pools.len()).map(PoolId::from);
        pools.flat_map(|pool| self.breaches_of(pool)).collect()
    }

    fn breaches_of(&self, pool: PoolId) -> Vec<Breach> {
        let guards = &self.guards;
        let sites: BTreeSet<SiteId> = self.members(pool).map(|backend| backend.site).collect();
        let provider = |site: &SiteId| self.sites.get(site.index()).map(|site| site.provider);
        let providers: BTreeSet<ProviderId> = sites.iter().filter_map(provider).collect();
        let mut found = Vec::new();
        let mut add = |guard, text: Option<String>| {
            found.extend(text.map(|text| Breach { pool, guard, text }));
        };
        let without_site = sites.iter().map(|id| {
            let name = &self.sites[id.index()].name;
            (name.as_str(), self.declared(pool, |site| site != *id))
        });
        add(
            Guard::CapacityWithoutSite,
            self.too_little(pool, guards.capacity_without_site, without_site),
        );
        let without_provider = providers.iter().map(|id| {
            let name = &self.providers[id.index()].name;
            let left = self.declared(pool, |site| provider(&site) != Some(*id));
            (name.as_str(), left)
        });
        add(
            Guard::CapacityWithoutProvider,
            self.too_little(pool, guards.capacity_without_provider, without_provider),
        );
        if providers.len() < guards.providers {
            let text = format!(
                "it depends on {}, and {} are asked for",
                counted(providers.len(), "provider"),
                guards.providers
            );
            add(Guard::Providers, Some(text));
        }
        let tiers = self
            .pools
            .get(pool.index())
            .map_or(0, |pool| pool.tiers.len());
        if guards.second_tier && tiers < 2 {
            add(
                Guard::SecondTier,
                Some("it has one tier: nothing stands behind it".to_owned()),
            );
        }
        found
    }

    /// What is left where it is least, if that is less than `least` of all.
    fn too_little<'a>(
        &self,
        pool: PoolId,
        least: f64,
        left: impl Iterator<Item = (&'a str, Option<u64>)>,
    ) -> Option<String> {
        if least <= 0.0 {
            return None;
        }
        let Some(all) = self.declared(pool, |_| true) else {
            let text = "not all of its backends declare a capacity, so that nobody can say what is \
                        left without one of its places";
            return Some(text.to_owned());
        };
        let (name, left) = left.min_by_key(|(_, left)| *left)?;
        let left = left.unwrap_or(0);
        (share(left, all) < least).then(|| {
            format!(
                "without {name} it has {left}/s of {all}/s left, which is {}, and {} are asked for",
                percent(share(left, all)),
                percent(least)
            )
        })
    }

    /// Requests per second that a pool's backends at such sites declare; nothing where one of them
    /// declares none.
    pub(crate) fn declared(&self, pool: PoolId, at: impl Fn(SiteId) -> bool) -> Option<u64> {
        let mut members = self.members(pool).filter(|backend| at(backend.site));
        members.try_fold(0, |sum, backend| Some(sum + u64::from(backend.capacity?)))
    }

    fn members(&self, pool: PoolId) -> impl Iterator<Item = &crate::policy::Backend> {
        self.backends
            .iter()
            .filter(move |backend| backend.pool == pool)
    }
}

/// Such a part of all; all of nothing.
pub(crate) fn share(part: u64, all: u64) -> f64 {
    if all == 0 {
        1.0
    } else {
        part as f64 / all as f64
    }
}

/// `37.5%`; rounded down, so that what is just too little is not shown as enough.
pub(crate) fn percent(share: f64) -> String {
    let tenths = (share * 1000.0 + 1e-6).floor() / 10.0;
    format!("{tenths}%")
}

pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
