//! What is wrong with a policy, and where.
//!
//! Owns [`Problem`] and how it looks to people and to machines. Knows nothing of YAML or of what a
//! policy means. Made by [`crate::report`]; printed by `leeward check` and `leeward run`.

use serde::Serialize;
use std::fmt;

/// Characters of a source line that are shown at most; a longer line is shown around the place.
const SHOWN: usize = 120;

/// How much a [`Problem`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The policy cannot be used.
    Error,
    /// The policy can be used; someone should look at it.
    Warning,
}

/// One thing that is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as its path was given.
    pub file: String,
    /// Line in the file, from 1; 0 where the problem is the file itself.
    pub line: u32,
    /// Column in the line in characters, from 1; 0 where the problem is the file itself.
    pub column: u32,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub text: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// The line of the file, where there is one.
    pub source: Option<String>,
}

impl Problem {
    /// Whether the policy cannot be used because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    /// `file:line:column: error: text`, the line, a caret under the place, and the hint; each on a
    /// line of its own, without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.file))?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, ": {word}: {}", printable(&self.text))?;
        if let Some(source) = &self.source {
            let (line, caret) = window(source, self.column);
            write!(f, "\n  {line}\n  {caret}^")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {}", printable(hint))?;
        }
        Ok(())
    }
}

/// The part of a line around a column, and the blanks that lead to that column. Tabs stay in both,
/// so that the caret stands under its character whatever a tab is worth.
fn window(source: &str, column: u32) -> (String, String) {
    let at = (column as usize).saturating_sub(1);
    let first = if at < SHOWN - 20 { 0 } else { at - SHOWN / 2 };
    let line: String = source
        .chars()
        .skip(first)
        .take(SHOWN)
        .map(visible)
        .collect();
    let caret = source
        .chars()
        .chain(std::iter::repeat(' '))
        .skip(first)
        .take(at - first)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    (line, caret)
}

/// A file may hold anything; a terminal must not obey it.
fn visible(c: char) -> char {
    if c.is_control() && c != '\t' {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

fn printable(text: &str) -> String {
    text.chars().map(visible).collect()
}
