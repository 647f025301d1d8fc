//! How much of each pool hangs on one provider and on one tier, read off the table.
//!
//! Shows it, and decides nothing. Called by `effects` on the control thread when a policy or a table
//! takes force; never on the way of a request.

use crate::serving::Serving;
use leeward_failover::{Lane, Policy, PoolId, PoolTable, ProviderId};
use leeward_metrics::{Concentration, Metrics, ProviderPart};
use std::collections::BTreeSet;

/// Shows what stays until the next policy: the most that providers may have, and when listeners'
/// certificates end.
pub(crate) fn show_policy(serving: &Serving, metrics: &Metrics) {
    for provider in &serving.policy.engine.providers {
        metrics.set_max_share(&provider.name, provider.max_share);
    }
    let listeners = serving.listeners.iter().flat_map(|listener| {
        let files = listener.certificates().iter();
        files.map(|(file, ends)| (listener.name.as_str(), file.as_str(), *ends))
    });
    metrics.set_certificates(&listeners.collect::<Vec<_>>());
}

/// Shows what a pool has at each of the providers that it has anything at.
pub(crate) fn show_pool(
    policy: &Policy,
    (pool, providers): (PoolId, &BTreeSet<ProviderId>),
    table: &PoolTable,
    metrics: &Metrics,
) {
    let concentration = of(policy, (pool, providers), table);
    metrics.set_concentration(&policy.pools[pool.index()].name, &concentration);
}

fn of<'a>(
    policy: &'a Policy,
    (pool, providers): (PoolId, &BTreeSet<ProviderId>),
    table: &PoolTable,
) -> Concentration<'a> {
    let warm: f64 = table.lanes.iter().map(|lane| lane.warm).sum();
    let share = |lane: &Lane| lane.share * (1.0 - warm) + lane.warm;
    let declared = table.lanes.iter().all(|lane| lane.rate.is_some());
    let capacity = |lane: &Lane| carries(lane, declared);
    let all: f64 = table.lanes.iter().map(capacity).sum();
    let at = |provider, amount: &dyn Fn(&Lane) -> f64| -> f64 {
        let own = table.lanes.iter().filter(|lane| lane.provider == provider);
        own.map(amount).sum()
    };
    let parts = providers.iter().map(|provider| ProviderPart {
        provider: &policy.providers[provider.index()].name,
        share: at(*provider, &share),
        capacity: if all > 0.0 {
            at(*provider, &capacity) / all
        } else {
            0.0
        },
    });
    let usable: BTreeSet<u32> = table
        .lanes
        .iter()
        .filter(|lane| serving_part(lane) > 0.0)
        .map(|lane| lane.tier)
        .collect();
    Concentration {
        providers: parts.collect(),
        tiers: policy.pools[pool.index()].tiers.len(),
        usable_tiers: usable.len(),
    }
}

/// What a site can carry now: requests per second where all declare them, else its part that serves.
fn carries(lane: &Lane, declared: bool) -> f64 {
    match lane.rate.filter(|_| declared) {
        // The table keeps a rate for orders, one by one, where nothing serves.
        Some(rate) if serving_part(lane) > 0.0 => rate,
        Some(_) => 0.0,
        None => serving_part(lane),
    }
}

