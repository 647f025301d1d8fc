//! A [`Diff`] in words, for people and golden tests.

use super::{Change, Changed, Diff, Move, What};
use crate::units::show_share;
use std::fmt;

/// Lines of one sort that are told at most; the rest is counted.
const MOST: usize = 200;

impl Diff {
    /// What it comes to, in one line.
    pub fn headline(&self) -> String {
        if self.is_empty() {
            return "no difference in meaning".to_owned();
        }
        let mut parts: Vec<String> = self.moves.iter().take(3).map(moved).collect();
        if self.moves.len() > 3 {
            parts.push(format!("and {} moves more", self.moves.len() - 3));
        }
        if let Some(streams) = self.streams.filter(|streams| *streams > 0) {
            parts.push(format!(
                "takes the endpoints of {streams} open streams away"
            ));
        }
        let counts = [
            ("adds", self.endpoints.added.len()),
            ("removes", self.endpoints.removed.len()),
        ];
        for (verb, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            parts.push(format!("{verb} {}", counted(count, "endpoint")));
        }
        let reset = self.endpoints.reset.len();
        parts.push(format!("resets the health of {reset}"));
        for (verb, what) in [("adds", What::Added), ("removes", What::Removed)] {
            let kinds = self.kinds(what);
            if !kinds.is_empty() {
                parts.push(format!("{verb} {}", and(&kinds)));
            }
        }
        let settings: usize = self
            .changes
            .iter()
            .map(|change| change.settings.len())
            .sum();
        if settings > 0 {
            parts.push(format!("changes {}", counted(settings, "setting")));
        }
        parts.join("; ")
    }

    /// `1 listener`, `2 routes`: what comes or goes beside endpoints.
    fn kinds(&self, what: What) -> Vec<String> {
        let mut kinds: Vec<(&str, usize)> = Vec::new();
        for change in self.changes.iter().filter(|change| change.what == what) {
            let kind = change.kind.as_str();
            match kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, count)) => *count += 1,
                None => kinds.push((kind, 1)),
            }
        }
        let told = kinds.into_iter().map(|(kind, count)| counted(count, kind));
        told.collect()
    }
}

impl fmt::Display for Diff {
    /// The headline, then all of it; each line ends with a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline())?;
        if self.is_empty() {
            return Ok(());
        }
        section(f, "traffic", self.moves.iter().map(told))?;
        self.endpoints_in_words(f)?;
        for change in self.changes.iter().take(MOST) {
            describe(f, change)?;
        }
        if self.changes.len() > MOST {
            writeln!(f, "and {} things more", self.changes.len() - MOST)?;
        }
        Ok(())
    }
}

impl Diff {
    fn endpoints_in_words(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = &self.endpoints;
        let kept = counted(endpoints.kept, "endpoint");
        let verb = if endpoints.kept == 1 { "keeps" } else { "keep" };
        write!(f, "health\n  {kept} {verb} what is known")?;
        if endpoints.kept_down > 0 {
            write!(f, ", {} of them stay down", endpoints.kept_down)?;
        }
        writeln!(f)?;
        let added = endpoints.added.iter().map(|name| format!("+ {name}"));
        let removed = endpoints.removed.iter().map(|name| format!("- {name}"));
        let reset = endpoints.reset.iter();
        let reset = reset.map(|reset| format!("! {} begins anew, it was {}", reset.to, reset.from));
        lines(f, added.chain(removed).chain(reset))?;
        match self.streams {
            Some(open) if open > 0 => writeln!(
                f,
                "streams\n  {open} are open at endpoints that go; they stay open until they end"
            ),
            _ => Ok(()),
        }
    }
}

fn section(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    all: impl ExactSizeIterator<Item = String>,
) -> fmt::Result {
    if all.len() == 0 {
        return Ok(());
    }
    writeln!(f, "{title}")?;
    lines(f, all)
}

fn lines(f: &mut fmt::Formatter<'_>, mut all: impl Iterator<Item = String>) -> fmt::Result {
    for line in all.by_ref().take(MOST) {
        writeln!(f, "  {line}")?;
    }
    match all.count() {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}

/// `moves 38% of order and cancel traffic from aws to gcp`.
fn moved(found: &Move) -> String {
    let classes = and(&found.classes);
    let share = show_share((found.share * 1000.0).round() / 1000.0);
    match (found.from.as_str(), found.to.as_str()) {
        ("", to) => format!("sends {share} of {classes} traffic to {to}, which went nowhere"),
        (from, "") => {
            format!("leaves {share} of {classes} traffic without a place; it went to {from}")
        }
        (from, to) => format!("moves {share} of {classes} traffic from {from} to {to}"),
    }
}

/// The same, and of which pool and routes.
fn told(found: &Move) -> String {
    let (was, is) = &found.pools;
    let pool = match was == is {
        true => format!("pool {is}"),
        false => format!("pool {was}, then pool {is}"),
    };
    let routes = match found.routes.as_slice() {
        few if few.len() <= 4 => few.join(", "),
        many => format!("{} routes", many.len()),
    };
    format!("{} ({pool}: {routes})", moved(found))
}

fn describe(f: &mut fmt::Formatter<'_>, change: &Change) -> fmt::Result {
    let kind = change.kind.as_str();
    let name = match change.name.as_str() {
        "" => kind.to_owned(),
        name => format!("{kind} {name}"),
    };
    let note = match change.note.as_str() {
        "" => String::new(),
        note => format!(" ({note})"),
    };
    match change.what {
        What::Added => writeln!(f, "+ {name}{note}"),
        What::Removed => writeln!(f, "- {name}{note}"),
        What::Changed => {
            writeln!(f, "{name}")?;
            lines(f, change.settings.iter().map(setting))
        }
    }
}

fn setting(changed: &Changed) -> String {
    let Changed {
        key,
        from,
        to,
        restart,
    } = changed;
    let restart = match restart {
        true => "; takes a restart",
        false => "",
    };
    match from == to {
        true => format!("{key}: {to}, with another value that is not shown{restart}"),
        false => format!("{key}: {from} -> {to}{restart}"),
    }
}

/// `a, b and c`.
fn and(words: &[String]) -> String {
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
