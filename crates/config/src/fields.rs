//! A mapping being read: which keys it has, which it should not have, and values by type.
//!
//! Which keys there are, and within which bounds, [`crate::shape`] says.
//! Owns the words for what is missing, unknown, of the wrong type or out of range. Whatever is wrong
//! is reported and replaced by the default, so that reading goes on. Used by all of
//! [`crate::compile`].

use crate::report::Report;
use crate::shape::{Declared, Section, Value};
use crate::source::Pos;
use crate::suggest;
use crate::tree::{Entry, Kind, Node};
use crate::units::{self, Misread};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A mapping, read by what is declared of it.
pub(crate) struct Fields<'a> {
    pub(crate) report: &'a Report<'a>,
    /// Where the mapping begins.
    pub(crate) pos: Pos,
    entries: &'a [Entry],
    section: &'static Section,
}

impl<'a> Fields<'a> {
    /// The node as a mapping of this kind.
    pub(crate) fn of(report: &'a Report<'a>, node: &'a Node, section: Declared) -> Option<Self> {
        let Kind::Mapping(entries) = &node.kind else {
            let hint = format!("as in `{}`", section.example);
            expected(report, node, section.what, Some(hint));
            return None;
        };
        Some(Self {
            report,
            pos: node.pos,
            entries,
            section,
        })
    }

    /// The value of a key. A key without a value is reported and counts as absent.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.alternatives(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        present(self.report, entry)
    }

    /// The value of a key that has to be there.
    pub(crate) fn require(&mut self, key: &'static str, example: &str) -> Option<&'a Node> {
        if !self.has(key) {
            let hint = format!("as in `{key}: {example}`");
            self.report
                .error_hint(self.pos, format!("`{key}` is missing"), hint);
        }
        self.get(key)
    }

    /// Whether the key is there, with or without a value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.key_pos(key).is_some()
    }

    /// Where the key stands.
    pub(crate) fn key_pos(&self, key: &str) -> Option<Pos> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.pos)
    }

    /// What may stand behind a key. Asking for one that is not declared is a mistake of the reader,
    /// which nobody would see: a policy with that key is refused.
    fn alternatives(&self, key: &str) -> &'static [Value] {
        let declared = self.section.key(key);
        debug_assert!(declared.is_some(), "`{key}` is not declared");
        declared.map_or(&[], |key| key.value.alternatives())
    }

    /// The bounds that are declared for a key, by what reads them.
    fn bounds<T: Clone>(
        &self,
        key: &str,
        of: impl Fn(&Value) -> Option<&RangeInclusive<T>>,
        widest: RangeInclusive<T>,
    ) -> RangeInclusive<T> {
        let declared = self.alternatives(key).iter().find_map(of);
        debug_assert!(declared.is_some(), "`{key}` is declared as something else");
        declared.cloned().unwrap_or(widest)
    }

    /// Reports the keys that are not declared. To be called last.
    pub(crate) fn finish(self) {
        for entry in self.entries {
            if self.section.key(&entry.key).is_none() {
                let text = format!("unknown key `{}`", entry.key);
                let known = self.section.keys.iter().map(|key| key.name);
                let hint = self.report.suggest(&entry.key, known);
                self.report.error_hint(entry.pos, text, hint);
            }
        }
    }

    /// A duration within its bounds.
    pub(crate) fn duration(&mut self, key: &'static str, default: Duration) -> Duration {
        let read = |text: &str| units::duration(text);
        let bounds = self.bounds(key, Value::spans, Duration::ZERO..=Duration::MAX);
        self.value(key, "a duration such as 500ms", read, &bounds, |d| {
            units::show_duration(*d)
        })
        .unwrap_or(default)
    }

    /// A number of bytes within its bounds.
    pub(crate) fn size(&mut self, key: &'static str, default: u64) -> u64 {
        let show = |size: &u64| units::show_size(*size);
        let bounds = self.bounds(key, Value::sizes, 0..=u64::MAX);
        self.value(key, "a size such as 64KiB", units::size, &bounds, show)
            .unwrap_or(default)
    }

    /// A share within its bounds.
    pub(crate) fn share(&mut self, key: &'static str, default: f64) -> f64 {
        let show = |share: &f64| units::show_share(*share);
        let bounds = self.bounds(key, Value::shares, 0.0..=1.0);
        self.value(key, "a share such as 50%", units::share, &bounds, show)
            .unwrap_or(default)
    }

    /// A rate per second within its bounds, where there is one.
    pub(crate) fn rate(&mut self, key: &'static str) -> Option<f64> {
        let show = |rate: &f64| format!("{rate}/s");
        let bounds = self.bounds(key, Value::rates, 0.0..=f64::MAX);
        self.value(key, "a rate such as 2000/s", units::rate, &bounds, show)
    }

    /// A whole number within its bounds, where there is one.
    pub(crate) fn number(&mut self, key: &'static str) -> Option<u64> {
        let read = |text: &str| text.parse::<u64>().map_err(|_| None);
        let bounds = self.bounds(key, Value::numbers, 0..=u64::MAX);
        self.value(key, "a whole number", read, &bounds, u64::to_string)
    }

    /// A whole number within its bounds as `u32`.
    pub(crate) fn count(&mut self, key: &'static str, default: u32) -> u32 {
        let number = self.number(key);
        number
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(default)
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.word(key, &[("true", true), ("false", false)])
            .unwrap_or(default)
    }

    /// One of a few words, where there is one.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let node = self.get(key)?;
        word(self.report, node, words)
    }

    /// A text, where there is one; empty ones are reported.
    pub(crate) fn text(&mut self, key: &'static str, what: &str) -> Option<&'a str> {
        let node = self.get(key)?;
        text(self.report, node, what)
    }

    fn value<T: PartialOrd>(
        &mut self,
        key: &'static str,
        what: &str,
        read: impl Fn(&str) -> Result<T, Misread>,
        bounds: &RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        let node = self.get(key)?;
        let text = text(self.report, node, what)?;
        let value = match read(text) {
            Ok(value) => value,
            Err(hint) => {
                expected(self.report, node, what, hint);
                return None;
            }
        };
        if !bounds.contains(&value) {
            let (low, high) = (show(bounds.start()), show(bounds.end()));
            let text = format!("`{key}` must be between {low} and {high}, not {text}");
            self.report.error(node.pos, text);
            return None;
        }
        Some(value)
    }
}

