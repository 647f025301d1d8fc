//! A record of one request, and the line of JSON that it becomes.
//!
//! A record is made by the worker and names what it can by position; the words are looked up by the
//! thread that writes. docs/operating.md explains the keys.

use super::account::{Flag, Flags, Side};
use crate::error::Step;
use crate::serving::Serving;
use crate::snapshot::EndpointIo;
use http::Method;
use leeward_failover::Outcome;
use leeward_failover::retry::Sent;
use leeward_metrics::RequestOutcome;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Everything that a line says.
pub(super) struct Record {
    pub(super) serving: Arc<Serving>,
    pub(super) listener: usize,
    pub(super) route: Option<usize>,
    pub(super) started: Instant,
    pub(super) took: Duration,
    pub(super) head: Option<Duration>,
    pub(super) method: Option<Method>,
    pub(super) target: Option<Target>,
    pub(super) version: Option<&'static str>,
    pub(super) client: IpAddr,
    pub(super) peer: SocketAddr,
    pub(super) tls: bool,
    pub(super) status: Option<u16>,
    pub(super) grpc_status: Option<u32>,
    pub(super) outcome: RequestOutcome,
    pub(super) reason: Option<&'static str>,
    pub(super) flags: Flags,
    pub(super) ended_by: Side,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) attempts: Vec<Attempt>,
    pub(super) trace_id: Option<Box<str>>,
    /// Values of the fields that the policy names, in its order.
    pub(super) fields: Vec<Option<Box<str>>>,
}

/// As much of a target as is shown.
pub(super) struct Target {
    pub(super) text: String,
    /// There was more.
    pub(super) cut: bool,
}

/// One attempt.
pub(super) struct Attempt {
    pub(super) endpoint: Arc<EndpointIo>,
    pub(super) began: Instant,
    /// To the head of its answer, or to its end without one.
    pub(super) took: Duration,
    pub(super) how: How,
    /// Of its answer.
    pub(super) status: Option<u16>,
    pub(super) sent: Sent,
    /// What is known of a failure.
    pub(super) detail: Option<Box<str>>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It was answered, and that says this of its endpoint.
    Outcome(Outcome),
    /// It had no answer, and failed at this step.
    Step(Step),
    /// Nobody waited for it any more: another attempt was answered first, or the client is gone.
    GivenUp,
}

impl How {
    const fn as_str(self) -> &'static str {
        match self {
            How::Outcome(outcome) => outcome.as_str(),
            How::GivenUp => "given_up",
            How::Step(step) => match step {
                Step::Connect => "connect",
                Step::Tls => "tls",
                Step::Short(_) => "short",
                Step::Stale => "stale",
                Step::BrokenReuse => "broken_reuse",
                Step::Reset => "reset",
                Step::Refused => "refused",
                Step::Protocol => "protocol",
                Step::Deadline => "deadline",
                Step::Hurried => "hurried",
                Step::Cut => "cut",
                Step::Left => "left",
                Step::ClientBody => "client_body",
            },
        }
    }
}

impl Record {
    /// Writes it behind `lines`, with its end.
    pub(super) fn write(&self, lines: &mut Vec<u8>) {
        let before = lines.len();
        // Writing to memory does not fail, and all keys are texts.
        if serde_json::to_writer(&mut *lines, self).is_err() {
            lines.truncate(before);
            return;
        }
        lines.push(b'\n');
    }

    fn pool(&self) -> Option<&str> {
        let policy = &self.serving.policy;
        let pool = policy.routes.get(self.route?)?.pool;
        policy
            .engine
            .pools
            .get(pool.index())
            .map(|pool| pool.name.as_str())
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let policy = &self.serving.policy;
        let time = SystemTime::now().checked_sub(self.started.elapsed());
        let time = time.unwrap_or(SystemTime::UNIX_EPOCH);
        let listener = self.serving.listeners.get(self.listener);
        let route = self.route.and_then(|route| policy.routes.get(route));
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("time", &humantime::format_rfc3339_micros(time).to_string())?;
        line.serialize_entry("listener", &listener.map(|listener| listener.name.as_str()))?;
        line.serialize_entry("route", &route.map(|route| route.name.as_str()))?;
        line.serialize_entry("class", &route.map(|route| route.class.as_str()))?;
        line.serialize_entry("pool", &self.pool())?;
        line.serialize_entry("method", &self.method.as_ref().map(Method::as_str))?;
        let target = self.target.as_ref();
        line.serialize_entry("target", &target.map(|target| target.text.as_str()))?;
        line.serialize_entry("target_cut", &target.is_some_and(|target| target.cut))?;
        line.serialize_entry("http", &self.version)?;
        line.serialize_entry("client", &self.client)?;
        line.serialize_entry("peer", &self.peer)?;
        line.serialize_entry("tls", &self.tls)?;
        line.serialize_entry("status", &self.status)?;
        if let Some(code) = self.grpc_status {
            line.serialize_entry("grpc_status", &code)?;
        }
        line.serialize_entry("outcome", self.outcome.as_str())?;
        line.serialize_entry("ended_by", self.ended_by.as_str())?;
        line.serialize_entry("reason", &self.reason)?;
        line.serialize_entry("flags", &Words(self.flags))?;
        line.serialize_entry("bytes_in", &self.received)?;
        line.serialize_entry("bytes_out", &self.sent)?;
        line.serialize_entry("took_ms", &millis(self.took))?;
        line.serialize_entry("head_ms", &self.head.map(millis))?;
        line.serialize_entry("attempts", &Attempts(self))?;
        line.serialize_entry("trace_id", &self.trace_id)?;
        if let Some(log) = policy
            .access_log
            .as_ref()
            .filter(|log| !log.fields.is_empty())
        {
            let named = log.fields.iter().zip(&self.fields);
            let there = named.filter_map(|(name, value)| Some((name.as_str(), value.as_ref()?)));
            line.serialize_entry(
                "fields",
                &there.collect::<std::collections::BTreeMap<_, _>>(),
            )?;
        }
        line.end()
    }
}

struct Words(Flags);

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let set = Flag::ALL.into_iter().filter(|flag| self.0.has(*flag));
        serializer.collect_seq(set.map(Flag::as_str))
    }
}

struct Attempts<'a>(&'a Record);

impl Serialize for Attempts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.attempts.len()))?;
        for attempt in &self.0.attempts {
            let labels = &attempt.endpoint.labels;
            let began = attempt.began.saturating_duration_since(self.0.started);
            list.serialize_element(&Said {
                address: &labels.address,
                backend: &labels.backend,
                provider: &labels.provider,
                site: &labels.site,
                began_ms: millis(began),
                took_ms: millis(attempt.took),
                ended: attempt.how.as_str(),
                status: attempt.status,
                sent: match attempt.sent {
                    Sent::Nothing => "nothing",
                    Sent::Maybe => "maybe",
                },
                detail: attempt.detail.as_deref(),
            })?;
        }
        list.end()
    }
}

/// What a line says of an attempt.
#[derive(Serialize)]
struct Said<'a> {
    address: &'a str,
    backend: &'a str,
    provider: &'a str,
    site: &'a str,
    began_ms: f64,
    took_ms: f64,
    ended: &'static str,
    status: Option<u16>,
    sent: &'static str,
    detail: Option<&'a str>,
}

/// Milliseconds, to the microsecond.
fn millis(span: Duration) -> f64 {
    span.as_micros() as f64 / 1000.0
}
