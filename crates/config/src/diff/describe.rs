//! A compiled policy as things with settings, so that two of them can be compared.
//!
//! Everything that a policy can say is here: each type is taken apart whole, so that a new field does
//! not compile until it is said what it is called. Pools and backends are in `describe_pool`.

use super::settings::{Settings, fields, list};
use super::{Kind, describe_pool};
use crate::access::{AdminAccess, AdminClients, AdminTls, AdminToken};
use crate::policy::{
    AccessLog, Certificate, Clients, Dns, Drain, ForwardingFields, Limits, Listener, LogTarget,
    Match, PathMatch, Policy, ProxyProtocol, Record, Route, Trusted, TrustedFields,
};
use leeward_failover::{Guards, Provider, ProviderKind};

/// A thing of a policy: its kind, its name, its settings.
pub(super) type Thing = (Kind, String, Settings);

/// All things of a policy. The hash and the order of anything but routes are left out.
pub(super) fn describe(policy: &Policy) -> Vec<Thing> {
    let Policy {
        hash: _,
        base: _,
        engine,
        listeners,
        routes,
        pools,
        backends,
        admin,
        admin_read_only,
        admin_access,
        workers,
        drain,
        limits,
        state_dir,
        record,
        access_log,
        dns,
    } = policy;
    let mut process = Settings::default();
    process.option("admin.bind", *admin, "off");
    process.option("admin.read_only", *admin_read_only, "none");
    process.below("admin", of_admin(admin_access));
    process.put("workers", workers);
    let Drain { linger, timeout } = drain;
    process.span("drain.linger", *linger);
    process.span("drain.timeout", *timeout);
    let state_dir = state_dir.as_ref().map(|path| path.display());
    process.option("state_dir", state_dir, "none");
    match record {
        Some(Record { path, size }) => {
            process.put("journal.record", path.display());
            process.size("journal.record_size", *size);
        }
        None => process.put("journal", "none"),
    }
    match access_log {
        Some(log) => process.below("access_log", of_access_log(log)),
        None => process.put("access_log", "off"),
    }
    process.below("limits", of_limits(limits));
    process.below("dns", of_dns(dns));
    process.below("guards", of_guards(&engine.guards));
    let mut things = vec![(Kind::Process, String::new(), process)];
    let named =
        |listener: &Listener| (Kind::Listener, listener.name.clone(), of_listener(listener));
    things.extend(listeners.iter().map(named));
    things.extend((0..engine.providers.len()).map(|index| of_provider(policy, index)));
    things.extend(describe_pool::all(engine, pools, backends));
    things.extend(routes.iter().map(|route| of_route(policy, route)));
    things
}

fn of_admin(access: &AdminAccess) -> Settings {
    let AdminAccess { tokens, tls } = access;
    let mut found = Settings::default();
    let told = |token: &AdminToken| {
        let AdminToken { name, file, role } = token;
        format!("{name} {} {}", file.display(), role.as_str())
    };
    let told: Vec<String> = tokens.iter().map(told).collect();
    found.put("tokens", list(&told, "none"));
    let Some(AdminTls {
        certificate: Certificate { cert, key },
        clients,
    }) = tls
    else {
        found.put("tls", "none");
        return found;
    };
    found.put("tls.cert", cert.display());
    found.put("tls.key", key.display());
    match clients {
        Some(AdminClients { ca, operate }) => {
            found.put("tls.clients.ca", ca.display());
            found.put("tls.clients.operate", list(operate, "none"));
        }
        None => found.put("tls.clients", "none"),
    }
    found
}

fn of_access_log(log: &AccessLog) -> Settings {
    let AccessLog {
        to,
        sample,
        query,
        fields,
    } = log;
    let mut found = Settings::default();
    let to = match to {
        LogTarget::File(path) => path.display().to_string(),
        LogTarget::Stdout => "stdout".to_owned(),
        LogTarget::Unix(path) => format!("unix:{}", path.display()),
    };
    found.put("to", to);
    found.share("sample", *sample);
    found.put("query", if *query { "public_read" } else { "none" });
    found.put("fields", list(fields, "none"));
    found
}

fn of_limits(limits: &Limits) -> Settings {
    let Limits {
        tls_handshake,
        header_timeout,
        header_bytes,
        header_count,
        idle_timeout,
        body_idle,
        body_min_rate,
        write_stall,
        keep_body,
        hold_answer,
        max_body,
        max_streams,
    } = limits;
    let mut found = Settings::default();
    found.span("tls_handshake", *tls_handshake);
    found.span("header_timeout", *header_timeout);
    found.size("header_bytes", *header_bytes as u64);
    found.put("header_count", header_count);
    found.span("idle_timeout", *idle_timeout);
    found.span("body_idle", *body_idle);
    found.size("body_min_rate", *body_min_rate);
    found.span("write_stall", *write_stall);
    found.size("keep_body", *keep_body as u64);
    found.size("hold_answer", *hold_answer as u64);
    found.size("max_body", *max_body);
    found.put("max_streams", max_streams);
    found
}

