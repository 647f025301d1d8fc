//! One try at one endpoint: a connection, the request, the head of an answer.
//!
//! Says what happened and whether the backend may have received anything; whether to try elsewhere
//! is decided by the caller. A try that is given up ends its connection by reset before it is
//! judged, so that what was not sent by then never will be.

use crate::admit::Permit;
use crate::body::{ClientBody, Continue, Gate};
use crate::classify;
use crate::error::{AttemptError, Step};
use crate::exchange::Head;
use crate::framing::Names;
use crate::headers::framing_is_ambiguous;
use crate::lease::{AnswerBody, Answering, Broken, Lease};
use crate::upstream::{Freshness, Upstream};
use crate::upstream_h1::Upgraded;
use crate::upstream_h2::StreamEnd;
use crate::upstream_io::Wire;
use crate::waiting::Wait;
use crate::whole::{self, Whole};
use crate::worker::Worker;
use http::header::EXPECT;
use http::{Request, Response, StatusCode};
use leeward_config::policy::Protocol;
use leeward_failover::Class;
use leeward_failover::retry::Sent;
use leeward_failover::select::Reach;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// What a try needs to know of its request.
pub(crate) struct Plan<'a> {
    /// When it begins.
    pub(crate) started: std::time::Instant,
    pub(crate) head: http::request::Parts,
    /// How the names of its fields were written.
    pub(crate) names: Option<Rc<Names>>,
    pub(crate) body: &'a ClientBody,
    pub(crate) need: Freshness,
    /// What it travels by.
    pub(crate) protocol: Protocol,
    /// How much harm a second execution does.
    pub(crate) class: Class,
    pub(crate) upgrade: bool,
    /// When the request as a whole has to be answered.
    pub(crate) deadline: Option<Instant>,
    /// That is sooner than the policy says, because its client waits no longer.
    pub(crate) hurried: bool,
    /// From when on the try may be left for another.
    pub(crate) patience: Option<Instant>,
    /// Until then the try needs no timer of its own: whoever waits for it asks again at that time.
    pub(crate) asked_again: Option<Instant>,
    /// How long answers take at most that are not overdue; `None` while nobody knows.
    pub(crate) usual: Option<Duration>,
    /// An answer of up to so many bytes is held until it is whole.
    pub(crate) hold: Option<whole::Hold>,
}

impl Plan<'_> {
    /// Whether its client's time was up when it came: nobody waits for an answer.
    fn is_up(&self) -> bool {
        let up = |until: Instant| self.started >= until.into_std();
        self.hurried && self.deadline.is_some_and(up)
    }

    /// Whether it must not happen twice.
    fn is_order(&self) -> bool {
        self.class == Class::Order
    }
}

/// The head of an answer, and the connection that its body comes over.
pub(crate) struct Answer {
    pub(crate) response: Response<AnswerBody>,
    /// How the names of its fields were written.
    pub(crate) names: Option<Rc<Names>>,
    pub(crate) lease: Lease,
    pub(crate) upgraded: Option<oneshot::Receiver<Upgraded>>,
    /// When the head came.
    pub(crate) head: Head,
    /// The body, where it was held until it was whole.
    pub(crate) whole: Option<Whole>,
    /// The status that it is judged by.
    pub(crate) means: StatusCode,
    /// It shows an error though its status says success.
    pub(crate) disguised: bool,
    /// Its room at the site, to the end of the answer.
    pub(crate) permit: Option<Permit>,
}

/// A try that was left because another may be made.
pub(crate) enum Ended {
    Failed(AttemptError),
    /// No answer yet; the next one has to be this far away.
    Left(AttemptError, Reach),
}

/// Why nothing was sent.
const UP: &str = "the time was up before there was anything to send";

