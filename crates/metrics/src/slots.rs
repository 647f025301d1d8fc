//! The handles that a policy's listeners, routes, pools and endpoints count on.
//!
//! Owns how a family's labels become handles. Called by the control thread when a policy or the
//! addresses change; the handles go into the snapshot that the workers read. Asking twice for the
//! same labels gives the same handles.

use crate::Metrics;
use crate::cells::{Counter, Gauge, Histogram};
use crate::clients::{ForwardingField, Http2Ended, Http2Error, ProxyHeader};
use crate::control;
use crate::family::{self, Family};
use crate::labels::{ConnectionRefusal, EndpointLabels, RefusedReason, RequestOutcome};
use crate::registry::Registry;
use leeward_failover::{Class, Outcome};
use std::time::Instant;

/// What is counted of a listener's connections.
#[derive(Clone, Copy, Debug)]
pub struct ListenerSlots {
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections open now.
    pub open: Gauge,
    /// TLS handshakes that succeeded.
    pub tls_handshakes: Counter,
    /// TLS handshakes that had to wait for their turn.
    pub tls_delayed: Counter,
    /// Bytes received from clients.
    pub received_bytes: Counter,
    /// Bytes sent to clients.
    pub sent_bytes: Counter,
    refused: [Counter; ConnectionRefusal::ALL.len()],
    proxy_headers: [Counter; ProxyHeader::ALL.len()],
    forwarding_ignored: [Counter; ForwardingField::ALL.len()],
    http2_errors: [[Counter; Http2Error::ALL.len()]; Http2Ended::ALL.len()],
}

impl ListenerSlots {
    /// Connections closed before their first request.
    pub const fn refused(&self, reason: ConnectionRefusal) -> Counter {
        self.refused[reason as usize]
    }

    /// PROXY headers that were accepted and said this.
    pub const fn proxy_headers(&self, said: ProxyHeader) -> Counter {
        self.proxy_headers[said as usize]
    }

    /// Malformed forwarding fields of trusted peers.
    pub const fn forwarding_ignored(&self, field: ForwardingField) -> Counter {
        self.forwarding_ignored[field as usize]
    }

    /// Streams or connections that the HTTP/2 library ended for a client's error.
    pub const fn http2_errors(&self, ended: Http2Ended, error: Http2Error) -> Counter {
        self.http2_errors[ended as usize][error as usize]
    }
}

/// What is counted of the requests that a route took.
#[derive(Clone, Copy, Debug)]
pub struct RouteSlots {
    requests: [Counter; RequestOutcome::ALL.len()],
}

impl RouteSlots {
    /// Requests that ended so.
    pub const fn requests(&self, outcome: RequestOutcome) -> Counter {
        self.requests[outcome as usize]
    }
}

/// How long clients wait.
#[derive(Clone, Copy, Debug)]
pub struct DownstreamSlots {
    /// From a request's head to the last byte of its answer.
    pub duration: Histogram,
    /// From a request's head to the head of its answer.
    pub head: Histogram,
}

/// What is counted of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolSlots {
    /// Retries not made because the budget was spent.
    pub retry_budget_exhausted: Counter,
    /// Requests for which there was no endpoint.
    pub unplaced: Counter,
    /// Requests for which the worker had no time.
    pub behind: Counter,
    /// Requests that had to wait for their turn.
    pub delayed: Counter,
    streams_ended: [Counter; 2],
    attempts: [Counter; Class::ALL.len()],
    retries: [Counter; Class::ALL.len()],
    rescues: [Counter; Class::ALL.len()],
    /// Second attempts beside a slow first one.
    pub hedges: Counter,
}

impl PoolSlots {
    /// Streams that were ended because their endpoint is left, or drained.
    pub const fn streams_ended(&self, drained: bool) -> Counter {
        self.streams_ended[drained as usize]
    }

    /// Attempts, first ones and retries.
    pub const fn attempts(&self, class: Class) -> Counter {
        self.attempts[class as usize]
    }

