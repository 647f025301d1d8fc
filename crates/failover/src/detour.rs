//! The detour of a pool's orders: another provider takes them for as long as the writer's is silent
//! or gray, and not a moment longer. The writer itself stays who it is.
//!
//! Only where backends refuse a writer that has been replaced (`fenced`) and the engine may move it:
//! elsewhere orders stay with their writer until an evacuation is confirmed (`writer`). And only to
//! a provider that has proved itself and has answered since: when the proxy's own uplink dies, the
//! first provider to fall silent is no reason to send orders to the next one.

use crate::bugs::{Bug, is_injected};
use crate::engine::Engine;
use crate::id::{PoolId, ProviderId};
use crate::order_path::Fitness;
use crate::output::Change;
use crate::policy::{Mover, Writer};
use crate::spread::{Proof, best_proof};
use crate::table::Lane;
use crate::time::Time;
use crate::trust::LaneView;
use crate::verdict::{Cause, Verdict};

impl Engine {
    /// Begins or ends the detour of a pool's orders.
    pub(crate) fn turn_orders(
        &mut self,
        id: PoolId,
        lanes: &[Lane],
        views: &[LaneView],
        cause: Cause,
    ) {
        let wanted = self.wants_detour(id, views);
        let to = wanted.and_then(|(writer, since)| self.way_round(id, lanes, views, writer, since));
        let pool = &mut self.fleet.pools[id.index()];
        let awaited = std::mem::replace(&mut pool.awaits_detour, wanted.is_some() && to.is_none());
        let asks = pool.awaits_detour && !awaited;
        let before = std::mem::replace(&mut pool.detour, to);
        if is_injected(Bug::DetourMovesWriter) {
            pool.writer = to.or(pool.writer);
        }
        let writer = pool.writer;
        let name = |id: Option<ProviderId>| {
            id.map_or_else(String::new, |id| self.fleet.provider_name(id).to_owned())
        };
        // A writer that moved to where its orders were already is no news of theirs.
        if before.or(writer) != to.or(writer) {
            let change = Change::Detour {
                from: name(before.or(writer)),
                to: name(to.or(writer)),
            };
            let subject = self.fleet.pool_subject(id);
            let evidence = vec![("writer", name(writer))];
            self.journal
                .event(self.now, subject, change, cause, evidence);
        }
        if asks {
            self.ask_around(lanes);
        }
    }

    /// The writer whose orders want a way round it, and since when.
    fn wants_detour(&self, id: PoolId, views: &[LaneView]) -> Option<(ProviderId, Time)> {
        let pool = &self.fleet.pools[id.index()];
        let orders = self.fleet.policy.pools[id.index()].orders;
        let may = orders.fenced && orders.writer == Writer::Single;
        let writer = pool
            .writer
            .filter(|_| may && orders.moves == Mover::Automatic && !pool.trust.is_panic())?;
        match best_proof(views, pool.trust, writer) {
            Some(Proof::Silent | Proof::Degraded) => {}
            // Lost in the middle of a detour: it lasts until the writer has moved.
            None | Some(Proof::Unfit) if pool.detour.is_some() => {}
            _ => return None,
        }
        let of_writer = views.iter().filter(|view| view.provider == writer);
        let troubled = of_writer
            .flat_map(|view| &view.endpoints)
            .filter_map(|view| self.fleet.endpoint(view.id))
            .filter(|endpoint| {
                let gray = endpoint.held.verdict == Verdict::Degraded;
                endpoint.detour || gray || endpoint.orders.is_detour()
            })
            .map(|endpoint| {
                let silent = endpoint.silence.since();
                let silent = silent.or(endpoint.orders.silent_since());
                silent.unwrap_or(endpoint.held.since)
            });
        Some((writer, troubled.min().unwrap_or(self.now)))
    }

    /// The first provider in tier order that has proved itself and answered since; the one that has
    /// them already stays.
    fn way_round(
        &self,
        id: PoolId,
        lanes: &[Lane],
        views: &[LaneView],
        writer: ProviderId,
        since: Time,
    ) -> Option<ProviderId> {
        let pool = &self.fleet.pools[id.index()];
        let good = |provider: ProviderId| {
            let fit = |view: &LaneView| {
                let mut here = view.endpoints.iter();
                view.provider == provider && here.any(|e| e.orders == Fitness::Fit)
            };
            provider != writer
                && best_proof(views, pool.trust, provider) == Some(Proof::Proved)
                && views.iter().any(fit)
        };
        if let Some(current) = pool.detour.filter(|current| good(*current)) {
            return Some(current);
        }
        let mut answers = lanes.iter().filter(|lane| {
            lane.usable && good(lane.provider) && self.answered_at(lane) > Some(since)
        });
        answers.next().map(|lane| lane.provider)
    }
}
