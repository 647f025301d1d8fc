//! `failback` of `failover`: who says when a place that was left comes home.

use crate::fields::{Fields, expected, list, one_or_list, text, word};
use crate::policy::Window;
use crate::report::Report;
use crate::shape;
use crate::shape::failover::MAX_WINDOWS;
use crate::shape::words::{DAYS, FAILBACKS};
use crate::tree::Node;
use crate::windows::DAY;
use leeward_failover::Failback;

/// Reads `failback`, with its windows.
pub(super) fn failback(fields: &mut Fields<'_>) -> (Failback, Vec<Window>) {
    let report = fields.report;
    let Some(node) = fields.get("failback") else {
        return (Failback::default(), Vec::new());
    };
    if node.scalar().is_some() {
        let said = word(report, node, &FAILBACKS);
        return (said.unwrap_or_default(), Vec::new());
    }
    let Some(mut failback) = Fields::of(report, node, &shape::failover::FAILBACK) else {
        return (Failback::default(), Vec::new());
    };
    let node = failback.require("windows", "[{ from: 02:00, to: 06:00 }]");
    failback.finish();
    let items = node.and_then(|node| list(report, node, "a list of windows", MAX_WINDOWS));
    if let (Some(node), Some([])) = (node, items) {
        report.error(node.pos, "without a window nothing ever comes home");
    }
    let windows = items.into_iter().flatten();
    let windows = windows.filter_map(|item| window(report, item)).collect();
    (Failback::Windows, windows)
}

fn window(report: &Report<'_>, node: &Node) -> Option<Window> {
    let mut fields = Fields::of(report, node, &shape::failover::WINDOW)?;
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
