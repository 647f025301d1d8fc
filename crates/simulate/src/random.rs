//! Random worlds: a seed says what stands where, what goes wrong, and what is done to leeward.

use crate::dice::Dice;
use crate::fault::{Mode, Phase, Shape};
use crate::plan::{Deed, Load, Plan, Rules, address};
use crate::server::Server;
use leeward_failover::{Class, OperatorWord, Time};
use std::fmt::Write;
use std::time::Duration;

const PROVIDERS: [&str; 4] = ["aws", "gcp", "metal", "akash"];
const SITES: [&str; 3] = ["a", "b", "c"];
const CLASSES: [(&str, &str); 5] = [
    ("read", "public_read"),
    ("account", "private_read"),
    ("order", "order"),
    ("cancel", "cancel"),
    ("ws", "stream"),
];
/// Nothing goes wrong before.
const CALM: u64 = 8_000;
/// Nothing begins to go wrong after.
const TROUBLE: u64 = 55_000;

/// The shape of a random world's policy.
struct Draft {
    /// Each with its sites.
    providers: Vec<(&'static str, Vec<&'static str>)>,
    pools: Vec<PoolDraft>,
    reversed: bool,
}

struct PoolDraft {
    name: &'static str,
    /// Site, backends there.
    backends: Vec<(String, u64)>,
    tiers: Vec<Vec<String>>,
    failover: String,
    orders: String,
}

/// The world that a seed stands for.
pub fn plan(seed: u64) -> Result<Plan, String> {
    let mut dice = Dice::new(seed, 11);
    let mut draft = draft(&mut dice);
    let rules = Rules::compile(&policy(&draft))?;
    let addresses = dice.between(1, 3);
    let mut plan = Plan::around(rules, seed, Time::ZERO, |url| {
        if url.contains("n1") {
            addresses as usize
        } else {
            1
        }
    });
    for pool in &draft.pools {
        for (class, least, most) in [
            (Class::PublicRead, 15, 40),
            (Class::PrivateRead, 1, 6),
            (Class::Order, 3, 12),
            (Class::Cancel, 1, 4),
            (Class::Stream, 0, 1),
        ] {
            plan.loads.push(Load {
                pool: pool.name.to_owned(),
                class,
                rate: dice.between(least, most) as f64 + 0.2,
                client: None,
            });
        }
    }
    for _ in 0..dice.between(1, 4) {
        trouble(&mut plan, &draft, &mut dice);
    }
    one_clients_own(&mut plan);
    orders_alone(&mut plan, &draft);
    if dice.chance(0.3) {
        let at = Time::from_millis(dice.between(CALM, TROUBLE + 20_000));
        draft.reversed = true;
        let rules = Box::new(Rules::compile(&policy(&draft))?);
        plan.deeds.push((at, Deed::Reload(rules)));
    }
    deeds(&mut plan, &draft, &mut dice);
    let last = plan.phases.iter().map(|p| p.to).max().unwrap_or_default();
    let done = plan.deeds.iter().map(|(at, deed)| match deed {
        Deed::Word { lasts, .. } => *at + lasts.unwrap_or_default(),
        _ => *at,
    });
    let last = done.max().unwrap_or_default().max(last);
    plan.end = last + Duration::from_secs(80);
    Ok(plan)
}

fn draft(dice: &mut Dice) -> Draft {
    let mut providers = Vec::new();
    for name in PROVIDERS.iter().take(dice.between(2, 4) as usize) {
        let sites = SITES.iter().take(dice.between(1, 3) as usize).copied();
        providers.push((*name, sites.collect::<Vec<_>>()));
    }
    let mut pools = vec![pool("trading", &providers, dice)];
    if dice.chance(0.3) {
        pools.push(pool("market", &providers, dice));
    }
    Draft {
        providers,
        pools,
        reversed: false,
    }
}

fn pool(
    name: &'static str,
    providers: &[(&'static str, Vec<&'static str>)],
    dice: &mut Dice,
) -> PoolDraft {
    let mut tiers: Vec<Vec<String>> = Vec::new();
    let mut backends = Vec::new();
    for (provider, sites) in providers {
        let split = dice.chance(0.4);
        for (index, site) in sites.iter().enumerate() {
            let site = format!("{provider}/{site}");
            backends.push((site.clone(), dice.between(1, 3)));
            match tiers.last_mut() {
                Some(tier) if index > 0 && !split => tier.push(site),
                _ => tiers.push(vec![site]),
            }
        }
    }
    let first = dice.between(3, 6);
    let failover = format!(
        "hold_down: {{ first: {first}s, max: {}s }}, ramp: {}s, keep_warm: {}%",
        dice.between(first, 20),
        dice.between(5, 10),
        dice.between(0, 4),
    );
    let orders = format!(
        "writer: single, move: automatic, failback: {}, fenced: {}",
        if dice.chance(0.5) {
            "manual"
        } else {
            "automatic"
        },
        dice.chance(0.5)
    );
    PoolDraft {
        name,
        backends,
        tiers,
        failover,
        orders,
    }
}

