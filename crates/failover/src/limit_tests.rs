//! Limits in a world of one site: who is let in, who is hurt, how much of the site is used.

use super::*;
use crate::rng::Rng;
use proptest::prelude::*;
use std::collections::BinaryHeap;

const MS: u64 = 1_000_000;

/// A site that answers so many requests per second at once, some more in a burst, and says 503 to
/// the rest.
struct Site {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: u64,
}

impl Site {
    fn new(rate: f64, burst: f64) -> Site {
        Site {
            rate,
            burst,
            tokens: burst,
            at: 0,
        }
    }

    fn takes(&mut self, now: u64) -> bool {
        let grown = (now - self.at) as f64 / 1e9 * self.rate;
        self.tokens = (self.tokens + grown).min(self.burst);
        self.at = now;
        let takes = self.tokens >= 1.0;
        if takes {
            self.tokens -= 1.0;
        }
        takes
    }
}

/// So many requests per second, counted for as long as anything is.
fn steadily(rate: f64) -> Sent {
    let over = Duration::from_millis(500);
    Sent { rate, over }
}

/// What came of one class.
#[derive(Clone, Copy, Debug, Default)]
struct Came {
    offered: u32,
    shed: u32,
    refused: u32,
    served: u32,
}

impl Came {
    fn lost(&self) -> u32 {
        self.shed + self.refused
    }
}

/// A load on one site, through some workers.
struct World {
    site: Site,
    workers: Vec<Worker>,
    /// Its declared rate and what is shared of it.
    declared: Option<(f64, u64)>,
    pace: Option<Pace>,
    rng: Rng,
    /// Requests per second, by class.
    load: Vec<(Class, f64)>,
    seconds: u64,
}

#[derive(Clone, Default)]
struct Worker {
    limiter: Limiter,
    recent: Recent,
}

impl World {
    fn new(site: Site, workers: usize, load: &[(Class, f64)]) -> World {
        World {
            site,
            workers: vec![Worker::default(); workers],
            declared: None,
            pace: None,
            rng: Rng::new(7),
            load: load.to_vec(),
            seconds: 15,
        }
    }

    fn declared(mut self, rate: f64) -> World {
        self.declared = Some((rate, 0));
        self
    }

    /// Arrivals at random, answers after 2 ms.
    fn run(mut self) -> Vec<Came> {
        let end = self.seconds * 1000 * MS;
        let mut came = vec![Came::default(); self.load.len()];
        // Next arrivals, and ends: (when, kind), least first.
        let mut events = BinaryHeap::new();
        let gap = |rng: &mut Rng, rate: f64| (-(1.0 - rng.fraction()).ln() / rate * 1e9) as u64;
        for (index, (_, rate)) in self.load.iter().enumerate() {
            let first = gap(&mut self.rng, *rate);
            events.push(std::cmp::Reverse((first, 0, index, 0)));
        }
        while let Some(std::cmp::Reverse((at, kind, index, worker))) = events.pop() {
            let now = Time(at);
            if kind > 0 {
                let workers = self.workers.len() as f64;
                let declared = self.declared.map(|(rate, _)| rate);
                let Worker { limiter, recent } = &mut self.workers[worker];
                match (kind, &mut self.pace) {
                    (1, _) => limiter.answered(Duration::from_millis(2), now),
                    (_, Some(pace)) => pace.cut(Time(at - 2 * MS), now),
                    (_, none) => {
                        *none = Some(Pace::new(recent.sent(now).times(workers), declared, now))
                    }
                }
                limiter.leave();
                continue;
            }
            if at >= end {
                continue;
            }
            let (class, rate) = self.load[index];
            let next = at + gap(&mut self.rng, rate);
            events.push(std::cmp::Reverse((next, 0, index, 0)));
            let worker = (self.rng.next_u64() % self.workers.len() as u64) as usize;
            let came = &mut came[index];
            came.offered += 1;
            if !self.admits(worker, class, now) {
                came.shed += 1;
                continue;
            }
            let served = self.site.takes(at);
            came.served += u32::from(served);
            came.refused += u32::from(!served);
            let kind = if served { 1 } else { 2 };
            events.push(std::cmp::Reverse((at + 2 * MS, kind, index, worker)));
        }
        came
    }

