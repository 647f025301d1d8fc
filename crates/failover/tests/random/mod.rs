//! Random policies and runs: whatever the types allow, ids that mean nothing among it.

use leeward_failover::{
    Backend, BackendId, EndpointId, FailoverParams, HealthParams, Input, Mover, OperatorWord,
    OrderParams, Outcome, Overdue, Policy, Pool, PoolId, ProbeFailure, ProbeParams, ProbeResult,
    Provider, ProviderId, ProviderKind, RetryParams, Site, SiteId, Tally, Target, TierSite, Writer,
};
use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) const SITES: [&str; 5] = ["aws/use1", "aws/euw1", "gcp/use4", "metal/ld4", "akash/l1"];
pub(crate) const PROVIDERS: [&str; 4] = ["aws", "gcp", "metal", "akash"];

pub(crate) fn address(number: u32) -> SocketAddr {
    SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 443))
}

/// A policy over some of the sites, in some order.
pub(crate) fn policies() -> impl Strategy<Value = Policy> {
    let sites = Just(vec![0_u32, 1, 2, 3, 4])
        .prop_shuffle()
        .prop_flat_map(|order| (1..=5_usize).prop_map(move |count| order[..count].to_vec()));
    let pool = (
        prop::collection::vec((1..4_u32, 0..4_u32, any::<bool>()), 5),
        (0..3_u64, 0..=4_u32, 0..=4_u32),
        any::<(bool, bool, bool)>(),
    );
    (sites, prop::collection::vec(pool, 1..3)).prop_map(|(sites, pools)| {
        let mut policy = Policy {
            providers: PROVIDERS.map(provider).to_vec(),
            sites: SITES.map(site).to_vec(),
            ..Policy::default()
        };
        for (provider, (_, (_, _, warm), _)) in policy.providers.iter_mut().rev().zip(&pools) {
            provider.max_share = (*warm > 1).then_some(f64::from(*warm) / 20.0);
        }
        for (index, (lanes, (spans, site_failing, warm), orders)) in pools.into_iter().enumerate() {
            let mut tiers: Vec<Vec<TierSite>> = Vec::new();
            for (site, (weight, backends, new_tier)) in sites.iter().zip(lanes) {
                if new_tier || tiers.is_empty() {
                    tiers.push(Vec::new());
                }
                tiers.last_mut().unwrap().push(TierSite {
                    site: SiteId(*site),
                    weight,
                });
                for number in 0..backends {
                    let literal = address(index as u32 * 1000 + site * 10 + number);
                    policy.backends.push(Backend {
                        name: format!("https://{site}-{number}.example"),
                        pool: PoolId(index as u32),
                        site: SiteId(*site),
                        weight,
                        capacity: (warm % 2 == 1 && (site_failing > 0 || number == 0))
                            .then_some(weight * 4),
                        addresses: if number == 2 {
                            Vec::new()
                        } else {
                            vec![literal]
                        },
                    });
                }
            }
            policy
                .pools
                .push(pool_of(index, tiers, spans, site_failing, warm, orders));
        }
        policy
    })
}

pub(crate) fn pool_of(
    index: usize,
    tiers: Vec<Vec<TierSite>>,
    spans: u64,
    site_failing: u32,
    warm: u32,
    (single, automatic, failback): (bool, bool, bool),
) -> Pool {
    let mover = |automatic| {
        if automatic {
            Mover::Automatic
        } else {
            Mover::Operator
        }
    };
    Pool {
        name: format!("pool-{index}"),
        tiers,
        probe: ProbeParams {
            rise: spans as u32,
            ..ProbeParams::default()
        },
        health: HealthParams {
            window: Duration::from_secs(spans),
            ..HealthParams::default()
        },
        failover: FailoverParams {
            site_failing: f64::from(site_failing) / 4.0,
            hold_down_first: Duration::from_secs(spans * 3),
            hold_down_max: Duration::from_secs(spans * 20),
            ramp: Duration::from_secs(spans * 5),
            keep_warm: f64::from(warm) / 8.0,
            ..FailoverParams::default()
        },
        orders: OrderParams {
            writer: if single { Writer::Single } else { Writer::Any },
            moves: mover(automatic),
            failback: mover(failback),
            fenced: false,
        },
        retry: RetryParams::default(),
    }
}