    /// Attempts that followed a failed one.
    pub const fn retries(&self, class: Class) -> Counter {
        self.retries[class as usize]
    }

    /// Requests placed elsewhere because their endpoint fell silent or went down.
    pub const fn rescues(&self, class: Class) -> Counter {
        self.rescues[class as usize]
    }
}

/// What is counted of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct EndpointSlots {
    /// Connections open now.
    pub open: Gauge,
    /// Connections made.
    pub created: Counter,
    /// Attempts that went over a connection that was there already.
    pub reused: Counter,
    /// Requests that are there now.
    pub in_flight: Gauge,
    attempts: [Counter; Outcome::ALL.len()],
}

impl EndpointSlots {
    /// Attempts that came to this.
    pub const fn attempts(&self, outcome: Outcome) -> Counter {
        self.attempts[outcome as usize]
    }
}

/// How fast a provider answers a pool.
#[derive(Clone, Copy, Debug)]
pub struct ProviderSlots {
    /// From the start of an attempt to the head of the answer.
    pub head: Histogram,
}

/// What is counted of requests that never reached a route.
#[derive(Clone, Copy, Debug)]
pub struct RefusedSlots {
    refused: [Counter; RefusedReason::ALL.len()],
}

impl RefusedSlots {
    /// Requests refused for this reason.
    pub const fn refused(&self, reason: RefusedReason) -> Counter {
        self.refused[reason as usize]
    }
}

/// The values of `reason` for streams that were ended.
pub(crate) const STREAMS_ENDED: [&str; 2] = ["left", "drained"];

/// The families that an endpoint's workers count.
static ENDPOINT_FAMILIES: [&Family; 5] = [
    &family::UPSTREAM_OPEN,
    &family::UPSTREAM_CREATED,
    &family::UPSTREAM_REUSED,
    &family::UPSTREAM_IN_FLIGHT,
    &family::UPSTREAM_ATTEMPTS,
];

impl Metrics {
    /// The handles of a listener.
    pub fn listener(&self, name: &str) -> ListenerSlots {
        let registry = &mut self.lock().registry;
        ListenerSlots {
            accepted: registry.counter(&family::DOWNSTREAM_ACCEPTED, &[name]),
            open: registry.gauge(&family::DOWNSTREAM_OPEN, &[name]),
            tls_handshakes: registry.counter(&family::DOWNSTREAM_TLS, &[name]),
            tls_delayed: registry.counter(&family::DOWNSTREAM_TLS_DELAYED, &[name]),
            received_bytes: registry.counter(&family::DOWNSTREAM_RECEIVED, &[name]),
            sent_bytes: registry.counter(&family::DOWNSTREAM_SENT, &[name]),
            refused: ConnectionRefusal::ALL.map(|reason| {
                registry.counter(&family::DOWNSTREAM_REFUSED, &[name, reason.as_str()])
            }),
            proxy_headers: ProxyHeader::ALL.map(|said| {
                registry.counter(&family::DOWNSTREAM_PROXY_HEADERS, &[name, said.as_str()])
            }),
            forwarding_ignored: ForwardingField::ALL.map(|field| {
                registry.counter(&family::FORWARDING_IGNORED, &[name, field.as_str()])
            }),
            http2_errors: Http2Ended::ALL.map(|ended| {
                Http2Error::ALL.map(|error| {
                    let labels = [name, ended.as_str(), error.as_str()];
                    registry.counter(&family::DOWNSTREAM_HTTP2_ERRORS, &labels)
                })
            }),
        }
    }

    /// The handles of a route's requests that come in by `listener`.
    pub fn route(&self, listener: &str, route: &str, class: Class) -> RouteSlots {
        let registry = &mut self.lock().registry;
        let labels = |outcome: RequestOutcome| [listener, route, class.as_str(), outcome.as_str()];
        RouteSlots {
            requests: RequestOutcome::ALL
                .map(|outcome| registry.counter(&family::REQUESTS, &labels(outcome))),
        }
    }