/// The policy file of a draft.
fn policy(draft: &Draft) -> String {
    let mut text =
        String::from("version: 1\nadmin: off\nlisteners: { l: { bind: 127.0.0.1:0 } }\n");
    text.push_str("providers:\n");
    for (name, sites) in &draft.providers {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "  {name}: {{ kind: cloud, sites: [{}] }}",
            sites.join(", ")
        );
    }
    text.push_str("pools:\n");
    for pool in &draft.pools {
        let _ = writeln!(text, "  {}:\n    backends:", pool.name);
        let mut lines = Vec::new();
        for (site, count) in &pool.backends {
            for number in 1..=*count {
                let host = format!("n{number}.{}.{}.test", site.replace('/', "-"), pool.name);
                lines.push(format!(
                    "      - {{ url: \"http://{host}:80\", site: {site} }}"
                ));
            }
        }
        if draft.reversed {
            lines.reverse();
        }
        let tiers: Vec<String> = pool
            .tiers
            .iter()
            .map(|t| format!("[{}]", t.join(", ")))
            .collect();
        let _ = writeln!(
            text,
            "{}\n    probe: {{ path: /health }}\n    failover: {{ tiers: [{}], {} }}\n    orders: {{ {} }}",
            lines.join("\n"),
            tiers.join(", "),
            pool.failover,
            pool.orders
        );
    }
    text.push_str("routes:\n");
    for pool in &draft.pools {
        for (path, class) in CLASSES {
            let _ = writeln!(
                text,
                "  - {{ match: {{ path_prefix: /{0}/{path} }}, class: {class}, pool: {0} }}",
                pool.name
            );
        }
    }
    text
}

/// One thing goes wrong.
fn trouble(plan: &mut Plan, draft: &Draft, dice: &mut Dice) {
    let from = dice.between(CALM, TROUBLE);
    let to = from + dice.between(500, 25_000);
    let (from, to) = (Time::from_millis(from), Time::from_millis(to));
    let (place, mut servers) = match two_sites(draft, dice) {
        Some((one, other)) => {
            let mut servers = plan.at(&one);
            servers.extend(plan.at(&other));
            (format!("{one} and {other}"), servers)
        }
        None => {
            let place = somewhere(draft, dice);
            let servers = plan.at(&place);
            (place, servers)
        }
    };
    let kind = dice.between(0, 19);
    if kind < 3 && servers.len() > 1 {
        let one = dice.between(0, servers.len() as u64 - 1) as usize;
        servers = vec![servers[one]];
    }
    let mode = some_mode(dice);
    let mut phase = Phase::new(mode, from, to, servers.clone());
    phase.label = place.clone();
    match mode {
        Mode::TcpLoss => phase.factor = 0.02 + 0.4 * dice.fraction(),
        Mode::SlowTtfb => {
            phase.ms = (500, 4000);
            phase.share = *dice.pick(&[0.2, 1.0]).unwrap_or(&1.0);
        }
        Mode::BodyTrunc => phase.share = *dice.pick(&[0.1, 0.7, 1.0]).unwrap_or(&1.0),
        Mode::Http => storm(&mut phase, dice),
        Mode::DnsFlap => phase.factor = 0.4,
        _ => {}
    }
    if dice.chance(0.15) && !mode.is_dns() {
        phase.shape = Shape::Square {
            period: dice.millis(2000, 8000),
            duty: 0.5,
        };
        phase.label.push_str(" (flapping)");
    }
    // Now and then it is the orders alone that fail, drawn apart: worlds without it stay what they are.
    let mut apart = Dice::new(plan.seed, 7700 + plan.phases.len() as u64);
    if matches!(mode, Mode::Http | Mode::AcceptHang) && apart.chance(0.25) {
        phase.classes = vec![Class::Order, Class::Cancel];
        phase.label.push_str(" (orders alone)");
    }
    let lies = (mode == Mode::Http || mode == Mode::AcceptHang) && dice.chance(0.5);
    if mode == Mode::DnsMove {
        move_names(plan, &mut phase);
    }
    plan.phases.push(phase);
    if lies {
        let mut green = Phase::new(Mode::HealthGreen, from, to, servers);
        green.label = place;
        plan.phases.push(green);
    }
}

/// A way to fail, the common ones more often.
fn some_mode(dice: &mut Dice) -> Mode {
    match dice.between(0, 20) {
        0..=2 => Mode::TcpRefused,
        3..=5 => Mode::TcpBlackhole,
        6 => Mode::TcpLoss,
        7 => Mode::TcpReset,
        8 => Mode::TlsFail,
        9 => Mode::TlsHang,
        10..=11 => Mode::AcceptHang,
        12 => Mode::SlowTtfb,
        13 => Mode::BodyTrunc,
        14..=17 => Mode::Http,
        18 => Mode::DnsEmpty,
        19 => Mode::DnsFlap,
        _ => Mode::DnsMove,
    }
}

