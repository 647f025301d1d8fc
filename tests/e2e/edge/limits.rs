//! Bounds on connections: by client, and when descriptors run out.

use super::{GET, NAMED, OTHER, REFUSED, listener, one};
use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use std::net::SocketAddr;

const OF_CLIENT: [(&str, &str); 1] = [("reason", "per_client_limit")];

/// A connection that has been served.
async fn served(local: &str, address: SocketAddr) -> Option<Client> {
    let mut client = Client::connect_from(local, address).await;
    client.try_send(GET).await;
    let answer = client.try_answer("GET").await?;
    answer.is_ok().then_some(client)
}

#[tokio::test]
async fn a_client_has_so_many_connections_whatever_worker_takes_them() {
    let backend = Backend::start("aws");
    let listener = listener("plain", "max_connections_per_client: 3");
    let policy = Policy::of(&[("aws/one", &backend)]).workers(2);
    let proxy = Proxy::start(&policy.listeners(&listener).text()).await;
    let mut first = Vec::new();
    for _ in 0..3 {
        first.push(served(NAMED, proxy.plain()).await.expect("a place"));
    }
    for _ in 0..5 {
        assert!(served(NAMED, proxy.plain()).await.is_none());
    }
    proxy.wait_for_metric(REFUSED, &OF_CLIENT, 5.0).await;
    assert!(
        served(OTHER, proxy.plain()).await.is_some(),
        "others have their own"
    );
    for client in &mut first {
        assert!(client.ask(GET).await.is_ok(), "who is in is served");
    }
    first.pop();
    eventually("a place is free again", SOON, async || {
        served(NAMED, proxy.plain()).await
    })
    .await;
}

#[tokio::test]
async fn clients_behind_one_load_balancer_are_told_apart() {
    let keys = "proxy_protocol: { from: [127.0.0.2] }, max_connections_per_client: 2";
    let (_backend, proxy) = one(keys).await;
    let mut open = Vec::new();
    for client in ["203.0.113.1", "203.0.113.2", "203.0.113.3"] {
        for n in 0..4 {
            let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
            let header = format!("PROXY TCP4 {client} 127.0.0.1 1 2\r\n");
            peer.try_send(format!("{header}{GET}")).await;
            let answer = peer.try_answer("GET").await;
            assert_eq!(answer.is_some_and(|a| a.is_ok()), n < 2, "{client} {n}");
            open.push(peer);
        }
    }
    // One IPv6 client has a whole network of 64 bits.
    for (n, host) in [":1", ":2", "ffff:1:2:3"].iter().enumerate() {
        let mut peer = Client::connect_from(NAMED, proxy.plain()).await;
        let header = format!("PROXY TCP6 2001:db8:0:1:{host} ::1 1 2\r\n");
        peer.try_send(format!("{header}{GET}")).await;
        let answer = peer.try_answer("GET").await;
        assert_eq!(answer.is_some_and(|a| a.is_ok()), n < 2, "{header}");
        open.push(peer);
    }
    proxy.wait_for_metric(REFUSED, &OF_CLIENT, 7.0).await;
}

#[tokio::test]
async fn a_trusted_proxy_is_no_client_and_has_no_such_bound() {
    let (_backend, proxy) = one("trusted: [127.0.0.2], max_connections_per_client: 1").await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(served(NAMED, proxy.plain()).await.expect("a place"));
    }
    let _one = served(OTHER, proxy.plain()).await.expect("a place");
    assert!(served(OTHER, proxy.plain()).await.is_none());
}

#[tokio::test]
async fn without_descriptors_newcomers_are_refused_at_once_and_come_in_once_others_have_left() {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]).text();
    let limit = ["prlimit", "--nofile=80:80"];
    let proxy = Proxy::launch(TempDir::new(), &policy, &limit).await;
    let mut early = proxy.client().await;
    assert!(early.ask(GET).await.is_ok());
    let mut crowd = Vec::new();
    for _ in 0..120 {
        crowd.push(Client::connect(proxy.plain()).await);
    }
    // Nobody is left to wait for nothing: whoever gets no descriptor that a probe has just given
    // back is refused.
    let mut refused = 0;
    for _ in 0..10 {
        match served(OTHER, proxy.plain()).await {
            Some(client) => crowd.push(client),
            None => refused += 1,
        }
        assert!(early.ask(GET).await.is_ok(), "who is in is served");
    }
    assert!(refused >= 5, "{refused} of 10");
    drop(crowd);
    eventually("new clients are served again", SOON, async || {
        served(OTHER, proxy.plain()).await
    })
    .await;
    assert!(early.ask(GET).await.is_ok());
    let reason = [("reason", "file_descriptors")];
    proxy.wait_for_metric(REFUSED, &reason, 4.0).await;
    let warnings = proxy.log().matches("no file descriptor is left").count();
    assert!(
        (1..20).contains(&warnings),
        "{warnings} lines for the same thing"
    );
}

#[tokio::test]
async fn a_flood_of_connections_does_not_keep_others_out() {
    let (_backend, proxy) = one("max_connections_per_client: 50").await;
    let mut good = Client::connect_from(OTHER, proxy.plain()).await;
    assert!(good.ask(GET).await.is_ok());
    let mut floods = tokio::task::JoinSet::new();
    let address = proxy.plain();
    for n in 0..4 {
        floods.spawn(async move {
            for _ in 0..250 {
                let client = Client::connect_from(NAMED, address).await;
                if n % 2 == 0 {
                    client.reset();
                }
            }
        });
    }
    while !floods.is_empty() {
        tokio::select! {
            ended = floods.join_next() => ended.unwrap().unwrap(),
            answer = good.ask(GET) => assert!(answer.is_ok()),
        }
        assert!(served(OTHER, address).await.is_some());
    }
    let accepted = "leeward_downstream_connections_accepted_total";
    proxy.wait_for_metric(accepted, &[], 1000.0).await;
}
