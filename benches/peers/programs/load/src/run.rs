//! The loop: connections that are ready are read and written, and asked anew.

use crate::answer::Answer;
use crate::connection::Connection;
use crate::plan::{self, Plan};
use crate::pools::Pools;
use crate::tally::{Latency, Seen, Tally, latency};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustls::ClientConfig;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BUFFER: usize = 256 * 1024;
/// After the end answers are waited for so long, in an open loop.
const GRACE: Duration = Duration::from_secs(1);
/// Nothing is learned from a proxy that fails so often.
const TOO_MANY_ERRORS: u64 = 10_000;
/// Connections that are opened at a time where they are held.
const AT_ONCE: usize = 32;
/// Bits of a key that name the slot; the others count its connections.
const SLOT_BITS: u32 = 24;

pub(crate) struct Run<'a> {
    plan: &'a Plan,
    tls: Option<Arc<ClientConfig>>,
    epoll: OwnedFd,
    requests: Vec<Vec<u8>>,
    slots: Vec<Slot>,
    tallies: Vec<Tally>,
    pools: Option<Pools>,
    /// Slots that ask as soon as the loop comes round.
    again: VecDeque<usize>,
    /// How late requests were sent that had a connection, in microseconds.
    late: Vec<f64>,
    start: Instant,
    end: Instant,
    ended: Instant,
    opened: u64,
    buffer: Vec<u8>,
}

/// One connection after another.
struct Slot {
    kind: usize,
    connection: Option<Connection>,
    key: u64,
    /// When its request was due, while there is one.
    due: Option<Instant>,
    writes: bool,
}

/// What is printed at the end.
#[derive(Serialize)]
pub(crate) struct Report {
    seconds: f64,
    kinds: BTreeMap<String, Seen>,
    late_us: Latency,
}

/// What is printed once held connections may go.
#[derive(Serialize)]
pub(crate) struct StillOpen {
    open: usize,
}

impl<'a> Run<'a> {
    pub(crate) fn new(plan: &'a Plan) -> io::Result<Self> {
        let kinds = plan.kinds.iter().enumerate();
        let slots = kinds.flat_map(|(kind, of)| (0..of.connections).map(move |_| Slot::new(kind)));
        let tls = match plan.tls {
            true => Some(plan::tls().map_err(io::Error::other)?),
            false => None,
        };
        let start = Instant::now();
        Ok(Self {
            plan,
            tls,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            requests: plan
                .kinds
                .iter()
                .map(|kind| kind.request(plan.fresh))
                .collect(),
            slots: slots.collect(),
            tallies: plan.kinds.iter().map(|_| Tally::default()).collect(),
            pools: None,
            again: VecDeque::new(),
            late: Vec::new(),
            start,
            end: start,
            ended: start,
            opened: 0,
            buffer: vec![0; BUFFER],
        })
    }

