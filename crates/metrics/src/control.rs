//! What the control thread says: verdicts, shares, the policy, probes and decisions.
//!
//! Owns how each of these becomes numbers. Decides nothing and never drops a word: a label that is
//! not one of leeward's own becomes `other`. Called by the control thread, a few times a decision.

use crate::Metrics;
use crate::capacity;
use crate::cells::Sheet;
use crate::concentration;
use crate::family::{self, Family};
use crate::labels::{BuildInfo, CHANGES, EndpointLabels};
use crate::numbers::Numbers;
use crate::registry::Registry;
use crate::series::Reading;
use leeward_failover::{Cause, OperatorWord, ProbeFailure, SubjectKind, Verdict};
use std::sync::Arc;
use std::time::Duration;

/// The value of `result` for a probe that passed.
pub(crate) const PASSED: &str = "passed";

/// The values of `result` for a policy that was read.
pub(crate) const RELOADS: [&str; 2] = ["loaded", "rejected"];

/// The values of `file` for what is written to the state folder, and for the record.
pub(crate) const STATE_FILES: [&str; 3] = ["state", "journal", "record"];

/// The values of `result` for what is written to the state folder.
pub(crate) const STATE_WRITES: [&str; 3] = ["written", "failed", "dropped"];

/// Everything under one lock.
#[derive(Debug)]
pub(crate) struct State {
    /// What the workers count.
    pub(crate) registry: Registry,
    /// What the control thread sets.
    pub(crate) numbers: Numbers,
    /// The control thread's own sheet, written with the lock held.
    pub(crate) sheet: Arc<Sheet>,
    /// Data workers that have started.
    pub(crate) workers: u32,
}

impl State {
    /// The state of a process that has just started.
    pub(crate) fn new(build: &BuildInfo, capacity: u32) -> State {
        let mut registry = Registry::new(capacity);
        let sheet = registry.sheet();
        let mut numbers = Numbers::default();
        numbers.set(
            &family::BUILD_INFO,
            &[build.version, build.revision, build.rustc],
            1.0,
        );
        numbers.set(&family::READY, &[], 0.0);
        numbers.set(&family::POLICY_LOADED, &[], 0.0);
        numbers.set(&family::POLICY_REJECTED, &[], 0.0);
        for result in RELOADS {
            numbers.set(&family::POLICY_RELOADS, &[result], 0.0);
        }
        for file in STATE_FILES {
            for result in STATE_WRITES {
                numbers.set(&family::STATE_WRITES, &[file, result], 0.0);
            }
        }
        for (subject, change, cause) in ALERTED {
            let labels = [subject.as_str(), change, cause.as_str()];
            numbers.set(&family::DECISIONS, &labels, 0.0);
        }
        State {
            registry,
            numbers,
            sheet,
            workers: 0,
        }
    }

    /// Everything as it stands now. Quick, since the control thread may be waiting for the lock.
    pub(crate) fn readings(&self) -> Vec<Reading> {
        let alone = [
            Reading::of_one(&family::WORKERS, f64::from(self.workers)),
            Reading::of_one(&family::METRICS_OVERFLOW, self.registry.overflow() as f64),
        ];
        let counted = self.registry.readings();
        counted
            .chain(self.numbers.readings())
            .chain(alone)
            .collect()
    }
}

