//! The policy's shape as a JSON Schema, for editors.
//!
//! Written from [`crate::shape`], by which policies are read. Of draft 7, which the YAML language
//! server knows best. It says what can be said of a value by itself: bounds of durations and sizes
//! stand in the descriptions, and what depends on something else is `leeward check`'s. It asks for no
//! section at the top: a file may be a part of a policy.

use crate::shape::process::TOP;
use crate::shape::{Declared, Key, Section, Value, Without};
use crate::units::{show_duration, show_share, show_size};
use serde_json::{Map, Value as Json, json};
use std::ops::RangeInclusive;

/// The schema, as indented JSON with a line break at its end.
pub fn schema() -> String {
    let mut definitions = plain();
    let mut root = section(&TOP, &mut definitions);
    if let Json::Object(root) = &mut root {
        root.remove("required");
        root.insert(
            "$schema".to_owned(),
            json!("http://json-schema.org/draft-07/schema#"),
        );
        root.insert("title".to_owned(), json!("A policy of leeward"));
        root.insert("definitions".to_owned(), Json::Object(definitions));
    }
    format!("{root:#}\n")
}

/// The definitions of values that have a spelling of their own.
fn plain() -> Map<String, Json> {
    let spelt = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let variable = json!({ "$ref": "#/definitions/variable" });
    let mut found = Map::new();
    let mut put = |name: &str, value: Json| found.insert(name.to_owned(), value);
    put(
        "variable",
        spelt("\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}"),
    );
    let zero = json!({ "const": 0 });
    let span = spelt("^(\\d+(\\.\\d+)?\\s*(ms|s|m|h)|0)$");
    put("duration", json!({ "anyOf": [span, zero, variable] }));
    let whole = json!({ "type": "integer", "minimum": 0 });
    let size = spelt("^\\d+\\s*(B|KiB|MiB|GiB)?$");
    put("size", json!({ "anyOf": [size, whole, variable] }));
    let part = json!({ "type": "number", "minimum": 0, "maximum": 1 });
    let share = spelt("^(\\d+(\\.\\d+)?\\s*%|0(\\.\\d+)?|1(\\.0+)?)$");
    put("share", json!({ "anyOf": [share, part, variable] }));
    let rate = spelt("^\\d+(\\.\\d+)?\\s*/s$");
    put("rate", json!({ "anyOf": [rate, variable] }));
    let text = json!({ "type": ["string", "number", "boolean"] });
    put("text", text);
    found
}

fn section(section: &Section, definitions: &mut Map<String, Json>) -> Json {
    let mut properties = Map::new();
    for key in &section.keys {
        properties.insert(key.name.to_owned(), property(key, definitions));
    }
    let required = section.keys.iter();
    let required: Vec<&str> = required
        .filter(|key| matches!(key.default, Without::Required))
        .map(|key| key.name)
        .collect();
    let mut found = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        found["required"] = json!(required);
    }
    found
}

fn property(key: &Key, definitions: &mut Map<String, Json>) -> Json {
    let mut says = vec![sentence(key.help)];
    says.extend(unit(&key.value).map(|unit| format!("A {unit}.")));
    says.extend(bounds(&key.value).map(|bounds| format!("Bounds: {bounds}.")));
    says.push(match &key.default {
        Without::Required => "Required.".to_owned(),
        Without::Is(default) => format!("Default: {default}."),
        Without::Told(told) => format!("Default: {told}."),
    });
    let mut found = value(&key.value, definitions);
    found["description"] = json!(says.join(" "));
    if let Without::Is(default) = &key.default
        && !default.starts_with('{')
    {
        found["default"] = match default.parse::<u64>() {
            Ok(number) => json!(number),
            Err(_) => match default.as_str() {
                "true" => json!(true),
                "false" => json!(false),
                text => json!(text),
            },
        };
    }
    found
}

/// Begins with a capital and ends with a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{}{}{end}", first.unwrap_or_default(), letters.as_str())
}