    fn admits(&mut self, worker: usize, class: Class, now: Time) -> bool {
        if !self.workers[worker].limiter.has_room(class) {
            return false;
        }
        self.pace = self.pace.take().filter(|pace| !pace.is_over(now));
        if self
            .pace
            .as_mut()
            .is_some_and(|pace| !pace.take(class, now))
        {
            return false;
        }
        if let Some((rate, due)) = &mut self.declared {
            match take(*due, *rate, class, now) {
                Ok(next) => *due = next,
                Err(_) => return false,
            }
        }
        self.workers[worker].limiter.enter();
        self.workers[worker].recent.add(now);
        true
    }
}

const LOAD: [(Class, f64); 2] = [(Class::Order, 60.0), (Class::PublicRead, 300.0)];

fn used(came: &[Came], rate: f64, seconds: f64) -> f64 {
    came.iter().map(|came| f64::from(came.served)).sum::<f64>() / (rate * seconds)
}

#[test]
fn a_declared_capacity_takes_every_order_and_is_used_whole() {
    for workers in [1, 2, 8] {
        let site = Site::new(180.0, 20.0);
        let came = World::new(site, workers, &LOAD).declared(180.0).run();
        assert_eq!(came[0].lost(), 0, "{workers} workers: {came:?}");
        let used = used(&came, 180.0, 15.0);
        assert!(used > 0.95, "{workers} workers use {used}: {came:?}");
        assert!(came[1].refused < 30, "{came:?}");
    }
}

#[test]
fn an_undeclared_capacity_is_learned_and_few_orders_are_hurt() {
    const RUNS: u64 = 10;
    for (workers, burst) in [(1, 8.0), (1, 20.0), (2, 20.0), (4, 10.0), (2, 90.0)] {
        let (mut lost, mut all) = (0, 0.0);
        for seed in 0..RUNS {
            let mut world = World::new(Site::new(180.0, burst), workers, &LOAD);
            world.rng = Rng::new(seed);
            let came = world.run();
            assert!(came[0].lost() <= 12, "{workers} workers: {came:?}");
            lost += came[0].lost();
            all += used(&came, 180.0, 15.0);
        }
        let (lost, used) = (f64::from(lost) / RUNS as f64, all / RUNS as f64);
        assert!(lost <= 5.0, "{lost} of 900 orders with {workers} workers");
        assert!(used > 0.85, "{used} used with {workers} workers");
    }
}

#[test]
fn a_declared_capacity_that_is_true_no_more_is_learned() {
    for workers in [1, 2] {
        let site = Site::new(90.0, 10.0);
        let came = World::new(site, workers, &LOAD).declared(180.0).run();
        let used = used(&came, 90.0, 15.0);
        assert!(used > 0.7, "{used}: {came:?}");
        assert!(came[0].lost() <= 20, "{came:?}");
    }
}

/// Somebody wrote four times what the site takes: its first answers of "full" come with hardly any
/// load, and must not be taken for all that it can do.
#[test]
fn a_declared_capacity_that_was_never_true_does_not_starve_reads() {
    for workers in [1, 2] {
        let site = Site::new(180.0, 10.0);
        let came = World::new(site, workers, &LOAD).declared(720.0).run();
        let used = used(&came, 180.0, 15.0);
        assert!(used > 0.7, "{used}: {came:?}");
        assert!(came[0].lost() <= 20, "{came:?}");
    }
    let mut pace = Pace::new(steadily(20.0), Some(720.0), Time::ZERO);
    assert!(pace.rate(Time::from_millis(2000)) > 120.0);
    assert!(pace.take(Class::PublicRead, Time::from_millis(2000)));
}

/// A herd that returns at once is refused by a site that is as good as its word: nothing was counted
/// for long enough to tell.
#[test]
fn a_herd_says_little_against_a_declared_capacity() {
    let mut recent = Recent::default();
    for ms in 0..20 {
        recent.add(Time(ms * MS));
    }
    let now = Time(20 * MS);
    let herd = recent.sent(now);
    assert!(Pace::new(herd, Some(180.0), now).rate(now) > 150.0);
    let few = Sent { rate: 30.0, ..herd };
    assert!(Pace::new(few, Some(180.0), now).rate(now) > 150.0);
    let rate = Pace::new(steadily(30.0), Some(180.0), now).rate(now);
    assert!(rate < 60.0, "{rate}");
}

