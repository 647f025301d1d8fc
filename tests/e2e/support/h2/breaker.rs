//! A backend of HTTP/2 that breaks on demand, frame by frame, and remembers which orders it ran.
//!
//! It does not read fields: an order's id is in its body. It runs a request when all of it is there
//! and its act says so, and remembers how leeward ended streams.

use super::frames::{
    ACK, CANCEL, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, NO_ERROR, PING,
    PUSH_PROMISE, REFUSED_STREAM, RST_STREAM,
};
use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::watch;

/// What it does with a request that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Runs it and answers.
    Serve,
    /// Runs it and never answers.
    Hang,
    /// Refuses the stream without running it.
    Refuse,
    /// Says GOAWAY for the stream before, runs nothing, and goes on with older streams.
    GoAwayBelow,
    /// Runs it, then says GOAWAY for this very stream and closes.
    GoAwayAt,
    /// As `GoAwayBelow` for the newest stream, though it has run the one before, and then breaks
    /// the protocol in a way that ends every stream at once.
    GoAwayAndBreak,
    /// Runs it and resets the stream with CANCEL instead of an answer.
    Cancel,
    /// Runs it and resets the stream with REFUSED_STREAM after the head of an answer.
    RefuseAfterHead,
    /// Runs it, sends the head and a part of an answer, then resets the stream with CANCEL.
    CancelMidway,
    /// The same with NO_ERROR, which is no end of an answer either.
    NoErrorMidway,
    /// Runs it and resets the connection.
    Die,
    /// Runs it, sends a part of an answer and resets the connection.
    DieMidway,
}

/// What one is started with.
#[derive(Default)]
pub(crate) struct Options {
    /// Where it listens; a free port of the loopback address when absent.
    pub(crate) bind: Option<SocketAddr>,
    /// Its name, in each of its answers as `x-backend`.
    pub(crate) name: Option<String>,
    /// Streams at a time.
    pub(crate) max_streams: Option<u32>,
    /// A file that gets the id of each order that ran, one a line, at once.
    pub(crate) journal: Option<PathBuf>,
    /// Time between the last byte of a request and its answer; one request at a time.
    pub(crate) think: Duration,
}

/// A running one; it ends when this is dropped.
pub(crate) struct Breaker {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    act: Mutex<Act>,
    next: Mutex<VecDeque<Act>>,
    /// After so many bytes of its client a new connection dies; by RST or by FIN.
    death: Mutex<Option<(usize, bool)>>,
    options: Options,
    log: Mutex<Log>,
    ended: watch::Sender<bool>,
    paused: watch::Sender<bool>,
}

#[derive(Default)]
struct Log {
    executed: Vec<String>,
    requests: usize,
    connections: usize,
    /// Reasons of the resets that leeward sent.
    resets: Vec<u32>,
    /// Streams open at a time on one connection, at most.
    most_streams: usize,
    /// Requests of which anything came.
    begun: usize,
}

impl Breaker {
    pub(crate) fn start(act: Act) -> Self {
        Self::with(act, Options::default())
    }

