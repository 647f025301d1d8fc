//! The life of one request, top to bottom: refusal, route and class, then the attempts (`job`).
//!
//! Called by `serve` for each request of a client connection.

use crate::body::ResponseBody;
use crate::exchange::Exchange;
use crate::framing::Refusal;
use crate::job::Job;
use crate::respond;
use crate::route::{Asked, host_of};
use crate::serve::ClientConn;
use crate::worker::Worker;
use http::header::HOST;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use leeward_metrics::{RefusedReason, RequestOutcome};
use std::convert::Infallible;
use std::rc::Rc;

/// Answers one request.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    conn: Rc<ClientConn>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let index = conn.next_request();
    let exchange = Exchange::new(&worker, &conn);
    let wants_upgrade = request.headers().contains_key(http::header::UPGRADE);
    let mut response = match conn.watch.refused(index) {
        Some(refusal) => refuse(exchange, refusal),
        None => route(exchange, request).await,
    };
    if wants_upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        conn.watch.resume();
    }
    if worker.is_draining() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = http::HeaderValue::from_static("close");
        response
            .headers_mut()
            .insert(http::header::CONNECTION, close);
    }
    Ok(response)
}

/// Answers what may not pass.
pub(crate) fn refuse(exchange: Exchange, refusal: Refusal) -> Response<ResponseBody> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    exchange.count_refused(refusal.counted_as());
    tracing::debug!(client = %exchange.client, refusal = refusal.as_str(), "a request was refused");
    exchange.end(RequestOutcome::Refused);
    respond::refused(status, refusal.reason(), true)
}

/// Finds the route and runs the request on it.
async fn route(mut exchange: Exchange, request: Request<Incoming>) -> Response<ResponseBody> {
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
        exchange.end(RequestOutcome::Refused);
        return respond::closing();
    }
    let Some(found) = found else {
        exchange.count_refused(RefusedReason::NoRoute);
        exchange.end(RequestOutcome::Refused);
        return respond::refused(
            StatusCode::NOT_FOUND,
            "no route of the policy matches",
            false,
        );
    };
    exchange.route = Some(found);
    exchange.class = exchange.held.serving.policy.routes[found].class;
    let seen = exchange.forwarding().see(request.headers());
    exchange.see(&seen);
    Job::new(exchange, request, &seen).run().await
}
