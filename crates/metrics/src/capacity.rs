//! What is shown of capacity: limits, what is in flight, what was shed and where.
//!
//! Owns these families and how their labels become handles. The workers count most of it; the control
//! thread sets what the table says.

use crate::Metrics;
use crate::cells::{Counter, Gauge};
use crate::family::{Family, counter, gauge};
use leeward_failover::Class;

pub(crate) static SITE_IN_FLIGHT: Family = gauge(
    "leeward_site_requests_in_flight",
    &["pool", "provider", "site"],
    "Requests that have room at a site now, to the end of their answers; streams to their heads.",
);
pub(crate) static SITE_LIMIT: Family = gauge(
    "leeward_site_requests_limit",
    &["pool", "provider", "site"],
    "Requests that would be let in to a site at a time, as learned from latency; 16384 a worker where nothing was learned.",
);
pub(crate) static SITE_LEARNED: Family = gauge(
    "leeward_site_learned_rate",
    &["pool", "provider", "site"],
    "Requests per second that those endpoints of a site take together that said they were full, as learned from that; 0 while there are none.",
);
pub(crate) static SITE_CAPACITY: Family = gauge(
    "leeward_site_capacity",
    &["pool", "provider", "site"],
    "Requests per second that a site can carry now: what is declared, less what is down or returns. Only where it is declared.",
);
pub(crate) static SITE_SPILLED: Family = counter(
    "leeward_site_spilled_total",
    &["pool", "provider", "site", "class"],
    "Attempts that found this site full and went to another one.",
);
pub(crate) static SITE_SHED: Family = counter(
    "leeward_site_shed_total",
    &["pool", "provider", "site", "class"],
    "Attempts that found this site full and no other one with room.",
);
pub(crate) static POOL_DEMAND: Family = gauge(
    "leeward_pool_demand",
    &["pool"],
    "Requests per second that a pool's load is spread by, those that were shed among them. Only where a capacity is declared.",
);

/// What is counted of one site of a pool.
#[derive(Clone, Copy, Debug)]
pub struct SiteSlots {
    /// Requests that have room there now.
    pub in_flight: Gauge,
    /// Requests that would be let in at a time.
    pub limit: Gauge,
    /// Requests per second that its full endpoints take, as learned.
    pub learned: Gauge,
    spilled: [Counter; Class::ALL.len()],
    shed: [Counter; Class::ALL.len()],
}

impl SiteSlots {
    /// Attempts that went to another site.
    pub const fn spilled(&self, class: Class) -> Counter {
        self.spilled[class as usize]
    }

    /// Attempts that found no room anywhere.
    pub const fn shed(&self, class: Class) -> Counter {
        self.shed[class as usize]
    }
}

impl Metrics {
    /// The handles of a site of a pool. `site` is the whole name: `aws/us-east-1`.
    pub fn site(&self, pool: &str, provider: &str, site: &str) -> SiteSlots {
        let registry = &mut self.lock().registry;
        let labels = [pool, provider, site];
        let mut by_class = |family| {
            let labels = |class: Class| [pool, provider, site, class.as_str()];
            Class::ALL.map(|class| registry.counter(family, &labels(class)))
        };
        let (spilled, shed) = (by_class(&SITE_SPILLED), by_class(&SITE_SHED));
        SiteSlots {
            in_flight: registry.gauge(&SITE_IN_FLIGHT, &labels),
            limit: registry.gauge(&SITE_LIMIT, &labels),
            learned: registry.gauge(&SITE_LEARNED, &labels),
            spilled,
            shed,
        }
    }

    /// What a pool is asked for, requests per second, and what its sites can carry: provider, whole
    /// name of the site, requests per second. Nothing is shown of what is not declared.
    pub fn set_capacity(&self, pool: &str, demand: Option<f64>, sites: &[(&str, &str, f64)]) {
        let numbers = &mut self.lock().numbers;
        numbers.remove(&POOL_DEMAND, &[pool]);
        if let Some(demand) = demand {
            numbers.set(&POOL_DEMAND, &[pool], demand);
        }
        numbers.remove(&SITE_CAPACITY, &[pool]);
        for (provider, site, rate) in sites {
            numbers.set(&SITE_CAPACITY, &[pool, provider, site], *rate);
        }
    }
}
