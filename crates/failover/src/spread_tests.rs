//! Who carries how much: shares, ramps, standbys, orders.

use super::*;
use crate::class::Class;
use crate::id::{EndpointId, ProviderId, SiteId};
use crate::order_path::Fitness;
use crate::trust::Declared;

const MANNER: Manner = Manner {
    writer: Writer::Single,
    keep_warm: 0.0,
    demand: None,
};

/// A lane is given this part of its rate before anybody else is asked.
const FILLED_PART: f64 = 0.95;

/// A lane of `alive` endpoints that serve and `dead` ones that are down; its provider is its site.
fn lane(site: u32, tier: u32, alive: usize, dead: usize) -> LaneView {
    let endpoint = |index: usize| {
        let (verdict, standing) = if index < alive {
            (Verdict::Healthy, Standing::Serves)
        } else {
            (Verdict::Down, Standing::Dead)
        };
        EndpointView {
            per_weight: 1.0,
            id: EndpointId(site * 100 + index as u32),
            hash: index as u64,
            verdict,
            standing,
            base: 1.0,
            factor: if index < alive { 1.0 } else { 0.0 },
            kept_away: false,
            orders: Fitness::Fit,
        }
    };
    LaneView {
        site: SiteId(site),
        provider: ProviderId(site),
        tier,
        weight: 1.0,
        hash: u64::from(site),
        kept_away: false,
        left: false,
        suspicion: crate::policy::Suspicion::Ignore,
        ramp: None,
        declared: Declared::default(),
        endpoints: (0..alive + dead).map(endpoint).collect(),
    }
}

fn returning(view: LaneView, ramp: f64) -> LaneView {
    LaneView {
        ramp: Some(ramp),
        ..view
    }
}

fn shares(views: &[LaneView]) -> Vec<f64> {
    let (_, lanes) = spread(views, MANNER);
    lanes
        .iter()
        .map(|lane| (lane.share * 1000.0).round() / 1000.0)
        .collect()
}

#[test]
fn the_first_tier_carries_all_by_weight() {
    let heavy = LaneView {
        weight: 3.0,
        ..lane(0, 0, 2, 0)
    };
    assert_eq!(
        shares(&[heavy, lane(1, 0, 2, 0), lane(2, 1, 2, 0)]),
        [0.75, 0.25, 0.0]
    );
}

#[test]
fn a_tier_with_a_third_of_it_gone_still_carries_all() {
    assert_eq!(shares(&[lane(0, 0, 2, 1), lane(1, 1, 1, 0)]), [1.0, 0.0]);
    assert_eq!(shares(&[lane(0, 0, 1, 1), lane(1, 1, 1, 0)]), [0.75, 0.25]);
    assert_eq!(shares(&[lane(0, 0, 0, 1), lane(1, 1, 1, 0)]), [0.0, 1.0]);
}

#[test]
fn what_all_tiers_together_cannot_carry_is_carried_all_the_same() {
    let shares = shares(&[lane(0, 0, 1, 9), lane(1, 1, 1, 4)]);
    assert_eq!(shares, [0.333, 0.667]);
}

#[test]
fn a_site_that_returns_takes_its_ramps_part_and_no_more() {
    let tiers = |ramp| shares(&[returning(lane(0, 0, 2, 0), ramp), lane(1, 1, 2, 0)]);
    assert_eq!(tiers(0.01), [0.01, 0.99]);
    assert_eq!(tiers(0.5), [0.5, 0.5]);
    assert_eq!(tiers(1.0), [1.0, 0.0]);
    let neighbours = shares(&[
        returning(lane(0, 0, 2, 0), 0.5),
        lane(1, 0, 2, 0),
        lane(2, 1, 1, 0),
    ]);
    assert_eq!(neighbours, [0.25, 0.75, 0.0]);
}

#[test]
fn a_ramp_is_kept_even_where_the_rest_is_short() {
    let shares = shares(&[returning(lane(0, 0, 2, 0), 0.1), lane(1, 1, 1, 9)]);
    assert_eq!(shares, [0.1, 0.9]);
}

