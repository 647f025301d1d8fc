//! From endpoints to sites to providers: what is sick together is judged together.
//!
//! A site is left when enough of its endpoints are down, over all pools and each counted alike; a
//! provider when enough of its sites are, and then all its sites with it, also for pools that were
//! not hurt yet. Where pools differ, the most patient of those that have endpoints there is
//! followed: a place is shared, and leaving it for all takes what each of them would ask for.
//!
//! `place` owns the way back.

use crate::bugs::{Bug, is_injected};
use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::fleet::{Fleet, SiteState};
use crate::held::Evidence;
use crate::id::{ProviderId, SiteId};
use crate::input::Target;
use crate::output::Change;
use crate::place::{Grounds, Sight};
use crate::time::Time;
use crate::timers::Timer;
use crate::verdict::{Cause, Verdict};

impl Engine {
    /// Judges a provider and its sites anew.
    pub(crate) fn infer(&mut self, id: ProviderId) {
        let Some(provider) = self.fleet.providers.get(id.index()) else {
            return;
        };
        let sites = provider.sites.clone();
        // Sites that fail by themselves first, so that the journal reads from cause to effect.
        for site in &sites {
            if sight(&self.fleet, *site) == Sight::Failing {
                self.step_site(*site, Sight::Failing);
            }
        }
        self.step_provider(id, &sites);
        let left = self.fleet.providers[id.index()].place.is_left();
        for site in &sites {
            match sight(&self.fleet, *site) {
                Sight::Failing => {}
                _ if left => self.step_site(*site, Sight::Dragged),
                own => self.step_site(*site, own),
            }
        }
    }

    fn step_site(&mut self, id: SiteId, sight: Sight) {
        let now = self.now;
        let provider = self.fleet.sites[id.index()].provider;
        let provider_name = self.fleet.provider_name(provider).to_owned();
        let awaits = self.awaits(Target::Site(id));
        let site = &mut self.fleet.sites[id.index()];
        let census = site.census;
        let changed = site
            .place
            .step(sight, &site.homecoming, awaits, now, || match sight {
                Sight::Dragged => Grounds {
                    cause: Cause::ProviderDown,
                    evidence: vec![("provider", provider_name)],
                },
                _ => Grounds {
                    cause: Cause::EndpointsDown,
                    evidence: vec![(
                        "endpoints_down",
                        format!("{} of {}", census.of(Verdict::Down), census.total()),
                    )],
                },
            });
        if let Some(from) = changed {
            self.place_changed(Target::Site(id), from);
        }
        let deadline = self.fleet.sites[id.index()].place.deadline();
        self.arm(Timer::Site(id), deadline);
    }

    fn step_provider(&mut self, id: ProviderId, sites: &[SiteId]) {
        let now = self.now;
        let known = |site: &&SiteId| self.fleet.sites[site.index()].census.total() > 0;
        let sites: Vec<SiteId> = sites.iter().filter(known).copied().collect();
        let down: Vec<SiteId> = sites
            .iter()
            .copied()
            .filter(|id| is_down(&self.fleet, *id, now))
            .collect();
        let needed =
            (self.fleet.providers[id.index()].failing_sites.max(1) as usize).min(sites.len());
        let seen = |id: &SiteId| sight(&self.fleet, *id) != Sight::Unknown;
        let witnessed = |id: &SiteId| is_witnessed(&self.fleet, *id);
        let remembered = self.fleet.providers[id.index()].place.is_remembered();
        let sight = match down.len() {
            n if n > 0 && n >= needed && !is_injected(Bug::ProviderNeverLeft) => Sight::Failing,
            _ if remembered && !sites.iter().any(witnessed) => Sight::Unknown,
            0 if !sites.iter().any(seen) => Sight::Unknown,
            0 => Sight::Well,
            _ => Sight::Doubtful,
        };
        let evidence = self.sites_evidence(&down, sites.len());
        let awaits = self.awaits(Target::Provider(id));
        let provider = &mut self.fleet.providers[id.index()];
        let changed = provider
            .place
            .step(sight, &provider.homecoming, awaits, now, || Grounds {
                cause: Cause::SitesDown,
                evidence,
            });
        if let Some(from) = changed {
            self.place_changed(Target::Provider(id), from);
        }
        let deadline = self.fleet.providers[id.index()].place.deadline();
        self.arm(Timer::Provider(id), deadline);
    }

    fn sites_evidence(&self, down: &[SiteId], all: usize) -> Evidence {
        let mut evidence = vec![("sites_down", format!("{} of {all}", down.len()))];
        if !down.is_empty() {
            let names: Vec<&str> = down
                .iter()
                .take(4)
                .map(|id| self.fleet.site_name(*id))
                .collect();
            evidence.push(("which", names.join(", ")));
        }
        evidence
    }

    /// Journals what is now held of a place, and has its pools decided anew where a site is left or
    /// returned to, or a provider is suspect. Anything less changes nothing for them.
    pub(crate) fn place_changed(&mut self, target: Target, from: Verdict) {
        let place = match target {
            Target::Site(id) => &self.fleet.sites[id.index()].place,
            Target::Provider(id) => &self.fleet.providers[id.index()].place,
            Target::Endpoint(_) => return,
        };
        let (to, cause, evidence) = (
            place.held.verdict,
            place.held.cause,
            place.held.evidence.clone(),
        );
        let subject = self.fleet.subject(target);
        self.journal.event(
            self.now,
            subject,
            Change::Verdict { from, to },
            cause,
            evidence,
        );
        let matters = |verdict| match target {
            Target::Site(_) => matches!(verdict, Verdict::Down | Verdict::Recovering),
            // Its other sites are looked at in another way.
            _ => verdict == Verdict::Suspect,
        };
        if matters(from) || matters(to) {
            self.mark_pools_of(target, cause);
        }
    }
}

/// What is seen of a site by its own endpoints.
fn sight(fleet: &Fleet, id: SiteId) -> Sight {
    let site = &fleet.sites[id.index()];
    let (all, down) = (site.census.total(), site.census.of(Verdict::Down));
    let unseen = all == site.census.of(Verdict::Unknown);
    if unseen || site.place.is_remembered() && !is_witnessed(fleet, id) {
        Sight::Unknown
    } else if down == 0 {
        Sight::Well
    } else if is_failing(site, all, down) {
        Sight::Failing
    } else {
        Sight::Doubtful
    }
}

/// Whether enough of a site is down. Just enough is enough only where the rest is not well either: one
/// of two that is restarted is no reason to leave.
fn is_failing(site: &SiteState, all: usize, down: usize) -> bool {
    let enough = site.failing * all as f64;
    let rest_is_well = down < all && down + site.census.of(Verdict::Healthy) == all;
    down as f64 > enough || down as f64 >= enough && !rest_is_well
}

/// Whether any of a site's endpoints has proved itself since the start: what is remembered of one
/// proves nothing.
fn is_witnessed(fleet: &Fleet, id: SiteId) -> bool {
    let proves = |endpoint: &Endpoint| {
        let held = &endpoint.held;
        let well = !matches!(held.verdict, Verdict::Unknown | Verdict::Down);
        endpoint.counts && well && held.cause != Cause::Remembered
    };
    let mut here = fleet.all_endpoints().filter(|e| e.info.site == id);
    here.any(proves)
}

/// Whether a site speaks against its provider: it fails, or is held down for its own sake.
fn is_down(fleet: &Fleet, id: SiteId, now: Time) -> bool {
    sight(fleet, id) == Sight::Failing || fleet.sites[id.index()].place.is_held_down(now)
}
