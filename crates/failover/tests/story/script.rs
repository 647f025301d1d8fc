//! The language of stories, one command a line; `#` begins a comment.
//!
//! ```text
//! pool NAME                              begins a pool of the next policy
//! tier SITE [xN] [, SITE [xN]]           a tier of it; N endpoints each (1; 0 waits for `resolve`)
//! set KEY VALUE                          one of its parameters, see `draft`
//! load                                   gives the policy to the engine
//! [at TIME] probes PLACE ok              from now on, probes there pass
//! [at TIME] probes PLACE fail CAUSE [WORDS]
//! [at TIME] traffic PLACE [OUTCOME N]..  from now on, every 100 ms, wherever reads go there
//! [at TIME] requests PLACE [OUTCOME N].. once, now
//! [at TIME] waits PLACE N [dead M]       from now on, N requests wait there without an answer, M of
//!                                        them on dead paths; 0 ends it. `orders K`: K are orders
//! [at TIME] orders PLACE [of N] [OUTCOME N]..  from now on, every 100 ms, wherever orders go there:
//!                                        orders of N clients (8) in turn
//! [at TIME] orders_wait PLACE N          from now on, N orders wait there without an answer; 0 ends it
//! [at TIME] resolve SITE ADDRESS.. [keeping ADDRESS..]
//!                                        what the name of the site's first backend resolves to, and
//!                                        what is kept of before; `resolve SITE expired` keeps nothing
//! [at TIME] evacuate PLACE [for TIME] because WORDS     also: drain, restore
//! [at TIME] suspend TIME                 the process stands still
//! [at TIME] restart after TIME           the process ends; another begins with its memory
//! [at TIME] show                         writes down what is held
//! run TIME                               time passes
//! ```
//!
//! Among the outcomes, `late N` says that N of the answers came late. A PLACE is `all`, a provider, a site, or one endpoint of a site (`aws/use1/2`), in one pool where
//! written `POOL:PLACE`. TIME is like `300ms`, `5s`, `2m`; after `at` it counts from the start.

use leeward_failover::{OperatorWord, Outcome, Overdue, ProbeFailure, Tally};
use std::time::Duration;

/// One line of a story.
#[derive(Debug)]
pub(crate) struct Command {
    /// When, from the start; now when absent.
    pub at: Option<Duration>,
    pub action: Action,
}

#[derive(Debug)]
pub(crate) enum Action {
    Pool(String),
    Tier(Vec<(String, usize)>),
    Set(String, String),
    Load,
    Probes(String, Option<(ProbeFailure, String)>),
    Traffic(String, Tally),
    Requests(String, Tally),
    Orders(String, Tally),
    Waits(String, Overdue),
    OrdersWait(String, Overdue),
    Resolve(String, Vec<String>),
    Operator {
        word: OperatorWord,
        place: String,
        lasts: Option<Duration>,
        reason: String,
    },
    Suspend(Duration),
    Restart(Duration),
    Show,
    Run(Duration),
}

/// Reads one line; `None` where it says nothing.
pub(crate) fn parse(line: &str) -> Result<Option<Command>, String> {
    let mut words = line.split('#').next().unwrap_or("").split_whitespace();
    let Some(first) = words.next() else {
        return Ok(None);
    };
    let (at, verb) = match first {
        "at" => (
            Some(span(words.next().unwrap_or(""))?),
            words.next().unwrap_or(""),
        ),
        verb => (None, verb),
    };
    let rest: Vec<&str> = words.collect();
    let action = action(verb, &rest)?;
    Ok(Some(Command { at, action }))
}

