//! One request on its route: attempts until one is answered or none may follow, then the answer.
//!
//! Everything that may take long happens in `attempt`; everything that decides is in
//! `leeward_failover`. Called by `handler`.

use crate::admit::{self, Placed};
use crate::attempt::{Answer, Ended, Plan, attempt};
use crate::body::{ClientBody, ResponseBody};
use crate::body_guard::BodyGuard;
use crate::classify::{self, Failure};
use crate::error::{AttemptError, Step};
use crate::exchange::Exchange;
use crate::forwarding::Seen;
use crate::handler::refuse;
use crate::headers::{self, Hop};
use crate::relay::{Relay, Settle};
use crate::respond;
use crate::snapshot::EndpointIo;
use crate::upstream::{Freshness, Upstream};
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use leeward_config::policy::Route;
use leeward_failover::retry::{Next, Sent, Stop};
use leeward_failover::select::{Reach, Want};
use leeward_failover::{Class, EndpointId, Outcome, PoolId, Repeat};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// One request on its route.
pub(crate) struct Job {
    exchange: Exchange,
    head: http::request::Parts,
    hop: Hop,
    body: ClientBody,
    pool: PoolId,
    key: Option<u64>,
    deadline: Option<Instant>,
    /// Endpoints that were tried, in order.
    tried: Vec<EndpointId>,
    /// Whether any of them may have received something.
    sent: Sent,
}

/// What an attempt came to.
#[expect(
    clippy::large_enum_variant,
    reason = "lives for a moment; a box would cost every request"
)]
enum Turn {
    Answered(Answer, Rc<Upstream>),
    Again(Reach),
    Over(Failure),
}

impl Job {
    /// `guard` watches over the client's body where the connection does not (HTTP/2).
    pub(crate) fn new(
        exchange: Exchange,
        mut request: Request<Incoming>,
        seen: &Seen,
        guard: Option<BodyGuard>,
    ) -> Self {
        let class = exchange.class;
        let (pool, key, deadline) = {
            let route = route_of(&exchange);
            let io = &exchange.held.serving.policy.pools[route.pool.index()];
            let key = exchange.affinity(&io.affinity, &request);
            let deadline = route
                .deadline
                .map(|span| Instant::from_std(exchange.started) + span);
            (route.pool, key, deadline)
        };
        let hop = headers::prepare_request(&mut request, &exchange.forwarding(), seen);
        origin_form(request.uri_mut());
        let (mut head, incoming) = request.into_parts();
        let keep = match class.repeat() {
            Repeat::AtConnect => 0,
            _ => exchange.held.serving.policy.limits.keep_body,
        };
        let body = ClientBody::new(incoming, keep, guard);
        headers::frame_body(&mut head.headers, body.exists());
        let tried = Vec::new();
        Self {
            exchange,
            head,
            hop,
            body,
            pool,
            key,
            deadline,
            tried,
            sent: Sent::Nothing,
        }
    }

    pub(crate) async fn run(mut self) -> Response<ResponseBody> {
        self.exchange
            .worker
            .budget(self.pool, |budget, now| budget.request(now));
        let mut reach = Reach::Endpoint;
        // An answer that said 5xx, kept for the case that nobody gives a better one.
        let mut spare: Option<(Answer, Rc<Upstream>)> = None;
        loop {
            let (upstream, permit) = match (self.select(reach), spare.take()) {
                (Placed::At(upstream, permit), kept) => {
                    spare = kept;
                    (upstream, permit)
                }
                (_, Some((answer, _))) => return self.relay(answer, None),
                (Placed::Full, None) if self.sent == Sent::Nothing => {
                    return admit::shed(self.exchange);
                }
                _ => return self.unanswered(&Failure::Unplaced),
            };
            match self.turn(&upstream).await {
                Turn::Answered(mut answer, upstream) => {
                    permit.head(&answer.response, answer.latency);
                    answer.permit = Some(permit);
                    let said = admit::said(&answer.response);
                    match self.wants_better(&answer) {
                        Some(further) => {
                            self.exchange.note(&upstream, said, answer.latency);
                            self.sent = Sent::Maybe;
                            spare = Some((answer, upstream));
                            reach = further;
                        }
                        None => return self.relay(answer, Some(said)),
                    }
                }
                Turn::Again(further) => reach = further,
                Turn::Over(failure) => {
                    return match spare {
                        Some((answer, _)) => self.relay(answer, None),
                        None => self.unanswered(&failure),
                    };
                }
            }
        }
    }

    /// The endpoint of the next attempt.
    fn select(&mut self, reach: Reach) -> Placed {
        let Exchange {
            worker,
            held,
            class,
            ..
        } = &self.exchange;
        let want = Want {
            pool: self.pool,
            class: *class,
            key: self.key,
            tried: &self.tried,
            reach,
        };
        let placed = admit::place(worker, held, &want);
        if let Placed::At(..) = placed {
            let slots = &held.serving.pools[self.pool.index()];
            worker.cells.inc(slots.attempts(*class));
            if !self.tried.is_empty() {
                worker.cells.inc(slots.retries(*class));
            }
        }
        placed
    }

