//! Every metric family, in the order of the reference: `docs/metrics.md` is written from it.
//!
//! Owns the order and the titles; a family that is not named here is not shown. Read by `registry`,
//! `reference` and the tests.

use crate::family::{self, Family};
use crate::{access_log, capacity, concentration, shortage};

/// Families of one part of leeward, for the reference.
pub(crate) struct Part {
    pub(crate) title: &'static str,
    pub(crate) families: &'static [&'static Family],
}

/// Every family, in the order of the reference.
pub(crate) static PARTS: [Part; 13] = [
    Part {
        title: "Requests",
        families: &[
            &family::REQUESTS,
            &family::REQUESTS_REFUSED,
            &family::FORWARDING_IGNORED,
            &family::REQUEST_DURATION,
            &family::REQUEST_HEAD,
        ],
    },
    Part {
        title: "Clients' connections",
        families: &[
            &family::DOWNSTREAM_ACCEPTED,
            &family::DOWNSTREAM_OPEN,
            &family::DOWNSTREAM_REFUSED,
            &family::DOWNSTREAM_PROXY_HEADERS,
            &family::DOWNSTREAM_HTTP2_ERRORS,
            &family::DOWNSTREAM_TLS,
            &family::DOWNSTREAM_TLS_DELAYED,
            &family::DOWNSTREAM_RECEIVED,
            &family::DOWNSTREAM_SENT,
        ],
    },
    Part {
        title: "Attempts at backends",
        families: &[
            &family::POOL_ATTEMPTS,
            &family::POOL_RETRIES,
            &family::POOL_HEDGES,
            &family::POOL_RESCUES,
            &family::POOL_BUDGET_EXHAUSTED,
            &family::POOL_UNPLACED,
            &family::POOL_BEHIND,
            &family::POOL_DELAYED,
            &family::POOL_STREAMS_ENDED,
            &family::UPSTREAM_ATTEMPTS,
            &family::UPSTREAM_IN_FLIGHT,
            &family::UPSTREAM_HEAD,
            &family::UPSTREAM_OPEN,
            &family::UPSTREAM_CREATED,
            &family::UPSTREAM_REUSED,
        ],
    },
    Part {
        title: "Capacity",
        families: &[
            &capacity::SITE_IN_FLIGHT,
            &capacity::SITE_LIMIT,
            &capacity::SITE_LEARNED,
            &capacity::SITE_CAPACITY,
            &capacity::SITE_SPILLED,
            &capacity::SITE_SHED,
            &capacity::POOL_DEMAND,
        ],
    },
    Part {
        title: "Verdicts and shares",
        families: &[
            &family::ENDPOINT_VERDICT,
            &family::ENDPOINT_SHARE,
            &family::SITE_VERDICT,
            &family::SITE_SHARE,
            &family::PROVIDER_VERDICT,
            &family::PROVIDER_SHARE,
            &family::SITE_OPERATOR,
            &family::PROVIDER_OPERATOR,
            &family::DECISIONS,
        ],
    },
    Part {
        title: "Pools",
        families: &[
            &family::POOL_PANIC,
            &family::POOL_ORDERS_HELD,
            &family::POOL_ACTIVE_TIER,
            &concentration::POOL_TIERS,
            &concentration::POOL_TIERS_USABLE,
            &family::POOL_WRITER,
        ],
    },
    Part {
        title: "Concentration",
        families: &[
            &concentration::POOL_PROVIDER_SHARE,
            &concentration::POOL_PROVIDER_CAPACITY_SHARE,
            &concentration::PROVIDER_MAX_SHARE,
        ],
    },
    Part {
        title: "Probes",
        families: &[&family::PROBES, &family::PROBE_DURATION],
    },
    Part {
        title: "Names and addresses",
        families: &[
            &family::DNS_QUESTIONS,
            &family::DNS_ADDRESSES,
            &family::DNS_REFUSED,
        ],
    },
    Part {
        title: "Certificates",
        families: &[
            &concentration::CERTIFICATE_EXPIRES,
            &concentration::UPSTREAM_CERTIFICATE_EXPIRES,
        ],
    },
    Part {
        title: "Access log",
        families: &[
            &access_log::LINES,
            &access_log::DROPPED,
            &access_log::ERRORS,
        ],
    },
    Part {
        title: "leeward itself",
        families: &[
            &family::BUILD_INFO,
            &family::READY,
            &family::WORKERS,
            &family::POLICY_INFO,
            &family::POLICY_LOADED,
            &family::POLICY_RELOADS,
            &family::POLICY_REJECTED,
            &family::STATE_WRITES,
            &shortage::SHORTAGES,
            &family::METRICS_OVERFLOW,
        ],
    },
    Part {
        title: "The process",
        families: &[
            &family::PROCESS_CPU,
            &family::PROCESS_OPEN_FDS,
            &family::PROCESS_MAX_FDS,
            &family::PROCESS_RESIDENT,
            &family::PROCESS_VIRTUAL,
            &family::PROCESS_THREADS,
            &family::PROCESS_START,
        ],
    },
];
