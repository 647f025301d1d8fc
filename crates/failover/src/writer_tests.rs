//! When the writer moves, and where to.

use super::*;
use crate::id::SiteId;
use crate::trust::LaneView;

const HOME: ProviderId = ProviderId(0);
const AWAY: ProviderId = ProviderId(1);

/// A pool of three providers with a site each, in this order.
struct Stage {
    orders: OrderParams,
    lanes: Vec<Lane>,
    views: Vec<LaneView>,
    since: Vec<Time>,
    answered: Vec<Option<Time>>,
    panic: bool,
    settling: bool,
    newborn: bool,
    detour: Option<ProviderId>,
    called_home: bool,
    now: Time,
}

impl Stage {
    fn well() -> Stage {
        let sites = [SiteId(0), SiteId(1), SiteId(2)];
        let lane = |site: SiteId| Lane {
            site,
            provider: ProviderId(site.0),
            tier: site.0,
            share: 0.0,
            warm: 0.0,
            capacity: 1.0,
            rate: None,
            tight: false,
            most: 1.0,
            hash: 0,
            usable: true,
            suspect: false,
            endpoints: Vec::new(),
        };
        let view = |site: SiteId| LaneView {
            site,
            provider: ProviderId(site.0),
            tier: site.0,
            weight: 1.0,
            hash: 0,
            kept_away: false,
            left: false,
            suspicion: crate::policy::Suspicion::Ignore,
            ramp: None,
            declared: crate::trust::Declared::default(),
            endpoints: Vec::new(),
        };
        Stage {
            orders: OrderParams::default(),
            lanes: sites.map(lane).to_vec(),
            views: sites.map(view).to_vec(),
            since: vec![Time::ZERO; 3],
            answered: vec![Some(Time::from_millis(100_001)); 3],
            panic: false,
            settling: false,
            newborn: false,
            called_home: false,
            detour: None,
            now: Time::from_millis(100_002),
        }
    }

    fn leave(mut self, lane: usize) -> Stage {
        self.lanes[lane].usable = false;
        self.views[lane].left = true;
        self
    }

    fn evacuate(mut self, lane: usize) -> Stage {
        self.lanes[lane].usable = false;
        self.views[lane].kept_away = true;
        self
    }

    fn decide(&self, writer: ProviderId) -> Option<(ProviderId, Cause)> {
        let sites: Vec<_> = self
            .views
            .iter()
            .map(|v| (v.provider, v.kept_away))
            .collect();
        let scene = Scene {
            orders: self.orders,
            lanes: &self.lanes,
            views: &self.views,
            in_service_since: &self.since,
            answered_at: &self.answered,
            detour: self.detour,
            lost_at: Some(Time::from_millis(100_000)),
            sites: &sites,
            newborn: self.newborn,
            ramp: Duration::from_secs(60),
            panic: self.panic,
            settling: self.settling,
            called_home: self.called_home,
            may_try: true,
            now: self.now,
        };
        let moved = scene.decide(Some(writer))?;
        Some((moved.to?, moved.cause))
    }
}

#[test]
fn it_stays_where_it_is_while_anything_there_is_usable() {
    assert_eq!(Stage::well().decide(HOME), None);
    assert_eq!(Stage::well().decide(AWAY), None);
}

#[test]
fn it_leaves_a_dead_provider_for_the_next_in_tier_order() {
    assert_eq!(
        Stage::well().leave(0).decide(HOME),
        Some((AWAY, Cause::WriterLost))
    );
    let third = Stage::well().leave(0).leave(1).decide(HOME);
    assert_eq!(third, Some((ProviderId(2), Cause::WriterLost)));
    assert_eq!(Stage::well().leave(0).leave(1).leave(2).decide(HOME), None);
}

#[test]
fn it_goes_only_where_something_has_answered_since() {
    let mut stage = Stage::well().leave(0);
    stage.answered = vec![Some(Time::from_millis(100_000)); 3];
    assert_eq!(stage.decide(HOME), None);
    stage.answered[2] = Some(Time::from_millis(100_001));
    assert_eq!(stage.decide(HOME), None, "the next in order has a moment");
    stage.now = stage.now + Duration::from_millis(30);
    assert_eq!(stage.decide(HOME), Some((ProviderId(2), Cause::WriterLost)));
}

