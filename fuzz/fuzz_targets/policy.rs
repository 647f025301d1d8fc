//! Any text as a policy: the body says what must hold, CONTRIBUTING.md how to run it.

#![no_main]

#[path = "../bodies/policy.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|text: &str| body::check(text));
