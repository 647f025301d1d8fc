//! One turn of a request: where the next attempt goes, the attempt, and what follows from it.
//!
//! Called by `job` until one is answered or none may follow. A second attempt beside a slow one is
//! `race`'s.

use crate::admit::{self, Permit, Placed};
use crate::attempt::{Answer, Ended, Plan, attempt};
use crate::classify::{self, Failure};
use crate::error::{AttemptError, Step};
use crate::exchange::{Exchange, Head};
use crate::grpc;
use crate::headers;
use crate::job::{Job, route_of};
use crate::race::{Finish, running};
use crate::signs;
use crate::upstream::{Freshness, Upstream};
use crate::usual::Usual;
use crate::whole::{Hold, Whole};
use crate::worker::Held;
use leeward_failover::retry::{self, Next, Sent, Stop};
use leeward_failover::select::{Reach, Want, select};
use leeward_failover::{Class, EndpointId, Leaving, Outcome, Repeat, RetryParams};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// A probe needs a connection and an answer: a request that takes longer than two of them together
/// is slow, however fast its route is elsewhere.
const PROBES: u32 = 2;

/// What a turn came to.
pub(crate) enum Turn {
    Answered(Box<Answer>, Rc<Upstream>),
    Again(Reach),
    Over(Failure),
}

/// When an attempt begins, and until when it needs no timer of its own.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    started: Instant,
    /// Whoever waits for it polls it at that time.
    asked_again: Option<Instant>,
}

impl Moment {
    /// An attempt that begins now and looks after itself.
    pub(crate) fn now() -> Self {
        Self {
            started: Instant::now(),
            asked_again: None,
        }
    }
}

impl Answer {
    /// What it says of its endpoint.
    pub(crate) fn says(&self) -> Outcome {
        if self.disguised {
            return Outcome::ServerError;
        }
        let trailers = self.whole.as_ref().and_then(Whole::trailers);
        let fields = trailers.unwrap_or_else(|| self.response.headers());
        classify::health(self.means, fields)
    }
}

impl Job {
    /// The endpoint of the next attempt, or of one beside an attempt at `beside`.
    pub(crate) fn select(
        &self,
        reach: Reach,
        beside: Option<EndpointId>,
        now: std::time::Instant,
    ) -> Placed {
        let Exchange { worker, class, .. } = &self.exchange;
        let mut tried = self.tried.borrow_mut();
        let first = tried.is_empty() && beside.is_none();
        let held = if first {
            self.exchange.held.clone()
        } else {
            self.newest()
        };
        tried.extend(beside);
        let want = Want {
            pool: self.pool,
            class: *class,
            key: self.key,
            tried: &tried,
            reach,
        };
        let placed = admit::place(worker, &held, &want, worker.shared.at(now));
        if beside.is_some() {
            tried.pop();
        }
        if let Placed::At(..) = placed {
            let slots = &held.serving.pools[self.pool.index()];
            worker.cells.inc(slots.attempts(*class));
            if !tried.is_empty() {
                worker.cells.inc(slots.retries(*class));
            }
        }
        placed
    }

    /// The newest snapshot, unless it is of another policy: an attempt that follows should know what
    /// was learned since the first, under the policy that the request began with.
    fn newest(&self) -> Held {
        let newest = self.exchange.worker.snapshot();
        let held = &self.exchange.held;
        if Arc::ptr_eq(&newest.serving, &held.serving) {
            newest
        } else {
            held.clone()
        }
    }

    /// The end of an attempt that is waited for alone.
    async fn alone<F: Future<Output = Result<Box<Answer>, Ended>>>(
        &self,
        upstream: &Rc<Upstream>,
        attempt: Pin<&mut Option<F>>,
    ) -> Finish {
        (upstream.clone(), running(attempt).await)
    }

