//! A steady load of reads and orders, and the comparison of what clients were told with what ran.

use super::client::{Answer, Client, order};
use super::h2::client::{Got, H2Client, get, read, url};
use super::wire::{Body, End, Head};
use bytes::Bytes;
use h2::client::SendRequest;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// A running load; one connection and one request at a time for each client.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
    results: Arc<Mutex<Vec<Told>>>,
    /// Ends the thread that it runs on, where that is its own.
    _thread: Option<oneshot::Sender<()>>,
}

/// What a client asked for and was told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The order's id; empty for reads.
    pub(crate) id: String,
    /// When it asked.
    pub(crate) asked: Instant,
    /// Whether it had to make a connection for it.
    pub(crate) connected: bool,
    /// How long it waited.
    pub(crate) waited: Duration,
    /// What it got; `None` when the connection ended instead.
    pub(crate) answer: Option<Answer>,
}

impl Load {
    /// Starts so many reading and so many ordering clients. Each rests for `pace` between requests.
    pub(crate) fn start(
        address: SocketAddr,
        readers: usize,
        orderers: usize,
        pace: Duration,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let results = Arc::new(Mutex::new(Vec::new()));
        let count = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for number in 0..readers + orderers {
            let (results, count, stopped) =
                (Arc::clone(&results), Arc::clone(&count), stopped.clone());
            clients.spawn(async move {
                let mut client = None;
                while !*stopped.borrow() {
                    let n = count.fetch_add(1, Ordering::Relaxed);
                    let id = if number < readers {
                        String::new()
                    } else {
                        format!("load-{n}")
                    };
                    let told = ask(address, &mut client, id).await;
                    results.lock().unwrap().push(told);
                    tokio::time::sleep(pace).await;
                }
            });
        }
        Self {
            stop,
            clients,
            results,
            _thread: None,
        }
    }

    /// The same on a thread of its own: it goes on while the test blocks.
    pub(crate) fn start_apart(
        address: SocketAddr,
        readers: usize,
        orderers: usize,
        pace: Duration,
    ) -> Self {
        let (started, load) = std::sync::mpsc::channel();
        let (thread, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                started
                    .send(Self::start(address, readers, orderers, pace))
                    .unwrap();
                // An error: the load is gone.
                ended.await.ok();
            });
        });
        Self {
            _thread: Some(thread),
            ..load.recv().unwrap()
        }
    }

    /// The same over HTTP/2, by prior knowledge: all clients share one connection.
    pub(crate) async fn start_http2(
        address: SocketAddr,
        readers: usize,
        orderers: usize,
        pace: Duration,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let results = Arc::<Mutex<Vec<Told>>>::default();
        let shared = H2Client::connect(address).await;
        let mut clients = JoinSet::new();
        for number in 0..readers + orderers {
            let (results, stopped) = (Arc::clone(&results), stopped.clone());
            let sender = shared.again();
            clients.spawn(async move {
                for n in 0.. {
                    if *stopped.borrow() {
                        break;
                    }
                    let id = if number < readers {
                        String::new()
                    } else {
                        format!("load-{number}-{n}")
                    };
                    let told = ask_http2(sender.clone(), id).await;
                    results.lock().unwrap().push(told);
                    tokio::time::sleep(pace).await;
                }
            });
        }
        Self {
            stop,
            clients,
            results,
            _thread: None,
        }
    }

    /// How many answers there are so far.
    pub(crate) fn count(&self) -> usize {
        self.results.lock().unwrap().len()
    }

    /// Waits until `more` more answers have come.
    pub(crate) async fn wait_for(&self, more: usize) {
        let goal = self.count() + more;
        let what = format!("{more} more answers");
        let enough = async || (self.count() >= goal).then_some(());
        super::wait::eventually(&what, super::wait::SOON * 2, enough).await;
    }

    /// Lets the requests in flight end and returns everything that was told.
    pub(crate) async fn stop(mut self) -> Vec<Told> {
        self.stop.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client without a panic");
        }
        std::mem::take(&mut *self.results.lock().unwrap())
    }
}

impl Told {
    /// Whether it was a read.
    pub(crate) const fn is_read(&self) -> bool {
        self.id.is_empty()
    }

    /// Whether it got a whole 200.
    pub(crate) fn is_ok(&self) -> bool {
        self.answer.as_ref().is_some_and(Answer::is_ok)
    }

