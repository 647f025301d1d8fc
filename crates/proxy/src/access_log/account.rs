//! What a request notes of itself for the access log, while it is under way.
//!
//! An exchange has an account only where the policy wants a log. Without one nothing here allocates
//! or looks at the clock: a request pays for one word that says so.

use super::line::{Attempt, How, Record, Target};
use super::trace;
use crate::attempt::{Answer, Ended};
use crate::body::ClientBody;
use crate::error::{AttemptError, Step};
use crate::exchange::Exchange;
use crate::grpc;
use crate::upstream::Upstream;
use crate::whole::Whole;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use leeward_config::policy::{AccessLog, PathMatch};
use leeward_failover::retry::Sent;
use leeward_failover::{Class, EndpointId, Outcome};
use leeward_metrics::RequestOutcome;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// Bytes of a target that are shown.
const MOST_TARGET: usize = 4096;
/// Bytes of the value of a field that are shown.
const MOST_VALUE: usize = 256;
/// Bytes of the words about a failed attempt that are shown.
const MOST_DETAIL: usize = 200;

/// What happened on the way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// A second attempt was made beside a slow one.
    Hedged,
    /// It was placed elsewhere because its endpoint fell silent or was left.
    Rescued,
    /// Its time was up.
    Deadline,
    /// There was no endpoint to send it to.
    Unplaced,
    /// The client's own body ended early.
    ClientCut,
    /// The backend broke its answer off.
    BackendCut,
    /// The backend's answer stood still.
    Stalled,
    /// Its endpoint went down, or its site or provider was evacuated.
    Left,
    /// Its endpoint was drained by an operator.
    Drained,
}

impl Flag {
    pub(super) const ALL: [Flag; 9] = [
        Flag::Hedged,
        Flag::Rescued,
        Flag::Deadline,
        Flag::Unplaced,
        Flag::ClientCut,
        Flag::BackendCut,
        Flag::Stalled,
        Flag::Left,
        Flag::Drained,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Flag::Hedged => "hedged",
            Flag::Rescued => "rescued",
            Flag::Deadline => "deadline",
            Flag::Unplaced => "unplaced",
            Flag::ClientCut => "client_cut",
            Flag::BackendCut => "backend_cut",
            Flag::Stalled => "stalled",
            Flag::Left => "left",
            Flag::Drained => "drained",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Some [`Flag`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u16);

impl Flags {
    pub(super) const fn has(self, flag: Flag) -> bool {
        self.0 & flag.bit() != 0
    }
}

/// Who ended a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Backend,
    Leeward,
}

impl Side {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Backend => "backend",
            Side::Leeward => "leeward",
        }
    }
}

/// The notes of one request.
#[derive(Default)]
pub(crate) struct Account {
    method: Option<Method>,
    uri: Option<Uri>,
    version: Option<Version>,
    trace_id: Option<Box<str>>,
    /// In the order of the policy.
    fields: Vec<Option<HeaderValue>>,
    status: Cell<Option<u16>>,
    head: Cell<Option<Duration>>,
    /// The code of gRPC that the client got.
    grpc_status: Cell<Option<u32>>,
    /// Why it was refused.
    reason: Cell<Option<&'static str>>,
    flags: Cell<Flags>,
    ended_by: Cell<Option<Side>>,
    /// The client's body, which knows what has come of it.
    body: RefCell<Option<ClientBody>>,
    received: Cell<u64>,
    sent: Cell<u64>,
    attempts: RefCell<Vec<Attempt>>,
}

/// An exchange pays for one word where the log is off.
const _: () = assert!(size_of::<Option<Box<Account>>>() == size_of::<usize>());

impl Account {
    /// An account where the policy wants one.
    pub(crate) fn open(log: Option<&AccessLog>) -> Option<Box<Account>> {
        log.map(|_| Box::default())
    }

    /// Takes note of what is asked.
    pub(crate) fn describe<B>(&mut self, log: Option<&AccessLog>, request: &Request<B>) {
        let headers = request.headers();
        self.method = Some(request.method().clone());
        self.uri = Some(request.uri().clone());
        self.version = Some(request.version());
        self.trace_id = trace::trace_id(headers);
        let names = log.map_or(&[][..], |log| &log.fields);
        self.fields = names
            .iter()
            .map(|name| headers.get(name).cloned())
            .collect();
    }

    pub(crate) fn flag(&self, flag: Flag) {
        self.flags.set(Flags(self.flags.get().0 | flag.bit()));
    }