    /// One attempt, and another beside it where it takes long.
    pub(crate) async fn turn(
        &self,
        upstream: &Rc<Upstream>,
        permit: Permit,
        started: std::time::Instant,
    ) -> Turn {
        let started = Instant::from_std(started);
        let alone = self.alone_until(upstream, started);
        let moment = Moment {
            started,
            asked_again: alone,
        };
        let mut first = std::pin::pin!(Some(self.attempt(upstream, permit, moment)));
        let (upstream, ended) = match alone {
            None => self.alone(upstream, first.as_mut()).await,
            Some(until) => {
                let alone = self.alone(upstream, first.as_mut());
                match self.exchange.worker.alarms.within(until, alone).await {
                    Some(finish) => finish,
                    None => Box::pin(self.race(upstream, first, started)).await,
                }
            }
        };
        match ended {
            Ok(answer) => {
                self.tried.borrow_mut().push(upstream.io.id);
                self.learn(&upstream, answer.head.latency);
                Turn::Answered(answer, upstream)
            }
            Err(Ended::Left(error, reach)) => {
                self.failed(&upstream, &error);
                Turn::Again(reach)
            }
            Err(Ended::Failed(error)) => {
                self.failed(&upstream, &error);
                self.after(error)
            }
        }
    }

    /// One attempt, to the head of its answer. It holds its room at the site to the end of the answer.
    pub(crate) async fn attempt(
        &self,
        upstream: &Rc<Upstream>,
        permit: Permit,
        moment: Moment,
    ) -> Result<Box<Answer>, Ended> {
        let mut answer = self.try_twice(upstream, moment).await?;
        permit.head(answer.says(), answer.head.latency);
        answer.permit = Some(permit);
        Ok(answer)
    }

    /// One try, and another on a new connection when the one that was reused had been closed by the
    /// backend: that is nobody's failure.
    async fn try_twice(
        &self,
        upstream: &Rc<Upstream>,
        moment: Moment,
    ) -> Result<Box<Answer>, Ended> {
        let need = if self.exchange.class.goes_to_writer() {
            Freshness::Proven
        } else {
            Freshness::Any
        };
        let ended = self.try_once(upstream, need, moment).await;
        let Err(Ended::Failed(error)) = &ended else {
            return ended;
        };
        if !matches!(error.step, Step::Stale | Step::BrokenReuse)
            || !self.may_repeat_stale(error.sent)
        {
            return ended;
        }
        if let Some(outcome) = error.outcome() {
            self.exchange.note(upstream, outcome, Head::default());
        }
        self.remember(error.sent);
        self.try_once(upstream, Freshness::New, Moment::now()).await
    }

    async fn try_once(
        &self,
        upstream: &Rc<Upstream>,
        need: Freshness,
        moment: Moment,
    ) -> Result<Box<Answer>, Ended> {
        let Moment {
            started,
            asked_again,
        } = moment;
        let mut head = self.head.clone();
        let held = &self.exchange.held;
        let backend = &held.serving.policy.backends[upstream.io.backend.index()];
        headers::set_host(
            &mut head.headers,
            &backend.host_header,
            &upstream.io.authority,
        );
        if let (Some(said), Some(deadline)) = (self.call_timeout, self.deadline) {
            let left = deadline.saturating_duration_since(started);
            grpc::timeout::pass_on(&mut head.headers, said, left);
        }
        let (class, upgrade) = (self.exchange.class, self.hop.upgrade.is_some());
        let limits = &held.serving.policy.limits;
        let hold = Hold {
            most: limits.hold_answer,
            stall: limits.body_idle,
        };
        let plan = Plan {
            started: started.into_std(),
            head,
            names: self.exchange.names.clone(),
            body: &self.body,
            need,
            protocol: upstream.io.protocol(class, upgrade),
            class,
            upgrade,
            deadline: self.deadline,
            hurried: self.hurried,
            patience: self.patience(started),
            asked_again,
            // A stream without an upgrade may say nothing for as long as there is nothing to say.
            usual: self
                .usual(upstream)
                .filter(|_| class != Class::Stream || upgrade),
            hold: (class.repeat() != Repeat::AtConnect
                && !headers::answer_has_no_body(&self.head.method))
            .then_some(hold),
        };
        let attempts = self.attempts() + 1;
        let worker = &self.exchange.worker;
        let elsewhere = self.turned_away(upstream.io.id);
        let tracked = self.exchange.track(upstream, started.into_std());
        let ended = attempt(worker, upstream, plan, elsewhere, &mut || {
            self.may_leave(upstream.io.id, attempts)
        })
        .await;
        tracked.ends(&ended);
        let mut answer = ended?;
        if let Some(signs) = &held.serving.policy.pools[upstream.io.pool.index()].error_if {
            answer.disguised = signs::shows_error(signs, &answer);
        }
        Ok(answer)
    }

