//! An explanation in words, for a terminal.
//!
//! Owns the words and their order: what came in, which route, what its class allows, where it goes,
//! and what changes with places down. Called by `explain`.

use crate::decision;
use crate::held::{Held, because};
use crate::terminal::{Paint, cell, clean, put, share, span};
use leeward_failover::{Class, Mover, Repeat};
use leeward_proxy::explain::{
    Explanation, PoolSays, RouteSays, SiteSays, Standing, Then, WriterSays,
};
use std::time::Duration;

/// Columns before the words.
const INDENT: usize = 10;
/// Columns before what is said of a site.
const DETAIL: usize = 6;
/// Columns of a site's name.
const NAME: usize = 30;
/// Routes that were passed over and are told at most.
const MOST_ROUTES: usize = 20;

/// All of it. `from` says where the explanation is from: a policy's name, or a proxy's URL.
pub(super) fn of(explanation: &Explanation, from: &str, paint: Paint) -> String {
    let mut text = String::new();
    let to = &mut text;
    opening(to, explanation, from);
    if let Some(route) = &explanation.route {
        put(to, INDENT, "route", &matched(route));
        class(to, route);
    }
    if let Some(refused) = &explanation.refused {
        let words = format!("{}, by leeward itself: {}", refused.status, refused.reason);
        put(to, INDENT, "answer", &words);
        if let Some(hint) = &refused.hint {
            put(to, INDENT, "", hint);
        }
    }
    if let (Some(pool), Some(route)) = (&explanation.pool, &explanation.route) {
        describe(to, pool, route.class, paint);
    }
    text
}

/// What came in, and the routes that it passed by.
fn opening(to: &mut String, explanation: &Explanation, from: &str) {
    let Explanation {
        method,
        target,
        host,
        listener,
        passed_over,
        ..
    } = explanation;
    let host = match host.as_str() {
        "" => "no host".to_owned(),
        host => format!("host {host}"),
    };
    put(to, INDENT, "request", &format!("{method} {target}, {host}"));
    let held = if explanation.live {
        "as it is held there now"
    } else {
        "with everything taken for well"
    };
    let hash = &explanation.policy;
    put(to, INDENT, "policy", &format!("{from} ({hash}), {held}"));
    let tls = if listener.tls { ", TLS" } else { "" };
    let of = match listener.of {
        0 | 1 => String::new(),
        of => format!(" (one of {of})"),
    };
    let words = format!("{}{of}, {}{tls}", listener.name, listener.bind);
    put(to, INDENT, "listener", &words);
    for (name, route) in &listener.elsewhere {
        let words = match route {
            Some(route) => format!("by {name} it would meet the route {route}"),
            None => format!("by {name} no route would match"),
        };
        put(to, INDENT, "", &words);
    }
    let mut label = "passed by";
    for route in passed_over.iter().take(MOST_ROUTES) {
        let words = format!("{}: {}", route.name, route.why.join(", "));
        put(to, INDENT, label, &words);
        label = "";
    }
    if passed_over.len() > MOST_ROUTES {
        let words = format!("and {} more", passed_over.len() - MOST_ROUTES);
        put(to, INDENT, "", &words);
    }
}

fn matched(route: &RouteSays) -> String {
    let because = match route.because.as_slice() {
        [] => "it matches anything".to_owned(),
        conditions => conditions.join(", "),
    };
    let (name, position, of) = (&route.name, route.position, route.of);
    format!("{name}, {position} of {of}, the first that matches: {because}")
}

/// What the class allows.
fn class(to: &mut String, route: &RouteSays) {
    put(to, INDENT, "class", route.class.as_str());
    put(to, INDENT, "", &after_a_failure(route));
    let beside = if route.hedge > 0.0 {
        let part = share(route.hedge);
        format!("hedge: a second attempt beside a slow one, for {part} of such requests at most")
    } else {
        "hedge: never a second attempt beside a slow one".to_owned()
    };
    put(to, INDENT, "", &beside);
    let rescue = match (route.rescued, route.class) {
        (true, _) => "placed elsewhere at once when its endpoint goes down",
        (false, Class::Stream | Class::Tcp) => "ends with its endpoint",
        (false, _) => "none; it waits until its deadline, then is told as `unknown`",
    };
    put(to, INDENT, "", &format!("rescue: {rescue}"));
    let deadline = route.deadline_ms.map_or_else(
        || "none".to_owned(),
        |all| {
            let all = leeward_config::show_duration(Duration::from_millis(all));
            format!("{all} for all attempts together")
        },
    );
    put(to, INDENT, "", &format!("deadline: {deadline}"));
}

