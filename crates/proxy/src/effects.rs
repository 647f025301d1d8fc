//! Applies what the engine decides: publishes tables, starts probes, counts, writes the journal.
//!
//! Owned by the control task. Decides nothing.

use crate::concentration;
use crate::control::{Report, Reports};
use crate::dns::Names;
use crate::gauges::Gauges;
use crate::journal::{Entry, Journal};
use crate::leaving;
use crate::probe::{ProbeSpec, probe};
use crate::record::Driven;
use crate::serving::Serving;
use crate::snapshot::{Endpoints, Snapshot, endpoints, moved};
use crate::state_dir::Keeper;
use crate::windows::Windows;
use crate::worker::Shared;
use leeward_failover::{Change, EndpointId, Engine, Event, Input, Output, ProbeResult, Table};
use leeward_metrics::EndpointLabels;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What applying takes.
pub(crate) struct Effects {
    shared: Arc<Shared>,
    journal: Arc<Journal>,
    ready: Arc<AtomicBool>,
    serving: Arc<Serving>,
    endpoints: Arc<Endpoints>,
    /// By `PoolId`.
    probes: Vec<Rc<ProbeSpec>>,
    /// Asks for the addresses of the policy's backends.
    names: Names,
    reports: Reports,
    windows: Windows,
    gauges: Gauges,
    /// What served under policies before this one and is still in use: it is large, and freed here
    /// and not by the worker whose request used it last.
    retired: Vec<(Arc<Serving>, Arc<Endpoints>)>,
    /// What outlives the process; `None` without a `state_dir`.
    keeper: Option<Keeper>,
}

impl Effects {
    /// Takes over from the snapshot that `shared` holds; begins to resolve the policy's names.
    /// `engine` has that policy, and what it remembers of one before.
    pub(crate) fn new(
        engine: &Engine,
        shared: Arc<Shared>,
        journal: Arc<Journal>,
        ready: Arc<AtomicBool>,
        reports: Reports,
        keeper: Option<Keeper>,
    ) -> Self {
        let snapshot = shared.snapshot.load_full();
        let serving = snapshot.serving.clone();
        let mut names = Names::new(shared.metrics.clone(), reports.clone());
        names.follow(&serving.policy, &engine.memory(shared.now()).backends);
        concentration::show_policy(&serving, &shared.metrics);
        Self {
            endpoints: snapshot.endpoints.clone(),
            probes: probes(&serving),
            gauges: Gauges::new(&serving.policy.engine),
            retired: Vec::new(),
            shared,
            journal,
            ready,
            serving,
            names,
            reports,
            windows: Windows::default(),
            keeper,
        }
    }

    /// Tells the engine of windows that have opened or closed.
    pub(crate) fn look_at_windows(&mut self, engine: &mut Driven) {
        for input in self.windows.look(&self.serving.policy, since_1970()) {
            engine.handle(input, self.shared.now());
        }
    }

    /// Another policy takes over: the engine first, then everything that hangs on it, in one
    /// snapshot.
    pub(crate) fn serve(&mut self, serving: Arc<Serving>, engine: &mut Driven) {
        let before = std::mem::replace(&mut self.serving, serving);
        let policy = Box::new(self.serving.policy.engine.clone());
        engine.handle(Input::Policy(policy), self.shared.now());
        self.probes = probes(&self.serving);
        let known = engine.memory(self.shared.now()).backends;
        self.names.follow(&self.serving.policy, &known);
        self.windows.forget();
        let metrics = &self.shared.metrics;
        let now = endpoints(&self.serving, engine.table(), &self.endpoints, metrics);
        let endpoints_before = self.take_endpoints(now);
        self.publish(engine.table().clone());
        self.forget(&before);
        self.gauges.begin(&self.serving.policy.engine);
        self.retired.push((before, endpoints_before));
        concentration::show_policy(&self.serving, &self.shared.metrics);
    }

    /// What left the policy is not shown any more.
    fn forget(&self, before: &Serving) {
        let (before, now) = (&before.policy.engine, &self.serving.policy.engine);
        let metrics = &self.shared.metrics;
        let pools: HashSet<&str> = now.pools.iter().map(|pool| pool.name.as_str()).collect();
        for pool in &before.pools {
            if !pools.contains(pool.name.as_str()) {
                metrics.forget_pool(&pool.name);
            }
        }
        let sites: HashSet<&str> = now.sites.iter().map(|site| site.name.as_str()).collect();
        for site in &before.sites {
            if !sites.contains(site.name.as_str()) {
                metrics.forget_site(&site.name, &before.providers[site.provider.index()].name);
            }
        }
        for provider in &before.providers {
            if now
                .providers
                .iter()
                .all(|known| known.name != provider.name)
            {
                metrics.forget_provider(&provider.name);
            }
        }
    }