    /// A head goes to the client, this long after the request came, and the body where all of it
    /// is there.
    pub(crate) fn answered<B>(&self, head: &Response<B>, after: Duration, body: Option<&Whole>) {
        self.status.set(Some(head.status().as_u16()));
        self.carries(body.and_then(Whole::trailers).unwrap_or(head.headers()));
        self.head.set(Some(after));
        self.count_sent(body.map_or(0, |body| body.data().len()));
    }

    /// leeward answers for itself, with so many bytes.
    pub(crate) fn answers(&self, status: u16, bytes: usize) {
        self.status.set(Some(status));
        self.count_sent(bytes);
    }

    /// A head or trailers go to the client, perhaps with the code that a call ended with.
    pub(crate) fn carries(&self, fields: &HeaderMap) {
        if let Some(Ok(code)) = grpc::code(fields) {
            self.ends_call(code);
        }
    }

    /// A call ended with this code.
    pub(crate) fn ends_call(&self, code: u32) {
        self.grpc_status.set(Some(code));
    }

    /// Why it is refused.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.reason.set(Some(reason));
    }

    pub(crate) fn has_body(&self, body: &ClientBody) {
        self.body.replace(Some(body.clone()));
    }

    /// Bytes of the answer's body go to the client.
    pub(crate) fn count_sent(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }

    /// What a tunnel carried, and who ended it.
    pub(crate) fn carried(&self, received: u64, sent: u64, ended_by: Side) {
        self.received.set(received);
        self.sent.set(sent);
        self.ended_by.set(Some(ended_by));
    }

    /// An attempt at `upstream` begins; the place of its notes.
    fn begin(&self, upstream: &Upstream, began: Instant) -> usize {
        let mut attempts = self.attempts.borrow_mut();
        attempts.push(Attempt {
            endpoint: upstream.io.clone(),
            began,
            took: Duration::ZERO,
            how: How::GivenUp,
            status: None,
            sent: Sent::Maybe,
            detail: None,
        });
        attempts.len() - 1
    }

    fn with_attempt(&self, at: usize, change: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = self.attempts.borrow_mut().get_mut(at) {
            change(attempt);
        }
    }

    /// What an answered attempt came to.
    pub(crate) fn noted(&self, endpoint: EndpointId, outcome: Outcome) {
        let mut attempts = self.attempts.borrow_mut();
        let answered =
            |attempt: &&mut Attempt| attempt.endpoint.id == endpoint && attempt.status.is_some();
        if let Some(attempt) = attempts.iter_mut().rev().find(answered) {
            attempt.how = How::Outcome(outcome);
        }
    }

    /// The attempt at `endpoint` was given up because that is left.
    pub(crate) fn left(&self, endpoint: EndpointId) {
        self.flag(Flag::Left);
        let mut attempts = self.attempts.borrow_mut();
        let given_up =
            |attempt: &&mut Attempt| attempt.endpoint.id == endpoint && attempt.how == How::GivenUp;
        if let Some(attempt) = attempts.iter_mut().rev().find(given_up) {
            attempt.how = How::Step(Step::Left);
        }
    }

    /// Ends the account: a record goes to the log, unless the request is a good one that is not
    /// drawn.
    pub(crate) fn close(
        self: Box<Self>,
        exchange: &Exchange,
        outcome: RequestOutcome,
        now: Instant,
    ) {
        let serving = &exchange.held.serving;
        let Some(log) = &serving.policy.access_log else {
            return;
        };
        let worker = &exchange.worker;
        if self.is_good(outcome)
            && log.sample < 1.0
            && worker.draw(|rng| rng.fraction()) >= log.sample
        {
            return;
        }
        let record = Box::new(self.record(log, exchange, outcome, now));
        if let Err(reason) = worker.shared.access_log.take(record) {
            worker.cells.inc(serving.log_slots.dropped(reason));
        }
    }

    /// Whether its first attempt was answered, and all of that reached the client.
    fn is_good(&self, outcome: RequestOutcome) -> bool {
        let good = matches!(
            outcome,
            RequestOutcome::Success | RequestOutcome::Informational | RequestOutcome::ClientError
        );
        good && self.flags.get() == Flags::default() && self.attempts.borrow().len() == 1
    }

    fn record(
        mut self: Box<Self>,
        log: &AccessLog,
        exchange: &Exchange,
        outcome: RequestOutcome,
        now: Instant,
    ) -> Record {
        let took = now.saturating_duration_since(exchange.started);
        let version = self.version.map(|version| match version {
            _ if exchange.conn.watch.is_none() => "2",
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        });
        let values = self.fields.drain(..);
        let fields = values.map(|value| value.map(|value| short(value.as_bytes(), MOST_VALUE)));
        let fields = fields.collect();
        let (body, flags) = (self.body.take(), self.flags.get());
        let received = body.map_or(0, |body| body.received());
        Record {
            serving: exchange.held.serving.clone(),
            listener: exchange.conn.listener,
            route: exchange.route,
            started: exchange.started,
            took,
            head: self.head.get(),
            target: self.uri.as_ref().map(|uri| shown(uri, log, exchange)),
            method: self.method,
            version,
            client: exchange.client,
            peer: exchange.conn.peer,
            tls: exchange.conn.tls,
            status: self.status.get(),
            grpc_status: self.grpc_status.get(),
            outcome,
            reason: self.reason.get(),
            flags,
            ended_by: self
                .ended_by
                .get()
                .unwrap_or_else(|| ended_by(outcome, flags)),
            received: received + self.received.get(),
            sent: self.sent.get(),
            attempts: self.attempts.take(),
            trace_id: self.trace_id,
            fields,
        }
    }
}

