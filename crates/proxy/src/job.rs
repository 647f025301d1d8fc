//! One request on its route: attempts until one is answered or none may follow, then the answer.
//!
//! Everything that may take long happens in `turn` and `attempt`; everything that decides is in
//! `leeward_failover`. Called by `handler`.

use crate::access_log::Flag;
use crate::admit::{self, Placed};
use crate::attempt::Answer;
use crate::body::{ClientBody, ResponseBody};
use crate::body_guard::BodyGuard;
use crate::classify::{self, Failure};
use crate::error::Step;
use crate::exchange::Exchange;
use crate::forwarding::Seen;
use crate::grpc;
use crate::handler::refuse;
use crate::headers::{self, Hop};
use crate::relay::{Relay, Settle};
use crate::respond;
use crate::turn::Turn;
use crate::upstream::Upstream;
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use leeward_config::policy::Route;
use leeward_failover::retry::Sent;
use leeward_failover::select::Reach;
use leeward_failover::{Class, EndpointId, Outcome, PoolId, Repeat};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// One request on its route.
pub(crate) struct Job {
    pub(crate) exchange: Exchange,
    pub(crate) head: http::request::Parts,
    pub(crate) hop: Hop,
    pub(crate) body: ClientBody,
    pub(crate) pool: PoolId,
    pub(crate) key: Option<u64>,
    pub(crate) deadline: Option<Instant>,
    /// How long the client of a call waits, as it said.
    pub(crate) call_timeout: Option<Duration>,
    /// The deadline is the client's, and earlier than the policy's.
    pub(crate) hurried: bool,
    /// Endpoints that were tried, in order.
    pub(crate) tried: RefCell<Vec<EndpointId>>,
    /// Whether any of them may have received something.
    pub(crate) sent: Cell<Sent>,
    /// Whether leeward had nothing left to open a connection with.
    pub(crate) short: Cell<bool>,
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
        let call_timeout = match exchange.call {
            true => grpc::timeout::of_call(request.headers()),
            false => None,
        };
        let (pool, key, span) = {
            let route = route_of(&exchange);
            let io = &exchange.held.serving.policy.pools[route.pool.index()];
            let key = exchange.affinity(&io.affinity, &request);
            (route.pool, key, route.deadline)
        };
        let hurried = call_timeout.is_some_and(|said| span.is_none_or(|span| said < span));
        let span = if hurried { call_timeout } else { span };
        // A time that is too far away to be one is none.
        let deadline = span.and_then(|span| Instant::from_std(exchange.started).checked_add(span));
        let hop = headers::prepare_request(&mut request, &exchange.forwarding(), seen);
        origin_form(request.uri_mut());
        let (mut head, incoming) = request.into_parts();
        let keep = match class.repeat() {
            Repeat::AtConnect => 0,
            _ => exchange.held.serving.policy.limits.keep_body,
        };
        let body = ClientBody::new(incoming, keep, guard);
        if class == Class::Stream {
            // A client that has nothing to say on its stream is not late.
            body.unwanted();
        }
        exchange.log(|account| account.has_body(&body));
        headers::frame_body(&mut head.headers, body.exists());
        Self {
            exchange,
            head,
            hop,
            body,
            pool,
            key,
            deadline,
            call_timeout,
            hurried,
            tried: RefCell::default(),
            sent: Cell::new(Sent::Nothing),
            short: Cell::new(false),
        }
    }

    pub(crate) async fn run(self: Box<Self>) -> Response<ResponseBody> {
        let Exchange { worker, class, .. } = &self.exchange;
        // The clock is read as seldom as possible.
        let mut begun = self.exchange.begun;
        let now = worker.shared.at(begun);
        worker.budgets.count_request(self.pool, *class, now);
        let mut reach = Reach::Endpoint;
        // An answer that said 5xx, kept for the case that nobody gives a better one.
        let mut spare: Option<(Box<Answer>, Rc<Upstream>)> = None;
        loop {
            let (upstream, permit) = match (self.select(reach, None, begun), spare.take()) {
                (Placed::At(upstream, permit), kept) => {
                    spare = kept;
                    (upstream, permit)
                }
                (_, Some((answer, _))) => return self.relay(answer, None),
                (Placed::Full, None) if self.sent.get() == Sent::Nothing => {
                    return admit::shed(self.exchange);
                }
                _ => return self.unanswered(&Failure::Unplaced),
            };
            match self.turn(&upstream, permit, begun).await {
                Turn::Answered(answer, upstream) => {
                    let said = answer.says();
                    match self.wants_better(&answer) {
                        Some(further) => {
                            self.exchange.note(&upstream, said, answer.head);
                            self.sent.set(Sent::Maybe);
                            spare = Some((answer, upstream));
                            (reach, begun) = (further, std::time::Instant::now());
                        }
                        None => return self.relay(answer, Some(said)),
                    }
                }
                Turn::Again(further) => (reach, begun) = (further, std::time::Instant::now()),
                Turn::Over(failure) => {
                    return match spare {
                        Some((answer, _)) => self.relay(answer, None),
                        None => self.unanswered(&failure),
                    };
                }
            }
        }
    }

    /// Hands a backend's answer to the client. `said` is what it says of the endpoint, unless that
    /// has been tallied.
    fn relay(
        self: Box<Self>,
        answer: Box<Answer>,
        said: Option<Outcome>,
    ) -> Response<ResponseBody> {
        let Answer {
            mut response,
            names,
            lease,
            upgraded,
            head: came,
            whole,
            permit,
            means,
            ..
        } = *answer;
        if let Some(watch) = &self.exchange.conn.watch {
            watch.casing().give(names);
        }
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        headers::prepare_response(&mut response, switched);
        let outcome = classify::relayed(means);
        let now = std::time::Instant::now();
        let slots = self.exchange.listener().downstream(self.exchange.class);
        let took = now.saturating_duration_since(self.exchange.started);
        self.exchange.worker.cells.observe(slots.head, took);
        let held = whole.as_ref();
        self.exchange
            .log(|account| account.answered(&response, took, held));
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
            tally: said.map(|said| (said, came)),
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
        if let Some(whole) = whole {
            settle.whole(now);
            return Response::from_parts(head, ResponseBody::Whole(whole));
        }
        if hyper::body::Body::is_end_stream(&incoming)
            || headers::answer_has_no_body(&self.head.method)
        {
            settle.whole(now);
            return Response::from_parts(head, ResponseBody::Empty);
        }
        let relay = Relay::new(incoming, settle, &head.headers);
        Response::from_parts(head, ResponseBody::Relay(Box::new(relay)))
    }

    fn unanswered(self: Box<Self>, failure: &Failure) -> Response<ResponseBody> {
        let class = self.exchange.class;
        let watch = self.exchange.conn.watch.as_ref();
        let refused = watch.and_then(|watch| watch.body_refused());
        if let Some(refusal) = refused.or_else(|| self.body.refused()) {
            // The body turned out to be one that may not pass: the client is told why.
            return refuse(self.exchange, refusal);
        }
        if matches!(failure, Failure::Unplaced) && !self.short.get() {
            let slots = &self.exchange.held.serving.pools[self.pool.index()];
            self.exchange.worker.cells.inc(slots.unplaced);
        }
        let short = self.short.get() && self.sent.get() == Sent::Nothing;
        let failure = if short { &Failure::Short } else { failure };
        let told = classify::unanswered(class, self.sent.get(), failure);
        tracing::debug!(
            client = %self.exchange.client,
            class = class.as_str(),
            outcome = told.outcome.as_str(),
            "a request was not answered by any backend"
        );
        let seconds = 1 + self.exchange.worker.draw(|rng| rng.next_u64()) % 3;
        self.exchange.log(|account| match failure {
            Failure::Unplaced | Failure::Short => account.flag(Flag::Unplaced),
            Failure::Attempt(error) => match error.step {
                Step::Deadline | Step::Hurried => account.flag(Flag::Deadline),
                Step::ClientBody => account.flag(Flag::ClientCut),
                _ => {}
            },
        });
        self.exchange.end_with(told.outcome, told.status, told.text);
        respond::unanswered(told.fate, told.status, told.text, seconds)
    }
}

/// The route of a request.
pub(crate) fn route_of(exchange: &Exchange) -> &Route {
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
