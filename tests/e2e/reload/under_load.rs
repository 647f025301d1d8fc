//! Ten reloads in a row under load, each of which changes everything that can change: routes, pools,
//! listeners and certificates. Nothing is lost, nobody who is not named is disturbed, nobody heals.

use super::{listener, shows, take, upgraded};
use crate::support::backend::{Act, Backend, Step};
use crate::support::certs::Ca;
use crate::support::client::Client;
use crate::support::h2::client::H2Client;
use crate::support::load::{Load, Told, assert_truth, failed_reads};
use crate::support::policy::QUICK_PROBE;
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use serde_json::Value;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PACE: Duration = Duration::from_millis(2);
const READERS: usize = 4;
const ORDERERS: usize = 2;

/// The backends of the run: one that is sick all the while, the one that serves, and one of a pool
/// that is another in each round.
struct World {
    ca: Ca,
    sick: Backend,
    well: Backend,
    side: Backend,
    proxy: Proxy,
}

impl World {
    async fn start() -> Self {
        let (ca, dir) = (Ca::new(), TempDir::new());
        let [sick, well, side] = ["aws", "gcp", "side"].map(Backend::start);
        certify(&dir, &ca, 0);
        let policy = policy([&sick, &well, &side], 0);
        let proxy = Proxy::start_in(dir, &policy).await;
        sick.refuse();
        proxy.wait_for_verdict("aws/one", "down").await;
        eventually("the writer has moved", SOON, async || {
            (proxy.pool().await["writer"] == "gcp").then_some(())
        })
        .await;
        // It would answer from now on; its hold-down is longer than the test.
        sick.accept();
        Self {
            ca,
            sick,
            well,
            side,
            proxy,
        }
    }

    /// Another policy and another certificate; returns where the round's own listener is.
    async fn reload(&self, round: usize) -> SocketAddr {
        certify(self.proxy.dir(), &self.ca, round);
        let policy = policy([&self.sick, &self.well, &self.side], round);
        take(&self.proxy, &policy).await;
        let name = format!("extra{round}");
        eventually("the round's listener", SOON, async || {
            listener(&self.proxy, &name).await
        })
        .await
    }

    /// What the round has brought is there, and what it has taken away is not.
    async fn check(&self, round: usize, extra: SocketAddr) {
        let proxy = &self.proxy;
        assert!(Client::connect(extra).await.get("/read/x").await.is_ok());
        let target = |round| format!("/read/side{round}");
        assert_eq!(proxy.get(&target(round)).await.backend(), "side");
        assert_eq!(proxy.get(&target(round - 1)).await.backend(), "gcp");
        let pools = proxy.status().await["pools"].clone();
        let names: Vec<&Value> = pools.as_array().expect("pools").iter().collect();
        assert_eq!(names.len(), 2, "{pools}");
        assert!(
            pools.to_string().contains(&format!("side{round}")),
            "{pools}"
        );
        eventually("the round's certificate", SOON, async || {
            shows(proxy, &host(round), &self.ca).await.then_some(())
        })
        .await;
        assert!(!shows(proxy, &host(round - 1), &self.ca).await);
        assert_eq!(
            proxy.verdict("aws/one").await,
            "down",
            "a reload heals nobody"
        );
    }
}

fn host(round: usize) -> String {
    format!("round{round}.example")
}

/// The pair of the round in the place of the one before, one file after the other.
fn certify(dir: &TempDir, ca: &Ca, round: usize) {
    let leaf = ca.leaf(&[&host(round)]);
    for (name, text) in [("api.pem", leaf.cert), ("api.key", leaf.key)] {
        let next = dir.write("next", &text);
        std::fs::rename(next, dir.path(name)).unwrap();
    }
}

