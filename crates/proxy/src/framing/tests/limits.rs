//! Bounds: each is reached exactly, and then exceeded by one.

use super::{FramingLimits, LIMITS, Phase, Refusal, framer, whole};

const REST: &str = " HTTP/1.1\r\nHost: a\r\n\r\n";

fn with_field_of(len: usize) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(len)
    )
}

#[test]
fn a_head_is_as_long_as_the_limit_and_no_longer() {
    let limits = FramingLimits {
        header_bytes: 1000,
        ..LIMITS
    };
    let without = with_field_of(0).len();
    let fits = with_field_of(1000 - without);
    assert_eq!(whole(fits.as_bytes(), limits).refusal, None);
    let larger = with_field_of(1001 - without);
    assert_eq!(
        whole(larger.as_bytes(), limits).refusal,
        Some(Refusal::HeadTooLarge)
    );
}

#[test]
fn a_head_that_never_ends_is_refused_at_the_limit() {
    let limits = FramingLimits {
        header_bytes: 1000,
        ..LIMITS
    };
    let endless = with_field_of(100_000);
    let seen = whole(&endless.as_bytes()[..1000], limits);
    assert_eq!((seen.refusal, seen.phase), (None, Phase::Head));
    let seen = whole(&endless.as_bytes()[..1001], limits);
    assert_eq!(seen.refusal, Some(Refusal::HeadTooLarge));
}

#[test]
fn a_target_is_as_long_as_its_bound_and_no_longer() {
    let fits = format!("GET /{}{REST}", "x".repeat(32 * 1024 - 1));
    assert_eq!(whole(fits.as_bytes(), LIMITS).refusal, None);
    let larger = format!("GET /{}{REST}", "x".repeat(32 * 1024));
    assert_eq!(
        whole(larger.as_bytes(), LIMITS).refusal,
        Some(Refusal::TargetTooLong)
    );
    let endless = format!("GET /{}", "x".repeat(33 * 1024));
    assert_eq!(
        whole(endless.as_bytes(), LIMITS).refusal,
        Some(Refusal::TargetTooLong)
    );
    let small = FramingLimits {
        header_bytes: 100,
        ..LIMITS
    };
    assert_eq!(
        whole(endless.as_bytes(), small).refusal,
        Some(Refusal::TargetTooLong)
    );
}

#[test]
fn as_many_fields_as_the_limit_and_no_more() {
    let request = |fields| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X:\r\n".repeat(fields)
        )
    };
    assert_eq!(whole(request(99).as_bytes(), LIMITS).refusal, None);
    assert_eq!(
        whole(request(100).as_bytes(), LIMITS).refusal,
        Some(Refusal::TooManyFields)
    );
}

#[test]
fn a_name_that_hyper_cannot_hold_is_refused() {
    let limits = FramingLimits {
        header_bytes: 1 << 20,
        ..LIMITS
    };
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}:\r\n\r\n",
        "x".repeat(65536)
    );
    assert_eq!(
        whole(request.as_bytes(), limits).refusal,
        Some(Refusal::HeadTooLarge)
    );
}

#[test]
fn a_body_is_as_long_as_the_limit_and_no_longer() {
    let limits = FramingLimits {
        max_body: 5,
        ..LIMITS
    };
    let known = |len| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
    assert_eq!(whole(known(5).as_bytes(), limits).refusal, None);
    assert_eq!(
        whole(known(6).as_bytes(), limits).refusal,
        Some(Refusal::BodyTooLarge)
    );
    let head = super::cases::CHUNKED_HEAD;
    let fits = format!("{head}2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n");
    assert_eq!(whole(fits.as_bytes(), limits).refusal, None);
    let larger = format!("{head}2\r\nab\r\n4\r\ncdef\r\n0\r\n\r\n");
    assert_eq!(
        whole(larger.as_bytes(), limits).refusal,
        Some(Refusal::BodyTooLarge)
    );
}

#[test]
fn without_a_limit_sizes_still_end_where_hyper_can_count_them() {
    let limits = FramingLimits {
        max_body: u64::MAX,
        ..LIMITS
    };
    let known = |len| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
    assert_eq!(whole(known(u64::MAX - 2).as_bytes(), limits).refusal, None);
    assert_eq!(
        whole(known(u64::MAX - 1).as_bytes(), limits).refusal,
        Some(Refusal::BodyTooLarge)
    );
    let head = super::cases::CHUNKED_HEAD;
    let seen = whole(format!("{head}fffffffffffffffd\r\nabc").as_bytes(), limits);
    assert_eq!((seen.refusal, seen.phase), (None, Phase::Body));
    let seen = whole(
        format!("{head}1\r\nx\r\nfffffffffffffffd").as_bytes(),
        limits,
    );
    assert_eq!(seen.refusal, Some(Refusal::BodyTooLarge));
}

#[test]
fn chunk_extensions_have_a_bound_over_the_whole_body() {
    let chunk = |len| format!("1;{}\r\nx\r\n", "e".repeat(len));
    let head = super::cases::CHUNKED_HEAD;
    let fits = format!(
        "{head}{}{}0\r\n\r\n",
        chunk(8000),
        chunk(16 * 1024 - 1 - 8000)
    );
    assert_eq!(whole(fits.as_bytes(), LIMITS).refusal, None);
    let larger = format!("{head}{}{}0\r\n\r\n", chunk(8000), chunk(16 * 1024 - 8000));
    assert_eq!(
        whole(larger.as_bytes(), LIMITS).refusal,
        Some(Refusal::ChunkExtensions)
    );
}

#[test]
fn trailers_have_bounds_of_bytes_and_fields() {
    let body = |trailers: &str| format!("{}0\r\n{trailers}\r\n", super::cases::CHUNKED_HEAD);
    let long = |len: usize| body(&format!("X: {}\r\n", "x".repeat(len - "X: \r\n\r\n".len())));
    assert_eq!(whole(long(16 * 1024 - 1).as_bytes(), LIMITS).refusal, None);
    let seen = whole(long(16 * 1024).as_bytes(), LIMITS);
    assert_eq!(seen.refusal, Some(Refusal::TrailersTooLarge));
    assert_eq!(
        whole(body(&"X:\r\n".repeat(100)).as_bytes(), LIMITS).refusal,
        None
    );
    let seen = whole(body(&"X:\r\n".repeat(101)).as_bytes(), LIMITS);
    assert_eq!(seen.refusal, Some(Refusal::TrailersTooLarge));
    let endless = format!(
        "{}0\r\nX: {}",
        super::cases::CHUNKED_HEAD,
        "x".repeat(16 * 1024)
    );
    let seen = whole(endless.as_bytes(), LIMITS);
    assert_eq!(seen.refusal, Some(Refusal::TrailersTooLarge));
}

#[test]
fn a_head_that_comes_byte_by_byte_is_read_once() {
    let request = with_field_of(60_000);
    let mut framer = framer();
    for end in 0..request.len() {
        assert_eq!(framer.accept(&request.as_bytes()[..end]), Ok(0));
    }
    assert_eq!(framer.accept(request.as_bytes()), Ok(request.len()));
}
