//! Names after a restart with a `state_dir`: what was known before serves until something better is
//! known, whatever DNS says meanwhile.
//!
//! The answers that cannot be used are in [`super::answers`], one test a kind.

use super::{
    REFUSED, SICK, assert_served_by, endpoints, family, policy, wait_for, wait_for_result,
    wait_until_served_by,
};
use crate::state::{folder, unix_now, wait_for_memory};
use crate::support::backend::{Act, Backend};
use crate::support::dns::{Dns, Say};
use crate::support::proxy::Proxy;
use serde_json::{Value, json};
use std::net::IpAddr;

/// A leeward that was killed when what it knew was on the disk.
pub(super) struct Restart {
    pub(super) backends: Vec<Backend>,
    pub(super) server: Dns,
    pub(super) proxy: Proxy,
}

impl Restart {
    /// One with so many backends, that knew these addresses as listed and these as kept.
    pub(super) async fn after(count: u8, listed: &[&str], kept: &[&str]) -> Self {
        let (backends, server) = (family(count), Dns::start());
        server.says("api.test", Say::addresses(&[listed, kept].concat()));
        let text = policy(&backends, &[&server], "")
            .top("state_dir: state")
            .text();
        let mut proxy = Proxy::start_in(folder(), &text).await;
        for ip in [listed, kept].concat() {
            wait_for(&proxy, ip, true, "healthy").await;
        }
        server.says("api.test", Say::addresses(listed));
        let port = backends[0].address().port();
        let written = |ips: &[&str]| ips.iter().map(|ip| format!("{ip}:{port}")).collect();
        let (listed, kept): (Vec<String>, Vec<String>) = (written(listed), written(kept));
        wait_for_memory(&proxy, "the addresses are written down", |memory| {
            let backend = &memory["backends"][0];
            backend["addresses"] == json!(listed) && backend["retained"] == json!(kept)
        })
        .await;
        proxy.kill();
        Self {
            backends,
            server,
            proxy,
        }
    }

    /// Starts it again; DNS says this from before its start on.
    pub(super) async fn start(&mut self, say: Say) {
        self.server.says("api.test", say);
        self.proxy.start_again().await;
    }
}

#[tokio::test]
async fn a_shrinking_answer_after_a_restart_keeps_the_address_as_a_stand_in() {
    let mut restart = Restart::after(2, &["127.0.0.1", "127.0.0.2"], &[]).await;
    restart.start(Say::addresses(&["127.0.0.1"])).await;
    let (proxy, backends) = (&restart.proxy, &restart.backends);
    wait_for(proxy, "127.0.0.1", true, "healthy").await;
    wait_for(proxy, "127.0.0.2", false, "healthy").await;
    assert_served_by(proxy, "127.0.0.1").await;
    backends[0].refuse();
    backends[0].reset_connections();
    wait_for(proxy, "127.0.0.1", true, "down").await;
    assert_served_by(proxy, "127.0.0.2").await;
}

#[tokio::test]
async fn a_moving_answer_after_a_restart_takes_traffic_along_when_the_new_address_has_answered() {
    let mut restart = Restart::after(2, &["127.0.0.1"], &[]).await;
    restart.backends[1].act_on_probes(Act::say(SICK));
    restart.start(Say::addresses(&["127.0.0.2"])).await;
    let (proxy, backends) = (&restart.proxy, &restart.backends);
    assert_served_by(proxy, "127.0.0.1").await;
    wait_for(proxy, "127.0.0.2", true, "down").await;
    assert_served_by(proxy, "127.0.0.1").await;
    assert_eq!(backends[1].requests().len(), 0, "no traffic before a probe");
    backends[1].act_on_probes(Act::Serve);
    wait_for(proxy, "127.0.0.2", true, "healthy").await;
    assert_served_by(proxy, "127.0.0.2").await;
}

