//! Reloads while it serves: what changes, what must not be disturbed, and what cannot be taken.

mod under_load;

use crate::support::backend::{Act, Backend, Step};
use crate::support::certs::Ca;
use crate::support::client::Client;
use crate::support::policy::Policy;
use crate::support::proxy::{Proxy, json};
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::SocketAddr;

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n";

/// Takes the place of the policy in one step, as an editor or a deployment does.
fn replace(proxy: &Proxy, text: &str) {
    let next = proxy.dir().write("next", text);
    std::fs::rename(next, proxy.dir().path("policy.yaml")).unwrap();
}

async fn policy_status(proxy: &Proxy) -> Value {
    json(&proxy.admin("/api/v1/status").await)["policy"].clone()
}

async fn hash(proxy: &Proxy) -> String {
    policy_status(proxy).await["hash"].to_string()
}

/// Replaces the policy and waits until it serves.
async fn take(proxy: &Proxy, text: &str) {
    let before = hash(proxy).await;
    replace(proxy, text);
    eventually("another policy", SOON, async || {
        (hash(proxy).await != before).then_some(())
    })
    .await;
}

async fn rejected(proxy: &Proxy) -> String {
    eventually("a policy is rejected", SOON, async || {
        let status = policy_status(proxy).await;
        let problems = &status["reloads"]["rejected"]["problems"];
        problems.is_array().then(|| problems.to_string())
    })
    .await
}

async fn listener(proxy: &Proxy, name: &str) -> Option<SocketAddr> {
    let status = policy_status(proxy).await;
    status["reloads"]["listeners"][name]
        .as_str()
        .map(|address| address.parse().unwrap())
}

/// A connection that `backend` has taken over and sends everything back on.
async fn upgraded(proxy: &Proxy, backend: &Backend) -> Client {
    backend.act_once(Act::Script(vec![Step::send(SWITCH), Step::Echo]));
    let mut client = proxy.client().await;
    let upgrade = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    client.send(upgrade).await;
    assert_eq!(client.head().await.expect("a head").status(), 101);
    client
}

#[tokio::test]
async fn a_bad_policy_leaves_the_good_one_serving_and_is_said_everywhere() {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]);
    let proxy = Proxy::start(&policy.text()).await;
    let before = hash(&proxy).await;
    for (text, words) in [
        (
            format!("{}nonsense: 1\n", policy.text()),
            "unknown key `nonsense`",
        ),
        (
            policy.text()[..policy.text().len() / 2].to_owned(),
            "policy.yaml",
        ),
        (String::new(), "empty"),
        ("\0\u{1}binary".to_owned(), "policy.yaml"),
    ] {
        let metrics = proxy.metrics().await;
        let count = metrics.sum("leeward_policy_reloads_total", &[("result", "rejected")]);
        replace(&proxy, &text);
        let least = count.expect("a series") + 1.0;
        proxy
            .wait_for_metric(
                "leeward_policy_reloads_total",
                &[("result", "rejected")],
                least,
            )
            .await;
        assert!(rejected(&proxy).await.contains(words), "{words}");
        assert_eq!(hash(&proxy).await, before);
        assert!(proxy.get("/read/x").await.is_ok());
    }
    assert!(proxy.log().contains("the one from before goes on serving"));
    take(&proxy, &policy.clone().pool("idle_timeout: 14s").text()).await;
    assert!(policy_status(&proxy).await["reloads"]["rejected"].is_null());
}

#[tokio::test]
async fn a_listener_that_cannot_be_bound_changes_nothing() {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]);
    let proxy = Proxy::start(&policy.text()).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listeners =
        format!("plain: {{ bind: \"127.0.0.1:0\" }}\n  more: {{ bind: \"{address}\" }}");
    replace(&proxy, &policy.clone().listeners(&listeners).text());
    assert!(rejected(&proxy).await.contains("cannot listen on"));
    assert!(proxy.get("/read/x").await.is_ok());
}

#[tokio::test]
async fn a_listener_that_leaves_the_policy_ends_what_it_has_and_accepts_no_more() {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]);
    let two = "plain: { bind: \"127.0.0.1:0\" }\n  more: { bind: \"127.0.0.1:0\" }";
    let proxy = Proxy::start(&policy.clone().listeners(two).text()).await;
    let more = proxy.listener("more");
    let mut idle = Client::connect(more).await;
    assert!(idle.get("/read/x").await.is_ok());
    let mut kept = proxy.client().await;
    assert!(kept.get("/read/x").await.is_ok());
    take(&proxy, &policy.text()).await;
    assert!(idle.is_closed().await, "its idle connections end");
    eventually("the port is closed", SOON, async || {
        std::net::TcpStream::connect(more).is_err().then_some(())
    })
    .await;
    assert!(
        kept.get("/read/x").await.is_ok(),
        "other listeners' connections go on"
    );
}

async fn shows(proxy: &Proxy, name: &str, ca: &Ca) -> bool {
    Client::try_connect_tls(proxy.listener("secure"), name, ca)
        .await
        .is_ok()
}

#[tokio::test]
async fn certificates_are_read_again_when_they_change_and_a_broken_pair_keeps_the_old_one() {
    let ca = Ca::new();
    let dir = TempDir::new();
    let (old, new) = (ca.leaf(&["old.example"]), ca.leaf(&["new.example"]));
    dir.write("api.pem", &old.cert);
    dir.write("api.key", &old.key);
    let backend = Backend::start("aws");
    let listeners = "plain: { bind: \"127.0.0.1:0\" }
  secure: { bind: \"127.0.0.1:0\", tls: { certificates: [{ cert: api.pem, key: api.key }] } }";
    let policy = Policy::of(&[("aws/one", &backend)]).listeners(listeners);
    let proxy = Proxy::start_in(dir, &policy.text()).await;
    let mut open = Client::connect_tls(proxy.listener("secure"), "old.example", &ca).await;
    assert!(open.get("/read/x").await.is_ok());
    proxy.dir().write("api.key", &new.key);
    assert!(rejected(&proxy).await.contains("does not belong to"));
    assert!(shows(&proxy, "old.example", &ca).await);
    proxy.dir().write("api.pem", &new.cert);
    eventually("the new certificate", SOON, async || {
        shows(&proxy, "new.example", &ca).await.then_some(())
    })
    .await;
    assert!(
        open.get("/read/x").await.is_ok(),
        "an open connection goes on"
    );
}

/// What Kubernetes does to a mounted ConfigMap.
#[tokio::test]
async fn a_symlink_that_leads_elsewhere_is_a_change() {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]);
    let dir = TempDir::new();
    let root = dir.path("");
    for (version, text) in [
        ("v1", policy.text()),
        ("v2", policy.clone().pool("idle_timeout: 14s").text()),
    ] {
        std::fs::create_dir(root.join(version)).unwrap();
        std::fs::write(root.join(version).join("policy.yaml"), text).unwrap();
    }
    std::os::unix::fs::symlink("v1", root.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/policy.yaml", root.join("policy.yaml")).unwrap();
    let proxy = Proxy::start_as_is(dir).await;
    let before = hash(&proxy).await;
    std::os::unix::fs::symlink("v2", root.join("..data_tmp")).unwrap();
    std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    eventually("the other policy", SOON, async || {
        (hash(&proxy).await != before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sighup_reloads_though_nothing_has_changed() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).text()).await;
    proxy.signal(Signal::SIGHUP);
    proxy
        .wait_for_metric("leeward_policy_reloads_total", &[("result", "loaded")], 2.0)
        .await;
    assert!(proxy.get("/read/x").await.is_ok());
}
