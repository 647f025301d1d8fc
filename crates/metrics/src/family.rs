//! What a metric family is, and those that belong to no part of their own: name, kind, labels, help text.
//!
//! A contract with dashboards and alerts: a change here is a change for every operator. `capacity`,
//! `clients`, `concentration` and `access_log` have the others, `parts` lists them all. Read by
//! everything else in this crate.

/// What is counted, and by which labels.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

/// The kind of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// The word in `# TYPE`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

pub(crate) const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family {
        name,
        kind: Kind::Counter,
        labels,
        help,
    }
}

pub(crate) const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family {
        name,
        kind: Kind::Gauge,
        labels,
        help,
    }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family {
        name,
        kind: Kind::Histogram,
        labels,
        help,
    }
}

// Requests.

pub(crate) static REQUESTS: Family = counter(
    "leeward_requests_total",
    &["listener", "route", "class", "outcome"],
    "Requests by how they ended for their clients.",
);
pub(crate) static REQUESTS_REFUSED: Family = counter(
    "leeward_requests_refused_total",
    &["listener", "reason"],
    "Requests refused before a route was found for them.",
);
pub(crate) static FORWARDING_IGNORED: Family = counter(
    "leeward_forwarding_fields_ignored_total",
    &["listener", "field"],
    "Forwarding fields of trusted peers that were malformed: ignored, and replaced by leeward's own.",
);
pub(crate) static REQUEST_DURATION: Family = histogram(
    "leeward_request_duration_seconds",
    &["listener", "class"],
    "Time from a request's head to the last byte of its answer.",
);
pub(crate) static REQUEST_HEAD: Family = histogram(
    "leeward_request_head_seconds",
    &["listener", "class"],
    "Time from a request's head to the head of its answer.",
);

// Clients' connections.

pub(crate) static DOWNSTREAM_ACCEPTED: Family = counter(
    "leeward_downstream_connections_accepted_total",
    &["listener"],
    "Connections accepted from clients.",
);
pub(crate) static DOWNSTREAM_OPEN: Family = gauge(
    "leeward_downstream_connections_open",
    &["listener"],
    "Connections of clients that are open now.",
);
pub(crate) static DOWNSTREAM_REFUSED: Family = counter(
    "leeward_downstream_connections_refused_total",
    &["listener", "reason"],
    "Connections of clients closed before their first request.",
);
pub(crate) static DOWNSTREAM_PROXY_HEADERS: Family = counter(
    "leeward_downstream_proxy_headers_total",
    &["listener", "said"],
    "PROXY headers that were accepted, by what they said.",
);
pub(crate) static DOWNSTREAM_HTTP2_ERRORS: Family = counter(
    "leeward_downstream_protocol_errors_total",
    &["listener", "ended", "reason"],
    "Streams and connections of clients that were ended because they broke HTTP/2 itself.",
);
pub(crate) static DOWNSTREAM_TLS: Family = counter(
    "leeward_downstream_tls_handshakes_total",
    &["listener"],
    "TLS handshakes with clients that succeeded.",
);
pub(crate) static DOWNSTREAM_TLS_DELAYED: Family = counter(
    "leeward_downstream_tls_handshakes_delayed_total",
    &["listener"],
    "TLS handshakes that waited before they began, so that orders pass: more came at once than leeward makes in one turn.",
);
pub(crate) static DOWNSTREAM_RECEIVED: Family = counter(
    "leeward_downstream_received_bytes_total",
    &["listener"],
    "Bytes received from clients.",
);
pub(crate) static DOWNSTREAM_SENT: Family = counter(
    "leeward_downstream_sent_bytes_total",
    &["listener"],
    "Bytes sent to clients.",
);

// Attempts at backends.