/// How often a try that is past its patience asks again whether it may be left.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Makes one try. `may_leave` is asked once the patience is over, and now and then after that. Until
/// there is a connection, nothing is sent, and `elsewhere` ends the try.
pub(crate) async fn attempt(
    worker: &Worker,
    upstream: &Rc<Upstream>,
    plan: Plan<'_>,
    elsewhere: impl Future<Output = ()>,
    may_leave: &mut dyn FnMut() -> Option<Reach>,
) -> Result<Box<Answer>, Ended> {
    let started = plan.started;
    if plan.is_up() {
        return Err(failed(Step::Hurried, Sent::Nothing, UP.into()));
    }
    let waits = Wait::begin(worker, upstream, started, plan.usual, plan.class);
    let (mut lease, at) = match upstream.lend_at_once(plan.need, plan.protocol, started) {
        Some(lease) => (lease, started),
        // Apart: a future that connects is large, and few requests need one.
        None => {
            let lease = Box::pin(lend(upstream, &plan, elsewhere)).await?;
            (lease, std::time::Instant::now())
        }
    };
    let Some(wire) = lease.wire().cloned() else {
        return Err(not_connected(Step::Connect));
    };
    waits.sends(&wire, lease.is_exclusive());
    let mark = Mark::of(&wire, at);
    let upgraded = plan.upgrade.then(|| lease.on_upgrade());
    let limits = Limits::of(&plan, at);
    let (order, usual, hold, body) = (plan.is_order(), plan.usual, plan.hold, plan.body);
    let names = plan.names.clone();
    let Some(mut answer) = lease.send(request(plan), names) else {
        return Err(not_connected(Step::Connect));
    };
    let waited = wait(worker, &mut answer, limits, may_leave).await;
    drop(waits);
    let now = std::time::Instant::now();
    let latency = now.saturating_duration_since(started);
    if matches!(waited, Waited::Answered(Ok(_))) && upstream.waiting.answered(now, order) {
        // The engine believes it to be silent.
        worker.tallies.hurry();
    }
    match waited {
        Waited::Answered(Ok(response)) if framing_is_ambiguous(response.headers()) => {
            lease.give_up();
            let detail = "the answer's framing says two things at once".into();
            Err(failed(Step::Protocol, Sent::Maybe, detail))
        }
        Waited::Answered(Ok(mut response)) => {
            let late = usual.is_some_and(|usual| latency > usual);
            let (head, names) = (Head { latency, late }, lease.names());
            let whole = hold_back(hold, &mut response, &mut lease, limits.deadline).await?;
            let answer = answered((response, names), lease, upgraded, head, whole);
            Ok(Box::new(answer))
        }
        Waited::Answered(Err(error)) => Err(broken(&mut lease, &error, body, &wire, &mark)),
        Waited::TooLate => {
            let step = late(limits.hurried, usual, latency);
            let error = given_up(&mut lease, order, &wire, &mark, step);
            Err(Ended::Failed(error))
        }
        Waited::Leave(reach) => {
            let error = given_up(&mut lease, order, &wire, &mark, Step::Deadline);
            Err(Ended::Left(error, reach))
        }
    }
}

/// The head of an answer, with all that belongs to it.
fn answered(
    (response, names): (Response<AnswerBody>, Option<Rc<Names>>),
    lease: Lease,
    upgraded: Option<oneshot::Receiver<Upgraded>>,
    head: Head,
    whole: Option<Whole>,
) -> Answer {
    let trailers = whole.as_ref().and_then(Whole::trailers);
    Answer {
        means: classify::means(&response, trailers),
        names,
        response,
        lease,
        upgraded,
        head,
        whole,
        disguised: false,
        permit: None,
    }
}

/// Where a connection's counts stood before the request.
struct Mark {
    written: u64,
    read: u64,
    at: std::time::Instant,
}

/// Beside two round trips, the time in which the end of a reused connection is taken for one that
/// had been on its way already.
const AT_ONCE: Duration = Duration::from_millis(5);

impl Mark {
    fn of(wire: &Wire, at: std::time::Instant) -> Self {
        Self {
            written: wire.written(),
            read: wire.read(),
            at,
        }
    }

    /// The proof of P1, by leeward's own count. To be asked after the connection was given up.
    fn sent(&self, wire: &Wire) -> Sent {
        if wire.written() == self.written {
            Sent::Nothing
        } else {
            Sent::Maybe
        }
    }

