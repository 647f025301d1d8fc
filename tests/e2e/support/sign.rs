//! Signed requests, as exchanges have them: an HMAC over method, path, query and body.

use super::wire::{Head, text};
use aws_lc_rs::hmac;

const SECRET: &[u8] = b"a secret that only client and backend know";

/// The signature of a request, in hex.
pub(crate) fn signature(method: &str, target: &[u8], body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&key());
    for part in [method.as_bytes(), target, body] {
        context.update(part);
        context.update(b"\n");
    }
    context
        .sign()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether a request's signature is right; `true` when it has none.
pub(crate) fn verifies(head: &Head, body: &[u8]) -> bool {
    let Some(claimed) = head.get("x-signature") else {
        return true;
    };
    let right = signature(&head.method(), head.target(), body);
    if claimed != right {
        eprintln!(
            "signature of {:?} is {claimed}, not {right}",
            text(&head.line)
        );
    }
    claimed == right
}

fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, SECRET)
}
