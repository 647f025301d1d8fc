//! What all workers share of one site of a pool: the number behind its declared capacity, and a rate
//! that was learned from its back-pressure.
//!
//! Made with a policy; what a site had before a reload it keeps.

use leeward_config::policy::Policy;
use leeward_failover::limit::{Pace, take};
use leeward_failover::{Class, PoolId, SiteId, Time};
use leeward_metrics::{Cells, Metrics, SiteSlots};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By `PoolId`, then by `SiteId`; `None` where the pool has nothing.
pub(crate) type Sites = Vec<Vec<Option<Arc<SiteIo>>>>;

/// One site of a pool, for all workers.
pub(crate) struct SiteIo {
    /// Identity over reloads: the names of pool, provider and site.
    name: [String; 3],
    pub(super) slots: SiteSlots,
    /// Whether there is a learned rate. Read by every request, written when one comes or goes.
    is_learned: AtomicBool,
    learned: Mutex<Option<Pace>>,
    due: Due,
}

/// When all that was let in will be worked off; on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Due(AtomicU64);

/// What is known when a site says that it is full.
pub(super) struct Push {
    /// Requests per second that were sent there.
    pub(super) sent: f64,
    /// Requests per second that it declares.
    pub(super) declared: Option<f64>,
    /// When the request was let in that it refused.
    pub(super) entered: Time,
}

/// The shared side of every site that a policy's pools have something in; what `before` had is taken
/// over.
pub(crate) fn sites(policy: &Policy, before: Option<&Sites>, metrics: &Metrics) -> Sites {
    let engine = &policy.engine;
    let known = |name: &[String; 3]| {
        let all = before?.iter().flatten().flatten();
        all.into_iter().find(|site| site.name == *name).cloned()
    };
    let make = |pool: PoolId, site: SiteId| {
        let has = |b: &leeward_failover::Backend| b.pool == pool && b.site == site;
        engine.backends.iter().find(|backend| has(backend))?;
        let place = &engine.sites[site.index()];
        let name = [
            engine.pools[pool.index()].name.clone(),
            engine.providers[place.provider.index()].name.clone(),
            place.name.clone(),
        ];
        Some(known(&name).unwrap_or_else(|| Arc::new(SiteIo::new(name, metrics))))
    };
    let pools = (0..engine.pools.len()).map(PoolId::from);
    pools
        .map(|pool| {
            let sites = (0..engine.sites.len()).map(SiteId::from);
            sites.map(|site| make(pool, site)).collect()
        })
        .collect()
}

impl SiteIo {
    fn new(name: [String; 3], metrics: &Metrics) -> Self {
        let [pool, provider, site] = &name;
        Self {
            slots: metrics.site(pool, provider, site),
            name,
            is_learned: AtomicBool::new(false),
            learned: Mutex::new(None),
            due: Due::default(),
        }
    }

    /// Takes one of the `rate` requests per second that were declared.
    pub(super) fn take_declared(&self, rate: f64, class: Class, now: Time) -> bool {
        let step = |due| take(due, rate, class, now).ok();
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.due.0.fetch_update(set, get, step).is_ok()
    }

    /// Takes one of the requests that a learned rate allows; always granted while there is none.
    pub(super) fn take_learned(&self, class: Class, now: Time, cells: &Cells) -> bool {
        if !self.is_learned.load(Ordering::Relaxed) {
            return true;
        }
        let mut learned = self.lock();
        match &mut *learned {
            None => true,
            Some(pace) if pace.is_over(now) => {
                self.show(pace.top(), 0.0, cells);
                *learned = None;
                self.is_learned.store(false, Ordering::Relaxed);
                true
            }
            Some(pace) => pace.take(class, now),
        }
    }

    /// The site said that it is full.
    pub(super) fn pushed_back(&self, push: &Push, now: Time, cells: &Cells) {
        let mut learned = self.lock();
        let before = learned.as_ref().map_or(0.0, Pace::top);
        let pace = match &mut *learned {
            Some(pace) => {
                pace.cut(push.entered, now);
                pace
            }
            none => {
                self.is_learned.store(true, Ordering::Relaxed);
                none.insert(Pace::new(push.sent, push.declared, now))
            }
        };
        self.show(before, pace.top(), cells);
    }

    /// A learned rate has changed. Whoever changes it moves the gauge, under the lock.
    fn show(&self, before: f64, after: f64, cells: &Cells) {
        let by = after.round() as i64 - before.round() as i64;
        cells.shift(self.slots.learned, by);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pace>> {
        // Whoever panicked left a rate that is as good as another.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
