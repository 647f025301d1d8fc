//! The shape of a policy, declared once: every key with its type, its default, its bounds and what it
//! means.
//!
//! The reader takes bounds and known keys from here ([`crate::fields`]), and so do the JSON Schema and
//! the tables of `docs/policy.md` ([`crate::schema`], [`crate::reference`]). What a value means beyond
//! its type is for [`crate::compile`]. One file a part of the policy.

pub(crate) mod failover;
pub(crate) mod listeners;
pub(crate) mod pools;
pub(crate) mod process;
pub(crate) mod routes;
pub(crate) mod words;

use crate::units::{show_duration, show_share, show_size};
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use std::time::Duration;

/// A mapping of the policy with fixed keys.
pub(crate) struct Section {
    /// What it is called where it is referred to.
    pub(crate) name: &'static str,
    /// `a backend`, for messages.
    pub(crate) what: &'static str,
    /// Shows one, for messages.
    pub(crate) example: &'static str,
    /// Whether the reference has a table of its own for it; its keys stand in its parent's otherwise.
    pub(crate) table: bool,
    pub(crate) keys: Vec<Key>,
}

/// Where a section is declared.
pub(crate) type Declared = &'static LazyLock<Section>;

/// A key and what may stand behind it.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    pub(crate) default: Without,
    pub(crate) help: &'static str,
}

/// What holds where a key is not there.
pub(crate) enum Without {
    /// It has to be there.
    Required,
    /// As if this were written.
    Is(String),
    /// What cannot be written so, in words.
    Told(&'static str),
}

/// What may stand behind a key.
pub(crate) enum Value {
    Duration(RangeInclusive<Duration>),
    Size(RangeInclusive<u64>),
    Share(RangeInclusive<f64>),
    Rate(RangeInclusive<f64>),
    Number(RangeInclusive<u64>),
    /// One of these.
    Words(Vec<&'static str>),
    Flag,
    /// A text; what it is, for people.
    Text(&'static str),
    Section(Declared),
    /// A list of so many.
    List(Box<Value>, RangeInclusive<usize>),
    /// One, or a list of so many at most.
    OneOrList(Box<Value>, usize),
    /// A mapping from names, so many at most.
    Named(Box<Value>, usize),
    /// A mapping from texts, so many at most; what a key and a value are, for people.
    Pairs(&'static str, usize),
    /// Any of these.
    Either(Vec<Value>),
}

impl Section {
    pub(crate) fn new(name: &'static str, what: &'static str, example: &'static str) -> Self {
        Self {
            name,
            what,
            example,
            table: true,
            keys: Vec::new(),
        }
    }

    /// Its keys stand in the table of what it is part of.
    pub(crate) fn inline(mut self) -> Self {
        self.table = false;
        self
    }

    /// The key of a name.
    pub(crate) fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// A key that has to be there.
    pub(crate) fn required(self, name: &'static str, value: Value, help: &'static str) -> Self {
        self.with(name, value, Without::Required, help)
    }

    /// A key whose absence means something that cannot be written.
    pub(crate) fn optional(
        self,
        name: &'static str,
        value: Value,
        without: &'static str,
        help: &'static str,
    ) -> Self {
        self.with(name, value, Without::Told(without), help)
    }

    /// A key with a default that could be written.
    pub(crate) fn or(
        self,
        name: &'static str,
        value: Value,
        default: &str,
        help: &'static str,
    ) -> Self {
        self.with(name, value, Without::Is(default.to_owned()), help)
    }

    pub(crate) fn duration(
        self,
        name: &'static str,
        default: Duration,
        bounds: RangeInclusive<Duration>,
        help: &'static str,
    ) -> Self {
        self.or(name, Value::Duration(bounds), &show_duration(default), help)
    }

    pub(crate) fn size(
        self,
        name: &'static str,
        default: u64,
        bounds: RangeInclusive<u64>,
        help: &'static str,
    ) -> Self {
        self.or(name, Value::Size(bounds), &show_size(default), help)
    }

    pub(crate) fn share(
        self,
        name: &'static str,
        default: f64,
        bounds: RangeInclusive<f64>,
        help: &'static str,
    ) -> Self {
        self.or(name, Value::Share(bounds), &show_share(default), help)
    }

    pub(crate) fn number(
        self,
        name: &'static str,
        default: u64,
        bounds: RangeInclusive<u64>,
        help: &'static str,
    ) -> Self {
        self.or(name, Value::Number(bounds), &default.to_string(), help)
    }

    pub(crate) fn flag(self, name: &'static str, default: bool, help: &'static str) -> Self {
        self.or(name, Value::Flag, &default.to_string(), help)
    }

    fn with(
        mut self,
        name: &'static str,
        value: Value,
        default: Without,
        help: &'static str,
    ) -> Self {
        self.keys.push(Key {
            name,
            value,
            default,
            help,
        });
        self
    }
}

impl Value {
    /// One of the words of a table.
    pub(crate) fn words<T>(table: &[(&'static str, T)]) -> Self {
        Value::Words(table.iter().map(|(word, _)| *word).collect())
    }

    pub(crate) fn list(of: Value, len: RangeInclusive<usize>) -> Self {
        Value::List(Box::new(of), len)
    }

    pub(crate) fn one_or_list(of: Value, most: usize) -> Self {
        Value::OneOrList(Box::new(of), most)
    }

    pub(crate) fn named(of: Value, most: usize) -> Self {
        Value::Named(Box::new(of), most)
    }

    pub(crate) const fn spans(&self) -> Option<&RangeInclusive<Duration>> {
        match self {
            Value::Duration(bounds) => Some(bounds),
            _ => None,
        }
    }

    pub(crate) const fn sizes(&self) -> Option<&RangeInclusive<u64>> {
        match self {
            Value::Size(bounds) => Some(bounds),
            _ => None,
        }
    }

    pub(crate) const fn shares(&self) -> Option<&RangeInclusive<f64>> {
        match self {
            Value::Share(bounds) => Some(bounds),
            _ => None,
        }
    }

    pub(crate) const fn rates(&self) -> Option<&RangeInclusive<f64>> {
        match self {
            Value::Rate(bounds) => Some(bounds),
            _ => None,
        }
    }

    pub(crate) const fn numbers(&self) -> Option<&RangeInclusive<u64>> {
        match self {
            Value::Number(bounds) => Some(bounds),
            _ => None,
        }
    }

    /// Itself, or what it may be.
    pub(crate) fn alternatives(&self) -> &[Value] {
        match self {
            Value::Either(values) => values,
            one => std::slice::from_ref(one),
        }
    }
}
