//! Text for terminals: 80 columns, colours only where they are wanted, nothing that a terminal obeys.
//!
//! Owns how spans, shares and verdicts are written and coloured. What comes from a backend, DNS or a
//! policy passes through [`clean`] before it is shown. Called by the verbs that show something.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

/// Columns of a line at most, where words can be broken.
pub(crate) const WIDTH: usize = 80;

/// Whether colours are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paint(bool);

impl Paint {
    /// Colours where stdout is a terminal that knows them, and NO_COLOR does not forbid them.
    pub(crate) fn of_stdout() -> Paint {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Paint(std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !dumb)
    }

    /// A heading.
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// What is not the point.
    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// What needs somebody's eyes.
    pub(crate) fn alarm(self, text: &str) -> String {
        self.with("31", text)
    }

    /// A verdict or an operator's word, `text` as it is shown, in its colour.
    pub(crate) fn verdict(self, verdict: &str, text: &str) -> String {
        match verdict {
            "healthy" => self.with("32", text),
            "down" | "evacuated" => self.with("31", text),
            "suspect" | "degraded" | "recovering" | "draining" => self.with("33", text),
            _ => text.to_owned(),
        }
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A text without anything that a terminal could take for a command.
pub(crate) fn clean(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(safe).collect()
}

/// Adds `text` behind `label`, broken between words; what follows stands under it, `indent` columns in.
pub(crate) fn put(to: &mut String, indent: usize, label: &str, text: &str) {
    let mut line = format!("{label:<indent$}");
    let mut has_words = false;
    for word in clean(text).split(' ').filter(|word| !word.is_empty()) {
        let width = line.chars().count() + usize::from(has_words) + word.chars().count();
        if has_words && width > WIDTH {
            end(to, &line);
            line = " ".repeat(indent);
            has_words = false;
        }
        if has_words {
            line.push(' ');
        }
        line.push_str(word);
        has_words = true;
    }
    end(to, &line);
}

fn end(to: &mut String, line: &str) {
    // Writing into a string does not fail.
    let _ = writeln!(to, "{}", line.trim_end());
}

/// A text of a table's cell: `width` columns, cut where it is longer.
pub(crate) fn cell(text: &str, width: usize) -> String {
    let text = clean(text);
    if text.chars().count() <= width {
        return format!("{text:<width$}");
    }
    let cut: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{cut}\u{2026}")
}

/// A share: `0%`, `<1%`, `37%`.
pub(crate) fn share(part: f64) -> String {
    match part * 100.0 {
        percent if percent <= 0.0 => "0%".to_owned(),
        percent if percent < 0.5 => "<1%".to_owned(),
        percent if percent > 99.5 && percent < 99.995 => ">99%".to_owned(),
        percent => format!("{percent:.0}%"),
    }
}

/// A span for people: `2.8s`, `42s`, `3m12s`, `5h02m`, `3d4h`.
pub(crate) fn span(millis: u64) -> String {
    let seconds = Duration::from_millis(millis).as_secs();
    match (
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    ) {
        (0, 0, 0, s) if s < 10 => format!("{}.{}s", s, millis % 1000 / 100),
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, 0) => format!("{m}m"),
        (0, 0, m, s) => format!("{m}m{s:02}s"),
        (0, h, 0, _) => format!("{h}h"),
        (0, h, m, _) => format!("{h}h{m:02}m"),
        (d, h, _, _) => format!("{d}d{h}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_could_obey_is_not_shown() {
        assert_eq!(clean("a\x1b[2Jb\r\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
        let mut text = String::new();
        put(&mut text, 4, "x", "evil \x1b]0;title\x07 text");
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn lines_are_broken_between_words_and_never_lost() {
        let mut text = String::new();
        let words = "word ".repeat(60);
        put(&mut text, 10, "label", &words);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(text.matches("word").count(), 60);
        assert!(text.starts_with("label     word"), "{text}");
        let long = "x".repeat(200);
        put(&mut text, 0, "", &long);
        assert!(text.contains(&long));
    }

    #[test]
    fn cells_have_their_width_whatever_is_in_them() {
        for text in [
            "",
            "short",
            "much longer than it may be",
            "\u{fc}ml\u{e4}ut",
        ] {
            assert_eq!(cell(text, 8).chars().count(), 8, "{text}");
        }
    }

    #[test]
    fn numbers_are_short_and_do_not_lie() {
        let shown = [0.0, 0.001, 0.02, 0.375, 0.999, 1.0].map(share);
        assert_eq!(shown, ["0%", "<1%", "2%", "38%", ">99%", "100%"]);
        let shown = [0, 2_850, 42_000, 60_000, 192_000, 18_120_000, 273_600_000].map(span);
        assert_eq!(
            shown,
            ["0.0s", "2.8s", "42s", "1m", "3m12s", "5h02m", "3d4h"]
        );
    }

    #[test]
    fn colours_are_only_where_they_are_wanted() {
        assert_eq!(Paint(false).verdict("down", "down"), "down");
        assert_eq!(Paint(true).verdict("down", "down"), "\x1b[31mdown\x1b[0m");
    }
}