#[test]
fn where_everything_returns_at_once_positions_are_held() {
    let both = |a, b| {
        shares(&[
            returning(lane(0, 0, 1, 0), a),
            returning(lane(1, 1, 1, 0), b),
        ])
    };
    assert_eq!(both(0.05, 0.05), [1.0, 0.0]);
    assert_eq!(both(0.01, 0.5), [0.02, 0.98]);
    assert_eq!(shares(&[returning(lane(0, 0, 1, 0), 0.01)]), [1.0]);
}

#[test]
fn a_lane_whose_only_endpoint_returns_is_on_that_endpoints_ramp() {
    let mut view = lane(0, 0, 1, 1);
    view.endpoints[0].verdict = Verdict::Recovering;
    view.endpoints[0].factor = 0.1;
    let shares = shares(&[view, lane(1, 1, 2, 0)]);
    assert_eq!(shares, [0.05, 0.95]);
}

#[test]
fn a_standby_that_serves_is_kept_warm_and_one_that_is_new_is_not() {
    let manner = Manner {
        keep_warm: 0.04,
        ..MANNER
    };
    let mut new = lane(2, 1, 1, 0);
    new.endpoints[0].standing = Standing::New;
    let views = [
        lane(0, 0, 1, 0),
        lane(1, 1, 1, 0),
        new,
        returning(lane(3, 2, 1, 0), 0.5),
    ];
    let (_, lanes) = spread(&views, manner);
    let warm: Vec<f64> = lanes.iter().map(|lane| lane.warm).collect();
    assert_eq!(warm, [0.0, 0.02, 0.0, 0.01]);
    assert_eq!(lanes[0].share, 1.0);
}

#[test]
fn a_new_endpoint_is_no_capacity_that_is_missing() {
    let mut view = lane(0, 0, 2, 0);
    view.endpoints[1].standing = Standing::New;
    let (_, lanes) = spread(&[view, lane(1, 1, 1, 0)], MANNER);
    assert_eq!((lanes[0].share, lanes[0].endpoints[1].weight), (1.0, 0.0));
}

#[test]
fn when_everything_is_down_the_first_tier_of_the_least_bad_carries_all() {
    let (trust, lanes) = spread(&[lane(0, 0, 0, 2), lane(1, 1, 0, 2)], MANNER);
    assert!(trust.is_panic());
    assert_eq!(
        lanes.iter().map(|lane| lane.share).collect::<Vec<_>>(),
        [1.0, 0.0]
    );

    let mut answers = lane(1, 1, 0, 2);
    answers.endpoints[1].standing = Standing::Answers;
    let (_, lanes) = spread(&[lane(0, 0, 0, 2), answers], MANNER);
    assert_eq!(
        lanes.iter().map(|lane| lane.share).collect::<Vec<_>>(),
        [0.0, 1.0]
    );
    let weights: Vec<f64> = lanes[1].endpoints.iter().map(|e| e.weight).collect();
    assert_eq!(weights, [0.0, 1.0]);
    // Orders stay with their writer, which has nothing better than what is dead.
    assert!(lanes[0].usable && lanes[0].endpoints.iter().all(|e| e.order_weight == 1.0));
}

#[test]
fn orders_wait_until_reads_have_proved_the_way() {
    let mut view = lane(0, 0, 2, 0);
    view.endpoints[1].verdict = Verdict::Recovering;
    view.endpoints[1].factor = 0.3;
    let (_, lanes) = spread(&[view.clone()], MANNER);
    let order_weights = |lanes: &[Lane]| -> Vec<f64> {
        lanes[0].endpoints.iter().map(|e| e.order_weight).collect()
    };
    assert_eq!(order_weights(&lanes), [1.0, 0.0]);
    view.endpoints[0].standing = Standing::Dead;
    let (_, lanes) = spread(&[view], MANNER);
    assert_eq!(order_weights(&lanes), [0.0, 1.0]);
}

#[test]
fn orders_without_a_writer_wait_for_proof_over_all_providers() {
    let views = [returning(lane(0, 0, 1, 0), 0.5), lane(1, 0, 1, 0)];
    let any = Manner {
        writer: Writer::Any,
        ..MANNER
    };
    let first = |manner| spread(&views, manner).1[0].endpoints[0].order_weight;
    assert_eq!(first(any), 0.0);
    assert_eq!(first(MANNER), 1.0);
}