    /// In short, for messages.
    pub(crate) fn summary(&self) -> String {
        let what = if self.is_read() {
            "a read"
        } else {
            self.id.as_str()
        };
        let got = self
            .answer
            .as_ref()
            .map_or("the end of the connection".to_owned(), |answer| {
                format!(
                    "{} {:?} of {}",
                    answer.status(),
                    answer.outcome(),
                    answer.backend()
                )
            });
        format!("{what}: {got} after {:?}", self.waited)
    }
}

/// The reads that failed, in short.
pub(crate) fn failed_reads(told: &[Told]) -> Vec<String> {
    told.iter()
        .filter(|t| t.is_read() && !t.is_ok())
        .map(Told::summary)
        .collect()
}

/// P1: nothing ran twice, and what each client was told of its order is true.
pub(crate) fn assert_truth(told: &[Told], executed: &[String]) {
    let mut runs: BTreeMap<&str, usize> = BTreeMap::new();
    for id in executed {
        *runs.entry(id).or_default() += 1;
    }
    let twice: Vec<_> = runs.iter().filter(|(_, n)| **n > 1).collect();
    assert!(
        twice.is_empty(),
        "orders that ran more than once: {twice:?}"
    );
    for told in told.iter().filter(|t| !t.is_read()) {
        let ran = runs.contains_key(told.id.as_str());
        let Some(answer) = &told.answer else {
            panic!("no answer at all: {}", told.summary())
        };
        assert!(
            answer.status() != 200 || ran,
            "told done, never ran: {}",
            told.summary()
        );
        let own = answer.head.get("x-backend").is_none();
        assert!(
            !own || answer.outcome().is_some(),
            "a failure without a label: {}",
            told.summary()
        );
        let claimed = matches!(answer.outcome(), Some("not-sent" | "shed"));
        assert!(
            !claimed || !ran,
            "told not sent, but it ran: {}",
            told.summary()
        );
    }
}

async fn ask(address: SocketAddr, client: &mut Option<Client>, id: String) -> Told {
    let asked = Instant::now();
    let new = client.is_none();
    let mut connected = match client.take() {
        Some(client) => client,
        None => Client::connect(address).await,
    };
    let (method, request) = match id.as_str() {
        "" => (
            "GET",
            "GET /read/load HTTP/1.1\r\nHost: api.example\r\n\r\n".to_owned(),
        ),
        id => ("POST", order("/order", id)),
    };
    connected.try_send(&request).await;
    let answer = connected.try_answer(method).await;
    let close = |a: &Answer| {
        a.head
            .get("connection")
            .is_some_and(|v| v.eq_ignore_ascii_case("close"))
    };
    if answer.as_ref().is_some_and(|a| !close(a)) {
        *client = Some(connected);
    }
    Told {
        id,
        asked,
        connected: new,
        waited: asked.elapsed(),
        answer,
    }
}

async fn ask_http2(sender: SendRequest<Bytes>, id: String) -> Told {
    let asked = Instant::now();
    let order = (!id.is_empty()).then(|| format!("{{\"id\":\"{id}\"}}"));
    let request = match &order {
        None => get("/read/load"),
        Some(_) => http::Request::post(url("/order")).body(()).unwrap(),
    };
    let answered = async {
        let mut sender = sender.ready().await.ok()?;
        let sent = sender.send_request(request, order.is_none());
        let (answer, mut stream) = sent.ok()?;
        if let Some(order) = order {
            stream.send_data(order.into(), true).ok()?;
        }
        Some(read(answer.await.ok()?).await)
    };
    let answer = answered.await.map(as_answer);
    Told {
        id,
        asked,
        connected: false,
        waited: asked.elapsed(),
        answer,
    }
}

/// What it would be over HTTP/1.1.
fn as_answer(got: Got) -> Answer {
    let fields = got.fields.iter();
    let fields: String = fields
        .map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()))
        .collect();
    let head = format!("HTTP/1.1 {} Told\r\n{fields}\r\n", got.status);
    let end = match got.cut {
        None => End::Whole,
        Some(_) => End::Cut,
    };
    Answer {
        head: Head::parse(head.as_bytes()),
        body: Body {
            bytes: got.body,
            end,
            ..Body::default()
        },
        ..Answer::default()
    }
}
