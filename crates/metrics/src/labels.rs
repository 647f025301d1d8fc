//! The words of label values that are leeward's own, and the sets of labels that come from a
//! policy. No free strings: what a client sends never becomes a label.

use leeward_failover::{Change, Verdict};

/// What was built. Shown as `leeward_build_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// The version of the package: `0.1.0`.
    pub version: &'static str,
    /// The commit that it was built from; `unknown` where there was none.
    pub revision: &'static str,
    /// The compiler: `1.95.0`.
    pub rustc: &'static str,
}

/// Which endpoint a series is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointLabels {
    /// The pool's name.
    pub pool: String,
    /// The provider's name: `aws`.
    pub provider: String,
    /// The site's name: `aws/us-east-1`.
    pub site: String,
    /// The backend's URL: `https://api.use1.example:8443`.
    pub backend: String,
    /// The address and port: `192.0.2.7:8443`.
    pub address: String,
}

impl EndpointLabels {
    pub(crate) fn values(&self) -> [&str; 5] {
        [
            &self.pool,
            &self.provider,
            &self.site,
            &self.backend,
            &self.address,
        ]
    }
}

/// How a request ended, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestOutcome {
    /// A whole answer of 2xx or 3xx.
    Success,
    /// An answer of 1xx: the connection was upgraded.
    Informational,
    /// A whole answer of 4xx from a backend.
    ClientError,
    /// A whole answer of 5xx from a backend.
    ServerError,
    /// No backend received it, that is proven, and it could not be placed elsewhere.
    NotSent,
    /// A backend may have acted on it; no answer came.
    Unknown,
    /// Refused at leeward's own limits.
    Shed,
    /// leeward's own 502, 503 or 504 for a request that may be repeated.
    Unavailable,
    /// The answer broke off before its end, and the client saw that it did.
    Truncated,
    /// The client left before its answer was whole.
    ClientGone,
    /// leeward refused it: no route matched, or the body was too large or came too slowly.
    Refused,
}

impl RequestOutcome {
    /// Every outcome.
    pub const ALL: [RequestOutcome; 11] = [
        RequestOutcome::Success,
        RequestOutcome::Informational,
        RequestOutcome::ClientError,
        RequestOutcome::ServerError,
        RequestOutcome::NotSent,
        RequestOutcome::Unknown,
        RequestOutcome::Shed,
        RequestOutcome::Unavailable,
        RequestOutcome::Truncated,
        RequestOutcome::ClientGone,
        RequestOutcome::Refused,
    ];

    /// The word in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            RequestOutcome::Success => "success",
            RequestOutcome::Informational => "informational",
            RequestOutcome::ClientError => "client_error",
            RequestOutcome::ServerError => "server_error",
            RequestOutcome::NotSent => "not_sent",
            RequestOutcome::Unknown => "unknown",
            RequestOutcome::Shed => "shed",
            RequestOutcome::Unavailable => "unavailable",
            RequestOutcome::Truncated => "truncated",
            RequestOutcome::ClientGone => "client_gone",
            RequestOutcome::Refused => "refused",
        }
    }

    /// What it means, in a sentence for the reference.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            RequestOutcome::Success => "A whole answer of 2xx or 3xx.",
            RequestOutcome::Informational => "An answer of 1xx: the connection was upgraded.",
            RequestOutcome::ClientError => {
                "A whole answer of 4xx from a backend, or of gRPC with a code that means as much."
            }
            RequestOutcome::ServerError => {
                "A whole answer of 5xx from a backend, or of gRPC with a code that means as much."
            }
            RequestOutcome::NotSent => {
                "No backend received it, that is proven, and it could not be placed elsewhere."
            }
            RequestOutcome::Unknown => "A backend may have acted on it; no answer came.",
            RequestOutcome::Shed => "Refused at leeward's own limits.",
            RequestOutcome::Unavailable => {
                "leeward's own 502, 503 or 504 for a request that may be repeated."
            }
            RequestOutcome::Truncated => {
                "The answer broke off before its end, and the client saw that it did."
            }
            RequestOutcome::ClientGone => "The client left before its answer was whole.",
            RequestOutcome::Refused => {
                "leeward refused it: no route matched, or the body was too large or came too slowly."
            }
        }
    }
}

/// Why a request was refused before a route was found for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusedReason {
    /// Its length is given twice, in two ways, or not in digits.
    BadFraming,
    /// It is not HTTP, in a way that no other reason names.
    Malformed,
    /// A header line is not valid.
    BadHeader,
    /// The head is larger than the limit, or has more fields.
    HeaderTooLarge,
    /// The head did not come in time.
    HeaderTimeout,
    /// The method is none that leeward takes (`CONNECT`, `TRACE`).
    BadMethod,
    /// The target is not valid, or is one that leeward could not pass on unchanged.
    BadTarget,
    /// The host is missing, given twice or not valid.
    BadHost,
    /// The version of HTTP is none that leeward speaks.
    BadVersion,
    /// It asks for an expectation or an upgrade that leeward does not know.
    BadExpectation,
    /// No route matches.
    NoRoute,
}

impl RefusedReason {
    /// Every reason.
    pub const ALL: [RefusedReason; 11] = [
        RefusedReason::BadFraming,
        RefusedReason::Malformed,
        RefusedReason::BadHeader,
        RefusedReason::HeaderTooLarge,
        RefusedReason::HeaderTimeout,
        RefusedReason::BadMethod,
        RefusedReason::BadTarget,
        RefusedReason::BadHost,
        RefusedReason::BadVersion,
        RefusedReason::BadExpectation,
        RefusedReason::NoRoute,
    ];

