//! What the serve loop and the service may ask for: a refusal, the end of a pause, the connection.

use super::harness::service;
use crate::client_io::{ClientIo, ClientWatch, Overdue};
use crate::framing::{Phase, Refusal};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use leeward_config::policy::Limits;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep_until};

/// Serves one connection as the serve loop does: polls hyper, and looks at the watch when it says.
async fn serve(io: ClientIo<DuplexStream>, limits: Limits) -> Option<Overdue> {
    let watch = io.watch();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let served = Cell::new(0);
    let conn = http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(
            TokioIo::new(io),
            service_fn(|request| {
                let index = served.replace(served.get() + 1);
                service(Rc::clone(&watch), Rc::clone(&seen), index, request)
            }),
        );
    let mut conn = pin!(conn);
    let mut check = pin!(sleep_until(watch.next_check(Instant::now(), &limits)));
    poll_fn(|cx| {
        if conn.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        while check.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            match watch.overdue(now, &limits) {
                Some(Overdue::HeaderTimeout) => watch.refuse(Refusal::HeadTimeout),
                Some(Overdue::BodyIdle | Overdue::BodyTooSlow) => {
                    watch.refuse(Refusal::BodyTimeout);
                }
                Some(overdue) => return Poll::Ready(Some(overdue)),
                None => {}
            }
            let after = std::time::Duration::from_millis(1);
            check
                .as_mut()
                .reset(watch.next_check(now, &limits).max(now + after));
        }
        Poll::Pending
    })
    .await
}

async fn talk<T>(
    client: impl Future<Output = T>,
    server: ClientIo<DuplexStream>,
) -> (T, Option<Overdue>) {
    tokio::join!(client, serve(server, Limits::default()))
}

fn pair() -> (DuplexStream, ClientIo<DuplexStream>, Rc<ClientWatch>) {
    let (client, server) = duplex(1024);
    let io = ClientIo::new(server, &Limits::default());
    let watch = io.watch();
    (client, io, watch)
}

