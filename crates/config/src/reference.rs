//! The tables of keys in `docs/policy.md`, written from [`crate::shape`].
//!
//! Owns what stands between the marks `<!-- keys of NAME -->` and `<!-- end of keys -->`; the prose
//! around them is people's. A test compares the page with this.

use crate::schema::bounds;
use crate::shape::process::TOP;
use crate::shape::{Section, Value, Without};
use std::fmt::Write;

const BEGIN: &str = "<!-- keys of ";
const END: &str = "<!-- end of keys -->";

/// The page with its tables written anew.
///
/// # Errors
/// A mark that cannot be followed, or a section that the page has no table for.
pub fn reference(page: &str) -> Result<String, String> {
    let mut sections = Vec::new();
    gather(&TOP, &mut sections);
    let mut out = String::new();
    let mut rest = page;
    let mut seen = Vec::new();
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(" -->\n").ok_or("a mark without its end")?;
        let (_, after) = after
            .split_once(END)
            .ok_or_else(|| format!("{name}: no {END}"))?;
        let known = sections.iter().find(|section| section.name == name);
        let known = known.ok_or_else(|| format!("there is no section `{name}`"))?;
        let _ = write!(out, "{before}{BEGIN}{name} -->\n\n");
        out.push_str("| key | type | default | bounds | meaning |\n|---|---|---|---|---|\n");
        rows(&mut out, known, "");
        seen.push(name);
        let _ = write!(out, "\n{END}");
        rest = after;
    }
    out.push_str(rest);
    let missing = sections.iter().find(|s| s.table && !seen.contains(&s.name));
    match missing {
        Some(section) => Err(format!("no table for `{}`", section.name)),
        None => Ok(out),
    }
}

/// A section and all below it, each once.
fn gather(section: &'static Section, found: &mut Vec<&'static Section>) {
    if found.iter().any(|known| known.name == section.name) {
        return;
    }
    found.push(section);
    for key in &section.keys {
        for below in sections(&key.value) {
            gather(below, found);
        }
    }
}

/// The sections that may stand in a value.
fn sections(value: &'static Value) -> Vec<&'static Section> {
    match value {
        Value::Section(declared) => vec![declared],
        Value::List(of, _) | Value::OneOrList(of, _) | Value::Named(of, _) => sections(of),
        Value::Either(values) => values.iter().flat_map(sections).collect(),
        _ => Vec::new(),
    }
}

fn rows(out: &mut String, section: &'static Section, prefix: &str) {
    for key in &section.keys {
        let alternatives = key.value.alternatives();
        let below = alternatives.iter().find_map(|value| match value {
            Value::Section(declared) if !declared.table => Some(&***declared),
            _ => None,
        });
        let name = format!("{prefix}{}", key.name);
        // A mapping alone says nothing that its keys do not.
        if below.is_none() || alternatives.len() > 1 {
            let default = match &key.default {
                Without::Required if prefix.is_empty() => "required".to_owned(),
                Without::Required => {
                    format!("required with `{}`", prefix.trim_end_matches('.'))
                }
                Without::Is(default) => format!("`{default}`"),
                Without::Told(told) => (*told).to_owned(),
            };
            let bounds = bounds(&key.value).unwrap_or_default();
            let kind = kind(&key.value);
            let help = key.help.replace('|', "\\|");
            let _ = writeln!(out, "| `{name}` | {kind} | {default} | {bounds} | {help} |");
        }
        if let Some(below) = below {
            rows(out, below, &format!("{name}."));
        }
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Duration(_) => "duration".to_owned(),
        Value::Size(_) => "size".to_owned(),
        Value::Share(_) => "share".to_owned(),
        Value::Rate(_) => "rate".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::Flag => "`true`, `false`".to_owned(),
        Value::Text(what) => (*what).to_owned(),
        Value::Words(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        Value::Section(declared) if declared.table => {
            format!("[{0}](#{0})", declared.name)
        }
        Value::Section(_) => "mapping".to_owned(),
        Value::List(of, _) if matches!(**of, Value::Section(below) if !below.table) => {
            "list of mappings".to_owned()
        }
        Value::List(of, _) => format!("list of {}", kind(of)),
        Value::OneOrList(of, _) => format!("{}, or a list", kind(of)),
        Value::Named(of, _) => format!("names with {}", kind(of)),
        Value::Pairs(what, _) => (*what).to_owned(),
        Value::Either(values) => {
            let kinds: Vec<String> = values.iter().map(kind).collect();
            kinds.join(", or ")
        }
    }
}