/// A herd of streams at a site that takes a tenth of a second's work at once: the orders behind it find room.
#[test]
fn streams_that_come_back_together_leave_room_for_orders() {
    let mut site = Site::new(90.0, 9.0);
    let mut due = 0;
    let mut let_in = 0;
    for _ in 0..50 {
        if let Ok(next) = take(due, 90.0, Class::Stream, Time(0)) {
            due = next;
            let_in += 1;
            assert!(site.takes(0));
        }
    }
    assert!((4..=6).contains(&let_in), "{let_in}");
    for _ in 0..3 {
        due = take(due, 90.0, Class::Order, Time(0)).expect("orders have room");
        assert!(site.takes(0), "the site has none left");
    }
}

#[test]
fn what_fits_is_never_held_back() {
    for declared in [false, true] {
        let mut world = World::new(Site::new(500.0, 20.0), 2, &LOAD);
        if declared {
            world = world.declared(500.0);
        }
        let came = world.run();
        assert!(came.iter().all(|came| came.lost() == 0), "{came:?}");
    }
}

#[test]
fn an_order_finds_room_where_a_read_does_whatever_their_rates() {
    let rate = |own| Rate { own, most: 100.0 };
    for ahead in (0..1000).step_by(10) {
        let due = Time::from_millis(ahead).0;
        let read = take(due, rate(12.5), Class::PublicRead, Time::ZERO);
        let order = take(due, rate(100.0), Class::Order, Time::ZERO);
        assert!(order.is_ok() || read.is_err(), "{ahead} ms ahead");
    }
}