fn value(value: &Value, definitions: &mut Map<String, Json>) -> Json {
    let refers = |name: &str| json!({ "allOf": [{ "$ref": format!("#/definitions/{name}") }] });
    match value {
        Value::Duration(_) => refers("duration"),
        Value::Size(_) => refers("size"),
        Value::Share(_) => refers("share"),
        Value::Rate(_) => refers("rate"),
        Value::Text(_) => refers("text"),
        Value::Number(bounds) => {
            let (low, high) = (bounds.start(), bounds.end());
            let whole = json!({ "type": "integer", "minimum": low, "maximum": high });
            let quoted = json!({ "type": "string", "pattern": "^\\d+$" });
            json!({ "anyOf": [whole, quoted, { "$ref": "#/definitions/variable" }] })
        }
        Value::Words(words) => {
            json!({ "anyOf": [{ "enum": words }, { "$ref": "#/definitions/variable" }] })
        }
        Value::Flag => {
            let flags = json!({ "enum": [true, false, "true", "false"] });
            json!({ "anyOf": [flags, { "$ref": "#/definitions/variable" }] })
        }
        Value::Section(declared) => {
            define(declared, definitions);
            refers(declared.name)
        }
        Value::List(of, len) => {
            let of = self::value(of, definitions);
            let (least, most) = (len.start(), len.end());
            json!({ "type": "array", "items": of, "minItems": least, "maxItems": most })
        }
        Value::OneOrList(of, most) => {
            let of = self::value(of, definitions);
            let list = json!({ "type": "array", "items": of, "minItems": 1, "maxItems": most });
            json!({ "anyOf": [of, list] })
        }
        Value::Named(of, most) => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" },
            "additionalProperties": self::value(of, definitions),
            "minProperties": 1,
            "maxProperties": most,
        }),
        Value::Pairs(_, most) => json!({
            "type": "object",
            "additionalProperties": { "$ref": "#/definitions/text" },
            "maxProperties": most,
        }),
        Value::Either(values) => {
            let any = values.iter().map(|one| self::value(one, definitions));
            json!({ "anyOf": any.collect::<Vec<Json>>() })
        }
    }
}

fn define(declared: Declared, definitions: &mut Map<String, Json>) {
    if !definitions.contains_key(declared.name) {
        let found = section(declared, definitions);
        definitions.insert(declared.name.to_owned(), found);
    }
}

/// What a value counts, for people; nothing where it counts nothing.
pub(crate) fn unit(value: &Value) -> Option<&'static str> {
    value.alternatives().iter().find_map(|value| match value {
        Value::Duration(_) => Some("duration: a number and ms, s, m or h"),
        Value::Size(_) => Some("size: bytes, or KiB, MiB, GiB"),
        Value::Share(_) => Some("share: a percentage, or 0 to 1"),
        Value::Rate(_) => Some("rate per second, as in 2000/s"),
        Value::Number(_) => Some("whole number"),
        _ => None,
    })
}

/// The bounds of a value, for people.
pub(crate) fn bounds(value: &Value) -> Option<String> {
    fn range<T>(bounds: &RangeInclusive<T>, show: impl Fn(&T) -> String) -> Option<String> {
        Some(format!(
            "{} to {}",
            show(bounds.start()),
            show(bounds.end())
        ))
    }
    value.alternatives().iter().find_map(|value| match value {
        Value::Duration(bounds) => range(bounds, |span| show_span(*span)),
        Value::Size(bounds) => range(bounds, |size| show_size(*size)),
        Value::Share(bounds) => range(bounds, |share| show_share(*share)),
        Value::Rate(bounds) => range(bounds, |rate| format!("{}/s", grouped(*rate as u64))),
        Value::Number(bounds) if bounds.start() == bounds.end() => Some(bounds.start().to_string()),
        Value::Number(bounds) => range(bounds, |number| grouped(*number)),
        Value::List(_, len) => range(len, |len| grouped(*len as u64)),
        Value::OneOrList(_, most) | Value::Named(_, most) | Value::Pairs(_, most) => {
            Some(format!("{} at most", grouped(*most as u64)))
        }
        _ => None,
    })
}

fn show_span(span: std::time::Duration) -> String {
    const DAY: u64 = 24 * 3600;
    match span.as_secs() {
        secs if secs > DAY && secs.is_multiple_of(DAY) => format!("{} days", secs / DAY),
        _ => show_duration(span),
    }
}

/// `10,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut found = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            found.push(',');
        }
        found.push(digit);
    }
    found
}
