//! hyper sees what the framer thought, however the bytes are cut.

use super::harness::{Request1, framed, read_simply, serve};
use crate::framing::test_cases::{BAD, BAD_CHUNKS, CHUNKED, CHUNKED_HEAD, GOOD};
use leeward_config::policy::Limits;

/// Serves the input in these pieces and compares what the service saw with what a second reader
/// makes of the bytes that the framer let pass.
pub(super) fn agrees(input: &[u8], pieces: Vec<Vec<u8>>) {
    let limits = Limits::default();
    let what = String::from_utf8_lossy(input);
    let (passed, heads, refused) = framed(input, &limits);
    let (wanted, goes_on) = read_simply(&input[..passed]);
    let outcome = serve(pieces, &limits);
    same(&outcome.seen, &wanted, &what);
    assert!(!goes_on || heads == wanted.len() as u64, "{what}");
    let statuses = outcome.statuses();
    let answered = wanted.iter().filter(|request| request.whole).count();
    match refused {
        Some(refused) if goes_on && !refused.in_body => {
            let status = refused.refusal.status().to_string();
            assert_eq!(statuses.last(), Some(&status.as_str()), "{what}");
            assert_eq!(
                statuses.iter().filter(|&&status| status != "100").count(),
                answered + 1
            );
            assert!(outcome.closed, "{what}");
            assert!(outcome.last().contains("connection: close\r\n"), "{what}");
        }
        Some(refused) if goes_on => {
            assert_eq!(
                outcome.watch.body_refused(),
                Some(refused.refusal),
                "{what}"
            );
        }
        _ => assert!(
            statuses
                .iter()
                .all(|&status| matches!(status, "200" | "100")),
            "{what}"
        ),
    }
}

fn same(seen: &[Request1], wanted: &[Request1], what: &str) {
    assert_eq!(seen.len(), wanted.len(), "{what}");
    for (seen, wanted) in seen.iter().zip(wanted) {
        assert_eq!(seen.method, wanted.method, "{what}");
        assert_eq!(
            (seen.fields, seen.whole),
            (wanted.fields, wanted.whole),
            "{what}"
        );
        assert_eq!(seen.body, wanted.body, "{what}");
        if wanted.target.starts_with('/') {
            assert_eq!(seen.target, wanted.target, "{what}");
        }
    }
}

fn all_at_once(input: &str) {
    agrees(input.as_bytes(), vec![input.as_bytes().to_vec()]);
}

#[test]
fn good_requests_reach_the_service_as_they_were_sent() {
    for input in GOOD {
        all_at_once(input);
    }
}

#[test]
fn bad_requests_reach_nobody_and_are_answered() {
    for (input, _) in BAD {
        all_at_once(input);
    }
}

#[test]
fn bad_chunks_fail_the_body() {
    for (good, bad, _) in BAD_CHUNKS {
        all_at_once(&format!("{CHUNKED_HEAD}{good}{bad}"));
    }
}

#[test]
fn pipelined_requests_are_seen_in_order() {
    for bad in BAD.iter().map(|(bad, _)| *bad).chain([""]) {
        // Every third one, so that a connection carries several.
        for start in 0..3 {
            let good: Vec<&str> = GOOD.iter().copied().skip(start).step_by(3).collect();
            all_at_once(&format!("{}{bad}", good.concat()));
        }
    }
}

#[test]
fn cuts_change_nothing() {
    let chunks = BAD_CHUNKS
        .iter()
        .map(|(good, bad, _)| format!("{CHUNKED_HEAD}{good}{bad}"));
    let bad = BAD.iter().map(|(bad, _)| format!("{}{bad}", GOOD[0]));
    let good = GOOD.iter().map(|good| format!("{good}{}", CHUNKED));
    for input in good.chain(bad).chain(chunks) {
        let input = input.as_bytes();
        for cut in (0..input.len()).step_by(3) {
            let (first, second) = input.split_at(cut);
            agrees(input, vec![first.to_vec(), second.to_vec()]);
        }
        agrees(input, input.iter().map(|&byte| vec![byte]).collect());
    }
}

#[test]
fn a_head_larger_than_hypers_first_buffer_passes() {
    let field = format!("X: {}\r\n", "x".repeat(600));
    let head = format!("POST /big HTTP/1.1\r\nHost: a\r\n{}", field.repeat(90));
    let body = "y".repeat(100_000);
    let input = format!("{head}Content-Length: 100000\r\n\r\n{body}{}", GOOD[0]);
    for size in [1000, 4096, 50_000, 200_000] {
        agrees(
            input.as_bytes(),
            input.as_bytes().chunks(size).map(<[u8]>::to_vec).collect(),
        );
    }
}
