//! Where problems are gathered, so that all of them are told at once.
//!
//! Owns the list, its bound and its order. Judges nothing. Every part of the compiler holds a
//! shared reference to one [`Report`].

use crate::Options;
use crate::problem::{Problem, Severity};
use crate::source::{Pos, Source};
use crate::suggest;
use std::cell::{Cell, RefCell};

/// Problems that are told at most; the rest is counted.
const MAX_PROBLEMS: usize = 1000;

/// Names that are compared at most in search of what was meant: hints are no reason to wait.
const MAX_COMPARISONS: usize = 100_000;

/// Bytes of a line that is kept with its problem; a longer one is left out.
const MAX_LINE: usize = 1000;

/// The problems found so far in some sources.
pub(crate) struct Report<'a> {
    pub(crate) sources: &'a [Source],
    pub(crate) options: &'a Options,
    problems: RefCell<Vec<(Pos, Problem)>>,
    errors: Cell<usize>,
    untold: Cell<usize>,
    /// Names that may still be compared in search of what was meant.
    comparisons: Cell<usize>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(sources: &'a [Source], options: &'a Options) -> Self {
        Self {
            sources,
            options,
            problems: RefCell::default(),
            errors: Cell::new(0),
            untold: Cell::new(0),
            comparisons: Cell::new(MAX_COMPARISONS),
        }
    }

    /// Something that makes the policy useless.
    pub(crate) fn error(&self, pos: Pos, text: impl Into<String>) {
        self.add(pos, Severity::Error, text.into(), None);
    }

    /// The same, and what to do about it.
    pub(crate) fn error_hint(&self, pos: Pos, text: impl Into<String>, hint: impl IntoHint) {
        self.add(pos, Severity::Error, text.into(), hint.into_hint());
    }

    /// Something that deserves a look.
    pub(crate) fn warning(&self, pos: Pos, text: impl Into<String>, hint: impl IntoHint) {
        self.add(pos, Severity::Warning, text.into(), hint.into_hint());
    }

    /// Counts an error that another place has reported already.
    pub(crate) fn error_told_elsewhere(&self) {
        self.errors.set(self.errors.get() + 1);
    }

    /// Whether anything so far makes the policy useless.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors.get() > 0
    }

    /// How many errors so far: equal counts before and after a step mean that it found none.
    pub(crate) fn error_count(&self) -> usize {
        self.errors.get()
    }

    /// What an unknown name was probably meant to be; nothing once looking has taken too long.
    pub(crate) fn suggest<'n>(
        &self,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) -> Option<String> {
        let known: Vec<&str> = known.into_iter().collect();
        let left = self.comparisons.get().checked_sub(known.len())?;
        self.comparisons.set(left);
        suggest::names(name, &known)
    }

    /// `line 7`, or `b.yaml, line 7` where it is another file than that of `from`.
    pub(crate) fn place(&self, pos: Pos, from: Pos) -> String {
        match self.sources.get(pos.file) {
            Some(source) if pos.file != from.file => format!("{}, line {}", source.name, pos.line),
            _ => format!("line {}", pos.line),
        }
    }

    /// Everything found, in the order of files and lines, each once.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|(a, one), (b, other)| (a, &one.text).cmp(&(b, &other.text)));
        let mut problems: Vec<Problem> = problems.into_iter().map(|(_, problem)| problem).collect();
        problems.dedup();
        if self.untold.get() > 0 {
            problems.push(Problem {
                file: self
                    .sources
                    .first()
                    .map(|s| s.name.clone())
                    .unwrap_or_default(),
                line: 0,
                column: 0,
                severity: if self.errors.get() > 0 {
                    Severity::Error
                } else {
                    Severity::Warning
                },
                text: format!("{} further problems are not shown", self.untold.get()),
                hint: None,
                source: None,
            });
        }
        problems
    }

    fn add(&self, pos: Pos, severity: Severity, text: String, hint: Option<String>) {
        if severity == Severity::Error {
            self.errors.set(self.errors.get() + 1);
        }
        let mut problems = self.problems.borrow_mut();
        if problems.len() >= MAX_PROBLEMS {
            self.untold.set(self.untold.get() + 1);
            return;
        }
        let source = self.sources.get(pos.file);
        problems.push((
            pos,
            Problem {
                file: source.map(|s| s.name.clone()).unwrap_or_default(),
                line: pos.line,
                column: pos.column,
                severity,
                text,
                hint,
                source: source
                    .and_then(|s| s.line(pos.line))
                    .filter(|line| line.len() <= MAX_LINE)
                    .map(str::to_owned),
            },
        ));
    }
}

/// What can be given as a hint: a text, or none.
pub(crate) trait IntoHint {
    fn into_hint(self) -> Option<String>;
}

impl IntoHint for &str {
    fn into_hint(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl IntoHint for String {
    fn into_hint(self) -> Option<String> {
        Some(self)
    }
}

impl IntoHint for Option<String> {
    fn into_hint(self) -> Option<String> {
        self
    }
}