    /// One as told.
    pub(crate) fn with(act: Act, options: Options) -> Self {
        let shared = Arc::new(Shared {
            act: Mutex::new(act),
            next: Mutex::default(),
            death: Mutex::default(),
            options,
            log: Mutex::default(),
            ended: watch::channel(false).0,
            paused: watch::channel(false).0,
        });
        let (report, address) = mpsc::channel();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(run(shared, &report));
            }
        });
        Self {
            shared,
            address: address.recv().unwrap(),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Each new connection dies when so many bytes of it have come: by RST, or by FIN.
    pub(crate) fn die_after(&self, bytes: usize, by_reset: bool) {
        *self.shared.death.lock().unwrap() = Some((bytes, by_reset));
    }

    /// An entry of a policy: it is spoken to by HTTP/2.
    pub(crate) fn entry(&self) -> String {
        format!("http://{}, protocol: http2", self.address)
    }

    /// What it does with requests from now on.
    pub(crate) fn act(&self, act: Act) {
        *self.shared.act.lock().unwrap() = act;
    }

    /// What it does with the next one alone.
    pub(crate) fn act_once(&self, act: Act) {
        self.shared.next.lock().unwrap().push_back(act);
    }

    /// Whether it reads no more than what it is in the middle of.
    pub(crate) fn pause(&self, paused: bool) {
        self.shared.paused.send_replace(paused);
    }

    /// The ids of the orders that it ran.
    pub(crate) fn executed(&self) -> Vec<String> {
        self.shared.log.lock().unwrap().executed.clone()
    }

    /// Requests that came whole.
    pub(crate) fn requests(&self) -> usize {
        self.shared.log.lock().unwrap().requests
    }

    /// Requests of which anything came.
    pub(crate) fn begun(&self) -> usize {
        self.shared.log.lock().unwrap().begun
    }

    /// Connections that carried a request.
    pub(crate) fn connections(&self) -> usize {
        self.shared.log.lock().unwrap().connections
    }

    /// Reasons of the resets that leeward sent.
    pub(crate) fn resets(&self) -> Vec<u32> {
        self.shared.log.lock().unwrap().resets.clone()
    }

    /// Streams that were open at a time on one connection, at most.
    pub(crate) fn most_streams(&self) -> usize {
        self.shared.log.lock().unwrap().most_streams
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        self.shared.ended.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn run(shared: Arc<Shared>, report: &mpsc::Sender<SocketAddr>) {
    // Little room in the kernel, so that one that does not read is noticed.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.set_reuseaddr(true).unwrap();
    let bind = shared.options.bind;
    socket
        .bind(bind.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap()))
        .unwrap();
    let listener = socket.listen(1024).unwrap();
    report.send(listener.local_addr().unwrap()).unwrap();
    let mut ended = shared.ended.subscribe();
    loop {
        tokio::select! {
            _ = ended.changed() => return,
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                stream.set_nodelay(true).ok();
                tokio::spawn(connection(Frames::new(stream), Arc::clone(&shared)));
            }
        }
    }
}

async fn connection(mut frames: Frames, shared: Arc<Shared>) {
    let death = *shared.death.lock().unwrap();
    if let Some((bytes, _)) = death {
        frames.allow(bytes);
    }
    if !frames.read_preface().await {
        return frames
            .die(death.is_some_and(|(_, by_reset)| by_reset))
            .await;
    }
    let limit = shared.options.max_streams.map(|max| {
        let mut setting = vec![0, 3];
        setting.extend_from_slice(&max.to_be_bytes());
        setting
    });
    let settings = Frame::new(super::frames::SETTINGS, 0, 0, limit.unwrap_or_default());
    frames.send(&[settings]).await;
    let mut conversation = Conversation {
        frames,
        shared,
        bodies: HashMap::new(),
        open: 0,
        carried: false,
    };
    let mut paused = conversation.shared.paused.subscribe();
    while let Some(frame) = conversation.frames.next().await {
        paused.wait_for(|paused| !paused).await.ok();
        if !conversation.take(frame).await {
            conversation.frames.reset();
            return;
        }
    }
    let Conversation { frames, shared, .. } = conversation;
    if frames.cut_kind() == Some(HEADERS) {
        shared.log.lock().unwrap().begun += 1;
    }
    if let Some((_, by_reset)) = death {
        frames.die(by_reset).await;
    }
}

struct Conversation {
    frames: Frames,
    shared: Arc<Shared>,
    /// Of requests that are not whole.
    bodies: HashMap<u32, Vec<u8>>,
    /// Streams without an end.
    open: usize,
    carried: bool,
}