fn policy([sick, well, side]: [&Backend; 3], round: usize) -> String {
    // A backend and a tier that come and go, and a backend whose weight changes.
    let spare = format!("\n      - {{ site: metal/one, url: {} }}", side.url());
    let (spare, last) = match round % 2 {
        0 => ("", ""),
        _ => (spare.as_str(), ", [metal]"),
    };
    format!(
        "version: 1
admin: {{ bind: \"127.0.0.1:0\" }}
workers: 2
limits: {{ hold_answer: 0B }}
listeners:
  plain: {{ bind: \"127.0.0.1:0\", h2c: true }}
  secure: {{ bind: \"127.0.0.1:0\", tls: {{ certificates: [{{ cert: api.pem, key: api.key }}] }} }}
  extra{round}: {{ bind: \"127.0.0.1:0\" }}
providers: {{ aws: {{ sites: [one] }}, gcp: {{ sites: [one] }}, metal: {{ sites: [one] }} }}
pools:
  main:
    backends:
      - {{ site: aws/one, url: {sick} }}
      - {{ site: gcp/one, url: {well}, weight: {weight} }}{spare}
    {QUICK_PROBE}
    failover: {{ tiers: [[aws], [gcp]{last}], hold_down: {{ first: 5m, max: 10m }}, keep_warm: 0% }}
    connect_timeout: {timeout}ms
  side{round}:
    backends: [ {{ site: metal/one, url: {side} }} ]
routes:
  - {{ match: {{ path: /read/side{round} }}, class: public_read, pool: side{round} }}
  - {{ match: {{ path_prefix: /read }}, class: public_read, pool: main }}
  - {{ match: {{ path_prefix: /ws }}, class: stream, pool: main }}
  - {{ match: {{ path: /round{round} }}, class: cancel, pool: main }}
  - {{ match: {{}}, pool: main, deadline: 60s }}
",
        sick = sick.url(),
        well = well.url(),
        side = side.url(),
        weight = 1 + round,
        timeout = 1000 + round,
    )
}

/// An answer whose second half is to come.
async fn half_answered(world: &World) -> Client {
    world.well.act_once(Act::Script(vec![
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"),
        Step::Hold,
        Step::send("half"),
    ]));
    let mut client = world.proxy.client().await;
    client
        .send("GET /read/x HTTP/1.1\r\nHost: api.example\r\n\r\n")
        .await;
    assert_eq!(client.head().await.expect("a head").status(), 200);
    assert_eq!(client.some().await, b"half");
    client
}

fn summaries<'a>(told: impl Iterator<Item = &'a Told>) -> Vec<String> {
    told.map(Told::summary).collect()
}

/// Nothing was lost, nothing ran twice, and every client of the load has its first connection.
fn judge(told: &[Told], well: &Backend) {
    assert_eq!(failed_reads(told), [""; 0]);
    let lost = told.iter().filter(|told| !told.is_ok());
    assert_eq!(summaries(lost), [""; 0], "no order is lost either");
    assert_truth(told, &well.executed());
    let again = told.iter().filter(|told| told.connected);
    assert_eq!(
        again.count(),
        READERS + ORDERERS,
        "no connection was closed"
    );
}

#[tokio::test]
async fn ten_reloads_that_change_everything_lose_nothing_and_heal_nobody() {
    let world = World::start().await;
    let proxy = &world.proxy;
    let mut idle = proxy.client().await;
    assert!(idle.get("/read/x").await.is_ok());
    let mut secure = Client::connect_tls(proxy.listener("secure"), &host(0), &world.ca).await;
    assert!(secure.get("/read/x").await.is_ok());
    let mut shared = H2Client::connect(proxy.plain()).await;
    let mut shared_secure =
        H2Client::connect_tls(proxy.listener("secure"), &host(0), &world.ca).await;
    let mut stream = upgraded(proxy, &world.well).await;
    let mut slow = half_answered(&world).await;
    let seen_by_sick = world.sick.requests().len();

    let load = Load::start(proxy.plain(), READERS, ORDERERS, PACE);
    let mut left = Client::connect(proxy.listener("extra0")).await;
    for round in 1..=10 {
        load.wait_for(20).await;
        assert!(left.get("/read/x").await.is_ok());
        let extra = world.reload(round).await;
        world.check(round, extra).await;
        // The connection of the listener that left is the only one that the change names.
        assert!(left.is_closed().await);
        for client in [&mut idle, &mut secure] {
            assert!(client.get("/read/x").await.is_ok(), "round {round}");
        }
        for client in [&mut shared, &mut shared_secure] {
            assert!(client.get("/read/x").await.is_ok(), "round {round}");
        }
        stream.send("still there").await;
        assert_eq!(stream.some().await, b"still there");
        left = Client::connect(extra).await;
    }
    load.wait_for(20).await;
    let told = load.stop().await;

    world.well.release();
    assert_eq!(slow.some().await, b"half", "an answer under way goes on");
    assert!(slow.get("/read/x").await.is_ok());
    judge(&told, &world.well);
    assert_eq!(world.sick.requests().len(), seen_by_sick);
    let first = proxy.listener("extra0");
    eventually("the port of the first round is closed", SOON, async || {
        TcpStream::connect(first).is_err().then_some(())
    })
    .await;
    let healed = proxy.events(0).await.into_iter().filter(|event| {
        event["subject"]["name"] == "aws/one" && event["from"] == "down" && event["to"] != "down"
    });
    assert_eq!(healed.count(), 0);
    let rounds = [("result", "loaded")];
    proxy
        .wait_for_metric("leeward_policy_reloads_total", &rounds, 11.0)
        .await;
}
