//! HTTP/2 for both ends of a test: a client and a backend that keep the rules, and frames by hand
//! for those that break them.

pub(crate) mod breaker;
pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod site;