impl Conversation {
    /// Takes a frame; `false` when the connection has to die.
    async fn take(&mut self, frame: Frame) -> bool {
        self.frames.be_polite(&frame).await;
        match frame.kind {
            HEADERS if !self.bodies.contains_key(&frame.stream) => {
                self.bodies.insert(frame.stream, Vec::new());
                self.open += 1;
                let mut log = self.shared.log.lock().unwrap();
                log.begun += 1;
                log.most_streams = log.most_streams.max(self.open);
                log.connections += usize::from(!std::mem::replace(&mut self.carried, true));
            }
            DATA => {
                if let Some(body) = self.bodies.get_mut(&frame.stream) {
                    body.extend_from_slice(&frame.payload);
                }
            }
            RST_STREAM => {
                self.open = self.open.saturating_sub(1);
                self.bodies.remove(&frame.stream);
                self.shared.log.lock().unwrap().resets.push(frame.reason());
            }
            _ => {}
        }
        if !frame.ends_stream() {
            return true;
        }
        let Some(body) = self.bodies.remove(&frame.stream) else {
            return true;
        };
        self.whole(frame.stream, &body).await
    }

    async fn whole(&mut self, stream: u32, body: &[u8]) -> bool {
        let act = {
            self.shared.log.lock().unwrap().requests += 1;
            let next = self.shared.next.lock().unwrap().pop_front();
            next.unwrap_or(*self.shared.act.lock().unwrap())
        };
        if !matches!(act, Act::Refuse | Act::GoAwayBelow | Act::GoAwayAndBreak) {
            self.execute(body);
        }
        if act != Act::Hang {
            self.open = self.open.saturating_sub(1);
        }
        if matches!(act, Act::Serve) && !self.shared.options.think.is_zero() {
            tokio::time::sleep(self.shared.options.think).await;
        }
        // `:status: 200` of the static table.
        let mut block = vec![0x88];
        if let Some(name) = &self.shared.options.name {
            block.extend(Frame::field("x-backend", name));
        }
        let head = Frame::new(HEADERS, END_HEADERS, stream, block);
        let part = Frame::new(DATA, 0, stream, *b"half an order book");
        let whole = Frame::new(DATA, END_STREAM, stream, *b"ran\n");
        let says = match act {
            Act::Serve => vec![head, whole],
            Act::Hang | Act::Die => Vec::new(),
            Act::Refuse => vec![Frame::reset(stream, REFUSED_STREAM)],
            Act::GoAwayBelow => vec![Frame::go_away(stream.saturating_sub(2), NO_ERROR)],
            Act::GoAwayAt => vec![Frame::go_away(stream, NO_ERROR)],
            Act::GoAwayAndBreak => {
                // A promise on a stream that GOAWAY has just ended, of stream 2.
                let promise = [0, 0, 0, 2, 0x88];
                vec![
                    Frame::go_away(stream.saturating_sub(2), NO_ERROR),
                    Frame::new(PUSH_PROMISE, END_HEADERS, stream, promise),
                ]
            }
            Act::Cancel => vec![Frame::reset(stream, CANCEL)],
            Act::RefuseAfterHead => vec![head, Frame::reset(stream, REFUSED_STREAM)],
            Act::CancelMidway => vec![head, part, Frame::reset(stream, CANCEL)],
            Act::NoErrorMidway => vec![head, part, Frame::reset(stream, NO_ERROR)],
            Act::DieMidway => vec![head, part],
        };
        debug_assert!(
            says.iter()
                .all(|frame| frame.kind != GOAWAY || frame.stream == 0)
        );
        self.frames.send(&says).await;
        if act == Act::DieMidway {
            self.be_heard().await;
        }
        !matches!(act, Act::Die | Act::DieMidway | Act::GoAwayAt)
    }

    /// Waits until the peer has looked at all that was said: it answers pings in their turn.
    async fn be_heard(&mut self) {
        self.frames.send(&[Frame::new(PING, 0, 0, [0; 8])]).await;
        while let Some(frame) = self.frames.next().await {
            self.frames.be_polite(&frame).await;
            if frame.kind == PING && frame.flags & ACK != 0 {
                return;
            }
        }
    }

    fn execute(&self, body: &[u8]) {
        let order = serde_json::from_slice::<serde_json::Value>(body);
        if let Some(id) = order.ok().as_ref().and_then(|order| order["id"].as_str()) {
            if let Some(path) = &self.shared.options.journal {
                let file = std::fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path);
                let line = format!("{id}\n");
                file.unwrap().write_all(line.as_bytes()).unwrap();
            }
            self.shared.log.lock().unwrap().executed.push(id.to_owned());
        }
    }
}
