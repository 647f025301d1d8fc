//! `expect` of a probe: what its answer must be; `error_if`: what shows an error in any answer.

use super::http::conditions;
use crate::fields::{Fields, expected, one_or_list, present};
use crate::policy::{Comparison, ErrorSigns, HttpProbe, JsonCheck};
use crate::report::Report;
use crate::shape;
use crate::shape::failover::{MAX_CHECKS, MAX_STATUS};
use crate::tree::{Kind, Node, Scalar};

/// Reads `expect` into a probe.
pub(super) fn compile(report: &Report<'_>, node: &Node, mut probe: HttpProbe) -> HttpProbe {
    let Some(mut fields) = Fields::of(report, node, &shape::failover::EXPECT) else {
        return probe;
    };
    if let Some(node) = fields.get("status") {
        let items = one_or_list(report, node, "status codes", MAX_STATUS);
        probe.status = items
            .iter()
            .filter_map(|item| status(report, item))
            .collect();
    }
    if let Some(node) = fields.get("headers") {
        probe.expect_headers = conditions(report, node);
    }
    probe.body_contains = fields
        .text("body", "a text that the body has to contain")
        .map(str::to_owned);
    if let Some(node) = fields.get("json") {
        probe.json = json(report, node);
    }
    if probe.max_body == 0
        && let Some(pos) = fields.key_pos("body").or_else(|| fields.key_pos("json"))
    {
        report.error(pos, "the body is looked at, but `max_body` is 0");
    }
    fields.finish();
    probe
}

/// Reads `error_if`: how an error shows in an answer whose status says success.
pub(super) fn error_signs(report: &Report<'_>, node: &Node) -> Option<ErrorSigns> {
    let mut fields = Fields::of(report, node, &shape::failover::ERROR_IF)?;
    let mut signs = ErrorSigns::default();
    if let Some(node) = fields.get("headers") {
        signs.headers = conditions(report, node);
    }
    if let Some(node) = fields.get("json") {
        signs.json = json(report, node);
    }
    fields.finish();
    Some(signs)
}

/// `200` or `200-299`.
fn status(report: &Report<'_>, node: &Node) -> Option<(u16, u16)> {
    const WHAT: &str = "a status code such as 200, or a range such as 200-299";
    let code = |text: &str| {
        text.trim()
            .parse::<u16>()
            .ok()
            .filter(|c| (100..=599).contains(c))
    };
    let text = node.text().unwrap_or_default();
    let range = match text.split_once('-') {
        Some((low, high)) => code(low).zip(code(high)).filter(|(low, high)| low <= high),
        None => code(text).map(|code| (code, code)),
    };
    if range.is_none() {
        let class = text.strip_suffix("xx").filter(|class| class.len() == 1);
        let hint = class.map(|class| format!("write `{class}00-{class}99`"));
        expected(report, node, WHAT, hint);
    }
    range
}

fn json(report: &Report<'_>, node: &Node) -> Vec<(String, JsonCheck)> {
    let Kind::Mapping(entries) = &node.kind else {
        let hint = "as in `json: { \"/engine/lag_ms\": \"< 500\" }`";
        expected(
            report,
            node,
            "JSON pointers and what must hold there",
            Some(hint.to_owned()),
        );
        return Vec::new();
    };
    if entries.len() > MAX_CHECKS {
        report.error(node.pos, format!("more than {MAX_CHECKS} checks"));
        return Vec::new();
    }
    let mut found = Vec::new();
    for entry in entries {
        let pointer = &entry.key;
        if !pointer.starts_with('/') {
            let dots = pointer
                .trim_start_matches('$')
                .trim_start_matches('.')
                .replace('.', "/");
            let text = format!("`{pointer}` is no JSON pointer");
            report.error_hint(entry.pos, text, format!("did you mean `/{dots}`?"));
        }
        let Some(node) = present(report, entry) else {
            continue;
        };
        let Some(scalar) = node.scalar() else {
            expected(
                report,
                node,
                "a comparison such as \"< 500\", or a value",
                None,
            );
            continue;
        };
        if let Some(check) = check(report, node, scalar) {
            found.push((pointer.clone(), check));
        }
    }
    found
}

fn check(report: &Report<'_>, node: &Node, scalar: &Scalar) -> Option<JsonCheck> {
    let text = scalar.text.as_str();
    if let Some((comparison, rest)) = comparison(text) {
        let number = number(rest.trim());
        if number.is_none() {
            expected(report, node, "a number after the comparison", None);
        }
        return number.map(|number| JsonCheck::Number(comparison, number));
    }
    if !scalar.plain {
        return Some(JsonCheck::Text(text.to_owned()));
    }
    Some(match text {
        "true" => JsonCheck::Bool(true),
        "false" => JsonCheck::Bool(false),
        "present" => JsonCheck::Present,
        _ => match number(text) {
            Some(number) => JsonCheck::Number(Comparison::Equal, number),
            None => JsonCheck::Text(text.to_owned()),
        },
    })
}

fn comparison(text: &str) -> Option<(Comparison, &str)> {
    // The longer ones first: `<=` begins with `<`.
    let signs = [
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    signs
        .iter()
        .find_map(|(sign, comparison)| Some((*comparison, text.strip_prefix(sign)?)))
}

/// A finite number as JSON has it; `inf` and `nan` are none.
fn number(text: &str) -> Option<f64> {
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
    text.parse::<f64>()
        .ok()
        .filter(|number| numeric && number.is_finite())
}