fn after_a_failure(route: &RouteSays) -> String {
    let (all, unsent) = (route.attempts, route.attempts_unsent);
    let budget = route.budget.map_or_else(String::new, |(part, floor)| {
        let part = share(part);
        format!(", while retries are {part} of the requests or {floor}/s at most")
    });
    match route.class.repeat() {
        Repeat::Budgeted => format!("retry: {all} attempts in all{budget}"),
        Repeat::Once => format!("retry: once{budget}"),
        Repeat::ProvenNotSent => format!(
            "retry: only where it is proven that no backend received any of it, {unsent} attempts in all"
        ),
        Repeat::AtConnect => {
            format!("retry: only until a connection stands, {unsent} attempts in all")
        }
    }
}

/// Where it goes.
fn describe(to: &mut String, pool: &PoolSays, class: Class, paint: Paint) {
    let then = pool.then.as_ref();
    put(to, INDENT, "pool", &pool.name);
    if let Some(writer) = &pool.writer {
        put(to, INDENT, "", &writes(writer, &pool.now, then));
    }
    if let Some(affinity) = &pool.affinity {
        put(to, INDENT, "", affinity);
    }
    table(to, pool, class, paint);
    if let Some(then) = then {
        let down = then.down.join(", ");
        put(to, 0, "", &format!("With {down} silent, by probes alone:"));
        if then.decisions.is_empty() {
            put(to, 9, "", "nothing changes");
        }
        if !then.complete {
            put(to, 9, "", "probes alone do not find all of it down in time");
        }
        for decided in &then.decisions {
            let after = format!("  +{}", span(decided.after_ms));
            put(to, 9, &after, &decision::in_words(&decided.event));
        }
        to.push('\n');
    }
    for (when, standing) in both(&pool.now, then) {
        put(to, INDENT, when, &tries(standing));
        if standing.panic {
            let words = "everything looks bad: the verdicts are distrusted, reads are not retried, \
                         what is least bad serves";
            put(to, INDENT, "", words);
        }
    }
    capacity(to, pool);
}

/// Now, and then where there is one.
fn both<'a>(
    now: &'a Standing,
    then: Option<&'a Then>,
) -> impl Iterator<Item = (&'static str, &'a Standing)> {
    let then = then.map(|then| ("then", &then.standing));
    [("now", now)].into_iter().chain(then)
}

/// `orders go to aws; then to gcp; …`.
fn writes(writer: &WriterSays, now: &Standing, then: Option<&Then>) -> String {
    let nobody = || "nobody".to_owned();
    let who = |standing: &Standing| standing.writer.clone().unwrap_or_else(nobody);
    let now = who(now);
    let then = match then.map(|then| who(&then.standing)) {
        None => String::new(),
        Some(same) if same == now => ", before and after".to_owned(),
        Some(other) => format!(", then to {other}"),
    };
    let moves = match writer.moves {
        Mover::Automatic => "it moves by itself",
        Mover::Operator => "only an operator moves it",
    };
    let home = match writer.failback {
        Mover::Automatic => "comes home by itself",
        Mover::Operator => "an operator brings it home",
    };
    let fenced = if writer.fenced {
        "fenced: backends refuse a writer that was replaced"
    } else {
        "not fenced: a writer that was replaced may still be served"
    };
    format!("orders have one writer: {now}{then}; {moves}, {home}; {fenced}")
}

