//! Deadlines, by the clock of the test alone.

use crate::client_io::{ClientWatch, Overdue};
use crate::framing::Phase;
use leeward_config::policy::Limits;
use std::task::Waker;
use std::time::Duration;
use tokio::time::{Instant, advance};

const LIMITS: Limits = Limits {
    tls_handshake: Duration::from_secs(10),
    header_timeout: Duration::from_secs(10),
    header_bytes: 65536,
    header_count: 100,
    idle_timeout: Duration::from_secs(60),
    body_idle: Duration::from_secs(30),
    body_min_rate: 100,
    write_stall: Duration::from_secs(20),
    keep_body: 65536,
    hold_answer: 0,
    max_body: 1 << 30,
    max_streams: 100,
};

fn overdue_after(watch: &ClientWatch) -> (u64, Option<Overdue>) {
    let start = Instant::now();
    let mut now = start;
    for _ in 0..1000 {
        if let Some(overdue) = watch.overdue(now, &LIMITS) {
            return (now.duration_since(start).as_secs(), Some(overdue));
        }
        now = watch.next_check(now, &LIMITS);
    }
    (now.duration_since(start).as_secs(), None)
}

fn read(watch: &ClientWatch, phase: Phase, heads: u64, len: usize) {
    let now = Instant::now();
    watch.read_progress(len, now);
    watch.framed(phase, heads, len, now);
}

#[tokio::test(start_paused = true)]
async fn each_phase_has_its_own_limit() {
    let watch = ClientWatch::new(Instant::now());
    assert_eq!(overdue_after(&watch), (60, Some(Overdue::Idle)));
    read(&watch, Phase::Head, 0, 5);
    assert_eq!(overdue_after(&watch), (10, Some(Overdue::HeaderTimeout)));
    read(&watch, Phase::Idle, 1, 5);
    watch.set_in_flight(true);
    assert_eq!(overdue_after(&watch).1, None);
    watch.write_waits();
    assert_eq!(overdue_after(&watch), (20, Some(Overdue::WriteStalled)));
    watch.write_progress(1);
    assert_eq!(overdue_after(&watch).1, None);
    watch.set_in_flight(false);
    assert_eq!(overdue_after(&watch), (60, Some(Overdue::Idle)));
}

#[tokio::test(start_paused = true)]
async fn a_head_behind_a_request_in_flight_has_its_whole_time_once_that_is_answered() {
    let watch = ClientWatch::new(Instant::now());
    watch.set_in_flight(true);
    read(&watch, Phase::Head, 1, 100);
    advance(Duration::from_secs(25)).await;
    assert_eq!(overdue_after(&watch).1, None);
    watch.set_in_flight(false);
    assert_eq!(overdue_after(&watch), (10, Some(Overdue::HeaderTimeout)));
}

#[tokio::test(start_paused = true)]
async fn a_body_is_only_late_while_somebody_waits_for_it() {
    let watch = ClientWatch::new(Instant::now());
    read(&watch, Phase::Body, 1, 100);
    watch.set_in_flight(true);
    assert_eq!(overdue_after(&watch).1, None);
    advance(Duration::from_secs(100)).await;
    watch.read_waits(Waker::noop());
    assert_eq!(overdue_after(&watch), (30, Some(Overdue::BodyIdle)));
    watch.body_unwanted();
    assert_eq!(overdue_after(&watch).1, None);
}

#[tokio::test(start_paused = true)]
async fn only_waiting_counts_against_the_rate_of_a_body() {
    let watch = ClientWatch::new(Instant::now());
    read(&watch, Phase::Body, 1, 0);
    watch.set_in_flight(true);
    // A slow backend: 50 bytes a second, but never waited for.
    for _ in 0..100 {
        advance(Duration::from_secs(2)).await;
        read(&watch, Phase::Body, 1, 100);
    }
    // 10 000 bytes came without waiting: they are good for 100 s.
    for _ in 0..9 {
        watch.read_waits(Waker::noop());
        advance(Duration::from_secs(10)).await;
        assert_eq!(watch.overdue(Instant::now(), &LIMITS), None);
        read(&watch, Phase::Body, 1, 10);
    }
    watch.read_waits(Waker::noop());
    assert_eq!(overdue_after(&watch), (11, Some(Overdue::BodyTooSlow)));
}

#[tokio::test(start_paused = true)]
async fn without_a_rate_a_body_may_be_as_slow_as_it_moves() {
    let watch = ClientWatch::new(Instant::now());
    let limits = Limits {
        body_min_rate: 0,
        ..LIMITS
    };
    read(&watch, Phase::Body, 1, 0);
    watch.set_in_flight(true);
    for _ in 0..100 {
        watch.read_waits(Waker::noop());
        advance(Duration::from_secs(29)).await;
        assert_eq!(watch.overdue(Instant::now(), &limits), None);
        read(&watch, Phase::Body, 1, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn limits_beyond_all_time_are_no_trouble() {
    let watch = ClientWatch::new(Instant::now());
    let limits = Limits {
        header_timeout: Duration::MAX,
        idle_timeout: Duration::MAX,
        body_idle: Duration::MAX,
        body_min_rate: u64::MAX,
        write_stall: Duration::MAX,
        ..LIMITS
    };
    watch.set_in_flight(true);
    for phase in [
        Phase::Idle,
        Phase::Head,
        Phase::Body,
        Phase::Paused,
        Phase::Refused,
    ] {
        read(&watch, phase, 1, 1);
        watch.read_waits(Waker::noop());
        watch.write_waits();
        assert_eq!(watch.overdue(Instant::now(), &limits), None);
        assert!(watch.next_check(Instant::now(), &limits) > Instant::now());
    }
}
