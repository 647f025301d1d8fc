//! The journal as a stream of server-sent events.

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::policy::{Policy, QUICK_PROBE};
use crate::support::proxy::Proxy;

/// An open stream, and what has come of it so far.
struct Stream {
    client: Client,
    text: String,
}

impl Stream {
    async fn open(proxy: &Proxy, last: u64) -> Self {
        let host = proxy.admin_address();
        let mut client = Client::connect(host).await;
        let ask = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\nLast-Event-ID: {last}\r\n\r\n"
        );
        client.send(ask).await;
        let head = client.head().await.expect("a head");
        assert_eq!(head.status(), 200);
        let kind = head.get("content-type").expect("a kind");
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        let text = String::new();
        Self { client, text }
    }

    /// Reads until this has come.
    async fn until(&mut self, wanted: &str) -> &str {
        while !self.text.contains(wanted) {
            let some = self.client.some().await;
            assert!(!some.is_empty(), "it ended: {}", self.text);
            self.text
                .push_str(std::str::from_utf8(&some).expect("text"));
        }
        &self.text
    }
}

#[tokio::test]
async fn decisions_come_as_they_are_made_and_from_where_the_reader_was() {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]).pool(QUICK_PROBE);
    let proxy = Proxy::start(&policy.text()).await;
    proxy.wait_for_verdict("aws/one", "healthy").await;
    let last = proxy.events(0).await.last().unwrap()["seq"]
        .as_u64()
        .unwrap();

    let mut stream = Stream::open(&proxy, last).await;
    stream.until("retry: 1000\n\n").await;
    backend.refuse();
    let next = format!("id: {}\nevent: decision\ndata: {{", last + 1);
    let text = stream.until(&next).await.to_owned();
    assert!(
        !text.contains(&format!("id: {last}\n")),
        "it is told again: {text}"
    );

    let mut again = Stream::open(&proxy, last).await;
    again.until(&next).await;
    // Of another process: it begins anew.
    let mut other = Stream::open(&proxy, 1_000_000).await;
    let text = other.until(&next).await;
    assert!(text.contains("event: reset\n"), "{text}");
    assert!(text.contains("id: 1\n"), "{text}");
    // Where nothing happens there is a sign of life.
    stream.until(": alive\n\n").await;
}

#[tokio::test]
async fn streams_are_bounded_and_the_plain_form_stays() {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]);
    let proxy = Proxy::start(&policy.text()).await;
    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(Stream::open(&proxy, 0).await);
    }
    let host = proxy.admin_address();
    let ask = |accept: &str| {
        format!("GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n")
    };
    let mut client = Client::connect(host).await;
    let refused = client.ask(ask("text/event-stream")).await;
    assert_eq!(refused.status(), 503);
    assert!(client.ask(ask("application/json, */*")).await.is_ok());
    assert!(!proxy.events(0).await.is_empty());
    drop(open);
    let again = async || {
        let mut client = Client::connect(host).await;
        client.send(ask("text/event-stream")).await;
        (client.head().await?.status() == 200).then_some(())
    };
    let soon = crate::support::wait::SOON;
    crate::support::wait::eventually("room for a stream", soon, again).await;
}
