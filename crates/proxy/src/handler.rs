//! The life of one request, top to bottom: refusal, route and class, then the attempts (`job`).
//!
//! Called by `serve` and `serve_h2` for each request of a client connection.

use crate::admit;
use crate::body::ResponseBody;
use crate::body_guard::BodyGuard;
use crate::client_io::ClientWatch;
use crate::exchange::Exchange;
use crate::framing::Refusal;
use crate::grpc;
use crate::job::Job;
use crate::respond;
use crate::route::{Asked, host_of};
use crate::serve::ClientConn;
use crate::turnstile::Turn;
use crate::worker::Worker;
use http::header::HOST;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use leeward_failover::PoolId;
use leeward_failover::select::Rng;
use leeward_metrics::{RefusedReason, RequestOutcome};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Instant;

/// Answers one request that came over HTTP/1.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    conn: Rc<ClientConn>,
    watch: Rc<ClientWatch>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let index = conn.next_request();
    let mut exchange = Exchange::new(&worker, &conn);
    exchange.names = watch.names(index);
    let wants_upgrade = request.headers().contains_key(http::header::UPGRADE);
    let mut response = match watch.refused(index) {
        Some(refusal) => refuse(exchange, refusal),
        None => route(exchange, request, None).await,
    };
    if wants_upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        watch.resume();
    }
    if worker.is_draining() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = http::HeaderValue::from_static("close");
        response
            .headers_mut()
            .insert(http::header::CONNECTION, close);
    }
    Ok(response)
}

/// Answers one request that came over HTTP/2; `check` is what its head was found to be.
pub(crate) async fn handle_h2(
    worker: Rc<Worker>,
    conn: Rc<ClientConn>,
    check: Result<BodyGuard, Refusal>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let mut exchange = Exchange::new(&worker, &conn);
    if worker.is_draining() {
        conn.drain();
    }
    let call = grpc::is_call(request.headers());
    exchange.call = call;
    let response = match check {
        Err(refusal) => {
            exchange.describe(&request);
            refuse(exchange, refusal)
        }
        Ok(guard) => route(exchange, request, Some(guard)).await,
    };
    Ok(match call {
        true => grpc::own_answer(response),
        false => response,
    })
}

/// Answers what may not pass.
pub(crate) fn refuse(exchange: Exchange, refusal: Refusal) -> Response<ResponseBody> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    exchange.count_refused(refusal.counted_as());
    tracing::debug!(client = %exchange.client, refusal = refusal.as_str(), "a request was refused");
    let http1 = exchange.conn.watch.is_some();
    exchange.log(|account| account.refused(refusal.as_str()));
    exchange.end_with(RequestOutcome::Refused, status, refusal.reason());
    respond::refused(status, refusal.reason(), http1)
}

/// Finds the route and runs the request on it.
async fn route(
    mut exchange: Exchange,
    request: Request<Incoming>,
    guard: Option<BodyGuard>,
) -> Response<ResponseBody> {
    exchange.describe(&request);
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let found = exchange.listener().routes.find(&Asked {
        host: host_of(host),
        path: request.uri().path(),
        method: request.method(),
        headers: request.headers(),
    });
    if exchange.listener().closed {
        exchange.log(|account| account.refused("closing"));
        let status = StatusCode::SERVICE_UNAVAILABLE;
        exchange.end_with(RequestOutcome::Refused, status, respond::CLOSING);
        return respond::closing();
    }
    let Some(found) = found else {
        exchange.count_refused(RefusedReason::NoRoute);
        let (status, text) = (StatusCode::NOT_FOUND, "no route of the policy matches");
        exchange.log(|account| account.refused("no_route"));
        exchange.end_with(RequestOutcome::Refused, status, text);
        return respond::refused(status, text, false);
    };
    exchange.route = Some(found);
    let found = &exchange.held.serving.policy.routes[found];
    let pool = found.pool;
    exchange.class = found.class;
    let worker = &exchange.worker;
    if worker
        .lag
        .sheds(exchange.class, || worker.draw(Rng::fraction))
    {
        return admit::shed_behind(exchange, pool);
    }
    if !worker.turnstile.passes(exchange.class) {
        // Apart: few requests wait, and every future around would have room for it.
        return Box::pin(wait(exchange, pool, request, guard)).await;
    }
    run(exchange, request, guard).await
}

/// Runs the request once it is its turn.
async fn wait(
    mut exchange: Exchange,
    pool: PoolId,
    request: Request<Incoming>,
    guard: Option<BodyGuard>,
) -> Response<ResponseBody> {
    admit::count_delayed(&exchange, pool);
    let routes = &exchange.held.serving.policy.routes;
    let of_route = exchange.route.and_then(|route| routes[route].deadline);
    let of_call = match exchange.call {
        true => grpc::timeout::of_call(request.headers()),
        false => None,
    };
    let deadline = [of_route, of_call].into_iter().flatten().min();
    let turnstile = &exchange.worker.turnstile;
    let turn = turnstile.turn_of(exchange.class, exchange.started, deadline);
    match turn.await {
        Turn::Begins => {
            // What it waited here is no backend's time.
            exchange.begun = Instant::now();
            run(exchange, request, guard).await
        }
        Turn::Late => admit::shed_behind(exchange, pool),
    }
}

/// Runs the request.
fn run(
    mut exchange: Exchange,
    request: Request<Incoming>,
    guard: Option<BodyGuard>,
) -> impl Future<Output = Response<ResponseBody>> {
    let seen = exchange.forwarding().see(request.headers());
    exchange.see(&seen);
    // Boxed: it is moved a few times, and every future around it would have room for it.
    Box::new(Job::new(exchange, request, &seen, guard)).run()
}
