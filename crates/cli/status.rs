//! `leeward status`: what a proxy that runs holds, and what it decided last.
//!
//! Owns what is asked, how often, and what becomes of the screen. `page` puts it into words. Changes
//! nothing at the proxy. Called by `main`.

mod page;

use crate::admin::{self, Failed};
use crate::args::{Admin, Status};
use crate::terminal::{Paint, clean};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Decisions that are shown.
const MOST_DECISIONS: usize = 10;
/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Rows of a terminal that does not say how many it has.
const ROWS: usize = 24;

/// Shows the status; the exit code: 0, 1 where no proxy answers, 2 where the question makes no sense.
pub(crate) fn run(status: &Status) -> u8 {
    let mut decisions = Decisions::default();
    let paint = Paint::of_stdout();
    let shown = look(&status.admin, &mut decisions).map(|known| {
        if status.json {
            in_json(&known, &decisions)
        } else {
            page::of(&known, &decisions.newest, paint)
        }
    });
    let text = match shown {
        Ok(text) => text,
        Err(Failed { text, code }) => {
            eprintln!("leeward: {}", clean(&text));
            return code;
        }
    };
    if !status.watch {
        // A reader that has gone away changes nothing.
        let _ = std::io::stdout().write_all(text.as_bytes());
        return 0;
    }
    watch(&status.admin, decisions, text, paint)
}

/// Shows it again and again. A proxy that is away for a while, at a restart say, is waited for.
fn watch(admin: &Admin, mut decisions: Decisions, mut text: String, paint: Paint) -> u8 {
    loop {
        if draw(&text).is_err() {
            return 0;
        }
        std::thread::sleep(PAUSE);
        text = match look(admin, &mut decisions) {
            Ok(known) => page::of(&known, &decisions.newest, paint),
            Err(failed) => {
                // One that is started again may count from the beginning.
                decisions = Decisions::default();
                let text = format!("leeward: {}; asking again", clean(&failed.text));
                format!("{}\n", paint.alarm(&text))
            }
        };
    }
}

/// Draws a frame over the one before; where nobody sees a screen, behind it.
fn draw(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let mut frame = String::new();
    if out.is_terminal() {
        let rows = terminal_size::terminal_size().map_or(ROWS, |(_, rows)| usize::from(rows.0));
        let lines = text.lines().count();
        // The last row stays empty, or the screen would scroll.
        let fit = rows.saturating_sub(1).max(2);
        let kept = if lines > fit { fit - 1 } else { lines };
        frame.push_str("\x1b[H");
        for line in text.lines().take(kept) {
            frame.push_str(line);
            frame.push_str("\x1b[K\n");
        }
        if lines > kept {
            frame.push_str(&format!(
                "{} more lines without --watch\x1b[K\n",
                lines - kept
            ));
        }
        frame.push_str("\x1b[J");
    } else {
        frame.push_str(text);
        frame.push('\n');
    }
    out.write_all(frame.as_bytes())?;
    out.flush()
}

/// The newest decisions, oldest first, and the number of the last one.
#[derive(Default)]
struct Decisions {
    newest: VecDeque<Value>,
    last: u64,
}

impl Decisions {
    fn take(&mut self, answer: &Value) {
        for event in answer["events"].as_array().into_iter().flatten() {
            self.last = event["seq"].as_u64().unwrap_or(self.last);
            self.newest.push_back(event.clone());
        }
        let old = self.newest.len().saturating_sub(MOST_DECISIONS);
        self.newest.drain(..old);
    }
}

/// Asks for the status, and for decisions that are new.
fn look(admin: &Admin, decisions: &mut Decisions) -> Result<page::Known, Failed> {
    let url = admin::url(admin)?;
    let status = admin::read(admin, "/api/v1/status")?;
    let path = format!("/api/v1/events?since={}", decisions.last);
    decisions.take(&admin::read(admin, &path)?);
    page::Known::of(status, url.clone()).map_err(|error| Failed {
        text: format!("{url}: a leeward of another version: {error}"),
        code: 1,
    })
}

fn in_json(known: &page::Known, decisions: &Decisions) -> String {
    let mut all = known.whole.clone();
    all["decisions"] = json!(decisions.newest);
    format!("{all:#}\n")
}
