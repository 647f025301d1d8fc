//! What a client of HTTP/2 can cost: memory, other clients' time, backends' connections.

use super::h2c;
use crate::support::backend::{Act, Backend, Step};
use crate::support::h2::client::{H2Client, get, read, url};
use crate::support::h2::frames::{
    CANCEL, DATA, END_STREAM, ENHANCE_YOUR_CALM, Frame, Frames, GOAWAY, HEADERS, PING, RST_STREAM,
    SETTINGS,
};
use crate::support::h2::site::Site;
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually, settled};
use http::Request;
use std::time::Duration;

const GOOD: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "api.example"),
    (":path", "/read/x"),
];

/// Streams that stand still while another one must not.
const STALLED: usize = 20;

/// Asks for much, takes nothing, and asks for something else on the same connection meanwhile.
async fn stall(proxy: &Proxy, streamed: impl Fn() -> u64) {
    let mut client = H2Client::connect(proxy.plain()).await;
    assert!(client.get("/read/x").await.is_ok());
    let before = proxy.memory();
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let (answer, _) = client.open(get("/order/stream/512"), true).await;
        stalled.push(answer.await.unwrap());
    }
    settled(
        "the backend sends no more",
        Duration::from_millis(300),
        &streamed,
    )
    .await;
    let sent = streamed();
    assert!(
        sent < (STALLED as u64) << 23,
        "the backend could send {sent} bytes"
    );
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < STALLED << 21, "{grown} bytes more");
    // Their windows are full; those of the connection are the client's own.
    let mut other = H2Client::connect(proxy.plain()).await;
    for _ in 0..10 {
        let got = other.get("/read/bytes/300000").await;
        assert!(got.is_ok() && got.body.len() == 300_000);
    }
    let first = stalled.pop().unwrap();
    drop(stalled);
    let got = read(first).await;
    assert!(got.is_ok() && got.body.len() == 512 << 16);
}

#[tokio::test]
async fn a_client_that_opens_no_window_costs_no_memory_and_stalls_nobody() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&h2c(backend.url()).text()).await;
    stall(&proxy, || backend.streamed()).await;
}

#[tokio::test]
async fn a_client_that_opens_no_window_stalls_nobody_on_a_shared_connection_either() {
    let site = Site::start();
    let policy = h2c(site.entry("protocol: http2")).pool("orders: { protocol: http2 }");
    let proxy = Proxy::start(&policy.text()).await;
    stall(&proxy, || site.streamed()).await;
    let connections = site.asked().iter().map(|asked| asked.connection).max();
    assert_eq!(
        connections,
        Some(site.last().connection),
        "one connection for all"
    );
}

#[tokio::test]
async fn a_backend_that_does_not_read_holds_the_client_back_and_costs_no_memory() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&h2c(backend.url()).text()).await;
    let mut client = H2Client::connect(proxy.plain()).await;
    backend.act_once(Act::StopReading);
    let before = proxy.memory();
    let request = Request::post(url("/echo")).body(()).unwrap();
    let (answer, mut stream) = client.open(request, false).await;
    let piece = bytes::Bytes::from(vec![b'x'; 64 * 1024]);
    let mut sent = 0_usize;
    stream.reserve_capacity(piece.len());
    while let Ok(Some(Ok(room))) = tokio::time::timeout(
        Duration::from_millis(500),
        std::future::poll_fn(|cx| stream.poll_capacity(cx)),
    )
    .await
    {
        let room = room.min(piece.len());
        stream.send_data(piece.slice(..room), false).unwrap();
        sent += room;
        stream.reserve_capacity(piece.len());
        assert!(sent < 64 << 20, "nobody holds the client back");
    }
    assert!(proxy.memory().saturating_sub(before) < 8 << 20);
    assert!(client.get("/read/x").await.is_ok());
    backend.release();
    stream.reserve_capacity(0);
    stream.send_data(bytes::Bytes::new(), true).unwrap();
    let got = read(answer.await.unwrap()).await;
    assert!(got.is_ok());
    assert_eq!(got.body.len(), sent);
}

#[tokio::test]
async fn an_answer_that_its_client_leaves_waiting_is_reset() {
    let backend = Backend::start("aws");
    let policy = h2c(backend.url()).top("limits: { write_stall: 500ms }");
    let proxy = Proxy::start(&policy.text()).await;
    let mut client = H2Client::connect(proxy.plain()).await;
    let (answer, _) = client.open(get("/order/stream/512"), true).await;
    let (_, mut body) = answer.await.unwrap().into_parts();
    let idle = async || {
        let metrics = proxy.metrics().await;
        (metrics.sum("leeward_upstream_requests_in_flight", &[]) == Some(0.0)).then_some(())
    };
    eventually("the backend is free", SOON, idle).await;
    let mut end = None;
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => body.flow_control().release_capacity(piece.len()).unwrap(),
            Err(error) => {
                end = error.reason();
                break;
            }
        }
    }
    assert_eq!(end, Some(h2::Reason::CANCEL));
    assert!(client.get("/read/x").await.is_ok());
}