    /// One attempt, and another on a new connection when the one that was reused had been closed
    /// by the backend: that is nobody's failure.
    async fn turn(&mut self, upstream: &Rc<Upstream>) -> Turn {
        let need = if self.exchange.class.goes_to_writer() {
            Freshness::Proven
        } else {
            Freshness::Any
        };
        let mut ended = self.attempt(upstream, need).await;
        if let Err(Ended::Failed(error)) = &ended
            && matches!(error.step, Step::Stale | Step::BrokenReuse)
            && self.may_repeat_stale(error.sent)
        {
            if let Some(outcome) = error.outcome() {
                self.exchange.note(upstream, outcome, Duration::ZERO);
            }
            self.remember(error.sent);
            ended = self.attempt(upstream, Freshness::New).await;
        }
        match ended {
            Ok(answer) => {
                self.tried.push(upstream.io.id);
                Turn::Answered(answer, upstream.clone())
            }
            Err(Ended::Left(error, reach)) => {
                self.failed(upstream, &error);
                Turn::Again(reach)
            }
            Err(Ended::Failed(error)) => {
                self.failed(upstream, &error);
                self.after(error)
            }
        }
    }

    async fn attempt(&self, upstream: &Rc<Upstream>, need: Freshness) -> Result<Answer, Ended> {
        let mut head = self.head.clone();
        let held = &self.exchange.held;
        let backend = &held.serving.policy.backends[upstream.io.backend.index()];
        headers::set_host(
            &mut head.headers,
            &backend.host_header,
            &upstream.io.authority,
        );
        let (class, upgrade) = (self.exchange.class, self.hop.upgrade.is_some());
        let plan = Plan {
            head,
            body: &self.body,
            need,
            protocol: upstream.io.protocol(class, upgrade),
            order: class == Class::Order,
            upgrade,
            deadline: self.deadline,
            patience: self.patience(),
        };
        let io = upstream.io.clone();
        let attempts = self.attempts() + 1;
        attempt(upstream, plan, &mut || self.may_leave(&io, attempts)).await
    }

    /// Attempts that have ended.
    fn attempts(&self) -> u32 {
        u32::try_from(self.tried.len()).unwrap_or(u32::MAX)
    }

    /// A repeatable request gives each attempt its share of the time that is left, so that a
    /// backend that hangs cannot use up all of it.
    fn patience(&self) -> Option<Instant> {
        let deadline = self.deadline?;
        let class = self.exchange.class;
        let allowed = match class.repeat() {
            Repeat::Budgeted => self.retry_params().attempts,
            Repeat::Once => 2,
            Repeat::ProvenNotSent | Repeat::AtConnect => return None,
        };
        let left = allowed.saturating_sub(self.attempts());
        let now = Instant::now();
        (left > 1).then(|| now + deadline.saturating_duration_since(now) / left)
    }

    /// Whether an attempt without an answer may be left: another is allowed, or the endpoint has
    /// been found down meanwhile (then it is a rescue, which the budget does not count).
    fn may_leave(&self, io: &EndpointIo, attempts: u32) -> Option<Reach> {
        if !self.body.replayable() {
            return None;
        }
        if self.exchange.worker.is_left(io.id) {
            return (attempts < self.allowed()).then_some(Reach::Provider);
        }
        match self.next(attempts, Sent::Maybe) {
            Next::Again(reach) => Some(reach),
            Next::Stop(_) => None,
        }
    }

    fn allowed(&self) -> u32 {
        match self.exchange.class.repeat() {
            Repeat::Budgeted => self.retry_params().attempts,
            Repeat::Once => 2,
            Repeat::ProvenNotSent | Repeat::AtConnect => 1,
        }
    }

    fn retry_params(&self) -> &leeward_failover::RetryParams {
        &self.exchange.held.serving.policy.engine.pools[self.pool.index()].retry
    }

    fn next(&self, attempts: u32, sent: Sent) -> Next {
        let Exchange {
            worker,
            held,
            class,
            ..
        } = &self.exchange;
        let panic = held
            .table
            .pools
            .get(self.pool.index())
            .is_some_and(|pool| pool.panic);
        let params = self.retry_params();
        let asked = worker.budget(self.pool, |budget, now| {
            leeward_failover::retry::after_failure(
                *class, attempts, sent, params, panic, budget, now,
            )
        });
        let next = asked.unwrap_or(Next::Stop(Stop::Budget));
        if next == Next::Stop(Stop::Budget) {
            worker
                .cells
                .inc(held.serving.pools[self.pool.index()].retry_budget_exhausted);
        }
        next
    }

    fn may_repeat_stale(&self, sent: Sent) -> bool {
        self.body.replayable()
            && match self.exchange.class.repeat() {
                Repeat::Budgeted | Repeat::Once => true,
                Repeat::ProvenNotSent | Repeat::AtConnect => sent == Sent::Nothing,
            }
    }

