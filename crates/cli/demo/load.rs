//! Mixed load at a fixed rate, and what its clients saw.

use super::http::Client;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Clients that read, each with a connection of its own.
const READERS: u32 = 16;
/// Clients that place orders.
const TRADERS: u32 = 4;
/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(80);

/// How an order ended, as its client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    /// It was executed.
    Filled,
    /// `leeward-outcome: not-sent`.
    NotSent,
    /// `leeward-outcome: unknown`, or a connection that broke.
    Unknown,
    /// `leeward-outcome: shed`.
    Shed,
    /// Anything else.
    Other,
}

/// Everything that the clients saw.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) reads: u64,
    pub(crate) reads_failed: u64,
    /// How each order ended, by its id.
    pub(crate) orders: BTreeMap<u64, Told>,
    pub(crate) ticks: u64,
    pub(crate) streams_opened: u64,
    /// Latencies of reads since somebody last looked, in microseconds.
    pub(crate) latencies: Vec<u64>,
    pub(crate) came_home: bool,
}

/// Load that runs.
pub(crate) struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Load {
    pub(crate) fn start(proxy: SocketAddr) -> io::Result<Self> {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("demo-load".into())
            .spawn({
                let seen = seen.clone();
                move || runtime.block_on(clients(proxy, seen, stopped))
            })?;
        Ok(Self { seen, stop, thread })
    }

    /// What was seen so far; the latencies are taken.
    pub(crate) fn look(&self) -> Seen {
        let mut seen = lock(&self.seen);
        let looked = seen.clone();
        seen.latencies.clear();
        looked
    }

    /// Lets what is in flight end, and says what was seen.
    pub(crate) fn stop(self) -> Seen {
        // The clients are gone already when nobody listens.
        let _ = self.stop.send(true);
        let _ = self.thread.join();
        lock(&self.seen).clone()
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn clients(proxy: SocketAddr, seen: Arc<Mutex<Seen>>, stop: watch::Receiver<bool>) {
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..READERS {
        tasks.spawn(reader(proxy, client, seen.clone(), stop.clone()));
    }
    for client in 0..TRADERS {
        tasks.spawn(trader(proxy, client, seen.clone(), stop.clone()));
    }
    let mut streams_stop = stop;
    tokio::spawn(streamer(proxy, seen));
    while tasks.join_next().await.is_some() {}
    // The stream goes with the runtime, once everybody else is done.
    let _ = streams_stop.wait_for(|stop| *stop).await;
}

/// Ticks of one client: all clients together send at an even rate.
fn ticks(client: u32, clients: u32) -> tokio::time::Interval {
    let first = tokio::time::Instant::now() + PAUSE * client / clients;
    tokio::time::interval_at(first, PAUSE)
}

async fn reader(
    proxy: SocketAddr,
    client: u32,
    seen: Arc<Mutex<Seen>>,
    stop: watch::Receiver<bool>,
) {
    let mut http = Client::new(proxy);
    let mut ticks = ticks(client, READERS);
    while !*stop.borrow() {
        ticks.tick().await;
        let started = Instant::now();
        let answer = http.send("GET", "/ticker", String::new()).await;
        let whole = answer.is_some_and(|answer| answer.status == 200 && !answer.body.is_empty());
        let mut seen = lock(&seen);
        seen.reads += 1;
        seen.reads_failed += u64::from(!whole);
        seen.latencies
            .push(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
}

async fn trader(
    proxy: SocketAddr,
    client: u32,
    seen: Arc<Mutex<Seen>>,
    stop: watch::Receiver<bool>,
) {
    let mut http = Client::new(proxy);
    let mut ticks = ticks(client, TRADERS);
    let mut number = 0;
    while !*stop.borrow() {
        ticks.tick().await;
        let id = u64::from(client) * 1_000_000 + number;
        number += 1;
        let answer = http.send("POST", "/order", id.to_string()).await;
        let told = match answer {
            Some(answer) if answer.status == 201 => Told::Filled,
            Some(answer) => match answer.headers.get("leeward-outcome").map(|o| o.as_bytes()) {
                Some(b"not-sent") => Told::NotSent,
                Some(b"unknown") => Told::Unknown,
                Some(b"shed") => Told::Shed,
                _ => Told::Other,
            },
            None => Told::Unknown,
        };
        lock(&seen).orders.insert(id, told);
    }
}

/// Keeps one stream open, again and again.
async fn streamer(proxy: SocketAddr, seen: Arc<Mutex<Seen>>) {
    loop {
        // A stream that ends is opened again: that is all that a client can do.
        let _ = stream(proxy, &seen).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn stream(proxy: SocketAddr, seen: &Mutex<Seen>) -> io::Result<()> {
    let mut socket = TcpStream::connect(proxy).await?;
    let request = "GET /stream HTTP/1.1\r\nHost: demo.leeward.example\r\n\
                   Connection: upgrade\r\nUpgrade: ticks\r\n\r\n";
    socket.write_all(request.as_bytes()).await?;
    let mut bytes = [0u8; 1024];
    let mut opened = false;
    loop {
        let read = socket.read(&mut bytes).await?;
        if read == 0 {
            return Ok(());
        }
        let mut seen = lock(seen);
        if !opened {
            if !bytes.starts_with(b"HTTP/1.1 101") {
                return Ok(());
            }
            opened = true;
            seen.streams_opened += 1;
        }
        seen.ticks += bytes[..read]
            .windows(5)
            .filter(|five| five == b"tick\n")
            .count() as u64;
    }
}