    /// Ready when what is not sent yet should go elsewhere: its endpoint is left, or orders make a
    /// detour round its provider. Requests that may be repeated have `race` for that.
    async fn turned_away(&self, endpoint: EndpointId) {
        let Exchange { worker, class, .. } = &self.exchange;
        if class.is_rescued() {
            return std::future::pending().await;
        }
        let watch = worker.departures.watch(endpoint);
        loop {
            match watch.leaving() {
                Leaving::AtOnce => return,
                Leaving::Detour if self.has_way_round(endpoint) => return,
                _ => watch.changes().await,
            }
        }
    }

    /// Whether a request that an endpoint does not answer may go to another provider now.
    fn has_way_round(&self, endpoint: EndpointId) -> bool {
        let table = &self.newest().table;
        let provider = table.endpoint(endpoint).map(|info| info.provider);
        let pool = table.pools.get(self.pool.index());
        let writer = pool.and_then(|pool| pool.writer);
        !self.exchange.class.goes_to_writer() || writer.is_none() || writer != provider
    }

    /// How long an answer from there takes at most that is not overdue; `None` while nobody knows.
    pub(crate) fn usual(&self, upstream: &Upstream) -> Option<Duration> {
        let probes = Duration::from_micros(upstream.io.probe_took.load(Ordering::Relaxed)) * PROBES;
        self.ask_usual(Usual::overdue_after)
            .map(|usual| (usual + upstream.io.further()).max(probes))
    }

    /// Attempts that have ended.
    pub(crate) fn attempts(&self) -> u32 {
        u32::try_from(self.tried.borrow().len()).unwrap_or(u32::MAX)
    }

    /// A repeatable request gives each attempt its share of the time that is left, so that a
    /// backend that hangs cannot use up all of it.
    fn patience(&self, now: Instant) -> Option<Instant> {
        let deadline = self.deadline?;
        let left = self.allowed().saturating_sub(self.attempts());
        (left > 1).then(|| now + deadline.saturating_duration_since(now) / left)
    }

    /// Whether an attempt without an answer may be left for another. Never where everything else was
    /// tried: a slow answer is better than none.
    fn may_leave(&self, here: EndpointId, attempts: u32) -> Option<Reach> {
        if !self.body.replayable() || !self.is_elsewhere(here) {
            return None;
        }
        match self.next(attempts, Sent::Maybe) {
            Next::Again(reach) => Some(reach),
            Next::Stop(_) => None,
        }
    }

    /// Whether there is an endpoint that was not tried, beside this one.
    pub(crate) fn is_elsewhere(&self, here: EndpointId) -> bool {
        let held = self.newest();
        let tried = self.tried.borrow();
        let tried: Vec<EndpointId> = tried.iter().copied().chain([here]).collect();
        let want = Want {
            pool: self.pool,
            class: self.exchange.class,
            key: self.key,
            tried: &tried,
            reach: Reach::Endpoint,
        };
        let worker = &self.exchange.worker;
        let found = worker.draw(|rng| select(&held.table, &want, rng, |_| 0));
        found.is_some()
    }

    /// Attempts that a request of this class has, once something may have been sent.
    pub(crate) fn allowed(&self) -> u32 {
        retry::allowed(self.exchange.class, Sent::Maybe, self.retry_params())
    }

    fn retry_params(&self) -> &RetryParams {
        &self.exchange.held.serving.policy.engine.pools[self.pool.index()].retry
    }

    /// Whether the pool distrusts its detector.
    pub(crate) fn in_panic(&self) -> bool {
        let pools = &self.exchange.held.table.pools;
        pools.get(self.pool.index()).is_some_and(|pool| pool.panic)
    }

