//! The life of a backend: accept, read, run, do what the test asked for.

use super::acts::{Act, DieBy, Step};
use super::log::{PeerEnd, Seen};
use super::{Shared, site};
use crate::support::certs::acceptor;
use crate::support::wire::{End, Framing, Head, Stream, Wire};
use nix::libc;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// What becomes of a connection.
enum Next {
    Request,
    Over,
    Die(DieBy),
}

/// Starts the thread and says where it listens.
pub(super) fn spawn(shared: Arc<Shared>, bind: SocketAddr) -> (JoinHandle<()>, SocketAddr) {
    let (report, address) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(run(shared, bind, &report));
    });
    (thread, address.recv().expect("the backend's address"))
}

/// A socket that is bound but does not listen holds the port while connections are refused.
async fn run(shared: Arc<Shared>, bind: SocketAddr, report: &mpsc::Sender<SocketAddr>) {
    let anchor = socket(bind, &shared);
    let address = anchor.local_addr().unwrap();
    let mut ended = shared.switches.ended.subscribe();
    let mut listen = shared.switches.listen.subscribe();
    let mut count = 0;
    let mut reported = false;
    while !*ended.borrow() {
        let on = *listen.borrow_and_update();
        let listener = on.then(|| socket(address, &shared).listen(1024).unwrap());
        shared.switches.listens.send_replace(on);
        if !std::mem::replace(&mut reported, true) {
            report.send(address).unwrap();
        }
        tokio::select! {
            _ = listen.changed() => {}
            _ = ended.changed() => {}
            () = accept(listener, &shared, &mut count) => {}
        }
    }
}

fn socket(address: SocketAddr, shared: &Shared) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    if let Some(size) = shared.receive_buffer {
        socket.set_recv_buffer_size(size).unwrap();
    }
    socket.bind(address).unwrap();
    socket
}

async fn accept(listener: Option<TcpListener>, shared: &Arc<Shared>, count: &mut usize) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        *count += 1;
        let (shared, number) = (Arc::clone(shared), *count);
        tokio::spawn(async move {
            let mut resets = shared.switches.resets.subscribe();
            stream.set_nodelay(true).ok();
            let handle = stream.as_fd().try_clone_to_owned().unwrap();
            tokio::select! {
                () = connection(stream, &shared, number) => {}
                _ = resets.changed() => reset_at_last_close(&handle),
            }
        });
    }
}

/// Makes the kernel say RST when the last descriptor of the socket goes.
fn reset_at_last_close(handle: &OwnedFd) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    nix::sys::socket::setsockopt(handle, nix::sys::socket::sockopt::Linger, &linger).ok();
}

async fn connection(stream: TcpStream, shared: &Arc<Shared>, number: usize) {
    if let Act::Die(0, by) = shared.peek() {
        return die(Wire::new(Box::new(stream)), by).await;
    }
    let stream: Box<dyn Stream> = match &shared.tls {
        None => Box::new(stream),
        Some(leaf) => match acceptor(leaf).accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
    };
    let mut conversation = Conversation {
        wire: Wire::new(stream),
        shared,
        number,
        reused: false,
    };
    loop {
        match conversation.request().await {
            Next::Request => conversation.reused = true,
            Next::Over => return,
            Next::Die(by) => return die(conversation.wire, by).await,
        }
    }
}

