//! What passes and what is refused, request by request.

pub(crate) mod cases;
mod corpus;
mod limits;
mod split;
mod uri;

use super::{Framer, FramingLimits, Phase, Refusal, Refused};

pub(super) const LIMITS: FramingLimits = FramingLimits {
    header_bytes: 64 * 1024,
    header_count: 100,
    max_body: 1 << 30,
};

fn framer() -> Framer {
    Framer::new(LIMITS)
}

/// What a framer made of a whole input.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    passed: usize,
    heads: u64,
    phase: Phase,
    refusal: Option<Refusal>,
}

/// Offers all at once.
fn whole(input: &[u8], limits: FramingLimits) -> Seen {
    let mut framer = Framer::new(limits);
    let (passed, refusal) = match framer.accept(input) {
        Ok(passed) => (passed, None),
        Err(Refused {
            passed, refusal, ..
        }) => (passed, Some(refusal)),
    };
    Seen {
        passed,
        heads: framer.heads(),
        phase: framer.phase(),
        refusal,
    }
}

/// Offers the input in pieces that end where `ends` says, as `ClientIo` does: what did not pass is
/// offered again, with more behind it.
fn pieces(input: &[u8], limits: FramingLimits, ends: impl Iterator<Item = usize>) -> Seen {
    let mut framer = Framer::new(limits);
    let (mut passed, mut refusal) = (0, None);
    for end in ends.chain([input.len()]) {
        match framer.accept(&input[passed..end]) {
            Ok(len) => passed += len,
            Err(refused) => {
                passed += refused.passed;
                refusal = Some(refused.refusal);
                break;
            }
        }
    }
    Seen {
        passed,
        heads: framer.heads(),
        phase: framer.phase(),
        refusal,
    }
}