#[tokio::test]
async fn a_lying_answer_after_a_restart_adds_dead_addresses_and_nobody_notices() {
    let mut restart = Restart::after(1, &["127.0.0.1"], &[]).await;
    let dead = ["127.0.0.7", "127.0.0.8", "127.0.0.9"];
    restart.start(Say::addresses(&dead)).await;
    let proxy = &restart.proxy;
    for ip in dead {
        assert_served_by(proxy, "127.0.0.1").await;
        wait_for(proxy, ip, true, "down").await;
    }
    assert_served_by(proxy, "127.0.0.1").await;
    assert_eq!(proxy.verdict("aws/one").await, "healthy");
}

#[tokio::test]
async fn a_huge_answer_after_a_restart_does_not_drive_out_what_works() {
    let mut restart = Restart::after(1, &["127.0.0.1"], &[]).await;
    let many = (0..2000_u16).map(|n| {
        let [high, low] = n.to_be_bytes();
        IpAddr::from([127, 1, high, low])
    });
    let known = "127.0.0.1".parse().unwrap();
    restart
        .start(Say::Addresses(many.chain([known]).collect()))
        .await;
    let proxy = &restart.proxy;
    proxy
        .wait_for_metric(REFUSED, &[("reason", "too_many")], 1937.0)
        .await;
    wait_for(proxy, "127.0.0.1", true, "healthy").await;
    assert_eq!(endpoints(proxy).await.len(), 64);
    assert_served_by(proxy, "127.0.0.1").await;
}

/// The memory says that they were public; nobody can be there in a test.
#[tokio::test]
async fn private_addresses_after_a_restart_are_refused_where_public_ones_were() {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    let (port, dir) = (backends[0].address().port(), folder());
    let state = json!({ "written_ms": (unix_now() * 1000.0) as u64, "memory": {
        "version": 1, "backends": [{ "pool": "main", "site": "aws/one",
            "url": format!("http://api.test:{port}"), "addresses": [format!("[2001:db8::1]:{port}")] }],
    }});
    dir.write("state/state.json", &state.to_string());
    let text = policy(&backends, &[&server], "")
        .top("state_dir: state")
        .text();
    let proxy = Proxy::launch(dir, &text, &[]).await;
    proxy
        .wait_for_metric(REFUSED, &[("reason", "private")], 2.0)
        .await;
    wait_for(&proxy, "[2001:db8::1]", true, "down").await;
    assert_eq!(endpoints(&proxy).await.len(), 1);
    assert_eq!(backends[0].probes().len(), 0);
}

/// What DNS had taken back before the restart is not back in play because DNS fails after it.
#[tokio::test]
async fn kept_addresses_are_still_only_kept_after_a_restart() {
    let mut restart = Restart::after(2, &["127.0.0.1"], &["127.0.0.2"]).await;
    restart.start(Say::ServFail).await;
    let (proxy, backends) = (&restart.proxy, &restart.backends);
    assert_served_by(proxy, "127.0.0.1").await;
    wait_for_result(proxy, "servfail").await;
    wait_for(proxy, "127.0.0.1", true, "healthy").await;
    wait_for(proxy, "127.0.0.2", false, "healthy").await;
    wait_for_result(proxy, "servfail").await;
    wait_for(proxy, "127.0.0.2", false, "healthy").await;
    assert_eq!(backends[1].requests().len(), 0, "it only stands by");
    let kept = |memory: &Value| memory["backends"][0]["retained"] == json!([backends[1].address()]);
    wait_for_memory(proxy, "it is kept on", kept).await;
    backends[0].refuse();
    backends[0].reset_connections();
    wait_for(proxy, "127.0.0.1", true, "down").await;
    assert_served_by(proxy, "127.0.0.2").await;
}

/// Kept addresses alone, as a leeward leaves them whose name had moved to nowhere: they serve.
#[tokio::test]
async fn kept_addresses_serve_after_a_restart_when_no_other_does() {
    let mut restart = Restart::after(2, &["127.0.0.1"], &["127.0.0.2"]).await;
    restart.backends[0].refuse();
    restart.start(Say::NxDomain).await;
    wait_until_served_by(&restart.proxy, "127.0.0.2").await;
    wait_for(&restart.proxy, "127.0.0.1", true, "down").await;
    assert_served_by(&restart.proxy, "127.0.0.2").await;
}
