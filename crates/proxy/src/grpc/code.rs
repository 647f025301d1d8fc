//! Codes of gRPC: which message is one of a call, the code in its fields, its name.
//!
//! Needs nothing of this crate: the fuzzer takes it by itself (`fuzz/`). Called through `grpc`.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName};

/// The code that a call ended with.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// What it ended with, in words; bytes beyond ASCII are percent-encoded.
pub(crate) const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// The content type of a call.
pub(crate) const CALL: &str = "application/grpc";

/// By code.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Whether a message with these fields is one of a gRPC call: `application/grpc`, with or without a
/// format behind it. Not gRPC-Web, which is HTTP like any other.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let value = value.as_bytes();
    let (Some(start), rest) = (value.get(..CALL.len()), value.get(CALL.len()..)) else {
        return false;
    };
    start.eq_ignore_ascii_case(CALL.as_bytes())
        && matches!(rest, Some([] | [b'+' | b';' | b' ', ..]))
}

/// The code that a call ended with, by its trailers or by a head that is all of its answer. `None`
/// where they do not say; one that is no code is `Err`.
pub(crate) fn code(fields: &HeaderMap) -> Option<Result<u32, ()>> {
    let value = fields.get(STATUS)?;
    let text = value.to_str().unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    Some(text.parse().ok().filter(|_| digits).ok_or(()))
}

/// The name of a code.
pub(crate) fn name(code: u32) -> &'static str {
    let known = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    known.copied().unwrap_or("no code of gRPC's")
}
