//! However the bytes are cut into reads, the result is the same.

use super::cases::{BAD, BAD_CHUNKS, CHUNKED, CHUNKED_HEAD, GOOD};
use super::{LIMITS, pieces, whole};

fn inputs() -> Vec<String> {
    let chunks = BAD_CHUNKS
        .iter()
        .map(|(good, bad, _)| format!("{CHUNKED_HEAD}{good}{bad}"));
    let bad = BAD.iter().map(|(bad, _)| (*bad).to_owned());
    let pipelined = BAD.iter().map(|(bad, _)| format!("{}{bad}", CHUNKED));
    let good = GOOD.iter().map(|good| (*good).to_owned());
    good.chain(bad)
        .chain(chunks)
        .chain(pipelined)
        .chain([GOOD.concat()])
        .collect()
}

#[test]
fn one_cut_anywhere_changes_nothing() {
    for input in inputs() {
        let input = input.as_bytes();
        let wanted = whole(input, LIMITS);
        for cut in 0..input.len() {
            let seen = pieces(input, LIMITS, [cut].into_iter());
            assert_eq!(
                seen,
                wanted,
                "cut at {cut}: {:?}",
                String::from_utf8_lossy(input)
            );
        }
    }
}

#[test]
fn single_bytes_change_nothing() {
    for input in inputs() {
        let input = input.as_bytes();
        let seen = pieces(input, LIMITS, 0..input.len());
        assert_eq!(
            seen,
            whole(input, LIMITS),
            "{:?}",
            String::from_utf8_lossy(input)
        );
    }
}