/// Who ended a request that was no tunnel.
fn ended_by(outcome: RequestOutcome, flags: Flags) -> Side {
    match outcome {
        RequestOutcome::ClientGone => Side::Client,
        _ if flags.has(Flag::ClientCut) => Side::Client,
        RequestOutcome::Refused | RequestOutcome::Shed | RequestOutcome::NotSent => Side::Leeward,
        RequestOutcome::Unknown | RequestOutcome::Unavailable
            if flags.has(Flag::Deadline) || flags.has(Flag::Unplaced) =>
        {
            Side::Leeward
        }
        RequestOutcome::Truncated if !flags.has(Flag::BackendCut) => Side::Leeward,
        _ => Side::Backend,
    }
}

/// As much of a target as may be shown. Queries hold keys and signatures, the paths of streams hold
/// keys behind the prefix that their route matches.
fn shown(uri: &Uri, log: &AccessLog, exchange: &Exchange) -> Target {
    let policy = &exchange.held.serving.policy;
    let route = exchange.route.and_then(|route| policy.routes.get(route));
    let class = route.map(|route| route.class);
    let mut text = uri.to_string();
    let whole = text.len();
    if class != Some(Class::PublicRead) || !log.query {
        text.truncate(text.find('?').unwrap_or(whole));
    }
    if let (Some(Class::Stream), Some(route)) = (class, route) {
        let before_path = text.len().saturating_sub(uri.path().len());
        let keep = match &route.matches.path {
            PathMatch::Exact(_) => text.len(),
            PathMatch::Prefix(prefix) => before_path + prefix.len(),
            PathMatch::Any => before_path,
        };
        text.truncate(text.floor_char_boundary(keep));
    }
    text.truncate(text.floor_char_boundary(MOST_TARGET));
    Target {
        cut: text.len() < whole,
        text,
    }
}

/// The beginning of a text from outside.
fn short(bytes: &[u8], most: usize) -> Box<str> {
    let shown = &bytes[..bytes.len().min(most)];
    String::from_utf8_lossy(shown).into()
}

/// An attempt whose end will be noted, at the latest when this is dropped.
pub(crate) struct Tracked<'a>(Option<(&'a Account, usize)>);

impl<'a> Tracked<'a> {
    pub(crate) fn begin(account: Option<&'a Account>, upstream: &Upstream, began: Instant) -> Self {
        Self(account.map(|account| (account, account.begin(upstream, began))))
    }

    /// Takes note of its end.
    pub(crate) fn ends(mut self, ended: &Result<Box<Answer>, Ended>) {
        let Some((account, at)) = self.0.take() else {
            return;
        };
        account.with_attempt(at, |attempt| match ended {
            Ok(answer) => {
                let status = answer.response.status();
                attempt.took = answer.head.latency;
                attempt.status = Some(status.as_u16());
                attempt.how = How::Outcome(answer.says());
            }
            Err(Ended::Failed(error) | Ended::Left(error, _)) => fails(attempt, error),
        });
    }
}

fn fails(attempt: &mut Attempt, error: &AttemptError) {
    attempt.took = attempt.began.elapsed();
    attempt.how = How::Step(error.step);
    attempt.sent = error.sent;
    attempt.detail = Some(short(error.detail.as_bytes(), MOST_DETAIL));
}

impl Drop for Tracked<'_> {
    /// Nobody waits for it any more.
    fn drop(&mut self) {
        if let Some((account, at)) = self.0.take() {
            account.with_attempt(at, |attempt| attempt.took = attempt.began.elapsed());
        }
    }
}
