//! HTTP/2 on both sides: what is true of HTTP/1.1 is true of it too, and what is its own.

mod bounds;
mod bytes;
mod clients;
mod deaths;
mod orders;
mod outage;
mod refusals;
mod serving;
mod upstream;

use crate::support::policy::Policy;

/// A plain listener that takes HTTP/2 by prior knowledge.
const H2C: &str = "plain: { bind: \"127.0.0.1:0\", h2c: true }";

/// A listener with TLS, for `first.example`, beside a plain one.
const SECURE: &str = "plain: { bind: \"127.0.0.1:0\" }
  secure: { bind: \"127.0.0.1:0\", tls: { certificates: [{ cert: first.pem, key: first.key }] } }";

/// A policy of one backend behind a listener that takes HTTP/2.
fn h2c(entry: String) -> Policy {
    Policy::of_urls(&[("aws/one", entry)]).listeners(H2C)
}
