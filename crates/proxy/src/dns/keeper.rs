//! Keeps the addresses of one backend: asks each of its sources in its own time, writes what they
//! say into the book, reports what changed.
//!
//! Runs on the control thread, one task a source; nothing on the way of a request waits for it (P9).

use super::book::{Book, Refused, View, Word};
use super::pace::Pace;
use super::source::{Said, Source};
use crate::control::{Report, Reports};
use leeward_failover::BackendId;
use leeward_metrics::{AddressCounts, AddressRefusal, LookupResult, Metrics};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Refused addresses that a log line names at most.
const MOST_SHOWN: usize = 4;

/// One backend and its book.
pub(crate) struct Keeper {
    pub(crate) id: Cell<BackendId>,
    /// Its pool's name and its own.
    pub(crate) pool: String,
    pub(crate) backend: String,
    pub(crate) book: RefCell<Book>,
    /// Literal addresses of the policy.
    pub(crate) literal: Cell<usize>,
    pub(crate) metrics: Metrics,
    pub(crate) reports: Reports,
    sent: RefCell<View>,
}

impl Keeper {
    pub(crate) fn new(
        (id, pool, backend): (BackendId, String, String),
        book: Book,
        metrics: Metrics,
        reports: Reports,
    ) -> Self {
        Self {
            id: Cell::new(id),
            pool,
            backend,
            book: RefCell::new(book),
            literal: Cell::new(0),
            metrics,
            reports,
            sent: RefCell::default(),
        }
    }

    /// Asks one source for ever; `ttl` bounds how long an answer is used, `port` is the backend's.
    pub(crate) async fn ask(&self, mut source: Source, ttl: (Duration, Duration), port: u16) {
        let mut pace = source.refresh().map_or_else(|| Pace::new(ttl), Pace::every);
        let voice = source.voice();
        let mut before = Before::default();
        self.metrics
            .show_names(&self.pool, &self.backend, source.asked());
        tokio::time::sleep(pace.start()).await;
        loop {
            let said = source.ask(port).await;
            let asked = source.asked();
            let (result, pause) = match said {
                Ok(said) => {
                    let taken = self.take(&voice, asked, &said, &mut before);
                    let result = if taken { Ok(()) } else { Err(refusal()) };
                    (LookupResult::Answered, (result, said.ttl))
                }
                Err((result, detail)) => {
                    self.book.borrow_mut().fail(&voice);
                    (result, (Err(detail), Duration::ZERO))
                }
            };
            self.metrics
                .question(&self.pool, &self.backend, asked, result);
            let (outcome, ttl) = pause;
            before.tell(&self.backend, asked, result, &outcome);
            self.publish();
            let pause = if outcome.is_ok() {
                pace.answered(ttl)
            } else {
                pace.failed()
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes what a source said; whether anything of it could be taken.
    fn take(&self, voice: &str, asked: &str, said: &Said, before: &mut Before) -> bool {
        let (refused, taken) = self
            .book
            .borrow_mut()
            .hear(voice, &said.word, Instant::now());
        let counted = [
            (AddressRefusal::OtherName, said.others),
            (AddressRefusal::BadTarget, said.bad.len()),
        ];
        for (reason, n) in counted.into_iter().filter(|(_, n)| *n > 0) {
            self.metrics
                .refused_addresses(&self.pool, &self.backend, reason, n);
        }
        for (_, reason) in &refused {
            self.metrics
                .refused_addresses(&self.pool, &self.backend, *reason, 1);
        }
        before.tell_refused(&self.backend, asked, &refused, &said.bad);
        taken
    }

    /// Addresses that need no question: those of `/etc/hosts`.
    pub(crate) fn has(&self, voice: &str, addresses: Vec<SocketAddr>) {
        let word = Word {
            listed: addresses,
            standby: Vec::new(),
        };
        self.book.borrow_mut().hear(voice, &word, Instant::now());
        self.publish();
    }

    /// Reports what the addresses are, where that has changed.
    pub(crate) fn publish(&self) {
        let view = self.book.borrow_mut().view(Instant::now());
        if *self.sent.borrow() == view {
            return;
        }
        self.metrics.set_addresses(
            &self.pool,
            &self.backend,
            AddressCounts {
                listed: view.listed.len(),
                retained: view.retained.len(),
                literal: self.literal.get(),
            },
        );
        if view.expired {
            tracing::warn!(
                backend = self.backend,
                "nothing was heard of a backend's addresses for longer than they are kept"
            );
        }
        let report = Report::Addresses {
            backend: self.id.get(),
            addresses: view.listed.clone(),
            retained: view.retained.clone(),
            expired: view.expired,
        };
        // The control task is gone when the proxy ends.
        let _ = self.reports.send(report);
        self.sent.replace(View {
            expired: false,
            ..view
        });
    }

    /// Makes the next look report everything again: the engine has another policy.
    pub(crate) fn forget_sent(&self) {
        self.sent.take();
    }
}

fn refusal() -> String {
    "every address was refused".to_owned()
}

/// What was last said of a source, so that the log says what changes and not what stays.
#[derive(Default)]
struct Before {
    result: Option<(LookupResult, bool)>,
    refused: BTreeSet<String>,
}

impl Before {
    fn tell(
        &mut self,
        backend: &str,
        asked: &str,
        result: LookupResult,
        outcome: &Result<(), String>,
    ) {
        let now = (result, outcome.is_ok());
        let before = self.result.replace(now);
        if before == Some(now) {
            return;
        }
        match outcome {
            Err(detail) => tracing::warn!(
                backend,
                resolver = asked,
                result = result.as_str(),
                detail,
                "a backend's addresses cannot be learnt; known ones stay"
            ),
            Ok(()) if before.is_some() => {
                tracing::info!(
                    backend,
                    resolver = asked,
                    "a backend's addresses are learnt again"
                );
            }
            Ok(()) => {}
        }
    }

    fn tell_refused(&mut self, backend: &str, asked: &str, refused: &[Refused], bad: &[String]) {
        let of_answer = refused
            .iter()
            .map(|(address, why)| format!("{address} {}", why.as_str()));
        let of_list = bad.iter().map(|target| format!("{target:?} bad_target"));
        let now: BTreeSet<String> = of_answer.chain(of_list).collect();
        if now != self.refused && !now.is_empty() {
            let shown: Vec<&str> = now.iter().take(MOST_SHOWN).map(String::as_str).collect();
            tracing::warn!(
                backend,
                resolver = asked,
                refused = now.len(),
                which = shown.join(", "),
                "addresses of a backend are refused (dns.private decides about private ones)"
            );
        }
        self.refused = now;
    }
}
