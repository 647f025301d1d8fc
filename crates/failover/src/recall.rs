//! A memory is given back to an engine that has just begun.
//!
//! What was left stays left for what remains of its hold-down, and comes back by probes and a ramp
//! like any other. What was on its ramp begins it anew. Words go on; what a lapsed one kept away
//! returns on a ramp (P7). A writer stays where it was. The last addresses serve until names resolve.
//!
//! What the memory names and the policy does not is ignored; so is a memory that comes after
//! anything else was learned, since what is seen outranks what is remembered. Numbers are bounded
//! by the policy: no hold-down gets longer than the policy's longest.
//!
//! How old it may be: verdicts as old as the longest hold-down, or [`VERDICTS_KEPT`] where that is
//! longer; addresses [`ADDRESSES_KEPT`], as a cloud gives them to others, and
//! [`LEASES_KEPT`] where they are leased; words as long as they
//! were meant to last; writers for ever, since nobody but an operator may bring them home.

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::held::{Evidence, Word, spoken};
use crate::hold::{HoldDown, Homecoming, Ramp};
use crate::id::{BackendId, EndpointId, PoolId, ProviderId, SiteId};
use crate::input::{OperatorWord, Target};
use crate::memory::{
    BackendMemory, EndpointMemory, HeldMemory, Memory, PlaceMemory, PoolMemory, WordMemory,
};
use crate::output::Change;
use crate::place::Place;
use crate::policy::{Backend, ProviderKind, Writer};
use crate::reload::{Identity, identity};
use crate::time::Time;
use crate::timers::Timer;
use crate::verdict::{Cause, Verdict};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Addresses that are older are not used: they may be somebody else's by now.
const ADDRESSES_KEPT: Duration = Duration::from_secs(24 * 3600);
/// The same for what is leased from strangers: a lease that has ended is somebody else's soon.
const LEASES_KEPT: Duration = Duration::from_secs(10 * 60);
/// Verdicts are kept for this long at least, however short the hold-downs are.
const VERDICTS_KEPT: Duration = Duration::from_secs(5 * 60);
/// Characters of a remembered text that go into the journal.
const LONGEST_TEXT: usize = 200;

/// How much of a memory still holds.
#[derive(Clone, Copy, Debug)]
struct Age {
    away: Duration,
}

impl Age {
    fn verdicts_hold(self, homecoming: &Homecoming) -> bool {
        self.away <= homecoming.max.max(VERDICTS_KEPT)
    }

    fn addresses_hold(self, kind: ProviderKind) -> bool {
        self.away
            <= match kind {
                ProviderKind::Cloud | ProviderKind::SelfHosted => ADDRESSES_KEPT,
                ProviderKind::Decentralized => LEASES_KEPT,
            }
    }
}

impl Engine {
    /// Takes a memory that was written `away` ago.
    pub(crate) fn recall(&mut self, memory: &Memory, away: Duration) {
        if memory.version > Memory::VERSION || !self.is_fresh() {
            return;
        }
        let age = Age { away };
        self.journal.go_on_from(memory.seq);
        let backends = self.backends_by_identity();
        for known in &memory.backends {
            self.recall_addresses(&backends, known, age);
        }
        let mut words = Vec::new();
        for known in &memory.endpoints {
            if let Some(id) = self.find_endpoint(&backends, known) {
                self.recall_endpoint(id, &known.held, age);
                if let Some(orders) = &known.orders {
                    self.recall_order_path(id, orders, age);
                }
                words.extend(known.word.as_ref().map(|word| (Target::Endpoint(id), word)));
            }
        }
        for known in &memory.sites {
            let sites = &self.fleet.policy.sites;
            if let Some(index) = sites.iter().position(|site| site.name == known.name) {
                let target = Target::Site(SiteId::from(index));
                self.recall_place(target, known, age);
                words.extend(known.word.as_ref().map(|word| (target, word)));
            }
        }
        for known in &memory.providers {
            if let Some(id) = self.find_provider(&known.name) {
                self.recall_place(Target::Provider(id), known, age);
                let word = known.word.as_ref();
                words.extend(word.map(|word| (Target::Provider(id), word)));
            }
        }
        for known in &memory.pools {
            self.recall_writer(known, age);
        }
        self.recall_words(&words, age);
    }

