//! Asks a gRPC server for its health: one call of `grpc.health.v1.Health/Check` over HTTP/2.
//!
//! SERVING passes, everything else fails and says why. Bounded: one message of 4 KiB at most, within
//! the probe's time. Called by `probe`.

mod answer;
#[cfg(test)]
mod corpus;

use crate::connect::Connected;
use crate::grpc;
use crate::snapshot::EndpointIo;
use crate::upstream_h2::Single;
use answer::{Failed, PREFIX, check, protocol};
use bytes::{BufMut, Bytes, BytesMut};
use http::Request;
use http::header::{CONTENT_TYPE, HOST, TE, USER_AGENT};
use http_body_util::Full;
use leeward_config::policy::GrpcProbe;
use leeward_failover::ProbeFailure;
use prost::Message;
use std::time::Duration;

const METHOD: &str = "/grpc.health.v1.Health/Check";

/// Asks over a connection that has just been made and speaks HTTP/2.
pub(super) async fn ask(
    (stream, wire): Connected,
    io: &EndpointIo,
    probe: &GrpcProbe,
    timeout: Duration,
) -> Result<(), Failed> {
    let https = stream.agreed_to_http2().is_some();
    let request = request(io, probe, timeout)?;
    let asked = Single::ask(stream, wire, request, https).await;
    let (response, _single) = asked.map_err(|detail| (ProbeFailure::Reset, detail))?;
    check(response, &probe.service).await
}

fn request(
    io: &EndpointIo,
    probe: &GrpcProbe,
    timeout: Duration,
) -> Result<Request<Full<Bytes>>, Failed> {
    // `HealthCheckRequest` has one field, a text of number 1: on the wire it is what `StringValue` is.
    let message = probe.service.encode_to_vec();
    let mut body = BytesMut::with_capacity(PREFIX + message.len());
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.put_slice(&message);
    let host = probe.host.as_deref().unwrap_or(&io.authority);
    let mut request = Request::post(METHOD)
        .header(HOST, host)
        .header(USER_AGENT, "leeward-probe")
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(
            grpc::timeout::TIMEOUT,
            format!("{}m", timeout.as_millis().max(1)),
        )
        .body(Full::new(body.freeze()))
        .map_err(|error| protocol(&format_args!("the probe cannot be sent: {error}")))?;
    for (name, value) in &probe.headers {
        request.headers_mut().insert(name, value.clone());
    }
    Ok(request)
}