/// Decisions that people are woken for. They start at 0, so that the first one shows in a rate; the
/// rest of `leeward_decisions_total`, several hundred series, appear when they first happen.
static ALERTED: [(SubjectKind, &str, Cause); 22] = [
    (SubjectKind::Endpoint, "down", Cause::ProbesFailed),
    (SubjectKind::Endpoint, "down", Cause::ConnectFailures),
    (SubjectKind::Endpoint, "down", Cause::ConsecutiveFailures),
    (SubjectKind::Endpoint, "down", Cause::FailureRatio),
    (SubjectKind::Endpoint, "down", Cause::FailedInRamp),
    (SubjectKind::Site, "down", Cause::EndpointsDown),
    (SubjectKind::Site, "down", Cause::ProviderDown),
    (SubjectKind::Site, "down", Cause::FailedInRamp),
    (SubjectKind::Provider, "down", Cause::SitesDown),
    (SubjectKind::Provider, "down", Cause::FailedInRamp),
    (SubjectKind::Site, "operator", Cause::Operator),
    (SubjectKind::Site, "operator", Cause::OperatorWordLapsed),
    (SubjectKind::Provider, "operator", Cause::Operator),
    (SubjectKind::Provider, "operator", Cause::OperatorWordLapsed),
    (SubjectKind::Pool, "writer", Cause::WriterLost),
    (SubjectKind::Pool, "writer", Cause::WriterHome),
    (SubjectKind::Pool, "writer", Cause::Operator),
    (SubjectKind::Pool, "writer", Cause::OrdersFail),
    (SubjectKind::Pool, "orders_held", Cause::OrdersFail),
    (SubjectKind::Pool, "panic", Cause::AllBad),
    (SubjectKind::Pool, "panic", Cause::NotAllBad),
    (SubjectKind::Policy, "endpoints", Cause::PolicyLoaded),
];

impl Metrics {
    /// What is held of an endpoint, and its share of its pool's reads, 0 to 1. Not shown for an
    /// endpoint that was retired.
    pub fn set_endpoint(&self, labels: &EndpointLabels, verdict: Verdict, share: f64) {
        let state = &mut *self.lock();
        if is_gone(state, labels) {
            return;
        }
        let numbers = &mut state.numbers;
        let labels = labels.values();
        set_verdict(numbers, &family::ENDPOINT_VERDICT, &labels, verdict);
        numbers.set(&family::ENDPOINT_SHARE, &labels, share);
    }

    /// What is held of a site, and its share of the reads, 0 to 1. `site` is the whole name:
    /// `aws/us-east-1`.
    pub fn set_site(&self, site: &str, provider: &str, verdict: Verdict, share: f64) {
        let numbers = &mut self.lock().numbers;
        set_verdict(numbers, &family::SITE_VERDICT, &[provider, site], verdict);
        numbers.set(&family::SITE_SHARE, &[provider, site], share);
    }

    /// What is held of a provider, and its share of the reads, 0 to 1.
    pub fn set_provider(&self, provider: &str, verdict: Verdict, share: f64) {
        let numbers = &mut self.lock().numbers;
        set_verdict(numbers, &family::PROVIDER_VERDICT, &[provider], verdict);
        numbers.set(&family::PROVIDER_SHARE, &[provider], share);
    }

    /// Where a pool stands. `active_tier` counts from 1; `writer` is absent where orders go where
    /// reads go; `providers` are all that the pool has.
    pub fn set_pool(
        &self,
        pool: &str,
        panic: bool,
        active_tier: usize,
        writer: Option<&str>,
        providers: &[String],
    ) {
        let numbers = &mut self.lock().numbers;
        numbers.set(&family::POOL_PANIC, &[pool], one_if(panic));
        numbers.set(&family::POOL_ACTIVE_TIER, &[pool], active_tier as f64);
        numbers.remove(&family::POOL_WRITER, &[pool]);
        for provider in providers.iter().map(String::as_str).chain(writer) {
            let writes = one_if(writer == Some(provider));
            numbers.set(&family::POOL_WRITER, &[pool, provider], writes);
        }
    }

    /// Whether orders fail at a pool's writer and it stays.
    pub fn set_orders_held(&self, pool: &str, held: bool) {
        let numbers = &mut self.lock().numbers;
        numbers.set(&family::POOL_ORDERS_HELD, &[pool], one_if(held));
    }

    /// What an operator said of a site.
    pub fn set_site_operator(&self, site: &str, provider: &str, word: OperatorWord) {
        let numbers = &mut self.lock().numbers;
        set_operator(numbers, &family::SITE_OPERATOR, &[provider, site], word);
    }

