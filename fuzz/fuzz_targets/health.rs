//! Any answer to a gRPC health probe: the body says what must hold, CONTRIBUTING.md how to run it.

#![no_main]

// The sources themselves: what they own is private to their crate, and they depend on nothing there.
#[path = "../../crates/proxy/src/grpc/code.rs"]
mod grpc;

#[path = "../../crates/proxy/src/probe/grpc/answer.rs"]
mod answer;

#[path = "../bodies/health.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::check(data);
});