#[tokio::test]
async fn a_client_that_reads_nothing_at_all_is_cut_off() {
    let backend = Backend::start("aws");
    let policy = h2c(backend.url()).top("limits: { write_stall: 500ms }");
    let proxy = Proxy::start(&policy.text()).await;
    let mut client = Frames::connect(proxy.plain()).await;
    // Windows as large as they get, so that only the socket is left to say no.
    let window = Frame::new(SETTINGS, 0, 0, [0, 4, 0x7f, 0xff, 0xff, 0xff]);
    let connection = Frame::new(8, 0, 0, 0x7ff0_0000_u32.to_be_bytes());
    let mut head = GOOD;
    head[3] = (":path", "/order/stream/100000");
    client
        .send(&[window, connection, Frame::head(1, END_STREAM, &head)])
        .await;
    let gone = async || {
        let metrics = proxy.metrics().await;
        (metrics.sum("leeward_downstream_connections_open", &[]) == Some(0.0)).then_some(())
    };
    eventually("the connection is gone", SOON, gone).await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_do_no_harm() {
    let backend = Backend::start("aws");
    let policy = h2c(backend.url()).top("limits: { max_streams: 5 }");
    let proxy = Proxy::start(&policy.text()).await;
    backend.act(Act::Script(vec![
        Step::Hold,
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]));
    let mut client = Frames::connect(proxy.plain()).await;
    let heads = (0..8).map(|number| Frame::head(1 + 2 * number, END_STREAM, &GOOD));
    client.send(&heads.collect::<Vec<_>>()).await;
    for stream in [11, 13, 15] {
        let said = client.wait_for(&[RST_STREAM], stream).await.unwrap();
        assert_eq!(said.reason(), 7, "REFUSED_STREAM");
    }
    let there = async || (backend.requests().len() == 5).then_some(());
    eventually("five are there", SOON, there).await;
    backend.release();
    let said = client.wait_for(&[HEADERS], 9).await.unwrap();
    assert_eq!(said.payload[0], 0x88);
}

/// So many requests with their resets, from this stream on.
fn taken_back(first: u32, count: u32) -> Vec<Frame> {
    let pairs = (0..count).flat_map(|number| {
        let stream = first + 2 * number;
        let head = Frame::head(stream, END_STREAM, &GOOD);
        [head, Frame::reset(stream, CANCEL)]
    });
    pairs.collect()
}

#[tokio::test]
async fn resets_that_come_with_their_requests_never_reach_a_backend() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&h2c(backend.url()).text()).await;
    let mut client = Frames::connect(proxy.plain()).await;
    // Few at a time, so that nothing else refuses them.
    for batch in 0..40 {
        let mut frames = taken_back(1 + 20 * batch, 10);
        frames.push(Frame::new(PING, 0, 0, [0; 8]));
        client.send(&frames).await;
        assert!(client.wait_for(&[PING], 0).await.is_some());
    }
    let metrics = proxy.metrics().await;
    let attempts = metrics.sum("leeward_pool_attempts_total", &[]).unwrap();
    assert!(attempts < 20.0, "{attempts} attempts for 400 requests");
}

#[tokio::test]
async fn a_flood_of_resets_ends_its_connection_and_disturbs_nobody() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&h2c(backend.url()).text()).await;
    let mut good = H2Client::connect(proxy.plain()).await;
    let mut flood = Frames::connect(proxy.plain()).await;
    flood.send(&taken_back(1, 5000)).await;
    let said = flood.wait_for(&[GOAWAY], 0).await;
    assert!(said.is_none_or(|said| said.reason() == ENHANCE_YOUR_CALM));
    for _ in 0..20 {
        assert!(good.get("/read/x").await.is_ok());
    }
    let connections = backend.connections();
    assert!(
        connections < 100,
        "{connections} connections to the backend"
    );
}

#[tokio::test]
async fn a_client_that_resets_all_it_asks_for_is_given_up() {
    let backend = Backend::start("aws");
    backend.act(Act::Hang);
    let proxy = Proxy::start(&h2c(backend.url()).text()).await;
    let mut flood = Frames::connect(proxy.plain()).await;
    let mut stream = 1;
    // One at a time, each only after it has been taken on: nothing that counts pending ones sees it.
    let given_up = async {
        loop {
            let ping = Frame::new(PING, 0, 0, u64::from(stream).to_be_bytes());
            flood
                .send(&[Frame::head(stream, END_STREAM, &GOOD), ping])
                .await;
            if flood.wait_for(&[PING], 0).await.is_none() {
                return stream;
            }
            flood.send(&[Frame::reset(stream, CANCEL)]).await;
            stream += 2;
            assert!(stream < 4000, "it may go on for ever");
        }
    };
    let last = tokio::time::timeout(SOON * 3, given_up).await.unwrap();
    assert!(last > 900, "given up after {last}");
}

#[tokio::test]
async fn floods_of_small_frames_end_their_connection_and_disturb_nobody() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&h2c(backend.url()).text()).await;
    let mut good = H2Client::connect(proxy.plain()).await;
    let mut head = GOOD;
    head[0] = (":method", "POST");
    let empty: Vec<Frame> = (0..20_000).map(|_| Frame::new(DATA, 0, 1, [])).collect();
    let pings: Vec<Frame> = (0..20_000)
        .map(|_| Frame::new(PING, 0, 0, [0; 8]))
        .collect();
    let settings: Vec<Frame> = (0..20_000).map(|_| Frame::settings()).collect();
    let before = proxy.memory();
    for flood in [empty, pings, settings] {
        let mut client = Frames::connect(proxy.plain()).await;
        client.send(&[Frame::head(1, 0, &head)]).await;
        // As far as leeward takes it.
        let sent = tokio::time::timeout(SOON, client.send(&flood)).await;
        sent.ok();
        assert!(good.get("/read/x").await.is_ok());
    }
    assert!(proxy.memory().saturating_sub(before) < 16 << 20);
}