/// Its sites: tier, share, capacity, verdict.
fn table(to: &mut String, pool: &PoolSays, class: Class, paint: Paint) {
    let then = pool.then.as_ref();
    let head = if then.is_some() { "  then" } else { "" };
    let title = format!(
        "tier  {} {:>5}{head}   carries  held",
        cell("site", NAME),
        "now"
    );
    to.push('\n');
    to.push_str(&format!(
        "Share of first attempts of {}:\n\n",
        class.as_str()
    ));
    to.push_str(&format!("{}\n", paint.dim(&title)));
    for site in &pool.now.sites {
        let later = then.map_or_else(String::new, |then| {
            let sites = then.standing.sites.iter();
            let later = sites.filter(|later| later.place.name == site.place.name);
            format!(" {:>5}", share(later.map(|later| later.share).sum()))
        });
        let held = Held::from(&site.place);
        let provider = of_provider(&pool.now, &held.name);
        let carries = site
            .rate
            .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}/s"));
        to.push_str(&format!(
            "{:>4}  {} {:>5}{later} {carries:>9}  {}{provider}\n",
            site.tier,
            cell(&site.place.name, NAME),
            share(site.share),
            paint.verdict(held.colour(), &held.in_short()),
        ));
        detail(to, site);
    }
    for provider in &pool.now.providers {
        let held = Held::from(provider);
        put(
            to,
            DETAIL,
            "",
            &format!("{}: {}", held.name, held.in_short()),
        );
        held.explain(to, DETAIL + 2);
    }
    to.push('\n');
}

/// What an operator said of a site's provider: it goes for the site as well.
fn of_provider(standing: &Standing, site: &str) -> String {
    let mut providers = standing.providers.iter().map(Held::from);
    let provider = providers.find(|provider| {
        let own = site.strip_prefix(provider.name.as_str());
        provider.is_spoken_of() && own.is_some_and(|rest| rest.starts_with('/'))
    });
    provider.map_or_else(String::new, |provider| {
        format!(", {} with {}", provider.operator, provider.name)
    })
}

/// What is held of a site that is not simply healthy.
fn detail(to: &mut String, site: &SiteSays) {
    let held = Held::from(&site.place);
    if !held.is_quiet() {
        held.explain(to, DETAIL);
    }
    if site.tight {
        put(
            to,
            DETAIL,
            "",
            "near its capacity: enforced request by request",
        );
    }
    if site.most < 0.9995 {
        let most = share(site.most);
        put(
            to,
            DETAIL,
            "",
            &format!("{most} at most, by max_share or its ramp"),
        );
    }
    for endpoint in &site.troubled {
        let why = because(endpoint.cause.as_str(), &endpoint.evidence);
        let (address, verdict) = (&endpoint.address, endpoint.verdict.as_str());
        let hold = endpoint.hold_down_left_ms.filter(|left| *left > 0);
        let hold = hold.map_or_else(String::new, |left| {
            format!("; hold-down ends in {}", span(left))
        });
        put(
            to,
            DETAIL + 2,
            "",
            &format!("{address} {verdict}, {why}{hold}"),
        );
    }
}

/// The sites that one request tries.
fn tries(standing: &Standing) -> String {
    let Some((first, more)) = standing.way.split_first() else {
        return "no endpoint may take it: 503 `not-sent`".to_owned();
    };
    let mut words = format!("tries {first}");
    for site in more {
        words.push_str(&format!(", then {site}"));
    }
    if standing.unplaced > 0.0 {
        let none = share(standing.unplaced);
        words.push_str(&format!("; {none} of such requests find no endpoint"));
    }
    clean(&words)
}

/// What is left of the capacity, against the demand.
fn capacity(to: &mut String, pool: &PoolSays) {
    let then = pool.then.as_ref();
    let left = |standing: &Standing| match standing.panic {
        true => Some("none that is known to serve".to_owned()),
        false => standing.capacity.map(|left| format!("{left}/s")),
    };
    let words = match (left(&pool.now), then.map(|then| left(&then.standing))) {
        (Some(now), Some(Some(then))) => format!("{now} now, {then} then"),
        (Some(now), _) => now,
        (None, _) => "not every backend declares one".to_owned(),
    };
    let needed = match pool.needed {
        Some(needed) => format!("; {needed}/s are needed now"),
        None if pool.now.capacity.is_some() && !pool.now.panic => {
            "; what is needed only a running proxy knows (--admin)".to_owned()
        }
        None => String::new(),
    };
    put(to, INDENT, "capacity", &format!("{words}{needed}"));
    let last = then.map_or(&pool.now, |then| &then.standing);
    let left = last.capacity.filter(|_| !last.panic);
    if let (Some(needed), Some(left)) = (pool.needed, left)
        && needed > left
    {
        let short = needed - left;
        put(
            to,
            INDENT,
            "",
            &format!("{short}/s too little: what does not fit is shed"),
        );
    }
}
