//! `leeward replay`: tells a fresh engine what a recorded run was told, and compares what it decides.
//!
//! Owns how a record is read and what counts as the same. The engine has no clock and no dice of its
//! own, so that any difference is a defect: of the engine, or between two versions of it. Called by
//! `main`.

use leeward_failover::{Engine, Input, Output, Time};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The shape of records that is read.
const VERSION: u64 = 1;

/// What came of a replay.
#[derive(Debug, Default)]
struct Replayed {
    inputs: usize,
    events: usize,
    /// The engine's last time.
    span: Time,
    /// Why the record ended, by its own word; nothing where it was cut off.
    end: Option<String>,
    /// What was recorded and what was decided, where they first differ.
    difference: Option<(Value, Value)>,
}

/// Replays the record; the exit code: 0 where the decisions are identical, 1 where they differ, 2
/// where it is no record that can be replayed.
pub(crate) fn run(path: &Path, as_json: bool) -> u8 {
    let shown = path.display();
    let replayed = match std::fs::File::open(path) {
        Ok(file) => replay(BufReader::new(file)),
        Err(error) => Err(error.to_string()),
    };
    let replayed = match replayed {
        Ok(replayed) => replayed,
        Err(text) => {
            eprintln!("leeward: {shown}: {text}");
            return 2;
        }
    };
    if as_json {
        println!("{:#}", in_json(&replayed));
    } else {
        print!("{}", in_words(&replayed));
    }
    u8::from(replayed.difference.is_some())
}

fn replay(mut lines: impl BufRead) -> Result<Replayed, String> {
    let mut line = String::new();
    let mut number = 0;
    let mut next = |line: &mut String| {
        line.clear();
        number += 1;
        match lines.read_line(line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(number)),
            Err(error) => Err(format!("line {number}: {error}")),
        }
    };
    if next(&mut line)?.is_none() {
        return Err("the file is empty".to_owned());
    }
    let mut engine = Engine::new(seed(&line)?);
    let mut replayed = Replayed::default();
    while let Some(number) = next(&mut line)? {
        let whole = line.ends_with('\n');
        let mut parsed: Value = match serde_json::from_str(&line) {
            Ok(parsed) => parsed,
            // The process was killed while it wrote.
            Err(_) if !whole => break,
            Err(error) => return Err(format!("line {number}: {error}")),
        };
        if let Some(end) = parsed["end"].as_str() {
            replayed.end = Some(end.to_owned());
            break;
        }
        if parsed["event"].is_object() {
            let recorded = parsed["event"].take();
            let found = next_event(&mut engine).unwrap_or(Value::Null);
            if found != recorded {
                replayed.difference = Some((recorded, found));
                return Ok(replayed);
            }
            replayed.events += 1;
            continue;
        }
        let at = parsed["at"].as_u64();
        let input: Result<Input, _> = serde_json::from_value(parsed["input"].take());
        let (Some(at), Ok(input)) = (at, input) else {
            return Err(format!("line {number} is no line of a record"));
        };
        engine.handle(input, Time(at));
        replayed.inputs += 1;
        replayed.span = Time(at);
    }
    if replayed.end.as_deref() == Some("stopped")
        && let Some(more) = next_event(&mut engine)
    {
        replayed.difference = Some((Value::Null, more));
    }
    Ok(replayed)
}

/// The engine's seed, by the first line.
fn seed(head: &str) -> Result<u64, String> {
    let head: Value = serde_json::from_str(head).unwrap_or_default();
    match head["leeward_record"].as_u64() {
        None => return Err("this is no record of leeward's".to_owned()),
        Some(VERSION) => {}
        Some(other) => return Err(format!("a record of version {other}; this reads {VERSION}")),
    }
    if head["complete"] != true {
        return Err(
            "the record does not begin where the run began: it cannot be replayed".to_owned(),
        );
    }
    head["seed"]
        .as_u64()
        .ok_or_else(|| "the record has no seed".to_owned())
}

/// The next decision. Read when the record has one and not before, as the control task did: what
/// nobody has read yet may still get another number from a memory.
fn next_event(engine: &mut Engine) -> Option<Value> {
    std::iter::from_fn(|| engine.poll_output()).find_map(event)
}

