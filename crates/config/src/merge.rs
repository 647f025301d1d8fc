//! Several files as one policy.
//!
//! Owns how their top levels join: mappings are united, lists follow each other in the order of the
//! files, and whatever is given twice is reported with both places. Called by [`crate::load`].

use crate::report::Report;
use crate::source::Pos;
use crate::tree::{Entry, Kind, Node};
use std::collections::HashMap;

/// One tree of all; `None` where a file has no mapping to join, which the report then says.
pub(crate) fn merge(report: &Report<'_>, trees: Vec<Node>) -> Option<Node> {
    let mut sound = true;
    let mut whole: Option<(Node, Vec<Entry>)> = None;
    for tree in trees {
        let Node { pos, kind } = tree;
        let entries = match kind {
            Kind::Mapping(entries) => entries,
            Kind::Null => {
                let hint = "a policy has at least `version`, `listeners`, `providers` and `pools`";
                let top = Pos {
                    line: 1,
                    column: 1,
                    ..pos
                };
                report.error_hint(top, "the file is empty", hint);
                sound = false;
                continue;
            }
            Kind::Scalar(_) | Kind::Sequence(_) | Kind::Broken => {
                let hint = "as in `version: 1`";
                report.error_hint(pos, "expected keys with their values at the top", hint);
                sound = false;
                continue;
            }
        };
        let empty = || {
            (
                Node {
                    pos,
                    kind: Kind::Null,
                },
                Vec::new(),
            )
        };
        let (_, joined) = whole.get_or_insert_with(empty);
        for entry in entries {
            join(report, joined, entry);
        }
    }
    let (root, entries) = whole.filter(|_| sound)?;
    Some(Node {
        kind: Kind::Mapping(entries),
        ..root
    })
}

fn join(report: &Report<'_>, joined: &mut Vec<Entry>, entry: Entry) {
    let Some(first) = joined.iter_mut().find(|other| other.key == entry.key) else {
        joined.push(entry);
        return;
    };
    match (&mut first.value.kind, entry.value.kind) {
        (Kind::Mapping(into), Kind::Mapping(from)) => {
            let known: HashMap<String, Pos> = into
                .iter()
                .map(|entry| (entry.key.clone(), entry.pos))
                .collect();
            for inner in from {
                match known.get(&inner.key) {
                    Some(first) => twice(report, *first, &inner),
                    None => into.push(inner),
                }
            }
        }
        (Kind::Sequence(into), Kind::Sequence(from)) => into.extend(from),
        (Kind::Scalar(a), Kind::Scalar(b)) if a.text == b.text => {}
        (_, kind) => {
            let second = Entry {
                value: Node {
                    pos: entry.value.pos,
                    kind,
                },
                ..entry
            };
            twice(report, first.pos, &second);
        }
    }
}

fn twice(report: &Report<'_>, first: Pos, second: &Entry) {
    let text = format!("`{}` is given twice", second.key);
    let place = report.place(first, second.pos);
    report.error_hint(second.pos, text, format!("first given at {place}"));
}
