//! A worker that has more to do than it can: orders pass, reads wait for their turn, and its own lateness
//! is nobody else's.

use crate::support::backend::{Act, Backend};
use crate::support::client::{Client, order};
use crate::support::policy::{Policy, STOIC};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use nix::sys::signal::Signal;
use std::time::Duration;

const READ: &str = "GET /read/x HTTP/1.1\r\nHost: api.example\r\n\r\n";

/// So many clients whose connections leeward has taken.
async fn clients(proxy: &Proxy, many: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..many {
        let mut client = proxy.client().await;
        assert!(client.get("/read/x").await.is_ok());
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn an_order_that_comes_behind_hundreds_of_reads_does_not_wait_for_them() {
    let aws = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &aws)]).pool(STOIC);
    let proxy = Proxy::start(&policy.text()).await;
    let mut readers = clients(&proxy, 300).await;
    let mut trader = proxy.client().await;
    assert!(trader.order("/order", "first").await.is_ok());
    let before = aws.requests().len();
    let counted = proxy.metrics().await;

    // All of it is there when it goes on, the order last.
    proxy.signal(Signal::SIGSTOP);
    for reader in &mut readers {
        reader.send(READ).await;
    }
    trader.send(order("/order", "second")).await;
    proxy.signal(Signal::SIGCONT);

    assert!(trader.answer("POST").await.is_ok());
    for reader in &mut readers {
        assert!(reader.answer("GET").await.is_ok(), "no read is lost");
    }
    let came: Vec<_> = aws.requests().split_off(before);
    let place = came.iter().position(|seen| seen.head.method() == "POST");
    let place = place.expect("the order came");
    assert!(place < 150, "{place} reads were sent before it");
    assert_eq!(came.len(), 301);
    let pool = [("pool", "main")];
    proxy
        .wait_for_metric("leeward_pool_delayed_total", &pool, 100.0)
        .await;
    // What a read waited for its turn was leeward's time, and not that of a backend.
    let now = proxy.metrics().await;
    let took = |name| now.sum(name, &[]).unwrap_or(0.0) - counted.sum(name, &[]).unwrap_or(0.0);
    let (backend, whole) = (
        took("leeward_upstream_head_seconds_sum"),
        took("leeward_request_head_seconds_sum"),
    );
    assert!(
        backend > 0.0 && backend < 0.9 * whole,
        "{backend} of {whole}"
    );
}

#[tokio::test]
async fn a_worker_that_stood_still_does_not_take_its_site_for_crowded() {
    const THINK: Duration = Duration::from_millis(60);
    let aws = Backend::start("aws");
    aws.act(Act::After(THINK));
    let policy = Policy::of(&[("aws/one", &aws)]).pool(STOIC);
    let proxy = Proxy::start(&policy.text()).await;
    let mut readers: Vec<Client> = Vec::new();
    for _ in 0..20 {
        readers.push(proxy.client().await);
    }
    // What answers usually take, and then rounds of them that nobody was there to read.
    for round in 0..16 {
        let still = round > 5;
        let before = aws.heads();
        for reader in &mut readers {
            reader.send(READ).await;
        }
        let all = async || (aws.heads() == before + readers.len()).then_some(());
        eventually("all reads are at the backend", SOON, all).await;
        if still {
            proxy.signal(Signal::SIGSTOP);
            // The event itself: for so long nobody runs.
            tokio::time::sleep(THINK * 4).await;
            proxy.signal(Signal::SIGCONT);
        }
        for reader in &mut readers {
            assert!(reader.answer("GET").await.is_ok());
        }
    }
    let limit = proxy.metrics().await;
    let limit = limit.sum("leeward_site_requests_limit", &[("pool", "main")]);
    assert_eq!(limit, Some(16_384.0), "nothing was learned of the site");
}
