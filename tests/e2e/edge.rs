//! The edge: who clients are, how many connections they may have, and what supervisors see.
//!
//! 127.0.0.1, 127.0.0.2 and so on are different peers on the same machine.

mod forwarding;
mod limits;
mod proxy_protocol;
mod read_only;
mod shortage;
mod supervisor;

use crate::support::backend::Backend;
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::wire::Head;

/// Peers of this address are named in the policies here.
const NAMED: &str = "127.0.0.2";
/// Peers of this one are not.
const OTHER: &str = "127.0.0.3";

const GET: &str = "GET /read/x HTTP/1.1\r\nHost: api.example\r\n\r\n";

const REFUSED: &str = "leeward_downstream_connections_refused_total";

/// One backend behind a listener `plain` with these keys beside its address.
async fn one(keys: &str) -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]).listeners(&listener("plain", keys));
    (backend, Proxy::start(&policy.text()).await)
}

fn listener(name: &str, keys: &str) -> String {
    format!("{name}: {{ bind: \"127.0.0.1:0\", {keys} }}")
}

/// Whom the last request that a backend got was forwarded for.
fn forwarded_for(backend: &Backend) -> String {
    let Head { fields, .. } = backend.last().head;
    let is_it = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("x-forwarded-for");
    let mut found = fields.iter().filter(is_it);
    let value = found.next().map(|(_, value)| value.clone());
    assert!(found.next().is_none(), "{fields:?}");
    value.unwrap_or_default()
}
