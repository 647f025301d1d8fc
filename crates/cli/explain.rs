//! `leeward explain`: what becomes of one request, and why.
//!
//! Owns where the explanation comes from: the policy on this machine, where everything is taken for
//! well, or the proxy that runs, with what it holds. `leeward_proxy::explain` explains, `words` puts
//! it into words. Called by `main`.

mod words;

use crate::admin::{self, Failed};
use crate::args::{Admin, Explain};
use crate::terminal::{Paint, clean};
use leeward_config::policy::Policy;
use leeward_config::{Files, Options, load_with};
use leeward_proxy::explain::{Explanation, Question, offline};
use std::io::Write;
use std::path::Path;

/// Explains; the exit code: 0 where the request goes to a pool, 1 where leeward would refuse it or no
/// proxy answers, 2 where the question makes no sense.
pub(crate) fn run(explain: &Explain) -> u8 {
    match explanation(explain) {
        Ok((explanation, from)) => show(&explanation, &from, explain.json),
        Err(Failed { text, code }) => {
            eprintln!("leeward: {}", clean(&text));
            code
        }
    }
}

fn show(explanation: &Explanation, from: &str, as_json: bool) -> u8 {
    let text = if as_json {
        serde_json::to_string_pretty(explanation).unwrap_or_default() + "\n"
    } else {
        words::of(explanation, from, Paint::of_stdout())
    };
    // A reader that has gone away changes nothing about the answer.
    let _ = std::io::stdout().write_all(text.as_bytes());
    u8::from(explanation.pool.is_none())
}

/// The explanation, and where it is from.
fn explanation(explain: &Explain) -> Result<(Explanation, String), Failed> {
    let question = Question {
        request: explain.request.clone(),
        host: explain.host.clone(),
        headers: explain.headers.clone(),
        listener: explain.listener.clone(),
        down: explain.down.clone(),
    };
    let bad_usage = |text| Failed { text, code: 2 };
    let policy = explain.policy.as_deref().map(load).transpose()?;
    let Some(url) = &explain.admin else {
        let (policy, path) = policy.ok_or_else(|| bad_usage("a policy is needed".to_owned()))?;
        let explanation = offline(&policy, &question).map_err(bad_usage)?;
        return Ok((explanation, path));
    };
    let admin = Admin {
        admin: Some(url.clone()),
        token: explain.token.clone(),
        ..Admin::default()
    };
    let answer = admin::read(&admin, &path_of(&question))?;
    let explanation: Explanation = serde_json::from_value(answer).map_err(|error| Failed {
        text: format!("{url}: a leeward of another version: {error}"),
        code: 1,
    })?;
    if let Some((policy, path)) = policy
        && policy.hash != explanation.policy
    {
        eprintln!("leeward: {path} is not what the proxy serves; this is of what it serves");
    }
    Ok((explanation, admin::url(&admin)?))
}

/// A policy, and its name.
fn load(path: &Path) -> Result<(Policy, String), Failed> {
    let options = Options {
        files: Files::MayBeMissing,
        ..Options::default()
    };
    let shown = path.display().to_string();
    match load_with(path, &options).policy {
        Some(policy) => Ok((policy, shown)),
        None => Err(Failed {
            text: format!("{shown}: the policy is bad; `leeward check` says why"),
            code: 2,
        }),
    }
}

/// The question as the admin side takes it.
fn path_of(question: &Question) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("request", &question.request);
    if let Some(host) = &question.host {
        query.append_pair("host", host);
    }
    for header in &question.headers {
        query.append_pair("header", header);
    }
    if let Some(listener) = &question.listener {
        query.append_pair("listener", listener);
    }
    for down in &question.down {
        query.append_pair("down", down);
    }
    format!("/api/v1/explain?{}", query.finish())
}