    /// What a reused connection that died without a byte of an answer died of: it had been closed
    /// before the request came, as far as the kernel can tell, or the backend had the request and
    /// broke off. To be asked before the connection is given up.
    fn gone(&self, wire: &Wire) -> Option<Step> {
        if wire.read() != self.read {
            return None;
        }
        let Some(path) = wire.path() else {
            return Some(Step::Stale);
        };
        // The SYN is acknowledged like a byte.
        let unheard = path.acknowledged <= self.written + 1;
        // A backend that closes an idle connection may have the request in its kernel by then.
        let at_once = self.at.elapsed() < path.rtt * 2 + AT_ONCE;
        Some(if unheard || at_once {
            Step::Stale
        } else {
            Step::BrokenReuse
        })
    }
}

fn request(plan: Plan<'_>) -> Request<crate::body::RequestBody> {
    let expects = plan.head.headers.contains_key(EXPECT);
    if !expects {
        return Request::from_parts(plan.head, plan.body.attempt(None));
    }
    // The client holds its body back until somebody says 100: that is the backend's to say.
    let signal = Continue::default();
    let body = plan.body.attempt(Some(Gate::new(signal.clone())));
    let mut request = Request::from_parts(plan.head, body);
    request.extensions_mut().insert(signal.clone());
    hyper::ext::on_informational(&mut request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            signal.open();
        }
    });
    request
}

enum Waited {
    Answered(Result<Response<AnswerBody>, Broken>),
    TooLate,
    Leave(Reach),
}

/// How long a try waits for its answer; each as in [`Plan`].
#[derive(Clone, Copy)]
struct Limits {
    deadline: Option<Instant>,
    hurried: bool,
    patience: Option<Instant>,
    asked_again: Option<Instant>,
}

impl Limits {
    /// For a request that is sent at this time.
    fn of(plan: &Plan<'_>, at: std::time::Instant) -> Self {
        Self {
            deadline: plan.deadline,
            hurried: plan.hurried,
            patience: plan.patience,
            // Whoever asked while the connection came about may not ask again.
            asked_again: plan.asked_again.filter(|until| at < until.into_std()),
        }
    }
}

async fn wait(
    worker: &Worker,
    answer: &mut Answering,
    limits: Limits,
    may_leave: &mut dyn FnMut() -> Option<Reach>,
) -> Waited {
    let Limits {
        deadline, patience, ..
    } = limits;
    if let Some(answered) = unless_asked_again(limits, answer).await {
        return Waited::Answered(answered);
    }
    let mut ask = patience;
    loop {
        let until = match (ask, deadline) {
            (Some(ask), Some(deadline)) => Some(ask.min(deadline)),
            (ask, deadline) => ask.or(deadline),
        };
        let answered = match until {
            Some(until) => worker.alarms.within(until, &mut *answer).await,
            None => Some((&mut *answer).await),
        };
        if let Some(answered) = answered {
            return Waited::Answered(answered);
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Waited::TooLate;
        }
        if let Some(reach) = may_leave() {
            return Waited::Leave(reach);
        }
        ask = Some(now + ASK_AGAIN);
    }
}

/// The answer, if it comes before the try has to look at the clock itself.
async fn unless_asked_again(
    limits: Limits,
    answer: &mut Answering,
) -> Option<Result<Response<AnswerBody>, Broken>> {
    let first = [limits.deadline, limits.patience]
        .into_iter()
        .flatten()
        .min();
    let until = limits.asked_again?;
    if first.is_some_and(|first| first < until) {
        return None;
    }
    let mut begun = false;
    poll_fn(|cx| match Pin::new(&mut *answer).poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if std::mem::replace(&mut begun, true) && Instant::now() >= until => {
            Poll::Ready(None)
        }
        Poll::Pending => Poll::Pending,
    })
    .await
}

async fn within<F: Future>(until: Option<Instant>, future: F) -> Option<F::Output> {
    match until {
        Some(until) => timeout_at(until, future).await.ok(),
        None => Some(future.await),
    }
}

fn failed(step: Step, sent: Sent, detail: String) -> Ended {
    Ended::Failed(AttemptError { step, sent, detail })
}

fn not_connected(step: Step) -> Ended {
    let detail = "no connection before the deadline".into();
    failed(step, Sent::Nothing, detail)
}