    /// Whether nothing was learned yet but policies.
    fn is_fresh(&self) -> bool {
        let unseen =
            |place: &Place| place.held.verdict == Verdict::Unknown && !place.word.keeps_away();
        let untried = |e: &Endpoint| {
            e.held.verdict == Verdict::Unknown && !e.probes.any && !e.word.keeps_away()
        };
        self.fleet.providers.iter().all(|p| unseen(&p.place))
            && self.fleet.sites.iter().all(|s| unseen(&s.place))
            && self.fleet.all_endpoints().all(untried)
    }

    fn backends_by_identity(&self) -> BTreeMap<Identity, BackendId> {
        let policy = &self.fleet.policy;
        let all = (0..policy.backends.len()).rev();
        all.filter_map(|index| Some((identity(policy, index)?, BackendId::from(index))))
            .collect()
    }

    fn find_provider(&self, name: &str) -> Option<ProviderId> {
        let mut all = self.fleet.policy.providers.iter();
        all.position(|known| known.name == name)
            .map(ProviderId::from)
    }

    fn find_endpoint(
        &self,
        backends: &BTreeMap<Identity, BackendId>,
        known: &EndpointMemory,
    ) -> Option<EndpointId> {
        let identity = (known.pool.clone(), known.site.clone(), known.url.clone());
        let backend = backends.get(&identity)?;
        let ids = &self.fleet.backends.get(backend.index())?.endpoints;
        let here = |id: &EndpointId| {
            self.endpoint(*id)
                .is_some_and(|info| info.address == known.address)
        };
        ids.iter().copied().find(here)
    }

    /// Uses addresses as if the backend's name had just resolved to them.
    fn recall_addresses(
        &mut self,
        backends: &BTreeMap<Identity, BackendId>,
        known: &BackendMemory,
        age: Age,
    ) {
        let identity = (known.pool.clone(), known.site.clone(), known.url.clone());
        let Some(id) = backends.get(&identity).copied() else {
            return;
        };
        let policy = &self.fleet.policy;
        let site = &policy.sites[policy.backends[id.index()].site.index()];
        let kind = policy.providers[site.provider.index()].kind;
        let Some(backend) = self.fleet.backends.get_mut(id.index()) else {
            return;
        };
        if !age.addresses_hold(kind) {
            return;
        }
        let heard = !backend.resolved.is_empty() || !backend.retained.is_empty();
        if heard || known.addresses.is_empty() && known.retained.is_empty() {
            return;
        }
        backend.resolved.clone_from(&known.addresses);
        backend.retained.clone_from(&known.retained);
        for list in [&mut backend.resolved, &mut backend.retained] {
            list.sort_unstable();
            list.dedup();
        }
        let before = self.known_endpoints(id);
        let (added, removed) = self.place_endpoints(id, before);
        if added.is_empty() {
            return;
        }
        let new: Vec<String> = added.iter().take(4).map(SocketAddr::to_string).collect();
        let evidence = vec![("new", new.join(", ")), ("away", spoken(age.away))];
        let change = Change::Endpoints {
            added: added.len(),
            removed,
        };
        let subject = self.fleet.backend_subject(id);
        self.journal
            .event(self.now, subject, change, Cause::Remembered, evidence);
        let pool = self.fleet.policy.backends[id.index()].pool;
        self.dirty.pools.insert(pool, Cause::Remembered);
        self.dirty.table = true;
    }