/// The value of an entry; one without a value is reported.
pub(crate) fn present<'a>(report: &Report<'_>, entry: &'a Entry) -> Option<&'a Node> {
    if matches!(entry.value.kind, Kind::Null) {
        let text = format!("`{}` has no value", entry.key);
        report.error_hint(entry.pos, text, "give it one, or remove the key");
        return None;
    }
    Some(&entry.value)
}

/// Reports a value that is not what it should be.
pub(crate) fn expected(report: &Report<'_>, node: &Node, what: &str, hint: Misread) {
    if matches!(node.kind, Kind::Broken) {
        report.error_told_elsewhere();
        return;
    }
    let secret = node.scalar().is_some_and(|scalar| scalar.secret);
    let found = match node.text() {
        Some(_) if secret => "something else in its variable".to_owned(),
        Some(text) if text.chars().count() > 60 => "a longer text".to_owned(),
        Some(text) => format!("`{text}`"),
        None => node.what().to_owned(),
    };
    report.error_hint(node.pos, format!("expected {what}, found {found}"), hint);
}

/// The node's text; anything but a scalar, and an empty one, is reported.
pub(crate) fn text<'a>(report: &Report<'_>, node: &'a Node, what: &str) -> Option<&'a str> {
    let text = node.text().filter(|text| !text.is_empty());
    if text.is_none() {
        expected(report, node, what, None);
    }
    text
}

/// The node as one of a few words.
pub(crate) fn word<T: Copy>(
    report: &Report<'_>,
    node: &Node,
    words: &[(&'static str, T)],
) -> Option<T> {
    let found = node
        .text()
        .and_then(|text| words.iter().find(|(word, _)| *word == text));
    if found.is_none() {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = node.text().and_then(|text| suggest::nearest(text, &names));
        expected(report, node, &either(&names), hint);
    }
    found.map(|(_, value)| *value)
}

/// The items of a list that has at most `most` of them.
pub(crate) fn list<'a>(
    report: &Report<'_>,
    node: &'a Node,
    what: &str,
    most: usize,
) -> Option<&'a [Node]> {
    let Kind::Sequence(items) = &node.kind else {
        expected(
            report,
            node,
            what,
            Some("write `[a, b]`, or `- a` on lines of their own".into()),
        );
        return None;
    };
    bounded(report, node.pos, items.len(), what, most).then_some(items.as_slice())
}

/// One value, or a list of at most `most`.
pub(crate) fn one_or_list<'a>(
    report: &Report<'_>,
    node: &'a Node,
    what: &str,
    most: usize,
) -> &'a [Node] {
    match &node.kind {
        Kind::Sequence(items) if items.is_empty() => {
            report.error(node.pos, format!("expected {what}, found an empty list"));
            &[]
        }
        Kind::Sequence(items) if bounded(report, node.pos, items.len(), what, most) => items,
        Kind::Sequence(_) => &[],
        _ => std::slice::from_ref(node),
    }
}

/// The entries of a mapping from names to things, at most `most`. Names that cannot be used in
/// labels and paths are reported.
pub(crate) fn named<'a>(
    report: &Report<'_>,
    node: &'a Node,
    what: &str,
    most: usize,
) -> &'a [Entry] {
    let Kind::Mapping(entries) = &node.kind else {
        expected(
            report,
            node,
            what,
            Some("names with their settings, as in `a: { … }`".into()),
        );
        return &[];
    };
    if entries.is_empty() {
        report.error(node.pos, format!("expected {what}, found none"));
    }
    if !bounded(report, node.pos, entries.len(), what, most) {
        return &[];
    }
    entries
        .iter()
        .for_each(|entry| name(report, entry.pos, &entry.key));
    entries
}

/// Reports a name that cannot be used in labels and paths.
pub(crate) fn name(report: &Report<'_>, pos: Pos, name: &str) {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(inner);
    if !good || name.len() > 64 {
        let hint = "letters, digits, `.`, `_` and `-`, 64 at most, a letter or digit first";
        report.error_hint(pos, format!("`{name}` cannot be a name"), hint);
    }
}

fn bounded(report: &Report<'_>, pos: Pos, len: usize, what: &str, most: usize) -> bool {
    if len > most {
        report.error(pos, format!("{what}: {len} of them, {most} at most"));
    }
    len <= most
}

/// `a, b or c`.
pub(crate) fn either<T: Display>(words: &[T]) -> String {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
