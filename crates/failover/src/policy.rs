//! What the engine needs to know of a policy: topology and thresholds, already validated.
//!
//! `leeward-config` compiles the file into this; nothing here is optional that has a default.

use crate::guards::Guards;
use crate::id::{PoolId, ProviderId, SiteId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// The engine's view of one policy. Ids are positions in these vectors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Who runs the machines.
    pub providers: Vec<Provider>,
    /// Failure domains inside the providers.
    pub sites: Vec<Site>,
    /// Backends that can serve the same routes.
    pub pools: Vec<Pool>,
    /// Origins.
    pub backends: Vec<Backend>,
    /// What it asks of its pools.
    #[serde(default)]
    pub guards: Guards,
}

/// Who runs the machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    /// As in the policy: `aws`.
    pub name: String,
    /// What kind of provider.
    pub kind: ProviderKind,
    /// Share of a pool's requests that it takes at most while others serve, above 0 to 1; `None` for
    /// no bound.
    #[serde(default)]
    pub max_share: Option<f64>,
}

/// What kind of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// A public cloud.
    Cloud,
    /// Machines of one's own.
    SelfHosted,
    /// Leased from strangers by a network such as Akash.
    Decentralized,
}

/// A failure domain inside a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// Whole name: `aws/us-east-1`.
    pub name: String,
    /// Its provider.
    pub provider: ProviderId,
}

/// One origin: a URL that may have several addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Its URL as written; identity together with pool and site.
    pub name: String,
    /// The pool that it serves.
    pub pool: PoolId,
    /// Where it stands.
    pub site: SiteId,
    /// Share within its site, relative to its neighbours. At least 1.
    pub weight: u32,
    /// Requests per second that it can carry, where declared.
    pub capacity: Option<u32>,
    /// Literal addresses, known without DNS.
    pub addresses: Vec<SocketAddr>,
}

/// The backends that can serve the same routes, and how they fail over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// As in the policy.
    pub name: String,
    /// Ranks of the failover order; every site of the pool is in exactly one. Never empty.
    pub tiers: Vec<Vec<TierSite>>,
    /// When probes are due and how many decide.
    pub probe: ProbeParams,
    /// When traffic decides.
    pub health: HealthParams,
    /// When places are left and how they are returned to.
    pub failover: FailoverParams,
    /// Who takes orders.
    pub orders: OrderParams,
    /// How often reads may be tried again.
    pub retry: RetryParams,
}

/// A site in a tier.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TierSite {
    /// The site.
    pub site: SiteId,
    /// Its share of the tier, relative to the others. At least 1.
    pub weight: u32,
}

/// When probes are due and how many of them decide.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeParams {
    /// Time between two probes of one endpoint; jittered by a tenth.
    pub interval: Duration,
    /// A probe that has not ended by then has failed.
    pub timeout: Duration,
    /// Successes in a row that make an endpoint healthy.
    pub rise: u32,
    /// Failures in a row that take an endpoint down.
    pub fall: u32,
}

/// When traffic alone takes an endpoint down.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthParams {
    /// The trailing window that ratios look at.
    pub window: Duration,
    /// Least number of outcomes in the window before a ratio says anything.
    pub min_requests: u32,
    /// Share of failed outcomes in the window that takes an endpoint down, 0 to 1.
    pub failing: f64,
    /// Failures in a row that take an endpoint down.
    pub consecutive: u32,
    /// Connect failures within the window, with no success between, that take an endpoint down.
    pub connect_failures: u32,
}

/// When places are left and how they are returned to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailoverParams {
    /// Share of a site's endpoints that are down at which the site is evacuated, 0 to 1.
    pub site_failing: f64,
    /// Sites of a provider that are down at which the provider is evacuated; a provider with fewer
    /// sites goes when all of them are down.
    pub provider_failing_sites: u32,
    /// What becomes of a provider's other sites while some of them are down, and too few to leave it.
    pub suspicion: Suspicion,
    /// First hold-down after leaving a place.
    pub hold_down_first: Duration,
    /// Longest hold-down of a place that flaps.
    pub hold_down_max: Duration,
    /// Time from the first request to a full share when a site returns.
    pub ramp: Duration,
    /// Share of repeatable reads that healthy standby tiers see all the time, 0 to 0.5.
    pub keep_warm: f64,
    /// Who says when a site or a provider that was left comes home.
    #[serde(default)]
    pub failback: Failback,
}

/// Who says when a place that was left, and is well again, comes home; the most patient last.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Failback {
    /// It does, when its hold-down is over.
    #[default]
    Automatic,
    /// It does, while a window of the policy is open: [`crate::Input::Window`] says so.
    Windows,
    /// An operator's `restore`.
    Manual,
}

/// What becomes of a provider's other sites, also for pools that have not been hurt yet, while some of
/// its sites are down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspicion {
    /// Nothing.
    Ignore,
    /// Attempts that follow a failed one, or go beside a slow one, rather go to another provider.
    #[default]
    Avoid,
    /// That, and their capacity counts half.
    Lower,
    /// They are left.
    Evacuate,
}

/// Who takes a pool's orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderParams {
    /// One provider at a time, or wherever reads go.
    pub writer: Writer,
    /// Who moves the writer away from a dead provider.
    pub moves: Mover,
    /// Who brings the writer home.
    pub failback: Mover,
    /// The operator's word that backends refuse a writer that has been replaced.
    pub fenced: bool,
}

/// Whether orders have a single writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writer {
    /// One provider at a time takes orders and cancels.
    Single,
    /// Orders go where reads go.
    Any,
}

/// Who decides a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mover {
    /// The engine.
    Automatic,
    /// The operator alone.
    Operator,
}

/// How often reads may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryParams {
    /// Retries per request over time, 0 to 1.
    pub budget: f64,
    /// Retries per second that are always allowed, so that a quiet pool can retry at all.
    pub floor_per_second: f64,
    /// Attempts of one public read in all, the first among them. At least 1.
    pub attempts: u32,
    /// Hedges per public read over time, 0 to 1; none at 0.
    pub hedge: f64,
}

impl Default for ProbeParams {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(500),
            rise: 2,
            fall: 3,
        }
    }
}

impl Default for HealthParams {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(2),
            min_requests: 20,
            failing: 0.5,
            consecutive: 5,
            connect_failures: 2,
        }
    }
}

impl Default for FailoverParams {
    fn default() -> Self {
        Self {
            site_failing: 0.5,
            provider_failing_sites: 2,
            suspicion: Suspicion::Avoid,
            hold_down_first: Duration::from_secs(30),
            hold_down_max: Duration::from_secs(900),
            ramp: Duration::from_secs(60),
            keep_warm: 0.02,
            failback: Failback::Automatic,
        }
    }
}

impl Default for OrderParams {
    fn default() -> Self {
        Self {
            writer: Writer::Single,
            moves: Mover::Automatic,
            failback: Mover::Operator,
            fenced: false,
        }
    }
}

impl Default for RetryParams {
    fn default() -> Self {
        Self {
            budget: 0.1,
            floor_per_second: 3.0,
            attempts: 4,
            hedge: 0.05,
        }
    }
}
