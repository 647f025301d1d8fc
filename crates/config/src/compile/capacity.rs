//! What is said of a pool's capacities and of its providers' shares: keys that count for nothing.

use super::backends::Members;
use super::places::Places;
use crate::report::Report;
use crate::source::Pos;
use leeward_failover::SiteId;
use std::collections::BTreeMap;

/// Warns of what a pool declares in vain.
pub(super) fn judge(report: &Report<'_>, pos: Pos, pool: &str, members: &Members, places: &Places) {
    if !members.whole {
        return;
    }
    let mut sites: BTreeMap<SiteId, (usize, usize)> = BTreeMap::new();
    for backend in &members.backends {
        let (declared, all) = sites.entry(backend.site).or_default();
        *declared += usize::from(backend.capacity.is_some());
        *all += 1;
    }
    for (site, (declared, all)) in &sites {
        if (1..*all).contains(declared) {
            let name = places.name_of(*site);
            let text = format!(
                "{declared} of {all} backends of pool `{pool}` at `{name}` declare a capacity: it \
                 counts for nothing while the others do not"
            );
            report.warning(pos, text, "declare it for all of them, or for none");
        }
    }
    let bounded = |site: &SiteId| {
        let provider = places.provider_of(*site);
        let provider = provider.and_then(|id| places.providers.get(id.index()));
        provider.is_some_and(|provider| provider.max_share.is_some())
    };
    if sites.keys().all(bounded) {
        let text = format!(
            "all providers of pool `{pool}` have a `max_share`: nobody is left for the rest"
        );
        let hint = "it holds only while another provider serves; leave one without";
        report.warning(pos, text, hint);
    }
}
