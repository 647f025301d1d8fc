//! A DNS server on a socket of its own, UDP and TCP, that lies on demand.

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a socket waits before it looks whether the server shall end.
const GLANCE: Duration = Duration::from_millis(20);

/// What is said of a name.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// These targets: priority, port, name.
    Services(Vec<(u16, u16, String)>),
    /// The name is an alias of this one.
    Alias(String),
    /// The addresses of another name, under its name.
    OtherName(Vec<IpAddr>),
    /// An answer to another question.
    OtherQuestion(Vec<IpAddr>),
    /// The name exists and has nothing.
    Nothing,
    NxDomain,
    ServFail,
    Refused,
    /// No answer at all.
    Silence,
    /// Bytes that are no message.
    Garbage,
    /// Cut over UDP, whole over TCP.
    CutOnce(Vec<IpAddr>),
    /// Cut over UDP and TCP.
    CutAlways(Vec<IpAddr>),
}

impl Say {
    /// These addresses, as text.
    pub(crate) fn addresses(list: &[&str]) -> Say {
        Say::Addresses(list.iter().map(|ip| ip.parse().unwrap()).collect())
    }
}

/// A running server; it ends when this is dropped.
pub(crate) struct Dns {
    shared: Arc<Shared>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    says: Mutex<HashMap<String, Say>>,
    asked: Mutex<HashMap<String, usize>>,
    ended: AtomicBool,
}

impl Dns {
    /// One that knows no name.
    pub(crate) fn start() -> Self {
        let (tcp, udp) = sockets();
        let address = tcp.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let threads = vec![
            std::thread::spawn({
                let shared = Arc::clone(&shared);
                move || serve_udp(&shared, &udp)
            }),
            std::thread::spawn({
                let shared = Arc::clone(&shared);
                move || serve_tcp(&shared, &tcp)
            }),
        ];
        Self {
            shared,
            address,
            threads,
        }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says of a name from now on.
    pub(crate) fn says(&self, name: &str, say: Say) {
        self.shared
            .says
            .lock()
            .unwrap()
            .insert(format!("{name}."), say);
    }

    /// How often it was asked about a name.
    pub(crate) fn asked(&self, name: &str) -> usize {
        let asked = self.shared.asked.lock().unwrap();
        asked.get(&format!("{name}.")).copied().unwrap_or(0)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

/// One port for both.
fn sockets() -> (TcpListener, UdpSocket) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            tcp.set_nonblocking(true).unwrap();
            udp.set_read_timeout(Some(GLANCE)).unwrap();
            return (tcp, udp);
        }
    }
}

fn serve_udp(shared: &Shared, socket: &UdpSocket) {
    let mut buffer = [0; 4096];
    while !shared.ended.load(Ordering::Relaxed) {
        let Ok((len, peer)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        if let Some(answer) = shared.answer(&buffer[..len], true) {
            socket.send_to(&answer, peer).ok();
        }
    }
}

fn serve_tcp(shared: &Arc<Shared>, socket: &TcpListener) {
    while !shared.ended.load(Ordering::Relaxed) {
        match socket.accept() {
            Ok((stream, _)) => {
                let shared = Arc::clone(shared);
                std::thread::spawn(move || serve_stream(&shared, stream));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(GLANCE),
            Err(_) => return,
        }
    }
}

fn serve_stream(shared: &Shared, mut stream: std::net::TcpStream) {
    stream.set_nonblocking(false).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut question).is_err() {
            return;
        }
        let Some(answer) = shared.answer(&question, false) else {
            return;
        };
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        if stream
            .write_all(&[&length, answer.as_slice()].concat())
            .is_err()
        {
            return;
        }
    }
}

impl Shared {
    fn answer(&self, question: &[u8], udp: bool) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).ok()?;
        let query = question.queries.first()?.clone();
        let name = query.name().to_ascii().to_ascii_lowercase();
        *self.asked.lock().unwrap().entry(name.clone()).or_default() += 1;
        let say = self
            .says
            .lock()
            .unwrap()
            .get(&name)
            .cloned()
            .unwrap_or(Say::NxDomain);
        let mut answer = Message::response(question.id, OpCode::Query);
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let garbage = matches!(say, Say::Garbage);
        fill(&mut answer, &query, say, udp)?;
        let mut bytes = answer.to_vec().unwrap();
        if garbage {
            // The header promises an answer that is not there.
            bytes[7] = 1;
        }
        // What does not fit is cut, as real servers do.
        let cut = udp && bytes.len() > usize::from(question.max_payload());
        Some(if cut {
            answer.truncate().to_vec().unwrap()
        } else {
            bytes
        })
    }
}

/// Writes what is said of a name into an answer; `None` for no answer at all.
fn fill(answer: &mut Message, query: &Query, say: Say, udp: bool) -> Option<()> {
    let name = query.name().clone();
    let code = match &say {
        Say::NxDomain => ResponseCode::NXDomain,
        Say::ServFail => ResponseCode::ServFail,
        Say::Refused => ResponseCode::Refused,
        _ => ResponseCode::NoError,
    };
    answer.metadata.response_code = code;
    match say {
        Say::Addresses(ips) => add(answer, &name, query.query_type(), &ips),
        Say::OtherName(ips) => add(answer, &other(), query.query_type(), &ips),
        Say::OtherQuestion(ips) => {
            answer.queries = vec![Query::query(other(), query.query_type())];
            add(answer, &other(), query.query_type(), &ips);
        }
        Say::CutOnce(_) if udp => answer.metadata.truncation = true,
        Say::CutOnce(ips) => add(answer, &name, query.query_type(), &ips),
        Say::CutAlways(ips) => {
            answer.metadata.truncation = true;
            add(answer, &name, query.query_type(), &ips);
        }
        Say::Alias(target) => {
            let target = Name::from_ascii(format!("{target}.")).unwrap();
            answer.add_answer(record(&name, RData::CNAME(CNAME(target))));
        }
        Say::Services(targets) if query.query_type() == RecordType::SRV => {
            for (priority, port, target) in targets {
                let target = Name::from_ascii(format!("{target}.")).unwrap();
                answer.add_answer(record(
                    &name,
                    RData::SRV(SRV::new(priority, 1, port, target)),
                ));
            }
        }
        Say::Silence => return None,
        Say::Services(_)
        | Say::Garbage
        | Say::Nothing
        | Say::NxDomain
        | Say::ServFail
        | Say::Refused => {}
    }
    Some(())
}

fn other() -> Name {
    Name::from_ascii("other.test.").unwrap()
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), 0, data)
}

fn add(answer: &mut Message, name: &Name, kind: RecordType, ips: &[IpAddr]) {
    for ip in ips {
        let data = match ip {
            IpAddr::V4(ip) if kind == RecordType::A => RData::A(A(*ip)),
            IpAddr::V6(ip) if kind == RecordType::AAAA => RData::AAAA(AAAA(*ip)),
            _ => continue,
        };
        answer.add_answer(record(name, data));
    }
}
