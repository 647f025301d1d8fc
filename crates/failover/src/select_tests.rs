//! Where attempts go, table by table.

use super::*;
use crate::id::BackendId;
use crate::table::EndpointInfo;
use std::sync::Arc;

/// A lane as a story needs it: its endpoints are numbered from ten times its site.
struct L {
    provider: u32,
    tier: u32,
    share: f64,
    warm: f64,
    verdicts: &'static [Verdict],
}

use Verdict::{Healthy, Suspect};

/// Two sites of the first provider carry all, one of the second is kept warm.
const USUAL: [L; 3] = [
    L {
        provider: 0,
        tier: 0,
        share: 0.5,
        warm: 0.0,
        verdicts: &[Healthy, Healthy],
    },
    L {
        provider: 0,
        tier: 0,
        share: 0.5,
        warm: 0.0,
        verdicts: &[Healthy],
    },
    L {
        provider: 1,
        tier: 1,
        share: 0.0,
        warm: 0.1,
        verdicts: &[Healthy, Healthy],
    },
];

fn table(lanes: &[L], writer: Option<u32>) -> Table {
    let mut endpoints = vec![None; lanes.len() * 10];
    let mut pool = PoolTable {
        writer: writer.map(ProviderId),
        ..PoolTable::default()
    };
    for (index, lane) in lanes.iter().enumerate() {
        let (site, provider) = (SiteId::from(index), ProviderId(lane.provider));
        let endpoint = |(number, verdict): (usize, &Verdict)| {
            let id = EndpointId::from(index * 10 + number);
            let address = ([10, 0, 0, id.0 as u8], 443).into();
            endpoints[id.index()] = Some(EndpointInfo {
                address,
                backend: BackendId(0),
                site,
                provider,
            });
            let weight = if *verdict == Verdict::Down { 0.0 } else { 1.0 };
            let hash = rng::mix(u64::from(id.0) + 1);
            LaneEndpoint {
                rate: 0.0,
                order_rate: 0.0,
                id,
                hash,
                weight,
                order_weight: weight,
                verdict: *verdict,
            }
        };
        let endpoints: Vec<_> = lane.verdicts.iter().enumerate().map(endpoint).collect();
        let usable = endpoints.iter().any(|e| e.weight > 0.0);
        pool.lanes.push(Lane {
            site,
            provider,
            tier: lane.tier,
            share: lane.share,
            warm: lane.warm,
            capacity: if usable { 1.0 } else { 0.0 },
            rate: None,
            tight: false,
            most: 1.0,
            hash: rng::mix(index as u64 + 100),
            usable,
            suspect: false,
            endpoints,
        });
    }
    Table {
        version: 1,
        pools: vec![Arc::new(pool)],
        endpoints: Arc::new(endpoints),
    }
}

/// How often each endpoint is picked in a thousand attempts.
fn picks(table: &Table, class: Class, keyed: bool, tried: &[u32], reach: Reach) -> Vec<(u32, u32)> {
    let tried: Vec<EndpointId> = tried.iter().copied().map(EndpointId).collect();
    let mut rng = Rng::new(5);
    let mut counts = std::collections::BTreeMap::new();
    for number in 0..1000_u64 {
        let key = keyed.then(|| affinity_key(&number.to_be_bytes()));
        let want = Want {
            pool: PoolId(0),
            class,
            key,
            tried: &tried,
            reach,
        };
        if let Some(pick) = select(table, &want, &mut rng, |_| 1) {
            *counts.entry(pick.endpoint.0).or_insert(0) += 1;
        }
    }
    counts.into_iter().collect()
}

fn picked(table: &Table, class: Class, tried: &[u32], reach: Reach) -> Vec<u32> {
    picks(table, class, false, tried, reach)
        .into_iter()
        .map(|(id, _)| id)
        .collect()
}

#[test]
fn only_public_reads_without_a_key_keep_a_standby_warm() {
    let table = table(&USUAL, Some(0));
    let to_standby = |class, keyed| -> u32 {
        let picks = picks(&table, class, keyed, &[], Reach::Endpoint);
        picks
            .iter()
            .filter(|(id, _)| *id >= 20)
            .map(|(_, count)| count)
            .sum()
    };
    assert!((70..130).contains(&to_standby(Class::PublicRead, false)));
    assert_eq!(to_standby(Class::PublicRead, true), 0);
    for class in [
        Class::PrivateRead,
        Class::Stream,
        Class::Tcp,
        Class::Order,
        Class::Cancel,
    ] {
        assert_eq!(
            to_standby(class, false) + to_standby(class, true),
            0,
            "{class:?}"
        );
    }
}

