//! Fetches lists of targets: a file, or the answer of an HTTP service.
//!
//! Bounded in size and time. What a list means is read in `targets`. Called by `keeper`.

use super::ask::{Memory, Resolver};
use super::system::System;
use super::targets::{self, Format, MOST_BYTES, Targets};
use crate::connect::{ConnectSpec, connect};
use crate::tls;
use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use leeward_config::policy::HttpSd;
use leeward_metrics::LookupResult;
use rustls::pki_types::ServerName;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Longest wait for a file: it may lie on a network.
const FILE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no list: as a word, and in words.
pub(crate) type Failed = (LookupResult, String);

/// Reads a file of targets; `port` is that of targets without one.
///
/// # Errors
/// It cannot be read, is too large, or is no list.
pub(crate) async fn file(path: PathBuf, port: u16) -> Result<Targets, Failed> {
    let yaml = path
        .extension()
        .is_some_and(|end| end == "yaml" || end == "yml");
    let format = if yaml { Format::Yaml } else { Format::Json };
    // A disk that hangs must not hang the control thread.
    let reading = tokio::task::spawn_blocking(move || read_bounded(&path));
    let text = match tokio::time::timeout(FILE_TIMEOUT, reading).await {
        Ok(Ok(Ok(text))) => text,
        Ok(Ok(Err(error))) => return Err((LookupResult::Unreachable, error.to_string())),
        Ok(Err(error)) => return Err((LookupResult::Unreachable, error.to_string())),
        Err(_) => return Err(late(FILE_TIMEOUT)),
    };
    targets::parse(&text, format, port).map_err(|error| (LookupResult::Malformed, error))
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    // One byte more than may be: `targets` refuses what is too large.
    File::open(path)?
        .take(MOST_BYTES as u64 + 1)
        .read_to_end(&mut text)?;
    Ok(text)
}

/// Asks an HTTP service for targets; `port` is that of targets without one.
///
/// # Errors
/// It cannot be reached, does not answer in time, answers anything but 200, too much, or no list.
pub(crate) async fn http(
    from: &HttpSd,
    port: u16,
    system: &System,
    resolvers: &[Rc<Resolver>],
) -> Result<Targets, Failed> {
    let asking = async {
        let addresses = addresses(from, system, resolvers).await;
        let mut last = (
            LookupResult::Unreachable,
            format!("{} has no address", from.host),
        );
        for address in addresses {
            match get(from, address).await {
                Ok(body) => {
                    return targets::parse(&body, Format::Json, port)
                        .map_err(|error| (LookupResult::Malformed, error));
                }
                Err(failed) => last = failed,
            }
        }
        Err(last)
    };
    let asked = tokio::time::timeout(from.timeout, asking).await;
    asked.unwrap_or_else(|_| Err(late(from.timeout)))
}

async fn addresses(from: &HttpSd, system: &System, resolvers: &[Rc<Resolver>]) -> Vec<SocketAddr> {
    let at_port = |ip: IpAddr| SocketAddr::new(ip, from.port);
    if let Ok(ip) = from.host.parse::<IpAddr>() {
        return vec![at_port(ip)];
    }
    let mut ips = system.hosts(&from.host);
    let names = system.names(&from.host);
    for resolver in resolvers {
        if !ips.is_empty() {
            break;
        }
        let found = resolver.addresses(&names, &mut Memory::new()).await;
        ips = found.map(|found| found.ips).unwrap_or_default();
    }
    ips.into_iter().map(at_port).collect()
}

async fn get(from: &HttpSd, address: SocketAddr) -> Result<Bytes, Failed> {
    let unreachable = |error: String| (LookupResult::Unreachable, error);
    let malformed = |error: String| (LookupResult::Malformed, error);
    let tls = match &from.tls {
        None => None,
        Some(wanted) => {
            let config =
                tls::client_config(wanted.ca.as_deref()).map_err(|e| unreachable(e.to_string()))?;
            let name = ServerName::try_from(wanted.server_name.clone());
            Some((config, name.map_err(|e| unreachable(e.to_string()))?))
        }
    };
    let spec = ConnectSpec {
        tls,
        timeout: from.timeout,
    };
    let (stream, wire) = connect(address, &spec)
        .await
        .map_err(|e| unreachable(e.detail))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| unreachable(e.to_string()))?;
    let driving = tokio::task::spawn_local(connection);
    let answer = async {
        let request = request(from).map_err(|e| malformed(e.to_string()))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| unreachable(e.to_string()))?;
        if response.status() != StatusCode::OK {
            return Err(malformed(format!(
                "status {}, expected 200",
                response.status().as_u16()
            )));
        }
        let body = Limited::new(response.into_body(), MOST_BYTES)
            .collect()
            .await;
        Ok(body.map_err(|e| malformed(e.to_string()))?.to_bytes())
    }
    .await;
    driving.abort();
    wire.reset();
    answer
}

fn request(from: &HttpSd) -> Result<Request<Empty<Bytes>>, http::Error> {
    let host = match from.host.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{}", from.port),
        _ => format!("{}:{}", from.host, from.port),
    };
    Request::get(from.target.as_str())
        .header(HOST, host)
        .header(USER_AGENT, "leeward")
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close")
        .body(Empty::new())
}

fn late(limit: Duration) -> Failed {
    (
        LookupResult::Timeout,
        format!("no whole answer within {limit:?}"),
    )
}
