//! The tools of the tests, shown to work without leeward: a proof is worth what its witness is.

use crate::support::backend::{Act, Backend, DieBy, Options, PeerEnd, Step};
use crate::support::certs::Ca;
use crate::support::client::{Answer, Client, order};
use crate::support::load::{Told, assert_truth};
use crate::support::process::BackendProcess;
use crate::support::sign::signature;
use crate::support::wait::{SOON, eventually};
use crate::support::wire::{End, Head, pattern};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn the_backend_serves_and_remembers_requests_with_their_bytes() {
    let backend = Backend::start("aws");
    let mut client = Client::connect(backend.address()).await;
    let answer = client.order("/order?a=%7e", "o-1").await;
    assert!(answer.is_ok());
    assert_eq!(answer.backend(), "aws");
    let seen = backend.last();
    assert_eq!(seen.head.target(), b"/order?a=%7e");
    assert_eq!(
        seen.head.fields[1],
        ("X-Order-Id".to_owned(), "o-1".to_owned())
    );
    assert_eq!(backend.executed(), ["o-1"]);
    assert_eq!(
        client.get("/bytes/100000").await.body.bytes,
        pattern(100_000)
    );
    let chunked = client.get("/chunked/100000").await;
    assert_eq!(chunked.body.bytes, pattern(100_000));
    assert_eq!(
        chunked.body.trailers,
        [("X-Sum".to_owned(), "31".to_owned())]
    );
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_order_that_did_not_arrive_whole_does_not_count_as_run() {
    let backend = Backend::start("aws");
    let mut client = Client::connect(backend.address()).await;
    let request = order("/order", "o-1");
    client.send(&request[..request.len() - 1]).await;
    client.finish().await;
    eventually("the backend notices", SOON, async || {
        backend.requests().pop()
    })
    .await;
    assert!(!backend.last().whole);
    assert!(backend.executed().is_empty());
}

#[tokio::test]
async fn the_backend_refuses_and_accepts_again_on_the_same_port() {
    let backend = Backend::start("aws");
    backend.refuse();
    let refused = tokio::net::TcpStream::connect(backend.address()).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    backend.accept();
    let mut client = Client::connect(backend.address()).await;
    assert!(client.get("/").await.is_ok());
    backend.reset_connections();
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn the_backend_dies_after_exactly_the_bytes_it_was_told() {
    let backend = Backend::start("aws");
    let request = order("/order", "o-1");
    for by in [DieBy::Fin, DieBy::Rst] {
        for bytes in [1, 17, request.len() - 1] {
            backend.act(Act::Die(bytes as u64, by));
            let mut client = Client::connect(backend.address()).await;
            client.try_send(&request).await;
            assert!(client.try_answer("POST").await.is_none());
        }
    }
    backend.act(Act::Die(0, DieBy::Rst));
    if let Ok(mut stream) = tokio::net::TcpStream::connect(backend.address()).await {
        assert!(!matches!(stream.read(&mut [0]).await, Ok(1)));
    }
    assert!(backend.executed().is_empty());
    backend.act(Act::Die(request.len() as u64, DieBy::Fin));
    let mut client = Client::connect(backend.address()).await;
    client.send(&request).await;
    assert!(client.try_answer("POST").await.is_none());
    assert_eq!(backend.executed(), ["o-1"]);
}

#[tokio::test]
async fn the_backend_tells_a_reset_from_an_orderly_end() {
    let backend = Backend::start("aws");
    backend.act(Act::Hang);
    for reset in [true, false] {
        let ends = backend.peer_ends().len();
        let mut client = Client::connect(backend.address()).await;
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        let arrived = async || (backend.requests().len() > ends).then_some(());
        eventually("the request arrives", SOON, arrived).await;
        if reset {
            client.reset()
        } else {
            drop(client)
        }
        let seen = eventually("its end", SOON, async || {
            backend.peer_ends().get(ends).copied()
        })
        .await;
        assert_eq!(seen, if reset { PeerEnd::Rst } else { PeerEnd::Fin });
    }
}

#[tokio::test]
async fn the_backend_cuts_answers_and_answers_early() {
    let backend = Backend::start("aws");
    backend.act_once(Act::say_and_close(
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    ));
    let cut = Client::connect(backend.address()).await.get("/").await;
    assert_eq!(
        (cut.body.bytes.as_slice(), cut.body.end),
        (b"half".as_slice(), End::Cut)
    );
    let steps = [
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        Step::End(DieBy::Rst),
    ];
    backend.act_once(Act::Script(steps.to_vec()));
    let reset = Client::connect(backend.address()).await.get("/").await;
    assert_ne!(reset.body.end, End::Whole);
    backend.act_once(Act::Early(vec![Step::send(
        "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n",
    )]));
    let mut client = Client::connect(backend.address()).await;
    client
        .send("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n")
        .await;
    assert_eq!(client.answer("POST").await.status(), 413);
}

#[tokio::test]
async fn the_backend_stops_reading_until_it_is_released() {
    let options = Options {
        receive_buffer: Some(4096),
        ..Options::default()
    };
    let backend = Backend::with("aws", options);
    backend.act(Act::StopReading);
    let mut client = Client::connect(backend.address()).await;
    client
        .send("POST /order HTTP/1.1\r\nX-Order-Id: o-1\r\nContent-Length: 60000\r\n\r\n")
        .await;
    client.send(pattern(60_000)).await;
    assert!(backend.executed().is_empty());
    backend.release();
    assert!(client.answer("POST").await.is_ok());
    assert_eq!(backend.executed(), ["o-1"]);
}

#[tokio::test]
async fn the_backend_checks_signatures() {
    let backend = Backend::start("aws");
    let mut client = Client::connect(backend.address()).await;
    let mut ask = async |signature: String| {
        let request = format!(
            "PUT /a?b HTTP/1.1\r\nX-Signature: {signature}\r\nContent-Length: 3\r\n\r\nabc"
        );
        client.ask(request).await.status()
    };
    assert_eq!(ask(signature("PUT", b"/a?b", b"abc")).await, 200);
    assert_eq!(ask(signature("PUT", b"/a?b", b"abd")).await, 401);
    assert_eq!(ask(signature("PUT", b"/a%3fb", b"abc")).await, 401);
}

#[tokio::test]
async fn the_backend_speaks_tls() {
    let ca = Ca::new();
    let backend = Backend::start_tls("aws", ca.leaf(&["api.example"]));
    let mut client = Client::connect_tls(backend.address(), "api.example", &ca).await;
    assert!(client.get("/").await.is_ok());
}

#[tokio::test]
async fn the_record_of_a_backend_process_survives_its_death() {
    let mut process = BackendProcess::start("aws", Duration::ZERO).await;
    let address = process.url().trim_start_matches("http://").parse().unwrap();
    let mut client = Client::connect(address).await;
    assert!(client.order("/order", "o-1").await.is_ok());
    process.kill();
    assert!(client.is_closed().await);
    assert_eq!(process.executed(), ["o-1"]);
    process.restart().await;
    let mut client = Client::connect(address).await;
    process.stop();
    client.send(order("/order", "o-2")).await;
    process.go_on();
    assert!(client.answer("POST").await.is_ok());
    assert_eq!(process.executed(), ["o-1", "o-2"]);
}

/// What a client was told of the order `o-1`.
fn told(head: &str) -> Vec<Told> {
    let head = Head::parse(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes());
    let answer = Some(Answer {
        head,
        ..Answer::default()
    });
    let (asked, waited) = (Instant::now(), Duration::ZERO);
    vec![Told {
        id: "o-1".to_owned(),
        asked,
        connected: false,
        waited,
        answer,
    }]
}

const RAN: [&str; 1] = ["o-1"];
const DONE: &str = "200 OK\r\nX-Backend: aws";

fn judge(told: &[Told], executed: &[&str]) {
    let executed: Vec<String> = executed.iter().map(|id| (*id).to_owned()).collect();
    assert_truth(told, &executed);
}

#[test]
fn what_is_true_passes_the_judge() {
    judge(&told(DONE), &RAN);
    for ran in [&RAN[..], &[]] {
        judge(&told("504 No\r\nleeward-outcome: unknown"), ran);
        judge(&told("503 No\r\nX-Backend: aws"), ran);
    }
    judge(&told("503 No\r\nleeward-outcome: not-sent"), &[]);
    judge(&told("503 No\r\nleeward-outcome: shed"), &[]);
}

#[test]
#[should_panic(expected = "more than once")]
fn an_order_that_ran_twice_fails_the_judge() {
    judge(&told(DONE), &["o-1", "o-2", "o-1"]);
}

#[test]
#[should_panic(expected = "told done, never ran")]
fn an_order_that_never_ran_but_was_told_done_fails_the_judge() {
    judge(&told(DONE), &["o-2"]);
}

#[test]
#[should_panic(expected = "told not sent, but it ran")]
fn an_order_that_ran_but_was_told_not_sent_fails_the_judge() {
    judge(&told("503 No\r\nleeward-outcome: not-sent"), &RAN);
}

#[test]
#[should_panic(expected = "without a label")]
fn a_failure_of_leewards_own_without_a_label_fails_the_judge() {
    judge(&told("502 No"), &[]);
}

#[test]
#[should_panic(expected = "no answer at all")]
fn an_order_without_any_answer_fails_the_judge() {
    let mut told = told(DONE);
    told[0].answer = None;
    judge(&told, &RAN);
}