#[test]
fn orders_go_to_the_writer_and_to_nobody_else() {
    let away = table(&USUAL, Some(1));
    for class in [Class::Order, Class::Cancel] {
        assert_eq!(picked(&away, class, &[], Reach::Endpoint), [20, 21]);
        assert_eq!(picked(&away, class, &[20], Reach::Provider), [21]);
        assert_eq!(picked(&away, class, &[20, 21], Reach::Provider), []);
    }
    let nobody = table(&USUAL, Some(7));
    assert_eq!(picked(&nobody, Class::Order, &[], Reach::Endpoint), []);
    let any = table(&USUAL, None);
    assert_eq!(picked(&any, Class::Order, &[], Reach::Endpoint), [0, 1, 10]);
}

#[test]
fn an_order_that_was_not_sent_goes_to_another_site_of_the_writer_when_asked() {
    let table = table(&USUAL, Some(0));
    assert_eq!(picked(&table, Class::Order, &[0], Reach::Endpoint), [1, 10]);
    assert_eq!(picked(&table, Class::Order, &[0], Reach::Site), [10]);
    assert_eq!(picked(&table, Class::Order, &[0], Reach::Provider), [10]);
    assert_eq!(
        picked(&table, Class::Cancel, &[0, 10], Reach::Provider),
        [1]
    );
}

#[test]
fn further_attempts_go_as_far_as_asked_or_as_far_as_there_is() {
    let table = table(&USUAL, Some(0));
    let next = |tried: &[u32], reach| picked(&table, Class::PublicRead, tried, reach);
    assert_eq!(next(&[0], Reach::Endpoint), [1, 10]);
    assert_eq!(next(&[0], Reach::Site), [10]);
    assert_eq!(next(&[0], Reach::Provider), [20, 21]);
    assert_eq!(next(&[0, 20, 21], Reach::Provider), [10]);
    assert_eq!(next(&[0, 10, 20, 21], Reach::Provider), [1]);
    assert_eq!(next(&[0, 1, 10, 20, 21], Reach::Endpoint), []);
}

#[test]
fn further_attempts_prefer_what_looks_well() {
    let lanes = [
        L {
            provider: 0,
            tier: 0,
            share: 1.0,
            warm: 0.0,
            verdicts: &[Suspect, Suspect],
        },
        L {
            provider: 1,
            tier: 1,
            share: 0.0,
            warm: 0.0,
            verdicts: &[Suspect, Healthy],
        },
    ];
    let table = table(&lanes, Some(0));
    assert_eq!(
        picked(&table, Class::PublicRead, &[0], Reach::Endpoint),
        [11]
    );
    assert_eq!(
        picked(&table, Class::PublicRead, &[0, 11], Reach::Endpoint),
        [1]
    );
}

#[test]
fn an_order_avoids_a_suspect_unless_its_key_holds_it_there() {
    let lanes = [L {
        provider: 0,
        tier: 0,
        share: 1.0,
        warm: 0.0,
        verdicts: &[Suspect, Healthy],
    }];
    let table = table(&lanes, Some(0));
    assert_eq!(picked(&table, Class::Order, &[], Reach::Endpoint), [1]);
    let keyed = picks(&table, Class::Order, true, &[], Reach::Endpoint);
    assert_eq!(keyed.len(), 2, "a key leaves its path: {keyed:?}");
}

#[test]
fn an_order_that_nobody_of_the_writer_takes_goes_round_it_where_that_is_fenced() {
    let mut table = table(&USUAL, Some(0));
    let tried = [0, 1, 10];
    assert_eq!(picked(&table, Class::Order, &tried, Reach::Endpoint), []);
    let pool = Arc::make_mut(&mut table.pools[0]);
    pool.fenced = true;
    assert_eq!(
        picked(&table, Class::Order, &tried, Reach::Endpoint),
        [20, 21]
    );
    let still = picked(&table, Class::Order, &[0, 1], Reach::Endpoint);
    assert_eq!(still, [10], "something of the writer's is left");
    let full = Full {
        sites: &[SiteId(0), SiteId(1)],
        endpoints: &[],
    };
    let want = Want {
        pool: PoolId(0),
        class: Class::Order,
        key: None,
        tried: &[],
        reach: Reach::Endpoint,
    };
    let mut rng = Rng::new(1);
    let elsewhere = select_beside(&table, &want, full, &mut rng, |_| 0);
    assert_eq!(elsewhere, None, "a writer that is full is not gone");
    Arc::make_mut(&mut table.pools[0]).panic = true;
    assert_eq!(picked(&table, Class::Order, &tried, Reach::Endpoint), []);
}