fn event(output: Output) -> Option<Value> {
    match output {
        Output::Event(event) => serde_json::to_value(event).ok(),
        _ => None,
    }
}

fn in_json(replayed: &Replayed) -> Value {
    let difference = replayed.difference.as_ref();
    let difference =
        difference.map(|(recorded, found)| json!({ "recorded": recorded, "replayed": found }));
    json!({
        "identical": replayed.difference.is_none(),
        "inputs": replayed.inputs,
        "events": replayed.events,
        "seconds": replayed.span.since(Time::ZERO).as_secs_f64(),
        "end": replayed.end,
        "difference": difference,
    })
}

fn in_words(replayed: &Replayed) -> String {
    let Replayed {
        inputs,
        events,
        span,
        end,
        difference,
    } = replayed;
    let seconds = span.since(Time::ZERO).as_secs_f64();
    let mut text = match difference {
        None => format!("identical: {inputs} inputs, {events} decisions, {seconds:.1} s\n"),
        Some((recorded, found)) => format!(
            "the first difference, after {events} decisions that are the same ({seconds:.1} s):\n  \
             recorded: {recorded}\n  replayed: {found}\n"
        ),
    };
    match end.as_deref() {
        Some("stopped") => {}
        Some(end) => text.push_str(&format!("the record ends before the run did: {end}\n")),
        None if difference.is_none() => text.push_str("the record is cut off at its end\n"),
        None => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"leeward_record":1,"seed":1,"complete":true}"#;

    /// What an engine decides of an empty policy.
    fn decided() -> Value {
        let mut engine = Engine::new(1);
        engine.handle(Input::Policy(Box::default()), Time::ZERO);
        next_event(&mut engine).expect("a decision")
    }

    fn replayed(lines: &[String]) -> Result<Replayed, String> {
        replay(lines.join("\n").as_bytes())
    }

    fn record(event: &Value) -> Vec<String> {
        let policy = json!(Input::Policy(Box::default()));
        vec![
            HEAD.to_owned(),
            json!({ "at": 0, "input": policy }).to_string(),
            json!({ "event": event }).to_string(),
        ]
    }

    #[test]
    fn a_run_that_decides_the_same_is_identical() {
        let found = replayed(&record(&decided())).expect("a record");
        assert_eq!((found.inputs, found.events), (1, 1));
        assert_eq!(found.difference, None);
    }

    #[test]
    fn the_first_difference_is_shown() {
        let mut other = decided();
        other["cause"] = json!("probes_failed");
        let found = replayed(&record(&other)).expect("a record");
        assert_eq!(found.difference, Some((other, decided())));
    }

    #[test]
    fn a_decision_too_many_or_too_few_is_a_difference() {
        let mut lines = record(&decided());
        lines.push(lines[2].clone());
        let found = replayed(&lines).expect("a record");
        assert_eq!(found.difference, Some((decided(), Value::Null)));
        lines.truncate(2);
        lines.push(r#"{"end":"stopped"}"#.to_owned());
        let found = replayed(&lines).expect("a record");
        assert_eq!(found.difference, Some((Value::Null, decided())));
    }

    #[test]
    fn a_last_line_that_was_cut_off_is_forgiven_any_other_is_not() {
        let mut lines = record(&decided());
        lines.push(r#"{"at":12,"inp"#.to_owned());
        assert!(replayed(&lines).is_ok());
        lines.push(String::new());
        assert!(replayed(&lines).is_err());
    }

    #[test]
    fn what_is_no_record_is_said() {
        for head in [
            "",
            "{}",
            "nonsense",
            r#"{"leeward_record":2}"#,
            r#"{"leeward_record":1,"seed":1,"complete":false}"#,
        ] {
            assert!(
                replayed(&[head.to_owned(), String::new()]).is_err(),
                "{head}"
            );
        }
        let wrong = [
            HEAD.to_owned(),
            r#"{"at":1,"input":"nothing known"}"#.to_owned(),
            String::new(),
        ];
        assert!(replayed(&wrong).is_err());
    }
}