/// What the end of the time means for one who waited so long: it speaks against the backend unless
/// its client gave it less than answers take that are late.
fn late(hurried: bool, usual: Option<Duration>, waited: Duration) -> Step {
    match hurried && usual.is_none_or(|usual| waited < usual) {
        true => Step::Hurried,
        false => Step::Deadline,
    }
}

/// A connection, or a stream of one; until there is one, nothing is sent.
async fn lend(
    upstream: &Rc<Upstream>,
    plan: &Plan<'_>,
    elsewhere: impl Future<Output = ()>,
) -> Result<Lease, Ended> {
    let lent = within(plan.deadline, upstream.lend(plan.need, plan.protocol));
    let lent = tokio::select! {
        biased;
        lent = lent => lent,
        () = elsewhere => return Err(Ended::Left(turned_away(), Reach::Provider)),
    };
    match lent {
        Some(Ok(lease)) => Ok(lease),
        Some(Err(error)) => Err(failed(error.step, Sent::Nothing, error.detail)),
        // A client in a hurry is no sign of a backend that cannot be reached.
        None if plan.hurried => Err(not_connected(Step::Hurried)),
        None => Err(not_connected(Step::Connect)),
    }
}

/// The whole body of an answer that is small enough.
async fn hold_back(
    hold: Option<whole::Hold>,
    response: &mut Response<AnswerBody>,
    lease: &mut Lease,
    deadline: Option<Instant>,
) -> Result<Option<Whole>, Ended> {
    let Some(hold) = hold.filter(|hold| hold.wants(response)) else {
        return Ok(None);
    };
    let collected = hold.collect(response.body_mut(), deadline).await;
    collected.map(Some).map_err(|error| {
        lease.give_up();
        let detail = format!("the answer was cut: {error}");
        failed(Step::Cut, Sent::Maybe, detail)
    })
}

fn turned_away() -> AttemptError {
    AttemptError {
        step: Step::Left,
        sent: Sent::Nothing,
        detail: "its endpoint was left before there was a connection".into(),
    }
}

/// Ends a try that got no answer: by reset first, then its bytes are counted. A stream that is given
/// up leaves its connection standing: nothing is proven then.
fn given_up(lease: &mut Lease, order: bool, wire: &Wire, mark: &Mark, step: Step) -> AttemptError {
    let detail = overdue(wire);
    let sent = if lease.abandon(order, mark.read) {
        mark.sent(wire)
    } else {
        Sent::Maybe
    };
    AttemptError { step, sent, detail }
}

/// Ends a try that broke, and says what that proves.
fn broken(lease: &mut Lease, error: &Broken, body: &ClientBody, wire: &Wire, mark: &Mark) -> Ended {
    let reused = lease.reused();
    let gone = lease.reused().then(|| mark.gone(wire)).flatten();
    let counted = lease.end(error);
    let mut sent = if counted {
        mark.sent(wire)
    } else {
        Sent::Maybe
    };
    let (step, detail) = match error {
        Broken::Connection(error) => {
            let step = if error.is_parse() || error.is_parse_too_large() {
                Step::Protocol
            } else {
                gone.unwrap_or(Step::Reset)
            };
            (step, in_words(error))
        }
        Broken::Stream(failed) => {
            let step = match failed.cause {
                StreamEnd::NoRoom => Step::Refused,
                StreamEnd::NotLookedAt if reused => Step::Stale,
                StreamEnd::Connection => gone.unwrap_or(Step::Reset),
                StreamEnd::Protocol => Step::Protocol,
                StreamEnd::NotLookedAt | StreamEnd::Stream => Step::Reset,
            };
            if failed.cause.proves_not_sent() {
                sent = Sent::Nothing;
            }
            (step, failed.detail.clone())
        }
    };
    let step = if body.failed() {
        Step::ClientBody
    } else {
        step
    };
    failed(step, sent, detail)
}

/// hyper's words and what is behind them.
fn in_words(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// What the kernel knows of a path that gave no answer in time.
fn overdue(wire: &Wire) -> String {
    match wire.path() {
        Some(path) if path.unacknowledged > 0 => format!(
            "no answer in time; {} segments unacknowledged, sent again {} times",
            path.unacknowledged, path.retransmits
        ),
        Some(_) => "no answer in time; the backend's kernel acknowledged everything".into(),
        None => "no answer in time".into(),
    }
}
