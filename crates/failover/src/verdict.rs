//! What the engine holds of a place, and why.

use serde::{Deserialize, Serialize};

/// What the engine holds of an endpoint, a site or a provider.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// It serves.
    Healthy,
    /// Something spoke against it; not enough to leave.
    Suspect,
    /// It serves with a lowered weight.
    Degraded,
    /// It is left.
    Down,
    /// It is well again and its share grows.
    Recovering,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 6] = [
        Verdict::Unknown,
        Verdict::Healthy,
        Verdict::Suspect,
        Verdict::Degraded,
        Verdict::Down,
        Verdict::Recovering,
    ];

    /// The word in labels, logs and the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Unknown => "unknown",
            Verdict::Healthy => "healthy",
            Verdict::Suspect => "suspect",
            Verdict::Degraded => "degraded",
            Verdict::Down => "down",
            Verdict::Recovering => "recovering",
        }
    }
}

/// Why a verdict or a table changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It is new: nothing is known of it yet.
    New,
    /// A probe failed, fewer in a row than take it down.
    ProbeFailed,
    /// Enough probes in a row failed.
    ProbesFailed,
    /// Enough probes in a row passed.
    ProbesPassed,
    /// A request failed, fewer than take it down.
    RequestFailed,
    /// Connections are refused or time out.
    ConnectFailures,
    /// Enough requests in a row failed.
    ConsecutiveFailures,
    /// Too large a share of the requests in the window failed.
    FailureRatio,
    /// Requests are overdue and nothing is answered: new ones make a detour until it answers.
    Overdue,
    /// Requests were overdue for so long, or a probe failed beside them, that it must be gone.
    Silent,
    /// What is sent to it does not arrive, as the kernel knows.
    PathDead,
    /// Too many answers come later than usual.
    Slow,
    /// Requests succeed.
    TrafficSucceeds,
    /// Enough of a site's endpoints are down.
    EndpointsDown,
    /// Enough of a provider's sites are down.
    SitesDown,
    /// The provider that it belongs to is down.
    ProviderDown,
    /// Its endpoints answer again and the hold-down has ended.
    HoldDownOver,
    /// It is well again, and waits for an operator to bring it home.
    AwaitsOperator,
    /// It is well again, and waits for a window in which it may come home.
    AwaitsWindow,
    /// The ramp has ended.
    RampOver,
    /// It failed again while its share grew.
    FailedInRamp,
    /// An operator said so.
    Operator,
    /// An operator's word lapsed.
    OperatorWordLapsed,
    /// The provider that took orders cannot be reached.
    WriterLost,
    /// Orders fail where reads succeed.
    OrdersFail,
    /// The provider that should take orders has been well for a whole ramp.
    WriterHome,
    /// Everything looks bad: the detector is distrusted and nothing more is taken away (P4).
    AllBad,
    /// Not everything looks bad any more.
    NotAllBad,
    /// A policy was loaded.
    PolicyLoaded,
    /// A name resolves to other addresses.
    AddressesChanged,
    /// It is known from before a restart.
    Remembered,
    /// More or fewer requests come than before, against what sites declare that they carry.
    DemandChanged,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 32] = [
        Cause::New,
        Cause::ProbeFailed,
        Cause::ProbesFailed,
        Cause::ProbesPassed,
        Cause::RequestFailed,
        Cause::ConnectFailures,
        Cause::ConsecutiveFailures,
        Cause::FailureRatio,
        Cause::Overdue,
        Cause::Silent,
        Cause::PathDead,
        Cause::Slow,
        Cause::TrafficSucceeds,
        Cause::EndpointsDown,
        Cause::SitesDown,
        Cause::ProviderDown,
        Cause::HoldDownOver,
        Cause::AwaitsOperator,
        Cause::AwaitsWindow,
        Cause::RampOver,
        Cause::FailedInRamp,
        Cause::Operator,
        Cause::OperatorWordLapsed,
        Cause::WriterLost,
        Cause::OrdersFail,
        Cause::WriterHome,
        Cause::AllBad,
        Cause::NotAllBad,
        Cause::PolicyLoaded,
        Cause::AddressesChanged,
        Cause::Remembered,
        Cause::DemandChanged,
    ];

    /// The word in labels, logs and the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::New => "new",
            Cause::ProbeFailed => "probe_failed",
            Cause::ProbesFailed => "probes_failed",
            Cause::ProbesPassed => "probes_passed",
            Cause::RequestFailed => "request_failed",
            Cause::ConnectFailures => "connect_failures",
            Cause::ConsecutiveFailures => "consecutive_failures",
            Cause::FailureRatio => "failure_ratio",
            Cause::Overdue => "overdue",
            Cause::Silent => "silent",
            Cause::PathDead => "path_dead",
            Cause::Slow => "slow",
            Cause::TrafficSucceeds => "traffic_succeeds",
            Cause::EndpointsDown => "endpoints_down",
            Cause::SitesDown => "sites_down",
            Cause::ProviderDown => "provider_down",
            Cause::HoldDownOver => "hold_down_over",
            Cause::AwaitsOperator => "awaits_operator",
            Cause::AwaitsWindow => "awaits_window",
            Cause::RampOver => "ramp_over",
            Cause::FailedInRamp => "failed_in_ramp",
            Cause::Operator => "operator",
            Cause::OperatorWordLapsed => "operator_word_lapsed",
            Cause::WriterLost => "writer_lost",
            Cause::OrdersFail => "orders_fail",
            Cause::WriterHome => "writer_home",
            Cause::AllBad => "all_bad",
            Cause::NotAllBad => "not_all_bad",
            Cause::PolicyLoaded => "policy_loaded",
            Cause::AddressesChanged => "addresses_changed",
            Cause::Remembered => "remembered",
            Cause::DemandChanged => "demand_changed",
        }
    }
}