#[test]
fn what_failed_rather_goes_to_a_provider_that_is_not_suspect() {
    let mut table = table(&USUAL, None);
    let reads = |table: &Table| picked(table, Class::PublicRead, &[0], Reach::Endpoint);
    assert_eq!(reads(&table), [1, 10], "the same tier first");
    let pool = Arc::make_mut(&mut table.pools[0]);
    pool.lanes[0].suspect = true;
    pool.lanes[1].suspect = true;
    assert_eq!(reads(&table), [20, 21]);
    let only = picked(&table, Class::PublicRead, &[0, 20, 21], Reach::Endpoint);
    assert_eq!(only, [1, 10], "better than nobody");
}

#[test]
fn a_pool_that_is_unknown_or_empty_has_nothing_to_pick() {
    let mut rng = Rng::new(1);
    let want = |pool| Want {
        pool: PoolId(pool),
        class: Class::PublicRead,
        key: None,
        tried: &[],
        reach: Reach::Endpoint,
    };
    assert_eq!(select(&table(&[], None), &want(0), &mut rng, |_| 0), None);
    assert_eq!(
        select(&table(&USUAL, None), &want(9), &mut rng, |_| 0),
        None
    );
}

#[test]
fn what_finds_an_endpoint_full_goes_to_its_neighbour_and_then_to_another_site() {
    let table = table(&USUAL, Some(0));
    for key in [None, Some(1), Some(2), Some(3)] {
        for class in [Class::Order, Class::PublicRead] {
            let want = Want {
                pool: PoolId(0),
                class,
                key,
                tried: &[],
                reach: Reach::Endpoint,
            };
            let beside = |endpoints: &[u32]| {
                let endpoints: Vec<EndpointId> =
                    endpoints.iter().copied().map(EndpointId).collect();
                let full = Full {
                    sites: &[],
                    endpoints: &endpoints,
                };
                let mut rng = Rng::new(3);
                let pick = select_beside(&table, &want, full, &mut rng, |_| 0);
                pick.map(|pick| pick.endpoint.0)
            };
            assert_eq!(beside(&[0, 10, 20, 21]), Some(1), "{class:?} {key:?}");
            assert_eq!(beside(&[0, 1, 20, 21]), Some(10), "{class:?} {key:?}");
            let elsewhere = beside(&[0, 1, 10, 20]);
            let other = (class == Class::PublicRead).then_some(21);
            assert_eq!(elsewhere, other, "{class:?} {key:?}");
        }
    }
}

#[test]
fn what_finds_a_site_full_goes_to_one_with_room() {
    let table = table(&USUAL, Some(0));
    let among = |class: Class, full: &[u32]| {
        let want = Want {
            pool: PoolId(0),
            class,
            key: None,
            tried: &[],
            reach: Reach::Endpoint,
        };
        let sites: Vec<SiteId> = full.iter().copied().map(SiteId).collect();
        let full = Full {
            sites: &sites,
            endpoints: &[],
        };
        let mut rng = Rng::new(5);
        let mut sites: Vec<u32> = (0..200)
            .filter_map(|_| select_beside(&table, &want, full, &mut rng, |_| 0))
            .map(|pick| pick.site.0)
            .collect();
        sites.sort_unstable();
        sites.dedup();
        sites
    };
    assert_eq!(among(Class::PrivateRead, &[0]), [1]);
    assert_eq!(among(Class::PrivateRead, &[0, 1]), [2]);
    assert_eq!(among(Class::PublicRead, &[0, 1, 2]), [0_u32; 0]);
    // Orders stay with their writer: they are shed rather than moved.
    assert_eq!(among(Class::Order, &[0]), [1]);
    assert_eq!(among(Class::Order, &[0, 1]), [0_u32; 0]);
}

/// What [`shares`] says is what selection does.
#[test]
fn shares_are_those_by_which_first_attempts_are_drawn() {
    const DRAWN: usize = 20_000;
    for writer in [None, Some(0), Some(1)] {
        let table = table(&USUAL, writer);
        for class in Class::ALL {
            let want = Want {
                pool: PoolId(0),
                class,
                key: None,
                tried: &[],
                reach: Reach::Endpoint,
            };
            let mut rng = Rng::new(7);
            let mut counts = [0; USUAL.len()];
            for _ in 0..DRAWN {
                let pick = select(&table, &want, &mut rng, |_| 0).expect("somebody");
                counts[pick.site.index()] += 1;
            }
            let said = shares(&table.pools[0], class);
            for (site, count) in counts.into_iter().enumerate() {
                let share = said.iter().find(|(id, _)| id.index() == site);
                let share = share.map_or(0.0, |(_, share)| *share);
                let drawn = f64::from(count) / DRAWN as f64;
                assert!(
                    (share - drawn).abs() < 0.02,
                    "{class:?} {writer:?}: {share}, {drawn}"
                );
            }
        }
    }
}
