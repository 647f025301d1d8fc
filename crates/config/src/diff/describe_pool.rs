//! Pools and backends as things with settings; see [`super::describe`].

use super::Kind;
use super::describe::Thing;
use super::settings::{Settings, checks, fields, list, protocol};
use crate::policy::{
    Affinity, Backend, ErrorSigns, FileSd, GrpcProbe, HostHeader, HttpProbe, HttpSd, Pool, Probe,
    Protocol, Sources, UpstreamTls, Window,
};
use crate::units::show_duration;
use http::header::{HeaderName, HeaderValue};
use leeward_failover as engine;
use leeward_failover::{
    Failback, FailoverParams, HealthParams, Mover, OrderParams, PoolId, ProbeParams, RetryParams,
    Suspicion, Writer,
};

/// Every pool with its backends.
pub(super) fn all(policy: &engine::Policy, pools: &[Pool], backends: &[Backend]) -> Vec<Thing> {
    let mut things = Vec::new();
    for (index, (pool, io)) in policy.pools.iter().zip(pools).enumerate() {
        things.push((Kind::Pool, pool.name.clone(), of_pool(policy, pool, io)));
        let members = policy.backends.iter().zip(backends);
        let members = members.filter(|(backend, _)| backend.pool == PoolId::from(index));
        things.extend(members.map(|(backend, io)| of_backend(policy, backend, io)));
    }
    things
}

fn of_pool(policy: &engine::Policy, pool: &engine::Pool, io: &Pool) -> Settings {
    let engine::Pool {
        name: _,
        tiers,
        probe,
        health,
        failover,
        orders,
        retry,
    } = pool;
    let Pool {
        affinity,
        probe: sends,
        connect_timeout,
        idle_timeout,
        max_idle,
        order_reuse_within,
        order_protocol,
        max_streams,
        error_if,
        drain_streams,
        windows,
    } = io;
    let mut found = Settings::default();
    found.put("failover.tiers", self::tiers(policy, tiers));
    found.below("failover", of_failover(failover, windows));
    found.below("orders", of_orders(*orders, *order_protocol));
    let affinity = match affinity {
        Affinity::Client => "client".to_owned(),
        Affinity::Header(name) => format!("header {name}"),
    };
    found.put("affinity", affinity);
    found.below("retry", of_retry(retry));
    found.below("probe", of_probe(sends, *probe));
    found.below("health", of_health(health, error_if.as_ref()));
    found.put("max_streams", max_streams);
    found.span("connect_timeout", *connect_timeout);
    found.span("idle_timeout", *idle_timeout);
    found.put("max_idle", max_idle);
    found.span("drain_streams", *drain_streams);
    found.span("order_reuse_within", *order_reuse_within);
    found
}

/// `[aws/us-east-1] [gcp/us-east4 (weight 3), metal/ld4 (weight 1)]`.
fn tiers(policy: &engine::Policy, tiers: &[Vec<engine::TierSite>]) -> String {
    let name = |site: &engine::TierSite| policy.sites[site.site.index()].name.as_str();
    let tier = |tier: &Vec<engine::TierSite>| {
        let weighed = |site: &engine::TierSite| match tier.len() {
            1 => name(site).to_owned(),
            _ => format!("{} (weight {})", name(site), site.weight),
        };
        // Within a tier, order means nothing.
        let mut sites: Vec<String> = tier.iter().map(weighed).collect();
        sites.sort_unstable();
        format!("[{}]", sites.join(", "))
    };
    let tiers: Vec<String> = tiers.iter().map(tier).collect();
    tiers.join(" ")
}

fn of_failover(params: &FailoverParams, windows: &[Window]) -> Settings {
    let FailoverParams {
        site_failing,
        provider_failing_sites,
        suspicion,
        hold_down_first,
        hold_down_max,
        ramp,
        keep_warm,
        failback,
    } = params;
    let mut found = Settings::default();
    found.share("evacuate.site.failing", *site_failing);
    found.put("evacuate.provider.failing_sites", provider_failing_sites);
    let suspicion = match suspicion {
        Suspicion::Ignore => "ignore",
        Suspicion::Avoid => "avoid",
        Suspicion::Lower => "lower",
        Suspicion::Evacuate => "evacuate",
    };
    found.put("evacuate.provider.suspicion", suspicion);
    found.span("hold_down.first", *hold_down_first);
    found.span("hold_down.max", *hold_down_max);
    found.span("ramp", *ramp);
    found.share("keep_warm", *keep_warm);
    let failback = match failback {
        Failback::Automatic => "automatic".to_owned(),
        Failback::Manual => "manual".to_owned(),
        Failback::Windows => {
            let windows: Vec<String> = windows.iter().map(window).collect();
            format!("windows {}", windows.join(", "))
        }
    };
    found.put("failback", failback);
    found
}

/// `sat sun 02:00-06:00`.
fn window(window: &Window) -> String {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let Window { days, from, to } = window;
    let open = DAYS.iter().zip(days).filter(|(_, open)| **open);
    let open: Vec<&str> = open.map(|(day, _)| *day).collect();
    let days = match open.len() {
        7 => "daily".to_owned(),
        _ => open.join(" "),
    };
    let time = |minutes: u32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    format!("{days} {}-{}", time(*from), time(*to))
}

fn of_orders(params: OrderParams, travels: Protocol) -> Settings {
    let OrderParams {
        writer,
        moves,
        failback,
        fenced,
    } = params;
    let mut found = Settings::default();
    let writer = match writer {
        Writer::Single => "single",
        Writer::Any => "any",
    };
    found.put("writer", writer);
    let moves = match moves {
        Mover::Automatic => "automatic",
        Mover::Operator => "operator",
    };
    found.put("move", moves);
    let failback = match failback {
        Mover::Automatic => "automatic",
        Mover::Operator => "manual",
    };
    found.put("failback", failback);
    found.put("fenced", fenced);
    found.put("protocol", protocol(travels));
    found
}