#[test]
fn it_follows_the_orders_that_have_made_a_detour() {
    let mut stage = Stage::well().leave(0);
    stage.detour = Some(AWAY);
    stage.answered = vec![Some(Time::from_millis(100_000)); 3];
    stage.answered[2] = Some(Time::from_millis(100_001));
    assert_eq!(stage.decide(HOME), Some((AWAY, Cause::WriterLost)));
    let gone = stage.leave(1);
    assert_eq!(gone.decide(HOME), Some((ProviderId(2), Cause::WriterLost)));
}

#[test]
fn it_rather_goes_where_nothing_is_on_its_ramp() {
    let mut stage = Stage::well().leave(0);
    stage.views[1].ramp = Some(0.5);
    assert_eq!(stage.decide(HOME), Some((ProviderId(2), Cause::WriterLost)));
    let only = stage.leave(2);
    assert_eq!(only.decide(HOME), Some((AWAY, Cause::WriterLost)));
}

#[test]
fn where_the_operator_moves_it_only_a_word_does() {
    let by_operator = OrderParams {
        moves: Mover::Operator,
        ..OrderParams::default()
    };
    let dead = Stage {
        orders: by_operator,
        ..Stage::well().leave(0)
    };
    assert_eq!(dead.decide(HOME), None);
    let evacuated = Stage {
        orders: by_operator,
        ..Stage::well().evacuate(0)
    };
    assert_eq!(evacuated.decide(HOME), Some((AWAY, Cause::Operator)));
}

#[test]
fn it_stays_while_the_detector_is_distrusted_and_just_after() {
    assert_eq!(
        Stage {
            panic: true,
            ..Stage::well().leave(0)
        }
        .decide(HOME),
        None
    );
    assert_eq!(
        Stage {
            settling: true,
            ..Stage::well().leave(0)
        }
        .decide(HOME),
        None
    );
}

#[test]
fn it_waits_for_a_home_that_may_still_come() {
    let mut stage = Stage {
        newborn: true,
        ..Stage::well()
    };
    stage.lanes.remove(0);
    stage.since.remove(0);
    stage.answered.remove(0);
    let view = stage.views.remove(0);
    let sites = [(HOME, false), (AWAY, false), (ProviderId(2), false)];
    assert_eq!(view.provider, HOME);
    let mut scene = Scene {
        orders: stage.orders,
        lanes: &stage.lanes,
        views: &stage.views,
        in_service_since: &stage.since,
        answered_at: &stage.answered,
        detour: None,
        lost_at: None,
        sites: &sites,
        newborn: true,
        ramp: Duration::ZERO,
        panic: false,
        settling: false,
        called_home: false,
        may_try: true,
        now: Time::ZERO,
    };
    assert_eq!(scene.decide(Some(HOME)), None);
    scene.newborn = false;
    assert!(scene.decide(Some(HOME)).is_some());
}

#[test]
fn it_goes_home_by_itself_after_a_whole_ramp() {
    let orders = OrderParams {
        failback: Mover::Automatic,
        ..OrderParams::default()
    };
    let mut stage = Stage {
        orders,
        ..Stage::well()
    };
    stage.since[0] = Time::from_millis(50_000);
    assert_eq!(stage.decide(AWAY), None);
    stage.since[0] = Time::from_millis(40_000);
    assert_eq!(stage.decide(AWAY), Some((HOME, Cause::WriterHome)));
    stage.views[0].ramp = Some(0.9);
    assert_eq!(stage.decide(AWAY), None);
}

#[test]
fn it_goes_home_when_an_operator_calls_it_and_home_is_well() {
    let mut stage = Stage {
        called_home: true,
        ..Stage::well()
    };
    assert_eq!(stage.decide(AWAY), Some((HOME, Cause::Operator)));
    stage.views[0].ramp = Some(0.2);
    assert_eq!(stage.decide(AWAY), None);
    assert_eq!(stage.decide(HOME), None);
}