    /// The word in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            RefusedReason::BadFraming => "bad_framing",
            RefusedReason::Malformed => "malformed",
            RefusedReason::BadHeader => "bad_header",
            RefusedReason::HeaderTooLarge => "header_too_large",
            RefusedReason::HeaderTimeout => "header_timeout",
            RefusedReason::BadMethod => "bad_method",
            RefusedReason::BadTarget => "bad_target",
            RefusedReason::BadHost => "bad_host",
            RefusedReason::BadVersion => "bad_version",
            RefusedReason::BadExpectation => "bad_expectation",
            RefusedReason::NoRoute => "no_route",
        }
    }

    /// What it means, in a sentence for the reference.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            RefusedReason::BadFraming => {
                "Its length is given twice, in two ways, or not in digits."
            }
            RefusedReason::Malformed => "It is not HTTP, in a way that no other reason names.",
            RefusedReason::BadHeader => "A header line is not valid.",
            RefusedReason::HeaderTooLarge => {
                "The head is larger than the limit, or has more fields."
            }
            RefusedReason::HeaderTimeout => "The head did not come in time.",
            RefusedReason::BadMethod => {
                "The method is none that leeward takes (`CONNECT`, `TRACE`)."
            }
            RefusedReason::BadTarget => {
                "The target is not valid, or is one that leeward could not pass on unchanged."
            }
            RefusedReason::BadHost => "The host is missing, given twice or not valid.",
            RefusedReason::BadVersion => "The version of HTTP is none that leeward speaks.",
            RefusedReason::BadExpectation => {
                "It asks for an expectation or an upgrade that leeward does not know."
            }
            RefusedReason::NoRoute => "No route matches.",
        }
    }
}

/// Why a client's connection was closed before its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionRefusal {
    /// The listener has as many connections as it may.
    Limit,
    /// The client has as many connections as one may.
    PerClientLimit,
    /// The PROXY header that this peer must send was missing, broken or too long.
    ProxyHeader,
    /// The PROXY header did not come in time.
    ProxyTimeout,
    /// The process has no file descriptor left.
    FileDescriptors,
    /// The kernel could not hand the connection over, for another reason.
    Accept,
    /// The TLS handshake failed.
    TlsHandshake,
    /// The TLS handshake did not end in time.
    TlsTimeout,
    /// leeward is draining.
    Draining,
}

impl ConnectionRefusal {
    /// Every reason.
    pub const ALL: [ConnectionRefusal; 9] = [
        ConnectionRefusal::Limit,
        ConnectionRefusal::PerClientLimit,
        ConnectionRefusal::ProxyHeader,
        ConnectionRefusal::ProxyTimeout,
        ConnectionRefusal::FileDescriptors,
        ConnectionRefusal::Accept,
        ConnectionRefusal::TlsHandshake,
        ConnectionRefusal::TlsTimeout,
        ConnectionRefusal::Draining,
    ];

    /// The word in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConnectionRefusal::Limit => "limit",
            ConnectionRefusal::PerClientLimit => "per_client_limit",
            ConnectionRefusal::ProxyHeader => "proxy_header",
            ConnectionRefusal::ProxyTimeout => "proxy_timeout",
            ConnectionRefusal::FileDescriptors => "file_descriptors",
            ConnectionRefusal::Accept => "accept",
            ConnectionRefusal::TlsHandshake => "tls_handshake",
            ConnectionRefusal::TlsTimeout => "tls_timeout",
            ConnectionRefusal::Draining => "draining",
        }
    }

    /// What it means, in a sentence for the reference.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            ConnectionRefusal::Limit => "The listener has as many connections as it may.",
            ConnectionRefusal::PerClientLimit => "The client has as many connections as one may.",
            ConnectionRefusal::ProxyHeader => {
                "The PROXY header that this peer must send was missing, broken or too long."
            }
            ConnectionRefusal::ProxyTimeout => "The PROXY header did not come in time.",
            ConnectionRefusal::FileDescriptors => "The process has no file descriptor left.",
            ConnectionRefusal::Accept => {
                "The kernel could not hand the connection over, for another reason."
            }
            ConnectionRefusal::TlsHandshake => "The TLS handshake failed.",
            ConnectionRefusal::TlsTimeout => "The TLS handshake did not end in time.",
            ConnectionRefusal::Draining => "leeward is draining.",
        }
    }
}

/// The word for a change in `leeward_decisions_total`: the verdict that was reached, or what else
/// changed.
pub const fn change_word(change: &Change) -> &'static str {
    match change {
        Change::Verdict { to, .. } => to.as_str(),
        Change::Operator { .. } => "operator",
        Change::Tier { .. } => "tier",
        Change::Writer { .. } => "writer",
        Change::Detour { .. } => "detour",
        Change::OrderPath { .. } => "order_path",
        Change::OrdersHeld { .. } => "orders_held",
        Change::Panic { .. } => "panic",
        Change::Endpoints { .. } => "endpoints",
    }
}

/// Every word of [`change_word`].
pub(crate) const CHANGES: [&str; 14] = [
    Verdict::Unknown.as_str(),
    Verdict::Healthy.as_str(),
    Verdict::Suspect.as_str(),
    Verdict::Degraded.as_str(),
    Verdict::Down.as_str(),
    Verdict::Recovering.as_str(),
    "operator",
    "tier",
    "writer",
    "detour",
    "order_path",
    "orders_held",
    "panic",
    "endpoints",
];
