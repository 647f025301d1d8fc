//! Any bytes at the framer: the body says what must hold, CONTRIBUTING.md how to run it.

#![no_main]

// The source itself: what it owns is private to its crate, and it depends on nothing there.
#[path = "../../crates/proxy/src"]
mod proxy {
    #[expect(dead_code, unused_imports, reason = "the proxy uses the rest")]
    pub(crate) mod framing;
}
use proxy::framing;

#[path = "../bodies/framing.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::check(data));
