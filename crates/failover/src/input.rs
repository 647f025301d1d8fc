//! What the engine is told. Everything here is data: a recorded run is a list of these with times.

use crate::id::{BackendId, EndpointId, PoolId, ProviderId, SiteId};
use crate::memory::Memory;
use crate::order_tally::OrderTally;
use crate::policy::Policy;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// One thing that the engine is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A policy takes the place of the one before. Health survives by identity: pool, site, URL
    /// and address.
    Policy(Box<Policy>),
    /// What a backend's name resolves to now. Nothing at all changes nothing (P6).
    Addresses {
        /// The backend that was resolved.
        backend: BackendId,
        /// All its addresses.
        addresses: Vec<SocketAddr>,
        /// Addresses that it had and that are kept for a while: they serve where none of its
        /// others does.
        #[serde(default)]
        retained: Vec<SocketAddr>,
        /// The time is over for which the last ones are kept though nothing is heard: two empty
        /// lists count, unless they would empty the pool (P4).
        #[serde(default)]
        expired: bool,
    },
    /// A probe ended.
    Probe {
        /// The endpoint that was probed.
        endpoint: EndpointId,
        /// How it ended.
        result: ProbeResult,
    },
    /// What requests met at an endpoint since the last batch.
    Traffic {
        /// The endpoint that was tried.
        endpoint: EndpointId,
        /// How often each thing happened.
        tally: Tally,
    },
    /// Requests wait for an answer of an endpoint that has said nothing since they were sent. To be
    /// told again and again while it lasts.
    Silence {
        /// The endpoint that says nothing.
        endpoint: EndpointId,
        /// What is waited for.
        overdue: Overdue,
    },
    /// Orders and cancels wait for an endpoint that has answered none since they were sent, though it
    /// may answer reads. To be told again and again while it lasts.
    OrdersWait {
        /// The endpoint that answers no order.
        endpoint: EndpointId,
        /// What is waited for.
        overdue: Overdue,
    },
    /// An operator's word.
    Operator {
        /// What it is about.
        target: Target,
        /// The word.
        word: OperatorWord,
        /// When it lapses; never when absent.
        lasts: Option<Duration>,
        /// Why, for the journal.
        reason: String,
    },
    /// An operator's word about several places at once, none before the other.
    Words {
        /// What it is about.
        targets: Vec<Target>,
        /// The word.
        word: OperatorWord,
        /// When it lapses; never when absent.
        lasts: Option<Duration>,
        /// Why, for the journal.
        reason: String,
        /// Whether it was said against what [`crate::Engine::consider`] had to object: the journal
        /// says so.
        #[serde(default)]
        forced: bool,
    },
    /// A window of the policy, in which places of a pool may come home, has opened or closed. The
    /// engine has no wall clock: whoever has one says it, again after each policy.
    Window {
        /// The pool.
        pool: PoolId,
        /// Whether it is open now.
        open: bool,
    },
    /// What an engine knew that ran before this one. To be told right after the first policy;
    /// ignored once anything else was learned, or where it is of a newer version.
    Memory {
        /// What [`crate::Engine::memory`] gave.
        memory: Box<Memory>,
        /// How long ago that was, by the wall clock; zero where nobody can tell.
        away: Duration,
    },
    /// Probes, traffic and silences that came together: each is taken in, and what follows is decided
    /// once. Anything else among them is ignored.
    Together(Vec<Input>),
    /// The deadline has come.
    Wake,
}

/// How a probe ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeResult {
    /// All that was expected held.
    Passed {
        /// From connect to the last byte looked at.
        took: Duration,
    },
    /// Something did not hold.
    Failed {
        /// At which step.
        cause: ProbeFailure,
        /// In words, with the value seen: `status 503, expected 200`.
        detail: String,
    },
    /// It could not be made, since the prober itself had run out of something. It says nothing of the
    /// endpoint.
    Unmade,
}

/// The step at which a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeFailure {
    /// The connection was refused or reset while it was made.
    Refused,
    /// No connection within the timeout, or none could be routed.
    ConnectTimeout,
    /// The TLS handshake failed, a wrong or expired certificate among it.
    Tls,
    /// Connected, but no whole answer within the timeout.
    Timeout,
    /// The connection broke before a whole answer.
    Reset,
    /// An answer that is not HTTP, or larger than the probe reads.
    Protocol,
    /// Another status than expected.
    Status,
    /// A header or the body is not as expected.
    Content,
}

impl ProbeFailure {
    /// Every cause.
    pub const ALL: [ProbeFailure; 8] = [
        ProbeFailure::Refused,
        ProbeFailure::ConnectTimeout,
        ProbeFailure::Tls,
        ProbeFailure::Timeout,
        ProbeFailure::Reset,
        ProbeFailure::Protocol,
        ProbeFailure::Status,
        ProbeFailure::Content,
    ];

    /// The word in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            ProbeFailure::Refused => "refused",
            ProbeFailure::ConnectTimeout => "connect_timeout",
            ProbeFailure::Tls => "tls",
            ProbeFailure::Timeout => "timeout",
            ProbeFailure::Reset => "reset",
            ProbeFailure::Protocol => "protocol",
            ProbeFailure::Status => "status",
            ProbeFailure::Content => "content",
        }
    }
}

/// Requests that wait longer than their like usually do, at an endpoint that has answered nothing
/// since the oldest of them was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overdue {
    /// How many they are.
    pub requests: u32,
    /// For how long the oldest of them has waited.
    pub oldest: Duration,
    /// On how many of their connections the kernel knows that what was sent does not arrive.
    pub dead_paths: u32,
    /// How many of them are orders and cancels: where those are all, reads may be fine.
    #[serde(default)]
    pub orders: u32,
}