pub(crate) static POOL_ATTEMPTS: Family = counter(
    "leeward_pool_attempts_total",
    &["pool", "class"],
    "Attempts at any endpoint of a pool; a request makes one, and one more for each retry.",
);
pub(crate) static POOL_RETRIES: Family = counter(
    "leeward_pool_retries_total",
    &["pool", "class"],
    "Attempts that followed a failed one of the same request.",
);
pub(crate) static POOL_HEDGES: Family = counter(
    "leeward_pool_hedges_total",
    &["pool"],
    "Second attempts of public reads beside a first one that took longer than usual.",
);
pub(crate) static POOL_RESCUES: Family = counter(
    "leeward_pool_rescues_total",
    &["pool", "class"],
    "Requests that were placed elsewhere because the endpoint they waited for fell silent or went down.",
);
pub(crate) static POOL_BUDGET_EXHAUSTED: Family = counter(
    "leeward_pool_retry_budget_exhausted_total",
    &["pool"],
    "Retries that were allowed by class but not made, because the retry budget was spent.",
);
pub(crate) static POOL_UNPLACED: Family = counter(
    "leeward_pool_unplaced_total",
    &["pool"],
    "Requests for which the pool had no endpoint.",
);
pub(crate) static POOL_BEHIND: Family = counter(
    "leeward_pool_behind_total",
    &["pool"],
    "Requests shed because leeward itself had more to do than it can.",
);
pub(crate) static POOL_DELAYED: Family = counter(
    "leeward_pool_delayed_total",
    &["pool"],
    "Requests that waited before they began, so that orders pass: leeward itself had more to do than it could at that moment.",
);
pub(crate) static POOL_STREAMS_ENDED: Family = counter(
    "leeward_pool_streams_ended_total",
    &["pool", "reason"],
    "Upgraded connections and long answers ended because their endpoint is left or drained.",
);
pub(crate) static UPSTREAM_ATTEMPTS: Family = counter(
    "leeward_upstream_attempts_total",
    &["pool", "provider", "site", "backend", "address", "outcome"],
    "Attempts at an endpoint, by what they came to as far as its health is concerned.",
);
pub(crate) static UPSTREAM_IN_FLIGHT: Family = gauge(
    "leeward_upstream_requests_in_flight",
    &["pool", "provider", "site", "backend", "address"],
    "Requests that are at an endpoint now.",
);
pub(crate) static UPSTREAM_HEAD: Family = histogram(
    "leeward_upstream_head_seconds",
    &["pool", "provider"],
    "Time from the start of an attempt to the head of the backend's answer.",
);
pub(crate) static UPSTREAM_OPEN: Family = gauge(
    "leeward_upstream_connections_open",
    &["pool", "provider", "site", "backend", "address"],
    "Connections to an endpoint that are open now, idle ones among them.",
);
pub(crate) static UPSTREAM_CREATED: Family = counter(
    "leeward_upstream_connections_created_total",
    &["pool", "provider", "site", "backend", "address"],
    "Connections made to an endpoint, TLS handshake included.",
);
pub(crate) static UPSTREAM_REUSED: Family = counter(
    "leeward_upstream_connections_reused_total",
    &["pool", "provider", "site", "backend", "address"],
    "Attempts that went over a connection that was there already.",
);

// Verdicts and shares.

pub(crate) static ENDPOINT_VERDICT: Family = gauge(
    "leeward_endpoint_verdict",
    &["pool", "provider", "site", "backend", "address", "verdict"],
    "1 for the verdict that is held of an endpoint, 0 for the others.",
);
pub(crate) static ENDPOINT_SHARE: Family = gauge(
    "leeward_endpoint_share",
    &["pool", "provider", "site", "backend", "address"],
    "Share of the first attempts of its pool's reads that goes to an endpoint, 0 to 1.",
);
pub(crate) static SITE_VERDICT: Family = gauge(
    "leeward_site_verdict",
    &["provider", "site", "verdict"],
    "1 for the verdict that is held of a site, 0 for the others.",
);
pub(crate) static SITE_SHARE: Family = gauge(
    "leeward_site_share",
    &["provider", "site"],
    "Share of the first attempts of reads that goes to a site, 0 to 1.",
);
pub(crate) static SITE_OPERATOR: Family = gauge(
    "leeward_site_operator",
    &["provider", "site", "word"],
    "1 for what an operator said of a site, 0 for the others.",
);
pub(crate) static PROVIDER_OPERATOR: Family = gauge(
    "leeward_provider_operator",
    &["provider", "word"],
    "1 for what an operator said of a provider, 0 for the others.",
);
pub(crate) static PROVIDER_VERDICT: Family = gauge(
    "leeward_provider_verdict",
    &["provider", "verdict"],
    "1 for the verdict that is held of a provider, 0 for the others.",
);
pub(crate) static PROVIDER_SHARE: Family = gauge(
    "leeward_provider_share",
    &["provider"],
    "Share of the first attempts of reads that goes to a provider, 0 to 1.",
);
pub(crate) static DECISIONS: Family = counter(
    "leeward_decisions_total",
    &["subject", "change", "cause"],
    "Decisions in the journal, by what they are about, what changed and why.",
);

// Pools.

