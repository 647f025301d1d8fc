//! The names of a head's fields as they were written, and how they are put back.
//!
//! Owns what is noted of them and how a name finds its writing again. Does no I/O: `casing` moves the
//! bytes. Called by `head` and `casing`.

use memchr::{memchr, memmem};
use std::rc::Rc;

/// Names of a head that are noted at most; a head with more keeps none of them. Matching them is
/// quadratic where a client sends them in the worst order.
const MAX_NAMES: usize = 256;

/// Notes the names of the heads of one connection: the next head is mostly like the last, and then
/// nothing is written down.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Of the last head.
    known: Rc<Names>,
    /// How many names of this head are the first of those.
    alike: usize,
    /// Of this head, once one is not.
    names: Option<Names>,
}

impl Notes {
    /// The next field of this head is called so.
    pub(super) fn push(&mut self, name: &[u8]) {
        match &mut self.names {
            None if self.known.is_at(self.alike, name) => self.alike += 1,
            None => {
                let names = self.names.insert(self.known.first(self.alike));
                names.push(name);
            }
            Some(names) => names.push(name),
        }
    }

    /// The head is whole: its names, where they matter.
    pub(super) fn end(&mut self) -> Option<Rc<Names>> {
        let alike = std::mem::take(&mut self.alike);
        if let Some(names) = self.names.take() {
            let few = names.ends.len() <= MAX_NAMES;
            self.known = Rc::new(if few { names } else { Names::default() });
        } else if alike < self.known.ends.len() {
            self.known = Rc::new(self.known.first(alike));
        }
        self.known.matter().then(|| self.known.clone())
    }
}

/// The names of one head, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    text: Vec<u8>,
    /// The same in lower case.
    lower: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<u32>,
    /// Whether any of them is not in lower case.
    mixed: bool,
}

impl Names {
    /// The next field is called so.
    pub(crate) fn push(&mut self, name: &[u8]) {
        self.mixed |= name.iter().any(u8::is_ascii_uppercase);
        self.text.extend_from_slice(name);
        self.lower.extend(name.iter().map(u8::to_ascii_lowercase));
        // A head is far shorter than that.
        self.ends
            .push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// Whether there is anything to be written back.
    pub(crate) fn matter(&self) -> bool {
        self.mixed && self.ends.len() <= MAX_NAMES
    }

    /// Where the name at `index` stands.
    fn span(&self, index: usize) -> std::ops::Range<usize> {
        let end = |index: usize| self.ends[index] as usize;
        index.checked_sub(1).map_or(0, end)..end(index)
    }

    /// Whether the name at `index` is written so.
    fn is_at(&self, index: usize, name: &[u8]) -> bool {
        index < self.ends.len() && &self.text[self.span(index)] == name
    }

    /// The first `len` of them.
    fn first(&self, len: usize) -> Self {
        let mut names = Self::default();
        for index in 0..len {
            names.push(&self.text[self.span(index)]);
        }
        names
    }

    /// Whether `line` is a field of the name at `index`, in these letters of all names.
    fn fits(&self, letters: &[u8], index: usize, line: &[u8]) -> bool {
        let name = &letters[self.span(index)];
        line.get(name.len()) == Some(&b':') && &line[..name.len()] == name
    }

    /// Writes the names back into the first head of `bytes` that is no interim answer.
    pub(crate) fn write_back(&self, mut bytes: &mut [u8]) {
        while is_interim(bytes) {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
                return;
            };
            bytes = &mut bytes[end + 4..];
        }
        let Some(first) = memchr(b'\n', bytes) else {
            return;
        };
        bytes = &mut bytes[first + 1..];
        let mut used = [false; MAX_NAMES];
        // The first that is left, and the one behind that which was found last.
        let (mut left, mut next) = (0, 0);
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at_mut(end + 1);
            if line == b"\r\n" {
                return;
            }
            if let Some(found) = self.find(line, &used, left, next) {
                let span = self.span(found);
                line[..span.len()].copy_from_slice(&self.text[span]);
                used[found] = true;
                next = found + 1;
                while left < used.len() && used[left] {
                    left += 1;
                }
            }
            bytes = rest;
        }
    }

    /// The first of these names that is left and is that of `line`. Fields of one name keep their
    /// order, so that it is the right one.
    fn find(
        &self,
        line: &[u8],
        used: &[bool; MAX_NAMES],
        left: usize,
        next: usize,
    ) -> Option<usize> {
        let fits = |index: &usize| !used[*index] && self.fits(&self.lower, *index, line);
        // Nearly always they come in the order in which they were noted.
        if next < self.ends.len() && fits(&next) {
            return (left..next).find(fits).or(Some(next));
        }
        (left..self.ends.len()).find(fits)
    }

    /// How far a whole head behind its first line goes whose names are these; `None` where it has
    /// others, or is not whole.
    pub(crate) fn end_of(&self, fields: &[u8]) -> Option<usize> {
        let mut at = 0;
        for index in 0..self.ends.len() {
            let rest = &fields[at..];
            if !self.fits(&self.text, index, rest) {
                return None;
            }
            at += memchr(b'\n', rest)? + 1;
        }
        fields[at..].starts_with(b"\r\n").then_some(at + 2)
    }
}

/// Whether `bytes` begin with the head of an interim answer (RFC 9110 section 15.2) other than 101.
pub(crate) fn is_interim(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 1") && !bytes.starts_with(b"HTTP/1.1 101")
}
