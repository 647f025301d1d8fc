//! The tools of the tests: a backend that breaks on demand, the real binary, a client that can say
//! anything. They report; the tests beside this folder judge.

pub(crate) mod backend;
pub(crate) mod browser;
pub(crate) mod certs;
pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod h2;
pub(crate) mod load;
pub(crate) mod metrics;
pub(crate) mod nobody;
pub(crate) mod policy;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod sign;
pub(crate) mod temp;
pub(crate) mod wait;
pub(crate) mod wire;
