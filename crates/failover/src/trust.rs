//! Whom to trust: a ladder from "every verdict and every operator's word" down to "nothing at all".
//!
//! No signal, alone or with others, takes the last capacity of a pool away (P4). So each rung sets
//! one more judge aside, and the first rung that leaves anything to serve from is taken. It judges
//! from a view of the pool's places that `pool` builds; `spread` serves from what is admitted.

use crate::id::{EndpointId, ProviderId, SiteId};
use crate::order_path::Fitness;
use crate::policy::Suspicion;
use crate::verdict::Verdict;

/// One site of a pool, as it is seen.
#[derive(Clone, Debug)]
pub(crate) struct LaneView {
    pub site: SiteId,
    pub provider: ProviderId,
    pub tier: u32,
    /// Share of its tier, relative to its neighbours.
    pub weight: f64,
    pub hash: u64,
    /// An operator keeps new work away.
    pub kept_away: bool,
    /// It is left by inference.
    pub left: bool,
    /// What is made of other sites of its provider being down; [`Suspicion::Ignore`] where none is.
    pub suspicion: Suspicion,
    /// Its ramp, while it returns.
    pub ramp: Option<f64>,
    pub declared: Declared,
    /// Never empty.
    pub endpoints: Vec<EndpointView>,
}

/// What a policy says that a lane can carry and may take, and what it carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared {
    /// Requests per second, with all its endpoints.
    pub rate: Option<f64>,
    /// Share of the pool that its provider may take, above 0 to 1.
    pub most: f64,
    /// Requests per second that it was sent lately.
    pub load: f64,
    /// It is tight in the table that is published.
    pub was_tight: bool,
}

impl Default for Declared {
    fn default() -> Declared {
        Declared {
            rate: None,
            most: 1.0,
            load: 0.0,
            was_tight: false,
        }
    }
}

/// One endpoint of a lane, as it is seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndpointView {
    pub id: EndpointId,
    pub hash: u64,
    pub verdict: Verdict,
    pub standing: Standing,
    /// Share of its lane, relative to its neighbours, when all is well.
    pub base: f64,
    /// Share of that which it may take now, where its standing lets it serve.
    pub factor: f64,
    /// Requests per second that its backend declares for each unit of its weight; 1 where it declares
    /// nothing.
    pub per_weight: f64,
    /// An operator keeps new work away.
    pub kept_away: bool,
    /// What may go there of the pool's orders, as far as they are concerned alone.
    pub orders: Fitness,
}

/// How good an endpoint is, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It serves.
    Serves,
    /// It serves, but says nothing now: new requests make a detour.
    Silent,
    /// It is new; nobody knows.
    New,
    /// It is down, but answers its probes.
    Answers,
    /// It is down.
    Dead,
}

/// How much is trusted: the rungs of the ladder, from everything to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// Every verdict and every operator's word.
    All,
    /// What is silent must do: there is no way for a detour.
    Silent,
    /// What is new must do: nothing better is left.
    New,
    /// Sites that are left must do, as far as their endpoints serve: there is nowhere else to go.
    LeftPlaces,
    /// Places that an operator evacuated must do: they are the last capacity.
    KeptAway,
    /// No verdict is trusted any more; whatever is least bad must do.
    LeastBad,
    /// Not even an operator's word leaves anything else.
    Anything,
    /// The pool has no endpoint.
    Empty,
}

impl Trust {
    const LADDER: [Trust; 7] = [
        Trust::All,
        Trust::Silent,
        Trust::New,
        Trust::LeftPlaces,
        Trust::KeptAway,
        Trust::LeastBad,
        Trust::Anything,
    ];

    /// The first rung that leaves anything to serve from.
    pub(crate) fn of(views: &[LaneView]) -> Trust {
        let admits =
            |trust: &Trust, lane: &LaneView| lane.endpoints.iter().any(|e| trust.admits(lane, e));
        let serves = |trust: &Trust| views.iter().any(|lane| admits(trust, lane));
        Trust::LADDER
            .into_iter()
            .find(serves)
            .unwrap_or(Trust::Empty)
    }

    /// The best standing that anything admitted has.
    pub(crate) fn best(self, views: &[LaneView]) -> Standing {
        let admitted = views
            .iter()
            .flat_map(|lane| lane.endpoints.iter().filter(move |e| self.admits(lane, e)));
        admitted.map(|e| e.standing).min().unwrap_or(Standing::Dead)
    }

    /// Whether the verdicts are distrusted.
    pub(crate) const fn is_panic(self) -> bool {
        matches!(self, Trust::LeastBad | Trust::Anything)
    }

