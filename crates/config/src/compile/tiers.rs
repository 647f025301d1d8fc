//! `failover` of a pool: the ranks of its sites, beside the thresholds.

use super::backends::Members;
use super::failback::failback;
use super::failover::thresholds;
use super::places::Places;
use crate::fields::{Fields, expected, list, text};
use crate::policy::Window;
use crate::report::Report;
use crate::shape;
use crate::shape::failover::{MAX_ENTRIES, MAX_TIERS};
use crate::source::Pos;
use crate::tree::{Kind, Node};
use leeward_failover::{FailoverParams, SiteId, TierSite};
use std::collections::{HashMap, HashSet};

/// What `failover` says.
pub(super) struct Failover {
    pub(super) params: FailoverParams,
    pub(super) tiers: Vec<Vec<TierSite>>,
    /// Where the first hold-down is given.
    pub(super) first: Option<Pos>,
    /// When its places may come home, where windows decide.
    pub(super) windows: Vec<Window>,
}

/// Reads `failover`.
pub(super) fn with_failover(
    pool_fields: &mut Fields<'_>,
    members: &Members,
    places: &Places,
    pool: &str,
) -> Failover {
    let report = pool_fields.report;
    let node = pool_fields.get("failover");
    let fields = node.and_then(|node| Fields::of(report, node, &shape::failover::FAILOVER));
    let Some(mut fields) = fields else {
        let tiers = all_in_one(members);
        return Failover {
            params: FailoverParams::default(),
            tiers,
            first: None,
            windows: Vec::new(),
        };
    };
    let (mut params, first) = thresholds(&mut fields);
    let windows;
    (params.failback, windows) = failback(&mut fields);
    let pos = fields.key_pos("tiers").unwrap_or(fields.pos);
    let tiers = match fields.get("tiers") {
        None => all_in_one(members),
        Some(node) => {
            let sites = pool_sites(members);
            let set = sites.iter().copied().collect();
            let seen = HashMap::new();
            let tally = Tally {
                report,
                members,
                sites,
                set,
                places,
                pool,
                seen,
            };
            tally.read(node, pos)
        }
    };
    fields.finish();
    Failover {
        params,
        tiers,
        first,
        windows,
    }
}

/// One tier with every site of the pool, in the order of its backends.
fn all_in_one(members: &Members) -> Vec<Vec<TierSite>> {
    let sites: Vec<_> = pool_sites(members)
        .into_iter()
        .map(|site| (site, None))
        .collect();
    vec![weigh(&sites, members)]
}

/// The sites of a pool, each once.
fn pool_sites(members: &Members) -> Vec<SiteId> {
    let mut sites: Vec<SiteId> = Vec::new();
    let mut seen = HashSet::new();
    for backend in &members.backends {
        if seen.insert(backend.site) {
            sites.push(backend.site);
        }
    }
    sites
}

/// Sites without a weight get their declared capacity where every backend of the tier has one.
fn weigh(sites: &[(SiteId, Option<u32>)], members: &Members) -> Vec<TierSite> {
    let mut capacity: HashMap<SiteId, Option<u64>> = HashMap::new();
    for backend in &members.backends {
        let sum = capacity.entry(backend.site).or_insert(Some(0));
        *sum = sum
            .zip(backend.capacity)
            .map(|(sum, one)| sum + u64::from(one));
    }
    let of = |site: &SiteId| capacity.get(site).copied().flatten();
    let all = sites.iter().all(|(site, _)| of(site).is_some());
    let by_capacity = |site: &SiteId| {
        let sum = of(site).filter(|_| all).unwrap_or(1);
        u32::try_from(sum).unwrap_or(u32::MAX)
    };
    sites
        .iter()
        .map(|(site, given)| TierSite {
            site: *site,
            weight: given.unwrap_or_else(|| by_capacity(site)),
        })
        .collect()
}

/// Reads the tiers and sees to it that every site of the pool is in exactly one.
struct Tally<'a> {
    report: &'a Report<'a>,
    members: &'a Members,
    /// The sites of the pool, each once.
    sites: Vec<SiteId>,
    set: HashSet<SiteId>,
    places: &'a Places,
    pool: &'a str,
    seen: HashMap<SiteId, Pos>,
}

