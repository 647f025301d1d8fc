//! The language of stories, one command a line; `#` begins a comment.
//!
//! ```text
//! pool NAME                              begins a pool of the next policy
//! tier SITE [xN] [, SITE [xN]]           a tier of it; N endpoints each (1)
//! set KEY VALUE                          one of its parameters, see `world::Draft::set`
//! load                                   gives the policy to the engine
//! [at TIME] probes PLACE ok              from now on, probes there pass
//! [at TIME] probes PLACE fail CAUSE [WORDS]
//! [at TIME] traffic PLACE [OUTCOME N]..  from now on, every 100 ms, where reads go there
//! [at TIME] requests PLACE [OUTCOME N].. once, now
//! [at TIME] resolve SITE ADDRESS..       what the name of the site's first backend resolves to
//! [at TIME] evacuate PLACE [for TIME] because WORDS     also: drain, restore
//! [at TIME] suspend TIME                 the process stands still
//! [at TIME] show                         writes down what is held
//! run TIME                               time passes
//! ```
//!
//! A PLACE is `all`, a provider, a site, or one endpoint of a site (`aws/use1#2`), in one pool where
//! written `POOL:PLACE`. TIME is like `300ms`, `5s`, `2m`; after `at` it counts from the start.

use leeward_failover::{OperatorWord, Outcome, ProbeFailure, Tally};
use std::time::Duration;

/// One line of a story.
#[derive(Debug)]
pub struct Command {
    /// When, from the start; now when absent.
    pub at: Option<Duration>,
    pub action: Action,
}

#[derive(Debug)]
pub enum Action {
    Pool(String),
    Tier(Vec<(String, usize)>),
    Set(String, String),
    Load,
    Probes(String, Option<(ProbeFailure, String)>),
    Traffic(String, Tally),
    Requests(String, Tally),
    Resolve(String, Vec<String>),
    Operator(OperatorWord, String, Option<Duration>, String),
    Suspend(Duration),
    Show,
    Run(Duration),
}

/// Reads one line; `None` where it says nothing.
pub fn parse(line: &str) -> Result<Option<Command>, String> {
    let mut words = line.split('#').next().unwrap_or("").split_whitespace().peekable();
    // A `#` belongs to a place when no space stands before it.
    if line.contains('#') && !line.trim_start().starts_with('#') && !line.contains(" #") {
        words = line.split_whitespace().collect::<Vec<_>>().into_iter().peekable_vec();
    }
    let Some(first) = words.next() else { return Ok(None) };
    let (at, verb) = match first {
        "at" => (Some(span(words.next().ok_or("when?")?)?), words.next().ok_or("what?")?),
        verb => (None, verb),
    };
    let rest: Vec<&str> = words.collect();
    let action = action(verb, &rest)?;
    Ok(Some(Command { at, action }))
}