    fn recall_endpoint(&mut self, id: EndpointId, known: &HeldMemory, age: Age) {
        let fleet = &mut self.fleet;
        let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
            return;
        };
        let homecoming = Homecoming::of(&fleet.policy.pools[endpoint.pool.index()].failover);
        endpoint.hold = recalled(known, &homecoming, age, self.now);
        if speaks_against(known, &homecoming, age) {
            let evidence = evidence(known, &endpoint.hold, age, self.now);
            self.hold_again(Target::Endpoint(id), known.verdict, evidence);
        }
    }

    fn recall_order_path(&mut self, id: EndpointId, known: &HeldMemory, age: Age) {
        let (now, fleet) = (self.now, &mut self.fleet);
        let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
            return;
        };
        let homecoming = Homecoming::of(&fleet.policy.pools[endpoint.pool.index()].failover);
        if !speaks_against(known, &homecoming, age) {
            return;
        }
        let hold = recalled(known, &homecoming, age, now);
        let evidence = evidence(known, &hold, age, now);
        let before = endpoint.orders.fitness();
        let from = endpoint.orders.recall(hold, evidence, now);
        self.order_path_changed(id, before, Some(from));
        // Its hold-down may be over already.
        self.order_path_woken(id);
    }

    fn recall_place(&mut self, target: Target, known: &PlaceMemory, age: Age) {
        let (now, known) = (self.now, &known.held);
        let Some((place, homecoming)) = self.place_mut(target) else {
            return;
        };
        place.hold = recalled(known, &homecoming, age, now);
        if speaks_against(known, &homecoming, age) {
            let evidence = evidence(known, &place.hold, age, now);
            self.hold_again(target, known.verdict, evidence);
        }
    }

    /// Holds again what was held, of something that nothing is held of yet.
    fn hold_again(&mut self, target: Target, verdict: Verdict, evidence: Evidence) {
        let now = self.now;
        if let Target::Endpoint(id) = target {
            let fleet = &mut self.fleet;
            let Some(Some(endpoint)) = fleet.endpoints.get_mut(id.index()) else {
                return;
            };
            if endpoint.held.verdict == Verdict::Unknown {
                let ramp = fleet.policy.pools[endpoint.pool.index()].failover.ramp;
                endpoint.ramp = (verdict == Verdict::Recovering).then(|| Ramp::new(now, ramp));
                let held = &mut endpoint.held;
                let from = held.become_(verdict, Cause::Remembered, evidence, now);
                self.endpoint_changed(id, from);
            }
            return;
        }
        let Some((place, homecoming)) = self.place_mut(target) else {
            return;
        };
        if place.held.verdict == Verdict::Unknown {
            let ramp = homecoming.ramp;
            place.ramp = (verdict == Verdict::Recovering).then(|| Ramp::new(now, ramp));
            let held = &mut place.held;
            let from = held.become_(verdict, Cause::Remembered, evidence, now);
            self.place_changed(target, from);
            let sites = self.fleet.sites_of(target);
            let providers = sites.iter().map(|id| self.fleet.sites[id.index()].provider);
            self.dirty.providers.extend(providers);
        }
    }

    /// A place with its way home. `None` where the policy has no backend there: its verdict could
    /// never end.
    fn place_mut(&mut self, target: Target) -> Option<(&mut Place, Homecoming)> {
        let fleet = &mut self.fleet;
        let sites = fleet.sites_of(target);
        let stands = |backend: &Backend| sites.contains(&backend.site);
        if !fleet.policy.backends.iter().any(stands) {
            return None;
        }
        match target {
            Target::Provider(id) => {
                let provider = fleet.providers.get_mut(id.index())?;
                Some((&mut provider.place, provider.homecoming))
            }
            Target::Site(id) => {
                let site = fleet.sites.get_mut(id.index())?;
                Some((&mut site.place, site.homecoming))
            }
            Target::Endpoint(_) => None,
        }
    }

    fn recall_writer(&mut self, known: &PoolMemory, age: Age) {
        let pools = &self.fleet.policy.pools;
        let Some(index) = pools.iter().position(|pool| pool.name == known.name) else {
            return;
        };
        let Some(writer) = self.find_provider(&known.writer) else {
            return;
        };
        let stands =
            |lane: &crate::fleet::LaneState| self.fleet.sites[lane.site.index()].provider == writer;
        let is_single = pools[index].orders.writer == Writer::Single;
        if !is_single || !self.fleet.pools[index].lanes.iter().any(stands) {
            return;
        }
        let pool = &mut self.fleet.pools[index];
        pool.writer_called_home = known.called_home;
        pool.writer_lost_at = None;
        let before = pool.writer.replace(writer);
        let id = PoolId::from(index);
        self.dirty.pools.insert(id, Cause::Remembered);
        if before.is_some_and(|before| before != writer) {
            let name = |id: Option<ProviderId>| {
                id.map_or_else(String::new, |id| self.fleet.provider_name(id).to_owned())
            };
            let change = Change::Writer {
                from: name(before),
                to: name(Some(writer)),
            };
            let evidence = vec![("away", spoken(age.away))];
            let subject = self.fleet.pool_subject(id);
            self.journal
                .event(self.now, subject, change, Cause::Remembered, evidence);
        }
    }

    /// Words that go on are set together, so that no order of theirs makes a difference; then those
    /// that lapsed meanwhile bring their places back.
    fn recall_words(&mut self, words: &[(Target, &WordMemory)], age: Age) {
        let keep_away = words
            .iter()
            .filter(|(_, known)| known.word != OperatorWord::Active);
        let (go_on, lapsed): (Vec<_>, Vec<_>) =
            keep_away.partition(|(_, known)| match known.left_ms {
                None => true,
                Some(left) => Duration::from_millis(left) > age.away,
            });
        let mut events = Vec::new();
        for (target, known) in go_on {
            events.push((self.journal.position(), target));
            self.set_word_again(target, known, age);
        }
        for (target, known) in lapsed {
            self.returns_slowly(target, known, age);
        }
        self.settle();
        for (event, target) in events {
            self.confess(event, target);
        }
    }

    fn set_word_again(&mut self, target: Target, known: &WordMemory, age: Age) {
        let left = known.left_ms.map(Duration::from_millis);
        let left = left.map(|left| left.saturating_sub(age.away));
        let until = left.map(|left| self.now + left);
        let Some(word) = self.fleet.word_mut(target) else {
            return;
        };
        *word = Word {
            word: known.word,
            until,
            reason: known.reason.clone(),
        };
        if let Some(until) = until {
            self.timers.set(Timer::Word(target), until, self.now);
        }
        let mut evidence = vec![("reason", clipped(&known.reason))];
        evidence.extend(left.map(|left| ("lasts", spoken(left))));
        evidence.push(("away", spoken(age.away)));
        let change = Change::Operator {
            from: OperatorWord::Active,
            to: known.word,
        };
        let subject = self.fleet.subject(target);
        self.journal
            .event(self.now, subject, change, Cause::Remembered, evidence);
        self.mark_pools_of(target, Cause::Remembered);
    }

    /// The word lapsed while nobody was there: what it kept away returns on a ramp, as it would have
    /// then.
    fn returns_slowly(&mut self, target: Target, known: &WordMemory, age: Age) {
        let evidence = vec![
            ("was", "kept away by a word that has lapsed".to_owned()),
            ("reason", clipped(&known.reason)),
            ("away", spoken(age.away)),
        ];
        if let Target::Endpoint(_) = target {
            self.hold_again(target, Verdict::Recovering, evidence);
            return;
        }
        for id in self.fleet.sites_of(target) {
            if !self.fleet.is_kept_away(id) {
                self.hold_again(Target::Site(id), Verdict::Recovering, evidence.clone());
            }
        }
    }
}

fn recalled(known: &HeldMemory, homecoming: &Homecoming, age: Age, now: Time) -> HoldDown {
    let under_way = known.verdict == Verdict::Down;
    HoldDown::recalled(&known.hold_down, homecoming, under_way, age.away, now)
}

/// Whether it was left, or had just come back, and that still says something.
fn speaks_against(known: &HeldMemory, homecoming: &Homecoming, age: Age) -> bool {
    matches!(known.verdict, Verdict::Down | Verdict::Recovering) && age.verdicts_hold(homecoming)
}

fn evidence(known: &HeldMemory, hold: &HoldDown, age: Age, now: Time) -> Evidence {
    let mut evidence = vec![("cause", clipped(&known.cause))];
    if known.verdict == Verdict::Down {
        evidence.push(("hold_down_left", spoken(hold.until().since(now))));
    }
    evidence.push(("away", spoken(age.away)));
    evidence
}

/// What stood in a file may be of any length.
fn clipped(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}