pub(crate) static POOL_PANIC: Family = gauge(
    "leeward_pool_panic",
    &["pool"],
    "1 while a pool distrusts its detector because everything looks bad, else 0.",
);
pub(crate) static POOL_ACTIVE_TIER: Family = gauge(
    "leeward_pool_active_tier",
    &["pool"],
    "The tier that carries most of a pool's reads, counted from 1.",
);
pub(crate) static POOL_WRITER: Family = gauge(
    "leeward_pool_writer",
    &["pool", "provider"],
    "1 for the provider that takes a pool's orders, 0 for the others; all 0 when orders go where reads go.",
);
pub(crate) static POOL_ORDERS_HELD: Family = gauge(
    "leeward_pool_orders_held",
    &["pool"],
    "1 while orders fail at a pool's writer, reads succeed there and nobody else takes its orders, else 0.",
);

// Probes.

pub(crate) static PROBES: Family = counter(
    "leeward_probes_total",
    &["pool", "provider", "site", "backend", "address", "result"],
    "Probes of an endpoint that ended, by result.",
);
pub(crate) static PROBE_DURATION: Family = histogram(
    "leeward_probe_duration_seconds",
    &["pool"],
    "Time that the probes that passed took.",
);

// Names and addresses.

pub(crate) static DNS_QUESTIONS: Family = counter(
    "leeward_dns_questions_total",
    &["pool", "backend", "resolver", "result"],
    "Questions about a backend's addresses that ended, by result; files and services among them.",
);
pub(crate) static DNS_ADDRESSES: Family = gauge(
    "leeward_dns_addresses",
    &["pool", "backend", "state"],
    "Addresses of a backend: named now, kept though no longer named, written in the policy.",
);
pub(crate) static DNS_REFUSED: Family = counter(
    "leeward_dns_refused_total",
    &["pool", "backend", "reason"],
    "Addresses in answers that were refused, once an answer, by reason.",
);

// leeward itself.

pub(crate) static BUILD_INFO: Family = gauge(
    "leeward_build_info",
    &["version", "revision", "rustc"],
    "What was built; always 1.",
);
pub(crate) static READY: Family = gauge(
    "leeward_ready",
    &[],
    "1 once leeward is ready and until it drains, else 0.",
);
pub(crate) static WORKERS: Family =
    gauge("leeward_workers", &[], "Data workers that have started.");
pub(crate) static POLICY_INFO: Family = gauge(
    "leeward_policy_info",
    &["hash"],
    "The policy in force, by the hash of its text; always 1.",
);
pub(crate) static POLICY_LOADED: Family = gauge(
    "leeward_policy_loaded_timestamp_seconds",
    &[],
    "When the policy in force was loaded, in seconds since 1970; 0 before the first.",
);
pub(crate) static POLICY_RELOADS: Family = counter(
    "leeward_policy_reloads_total",
    &["result"],
    "Policies that were read, the first one among them.",
);
pub(crate) static POLICY_REJECTED: Family = gauge(
    "leeward_policy_rejected",
    &[],
    "1 while the newest policy that was read was rejected and the one before is in force, else 0.",
);
pub(crate) static STATE_WRITES: Family = counter(
    "leeward_state_writes_total",
    &["file", "result"],
    "Writes to the state folder: of the memory, and of entries of the journal; and lines of the record.",
);
pub(crate) static METRICS_OVERFLOW: Family = counter(
    "leeward_metrics_overflow_total",
    &[],
    "Series that are not shown because there was no room for them.",
);

// The process.

pub(crate) static PROCESS_CPU: Family = counter(
    "process_cpu_seconds_total",
    &[],
    "Processor time used, user and system.",
);
pub(crate) static PROCESS_OPEN_FDS: Family =
    gauge("process_open_fds", &[], "File descriptors that are open.");
pub(crate) static PROCESS_MAX_FDS: Family =
    gauge("process_max_fds", &[], "File descriptors that may be open.");
pub(crate) static PROCESS_RESIDENT: Family = gauge(
    "process_resident_memory_bytes",
    &[],
    "Memory that is resident.",
);
pub(crate) static PROCESS_VIRTUAL: Family = gauge(
    "process_virtual_memory_bytes",
    &[],
    "Memory that is mapped.",
);
pub(crate) static PROCESS_THREADS: Family =
    gauge("process_threads", &[], "Threads of the process.");
pub(crate) static PROCESS_START: Family = gauge(
    "process_start_time_seconds",
    &[],
    "When the process started, in seconds since 1970.",
);
