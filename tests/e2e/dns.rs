//! Names (P6): DNS may add and move addresses; what it says never takes away what works.
//!
//! Each test has DNS servers of its own that lie on demand. Backends stand on several loopback
//! addresses with the same port, since a name brings no port.

mod answers;
mod changes;
mod resolvers;
mod restart;

use crate::support::backend::{Backend, Options};
use crate::support::dns::Dns;
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use serde_json::Value;
use std::net::SocketAddr;

const SICK: &str = "HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n";
const QUESTIONS: &str = "leeward_dns_questions_total";
const REFUSED: &str = "leeward_dns_refused_total";

/// Backends on 127.0.0.1, 127.0.0.2 and so on, all with one port. Each is named by its address.
fn family(count: u8) -> Vec<Backend> {
    let mut backends = vec![Backend::start("127.0.0.1")];
    let port = backends[0].address().port();
    for last in 2..=count {
        let bind = Some(SocketAddr::from(([127, 0, 0, last], port)));
        let options = Options {
            bind,
            ..Options::default()
        };
        backends.push(Backend::with(&format!("127.0.0.{last}"), options));
    }
    backends
}

/// The settings of DNS with these servers, quick enough for a test.
fn dns(servers: &[&Dns], more: &str) -> String {
    let list: Vec<String> = servers
        .iter()
        .map(|dns| format!("\"{}\"", dns.address()))
        .collect();
    format!(
        "dns: {{ resolvers: [{}], timeout: 300ms, min_ttl: 100ms, max_ttl: 200ms{more} }}",
        list.join(", ")
    )
}

/// A policy with one backend, `api.test` at the port of `backends`.
fn policy(backends: &[Backend], servers: &[&Dns], more: &str) -> Policy {
    let port = backends[0].address().port();
    Policy::of_urls(&[("aws/one", format!("http://api.test:{port}"))])
        .pool(QUICK_PROBE)
        .pool(&quick_failover("[[aws/one]]"))
        .top(&dns(servers, more))
}

/// The endpoints of the pool: address without port, listed, verdict.
async fn endpoints(proxy: &Proxy) -> Vec<(String, bool, String)> {
    let pool = proxy.pool().await;
    let endpoints = pool["endpoints"].as_array().expect("endpoints").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    endpoints
        .map(|e| {
            let address = text(&e["address"]);
            let ip = address.rsplit_once(':').expect("a port").0.to_owned();
            (
                ip,
                e["listed"].as_bool().expect("listed"),
                text(&e["verdict"]),
            )
        })
        .collect()
}

/// Waits until an address is listed or kept, with this verdict.
async fn wait_for(proxy: &Proxy, ip: &str, listed: bool, verdict: &str) {
    let wanted = (ip.to_owned(), listed, verdict.to_owned());
    let what = format!("{wanted:?}");
    let there = async || endpoints(proxy).await.contains(&wanted).then_some(());
    eventually(&what, SOON * 2, there).await;
}

async fn wait_until_gone(proxy: &Proxy, ip: &str) {
    let gone = async || {
        endpoints(proxy)
            .await
            .iter()
            .all(|(known, ..)| known != ip)
            .then_some(())
    };
    eventually(&format!("{ip} is gone"), SOON * 2, gone).await;
}

/// Waits until so many more questions have ended in this way.
async fn wait_for_result(proxy: &Proxy, result: &str) {
    let labels = [("result", result)];
    let before = proxy.metrics().await.sum(QUESTIONS, &labels).unwrap_or(0.0);
    proxy
        .wait_for_metric(QUESTIONS, &labels, before + 1.0)
        .await;
}

async fn assert_served_by(proxy: &Proxy, backend: &str) {
    for _ in 0..10 {
        let answer = proxy.get("/read/x").await;
        assert_eq!((answer.status(), answer.backend()), (200, backend));
    }
}

async fn wait_until_served_by(proxy: &Proxy, backend: &str) {
    let served = async || (proxy.get("/read/x").await.backend() == backend).then_some(());
    eventually(&format!("served by {backend}"), SOON * 2, served).await;
}
