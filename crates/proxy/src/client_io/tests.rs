//! `ClientIo` under a real hyper server.

mod agreement;
mod harness;
mod orders;
mod random;
mod refusals;
mod watching;