async fn read_all(client: &mut DuplexStream) -> String {
    let mut answers = Vec::new();
    client.read_to_end(&mut answers).await.expect("reads");
    String::from_utf8(answers).expect("text")
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_answered_with_408() {
    let (mut client, server, _) = pair();
    let started = Instant::now();
    let client = async {
        client
            .write_all(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n")
            .await
            .expect("sent");
        read_all(&mut client).await
    };
    let (answers, overdue) = talk(client, server).await;
    assert!(answers.starts_with("HTTP/1.1 200 OK\r\n"), "{answers}");
    assert!(
        answers.contains("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n"),
        "{answers}"
    );
    assert_eq!((overdue, started.elapsed().as_secs()), (None, 10));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_does_not_get_more_time() {
    let (mut client, server, _) = pair();
    let started = Instant::now();
    let client = async {
        for byte in b"GET /a-long-way-to-go HTTP/1.1\r\nHost: a\r\n\r\n" {
            let pause = tokio::time::sleep(std::time::Duration::from_millis(900));
            let (sent, ()) = tokio::join!(client.write_all(std::slice::from_ref(byte)), pause);
            if sent.is_err() {
                break;
            }
        }
        read_all(&mut client).await
    };
    let (answers, _) = talk(client, server).await;
    assert!(answers.starts_with("HTTP/1.1 408 "), "{answers}");
    assert!(started.elapsed().as_secs() < 45);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_fails() {
    let (mut client, server, watch) = pair();
    let started = Instant::now();
    let client = async {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
        client.write_all(head).await.expect("sent");
        read_all(&mut client).await
    };
    let (answers, _) = talk(client, server).await;
    assert!(answers.starts_with("HTTP/1.1 408 "), "{answers}");
    assert_eq!(watch.body_refused(), Some(Refusal::BodyTimeout));
    assert_eq!(started.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_fails_after_its_grace() {
    let (mut client, server, watch) = pair();
    let started = Instant::now();
    let client = async {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
        client.write_all(head).await.expect("sent");
        while client.write_all(&[b'x'; 10]).await.is_ok() {
            if watch.body_refused().is_some() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        read_all(&mut client).await
    };
    let (answers, _) = talk(client, server).await;
    assert!(answers.starts_with("HTTP/1.1 408 "), "{answers}");
    assert!(
        (30..=35).contains(&started.elapsed().as_secs()),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_overdue_after_its_time() {
    let (mut client, server, watch) = pair();
    let started = Instant::now();
    let client = async {
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n")
            .await
            .expect("sent");
        read_all(&mut client).await
    };
    let (answers, overdue) = talk(client, server).await;
    assert!(answers.starts_with("HTTP/1.1 200 "), "{answers}");
    assert_eq!(
        (overdue, started.elapsed().as_secs()),
        (Some(Overdue::Idle), 60)
    );
    assert_eq!((watch.phase(), watch.heads()), (Phase::Idle, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_overdue() {
    let (mut client, server) = duplex(16);
    let server = ClientIo::new(server, &Limits::default());
    let started = Instant::now();
    let serving = serve(server, Limits::default());
    let sending = client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (sent, overdue) = tokio::join!(sending, serving);
    sent.expect("sent");
    assert_eq!(
        (overdue, started.elapsed().as_secs()),
        (Some(Overdue::WriteStalled), 30)
    );
}

#[tokio::test(start_paused = true)]
async fn a_declined_upgrade_leaves_an_ordinary_connection() {
    let (mut client, server, watch) = pair();
    let client = async {
        client
            .write_all(
                b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\
                  GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            )
            .await
            .expect("sent");
        read_all(&mut client).await
    };
    let (answers, _) = talk(client, server).await;
    assert!(
        answers.contains("answer 0") && answers.contains("answer 1"),
        "{answers}"
    );
    assert_eq!(watch.heads(), 2);
}

#[tokio::test]
async fn what_follows_an_upgrade_is_held_up_to_a_bound() {
    let (client, server) = duplex(1 << 20);
    let (mut client, mut io) = (client, ClientIo::new(server, &Limits::default()));
    let watch = io.watch();
    let upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(upgrade).await.expect("sent");
    client.write_all(&vec![0x81; 100_000]).await.expect("sent");
    let mut head = vec![0; upgrade.len()];
    io.read_exact(&mut head).await.expect("the head");
    assert_eq!(head, upgrade);
    let mut scratch = [0; 4096];
    let more = poll_fn(|cx| {
        let mut buf = tokio::io::ReadBuf::new(&mut scratch);
        let read = tokio::io::AsyncRead::poll_read(std::pin::Pin::new(&mut io), cx, &mut buf);
        Poll::Ready(read.is_ready())
    });
    assert!(!more.await);
    assert_eq!(watch.phase(), Phase::Paused);
    let (_, held) = io.into_inner();
    assert!(
        (16 * 1024..24 * 1024).contains(&held.len()),
        "{}",
        held.len()
    );
    assert!(held.iter().all(|&byte| byte == 0x81));
}

#[tokio::test]
async fn only_the_request_that_waits_can_end_the_wait() {
    let (mut client, server) = duplex(1 << 16);
    let mut io = ClientIo::new(server, &Limits::default());
    let watch = io.watch();
    let plain = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
    let upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    client
        .write_all(&[&plain[..], &upgrade[..], b"early"].concat())
        .await
        .expect("sent");
    let mut both = vec![0; plain.len() + upgrade.len()];
    io.read_exact(&mut both).await.expect("both heads");
    watch.set_in_flight(true);
    watch.resume();
    watch.set_in_flight(false);
    watch.set_in_flight(true);
    let mut scratch = [0; 64];
    tokio::select! {
        biased;
        read = io.read(&mut scratch) => panic!("read {read:?}"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(watch.phase(), Phase::Paused);
}

#[tokio::test]
async fn an_idle_connection_holds_no_memory() {
    let (mut client, server) = duplex(1 << 16);
    let mut io = ClientIo::new(server, &Limits::default());
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(9000)
    );
    let (first, second) = request.as_bytes().split_at(5000);
    let mut read = vec![0; request.len()];
    client.write_all(first).await.expect("sent");
    tokio::select! {
        biased;
        read = io.read(&mut read) => panic!("read {read:?}"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(io.held.len(), first.len());
    client.write_all(second).await.expect("sent");
    io.read_exact(&mut read).await.expect("all of it");
    assert_eq!(read, request.as_bytes());
    assert_eq!(io.held.capacity(), 0);
}