    /// What an operator said of a provider.
    pub fn set_provider_operator(&self, provider: &str, word: OperatorWord) {
        let numbers = &mut self.lock().numbers;
        set_operator(numbers, &family::PROVIDER_OPERATOR, &[provider], word);
    }

    /// A site is in no policy any more: nothing of it is shown.
    pub fn forget_site(&self, site: &str, provider: &str) {
        let numbers = &mut self.lock().numbers;
        numbers.remove(&family::SITE_VERDICT, &[provider, site]);
        numbers.remove(&family::SITE_SHARE, &[provider, site]);
        numbers.remove(&family::SITE_OPERATOR, &[provider, site]);
    }

    /// A provider is in no policy any more: nothing of it is shown.
    pub fn forget_provider(&self, provider: &str) {
        let numbers = &mut self.lock().numbers;
        for family in [
            &family::PROVIDER_VERDICT,
            &family::PROVIDER_SHARE,
            &concentration::PROVIDER_MAX_SHARE,
            &family::SITE_VERDICT,
            &family::SITE_SHARE,
            &family::PROVIDER_OPERATOR,
            &family::SITE_OPERATOR,
        ] {
            numbers.remove(family, &[provider]);
        }
    }

    /// A pool is in no policy any more: where it stood is not shown. What was counted stays.
    pub fn forget_pool(&self, pool: &str) {
        let numbers = &mut self.lock().numbers;
        for family in [
            &family::POOL_PANIC,
            &family::POOL_ORDERS_HELD,
            &family::POOL_ACTIVE_TIER,
            &family::POOL_WRITER,
            &concentration::POOL_TIERS,
            &concentration::POOL_TIERS_USABLE,
            &concentration::POOL_PROVIDER_SHARE,
            &concentration::POOL_PROVIDER_CAPACITY_SHARE,
            &capacity::POOL_DEMAND,
            &capacity::SITE_CAPACITY,
        ] {
            numbers.remove(family, &[pool]);
        }
    }

    /// A probe ended: it passed and took so long, or it failed. Nothing is counted for an endpoint
    /// that was retired.
    pub fn probe(&self, labels: &EndpointLabels, result: Result<Duration, ProbeFailure>) {
        let state = &mut *self.lock();
        if is_gone(state, labels) {
            return;
        }
        count_probe(&mut state.numbers, labels, result.err(), 1.0);
        if let Ok(took) = result {
            let histogram = state
                .registry
                .histogram(&family::PROBE_DURATION, &[&labels.pool]);
            state.sheet.observe(histogram, took);
        }
    }

    /// A decision went to the journal. `change` is what [`crate::change_word`] says; any other word
    /// counts as `other`.
    pub fn event(&self, kind: SubjectKind, change: &str, cause: Cause) {
        let change = CHANGES
            .into_iter()
            .find(|word| *word == change)
            .unwrap_or("other");
        let labels = [kind.as_str(), change, cause.as_str()];
        self.lock().numbers.add(&family::DECISIONS, &labels, 1.0);
    }

    /// A policy took force. `hash` is short and says which text it was; `unix_seconds` is the time
    /// since 1970.
    pub fn policy_loaded(&self, hash: &str, unix_seconds: f64) {
        let numbers = &mut self.lock().numbers;
        numbers.remove(&family::POLICY_INFO, &[]);
        numbers.set(&family::POLICY_INFO, &[hash], 1.0);
        numbers.set(&family::POLICY_LOADED, &[], unix_seconds);
        numbers.set(&family::POLICY_REJECTED, &[], 0.0);
        numbers.add(&family::POLICY_RELOADS, &[RELOADS[0]], 1.0);
    }

    /// A policy was bad, and the one before stays in force.
    pub fn policy_rejected(&self) {
        let numbers = &mut self.lock().numbers;
        numbers.set(&family::POLICY_REJECTED, &[], 1.0);
        numbers.add(&family::POLICY_RELOADS, &[RELOADS[1]], 1.0);
    }