impl Tally<'_> {
    fn read(mut self, node: &Node, key: Pos) -> Vec<Vec<TierSite>> {
        const WHAT: &str = "a list of tiers, each a list of sites";
        let before = self.report.error_count();
        let tiers = list(self.report, node, WHAT, MAX_TIERS).unwrap_or_default();
        if tiers.is_empty() && self.report.error_count() == before {
            expected(self.report, node, "at least one tier", None);
        }
        let mut found = Vec::new();
        for tier in tiers {
            let sites = self.tier(tier);
            found.push(weigh(&sites, self.members));
        }
        // What could not be read may be what is missing.
        if self.report.error_count() == before && self.members.whole {
            self.complete(key);
        }
        found
    }

    fn tier(&mut self, node: &Node) -> Vec<(SiteId, Option<u32>)> {
        const WHAT: &str = "a tier such as [aws/us-east-1]";
        if let Some(name) = node.text() {
            let hint = format!("a tier is a list: write `[{name}]`");
            expected(self.report, node, WHAT, Some(hint));
            return Vec::new();
        }
        let Some(entries) = list(self.report, node, WHAT, MAX_ENTRIES) else {
            return Vec::new();
        };
        if entries.is_empty() {
            expected(self.report, node, "at least one site in a tier", None);
        }
        let mut sites = Vec::new();
        for entry in entries {
            for (site, weight) in self.entry(entry) {
                if self.first_time(site, entry.pos) {
                    sites.push((site, weight));
                }
            }
        }
        sites
    }

    fn entry(&self, node: &Node) -> Vec<(SiteId, Option<u32>)> {
        let report = self.report;
        if !matches!(node.kind, Kind::Mapping(_)) {
            let sites = self.sites(node);
            return sites.into_iter().map(|site| (site, None)).collect();
        }
        let Some(mut fields) = Fields::of(report, node, &shape::failover::TIER_SITE) else {
            return Vec::new();
        };
        let site = fields
            .require("site", "metal/ld4")
            .map(|node| self.site(node));
        let weighed = fields.has("weight");
        let weight = fields.count("weight", 1);
        fields.finish();
        let weight = weighed.then_some(weight);
        site.flatten()
            .map(|site| (site, weight))
            .into_iter()
            .collect()
    }

    /// A site, or all sites that the pool has at a provider.
    fn sites(&self, node: &Node) -> Vec<SiteId> {
        let provider = node.text().and_then(|text| self.places.provider(text));
        let Some(provider) = provider else {
            return self.site(node).into_iter().collect();
        };
        let at = |site: &SiteId| self.places.provider_of(*site) == Some(provider);
        let sites: Vec<SiteId> = self.sites.iter().copied().filter(at).collect();
        if sites.is_empty() && self.members.whole {
            let text = format!(
                "pool `{}` has no backend at `{}`",
                self.pool,
                node.text().unwrap_or_default()
            );
            self.report.error(node.pos, text);
        }
        sites
    }

    /// A site in which the pool has a backend.
    fn site(&self, node: &Node) -> Option<SiteId> {
        let text = text(
            self.report,
            node,
            "a site such as aws/us-east-1, or a provider",
        )?;
        let site = self.places.site(self.report, node)?;
        let member = self.set.contains(&site);
        if !member && self.members.whole {
            let text = format!("pool `{}` has no backend in `{text}`", self.pool);
            self.report.error_hint(
                node.pos,
                text,
                "add one to the pool, or remove the site here",
            );
        }
        member.then_some(site)
    }

    fn first_time(&mut self, site: SiteId, pos: Pos) -> bool {
        if let Some(first) = self.seen.get(&site) {
            let text = format!("site `{}` is in the tiers twice", self.places.name_of(site));
            let hint = format!("first at {}", self.report.place(*first, pos));
            self.report.error_hint(pos, text, hint);
            return false;
        }
        self.seen.insert(site, pos);
        true
    }

    fn complete(&self, key: Pos) {
        for site in &self.sites {
            if !self.seen.contains_key(site) {
                let name = self.places.name_of(*site);
                let text = format!("site `{name}` of pool `{}` is in no tier", self.pool);
                let hint = "add it to the last tier to use it when all else is gone";
                self.report.error_hint(key, text, hint);
            }
        }
    }
}