    /// Runs the whole plan.
    pub(crate) fn go(&mut self) -> io::Result<()> {
        self.begin()?;
        let mut events = Vec::with_capacity(512);
        loop {
            let now = Instant::now();
            if self.is_over(now) {
                break;
            }
            self.send_due(now)?;
            for _ in 0..self.again.len() {
                if let Some(slot) = self.again.pop_front() {
                    self.ask(slot, Instant::now())?;
                }
            }
            let wait = Timespec::try_from(self.wait()).map_err(io::Error::other)?;
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                self.ready(event.data.u64(), event.flags)?;
            }
        }
        self.ended = Instant::now();
        for slot in self.slots.iter().filter(|slot| slot.due.is_some()) {
            self.tallies[slot.kind].counts.unanswered += 1;
        }
        for (kind, tally) in self.tallies.iter_mut().enumerate() {
            tally.counts.unsent += self.pools.as_ref().map_or(0, |pools| pools.waiting(kind));
        }
        Ok(())
    }

    pub(crate) fn report(&self) -> Report {
        let named = self.plan.kinds.iter().zip(&self.tallies);
        let seconds = match self.plan.rate {
            Some(_) => self.plan.seconds,
            None => (self.ended - self.start).as_secs_f64(),
        };
        Report {
            seconds,
            kinds: named
                .map(|(kind, tally)| (kind.name.clone(), tally.seen()))
                .collect(),
            late_us: latency(&self.late),
        }
    }

    /// Counts the held connections that the proxy has not ended.
    pub(crate) fn still_open(&mut self) -> StillOpen {
        let connections = self
            .slots
            .iter_mut()
            .filter_map(|slot| slot.connection.as_mut());
        let open = connections.filter_map(|connection| connection.read(&mut self.buffer).ok());
        StillOpen { open: open.count() }
    }

    /// Opens connections, and asks on them unless requests fall due by themselves.
    fn begin(&mut self) -> io::Result<()> {
        if let Some(rate) = self.plan.rate {
            for slot in 0..self.slots.len() {
                self.open(slot)?;
            }
            self.start = Instant::now();
            let mut pools = Pools::new(self.plan, rate, self.start);
            for (place, slot) in self.slots.iter().enumerate() {
                pools.free(slot.kind, place);
            }
            self.pools = Some(pools);
        } else {
            let first = if self.plan.hold {
                AT_ONCE
            } else {
                self.slots.len()
            };
            self.again = (0..first.min(self.slots.len())).collect();
            self.start = Instant::now();
        }
        self.end = self.start + Duration::from_secs_f64(self.plan.seconds);
        Ok(())
    }

    fn is_over(&self, now: Instant) -> bool {
        let ended: u64 = self.tallies.iter().map(Tally::ended).sum();
        let errors: u64 = self.tallies.iter().map(|tally| tally.counts.errors).sum();
        let enough = match self.plan.hold {
            true => Some(self.slots.len() as u64),
            false => self.plan.requests,
        };
        if errors > TOO_MANY_ERRORS || enough.is_some_and(|enough| ended >= enough) {
            return true;
        }
        if now < self.end {
            return false;
        }
        self.pools.is_none()
            || now > self.end + GRACE
            || self.slots.iter().all(|slot| slot.due.is_none())
    }

    /// Sends what is due and has a connection.
    fn send_due(&mut self, now: Instant) -> io::Result<()> {
        let Some(mut pools) = self.pools.take() else {
            return Ok(());
        };
        pools.fall_due(now, self.end);
        for kind in 0..self.tallies.len() {
            self.tallies[kind].counts.unsent += pools.give_up(kind, now);
            while now < self.end
                && let Some((slot, due)) = pools.next(kind)
            {
                self.late.push((Instant::now() - due).as_secs_f64() * 1e6);
                self.ask(slot, due)?;
            }
        }
        self.pools = Some(pools);
        Ok(())
    }

    fn wait(&self) -> Duration {
        if !self.again.is_empty() {
            return Duration::ZERO;
        }
        let longest = Duration::from_millis(20);
        match &self.pools {
            Some(pools) if pools.next_due() < self.end => {
                longest.min(pools.next_due().saturating_duration_since(Instant::now()))
            }
            _ => longest,
        }
    }

    fn open(&mut self, place: usize) -> io::Result<()> {
        let slot = &mut self.slots[place];
        let connection = Connection::open(self.plan.port, self.tls.as_ref())?;
        self.opened += 1;
        slot.key = self.opened << SLOT_BITS | place as u64;
        slot.writes = false;
        let key = epoll::EventData::new_u64(slot.key);
        epoll::add(&self.epoll, &connection.socket, key, epoll::EventFlags::IN)?;
        slot.connection = Some(connection);
        Ok(())
    }

    fn ask(&mut self, place: usize, due: Instant) -> io::Result<()> {
        if self.slots[place].connection.is_none() {
            self.open(place)?;
        }
        let slot = &mut self.slots[place];
        slot.due = Some(due);
        let Some(connection) = &mut slot.connection else {
            return Ok(());
        };
        match connection.ask(&self.requests[slot.kind]) {
            Ok(more) => slot.watch(&self.epoll, more),
            Err(_) => {
                self.failed(place);
                Ok(())
            }
        }
    }

    fn ready(&mut self, key: u64, flags: epoll::EventFlags) -> io::Result<()> {
        let place = (key & ((1 << SLOT_BITS) - 1)) as usize;
        let slot = &mut self.slots[place];
        let Some(connection) = slot.connection.as_mut().filter(|_| slot.key == key) else {
            // The event of an earlier connection of this slot.
            return Ok(());
        };
        let mut answer = Ok(None);
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::ERR | epoll::EventFlags::HUP)
        {
            answer = connection.read(&mut self.buffer);
        }
        let more = connection.write(&self.requests[slot.kind]);
        match (answer, more) {
            (Ok(None), Ok(more)) => slot.watch(&self.epoll, more)?,
            (Ok(Some(answer)), _) => self.answered(place, &answer),
            (Err(_), _) | (_, Err(_)) => self.failed(place),
        }
        Ok(())
    }

    fn answered(&mut self, place: usize, answer: &Answer) {
        let slot = &mut self.slots[place];
        let now = Instant::now();
        if let Some(due) = slot.due.take() {
            let expected = self.plan.kinds[slot.kind].expect;
            self.tallies[slot.kind].answer(answer, expected, now - due, now <= self.end);
        }
        if answer.closes || self.plan.fresh {
            slot.connection = None;
        }
        self.go_on(place);
    }

    fn failed(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        slot.connection = None;
        // One that was idle may be ended by whoever likes.
        if slot.due.take().is_some() {
            self.tallies[slot.kind].counts.errors += 1;
            self.go_on(place);
        }
    }

    /// What comes after an answer or a failure.
    fn go_on(&mut self, place: usize) {
        if let Some(pools) = &mut self.pools {
            pools.free(self.slots[place].kind, place);
        } else if self.plan.hold {
            let untouched = place + AT_ONCE;
            if untouched < self.slots.len() {
                self.again.push_back(untouched);
            }
        } else {
            self.again.push_back(place);
        }
    }
}

impl Slot {
    fn new(kind: usize) -> Self {
        Self {
            kind,
            connection: None,
            key: 0,
            due: None,
            writes: false,
        }
    }

    /// Asks to be told when there is room to write, as long as there is something to.
    fn watch(&mut self, epoll: &OwnedFd, writes: bool) -> io::Result<()> {
        let Some(connection) = self.connection.as_ref().filter(|_| self.writes != writes) else {
            return Ok(());
        };
        self.writes = writes;
        let flags = match writes {
            true => epoll::EventFlags::IN | epoll::EventFlags::OUT,
            false => epoll::EventFlags::IN,
        };
        Ok(epoll::modify(
            epoll,
            &connection.socket,
            epoll::EventData::new_u64(self.key),
            flags,
        )?)
    }
}