    /// The handles of how long clients of `listener` wait.
    pub fn downstream(&self, listener: &str, class: Class) -> DownstreamSlots {
        let registry = &mut self.lock().registry;
        let labels = [listener, class.as_str()];
        DownstreamSlots {
            duration: registry.histogram(&family::REQUEST_DURATION, &labels),
            head: registry.histogram(&family::REQUEST_HEAD, &labels),
        }
    }

    /// The handles of a pool.
    pub fn pool(&self, pool: &str) -> PoolSlots {
        let registry = &mut self.lock().registry;
        let mut by_class =
            |family| Class::ALL.map(|class| registry.counter(family, &[pool, class.as_str()]));
        let attempts = by_class(&family::POOL_ATTEMPTS);
        let retries = by_class(&family::POOL_RETRIES);
        let rescues = by_class(&family::POOL_RESCUES);
        PoolSlots {
            retry_budget_exhausted: registry.counter(&family::POOL_BUDGET_EXHAUSTED, &[pool]),
            unplaced: registry.counter(&family::POOL_UNPLACED, &[pool]),
            behind: registry.counter(&family::POOL_BEHIND, &[pool]),
            delayed: registry.counter(&family::POOL_DELAYED, &[pool]),
            hedges: registry.counter(&family::POOL_HEDGES, &[pool]),
            streams_ended: STREAMS_ENDED
                .map(|why| registry.counter(&family::POOL_STREAMS_ENDED, &[pool, why])),
            attempts,
            retries,
            rescues,
        }
    }

    /// The handles of an endpoint.
    pub fn endpoint(&self, labels: &EndpointLabels) -> EndpointSlots {
        let state = &mut *self.lock();
        state.registry.reclaim(Instant::now());
        control::show_endpoint(state, labels);
        endpoint_slots(&mut state.registry, labels)
    }

    /// The handles of how fast `provider` answers `pool`.
    pub fn provider(&self, pool: &str, provider: &str) -> ProviderSlots {
        let registry = &mut self.lock().registry;
        ProviderSlots {
            head: registry.histogram(&family::UPSTREAM_HEAD, &[pool, provider]),
        }
    }

    /// The handles of what `listener` refuses before a route.
    pub fn refused(&self, listener: &str) -> RefusedSlots {
        let registry = &mut self.lock().registry;
        let labels = |reason: RefusedReason| [listener, reason.as_str()];
        RefusedSlots {
            refused: RefusedReason::ALL
                .map(|reason| registry.counter(&family::REQUESTS_REFUSED, &labels(reason))),
        }
    }

    /// An endpoint is gone: nothing of it is shown any more. Its handles may still be counted on by
    /// requests that began before; no other series gets their slots for ten minutes, nor while a
    /// connection or a request is counted there. Asking for the same endpoint before that gives the
    /// same handles, and what the workers counted counts on; its probes start again at 0.
    pub fn retire_endpoint(&self, labels: &EndpointLabels) {
        let mut state = self.lock();
        state
            .registry
            .retire(&ENDPOINT_FAMILIES, &labels.values(), Instant::now());
        control::forget_endpoint(&mut state.numbers, labels);
    }
}

fn endpoint_slots(registry: &mut Registry, labels: &EndpointLabels) -> EndpointSlots {
    let [pool, provider, site, backend, address] = labels.values();
    let labels = labels.values();
    EndpointSlots {
        open: registry.gauge(&family::UPSTREAM_OPEN, &labels),
        created: registry.counter(&family::UPSTREAM_CREATED, &labels),
        reused: registry.counter(&family::UPSTREAM_REUSED, &labels),
        in_flight: registry.gauge(&family::UPSTREAM_IN_FLIGHT, &labels),
        attempts: Outcome::ALL.map(|outcome| {
            let labels = [pool, provider, site, backend, address, outcome.as_str()];
            registry.counter(&family::UPSTREAM_ATTEMPTS, &labels)
        }),
    }
}