    /// Whether operators' words are set aside.
    pub(crate) const fn overrides_words(self) -> bool {
        matches!(self, Trust::KeptAway | Trust::Anything)
    }

    /// Whether an endpoint may be sent anything at all.
    pub(crate) fn admits(self, lane: &LaneView, endpoint: &EndpointView) -> bool {
        let worst = match self {
            Trust::All => Standing::Serves,
            Trust::Silent => Standing::Silent,
            Trust::New | Trust::LeftPlaces | Trust::KeptAway => Standing::New,
            Trust::LeastBad | Trust::Anything | Trust::Empty => Standing::Dead,
        };
        self.opens(lane, endpoint) && endpoint.standing <= worst
    }

    /// Whether an endpoint may be sent something as far as its site's verdict and operators' words
    /// are concerned.
    pub(crate) fn opens(self, lane: &LaneView, endpoint: &EndpointView) -> bool {
        let kept_away = lane.kept_away || endpoint.kept_away;
        (!kept_away || self.overrides_words()) && (!lane.left || self >= Trust::LeftPlaces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(standings: &[Standing]) -> LaneView {
        let endpoint = |standing: &Standing| EndpointView {
            id: EndpointId(0),
            hash: 0,
            verdict: Verdict::Healthy,
            standing: *standing,
            base: 1.0,
            per_weight: 1.0,
            factor: 1.0,
            kept_away: false,
            orders: Fitness::Fit,
        };
        LaneView {
            site: SiteId(0),
            provider: ProviderId(0),
            tier: 0,
            weight: 1.0,
            hash: 0,
            kept_away: false,
            left: false,
            suspicion: Suspicion::Ignore,
            ramp: None,
            declared: Declared::default(),
            endpoints: standings.iter().map(endpoint).collect(),
        }
    }

    #[test]
    fn every_judge_is_trusted_while_anything_serves() {
        let views = [
            lane(&[Standing::Dead, Standing::New]),
            lane(&[Standing::Serves]),
        ];
        assert_eq!(Trust::of(&views), Trust::All);
        assert!(!Trust::All.admits(&views[0], &views[0].endpoints[1]));
    }

    #[test]
    fn what_is_new_serves_only_where_nothing_better_does() {
        assert_eq!(
            Trust::of(&[lane(&[Standing::Dead, Standing::New])]),
            Trust::New
        );
    }

    #[test]
    fn what_is_silent_serves_where_there_is_no_way_round_it() {
        let silent = lane(&[Standing::Silent]);
        let views = [silent.clone(), lane(&[Standing::Serves])];
        assert_eq!(Trust::of(&views), Trust::All);
        assert!(!Trust::All.admits(&silent, &silent.endpoints[0]));
        let views = [silent, lane(&[Standing::New])];
        assert_eq!(Trust::of(&views), Trust::Silent);
        assert!(!Trust::Silent.is_panic());
    }

    #[test]
    fn a_site_is_not_left_when_there_is_nowhere_else_to_go() {
        let left = LaneView {
            left: true,
            ..lane(&[Standing::Serves, Standing::Dead])
        };
        assert_eq!(
            Trust::of(&[left.clone(), lane(&[Standing::Dead])]),
            Trust::LeftPlaces
        );
        assert_eq!(Trust::of(&[left, lane(&[Standing::Serves])]), Trust::All);
    }

    #[test]
    fn an_operator_takes_the_last_capacity_of_no_pool() {
        let kept = LaneView {
            kept_away: true,
            ..lane(&[Standing::Serves])
        };
        assert_eq!(
            Trust::of(&[kept.clone(), lane(&[Standing::Dead])]),
            Trust::KeptAway
        );
        assert_eq!(Trust::of(&[kept, lane(&[Standing::New])]), Trust::New);
    }

    #[test]
    fn when_all_is_bad_the_least_bad_serves_and_operators_are_still_heard() {
        let answers = lane(&[Standing::Dead, Standing::Answers]);
        let kept = LaneView {
            kept_away: true,
            ..lane(&[Standing::Dead])
        };
        let views = [answers, kept];
        let trust = Trust::of(&views);
        assert_eq!(
            (trust, trust.best(&views)),
            (Trust::LeastBad, Standing::Answers)
        );
        assert!(!trust.admits(&views[1], &views[1].endpoints[0]));
        assert_eq!(Trust::of(&views[1..]), Trust::Anything);
    }

    #[test]
    fn without_an_endpoint_there_is_nothing_to_trust() {
        assert_eq!(Trust::of(&[]), Trust::Empty);
    }
}
