//! Where the messages of a client begin and end (RFC 9112).
//!
//! A pure state machine over the bytes of one HTTP/1 connection. It owns the framing: it finds the
//! end of every head and body by itself, and refuses every message about which two readers could
//! disagree, so that hyper, and behind it a backend, only ever see whole heads of which all is
//! known. It alters nothing and does no I/O. Called by `client_io`, which moves the bytes.

mod bytes;
mod chunked;
mod h2;
mod head;
mod lines;
mod names;
mod refusal;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use h2::{check_head, check_trailers};
pub(crate) use names::{Names, is_interim};
pub(crate) use refusal::Refusal;
#[cfg(test)]
pub(crate) use tests::cases as test_cases;

use chunked::ChunkReader;
use head::{BodyLength, Head, HeadReader};
use names::Notes;
use std::rc::Rc;

/// hyper reads no head beyond 408 KiB unless told to.
const MAX_HEAD: usize = 400 * 1024;
/// The largest body that hyper can count.
const MAX_BODY: u64 = u64::MAX - 2;
/// More fields than this do not fit the header map of `http`.
const MAX_FIELDS: usize = 16 * 1024;

/// Bounds on what a client may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FramingLimits {
    /// Request line and fields together, bytes, at most. Trailers too, up to hyper's 16 KiB.
    pub(crate) header_bytes: usize,
    /// Fields of a head at most, and of trailers. hyper's own bound is 100 unless told otherwise.
    pub(crate) header_count: usize,
    /// Bytes of a body at most.
    pub(crate) max_body: u64,
}

/// Bytes that must not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// How many of the bytes offered may still pass: whole messages, and the part of a body before
    /// what is wrong with it.
    pub(crate) passed: usize,
    /// What is wrong with the bytes behind them.
    pub(crate) refusal: Refusal,
    /// The bad bytes belong to a body of which the head has passed: it is too late for a status of
    /// its own.
    pub(crate) in_body: bool,
}

/// What the connection is in the middle of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Between two messages.
    #[default]
    Idle,
    /// A head has begun.
    Head,
    /// A head has passed, its body has not ended.
    Body,
    /// A request for an upgrade has passed: what follows may be no HTTP.
    Paused,
    /// Something was refused: nothing passes any more.
    Refused,
}

/// Follows the messages of one connection.
#[derive(Debug)]
pub(crate) struct Framer {
    limits: FramingLimits,
    state: State,
    heads: u64,
    /// Names of the fields of the head that is being read.
    names: Notes,
    /// Of heads that have passed, by their position on the connection; where they matter.
    passed: Vec<(u64, Rc<Names>)>,
}

#[derive(Debug)]
enum State {
    Head { reader: HeadReader, begun: bool },
    Length(u64),
    Chunked(ChunkReader),
    Paused,
    Refused { refusal: Refusal, in_body: bool },
}

impl State {
    fn idle() -> Self {
        Self::Head {
            reader: HeadReader::default(),
            begun: false,
        }
    }
}

impl Framer {
    /// A new connection. Limits beyond what hyper and `http` can hold are cut to that.
    pub(crate) fn new(limits: FramingLimits) -> Self {
        let limits = FramingLimits {
            header_bytes: limits.header_bytes.min(MAX_HEAD),
            header_count: limits.header_count.min(MAX_FIELDS),
            max_body: limits.max_body.min(MAX_BODY),
        };
        Self {
            limits,
            state: State::idle(),
            heads: 0,
            names: Notes::default(),
            passed: Vec::new(),
        }
    }

    /// The names of the fields of heads that have passed since this was last asked, as they were
    /// written, with the position of each head on the connection. Heads whose names are in lower case
    /// are left out.
    pub(crate) fn names(&mut self) -> std::vec::Drain<'_, (u64, Rc<Names>)> {
        self.passed.drain(..)
    }

    /// Looks at bytes that follow those that passed before, and says how many of them may pass
    /// now. The rest begins something that is not whole (a head, trailers) or that has to wait (an
    /// upgrade): it must be offered again, with more bytes behind it.
    ///
    /// Errors: what must never pass, see [`Refused`]. It stays refused.
    pub(crate) fn accept(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        let mut passed = 0;
        while passed < bytes.len() {
            match self.accept_next(&bytes[passed..]) {
                Ok(0) => break,
                Ok(len) => passed += len,
                Err(refused) => {
                    let Refused {
                        refusal, in_body, ..
                    } = refused;
                    self.state = State::Refused { refusal, in_body };
                    return Err(Refused {
                        passed: passed + refused.passed,
                        ..refused
                    });
                }
            }
        }
        Ok(passed)
    }

    /// Whole heads that have passed so far.
    pub(crate) fn heads(&self) -> u64 {
        self.heads
    }

    /// What the connection is in the middle of.
    pub(crate) fn phase(&self) -> Phase {
        match self.state {
            State::Head { begun: false, .. } => Phase::Idle,
            State::Head { begun: true, .. } => Phase::Head,
            State::Length(_) | State::Chunked(_) => Phase::Body,
            State::Paused => Phase::Paused,
            State::Refused { .. } => Phase::Refused,
        }
    }

    /// The upgrade was declined: what follows is the next request.
    pub(crate) fn resume(&mut self) {
        if matches!(self.state, State::Paused) {
            self.state = State::idle();
        }
    }

    /// As [`Self::accept`], but up to the end of one head or body at most. Zero when nothing may
    /// pass yet.
    fn accept_next(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        match &mut self.state {
            State::Head { reader, begun } => {
                match reader.read(bytes, &self.limits, &mut self.names) {
                    Ok(None) => {
                        *begun = !reader.is_blank(bytes);
                        Ok(0)
                    }
                    Ok(Some(head)) => Ok(self.head_passed(head)),
                    Err(refusal) => Err(Refused {
                        passed: 0,
                        refusal,
                        in_body: false,
                    }),
                }
            }
            State::Length(left) => {
                let len = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= len as u64;
                if *left == 0 {
                    self.state = State::idle();
                }
                Ok(len)
            }
            State::Chunked(reader) => {
                let len = reader.read(bytes, &self.limits)?;
                if reader.is_done() {
                    self.state = State::idle();
                }
                Ok(len)
            }
            State::Paused => Ok(0),
            State::Refused { refusal, in_body } => Err(Refused {
                passed: 0,
                refusal: *refusal,
                in_body: *in_body,
            }),
        }
    }

    fn head_passed(&mut self, head: Head) -> usize {
        if let Some(names) = self.names.end() {
            self.passed.push((self.heads, names));
        }
        self.heads += 1;
        self.state = match head.body {
            _ if head.upgrade => State::Paused,
            BodyLength::Known(0) => State::idle(),
            BodyLength::Known(length) => State::Length(length),
            BodyLength::Chunked => State::Chunked(ChunkReader::default()),
        };
        head.len
    }
}
