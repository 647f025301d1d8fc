//! The words that values may be, with what they mean.

use crate::policy::{Protocol, TrustedFields};
use leeward_failover::{Class, Failback, Mover, ProviderKind, Suspicion, Writer};

pub(crate) const KINDS: [(&str, ProviderKind); 3] = [
    ("cloud", ProviderKind::Cloud),
    ("self_hosted", ProviderKind::SelfHosted),
    ("decentralized", ProviderKind::Decentralized),
];
pub(crate) const PROTOCOLS: [(&str, Protocol); 3] = [
    ("http1", Protocol::Http1),
    ("http2", Protocol::Http2),
    ("auto", Protocol::Auto),
];
pub(crate) const ORDER_PROTOCOLS: [(&str, Protocol); 2] =
    [("http1", Protocol::Http1), ("http2", Protocol::Http2)];
pub(crate) const WRITERS: [(&str, Writer); 2] = [("single", Writer::Single), ("any", Writer::Any)];
pub(crate) const MOVERS: [(&str, Mover); 2] = [
    ("automatic", Mover::Automatic),
    ("operator", Mover::Operator),
];
pub(crate) const WRITERS_RETURN: [(&str, Mover); 2] =
    [("manual", Mover::Operator), ("automatic", Mover::Automatic)];
pub(crate) const SUSPICIONS: [(&str, Suspicion); 4] = [
    ("ignore", Suspicion::Ignore),
    ("avoid", Suspicion::Avoid),
    ("lower", Suspicion::Lower),
    ("evacuate", Suspicion::Evacuate),
];
pub(crate) const FAILBACKS: [(&str, Failback); 2] = [
    ("automatic", Failback::Automatic),
    ("manual", Failback::Manual),
];
pub(crate) const DAYS: [(&str, usize); 7] = [
    ("mon", 0),
    ("tue", 1),
    ("wed", 2),
    ("thu", 3),
    ("fri", 4),
    ("sat", 5),
    ("sun", 6),
];
/// Whether private addresses are taken.
pub(crate) const PRIVATE: [(&str, bool); 2] = [("refuse", false), ("allow", true)];
pub(crate) const SWITCH: [(&str, bool); 2] = [("on", true), ("off", false)];
/// Whether fields are the older ones.
pub(crate) const FORWARDED: [(&str, bool); 2] = [("x-forwarded", true), ("forwarded", false)];
pub(crate) const TRUSTED: [(&str, TrustedFields); 2] = [
    ("x-forwarded", TrustedFields::XForwarded),
    ("forwarded", TrustedFields::Forwarded),
];
pub(crate) const PROBES: [(&str, ProbeType); 3] = [
    ("tcp", ProbeType::Tcp),
    ("http", ProbeType::Http),
    ("grpc", ProbeType::Grpc),
];

/// What a probe speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeType {
    Tcp,
    Http,
    Grpc,
}

/// The classes that a route may have.
pub(crate) fn classes() -> Vec<(&'static str, Class)> {
    let classes = Class::ALL.into_iter().filter(|class| *class != Class::Tcp);
    classes.map(|class| (class.as_str(), class)).collect()
}