    /// Does everything that the engine has to say.
    pub(crate) fn apply(&mut self, engine: &mut Driven) {
        let mut changed = false;
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Probe(endpoint) => self.probe(endpoint),
                // At the start, the table of the policy alone is older than the one that remembers.
                Output::Table(table) if !Arc::ptr_eq(&table, engine.table()) => {}
                Output::Table(table) => {
                    self.refresh_endpoints(&table);
                    self.publish(table);
                    changed = true;
                }
                Output::Event(event) => {
                    changed = true;
                    self.record(event);
                }
            }
        }
        let policy = &self.serving.policy.engine;
        self.gauges
            .follow(changed, engine, policy, &self.endpoints, &self.shared);
        let in_use = |(serving, endpoints): &(Arc<Serving>, Arc<Endpoints>)| {
            Arc::strong_count(serving) > 1 || Arc::strong_count(endpoints) > 1
        };
        self.retired.retain(in_use);
        if let Some(keeper) = &mut self.keeper {
            keeper.keep(engine, &self.shared);
        }
    }

    /// How long it is until [`Effects::apply`] has to be called though nothing happened.
    pub(crate) fn due_in(&self) -> Duration {
        let keeper = self.keeper.as_ref().map_or(Duration::MAX, Keeper::due_in);
        let gauges = self.gauges.due_in(self.shared.now());
        keeper.min(gauges).min(self.windows.due_in(since_1970()))
    }

    /// The end: what is known now is kept.
    pub(crate) fn end(&mut self, engine: &mut Driven) {
        self.apply(engine);
        if let Some(keeper) = &mut self.keeper {
            keeper.keep_now(engine, &self.shared);
        }
    }

    /// The proxy serves, and what is in front of it may know.
    pub(crate) fn ready(&self) {
        if !self.ready.swap(true, Ordering::Relaxed) {
            self.shared.metrics.set_ready(true);
            tracing::info!("ready");
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Makes the I/O side of new endpoints and gives up that of those that are gone, where the table
    /// has others than the one before: most have not.
    fn refresh_endpoints(&mut self, table: &Table) {
        let published = self.shared.snapshot.load();
        if Arc::ptr_eq(&published.table.endpoints, &table.endpoints) {
            return;
        }
        let now = moved(&self.serving, table, &self.endpoints, &self.shared.metrics);
        self.take_endpoints(now);
    }

    /// Takes these endpoints over and retires the metrics of those that are gone; gives back what there
    /// was before.
    fn take_endpoints(&mut self, now: Endpoints) -> Arc<Endpoints> {
        let kept: HashSet<&EndpointLabels> = now.iter().flatten().map(|io| &io.labels).collect();
        for gone in self.endpoints.iter().flatten() {
            if !kept.contains(&gone.labels) {
                self.shared.metrics.retire_endpoint(&gone.labels);
            }
        }
        std::mem::replace(&mut self.endpoints, Arc::new(now))
    }

    fn publish(&self, table: Arc<Table>) {
        let now = Arc::new(Snapshot {
            serving: self.serving.clone(),
            table,
            endpoints: self.endpoints.clone(),
        });
        let before = self.shared.snapshot.swap(now.clone());
        leaving::tell_workers(&self.shared, &before.table, &now.table);
    }

    fn probe(&self, endpoint: EndpointId) {
        let Some(Some(io)) = self.endpoints.get(endpoint.index()) else {
            return;
        };
        let spec = self.probes[io.pool.index()].clone();
        let (io, reports, shared) = (io.clone(), self.reports.clone(), self.shared.clone());
        tokio::task::spawn_local(async move {
            let result = match probe(&io, &spec).await {
                Ok(result) => result,
                Err(short) => {
                    let shortages = &shared.snapshot.load().serving.shortages;
                    shortages.of_probe(&shared.metrics, short, io.address);
                    ProbeResult::Unmade
                }
            };
            let counted = match &result {
                ProbeResult::Passed { took } => Some(Ok(*took)),
                ProbeResult::Failed { cause, .. } => Some(Err(*cause)),
                ProbeResult::Unmade => None,
            };
            if let Some(counted) = counted {
                shared.metrics.probe(&io.labels, counted);
            }
            let ends = io.certificate_ends.load(Ordering::Relaxed);
            if ends != 0 {
                shared.metrics.set_upstream_certificate(&io.labels, ends);
            }
            if let Some(Ok(took)) = counted {
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                io.probe_took.store(micros, Ordering::Relaxed);
            }
            // The control task is gone when the proxy ends.
            let _ = reports.send(Report::Probe { endpoint, result });
        });
    }

    fn record(&mut self, event: Event) {
        self.shared
            .metrics
            .event(event.subject.kind, change_word(&event.change), event.cause);
        let evidence: Vec<String> = event
            .evidence
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        tracing::info!(
            seq = event.seq,
            subject = %format!("{} {}", event.subject.kind.as_str(), event.subject.name),
            change = %in_words(&event.change),
            cause = event.cause.as_str(),
            evidence = %evidence.join(" "),
            "decision"
        );
        let time = since_1970().as_secs_f64();
        let entry = Entry { time, event };
        if let Some(keeper) = &mut self.keeper {
            keeper.record(&entry, &self.shared.metrics);
        }
        self.journal.write(entry);
    }
}

/// By the wall clock.
fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn probes(serving: &Serving) -> Vec<Rc<ProbeSpec>> {
    let policy = &serving.policy;
    let pools = policy.pools.iter().zip(&policy.engine.pools);
    pools
        .map(|(io, engine)| Rc::new(ProbeSpec::new(io, engine.probe.timeout)))
        .collect()
}

const fn change_word(change: &Change) -> &'static str {
    leeward_metrics::change_word(change)
}

fn in_words(change: &Change) -> String {
    match change {
        Change::Verdict { from, to } => format!("{} -> {}", from.as_str(), to.as_str()),
        Change::Operator { from, to } => format!("operator {} -> {}", from.as_str(), to.as_str()),
        Change::Tier { from, to } => format!("tier {from} -> {to}"),
        Change::Writer { from, to } => format!("writer {from} -> {to}"),
        Change::Detour { from, to } => format!("orders {from} -> {to}"),
        Change::OrderPath { from, to } => {
            format!("order path {} -> {}", from.as_str(), to.as_str())
        }
        Change::OrdersHeld { on: true } => "orders fail, nobody else takes them".into(),
        Change::OrdersHeld { on: false } => "orders fail no more".into(),
        Change::Panic { on: true } => "panic on".into(),
        Change::Panic { on: false } => "panic off".into(),
        Change::Endpoints { added, removed } => format!("endpoints +{added} -{removed}"),
    }
}