fn action(verb: &str, rest: &[&str]) -> Result<Action, String> {
    let word = |index: usize| {
        rest.get(index)
            .map(|word| (*word).to_owned())
            .ok_or("a word is missing")
    };
    let operator = |word, rest: &[&str]| operator(word, rest);
    Ok(match verb {
        "pool" => Action::Pool(word(0)?),
        "tier" => Action::Tier(tier(&rest.join(" "))?),
        "set" => Action::Set(word(0)?, rest[1..].join(" ")),
        "load" => Action::Load,
        "probes" => Action::Probes(word(0)?, probes(&rest[1..])?),
        "traffic" => Action::Traffic(word(0)?, tally(&rest[1..])?),
        "requests" => Action::Requests(word(0)?, tally(&rest[1..])?),
        "orders" => {
            let orders = match rest.get(1) {
                Some(&"of") => tally(&[&["orders_of"], &rest[2..]].concat())?,
                _ => tally(&[&["orders_of", "8"], &rest[1..]].concat())?,
            };
            Action::Orders(word(0)?, orders)
        }
        "waits" => Action::Waits(word(0)?, overdue(&rest[1..])?),
        "orders_wait" => Action::OrdersWait(word(0)?, overdue(&rest[1..])?),
        "resolve" => Action::Resolve(
            word(0)?,
            rest[1..].iter().map(|a| (*a).to_owned()).collect(),
        ),
        "evacuate" => operator(OperatorWord::Evacuated, rest)?,
        "drain" => operator(OperatorWord::Draining, rest)?,
        "restore" => operator(OperatorWord::Active, rest)?,
        "suspend" => Action::Suspend(span(&word(0)?)?),
        "restart" => Action::Restart(span(&word(1)?)?),
        "show" => Action::Show,
        "run" => Action::Run(span(&word(0)?)?),
        other => return Err(format!("no such command: {other}")),
    })
}

fn tier(text: &str) -> Result<Vec<(String, usize)>, String> {
    let entry = |entry: &str| {
        let mut words = entry.split_whitespace();
        let site = words.next().ok_or("which site?")?.to_owned();
        let count = words
            .next()
            .map_or(Ok(1), |n| n.trim_start_matches('x').parse());
        count
            .map(|count| (site, count))
            .map_err(|_| "how many?".to_owned())
    };
    text.split(',').map(entry).collect()
}

fn probes(rest: &[&str]) -> Result<Option<(ProbeFailure, String)>, String> {
    match rest {
        ["ok"] => Ok(None),
        ["fail", cause, words @ ..] => {
            let known = ProbeFailure::ALL
                .into_iter()
                .find(|known| known.as_str() == *cause);
            let cause = known.ok_or_else(|| format!("no such cause: {cause}"))?;
            Ok(Some((cause, words.join(" "))))
        }
        _ => Err("ok or fail?".to_owned()),
    }
}

/// Failures come after successes, so that a batch with both ends badly. What comes after `orders_of 3`
/// are orders, of three clients in turn.
fn tally(rest: &[&str]) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut clients: Option<u32> = None;
    for pair in rest.chunks(2) {
        let [outcome, count] = pair else {
            return Err(format!("how many of {}?", pair[0]));
        };
        if *outcome == "late" {
            tally.late = count
                .parse()
                .map_err(|_| format!("not a number: {count}"))?;
            continue;
        }
        if *outcome == "orders_of" {
            clients = Some(
                count
                    .parse()
                    .map_err(|_| format!("not a number: {count}"))?,
            );
            continue;
        }
        let known = Outcome::ALL
            .into_iter()
            .find(|known| known.as_str() == *outcome);
        let known = known.ok_or_else(|| format!("no such outcome: {outcome}"))?;
        let count: u32 = count
            .parse()
            .map_err(|_| format!("not a number: {count}"))?;
        for number in 0..count {
            tally.add(known, Duration::from_millis(2));
            if let Some(clients) = clients {
                tally.add_order(known, u64::from(number % clients), false);
            }
        }
    }
    Ok(tally)
}

fn overdue(rest: &[&str]) -> Result<Overdue, String> {
    let number = |index: Option<usize>| {
        let text = index.and_then(|index| rest.get(index)).copied();
        let text = text.unwrap_or("0");
        text.parse::<u32>()
            .map_err(|_| format!("not a number: {text}"))
    };
    let after = |word: &str| rest.iter().position(|w| *w == word).map(|at| at + 1);
    Ok(Overdue {
        requests: number(Some(0))?,
        dead_paths: number(after("dead"))?,
        orders: number(after("orders"))?,
        ..Overdue::default()
    })
}

fn operator(word: OperatorWord, rest: &[&str]) -> Result<Action, String> {
    let place = (*rest.first().ok_or("which place?")?).to_owned();
    let lasts = match rest.get(1..3) {
        Some(["for", lasts]) => Some(span(lasts)?),
        _ => None,
    };
    let because = rest.iter().position(|word| *word == "because");
    let reason = because.map_or_else(String::new, |at| rest[at + 1..].join(" "));
    Ok(Action::Operator {
        word,
        place,
        lasts,
        reason,
    })
}

/// A span such as `300ms`, `5s`, `2m`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("not a time: {text}"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(format!("not a time: {text}")),
    }
}
