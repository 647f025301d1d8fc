//! How much hangs on one provider and on one tier, and when certificates end: what is fine today and
//! is the next outage.
//!
//! Owns these families. Computes nothing: the control thread says what the table shows.

use crate::Metrics;
use crate::control::is_gone;
use crate::family::{Family, gauge};
use crate::labels::EndpointLabels;

pub(crate) static POOL_PROVIDER_SHARE: Family = gauge(
    "leeward_pool_provider_share",
    &["pool", "provider"],
    "Share of the first attempts of a pool's reads that goes to a provider, 0 to 1.",
);
pub(crate) static POOL_PROVIDER_CAPACITY_SHARE: Family = gauge(
    "leeward_pool_provider_capacity_share",
    &["pool", "provider"],
    "Share of what a pool can carry now that stands at a provider, 0 to 1: by declared capacity where all its sites declare it, else every site counts alike, by how many of its endpoints serve.",
);
pub(crate) static PROVIDER_MAX_SHARE: Family = gauge(
    "leeward_provider_max_share",
    &["provider"],
    "Share of a pool's requests that the policy lets a provider have, 0 to 1; 1 where it says nothing.",
);
pub(crate) static POOL_TIERS: Family = gauge(
    "leeward_pool_tiers",
    &["pool"],
    "Tiers of a pool's failover order.",
);
pub(crate) static POOL_TIERS_USABLE: Family = gauge(
    "leeward_pool_tiers_usable",
    &["pool"],
    "Tiers of a pool in which anything serves now.",
);
pub(crate) static CERTIFICATE_EXPIRES: Family = gauge(
    "leeward_certificate_expires_timestamp_seconds",
    &["listener", "certificate"],
    "When the first certificate of a listener's file ends, those that signed it among them, in seconds since 1970.",
);
pub(crate) static UPSTREAM_CERTIFICATE_EXPIRES: Family = gauge(
    "leeward_upstream_certificate_expires_timestamp_seconds",
    &["pool", "provider", "site", "backend", "address"],
    "When the first of the certificates ends that an endpoint showed to the last probe that got so far, in seconds since 1970.",
);

/// How much of a pool hangs on one provider and on one tier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Concentration<'a> {
    /// Every provider that has a backend in the pool.
    pub providers: Vec<ProviderPart<'a>>,
    /// Tiers of its failover order.
    pub tiers: usize,
    /// Those of them in which anything serves.
    pub usable_tiers: usize,
}

/// What a pool has at one provider.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProviderPart<'a> {
    /// Its name.
    pub provider: &'a str,
    /// Share of the first attempts of the pool's reads, 0 to 1.
    pub share: f64,
    /// Share of what the pool can carry now, 0 to 1.
    pub capacity: f64,
}

impl Metrics {
    /// How much of a pool hangs on one provider and on one tier.
    pub fn set_concentration(&self, pool: &str, concentration: &Concentration<'_>) {
        let numbers = &mut self.lock().numbers;
        for family in [&POOL_PROVIDER_SHARE, &POOL_PROVIDER_CAPACITY_SHARE] {
            numbers.remove(family, &[pool]);
        }
        for part in &concentration.providers {
            let labels = [pool, part.provider];
            numbers.set(&POOL_PROVIDER_SHARE, &labels, part.share);
            numbers.set(&POOL_PROVIDER_CAPACITY_SHARE, &labels, part.capacity);
        }
        numbers.set(&POOL_TIERS, &[pool], concentration.tiers as f64);
        let usable = concentration.usable_tiers as f64;
        numbers.set(&POOL_TIERS_USABLE, &[pool], usable);
    }

    /// What the policy lets a provider have of a pool's requests, 0 to 1; `None` where it says
    /// nothing.
    pub fn set_max_share(&self, provider: &str, max_share: Option<f64>) {
        let numbers = &mut self.lock().numbers;
        numbers.set(&PROVIDER_MAX_SHARE, &[provider], max_share.unwrap_or(1.0));
    }

    /// The certificates of all listeners: listener, file, and when the first one in it ends, in
    /// seconds since 1970. Those from before are forgotten.
    pub fn set_certificates(&self, certificates: &[(&str, &str, i64)]) {
        let numbers = &mut self.lock().numbers;
        numbers.remove(&CERTIFICATE_EXPIRES, &[]);
        for (listener, file, ends) in certificates {
            numbers.set(&CERTIFICATE_EXPIRES, &[listener, file], *ends as f64);
        }
    }

    /// When the first of the certificates ends that an endpoint showed to a probe, in seconds since
    /// 1970. Not shown for an endpoint that was retired.
    pub fn set_upstream_certificate(&self, labels: &EndpointLabels, ends: i64) {
        let state = &mut *self.lock();
        if is_gone(state, labels) {
            return;
        }
        let labels = labels.values();
        let numbers = &mut state.numbers;
        numbers.set(&UPSTREAM_CERTIFICATE_EXPIRES, &labels, ends as f64);
    }
}