    /// The memory (`state.json`) was to be written, and was or was not.
    pub fn state_written(&self, written: bool) {
        self.count_state_writes(STATE_FILES[0], written, 1);
    }

    /// So many entries of the journal were to be written to its file, and were or were not.
    pub fn journal_written(&self, written: bool, entries: u64) {
        self.count_state_writes(STATE_FILES[1], written, entries);
    }

    /// An entry of the journal was not even tried: too many wait for the disk.
    pub fn journal_dropped(&self) {
        let labels = [STATE_FILES[1], STATE_WRITES[2]];
        self.lock().numbers.add(&family::STATE_WRITES, &labels, 1.0);
    }

    /// So many lines of the record were to be written to its file, and were or were not.
    pub fn record_written(&self, written: bool, lines: u64) {
        self.count_state_writes(STATE_FILES[2], written, lines);
    }

    /// A line of the record was not even tried: too many wait for the disk, and the record has ended.
    pub fn record_dropped(&self) {
        let labels = [STATE_FILES[2], STATE_WRITES[2]];
        self.lock().numbers.add(&family::STATE_WRITES, &labels, 1.0);
    }

    fn count_state_writes(&self, file: &str, written: bool, count: u64) {
        let result = STATE_WRITES[usize::from(!written)];
        let numbers = &mut self.lock().numbers;
        numbers.add(&family::STATE_WRITES, &[file, result], count as f64);
    }

    /// Whether leeward is ready for traffic.
    pub fn set_ready(&self, ready: bool) {
        self.lock().numbers.set(&family::READY, &[], one_if(ready));
    }
}

/// Shows what an endpoint has before its first probe: zeros.
pub(crate) fn show_endpoint(state: &mut State, labels: &EndpointLabels) {
    count_probe(&mut state.numbers, labels, None, 0.0);
    for failure in ProbeFailure::ALL {
        count_probe(&mut state.numbers, labels, Some(failure), 0.0);
    }
    state
        .registry
        .histogram(&family::PROBE_DURATION, &[&labels.pool]);
}

/// Removes what the control thread set of an endpoint.
pub(crate) fn forget_endpoint(numbers: &mut Numbers, labels: &EndpointLabels) {
    for family in [
        &family::ENDPOINT_VERDICT,
        &family::ENDPOINT_SHARE,
        &family::PROBES,
        &concentration::UPSTREAM_CERTIFICATE_EXPIRES,
    ] {
        numbers.remove(family, &labels.values());
    }
}

/// Whether an endpoint was retired. A probe that ends after that would bring one series of it back.
pub(crate) fn is_gone(state: &State, labels: &EndpointLabels) -> bool {
    state
        .registry
        .is_retired(&family::UPSTREAM_OPEN, &labels.values())
}

fn count_probe(
    numbers: &mut Numbers,
    labels: &EndpointLabels,
    failure: Option<ProbeFailure>,
    n: f64,
) {
    let [pool, provider, site, backend, address] = labels.values();
    let result = failure.map_or(PASSED, ProbeFailure::as_str);
    numbers.add(
        &family::PROBES,
        &[pool, provider, site, backend, address, result],
        n,
    );
}

fn set_verdict(numbers: &mut Numbers, family: &'static Family, labels: &[&str], held: Verdict) {
    for verdict in Verdict::ALL {
        let labels = [labels, &[verdict.as_str()]].concat();
        numbers.set(family, &labels, one_if(verdict == held));
    }
}

fn set_operator(
    numbers: &mut Numbers,
    family: &'static Family,
    labels: &[&str],
    said: OperatorWord,
) {
    for word in OperatorWord::ALL {
        let labels = [labels, &[word.as_str()]].concat();
        numbers.set(family, &labels, one_if(word == said));
    }
}

fn one_if(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}
