//! YAML as a tree that remembers where everything stands.
//!
//! Owns the way from text to [`Node`]: serde-saphyr within a strict budget, scalars with the text
//! that was written, duplicate keys as problems. Knows no key of the policy. Called by
//! [`crate::load`] and [`crate::parse`], for each file.

use crate::report::Report;
use crate::source::{Pos, Source};
use crate::syntax;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::collections::HashMap;
use std::fmt;

/// A value and its place. A value behind an alias stands where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) pos: Pos,
    pub(crate) kind: Kind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
    /// A scalar whose variables could not be expanded. That is reported already: whoever expects
    /// something here says no more.
    Broken,
}

/// A scalar as written, quotes and escapes resolved.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Written without quotes.
    pub(crate) plain: bool,
    /// Came in part from a variable: perhaps a secret, so that messages do not repeat it.
    pub(crate) secret: bool,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) pos: Pos,
    pub(crate) value: Node,
}

impl Node {
    /// `a list`, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Scalar(_) | Kind::Broken => "a single value",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }

    /// The scalar, where it is one.
    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text of a scalar; nothing for anything else.
    pub(crate) fn text(&self) -> Option<&str> {
        self.scalar().map(|scalar| scalar.text.as_str())
    }
}

/// The tree of one file; `None` when it has no usable one, which the report then says.
pub(crate) fn parse(report: &Report<'_>, file: usize) -> Option<Node> {
    let source = report.sources.get(file)?;
    let raw: Raw = match serde_saphyr::from_str_with_options(&source.text, syntax::options()) {
        Ok(raw) => raw,
        Err(error) => {
            syntax::explain(report, file, &error);
            return None;
        }
    };
    Some(
        Planter {
            report,
            source,
            file,
        }
        .node(raw),
    )
}

/// What the parser gives: a value with the place where it is used and the place where it stands.
type Raw = Spanned<RawKind>;

enum RawKind {
    Null,
    /// A scalar that was resolved to a number or a truth value; its text is in the source.
    Plain,
    Text(String),
    Sequence(Vec<Raw>),
    Mapping(Vec<(Raw, Raw)>),
}

impl<'de> Deserialize<'de> for RawKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<RawKind, E> {
        Ok(RawKind::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<RawKind, E> {
        Ok(RawKind::Plain)
    }

    fn visit_i64<E>(self, _: i64) -> Result<RawKind, E> {
        Ok(RawKind::Plain)
    }

    fn visit_u64<E>(self, _: u64) -> Result<RawKind, E> {
        Ok(RawKind::Plain)
    }

    fn visit_f64<E>(self, _: f64) -> Result<RawKind, E> {
        Ok(RawKind::Plain)
    }

    fn visit_str<E>(self, text: &str) -> Result<RawKind, E> {
        Ok(RawKind::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<RawKind, E> {
        Ok(RawKind::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<RawKind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(RawKind::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawKind, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(RawKind::Mapping(entries))
    }
}

/// Turns what the parser gave into the tree.
struct Planter<'a> {
    report: &'a Report<'a>,
    source: &'a Source,
    file: usize,
}

impl Planter<'_> {
    fn node(&self, raw: Raw) -> Node {
        let pos = self.pos(&raw);
        let kind = match raw.value {
            RawKind::Null => Kind::Null,
            RawKind::Plain => {
                let text = written(self.source, raw.defined).unwrap_or_default().trim();
                Kind::Scalar(Scalar {
                    text: text.to_owned(),
                    plain: true,
                    secret: false,
                })
            }
            RawKind::Text(text) => {
                let written = written(self.source, raw.defined).unwrap_or_default();
                let plain = !written.trim_start().starts_with(['"', '\'']);
                Kind::Scalar(Scalar {
                    text,
                    plain,
                    secret: false,
                })
            }
            RawKind::Sequence(items) => {
                Kind::Sequence(items.into_iter().map(|item| self.node(item)).collect())
            }
            RawKind::Mapping(entries) => Kind::Mapping(self.mapping(entries)),
        };
        Node { pos, kind }
    }

    fn mapping(&self, raw: Vec<(Raw, Raw)>) -> Vec<Entry> {
        let mut seen: HashMap<String, Pos> = HashMap::new();
        let mut entries = Vec::with_capacity(raw.len());
        for (key, value) in raw {
            let key = self.node(key);
            let value = self.node(value);
            let Some(text) = key.text() else {
                self.report.error(
                    key.pos,
                    format!("expected a word as key, found {}", key.what()),
                );
                continue;
            };
            if let Some(first) = seen.get(text) {
                let place = self.report.place(*first, key.pos);
                let text = format!("key `{text}` is given twice");
                self.report
                    .error_hint(key.pos, text, format!("first given at {place}"));
                continue;
            }
            seen.insert(text.to_owned(), key.pos);
            entries.push(Entry {
                key: text.to_owned(),
                pos: key.pos,
                value,
            });
        }
        entries
    }

    fn pos(&self, raw: &Raw) -> Pos {
        let known = |location: &Location| *location != Location::UNKNOWN;
        let location = if known(&raw.defined) {
            raw.defined
        } else {
            raw.referenced
        };
        pos(self.file, location)
    }
}

/// A place of the parser as one of ours; the beginning of the file where it knows none.
pub(crate) fn pos(file: usize, location: Location) -> Pos {
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    Pos {
        file,
        line: count(location.line()),
        column: count(location.column()),
    }
}

/// The text of the file at a place.
fn written(source: &Source, location: Location) -> Option<&str> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let len = usize::try_from(location.span().byte_len()?).ok()?;
    source.text.get(start..start.checked_add(len)?)
}
