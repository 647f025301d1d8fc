//! What becomes of one request, and why: the decision tree, asked of the code that decides.
//!
//! The framing says whether the request may pass, the route table which route it meets and why not an
//! earlier one, the engine's table and `select` where it goes, `retry` what may follow a failure, and
//! a rehearsal of the engine what all of that would be with places down. Nothing here has a rule of
//! its own. Called by the command line for a policy on a desk, where everything is taken for well,
//! and by the admin side for a proxy that runs, with what it holds.

mod ask;
mod pool;
mod says;

pub use says::{
    Decided, EndpointSays, Explanation, ListenerSays, PassedOver, PlaceSays, PoolSays, RefusedSays,
    RouteSays, SiteSays, Standing, Then, WriterSays,
};

use crate::operator;
use crate::route::{Asked, Miss, RouteTable, host_of, misses};
use ask::Request;
use leeward_config::policy::{Listener, Match, PathMatch, Policy, Route};
use leeward_config::suggest;
use leeward_failover::retry::{self, Sent};
use leeward_failover::{Engine, Target, Time};

/// Conditions of a route that are told at most; the rest is counted.
const MOST_NAMES: usize = 6;

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// `POST /api/v3/order`, with or without a version behind it.
    pub request: String,
    /// The Host field; what `headers` or an absolute target say where there is none.
    pub host: Option<String>,
    /// Header fields, `Name: value`.
    pub headers: Vec<String>,
    /// The listener that it comes by; the first one where there is none.
    pub listener: Option<String>,
    /// Providers, sites and endpoints that are down in the second half of the answer.
    pub down: Vec<String>,
}

/// Explains a request to a policy on a desk: everything is taken for well.
///
/// # Errors
/// The question makes no sense: what of it, and what was probably meant.
pub fn offline(policy: &Policy, question: &Question) -> Result<Explanation, String> {
    let calm = Engine::in_calm(&policy.engine);
    let view = View {
        policy,
        engine: &calm.engine,
        now: calm.now,
        live: false,
    };
    view.explain(question)
}

/// Explains a request to a proxy that runs; `engine` is a copy of its own.
pub(crate) fn live(
    policy: &Policy,
    engine: &Engine,
    now: Time,
    question: &Question,
) -> Result<Explanation, String> {
    let view = View {
        policy,
        engine,
        now,
        live: true,
    };
    view.explain(question)
}

/// What an explanation is drawn from.
struct View<'a> {
    policy: &'a Policy,
    engine: &'a Engine,
    now: Time,
    live: bool,
}

impl View<'_> {
    fn explain(&self, question: &Question) -> Result<Explanation, String> {
        let listener = self.listener(question.listener.as_deref())?;
        let down = self.targets(&question.down)?;
        let request = Request::of(question)?;
        let mut explanation = Explanation {
            policy: self.policy.hash.clone(),
            live: self.live,
            method: request.method.clone(),
            target: request.target.clone(),
            host: host_of(&request.host).to_owned(),
            listener: ListenerSays {
                name: listener.name.clone(),
                bind: listener.bind.to_string(),
                tls: !listener.certificates.is_empty(),
                of: self.policy.listeners.len(),
                elsewhere: Vec::new(),
            },
            refused: None,
            passed_over: Vec::new(),
            route: None,
            pool: None,
        };
        let head = match request.check(&self.policy.limits) {
            Ok(head) => head,
            Err(refused) => {
                explanation.refused = Some(refused);
                return Ok(explanation);
            }
        };
        let asked = Asked {
            host: host_of(&request.host),
            path: head.path(),
            method: &head.method,
            headers: &head.headers,
        };
        let found = self.find(listener, &asked);
        explanation.listener.elsewhere = self.elsewhere(listener, &asked, found);
        let before = &self.policy.routes[..found.unwrap_or(self.policy.routes.len())];
        explanation.passed_over = before
            .iter()
            .map(|route| PassedOver {
                name: route.name.clone(),
                why: why_not(&listener.name, &route.matches, &asked),
            })
            .collect();
        let Some(found) = found else {
            explanation.refused = Some(self.no_route(&asked));
            return Ok(explanation);
        };
        let route = &self.policy.routes[found];
        explanation.route = Some(self.route(found, route));
        explanation.pool = Some(self.pool(route, &head.headers, &down));
        Ok(explanation)
    }

    /// The listener that is named, or the first one.
    fn listener(&self, name: Option<&str>) -> Result<&Listener, String> {
        let listeners = &self.policy.listeners;
        let Some(name) = name else {
            let first = listeners.first();
            return first.ok_or_else(|| "the policy has no listener".to_owned());
        };
        let found = listeners.iter().find(|listener| listener.name == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = listeners.iter().map(|one| one.name.as_str()).collect();
            format!("there is no listener `{name}`{}", hint(name, &known))
        })
    }

    fn targets(&self, names: &[String]) -> Result<Vec<Target>, String> {
        let mut targets = Vec::new();
        let mut unknown = Vec::new();
        for name in names {
            match operator::find(self.engine.policy(), self.engine, name) {
                Ok(found) => targets.extend(found),
                Err(text) => unknown.push(text),
            }
        }
        if unknown.is_empty() {
            Ok(targets)
        } else {
            Err(unknown.join("; "))
        }
    }

    /// The route of a request that comes by `listener`, as its workers find it.
    fn find(&self, listener: &Listener, asked: &Asked<'_>) -> Option<usize> {
        let matches = self.policy.routes.iter().map(|route| &route.matches);
        RouteTable::new(&listener.name, matches).find(asked)
    }

    /// The other listeners by which it would meet another route.
    fn elsewhere(
        &self,
        listener: &Listener,
        asked: &Asked<'_>,
        found: Option<usize>,
    ) -> Vec<(String, Option<String>)> {
        let others = self.policy.listeners.iter();
        others
            .filter(|other| other.name != listener.name)
            .map(|other| (other, self.find(other, asked)))
            .filter(|(_, other)| *other != found)
            .map(|(other, at)| {
                let route = at.map(|at| self.policy.routes[at].name.clone());
                (other.name.clone(), route)
            })
            .collect()
    }

    /// 404, with a hint where a host was probably misspelt.
    fn no_route(&self, asked: &Asked<'_>) -> RefusedSays {
        let hosts = self.policy.routes.iter().flat_map(|r| &r.matches.hosts);
        let mut hosts: Vec<&str> = hosts.map(String::as_str).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let hint = match asked.host {
            "" if hosts.is_empty() => None,
            "" => Some(format!("it has no host; routes name {}", either(&hosts))),
            host if hosts.contains(&host) => None,
            host => suggest(host, &hosts)
                .map(|hint| format!("no route names the host `{host}`; {hint}")),
        };
        RefusedSays {
            status: 404,
            reason: "no route of the policy matches".to_owned(),
            hint,
        }
    }

    fn route(&self, position: usize, route: &Route) -> RouteSays {
        let class = route.class;
        let params = &self.policy.engine.pools[route.pool.index()].retry;
        let budgeted = retry::asks_budget(class);
        RouteSays {
            name: route.name.clone(),
            position: position + 1,
            of: self.policy.routes.len(),
            because: conditions(&route.matches),
            class,
            deadline_ms: route.deadline.map(millis),
            attempts: retry::allowed(class, Sent::Maybe, params),
            attempts_unsent: retry::allowed(class, Sent::Nothing, params),
            budget: budgeted.then_some((params.budget, params.floor_per_second)),
            hedge: if class.goes_beside() {
                params.hedge
            } else {
                0.0
            },
            rescued: class.is_rescued(),
            keep_body: self.policy.limits.keep_body,
        }
    }
}

