//! Addresses of backends: names, services, files and HTTP services, and what is made of them.
//!
//! ```text
//! keeper   when        pace
//!   source   one question   ask -> answer (DNS)   fetch -> targets (files, HTTP)
//!   book     what it comes to: listed, kept, refused
//! ```
//!
//! DNS may add and move addresses; it never takes away what works (P6). Owns the tasks that ask;
//! decides nothing of health. Runs on the control thread, started by `effects`.

mod answer;
mod ask;
mod book;
mod fetch;
mod keeper;
mod pace;
mod source;
mod system;
mod targets;

use crate::control::{Report, Reports};
use ask::Resolver;
use book::{Book, Rules};
use hickory_resolver::proto::rr::Name;
use keeper::Keeper;
use leeward_config::policy::{Backend, Dns, Policy};
use leeward_failover::{BackendMemory, ProviderKind};
use leeward_metrics::Metrics;
use source::Source;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use system::System;
use tokio::task::AbortHandle;

/// How often every book is looked through for addresses whose time is over.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// The voice of `/etc/hosts`.
const HOSTS: &str = "hosts";

/// What makes a backend the same one under another policy: pool, site, URL.
type Identity = (String, String, String);

/// Everything that is known of all backends' addresses, and the tasks that ask.
pub(crate) struct Names {
    metrics: Metrics,
    reports: Reports,
    keepers: HashMap<Identity, Rc<Keeper>>,
    tasks: Vec<AbortHandle>,
}

/// What a policy says to all its backends.
struct Scene {
    dns: Dns,
    system: Rc<System>,
    resolvers: Vec<Rc<Resolver>>,
}

impl Names {
    /// Nothing is asked yet.
    pub(crate) fn new(metrics: Metrics, reports: Reports) -> Self {
        Self {
            metrics,
            reports,
            keepers: HashMap::new(),
            tasks: Vec::new(),
        }
    }

    /// Asks for the addresses of `policy`'s backends from now on. What is known of backends that
    /// were there before stays; of the others, what the engine remembers of them counts until
    /// something is heard. To be called on the control thread.
    pub(crate) fn follow(&mut self, policy: &Policy, remembered: &[BackendMemory]) {
        self.stop();
        let scene = Scene::of(&policy.dns);
        let mut before = std::mem::take(&mut self.keepers);
        for backend in &policy.backends {
            let identity = identity(policy, backend);
            let sources = scene.sources(backend);
            let hosts = scene.hosts(backend);
            let known = before.remove(&identity);
            if sources.is_empty() && hosts.is_empty() {
                self.forget(backend, known.as_deref());
                continue;
            }
            let mut voices: BTreeSet<String> = sources.iter().map(Source::voice).collect();
            voices.extend((!hosts.is_empty()).then(|| HOSTS.to_owned()));
            let rules = scene.rules(policy, backend);
            let literal = rules.literal.len();
            let keeper = match known {
                Some(keeper) => {
                    keeper.book.borrow_mut().follow(rules, voices);
                    keeper
                }
                None => {
                    let names = (backend.id, identity.0.clone(), identity.2.clone());
                    let mut book = Book::new(rules, voices);
                    if let Some(memory) = remembered.iter().find(|m| is_of(m, &identity)) {
                        book.remember(&memory.addresses, &memory.retained, Instant::now());
                    }
                    let (metrics, reports) = (self.metrics.clone(), self.reports.clone());
                    Rc::new(Keeper::new(names, book, metrics, reports))
                }
            };
            keeper.id.set(backend.id);
            keeper.literal.set(literal);
            keeper.forget_sent();
            self.start(&keeper, backend, sources, hosts, &scene);
            self.keepers.insert(identity, keeper);
        }
        for gone in before.into_values() {
            self.metrics.forget_names(&gone.pool, &gone.backend);
        }
        self.keep_house();
    }

    fn start(
        &mut self,
        keeper: &Rc<Keeper>,
        backend: &Backend,
        sources: Vec<Source>,
        hosts: Vec<SocketAddr>,
        scene: &Scene,
    ) {
        let (ttl, port) = ((scene.dns.min_ttl, scene.dns.max_ttl), backend.port);
        for source in sources {
            let keeper = keeper.clone();
            let task = tokio::task::spawn_local(async move { keeper.ask(source, ttl, port).await });
            self.tasks.push(task.abort_handle());
        }
        if !hosts.is_empty() {
            keeper.has(HOSTS, hosts);
        }
    }

    /// A backend has no source of addresses any more but its literal ones.
    fn forget(&self, backend: &Backend, known: Option<&Keeper>) {
        let Some(known) = known else { return };
        self.metrics.forget_names(&known.pool, &known.backend);
        let (addresses, retained) = (Vec::new(), Vec::new());
        let report = Report::Addresses {
            backend: backend.id,
            addresses,
            retained,
            expired: true,
        };
        // The control task is gone when the proxy ends.
        let _ = self.reports.send(report);
    }

