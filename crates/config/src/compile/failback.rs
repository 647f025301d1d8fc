//! `failback` of `failover`: who says when a place that was left comes home.

use crate::fields::{Fields, expected, list, one_or_list, text, word};
use crate::policy::Window;
use crate::report::Report;
use crate::tree::Node;
use crate::windows::DAY;
use leeward_failover::Failback;

const EXAMPLE: &str = "failback: { windows: [{ days: [sat, sun], from: 02:00, to: 06:00 }] }";
const MOST: usize = 64;
const DAYS: [(&str, usize); 7] = [
    ("mon", 0),
    ("tue", 1),
    ("wed", 2),
    ("thu", 3),
    ("fri", 4),
    ("sat", 5),
    ("sun", 6),
];

/// Reads `failback`, with its windows.
pub(super) fn failback(fields: &mut Fields<'_>) -> (Failback, Vec<Window>) {
    let report = fields.report;
    let Some(node) = fields.get("failback") else {
        return (Failback::default(), Vec::new());
    };
    if node.scalar().is_some() {
        let words = [
            ("automatic", Failback::Automatic),
            ("manual", Failback::Manual),
        ];
        let said = word(report, node, &words);
        return (said.unwrap_or_default(), Vec::new());
    }
    let what = "automatic, manual or windows";
    let Some(mut failback) = Fields::of(report, node, what, EXAMPLE) else {
        return (Failback::default(), Vec::new());
    };
    let node = failback.require("windows", "[{ from: 02:00, to: 06:00 }]");
    failback.finish();
    let items = node.and_then(|node| list(report, node, "a list of windows", MOST));
    if let (Some(node), Some([])) = (node, items) {
        report.error(node.pos, "without a window nothing ever comes home");
    }
    let windows = items.into_iter().flatten();
    let windows = windows.filter_map(|item| window(report, item)).collect();
    (Failback::Windows, windows)
}

fn window(report: &Report<'_>, node: &Node) -> Option<Window> {
    let example = "{ days: [sat, sun], from: 02:00, to: 06:00 }";
    let mut fields = Fields::of(report, node, "a window", example)?;
    let days = days(&mut fields);
    let from = fields.require("from", "02:00");
    let to = fields.require("to", "06:00");
    fields.finish();
    let (from, to) = (
        from.and_then(|n| time(report, n)),
        to.and_then(|n| time(report, n)),
    );
    let (from, to) = (from?, to?);
    if from == to || from == DAY {
        report.error(
            node.pos,
            "the window is empty: `to` has to differ from `from`",
        );
    }
    Some(Window { days, from, to })
}

/// On every day where it names none.
fn days(fields: &mut Fields<'_>) -> [bool; 7] {
    let report = fields.report;
    let Some(node) = fields.get("days") else {
        return [true; 7];
    };
    let mut days = [false; 7];
    for item in one_or_list(report, node, "days of the week", DAYS.len()) {
        if let Some(day) = word(report, item, &DAYS) {
            days[day] = true;
        }
    }
    days
}

/// `02:00`, up to `24:00`; in minutes.
fn time(report: &Report<'_>, node: &Node) -> Option<u32> {
    let what = "a time of the day, in UTC, such as 02:00";
    let found = text(report, node, what)?;
    let parsed = found.split_once(':').and_then(|(hours, minutes)| {
        let digits = |text: &str| (text.len() == 2).then(|| text.parse::<u32>().ok())?;
        let minutes = digits(minutes).filter(|minutes| *minutes < 60)?;
        Some(digits(hours)? * 60 + minutes)
    });
    let parsed = parsed.filter(|minutes| *minutes <= DAY);
    if parsed.is_none() {
        expected(report, node, what, None);
    }
    parsed
}
