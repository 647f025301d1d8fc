//! The settings of one thing of a policy, spelt as the policy spells them.
//!
//! Owns how values are written and that no secret is among them. Filled by [`super::describe`] and
//! [`super::describe_pool`].

use crate::policy::{Comparison, JsonCheck, Protocol};
use crate::units::{show_duration, show_share, show_size};
use http::header::HeaderName;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Display;
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// One key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: String,
    /// As people see it.
    pub(super) shown: String,
    /// Of what is not shown; 0 where all is.
    hidden: u64,
}

/// The settings of one thing, in the order in which they are told.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings(pub(super) Vec<Setting>);

impl Settings {
    pub(super) fn put(&mut self, key: &str, value: impl Display) {
        self.0.push(Setting {
            key: key.to_owned(),
            shown: value.to_string(),
            hidden: 0,
        });
    }

    /// A value of which only `shown` is told: `hidden` may be a secret.
    pub(super) fn put_secret(&mut self, key: &str, shown: String, hidden: impl Hash) {
        let mut hasher = DefaultHasher::new();
        hidden.hash(&mut hasher);
        self.0.push(Setting {
            key: key.to_owned(),
            shown,
            hidden: hasher.finish(),
        });
    }

    pub(super) fn span(&mut self, key: &str, span: Duration) {
        self.put(key, show_duration(span));
    }

    pub(super) fn size(&mut self, key: &str, bytes: u64) {
        self.put(key, show_size(bytes));
    }

    pub(super) fn share(&mut self, key: &str, share: f64) {
        self.put(key, show_share(share));
    }

    /// A value that may be absent, which `none` says then.
    pub(super) fn option(&mut self, key: &str, value: Option<impl Display>, none: &str) {
        match value {
            Some(value) => self.put(key, value),
            None => self.put(key, none),
        }
    }

    /// All of another, below a key.
    pub(super) fn below(&mut self, key: &str, other: Settings) {
        let keyed = |setting: Setting| Setting {
            key: format!("{key}.{}", setting.key),
            ..setting
        };
        self.0.extend(other.0.into_iter().map(keyed));
    }
}

/// `a, b`, or `none`.
pub(super) fn list<T: Display>(items: &[T], none: &str) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}

pub(super) const fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "http1",
        Protocol::Http2 => "http2",
        Protocol::Auto => "auto",
    }
}

/// Conditions on header fields: `x-ok, x-feed: live`.
pub(super) fn fields(fields: &[(HeaderName, Option<String>)], none: &str) -> String {
    let one = |(name, value): &(HeaderName, Option<String>)| match value {
        Some(value) => format!("{name}: {value}"),
        None => name.to_string(),
    };
    // Their order means nothing.
    let mut all: Vec<String> = fields.iter().map(one).collect();
    all.sort_unstable();
    list(&all, none)
}

/// `/engine/lag_ms < 500, /ok present`.
pub(super) fn checks(checks: &[(String, JsonCheck)]) -> String {
    let one = |(pointer, check): &(String, JsonCheck)| match check {
        JsonCheck::Number(comparison, number) => {
            format!("{pointer} {} {number}", sign(*comparison))
        }
        JsonCheck::Text(text) => format!("{pointer} is the text `{text}`"),
        JsonCheck::Bool(truth) => format!("{pointer} is {truth}"),
        JsonCheck::Present => format!("{pointer} present"),
    };
    let mut all: Vec<String> = checks.iter().map(one).collect();
    all.sort_unstable();
    list(&all, "none")
}

const fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
        Comparison::Equal => "==",
        Comparison::NotEqual => "!=",
    }
}
