//! Who carries how much: shares, ramps, standbys, orders.

use super::*;
use crate::id::{EndpointId, ProviderId, SiteId};

const MANNER: Manner = Manner {
    writer: Writer::Single,
    keep_warm: 0.0,
};

/// A lane of `alive` endpoints that serve and `dead` ones that are down; its provider is its site.
fn lane(site: u32, tier: u32, alive: usize, dead: usize) -> LaneView {
    let endpoint = |index: usize| {
        let (verdict, standing) = if index < alive {
            (Verdict::Healthy, Standing::Serves)
        } else {
            (Verdict::Down, Standing::Dead)
        };
        EndpointView {
            id: EndpointId(site * 100 + index as u32),
            hash: index as u64,
            verdict,
            standing,
            base: 1.0,
            factor: if index < alive { 1.0 } else { 0.0 },
            kept_away: false,
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
        ramp: None,
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