/// `; did you mean …?`, or nothing.
fn hint(name: &str, known: &[&str]) -> String {
    suggest(name, known).map_or_else(String::new, |hint| format!("; {hint}"))
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The conditions of a route that hold for a request, in words.
fn conditions(wanted: &Match) -> Vec<String> {
    let mut all = Vec::new();
    if !wanted.listeners.is_empty() {
        all.push(format!("listener {}", either(&wanted.listeners)));
    }
    if !wanted.hosts.is_empty() {
        all.push(format!("host {}", either(&wanted.hosts)));
    }
    if wanted.path != PathMatch::Any {
        all.push(format!("path {}", path(&wanted.path)));
    }
    if !wanted.methods.is_empty() {
        all.push(format!("method {}", either(&wanted.methods)));
    }
    all.extend(wanted.headers.iter().map(|(name, value)| match value {
        None => format!("header {name}"),
        Some(value) => format!("header {name}: {value}"),
    }));
    all
}

/// Why a route does not match, in words.
fn why_not(listener: &str, wanted: &Match, asked: &Asked<'_>) -> Vec<String> {
    let missed = misses(listener, wanted, asked);
    let words = missed.into_iter().map(|miss| match miss {
        Miss::Listener => format!("listener is not {}", either(&wanted.listeners)),
        Miss::Host => format!("host is not {}", either(&wanted.hosts)),
        Miss::Path => format!("path is not {}", path(&wanted.path)),
        Miss::Method => format!("method is not {}", either(&wanted.methods)),
        Miss::Header(name) => {
            let own = wanted.headers.iter().find(|(known, _)| *known == name);
            match own.and_then(|(_, value)| value.as_deref()) {
                Some(value) => format!("header {name} is not `{value}`"),
                None => format!("no header {name}"),
            }
        }
    });
    words.collect()
}

fn path(wanted: &PathMatch) -> String {
    match wanted {
        PathMatch::Any => "any".to_owned(),
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Prefix(path) => format!("{path} or below"),
    }
}

/// `GET, HEAD or PUT`.
fn either<T: ToString>(names: &[T]) -> String {
    let mut shown: Vec<String> = names
        .iter()
        .take(MOST_NAMES)
        .map(ToString::to_string)
        .collect();
    if names.len() > MOST_NAMES {
        return format!("{} or {} more", shown.join(", "), names.len() - MOST_NAMES);
    }
    let last = shown.pop().unwrap_or_default();
    if shown.is_empty() {
        return last;
    }
    format!("{} or {last}", shown.join(", "))
}