#[test]
fn classes_are_shed_in_order() {
    let load = [
        (Class::Cancel, 50.0),
        (Class::Order, 50.0),
        (Class::PrivateRead, 50.0),
        (Class::PublicRead, 50.0),
    ];
    let lost = |rate: f64| -> Vec<u32> {
        let site = Site::new(1000.0, 100.0);
        let came = World::new(site, 1, &load).declared(rate).run();
        came.iter().map(|c| c.lost() * 100 / c.offered).collect()
    };
    let [cancel, order, private, public] = lost(170.0)[..] else {
        panic!()
    };
    assert_eq!((cancel, order), (0, 0));
    assert!(private <= 5 && public > 40, "{private} {public}");
    let [cancel, order, private, public] = lost(75.0)[..] else {
        panic!()
    };
    assert!(cancel <= 1 && order > 30, "{cancel} {order}");
    assert!(private > 90 && public > 95, "{private} {public}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the rate and the load, orders that fit are let in, and a site under too much load is
    /// used.
    #[test]
    fn orders_that_fit_are_let_in_at_any_rate(
        rate in 20.0..5000.0_f64,
        orders in 0.05..0.6_f64,
        reads in 0.1..4.0_f64,
        workers in 1..6_usize,
    ) {
        let load = [(Class::Order, rate * orders), (Class::PublicRead, rate * reads)];
        let site = Site::new(rate * 1.01, 8.0 + rate * 0.1);
        let mut world = World::new(site, workers, &load).declared(rate);
        world.seconds = 5;
        let came = world.run();
        prop_assert!(came[0].lost() <= 1 + came[0].offered / 500, "{came:?}");
        // What came by chance, not what was meant to come.
        let came_in_all: u32 = came.iter().map(|c| c.offered).sum();
        let offered = (f64::from(came_in_all) / (rate * 5.0)).min(1.0);
        let used = used(&came, rate, 5.0);
        prop_assert!(used > offered * 0.9 - 0.05, "{used} of {offered}: {came:?}");
    }

    /// No run of signals panics, takes the last room of an order away, or brings a bound below its
    /// floor.
    #[test]
    fn nothing_takes_the_last_room_away(steps in prop::collection::vec((0..5_u8, 0..4000_u64), 0..400)) {
        let mut limiter = Limiter::default();
        let mut pace = Pace::new(steadily(0.0), None, Time::ZERO);
        let mut now = 0;
        for (step, span) in steps {
            now += span * 100_000;
            match step {
                0 => drop(pace.take(Class::PublicRead, Time(now))),
                1 => limiter.answered(Duration::from_millis(span), Time(now)),
                2 => pace.cut(Time(now), Time(now)),
                3 => limiter.leave(),
                _ => limiter.enter(),
            }
            prop_assert!(limiter.limit() >= 8);
            prop_assert!(pace.rate(Time(now)) >= 1.0);
            prop_assert!(pace.take(Class::Order, Time(now)));
            if limiter.in_flight() < 7 {
                prop_assert!(limiter.has_room(Class::Order) && limiter.has_room(Class::Cancel));
            }
        }
    }
}

#[test]
fn a_learned_rate_is_forgotten() {
    let mut recent = Recent::default();
    let mut now = 0;
    for _ in 0..100 {
        now += 5 * MS;
        recent.add(Time(now));
    }
    let mut pace = Pace::new(recent.sent(Time(now)), None, Time(now));
    let rate = pace.rate(Time(now));
    assert!((100.0..140.0).contains(&rate), "{rate} of 200");
    assert!(!pace.take(Class::PublicRead, Time(now)), "reads pause");
    assert!(pace.take(Class::Order, Time(now)));
    assert!(!pace.is_over(Time(now)));
    now += 60_000 * MS;
    assert!(pace.is_over(Time(now)));
}

/// A site that works at `workers` requests at a time, 5 ms each, the rest in its queue; closed by a
/// load that keeps it full. Returns the mean latency of the last second, and the limit.
fn crowd(at_a_time: u32, offered: u32, own_slowness: u64, seconds: u64) -> (f64, u32, u32) {
    let mut limiter = Limiter::default();
    let mut busy: Vec<u64> = vec![0; at_a_time as usize];
    let mut ends = BinaryHeap::new();
    let (mut shed, mut last) = (0, (0.0, 0));
    let gap = 1_000_000_000 / u64::from(offered);
    let end = seconds * 1000 * MS;
    let mut at = 0;
    while at < end {
        at += gap;
        // The load comes after a calm second.
        if at < 1000 * MS && at % (20 * MS) >= gap {
            continue;
        }
        while let Some(std::cmp::Reverse((when, took))) = ends.peek().copied() {
            if when > at {
                break;
            }
            ends.pop();
            limiter.answered(Duration::from_nanos(took), Time(when));
            limiter.leave();
            if when > end - 1000 * MS {
                last = (last.0 + took as f64 / 1e6, last.1 + 1);
            }
        }
        if !limiter.has_room(Class::PublicRead) {
            shed += u32::from(at > end - 1000 * MS);
            continue;
        }
        limiter.enter();
        let slowness = if at > 2000 * MS { own_slowness } else { 0 };
        let first = busy.iter_mut().min().unwrap();
        *first = (*first).max(at) + 5 * MS;
        let done = *first + slowness * MS;
        ends.push(std::cmp::Reverse((done, done - at)));
    }
    (last.0 / f64::from(last.1.max(1)), limiter.limit(), shed)
}

#[test]
fn a_crowded_site_is_relieved_until_it_answers_fast_again() {
    // 10 at a time of 5 ms are 2000/s; 3000/s would fill its queue for ever.
    let (latency, limit, shed) = crowd(10, 3000, 0, 20);
    assert!(latency < 100.0, "{latency} ms at {limit}");
    assert!(
        (600..1600).contains(&shed),
        "{shed} shed in the last second"
    );
}

#[test]
fn a_site_that_is_slow_for_a_reason_of_its_own_is_not_shed_for_long() {
    let (latency, limit, shed) = crowd(1000, 300, 1000, 20);
    assert!(latency > 900.0, "{latency}");
    assert_eq!(shed, 0, "limit {limit}");
}

#[test]
fn a_pause_of_a_healthy_site_sheds_nothing() {
    let mut limiter = Limiter::default();
    for now in 0..20_000_u64 {
        // 300 ms of silence every two seconds; what waited is answered at its end.
        let (pausing, ends) = (now % 2000 >= 1700, now % 2000 == 0 && now > 0);
        let at = Time::from_millis(now);
        if now % 3 == 0 {
            assert!(limiter.has_room(Class::PublicRead), "at {now}");
            limiter.enter();
        }
        if ends {
            while limiter.in_flight() > 0 {
                limiter.answered(
                    Duration::from_millis(3 * u64::from(limiter.in_flight())),
                    at,
                );
                limiter.leave();
            }
        } else if !pausing && limiter.in_flight() > 0 {
            limiter.answered(Duration::from_millis(2), at);
            limiter.leave();
        }
    }
}