#[test]
fn orders_stay_with_a_writer_whose_addresses_are_all_new() {
    let mut view = lane(0, 0, 1, 1);
    view.endpoints[0].standing = Standing::New;
    let (_, lanes) = spread(&[view, lane(1, 1, 1, 0)], MANNER);
    let weights = |lane: &Lane| -> Vec<(f64, f64)> {
        lane.endpoints
            .iter()
            .map(|e| (e.weight, e.order_weight))
            .collect()
    };
    assert_eq!(weights(&lanes[0]), [(0.0, 1.0), (0.0, 0.0)]);
    assert!(lanes[0].usable);
    assert_eq!((lanes[0].share, lanes[1].share), (0.0, 1.0));
}

/// The same with a declared rate, requests per second.
fn rated(view: LaneView, rate: f64) -> LaneView {
    let declared = Declared {
        rate: Some(rate),
        ..view.declared
    };
    LaneView { declared, ..view }
}

/// The same at a provider with a `max_share`.
fn bounded(view: LaneView, most: f64) -> LaneView {
    let declared = Declared {
        most,
        ..view.declared
    };
    LaneView { declared, ..view }
}

fn lanes_at(views: &[LaneView], demand: f64) -> Vec<Lane> {
    let manner = Manner {
        demand: Some(demand),
        ..MANNER
    };
    spread(views, manner).1
}

fn shares_at(views: &[LaneView], demand: f64) -> Vec<f64> {
    let lanes = lanes_at(views, demand);
    let round = |lane: &Lane| (lane.share * 1000.0).round() / 1000.0;
    lanes.iter().map(round).collect()
}

#[test]
fn what_a_tier_declares_it_can_carry_it_carries_and_the_rest_spills() {
    let tiers = |alive| {
        [
            rated(lane(0, 0, alive, 4 - alive), 200.0),
            rated(lane(1, 1, 1, 0), 1000.0),
        ]
    };
    assert_eq!(shares_at(&tiers(4), 100.0), [1.0, 0.0]);
    assert_eq!(shares_at(&tiers(4), 380.0), [0.5, 0.5]);
    // With half of it gone it still carries what it can: more is not taken away.
    assert_eq!(shares_at(&tiers(2), 90.0), [1.0, 0.0]);
    assert_eq!(shares_at(&tiers(1), 95.0), [0.5, 0.5]);
}

#[test]
fn a_full_neighbour_leaves_the_rest_to_those_with_room() {
    let views = [
        rated(lane(0, 0, 1, 0), 100.0),
        rated(lane(1, 0, 1, 0), 300.0),
        lane(2, 1, 1, 0),
    ];
    assert_eq!(shares_at(&views, 190.0), [0.5, 0.5, 0.0]);
    assert_eq!(shares_at(&views, 380.0), [0.25, 0.75, 0.0]);
    assert_eq!(shares_at(&views, 760.0), [0.125, 0.375, 0.5]);
}

#[test]
fn what_fits_nowhere_goes_to_all_by_what_they_carry() {
    let views = [
        rated(lane(0, 0, 1, 0), 100.0),
        rated(lane(1, 1, 1, 0), 300.0),
    ];
    assert_eq!(shares_at(&views, 4000.0), [0.25, 0.75]);
    assert!(lanes_at(&views, 4000.0).iter().all(|lane| lane.tight));
}

#[test]
fn without_a_measured_demand_a_declared_rate_changes_nothing() {
    let views = [
        rated(lane(0, 0, 1, 1), 100.0),
        rated(lane(1, 1, 1, 0), 100.0),
    ];
    assert_eq!(shares(&views), [0.75, 0.25]);
}

#[test]
fn a_lane_is_tight_only_near_its_rate() {
    let tight = |demand| {
        let views = [
            rated(lane(0, 0, 1, 0), 100.0),
            rated(lane(1, 1, 1, 0), 100.0),
        ];
        let lanes = lanes_at(&views, demand);
        lanes.iter().map(|lane| lane.tight).collect::<Vec<_>>()
    };
    assert_eq!(tight(60.0), [false, false]);
    assert_eq!(tight(80.0), [true, false]);
    // Full: what is too much for it comes to the other one.
    assert_eq!(tight(94.0), [true, true]);
}