pub(crate) fn provider(name: &str) -> Provider {
    Provider {
        name: name.to_owned(),
        kind: ProviderKind::Cloud,
        max_share: None,
    }
}

pub(crate) fn site(name: &str) -> Site {
    let provider = name.split('/').next().unwrap();
    let provider = PROVIDERS
        .iter()
        .position(|known| *known == provider)
        .unwrap();
    Site {
        name: name.to_owned(),
        provider: ProviderId::from(provider),
    }
}

/// Ids reach a little beyond what exists.
fn endpoints() -> impl Strategy<Value = EndpointId> {
    (0..24_u32).prop_map(EndpointId)
}

fn probes() -> impl Strategy<Value = Input> {
    (endpoints(), any::<bool>()).prop_map(|(endpoint, passes)| {
        let result = if passes {
            ProbeResult::Passed {
                took: Duration::from_micros(1500),
            }
        } else {
            ProbeResult::Failed {
                cause: ProbeFailure::Status,
                detail: "status 503".to_owned(),
            }
        };
        Input::Probe { endpoint, result }
    })
}

fn traffic() -> impl Strategy<Value = Input> {
    let outcomes = prop::collection::vec((0..Outcome::ALL.len(), 1..40_u32), 0..4);
    let clients = prop::option::of(1..9_u64);
    (endpoints(), outcomes, clients).prop_map(|(endpoint, outcomes, clients)| {
        let mut tally = Tally::default();
        for (outcome, count) in outcomes {
            let outcome = Outcome::ALL[outcome];
            for number in 0..count {
                tally.add(outcome, Duration::from_millis(3));
                if let Some(clients) =
                    clients.filter(|_| outcome != Outcome::Success || number % 2 == 0)
                {
                    tally.add_order(outcome, u64::from(number) % clients, false);
                }
            }
        }
        Input::Traffic { endpoint, tally }
    })
}

fn orders_wait() -> impl Strategy<Value = Input> {
    (endpoints(), 0..6_u32, 0..3000_u64).prop_map(|(endpoint, requests, oldest)| {
        let overdue = Overdue {
            requests,
            oldest: Duration::from_millis(oldest),
            dead_paths: requests / 2,
            orders: requests,
        };
        Input::OrdersWait { endpoint, overdue }
    })
}

fn addresses() -> impl Strategy<Value = Input> {
    let listed = prop::collection::vec(0..90_u32, 0..80);
    let retained = prop::collection::vec(0..90_u32, 0..4);
    let all = |numbers: Vec<u32>| numbers.into_iter().map(|number| address(5000 + number));
    (0..12_u32, listed, retained, any::<bool>()).prop_map(
        move |(backend, listed, retained, expired)| Input::Addresses {
            backend: BackendId(backend),
            addresses: all(listed).collect(),
            retained: all(retained).collect(),
            expired,
        },
    )
}

fn words() -> impl Strategy<Value = Input> {
    let target = prop_oneof![
        (0..5_u32).prop_map(|id| Target::Provider(ProviderId(id))),
        (0..6_u32).prop_map(|id| Target::Site(SiteId(id))),
        endpoints().prop_map(Target::Endpoint),
    ];
    let words = vec![
        OperatorWord::Active,
        OperatorWord::Draining,
        OperatorWord::Evacuated,
    ];
    let lasts = prop::option::of((0..60_u64).prop_map(Duration::from_secs));
    (target, prop::sample::select(words), lasts).prop_map(|(target, word, lasts)| Input::Operator {
        target,
        word,
        lasts,
        reason: "a reason".to_owned(),
    })
}

fn inputs() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => probes(),
        8 => traffic(),
        2 => orders_wait(),
        1 => addresses(),
        2 => words(),
        1 => policies().prop_map(|policy| Input::Policy(Box::new(policy))),
        4 => Just(Input::Wake),
    ]
}

/// Inputs, each with the time that passes before it; zero time and jumps among them.
pub(crate) fn runs() -> impl Strategy<Value = (Policy, Vec<(u64, Input)>)> {
    let gap = prop_oneof![2 => Just(0_u64), 8 => 1..900_u64, 1 => 900..90_000_u64];
    (policies(), prop::collection::vec((gap, inputs()), 1..120))
}
