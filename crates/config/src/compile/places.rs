//! `providers`: who runs the machines, and where they stand.

use crate::fields::{Fields, expected, list, name, named, present, text};
use crate::report::Report;
use crate::shape;
use crate::shape::routes::{MAX_PROVIDERS, MAX_SITES};
use crate::shape::words::KINDS;
use crate::source::Pos;
use crate::tree::{Entry, Node};
use leeward_failover::{Provider, ProviderId, ProviderKind, Site, SiteId};
use std::collections::HashMap;

/// Providers and their sites.
#[derive(Default)]
pub(super) struct Places {
    pub(super) providers: Vec<Provider>,
    pub(super) sites: Vec<Site>,
    by_name: HashMap<String, SiteId>,
    /// Some could not be read, so that an unknown name may be one of those.
    torn: bool,
}

impl Places {
    /// The site of a name, which is reported where there is none.
    pub(super) fn site(&self, report: &Report<'_>, node: &Node) -> Option<SiteId> {
        const WHAT: &str = "a site such as aws/us-east-1";
        let text = text(report, node, WHAT)?;
        let found = self.by_name.get(text).copied();
        if found.is_none() && !self.torn {
            self.unknown(report, node.pos, text);
        }
        found
    }

    /// The provider of a name.
    pub(super) fn provider(&self, name: &str) -> Option<ProviderId> {
        self.providers
            .iter()
            .position(|provider| provider.name == name)
            .map(ProviderId::from)
    }

    /// The provider of a site.
    pub(super) fn provider_of(&self, site: SiteId) -> Option<ProviderId> {
        self.sites.get(site.index()).map(|site| site.provider)
    }

    /// The whole name of a site.
    pub(super) fn name_of(&self, site: SiteId) -> &str {
        self.sites
            .get(site.index())
            .map_or("", |site| site.name.as_str())
    }

    /// Reports a name that is no site.
    pub(super) fn unknown(&self, report: &Report<'_>, pos: Pos, text: &str) {
        let sites = self.sites.iter().map(|site| site.name.as_str());
        let hint = if self.provider(text).is_some() {
            let own = format!("{text}/");
            let own: Vec<&str> = sites
                .filter(|name| name.starts_with(&own))
                .take(8)
                .collect();
            Some(format!(
                "`{text}` is a provider; its sites: {}",
                own.join(", ")
            ))
        } else {
            report.suggest(text, sites)
        };
        report.error_hint(pos, format!("site `{text}` is in no provider"), hint);
    }
}

/// Reads `providers`.
pub(super) fn compile(report: &Report<'_>, fields: &mut Fields<'_>) -> Places {
    let mut places = Places::default();
    let Some(node) = fields.require("providers", "{ aws: { sites: [us-east-1] } }") else {
        places.torn = true;
        return places;
    };
    let entries = named(report, node, "providers", MAX_PROVIDERS);
    places.torn = entries.is_empty();
    for entry in entries {
        provider(report, entry, &mut places);
    }
    places
}

fn provider(report: &Report<'_>, entry: &Entry, places: &mut Places) {
    let id = ProviderId::from(places.providers.len());
    let mut found = Provider {
        name: entry.key.clone(),
        kind: ProviderKind::Cloud,
        max_share: None,
    };
    let fields =
        present(report, entry).and_then(|node| Fields::of(report, node, &shape::routes::PROVIDER));
    if let Some(mut fields) = fields {
        found.kind = fields.word("kind", &KINDS).unwrap_or(found.kind);
        let most = fields.share("max_share", 1.0);
        found.max_share = (most < 1.0).then_some(most);
        match fields.require("sites", "[us-east-1]") {
            Some(node) => sites(report, node, id, &entry.key, places),
            None => places.torn = true,
        }
        fields.finish();
    } else {
        places.torn = true;
    }
    places.providers.push(found);
}

fn sites(report: &Report<'_>, node: &Node, id: ProviderId, provider: &str, places: &mut Places) {
    let Some(items) = list(report, node, "a list of sites", MAX_SITES) else {
        places.torn = true;
        return;
    };
    if items.is_empty() {
        expected(report, node, "at least one site", None);
    }
    for item in items {
        let Some(text) = text(report, item, "the name of a site such as us-east-1") else {
            places.torn = true;
            continue;
        };
        match text.split_once('/') {
            Some((own, rest)) if own == provider => {
                let hint = format!("write `{rest}`: it is a site of `{provider}` here");
                report.error_hint(item.pos, format!("`{text}` cannot be a name"), hint);
            }
            _ => name(report, item.pos, text),
        }
        let name = format!("{provider}/{text}");
        let site = SiteId::from(places.sites.len());
        if places.by_name.insert(name.clone(), site).is_some() {
            report.error(item.pos, format!("site `{name}` is given twice"));
        }
        places.sites.push(Site { name, provider: id });
    }
}