#[test]
fn a_lanes_rate_falls_with_its_endpoints_and_its_ramp() {
    let rate = |view: LaneView| {
        let views = [rated(view, 200.0), lane(1, 1, 1, 0)];
        lanes_at(&views, 10.0)[0].rate.unwrap()
    };
    assert!((rate(lane(0, 0, 3, 1)) - 150.0).abs() < 1e-9);
    assert!((rate(returning(lane(0, 0, 2, 0), 0.1)) - 20.0).abs() < 1e-9);
}

#[test]
fn doubts_about_an_endpoint_lower_what_reads_may_take_of_it_and_not_what_orders_may() {
    let mut view = rated(lane(0, 0, 2, 0), 200.0);
    for endpoint in &mut view.endpoints {
        endpoint.per_weight = 100.0;
        endpoint.factor = 0.125;
    }
    let lanes = lanes_at(&[view, lane(1, 1, 1, 0)], 10.0);
    let first = lanes[0].endpoints[0].id;
    let reads = lanes[0].declared(first, Class::PublicRead).unwrap();
    let orders = lanes[0].declared(first, Class::Order).unwrap();
    assert!((reads.own - 12.5).abs() < 1e-9, "{reads:?}");
    assert!((orders.own - 100.0).abs() < 1e-9, "{orders:?}");
    assert!((reads.most - 100.0).abs() < 1e-9, "{reads:?}");
}

#[test]
fn a_bounded_provider_keeps_to_its_share_while_anybody_else_serves() {
    let akash = || bounded(lane(1, 0, 1, 0), 0.05);
    assert_eq!(shares(&[lane(0, 0, 1, 0), akash()]), [0.95, 0.05]);
    // An evacuation of the first tier: the second is bounded, the third takes the rest.
    let second = bounded(lane(1, 1, 1, 0), 0.05);
    let gone = lane(0, 0, 0, 1);
    let views = [gone.clone(), second.clone(), lane(2, 2, 1, 0)];
    assert_eq!(shares(&views), [0.0, 0.05, 0.95]);
    let lanes = lanes_at(&views, 100.0);
    assert_eq!((lanes[1].most, lanes[2].most), (0.05, 1.0));
    // The rest being full does not lift it.
    let full = rated(lane(2, 2, 1, 0), 10.0);
    assert_eq!(
        shares_at(&[gone.clone(), second.clone(), full], 1000.0),
        [0.0, 0.05, 0.95]
    );
    // Nobody else is left: it serves (P4).
    assert_eq!(shares(&[gone, second.clone()]), [0.0, 1.0]);
    // Whoever returns keeps its ramp meanwhile.
    let back = returning(lane(0, 0, 1, 0), 0.1);
    assert_eq!(shares(&[back, second]), [0.1, 0.9]);
}

#[test]
fn a_place_on_its_ramp_takes_its_part_of_what_it_declares_where_the_rest_is_short() {
    let views = |ramp| {
        [
            rated(returning(lane(0, 0, 1, 0), ramp), 700.0),
            rated(lane(1, 1, 1, 0), 180.0),
        ]
    };
    let lanes = lanes_at(&views(0.1), 360.0);
    let part = FILLED_PART * 70.0 / 360.0;
    assert!((lanes[0].share - part).abs() < 1e-9, "{lanes:?}");
    assert!((lanes[1].share - (1.0 - part)).abs() < 1e-9);
    assert!(lanes[0].tight && lanes[0].rate.is_some_and(|rate| (rate - 70.0).abs() < 1e-9));
    // With enough room elsewhere it keeps to its part of the load.
    let lanes = lanes_at(&views(0.1), 100.0);
    assert!((lanes[0].share - 0.1).abs() < 1e-9, "{lanes:?}");
}

#[test]
fn a_place_on_its_ramp_takes_no_more_because_others_are_full() {
    let views = [
        returning(lane(0, 0, 1, 0), 0.1),
        rated(lane(1, 1, 1, 0), 10.0),
    ];
    let lanes = lanes_at(&views, 1000.0);
    assert_eq!((lanes[0].share, lanes[0].most), (0.1, 0.1));
    assert_eq!((lanes[1].share, lanes[1].most), (0.9, 1.0));
}