fn storm(phase: &mut Phase, dice: &mut Dice) {
    let codes: [&[u16]; 4] = [&[503], &[500], &[500, 502, 504], &[429]];
    phase.codes = dice.pick(&codes).map_or(vec![503], |codes| codes.to_vec());
    phase.share = *dice.pick(&[0.1, 0.3, 0.6, 1.0, 1.0]).unwrap_or(&1.0);
    if dice.chance(0.3) {
        phase.ms = (50, 800);
    }
}

/// Names move to servers that were not there before; the old ones refuse a little later.
fn move_names(plan: &mut Plan, phase: &mut Phase) {
    let old = phase.servers.clone();
    for name in &mut plan.names {
        if !name.servers.iter().any(|s| old.contains(s)) || !name.spares.is_empty() {
            continue;
        }
        for index in name.servers.clone() {
            let server = Server {
                address: address(plan.servers.len()),
                idle: Vec::new(),
                ..plan.servers[index].clone()
            };
            name.spares.push(plan.servers.len());
            plan.servers.push(server);
        }
        phase.servers.extend(&name.servers);
    }
    phase.servers.sort_unstable();
    phase.servers.dedup();
    let from = phase.from + Duration::from_secs(9);
    let until = from + Duration::from_secs(10);
    let mut gone = Phase::new(Mode::TcpRefused, from, until, phase.servers.clone());
    gone.label = format!("the old addresses of {}", phase.label);
    phase.to = from;
    plan.phases.push(gone);
}

/// Now and then two of a provider's three sites: the third is well.
fn two_sites(draft: &Draft, dice: &mut Dice) -> Option<(String, String)> {
    if !dice.chance(0.12) {
        return None;
    }
    let large = draft.providers.iter().find(|(_, sites)| sites.len() > 2);
    let (provider, sites) = large?;
    Some((
        format!("{provider}/{}", sites[0]),
        format!("{provider}/{}", sites[1]),
    ))
}

fn somewhere(draft: &Draft, dice: &mut Dice) -> String {
    let Some((provider, sites)) = dice.pick(&draft.providers).cloned() else {
        return "all".to_owned();
    };
    match dice.between(0, 9) {
        0 => "all".to_owned(),
        1..=3 => provider.to_owned(),
        _ => {
            let site = dice.pick(&sites).copied().unwrap_or("a");
            format!("{provider}/{site}")
        }
    }
}

/// Now and then one client sends more orders than all others, and for a while only errors come of
/// them, wherever they go. Drawn apart, as above.
fn one_clients_own(plan: &mut Plan) {
    const CLIENT: u64 = 99;
    let mut apart = Dice::new(plan.seed, 7600);
    if !apart.chance(0.1) {
        return;
    }
    let from = Time::from_millis(apart.between(CALM, TROUBLE));
    let to = from + apart.millis(2_000, 40_000);
    let mut phase = Phase::new(Mode::Http, from, to, plan.at("all"));
    (phase.classes, phase.clients) = (vec![Class::Order], vec![CLIENT]);
    phase.codes = vec![500];
    phase.label = "all (one client's orders)".to_owned();
    plan.phases.push(phase);
    plan.loads.push(Load {
        pool: "trading".to_owned(),
        class: Class::Order,
        rate: 15.0,
        client: Some(CLIENT),
    });
}

/// Now and then the orders of the whole first provider fail, and nothing else does. Drawn apart, as
/// above.
fn orders_alone(plan: &mut Plan, draft: &Draft) {
    let mut apart = Dice::new(plan.seed, 7500);
    if !apart.chance(0.12) {
        return;
    }
    let place = draft.providers[0].0;
    let mode = match apart.chance(0.3) {
        true => Mode::AcceptHang,
        false => Mode::Http,
    };
    let from = Time::from_millis(apart.between(CALM, TROUBLE));
    let to = from + apart.millis(8_000, 25_000);
    let mut phase = Phase::new(mode, from, to, plan.at(place));
    phase.classes = vec![Class::Order, Class::Cancel];
    phase.label = format!("{place} (orders alone)");
    if mode == Mode::Http && apart.chance(0.5) {
        // In part: it takes longer to tell.
        (phase.share, phase.codes) = (0.35, vec![500]);
        phase.to = phase.to + Duration::from_secs(15);
    }
    plan.phases.push(phase);
}

/// What is done to leeward meanwhile.
fn deeds(plan: &mut Plan, draft: &Draft, dice: &mut Dice) {
    let mut at = || Time::from_millis(dice.between(CALM, TROUBLE + 10_000));
    let (word, restart, sleep) = (at(), at(), at());
    if dice.chance(0.25) {
        let lasts = dice.millis(2_000, 20_000);
        let said = if dice.chance(0.5) {
            OperatorWord::Evacuated
        } else {
            OperatorWord::Draining
        };
        let deed = Deed::Word {
            place: somewhere(draft, dice),
            word: said,
            lasts: Some(lasts),
        };
        plan.deeds.push((word, deed));
    }
    if dice.chance(0.15) {
        let away = dice.millis(50, 1500);
        plan.deeds.push((restart, Deed::Restart(away)));
    }
    if dice.chance(0.08) {
        let span = dice.millis(300, 20_000);
        plan.deeds.push((sleep, Deed::Suspend(span)));
    }
}
