//! The framer against any bytes, cut anywhere.
//!
//! What must hold: no panic; what passes does not depend on how the bytes were cut into reads; the
//! parser under hyper reads every head that passes as a whole head of the same length; and the
//! target of such a head is held by `http::Uri` as it was sent; and names in lower case get their letters
//! back from what was noted of them.
//!
//! The first byte of an input says how the rest is cut. Run by the fuzzer, and over its corpus by the
//! ordinary tests.

use super::framing::{Framer, FramingLimits, Names, Phase};

const LIMITS: FramingLimits = FramingLimits {
    header_bytes: 4096,
    header_count: 32,
    max_body: 1 << 20,
};

/// What must hold of any bytes.
pub(crate) fn check(data: &[u8]) {
    let Some((&first, input)) = data.split_first() else {
        return;
    };
    let size = match first % 4 {
        0 => input.len().max(1),
        1 => 1,
        _ => usize::from(first),
    };
    let cut = pass(input, size);
    assert_eq!(
        cut,
        pass(input, input.len().max(1)),
        "cutting changes what passes"
    );
}

/// Offers the input in pieces of this size; how many bytes passed, how many heads, whether the rest
/// was refused.
fn pass(input: &[u8], size: usize) -> (usize, u64, bool) {
    let mut framer = Framer::new(LIMITS);
    let mut passed = 0;
    let mut end = 0;
    while end < input.len() {
        end = input.len().min(end + size);
        loop {
            let between = framer.phase() != Phase::Body;
            let heads = framer.heads();
            let offered = &input[passed..end];
            let accepted = framer.accept(offered);
            let noted: Vec<_> = framer.names().collect();
            let len = accepted.unwrap_or_else(|refused| refused.passed);
            if between && framer.heads() > heads {
                let names = noted.iter().find(|(at, _)| *at == heads);
                check_head(&offered[..len], names.map(|(_, names)| &**names));
            }
            passed += len;
            if accepted.is_err() {
                return (passed, framer.heads(), true);
            }
            if framer.phase() != Phase::Paused {
                break;
            }
            framer.resume();
        }
    }
    (passed, framer.heads(), false)
}

/// These bytes begin with a head that passed, of which these names were noted.
fn check_head(bytes: &[u8], names: Option<&Names>) {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request
        .parse(bytes)
        .expect("hyper's parser takes every head that passes");
    let httparse::Status::Complete(len) = parsed else {
        panic!("a head that passes is whole");
    };
    let target = request.path.expect("a whole head has a target");
    let uri = http::Uri::try_from(target).expect("http::Uri takes every target that passes");
    if target.starts_with('/') || target == "*" {
        let held = uri.path_and_query().expect("it has a path");
        assert_eq!(held.as_str(), target, "a target is held as it was sent");
    }
    http::Method::from_bytes(request.method.unwrap_or_default().as_bytes()).expect("a method");
    for field in request.headers.iter() {
        http::HeaderName::from_bytes(field.name.as_bytes()).expect("a name");
        http::HeaderValue::from_bytes(field.value).expect("a value");
    }
    let mut written = bytes[..len].to_vec();
    for field in request.headers.iter() {
        let at = field.name.as_ptr() as usize - bytes.as_ptr() as usize;
        written[at..at + field.name.len()].make_ascii_lowercase();
    }
    if let Some(names) = names {
        names.write_back(&mut written);
    }
    assert_eq!(written, bytes[..len], "names are put back as they were");
}