/// The part of a site's endpoints that anything goes to, 0 to 1.
fn serving_part(lane: &Lane) -> f64 {
    if lane.endpoints.is_empty() {
        return 0.0;
    }
    let serving = lane.endpoints.iter().filter(|e| e.weight > 0.0).count();
    serving as f64 / lane.endpoints.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use leeward_failover::{EndpointId, LaneEndpoint, SiteId, Verdict};
    use std::path::Path;

    const POLICY: &str = "
version: 1
listeners: { l: { bind: 127.0.0.1:0 } }
providers: { aws: { sites: [one, two] }, gcp: { sites: [one] }, metal: { sites: [ld4] } }
pools:
  main:
    backends:
      - { url: 'http://127.0.0.1:1', site: aws/one }
      - { url: 'http://127.0.0.1:2', site: aws/two }
      - { url: 'http://127.0.0.1:3', site: gcp/one }
    failover: { tiers: [[aws/one, aws/two], [gcp]] }
  other: { backends: [{ url: 'http://127.0.0.1:4', site: metal/ld4 }] }
routes: [{ pool: main }]
";

    fn policy() -> Policy {
        let loaded = leeward_config::parse("test.yaml", POLICY, Path::new("/nonexistent"));
        loaded.policy.expect("a policy").engine
    }

    /// A site of the policy, in its order, with endpoints of these weights.
    fn lane(site: usize, share: f64, rate: Option<f64>, weights: &[f64]) -> Lane {
        let endpoint = |weight: &f64| LaneEndpoint {
            rate: 0.0,
            order_rate: 0.0,
            id: EndpointId::from(0),
            hash: 0,
            weight: *weight,
            order_weight: 0.0,
            verdict: Verdict::Healthy,
        };
        Lane {
            site: SiteId::from(site),
            provider: ProviderId::from(site / 2),
            tier: u32::try_from(site / 2).expect("a small number"),
            share,
            warm: 0.0,
            capacity: 1.0,
            rate,
            tight: false,
            most: 1.0,
            hash: 0,
            usable: true,
            suspect: false,
            endpoints: weights.iter().map(endpoint).collect(),
        }
    }

    /// Share and capacity by provider, tiers that serve.
    fn seen(lanes: Vec<Lane>) -> (Vec<(String, f64, f64)>, usize) {
        let (policy, table) = (
            policy(),
            PoolTable {
                lanes,
                ..PoolTable::default()
            },
        );
        let at = [ProviderId::from(0), ProviderId::from(1)].into();
        let Concentration {
            providers,
            tiers,
            usable_tiers,
        } = of(&policy, (PoolId::from(0), &at), &table);
        assert_eq!(tiers, 2);
        let parts = providers
            .into_iter()
            .map(|p| (p.provider.to_owned(), p.share, p.capacity));
        (parts.collect(), usable_tiers)
    }

    fn part(provider: &str, share: f64, capacity: f64) -> (String, f64, f64) {
        (provider.to_owned(), share, capacity)
    }

    #[test]
    fn what_is_declared_is_what_is_shared() {
        let lanes = vec![
            lane(0, 0.5, Some(100.0), &[1.0]),
            lane(1, 0.5, Some(200.0), &[1.0]),
            lane(2, 0.0, Some(100.0), &[1.0]),
        ];
        let parts = vec![part("aws", 1.0, 0.75), part("gcp", 0.0, 0.25)];
        assert_eq!(seen(lanes), (parts, 2));
    }

    #[test]
    fn sites_count_alike_by_what_serves_where_any_declares_nothing() {
        let lanes = vec![
            lane(0, 0.4, Some(100.0), &[1.0]),
            lane(1, 0.4, None, &[1.0, 0.0]),
            lane(2, 0.2, Some(900.0), &[1.0, 1.0]),
        ];
        let parts = vec![part("aws", 0.8, 0.6), part("gcp", 0.2, 0.4)];
        assert_eq!(seen(lanes), (parts, 2));
    }

    #[test]
    fn what_serves_nothing_is_no_capacity_though_orders_may_come() {
        let lanes = vec![
            lane(0, 0.0, Some(100.0), &[0.0]),
            lane(1, 0.0, Some(100.0), &[0.0]),
            lane(2, 1.0, Some(100.0), &[1.0]),
        ];
        let parts = vec![part("aws", 0.0, 0.0), part("gcp", 1.0, 1.0)];
        assert_eq!(seen(lanes), (parts, 1));
    }

    #[test]
    fn what_standbys_are_kept_warm_with_is_theirs() {
        let mut lanes = vec![lane(0, 1.0, None, &[1.0]), lane(2, 0.0, None, &[1.0])];
        lanes[1].warm = 0.02;
        let parts = vec![part("aws", 0.98, 0.5), part("gcp", 0.02, 0.5)];
        assert_eq!(seen(lanes), (parts, 2));
    }

    #[test]
    fn a_pool_without_any_address_yet_hangs_on_nobody() {
        let parts = vec![part("aws", 0.0, 0.0), part("gcp", 0.0, 0.0)];
        assert_eq!(seen(Vec::new()), (parts, 0));
    }
}