/// Half a second is enough for a peer to see the FIN; the close after it may become an RST.
async fn die(mut wire: Wire, by: DieBy) {
    match by {
        DieBy::Rst => wire.reset(),
        DieBy::Fin => {
            wire.finish().await.ok();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// One connection, request after request.
struct Conversation<'a> {
    wire: Wire,
    shared: &'a Arc<Shared>,
    number: usize,
    reused: bool,
}

impl Conversation<'_> {
    async fn request(&mut self) -> Next {
        self.wire.allow(1);
        let mut idle_ends = self.shared.switches.idle_ends.subscribe();
        let spoken = tokio::select! {
            spoken = self.wire.spoken_to() => spoken,
            _ = idle_ends.changed() => false,
        };
        if !spoken {
            return Next::Over;
        }
        let death = self.shared.take_death(self.reused);
        match death {
            Some((0, by)) => return Next::Die(by),
            Some((bytes, _)) => self.wire.allow(bytes - 1),
            None => self.wire.allow(u64::MAX),
        }
        let next = self.read_and_act(death.is_some()).await;
        match death {
            Some((_, by)) => Next::Die(by),
            None => next,
        }
    }

    async fn read_and_act(&mut self, dying: bool) -> Next {
        let head = match self.wire.head().await {
            Ok(head) => head,
            Err(part) => {
                self.shared.note(Seen::part_of_head(part, self.number));
                return Next::Over;
            }
        };
        let probe = head.target().starts_with(b"/healthz");
        if !probe {
            self.shared.log.lock().unwrap().heads += 1;
        }
        let act = if dying {
            Act::Serve
        } else {
            self.shared.act_for(probe, &head)
        };
        if let Act::Early(steps) = &act {
            let next = self.play(steps).await;
            self.read_body(head, probe).await;
            return next;
        }
        if matches!(act, Act::StopReading) {
            self.released().await;
        } else if head.get("expect").is_some() && !self.wire.exhausted() {
            self.wire.send(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok();
        }
        if !probe && self.shared.is_full() {
            let body = self.wire.body(Framing::of_request(&head)).await;
            let name = &self.shared.name;
            let full = format!(
                "HTTP/1.1 503 Full\r\nX-Backend: {name}\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
            );
            let sent = self.wire.send(full.as_bytes()).await;
            return if sent.is_ok() && body.end == End::Whole {
                Next::Request
            } else {
                Next::Over
            };
        }
        let seen = self.read_body(head, probe).await;
        if !seen.whole || self.wire.exhausted() {
            return Next::Over;
        }
        self.act_on(act, &seen).await
    }

    async fn read_body(&mut self, head: Head, probe: bool) -> Seen {
        let body = self.wire.body(Framing::of_request(&head)).await;
        let whole = body.end == End::Whole;
        let seen = Seen {
            head,
            body,
            whole,
            connection: self.number,
        };
        if probe {
            self.shared
                .log
                .lock()
                .unwrap()
                .probes
                .push(seen.head.clone());
        } else {
            self.shared.note(seen.clone());
        }
        seen
    }

    async fn act_on(&mut self, act: Act, seen: &Seen) -> Next {
        let sent = match act {
            Act::Hang => return self.hang().await,
            Act::Script(steps) => return self.play(&steps).await,
            Act::Status(status) => site::status(&mut self.wire, self.shared, status).await,
            Act::After(time) => {
                tokio::time::sleep(time).await;
                site::answer(&mut self.wire, self.shared, seen).await
            }
            _ => site::answer(&mut self.wire, self.shared, seen).await,
        };
        let close = seen
            .head
            .get("connection")
            .is_some_and(|v| v.eq_ignore_ascii_case("close"));
        if sent.is_err() || close {
            Next::Over
        } else {
            Next::Request
        }
    }

    async fn hang(&mut self) -> Next {
        let end = loop {
            match self.wire.some().await {
                Ok(bytes) if bytes.is_empty() => break PeerEnd::Fin,
                Ok(_) => {}
                Err(_) => break PeerEnd::Rst,
            }
        };
        self.shared.log.lock().unwrap().peer_ends.push(end);
        Next::Over
    }

    async fn play(&mut self, steps: &[Step]) -> Next {
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    if self.wire.send(bytes).await.is_err() {
                        return Next::Over;
                    }
                }
                Step::Hold => self.released().await,
                Step::End(by) => return Next::Die(*by),
                Step::Echo => return self.echo().await,
            }
        }
        Next::Request
    }

    async fn echo(&mut self) -> Next {
        let end = loop {
            match self.wire.some().await {
                Ok(bytes) if bytes.is_empty() => break PeerEnd::Fin,
                Ok(bytes) => self.wire.send(&bytes).await.ok(),
                Err(_) => break PeerEnd::Rst,
            };
        };
        self.shared.log.lock().unwrap().peer_ends.push(end);
        Next::Over
    }

    async fn released(&self) {
        self.shared
            .switches
            .released
            .subscribe()
            .wait_for(|on| *on)
            .await
            .ok();
    }
}

impl Shared {
    fn peek(&self) -> Act {
        self.act.lock().unwrap().clone()
    }

    /// After how many bytes the connection that was just spoken to dies, if at all.
    fn take_death(&self, reused: bool) -> Option<(u64, DieBy)> {
        let mut next = self.next.lock().unwrap();
        let (act, queued) = match next.front() {
            Some(act) => (act.clone(), true),
            None => (self.peek(), false),
        };
        let death = match act {
            Act::Die(bytes, by) => Some((bytes, by)),
            Act::DieOnReuse(by) if reused => Some((0, by)),
            _ => None,
        };
        if queued && death.is_some() {
            next.pop_front();
        }
        death
    }

    fn act_for(&self, probe: bool, head: &Head) -> Act {
        if probe {
            return self.probe.lock().unwrap().clone();
        }
        if head.method() == "POST"
            && let Some(act) = self.posts.lock().unwrap().clone()
        {
            return act;
        }
        self.next
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| self.peek())
    }

    /// Whether there is no room for a request that has come.
    fn is_full(&self) -> bool {
        let mut capacity = self.capacity.lock().unwrap();
        capacity.as_mut().is_some_and(|capacity| !capacity.takes())
    }

    /// Remembers a request and, when all of it came, that it ran.
    fn note(&self, seen: Seen) {
        let mut log = self.log.lock().unwrap();
        log.used_connections.insert(seen.connection);
        if let (true, Some(id)) = (seen.whole, seen.order_id()) {
            if let Some(path) = &self.journal {
                let file = std::fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path);
                file.unwrap()
                    .write_all(format!("{id}\n").as_bytes())
                    .unwrap();
            }
            log.executed.push(id);
        }
        log.requests.push(seen);
    }
}