/// What one attempt at an endpoint came to, as far as its health is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A whole answer below 500, any 4xx among it (P11).
    Success,
    /// A whole answer of 500 or another 5xx that is not a gateway error.
    ServerError,
    /// 502, 503 or 504.
    GatewayError,
    /// No connection: refused, unreachable, or none in time.
    ConnectFailed,
    /// The TLS handshake failed.
    TlsFailed,
    /// The connection broke, or broke HTTP, before an answer.
    Reset,
    /// An answer that ended before its end.
    Truncated,
    /// No answer before the deadline.
    Timeout,
    /// A reused connection that the backend had closed at the moment of reuse: nobody's failure.
    StaleConnection,
    /// 503 with Retry-After: the backend is full. Not sickness while it also answers with success.
    Backpressure,
}

impl Outcome {
    /// Every outcome, in the order of [`Tally`]'s counts.
    pub const ALL: [Outcome; 10] = [
        Outcome::Success,
        Outcome::ServerError,
        Outcome::GatewayError,
        Outcome::ConnectFailed,
        Outcome::TlsFailed,
        Outcome::Reset,
        Outcome::Truncated,
        Outcome::Timeout,
        Outcome::StaleConnection,
        Outcome::Backpressure,
    ];

    /// The word in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::ServerError => "server_error",
            Outcome::GatewayError => "gateway_error",
            Outcome::ConnectFailed => "connect_failed",
            Outcome::TlsFailed => "tls_failed",
            Outcome::Reset => "reset",
            Outcome::Truncated => "truncated",
            Outcome::Timeout => "timeout",
            Outcome::StaleConnection => "stale_connection",
            Outcome::Backpressure => "backpressure",
        }
    }

    /// Whether it speaks against the endpoint.
    pub const fn is_failure(self) -> bool {
        !matches!(
            self,
            Outcome::Success | Outcome::StaleConnection | Outcome::Backpressure
        )
    }

    /// Whether the endpoint gave an answer, good or bad.
    pub const fn is_answer(self) -> bool {
        matches!(
            self,
            Outcome::Success
                | Outcome::ServerError
                | Outcome::GatewayError
                | Outcome::Truncated
                | Outcome::Backpressure
        )
    }

    /// Whether no connection came about.
    pub const fn is_connect_failure(self) -> bool {
        matches!(self, Outcome::ConnectFailed | Outcome::TlsFailed)
    }
}

/// Outcomes of attempts at one endpoint, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How often each [`Outcome`] happened, by its position in [`Outcome::ALL`].
    pub counts: [u32; Outcome::ALL.len()],
    /// Failures since the last success, at the end of the batch; all of them when it had none.
    pub trailing_failures: u32,
    /// Time to the response head, summed over the successes, in microseconds.
    pub latency_micros: u64,
    /// Answers among them that came later than their like usually do.
    #[serde(default)]
    pub late: u32,
    /// Those of them that were orders and cancels.
    #[serde(default, skip_serializing_if = "OrderTally::is_empty")]
    pub orders: OrderTally,
    /// Requests for which no site had room. They were sent nowhere and say nothing of this endpoint,
    /// which was the first that was full for them; they are part of what its pool is asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shed: u32,
}

impl Tally {
    /// Counts one attempt.
    pub fn add(&mut self, outcome: Outcome, latency: Duration) {
        let count = &mut self.counts[outcome as usize];
        *count = count.saturating_add(1);
        if outcome == Outcome::Success {
            self.trailing_failures = 0;
            let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            self.latency_micros = self.latency_micros.saturating_add(micros);
        } else if outcome.is_failure() {
            self.trailing_failures = self.trailing_failures.saturating_add(1);
        }
    }

    /// Counts the answer that was counted last as one that came late.
    pub fn add_late(&mut self) {
        self.late = self.late.saturating_add(1);
    }

    /// How many answers there were, good or bad.
    pub fn answers(&self) -> u32 {
        let answers = Outcome::ALL.iter().filter(|outcome| outcome.is_answer());
        answers.fold(0, |sum, outcome| sum.saturating_add(self.count(*outcome)))
    }

    /// How often `outcome` happened.
    pub const fn count(&self, outcome: Outcome) -> u32 {
        self.counts[outcome as usize]
    }

    /// How often anything that speaks against the endpoint happened.
    pub fn failures(&self) -> u32 {
        let failures = Outcome::ALL.iter().filter(|outcome| outcome.is_failure());
        failures.fold(0, |sum, outcome| sum.saturating_add(self.count(*outcome)))
    }

    /// Counts a request that was shed.
    pub fn add_shed(&mut self) {
        self.shed = self.shed.saturating_add(1);
    }

    /// How many requests wanted an answer of the pool: those that got one, and those that were shed.
    pub fn asked(&self) -> u32 {
        self.answers().saturating_add(self.shed)
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.shed == 0 && self.counts.iter().all(|n| *n == 0)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What an operator's word is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A whole provider.
    Provider(ProviderId),
    /// One site.
    Site(SiteId),
    /// One endpoint.
    Endpoint(EndpointId),
}

/// An operator's word about a place.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum OperatorWord {
    /// The engine decides.
    #[default]
    Active,
    /// No new work, what runs may end.
    Draining,
    /// Everything leaves now.
    Evacuated,
}

impl OperatorWord {
    /// Every word.
    pub const ALL: [OperatorWord; 3] = [
        OperatorWord::Active,
        OperatorWord::Draining,
        OperatorWord::Evacuated,
    ];

    /// The word in the status and the logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            OperatorWord::Active => "active",
            OperatorWord::Draining => "draining",
            OperatorWord::Evacuated => "evacuated",
        }
    }
}
