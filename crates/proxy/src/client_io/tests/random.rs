//! Thousands of broken requests, the same ones each time.

use super::agreement::agrees;
use crate::framing::test_cases::{BAD, BAD_CHUNKS, CHUNKED_HEAD, GOOD};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % end.max(1)
    }
}

const TOKENS: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\0",
    b"0",
    b"0\r\n\r\n",
    b"\x80",
    b"#",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"X: y\r\n",
    b"Host: b\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
];

fn mutate(random: &mut Random, input: &mut Vec<u8>) {
    let at = random.below(input.len() + 1);
    let end = (at + 1 + random.below(8)).min(input.len());
    match random.below(6) {
        0 if at < input.len() => input[at] = random.below(256) as u8,
        1 if at < input.len() => input[at] ^= 1 << random.below(8),
        2 => drop(input.drain(at..end)),
        3 => {
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
        _ => {
            let token = TOKENS[random.below(TOKENS.len())];
            input.splice(at..at, token.iter().copied());
        }
    }
}

fn seed(random: &mut Random) -> Vec<u8> {
    let good = |random: &mut Random| GOOD[random.below(GOOD.len())].to_owned();
    let last = match random.below(4) {
        0 => BAD[random.below(BAD.len())].0.to_owned(),
        1 => {
            let (fine, bad, _) = BAD_CHUNKS[random.below(BAD_CHUNKS.len())];
            format!("{CHUNKED_HEAD}{fine}{bad}")
        }
        _ => good(random),
    };
    format!("{}{}{last}", good(random), good(random)).into_bytes()
}

#[test]
fn whatever_is_sent_hyper_and_the_framer_agree() {
    let random = &mut Random(1);
    for _ in 0..6000 {
        let mut input = seed(random);
        for _ in 0..=random.below(3) {
            mutate(random, &mut input);
        }
        let mut pieces = Vec::new();
        let mut rest = &input[..];
        while !rest.is_empty() {
            let most = 1 << random.below(10);
            let len = 1 + random.below(rest.len().min(most));
            let (piece, behind) = rest.split_at(len);
            pieces.push(piece.to_vec());
            rest = behind;
        }
        agrees(&input, pieces);
    }
}