    fn next(&self, attempts: u32, sent: Sent) -> Next {
        let Exchange {
            worker,
            held,
            class,
            ..
        } = &self.exchange;
        let (panic, params) = (self.in_panic(), self.retry_params());
        let now = worker.shared.now();
        let asked = worker.budgets.retries(self.pool, |budget| {
            retry::after_failure(*class, attempts, sent, params, panic, budget, now)
        });
        let next = asked.unwrap_or(Next::Stop(Stop::Budget));
        if next == Next::Stop(Stop::Budget) {
            worker
                .cells
                .inc(held.serving.pools[self.pool.index()].retry_budget_exhausted);
        }
        next
    }

    /// How long answers of this route usually take.
    pub(crate) fn ask_usual<T>(&self, ask: impl FnOnce(&Usual) -> Option<T>) -> Option<T> {
        let route = self.exchange.route?;
        self.exchange
            .worker
            .usual(route, |usual| ask(usual))
            .flatten()
    }

    /// An answer of this route took so long from there: counted as from the nearest endpoint.
    pub(crate) fn learn(&self, upstream: &Upstream, took: Duration) {
        let took = took.saturating_sub(upstream.io.further());
        if let Some(route) = self.exchange.route {
            self.exchange
                .worker
                .usual(route, |usual| usual.record(took));
        }
    }

    /// An attempt of this route had not answered after so long, when another one had.
    pub(crate) fn learn_outrun(&self, upstream: &Upstream, waited: Duration) {
        let waited = waited.saturating_sub(upstream.io.further());
        if let Some(route) = self.exchange.route {
            let worker = &self.exchange.worker;
            worker.usual(route, |usual| usual.outrun(waited));
        }
    }

    fn may_repeat_stale(&self, sent: Sent) -> bool {
        self.body.replayable()
            && match self.exchange.class.repeat() {
                Repeat::Budgeted | Repeat::Once => true,
                Repeat::ProvenNotSent | Repeat::AtConnect => sent == Sent::Nothing,
            }
    }

    pub(crate) fn remember(&self, sent: Sent) {
        if sent == Sent::Maybe {
            self.sent.set(Sent::Maybe);
        }
    }

    /// Takes note of an attempt that brought no answer.
    pub(crate) fn failed(&self, upstream: &Upstream, error: &AttemptError) {
        self.remember(error.sent);
        self.tried.borrow_mut().push(upstream.io.id);
        if error.step == Step::Left {
            self.exchange.log(|account| account.left(upstream.io.id));
        }
        if let Step::Short(short) = error.step {
            self.short.set(true);
            let Exchange { worker, held, .. } = &self.exchange;
            let shortages = &held.serving.shortages;
            shortages.of_request(&worker.cells, short, upstream.io.address);
        }
        if let Some(outcome) = error.outcome() {
            self.exchange.note(upstream, outcome, Head::default());
        }
        let class = self.exchange.class;
        if class == Class::Order && error.sent == Sent::Maybe {
            tracing::warn!(
                route = %route_of(&self.exchange).name,
                backend = %upstream.io.labels.backend,
                address = %upstream.io.address,
                detail = %error.detail,
                "an order was given up and its outcome is unknown"
            );
        } else {
            tracing::debug!(
                class = class.as_str(),
                backend = %upstream.io.labels.backend,
                address = %upstream.io.address,
                step = ?error.step,
                detail = %error.detail,
                "an attempt failed"
            );
        }
    }

    fn after(&self, error: AttemptError) -> Turn {
        if error.step == Step::ClientBody || !self.in_time() || !self.body.replayable() {
            return Turn::Over(Failure::Attempt(error));
        }
        match self.next(self.attempts(), error.sent) {
            Next::Again(reach) => Turn::Again(reach),
            Next::Stop(_) => Turn::Over(Failure::Attempt(error)),
        }
    }

    /// Whether a read or a cancel that was answered 5xx may be tried elsewhere.
    pub(crate) fn wants_better(&self, answer: &Answer) -> Option<Reach> {
        if !classify::repeatable(self.exchange.class, answer.means)
            || !self.in_time()
            || !self.body.replayable()
        {
            return None;
        }
        match self.next(self.attempts(), Sent::Maybe) {
            Next::Again(reach) => Some(reach),
            Next::Stop(_) => None,
        }
    }

    /// Whether the request's time is not up yet.
    pub(crate) fn in_time(&self) -> bool {
        self.deadline
            .is_none_or(|deadline| Instant::now() < deadline)
    }
}