    fn remember(&mut self, sent: Sent) {
        if sent == Sent::Maybe {
            self.sent = Sent::Maybe;
        }
    }

    fn failed(&mut self, upstream: &Upstream, error: &AttemptError) {
        self.remember(error.sent);
        self.tried.push(upstream.io.id);
        if let Some(outcome) = error.outcome() {
            self.exchange.note(upstream, outcome, Duration::ZERO);
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
        let in_time = self
            .deadline
            .is_none_or(|deadline| Instant::now() < deadline);
        if error.step == Step::ClientBody || !in_time {
            return Turn::Over(Failure::Attempt(error));
        }
        if !self.body.replayable() {
            return Turn::Over(Failure::Attempt(error));
        }
        match self.next(self.attempts(), error.sent) {
            Next::Again(reach) => Turn::Again(reach),
            Next::Stop(_) => Turn::Over(Failure::Attempt(error)),
        }
    }

    /// Whether a read or a cancel that was answered 5xx may be tried elsewhere.
    fn wants_better(&self, answer: &Answer) -> Option<Reach> {
        let status = answer.response.status();
        let in_time = self
            .deadline
            .is_none_or(|deadline| Instant::now() < deadline);
        if !classify::repeatable(self.exchange.class, status) || !in_time || !self.body.replayable()
        {
            return None;
        }
        match self.next(self.attempts(), Sent::Maybe) {
            Next::Again(reach) => Some(reach),
            Next::Stop(_) => None,
        }
    }

    /// Hands a backend's answer to the client. `said` is what it says of the endpoint, unless that
    /// has been tallied.
    fn relay(self, answer: Answer, said: Option<Outcome>) -> Response<ResponseBody> {
        let Answer {
            mut response,
            lease,
            upgraded,
            latency,
            permit,
        } = answer;
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        headers::prepare_response(&mut response, switched);
        let outcome = classify::relayed(response.status());
        let worker = &self.exchange.worker;
        worker.cells.observe(
            self.exchange
                .listener()
                .downstream(self.exchange.class)
                .head,
            self.exchange.started.elapsed(),
        );
        if !self.body.is_complete() {
            // Answered early: from here on the client owes nothing.
            self.body.unwanted();
            if let Some(watch) = &self.exchange.conn.watch {
                watch.body_unwanted();
            }
        }
        let (head, incoming) = response.into_parts();
        let settle = Settle {
            lease,
            client_body: self.body,
            tally: said.map(|said| (said, latency)),
            permit,
            outcome,
            exchange: self.exchange,
        };
        if switched {
            return match upgraded {
                Some(stream) if self.hop.upgrade.is_some() => {
                    settle.into_tunnel(stream);
                    Response::from_parts(head, ResponseBody::Empty)
                }
                _ => settle.refuse_switch(),
            };
        }
        if hyper::body::Body::is_end_stream(&incoming)
            || headers::answer_has_no_body(&self.head.method)
        {
            settle.whole();
            return Response::from_parts(head, ResponseBody::Empty);
        }
        let stall_after = settle.exchange.held.serving.policy.limits.body_idle;
        let relay = Relay::new(incoming, settle, stall_after);
        Response::from_parts(head, ResponseBody::Relay(Box::new(relay)))
    }

    fn unanswered(self, failure: &Failure) -> Response<ResponseBody> {
        let class = self.exchange.class;
        let watch = self.exchange.conn.watch.as_ref();
        let refused = watch.and_then(|watch| watch.body_refused());
        if let Some(refusal) = refused.or_else(|| self.body.refused()) {
            // The body turned out to be one that may not pass: the client is told why.
            return refuse(self.exchange, refusal);
        }
        if matches!(failure, Failure::Unplaced) {
            let slots = &self.exchange.held.serving.pools[self.pool.index()];
            self.exchange.worker.cells.inc(slots.unplaced);
        }
        let told = classify::unanswered(class, self.sent, failure);
        tracing::debug!(
            client = %self.exchange.client,
            class = class.as_str(),
            outcome = told.outcome.as_str(),
            "a request was not answered by any backend"
        );
        let seconds = 1 + self.exchange.worker.draw(|rng| rng.next_u64()) % 3;
        self.exchange.end(told.outcome);
        respond::unanswered(told.fate, told.status, told.text, seconds)
    }
}

fn route_of(exchange: &Exchange) -> &Route {
    // Only called once a route was found; the first one stands in otherwise.
    &exchange.held.serving.policy.routes[exchange.route.unwrap_or_default()]
}

/// A proxy sends the origin form, byte for byte what was behind the authority (RFC 9112 section
/// 3.2.1).
fn origin_form(uri: &mut Uri) {
    if uri.scheme().is_some() || uri.authority().is_some() {
        let origin = uri.path_and_query().cloned().map(Uri::from);
        *uri = origin.unwrap_or_else(|| Uri::from_static("/"));
    }
}