    fn keep_house(&mut self) {
        let keepers: Vec<Rc<Keeper>> = self.keepers.values().cloned().collect();
        let task = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(HOUSEKEEPING).await;
                keepers.iter().for_each(|keeper| keeper.publish());
            }
        });
        self.tasks.push(task.abort_handle());
    }

    fn stop(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Scene {
    fn of(dns: &Dns) -> Self {
        let system = Rc::new(System::read(&dns.resolvers));
        let mut resolvers = Vec::new();
        for address in &system.resolvers {
            match Resolver::new(*address, dns.timeout) {
                Ok(resolver) => resolvers.push(Rc::new(resolver)),
                Err(error) => tracing::error!(%address, %error, "a resolver cannot be asked"),
            }
        }
        Self {
            dns: dns.clone(),
            system,
            resolvers,
        }
    }

    /// What `/etc/hosts` has for the host of a backend's URL.
    fn hosts(&self, backend: &Backend) -> Vec<SocketAddr> {
        if !backend.sources.resolve {
            return Vec::new();
        }
        let ips = self.system.hosts(&backend.host).into_iter();
        ips.map(|ip| SocketAddr::new(ip, backend.port)).collect()
    }

    fn sources(&self, backend: &Backend) -> Vec<Source> {
        let wanted = &backend.sources;
        let mut sources = Vec::new();
        let by_dns = wanted.resolve && self.hosts(backend).is_empty();
        for resolver in self.resolvers.iter().filter(|_| by_dns) {
            sources.push(Source::Host {
                resolver: resolver.clone(),
                names: self.system.names(&backend.host),
                memory: HashMap::new(),
            });
        }
        let service = wanted
            .srv
            .as_ref()
            .and_then(|name| Name::from_str_relaxed(name).ok());
        for resolver in &self.resolvers {
            let Some(mut name) = service.clone() else {
                break;
            };
            name.set_fqdn(true);
            let resolver = resolver.clone();
            sources.push(Source::Service {
                resolver,
                name,
                memory: HashMap::new(),
            });
        }
        sources.extend(wanted.file.clone().map(Source::File));
        sources.extend(wanted.http.clone().map(|from| Source::Http {
            from,
            system: self.system.clone(),
            resolvers: self.resolvers.clone(),
        }));
        sources
    }

    fn rules(&self, policy: &Policy, backend: &Backend) -> Rules {
        let engine = &policy.engine.backends[backend.id.index()];
        let provider = policy.engine.sites[engine.site.index()].provider;
        let kind = policy.engine.providers[provider.index()].kind;
        let keep = match kind {
            ProviderKind::Decentralized => self.dns.keep_decentralized,
            ProviderKind::Cloud | ProviderKind::SelfHosted => self.dns.keep,
        };
        Rules {
            keep,
            private: self.dns.private,
            literal: engine.addresses.clone(),
        }
    }
}

fn is_of(memory: &BackendMemory, (pool, site, url): &Identity) -> bool {
    memory.pool == *pool && memory.site == *site && memory.url == *url
}

fn identity(policy: &Policy, backend: &Backend) -> Identity {
    let own = &policy.engine.backends[backend.id.index()];
    let pool = policy.engine.pools[own.pool.index()].name.clone();
    let site = policy.engine.sites[own.site.index()].name.clone();
    (pool, site, own.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::local_runtime;
    use leeward_metrics::BuildInfo;
    use std::path::Path;
    use tokio::sync::mpsc;

    const BUILD: BuildInfo = BuildInfo {
        version: "0",
        revision: "0",
        rustc: "0",
    };

    /// A policy with one backend and these keys of it.
    fn policy(folder: &Path, keys: &str) -> Policy {
        let text = format!(
            "version: 1\nlisteners: {{ public: {{ bind: \"127.0.0.1:0\" }} }}\n\
             providers: {{ aws: {{ sites: [a] }} }}\n\
             dns: {{ resolvers: [\"127.0.0.1:1\"] }}\n\
             pools: {{ web: {{ backends: [{{ url: http://api.test, site: aws/a, {keys} }}] }} }}\n"
        );
        let loaded = leeward_config::parse("test.yaml", &text, folder);
        loaded.policy.expect("a good policy")
    }

    /// The next report: listed, retained, expired.
    async fn next(
        reports: &mut mpsc::UnboundedReceiver<Report>,
    ) -> (Vec<SocketAddr>, Vec<SocketAddr>, bool) {
        let report = tokio::time::timeout(Duration::from_secs(10), reports.recv()).await;
        match report.expect("a report in time").expect("a report") {
            Report::Addresses {
                addresses,
                retained,
                expired,
                ..
            } => (addresses, retained, expired),
            Report::Probe { .. } => panic!("no probe runs here"),
        }
    }

    #[test]
    fn what_is_known_survives_another_policy() {
        let folder = std::env::temp_dir().join(format!("leeward-names-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("api.json");
        std::fs::write(&file, r#"[{"targets": ["127.0.0.1:81"]}]"#).unwrap();
        let address: SocketAddr = "127.0.0.1:81".parse().unwrap();
        local_runtime().unwrap().block_on(async {
            let (sender, mut reports) = mpsc::unbounded_channel();
            let mut names = Names::new(Metrics::new(&BUILD), Rc::new(sender));
            let quick = "resolve: false, file_sd: { path: api.json, refresh: 100ms }";
            names.follow(&policy(&folder, quick), &[]);
            assert_eq!(next(&mut reports).await, (vec![address], vec![], false));
            // The file goes, and another policy comes: the address is still known.
            std::fs::remove_file(&file).unwrap();
            names.follow(&policy(&folder, &format!("{quick}, weight: 2")), &[]);
            assert_eq!(next(&mut reports).await, (vec![address], vec![], false));
            // Another source takes its place: the address is kept, and no longer listed.
            names.follow(&policy(&folder, "resolve: false, file_sd: other.json"), &[]);
            assert_eq!(next(&mut reports).await, (vec![], vec![address], false));
            // The backend has a literal address alone.
            names.follow(
                &policy(&folder, "resolve: false, addresses: [127.0.0.1]"),
                &[],
            );
            assert_eq!(next(&mut reports).await, (vec![], vec![], true));
        });
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
