//! `${NAME}` and `${NAME:-default}` in the values of a policy.
//!
//! Owns their spelling and their expansion in a [`Node`] tree; what comes out is text and is never
//! read as YAML again. Keys stay as they are. Called by [`crate::load`] and [`crate::parse`].

use crate::Variables;
use crate::report::Report;
use crate::source::MAX_BYTES;
use crate::tree::{Kind, Node};

/// Expands every scalar of a tree.
pub(crate) fn expand(report: &Report<'_>, node: &mut Node) {
    Expander { report, spent: 0 }.node(node);
}

struct Expander<'a> {
    report: &'a Report<'a>,
    /// Bytes put in so far: a small file must not become a large one.
    spent: u64,
}

impl Expander<'_> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.kind {
            Kind::Null => {}
            Kind::Sequence(items) => items.iter_mut().for_each(|item| self.node(item)),
            Kind::Mapping(entries) => {
                entries
                    .iter_mut()
                    .for_each(|entry| self.node(&mut entry.value));
            }
            Kind::Scalar(scalar) if scalar.text.contains('$') => match self.text(&scalar.text) {
                Ok(text) => {
                    scalar.secret = scalar.text.contains("${");
                    scalar.text = text;
                }
                Err((text, hint)) => {
                    self.report.error_hint(node.pos, text, hint);
                    node.kind = Kind::Broken;
                }
            },
            Kind::Scalar(_) | Kind::Broken => {}
        }
    }

    fn text(&mut self, text: &str) -> Result<String, (String, Option<String>)> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some(after) = after.strip_prefix('{') {
                let Some((inside, after)) = after.split_once('}') else {
                    let hint = "write `$$` for a dollar sign";
                    return Err(("`${` without its `}`".to_owned(), Some(hint.to_owned())));
                };
                let value = self.value(inside)?;
                self.spend(&value)?;
                out.push_str(&value);
                rest = after;
            } else {
                out.push('$');
                rest = after;
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&self, inside: &str) -> Result<String, (String, Option<String>)> {
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.chars().all(good)
        {
            let hint = "as in `${NAME}` or `${NAME:-default}`; write `$$` for a dollar sign";
            return Err((
                format!("`{name}` is no name of a variable"),
                Some(hint.to_owned()),
            ));
        }
        match (self.lookup(name), default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err((
                format!("the environment has no variable `{name}`"),
                Some(format!("set it, or give a default: `${{{name}:-…}}`")),
            )),
        }
    }

    fn lookup(&self, name: &str) -> Option<String> {
        match &self.report.options.variables {
            Variables::Process => std::env::var(name).ok(),
            Variables::Given(given) => given.get(name).cloned(),
        }
    }

    fn spend(&mut self, value: &str) -> Result<(), (String, Option<String>)> {
        self.spent = self.spent.saturating_add(value.len() as u64);
        if self.spent > MAX_BYTES {
            return Err(("the variables expand to too much".to_owned(), None));
        }
        Ok(())
    }
}
