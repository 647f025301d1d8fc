//! Two of three providers die, and the third can carry less than what comes.

use super::{failed_orders, is_shed};
use crate::support::backend::{Backend, Carried};
use crate::support::load::{Load, Told, assert_truth};
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const TIERS: &str = "[[aws/one], [gcp/one], [metal/one]]";
/// Requests per second that the last provider carries.
const LEFT: f64 = 40.0;
/// Each client asks some 20 times a second.
const PACE: Duration = Duration::from_millis(50);
const READERS: usize = 16;
const ORDERERS: usize = 1;

struct Scene {
    backends: [Backend; 3],
    proxy: Proxy,
}

impl Scene {
    /// `declared` is what the policy says of the last provider.
    async fn start(workers: usize, declared: &str) -> Self {
        let backends = ["aws", "gcp", "metal"].map(Backend::start);
        let rich = if declared.is_empty() {
            ""
        } else {
            ", capacity: 2000/s"
        };
        let [aws, gcp, metal] = &backends;
        let policy = Policy::of_urls(&[
            ("aws/one", format!("{}{rich}", aws.url())),
            ("gcp/one", format!("{}{rich}", gcp.url())),
            ("metal/one", format!("{}{declared}", metal.url())),
        ])
        .workers(workers)
        .pool(QUICK_PROBE)
        .pool(&quick_failover(TIERS))
        .pool("orders: { fenced: true }");
        let proxy = Proxy::start(&policy.text()).await;
        Self { backends, proxy }
    }

    /// Lets two providers die under load, and waits until orders run at the third.
    async fn lose_two(&self) -> Load {
        let load = Load::start(self.proxy.plain(), READERS, ORDERERS, PACE);
        load.wait_for(200).await;
        let [aws, gcp, metal] = &self.backends;
        metal.bound(LEFT, LEFT / 4.0);
        for lost in [aws, gcp] {
            lost.refuse();
            lost.reset_connections();
        }
        let moved = async || (metal.executed().len() > 5).then_some(());
        eventually("orders run at the last provider", SOON * 2, moved).await;
        load
    }

    fn executed(&self) -> Vec<String> {
        self.backends.iter().flat_map(Backend::executed).collect()
    }

    async fn assert_metal_was_never_left(&self) {
        let events = self.proxy.events(0).await;
        let left = events.iter().filter(|event| {
            let name = event["subject"]["name"].as_str().unwrap_or_default();
            let down = event["to"] == "down" && name.contains("metal");
            down || event["change"] == "panic"
        });
        assert_eq!(left.count(), 0, "the last provider was left: {events:?}");
    }
}

fn since(told: &[Told], moment: Instant) -> Vec<&Told> {
    told.iter().filter(|told| told.asked >= moment).collect()
}

/// Reads that were not answered by a backend were shed: at once, with a word on when to come back.
fn assert_shed_well(told: &[&Told]) -> usize {
    let shed: Vec<&&Told> = told.iter().filter(|told| is_shed(told)).collect();
    let mut waits: Vec<Duration> = shed.iter().map(|told| told.waited).collect();
    waits.sort_unstable();
    if let Some(median) = waits.get(waits.len() / 2) {
        assert!(
            *median < Duration::from_millis(200),
            "shed after {median:?}"
        );
    }
    let after = |told: &&&Told| told.answer.as_ref()?.head.get("retry-after")?.parse().ok();
    let seconds: Vec<u32> = shed.iter().filter_map(after).collect();
    assert_eq!(seconds.len(), shed.len(), "each says when to come back");
    assert!(seconds.iter().all(|s| (1..=3).contains(s)), "{seconds:?}");
    if shed.len() > 50 {
        let different: BTreeSet<u32> = seconds.iter().copied().collect();
        assert!(different.len() > 1, "all come back at once: {different:?}");
    }
    shed.len()
}

#[tokio::test]
async fn what_is_left_takes_every_order_and_as_many_reads_as_fit() {
    check_declared(1).await;
}

#[tokio::test]
async fn several_workers_share_what_is_left() {
    check_declared(2).await;
}

/// Waits until a bounded backend could have carried so much.
async fn carries(backend: &Backend, could: f64) -> Carried {
    let enough = async || Some(backend.carried()).filter(|carried| carried.could >= could);
    eventually("the backend could carry enough", SOON * 3, enough).await
}

async fn check_declared(workers: usize) {
    let scene = Scene::start(workers, ", capacity: 40/s").await;
    let load = scene.lose_two().await;
    // What came while nobody knew is over: from here on everything has to be right.
    load.wait_for(100).await;
    let metal = &scene.backends[2];
    metal.bound(LEFT, LEFT / 4.0);
    let moment = Instant::now();
    let carried = carries(metal, 240.0).await;
    let told = load.stop().await;
    let late = since(&told, moment);
    assert_eq!(failed_orders(late.iter().copied()), [""; 0]);
    let shed = assert_shed_well(&late);
    assert!(shed > 50, "{shed} were shed; {carried:?}");
    let lost = late.iter().filter(|t| !t.is_ok()).count();
    assert!(lost - shed <= 20, "{lost} lost, {shed} shed; {carried:?}");
    assert!(carried.used() > 0.9, "{carried:?} is {}", carried.used());
    assert_truth(&told, &scene.executed());
    scene.assert_metal_was_never_left().await;
    let labels = [("site", "metal/one"), ("class", "public_read")];
    let metrics = scene.proxy.metrics().await;
    let counted = metrics.sum("leeward_site_shed_total", &labels);
    assert!(counted >= Some(shed as f64), "{counted:?} of {shed}");
}

#[tokio::test]
async fn a_capacity_that_nobody_declared_is_learned() {
    let scene = Scene::start(1, "").await;
    let load = scene.lose_two().await;
    let metal = &scene.backends[2];
    metal.bound(LEFT, LEFT / 4.0);
    let moment = Instant::now();
    let carried = carries(metal, 320.0).await;
    let told = load.stop().await;
    let late = since(&told, moment);
    let hurt = failed_orders(late.iter().copied());
    assert!(
        hurt.len() <= 8,
        "{} orders: {hurt:?}; {carried:?}",
        hurt.len()
    );
    assert!(assert_shed_well(&late) > 50, "{carried:?}");
    assert!(carried.refused <= 40, "{carried:?}");
    assert!(carried.used() > 0.7, "{carried:?} is {}", carried.used());
    assert_truth(&told, &scene.executed());
    scene.assert_metal_was_never_left().await;
}
