//! What can go wrong, as types that answer questions instead of strings to be searched.
//!
//! An [`AttemptError`] says which step failed and whether the backend may have received anything.
//! It is judged in `classify`, nowhere else.

use leeward_failover::Outcome;
use leeward_failover::retry::Sent;
use leeward_metrics::Shortage;
use std::fmt;

/// leeward cannot start, or cannot serve a policy: one sentence for the operator.
#[derive(Debug)]
pub struct StartError {
    text: String,
    policy: bool,
}

impl StartError {
    /// Something around leeward failed: trying again may help.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            policy: false,
        }
    }

    /// The policy, or a file that it names, cannot be served: trying again will not help.
    pub(crate) fn policy(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            policy: true,
        }
    }

    /// Whether the policy is at fault.
    pub fn is_policy(&self) -> bool {
        self.policy
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StartError {}

/// One attempt at one endpoint that brought no answer.
#[derive(Debug)]
pub(crate) struct AttemptError {
    /// At which step.
    pub(crate) step: Step,
    /// Whether the backend may have received any of the request.
    pub(crate) sent: Sent,
    /// The underlying words, for the log.
    pub(crate) detail: String,
}

/// The step at which an attempt ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// No connection: refused, unreachable, or none in time.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// No connection, since leeward itself had run out of something: nobody else's failure.
    Short(Shortage),
    /// A reused connection that the backend had closed by then: nobody's failure.
    Stale,
    /// A reused connection that broke although the backend had had time to look at the request.
    BrokenReuse,
    /// The connection broke before an answer.
    Reset,
    /// The backend refused to look at it: it has no room now (HTTP/2).
    Refused,
    /// The answer was not HTTP.
    Protocol,
    /// No answer before the deadline.
    Deadline,
    /// No answer in the time that the client gave it, which was less than the policy does and less than
    /// answers take that are late: nobody's failure, or clients in a hurry would take backends down.
    Hurried,
    /// The body of the answer broke off while it was held.
    Cut,
    /// It was given up because its endpoint was left meanwhile.
    Left,
    /// The client's own body ended badly; the backend did nothing wrong.
    ClientBody,
}

impl AttemptError {
    /// What it says about the endpoint's health; `None` when it says nothing.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self.step {
            Step::Connect => Some(Outcome::ConnectFailed),
            Step::Tls => Some(Outcome::TlsFailed),
            Step::Stale => Some(Outcome::StaleConnection),
            Step::Refused => Some(Outcome::GatewayError),
            Step::Reset | Step::BrokenReuse | Step::Protocol => Some(Outcome::Reset),
            Step::Deadline => Some(Outcome::Timeout),
            Step::Cut => Some(Outcome::Truncated),
            // The engine knows already, or would not have left it.
            Step::Left | Step::ClientBody | Step::Short(_) | Step::Hurried => None,
        }
    }
}