fn of_dns(dns: &Dns) -> Settings {
    let Dns {
        resolvers,
        timeout,
        min_ttl,
        max_ttl,
        keep,
        keep_decentralized,
        private,
    } = dns;
    let mut found = Settings::default();
    found.put("resolvers", list(resolvers, "those of the system"));
    found.span("timeout", *timeout);
    found.span("min_ttl", *min_ttl);
    found.span("max_ttl", *max_ttl);
    found.span("keep", *keep);
    found.span("keep_decentralized", *keep_decentralized);
    found.put("private", if *private { "allow" } else { "refuse" });
    found
}

fn of_guards(guards: &Guards) -> Settings {
    let Guards {
        capacity_without_site,
        capacity_without_provider,
        providers,
        second_tier,
        forced,
    } = guards;
    let mut found = Settings::default();
    found.share("capacity_without_site", *capacity_without_site);
    found.share("capacity_without_provider", *capacity_without_provider);
    found.put("providers", (*providers).max(1));
    found.put("second_tier", second_tier);
    found.option("force", forced.as_ref(), "none");
    found
}

fn of_provider(policy: &Policy, index: usize) -> Thing {
    let Provider {
        name,
        kind,
        max_share,
    } = &policy.engine.providers[index];
    let kind = match kind {
        ProviderKind::Cloud => "cloud",
        ProviderKind::SelfHosted => "self_hosted",
        ProviderKind::Decentralized => "decentralized",
    };
    let mut found = Settings::default();
    found.put("kind", kind);
    let sites = policy.engine.sites.iter();
    let mut sites: Vec<&str> = sites
        .filter(|site| site.provider.index() == index)
        .map(|site| site.name.as_str())
        .collect();
    sites.sort_unstable();
    found.put("sites", list(&sites, "none"));
    found.option("max_share", max_share.map(crate::units::show_share), "none");
    (Kind::Provider, name.clone(), found)
}

fn of_listener(listener: &Listener) -> Settings {
    let Listener {
        name: _,
        bind,
        certificates,
        max_connections,
        max_connections_per_client,
        clients,
        http2,
        h2c,
    } = listener;
    let mut found = Settings::default();
    found.put("bind", bind);
    let certificate = |found: &Certificate| {
        let Certificate { cert, key } = found;
        format!("{} with {}", cert.display(), key.display())
    };
    let certificates: Vec<String> = certificates.iter().map(certificate).collect();
    found.put("tls.certificates", list(&certificates, "none, plain HTTP"));
    found.put("max_connections", max_connections);
    found.option(
        "max_connections_per_client",
        *max_connections_per_client,
        "none",
    );
    found.put("http2", if *http2 { "on" } else { "off" });
    found.put("h2c", h2c);
    let Clients {
        proxy_protocol: ProxyProtocol { from, timeout },
        trusted,
        forwarded,
    } = clients;
    found.put("proxy_protocol.from", from);
    found.span("proxy_protocol.timeout", *timeout);
    let Trusted { from, fields } = trusted;
    found.put("trusted.from", from);
    let fields = match fields {
        TrustedFields::XForwarded => "x-forwarded",
        TrustedFields::Forwarded => "forwarded",
    };
    found.put("trusted.fields", fields);
    let ForwardingFields {
        x_forwarded,
        forwarded,
    } = forwarded;
    let kinds = [(*x_forwarded, "x-forwarded"), (*forwarded, "forwarded")];
    let kinds: Vec<&str> = kinds
        .iter()
        .filter(|kind| kind.0)
        .map(|kind| kind.1)
        .collect();
    found.put("forwarded", list(&kinds, "none"));
    found
}

fn of_route(policy: &Policy, route: &Route) -> Thing {
    let Route {
        name,
        matches,
        class,
        pool,
        deadline,
    } = route;
    let mut found = of_match(matches);
    found.put("class", class.as_str());
    found.put("pool", &policy.engine.pools[pool.index()].name);
    found.option(
        "deadline",
        deadline.map(crate::units::show_duration),
        "none",
    );
    (Kind::Route, name.clone(), found)
}

fn of_match(matches: &Match) -> Settings {
    let Match {
        listeners,
        hosts,
        path,
        methods,
        headers,
    } = matches;
    let mut found = Settings::default();
    let sorted = |items: &[String]| {
        let mut items = items.to_vec();
        items.sort_unstable();
        list(&items, "any")
    };
    found.put("match.listener", sorted(listeners));
    found.put("match.host", sorted(hosts));
    let path = match path {
        PathMatch::Any => "any".to_owned(),
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Prefix(path) => format!("{path} and below"),
    };
    found.put("match.path", path);
    let methods: Vec<String> = methods.iter().map(ToString::to_string).collect();
    found.put("match.methods", sorted(&methods));
    found.put("match.headers", fields(headers, "any"));
    found
}