fn of_retry(params: &RetryParams) -> Settings {
    let RetryParams {
        budget,
        floor_per_second,
        attempts,
        hedge,
    } = params;
    let mut found = Settings::default();
    found.share("budget", *budget);
    found.put("floor", format!("{floor_per_second}/s"));
    found.put("attempts", attempts);
    found.share("hedge", *hedge);
    found
}

fn of_health(params: &HealthParams, signs: Option<&ErrorSigns>) -> Settings {
    let HealthParams {
        window,
        min_requests,
        failing,
        consecutive,
        connect_failures,
    } = params;
    let mut found = Settings::default();
    found.span("window", *window);
    found.put("min_requests", min_requests);
    found.share("failing", *failing);
    found.put("consecutive", consecutive);
    found.put("connect_failures", connect_failures);
    let default = ErrorSigns::default();
    let ErrorSigns { headers, json } = signs.unwrap_or(&default);
    found.put("error_if.headers", fields(headers, "none"));
    found.put("error_if.json", checks(json));
    found
}

fn of_probe(sends: &Probe, params: ProbeParams) -> Settings {
    let ProbeParams {
        interval,
        timeout,
        rise,
        fall,
    } = params;
    let mut found = Settings::default();
    found.span("interval", interval);
    found.span("timeout", timeout);
    found.put("rise", rise);
    found.put("fall", fall);
    match sends {
        Probe::Tcp => found.put("type", "tcp"),
        Probe::Http(http) => of_http_probe(&mut found, http),
        Probe::Grpc(grpc) => of_grpc_probe(&mut found, grpc),
    }
    found
}

fn of_grpc_probe(found: &mut Settings, grpc: &GrpcProbe) {
    let GrpcProbe {
        service,
        host,
        headers,
    } = grpc;
    found.put("type", "grpc");
    let service = Some(service).filter(|service| !service.is_empty());
    found.option("service", service, "the server as a whole");
    found.option("host", host.as_ref(), "the backend's own");
    of_sent(found, headers);
}

/// Values may be secrets.
fn of_sent(found: &mut Settings, headers: &[(HeaderName, HeaderValue)]) {
    let mut names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let mut values: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    values.sort_unstable();
    found.put_secret("headers", list(&names, "none"), values);
}

fn of_http_probe(found: &mut Settings, http: &HttpProbe) {
    found.put("type", "http");
    let HttpProbe {
        path,
        host,
        headers,
        status,
        expect_headers,
        body_contains,
        json,
        max_body,
    } = http;
    found.put("path", path);
    found.option("host", host.as_ref(), "the backend's own");
    of_sent(found, headers);
    let range = |(low, high): &(u16, u16)| match low == high {
        true => low.to_string(),
        false => format!("{low}-{high}"),
    };
    let mut status = status.clone();
    status.sort_unstable();
    let status: Vec<String> = status.iter().map(range).collect();
    found.put("expect.status", list(&status, "none"));
    found.put("expect.headers", fields(expect_headers, "none"));
    found.option("expect.body", body_contains.as_ref(), "anything");
    found.put("expect.json", checks(json));
    found.size("max_body", *max_body as u64);
}

fn of_backend(policy: &engine::Policy, backend: &engine::Backend, io: &Backend) -> Thing {
    let engine::Backend {
        name: url,
        pool,
        site,
        weight,
        capacity,
        addresses,
    } = backend;
    let Backend {
        id: _,
        // They are those of the URL.
        host: _,
        port: _,
        sources,
        tls,
        protocol: speaks,
        host_header,
    } = io;
    let mut found = Settings::default();
    found.option("capacity", capacity.map(|c| format!("{c}/s")), "unknown");
    found.put("weight", weight);
    let mut addresses = addresses.clone();
    addresses.sort_unstable();
    found.put("addresses", list(&addresses, "none"));
    of_sources(&mut found, sources);
    of_tls(&mut found, tls.as_ref());
    found.put("protocol", protocol(*speaks));
    let host = match host_header {
        HostHeader::Client => "client",
        HostHeader::Backend => "backend",
        HostHeader::Literal(name) => name,
    };
    found.put("host", host);
    let pool = &policy.pools[pool.index()].name;
    let site = &policy.sites[site.index()].name;
    (Kind::Backend, format!("{pool} {site} {url}"), found)
}

fn of_sources(found: &mut Settings, sources: &Sources) {
    let Sources {
        resolve,
        srv,
        file,
        http,
    } = sources;
    found.put("resolve", resolve);
    found.option("srv", srv.as_ref(), "none");
    let file = file.as_ref().map(|file| {
        let FileSd { path, refresh } = file;
        format!("{}, every {}", path.display(), show_duration(*refresh))
    });
    found.option("file_sd", file, "none");
    let Some(http) = http else {
        return found.put("http_sd", "none");
    };
    let HttpSd {
        host,
        port,
        target,
        tls,
        refresh,
        timeout,
    } = http;
    // A query may carry a token.
    let path = target.split('?').next().unwrap_or_default();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let shown = format!(
        "{scheme}://{host}:{port}{path}, every {}, within {}",
        show_duration(*refresh),
        show_duration(*timeout)
    );
    found.put_secret("http_sd", shown, (target, tls));
}

fn of_tls(found: &mut Settings, tls: Option<&UpstreamTls>) {
    match tls {
        Some(UpstreamTls { server_name, ca }) => {
            found.put("server_name", server_name);
            let ca = ca.as_ref().map(|path| path.display());
            found.option("ca", ca, "the system's roots");
        }
        None => found.put("tls", "none, plain HTTP"),
    }
}
