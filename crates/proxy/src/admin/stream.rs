//! The journal as a stream: `/api/v1/events` for whoever asks for `text/event-stream`.
//!
//! A client reads at its own pace from the journal that is kept anyway; for itself it has two short
//! pieces of text in memory. One that takes nothing for a while is cut off. Whoever reads slowly, or
//! not at all, delays nobody and fills nothing. The shape is that of server-sent events (WHATWG HTML,
//! section 9.2).

use super::connections::Peer;
use super::{Admin, Calls};
use crate::journal::Journal;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use serde::Serialize;
use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Streams at a time at most.
const MOST_STREAMS: usize = 32;
/// Entries in one piece at most.
const PIECE: usize = 64;
/// Pieces that wait for a client at most.
const WAITING: usize = 2;
/// A client that takes nothing for this long is cut off.
const STALL: Duration = Duration::from_secs(10);
/// A sign of life where nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a client shall wait before it comes again, in milliseconds.
const AGAIN_MS: u32 = 1000;

/// Whether a stream is asked for.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let kinds = accept.unwrap_or_default().split(',');
    kinds
        .filter_map(|kind| kind.split(';').next())
        .any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Entries after `Last-Event-ID`, or after `since` where there is none, and all that follow.
pub(super) fn open(admin: &Admin, peer: &Peer, headers: &HeaderMap, since: u64) -> Response {
    let Some(place) = Place::take(&admin.streams) else {
        let again = [(header::RETRY_AFTER, "5")];
        let text = "too many streams are open\n";
        return (StatusCode::SERVICE_UNAVAILABLE, again, text).into_response();
    };
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok());
    let last = last.and_then(|last| last.parse().ok()).unwrap_or(since);
    let (sender, receiver) = mpsc::channel(WAITING);
    let feed = Feed {
        journal: admin.journal.clone(),
        calls: admin.calls.clone(),
        sender,
        cut: peer.cut.clone(),
        last,
        last_call: 0,
    };
    tokio::task::spawn_local(async move {
        feed.run().await;
        drop(place);
    });
    let kind = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (kind, Body::new(Pieces(receiver))).into_response()
}

/// One of the streams that there may be.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(open.clone());
        let before = open.fetch_add(1, Ordering::Relaxed);
        (before < MOST_STREAMS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a client is told, and how far it is.
struct Feed {
    journal: Arc<Journal>,
    calls: Arc<Calls>,
    sender: mpsc::Sender<Bytes>,
    cut: Arc<Notify>,
    last: u64,
    last_call: u64,
}

impl Feed {
    async fn run(mut self) {
        let mut newest = self.journal.newest();
        let mut calls = self.calls.newest();
        let mut text = format!("retry: {AGAIN_MS}\n\n");
        self.last_call = *calls.borrow_and_update();
        loop {
            newest.mark_unchanged();
            self.say_what_is_missing(*newest.borrow(), &mut text);
            let more = self.next(&mut text);
            if text.is_empty() {
                text.push_str(": alive\n\n");
            }
            let piece = Bytes::from(std::mem::take(&mut text));
            match self.sender.send_timeout(piece, STALL).await {
                Ok(()) => {}
                Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                    tracing::debug!("a reader of the journal takes nothing: it is cut off");
                    self.cut.notify_one();
                    return;
                }
                Err(mpsc::error::SendTimeoutError::Closed(_)) => return,
            }
            if more {
                continue;
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                changed = calls.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(HEARTBEAT) => {}
                () = self.sender.closed() => return,
            }
        }
    }

    /// Entries that are not kept any more, or that another process had with these numbers.
    fn say_what_is_missing(&mut self, newest: u64, text: &mut String) {
        if self.last > newest {
            text.push_str("event: reset\ndata: {}\n\n");
            self.last = 0;
        }
        let oldest = self.journal.oldest();
        if self.last > 0 && self.last + 1 < oldest {
            let (from, to) = (self.last + 1, oldest - 1);
            // Writing to a text cannot fail.
            let _ = write!(
                text,
                "event: gap\ndata: {{\"from\":{from},\"to\":{to}}}\n\n"
            );
            self.last = to;
        }
    }

    /// The next entries; whether there may be more.
    fn next(&mut self, text: &mut String) -> bool {
        let entries = self.journal.next_after(self.last, PIECE);
        for (seq, entry) in &entries {
            self.last = *seq;
            event(text, "decision", Some(*seq), entry);
        }
        for call in self.calls.after(self.last_call) {
            self.last_call = call.seq;
            event(text, "call", None, &call);
        }
        entries.len() == PIECE
    }
}

