//! The text of a policy, written from the backends of a test.

use super::backend::Backend;
use std::collections::BTreeMap;
use std::fmt::Write;

/// One route a class, by the first word of the path; the rest is unclassed, with time enough.
const ROUTES: &str = "
  - { name: read, match: { path_prefix: /read }, class: public_read, pool: main }
  - { name: private, match: { path_prefix: /private }, class: private_read, pool: main }
  - { name: order, match: { path_prefix: /order }, class: order, pool: main }
  - { name: cancel, match: { path_prefix: /cancel }, class: cancel, pool: main }
  - { name: ws, match: { path_prefix: /ws }, class: stream, pool: main }
  - { name: rest, match: {}, pool: main, deadline: 60s }
";

/// Keeps every verdict as it is, whatever the traffic meets.
pub(crate) const STOIC: &str = "health: { min_requests: 100000, failing: 100%, consecutive: 100000, connect_failures: 100000 }";

/// Probes that notice a refusal within a fraction of a second, and silence within two: a busy
/// machine must not make a well backend look dead.
pub(crate) const QUICK_PROBE: &str =
    "probe: { path: /healthz, interval: 100ms, timeout: 1s, rise: 2, fall: 2 }";

/// A failover between these tiers that tests can watch: half a second of hold-down, as much ramp.
pub(crate) fn quick_failover(tiers: &str) -> String {
    format!(
        "failover: {{ tiers: {tiers}, hold_down: {{ first: 500ms, max: 2s }}, ramp: 500ms, keep_warm: 0% }}"
    )
}

/// A policy in parts; each part is YAML.
#[derive(Clone)]
pub(crate) struct Policy {
    workers: usize,
    listeners: String,
    top: String,
    providers: String,
    backends: String,
    pool: String,
    routes: String,
}

impl Policy {
    /// One pool `main` with these backends at these sites, on one plain listener `plain`, one worker.
    pub(crate) fn of(backends: &[(&str, &Backend)]) -> Self {
        let urls: Vec<(&str, String)> = backends.iter().map(|(site, b)| (*site, b.url())).collect();
        Self::of_urls(&urls)
    }

    /// The same with URLs; whatever follows a URL after a comma goes into the backend's entry.
    pub(crate) fn of_urls(backends: &[(&str, String)]) -> Self {
        let mut providers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut entries = String::new();
        for (site, url) in backends {
            let (provider, name) = site.split_once('/').unwrap();
            let sites = providers.entry(provider).or_default();
            if !sites.contains(&name) {
                sites.push(name);
            }
            write!(entries, "\n      - {{ site: {site}, url: {url} }}").unwrap();
        }
        let mut listed = String::new();
        for (provider, sites) in providers {
            write!(
                listed,
                "\n  {provider}: {{ sites: [{}] }}",
                sites.join(", ")
            )
            .unwrap();
        }
        Self {
            workers: 1,
            listeners: "plain: { bind: \"127.0.0.1:0\" }".to_owned(),
            top: String::new(),
            providers: listed,
            backends: entries,
            pool: String::new(),
            routes: ROUTES.to_owned(),
        }
    }

    /// With so many workers.
    pub(crate) const fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// With these listeners instead.
    pub(crate) fn listeners(mut self, listeners: &str) -> Self {
        listeners.clone_into(&mut self.listeners);
        self
    }

    /// With more at the top level.
    pub(crate) fn top(mut self, more: &str) -> Self {
        self.top.push_str(more);
        self.top.push('\n');
        self
    }

    /// With more in the pool.
    pub(crate) fn pool(mut self, more: &str) -> Self {
        self.pool.push_str("\n    ");
        self.pool.push_str(more);
        self
    }

    /// With these routes instead.
    pub(crate) fn routes(mut self, routes: &str) -> Self {
        routes.clone_into(&mut self.routes);
        self
    }

    /// As a file's content.
    pub(crate) fn text(&self) -> String {
        let Self {
            workers,
            listeners,
            top,
            providers,
            backends,
            pool,
            routes,
        } = self;
        format!(
            "version: 1\nadmin: {{ bind: \"127.0.0.1:0\" }}\nworkers: {workers}\n{top}listeners:\n  {listeners}\n\
             providers:{providers}\npools:\n  main:\n    backends:{backends}{pool}\nroutes: {routes}"
        )
    }
}