fn event(text: &mut String, name: &str, id: Option<u64>, data: &impl Serialize) {
    // JSON has no line ends of its own, so one `data:` line holds all of it.
    let Ok(data) = serde_json::to_string(data) else {
        return;
    };
    if let Some(id) = id {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "id: {id}");
    }
    // As above.
    let _ = write!(text, "event: {name}\ndata: {data}\n\n");
}

/// The pieces as the body of an answer.
struct Pieces(mpsc::Receiver<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.poll_recv(context);
        next.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Entry;
    use leeward_failover::{Cause, Change, Event, Subject, SubjectKind, Time};

    fn write(journal: &Journal, numbers: std::ops::RangeInclusive<u64>) {
        for seq in numbers {
            let subject = Subject {
                kind: SubjectKind::Pool,
                name: "main".to_owned(),
            };
            let event = Event {
                seq,
                at: Time::ZERO,
                subject,
                change: Change::Panic { on: true },
                cause: Cause::AllBad,
                evidence: Vec::new(),
            };
            journal.write(Entry { time: 1.5, event });
        }
    }

    fn feed(journal: &Arc<Journal>, last: u64) -> (Feed, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let feed = Feed {
            journal: journal.clone(),
            calls: Arc::new(Calls::new(None)),
            sender,
            cut: Arc::default(),
            last,
            last_call: 0,
        };
        (feed, receiver)
    }

    async fn pieces(receiver: &mut mpsc::Receiver<Bytes>, until: &str) -> String {
        let mut all = String::new();
        while !all.contains(until) {
            let piece = receiver.recv().await.expect("a piece");
            all.push_str(std::str::from_utf8(&piece).expect("text"));
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_goes_on_from_where_it_was_and_hears_what_follows() {
        let journal = Arc::new(Journal::default());
        write(&journal, 1..=200);
        let (feed, mut receiver) = feed(&journal, 120);
        tokio::spawn(feed.run());
        let all = pieces(&mut receiver, "id: 200\n").await;
        assert!(
            all.starts_with("retry: 1000\n\nid: 121\nevent: decision\ndata: {"),
            "{all}"
        );
        assert_eq!(all.matches("event: decision").count(), 80);
        write(&journal, 201..=201);
        assert!(
            pieces(&mut receiver, "id: 201\n")
                .await
                .contains("id: 201\n")
        );
        pieces(&mut receiver, ": alive\n\n").await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_kept_any_more_is_said() {
        let journal = Arc::new(Journal::default());
        write(&journal, 1..=10_100);
        let (late, mut receiver) = feed(&journal, 3);
        tokio::spawn(late.run());
        let all = pieces(&mut receiver, "id: 101\n").await;
        assert!(
            all.contains("event: gap\ndata: {\"from\":4,\"to\":100}\n"),
            "{all}"
        );
        let (of_another_run, mut receiver) = feed(&journal, 20_000);
        tokio::spawn(of_another_run.run());
        let all = pieces(&mut receiver, "id: 101\n").await;
        assert!(all.contains("event: reset\n"), "{all}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_cut_off() {
        let journal = Arc::new(Journal::default());
        write(&journal, 1..=1000);
        let (feed, receiver) = feed(&journal, 0);
        let cut = feed.cut.clone();
        let running = tokio::spawn(feed.run());
        cut.notified().await;
        running.await.expect("no panic");
        assert_eq!(receiver.len(), WAITING);
    }
}
