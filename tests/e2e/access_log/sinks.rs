//! Where lines go, and what happens when they cannot.

use super::{TO_FILE, line_of, lines, logging, policy};
use crate::support::backend::Backend;
use crate::support::load::{Load, failed_reads};
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const PACE: Duration = Duration::from_millis(2);

/// Targets of lines.
fn targets(lines: &[Value]) -> BTreeSet<String> {
    let target = |line: &Value| line["target"].as_str().unwrap_or_default().to_owned();
    lines.iter().map(target).collect()
}

/// A place for a socket; a test's own folder may be too deep for one.
fn socket(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("leeward-{name}-{}.sock", std::process::id()));
    std::fs::remove_file(&path).ok();
    path
}

#[tokio::test]
async fn usr1_opens_the_file_anew_and_no_line_is_lost() {
    let (_aws, _gcp, proxy) = logging().await;
    let mut client = proxy.client().await;
    let now = proxy.dir().path("access.jsonl");
    let mut asked = BTreeSet::new();
    for round in 0..5 {
        for n in 0..100 {
            let target = format!("/read/{round}/{n}");
            assert!(client.get(&target).await.is_ok());
            asked.insert(target);
        }
        std::fs::rename(&now, proxy.dir().path(&format!("old.{round}"))).unwrap();
        proxy.signal(Signal::SIGUSR1);
        let made = async || now.exists().then_some(());
        eventually("the file is made anew", SOON, made).await;
    }
    assert!(client.get("/read/last").await.is_ok());
    line_of(&proxy, "/read/last").await;
    asked.insert("/read/last".to_owned());
    let mut all = lines(&now);
    for round in 0..5 {
        all.extend(lines(&proxy.dir().path(&format!("old.{round}"))));
    }
    assert_eq!(all.len(), asked.len(), "each line once");
    assert_eq!(targets(&all), asked);
}

#[tokio::test]
async fn a_full_disk_is_counted_and_said_once_and_disturbs_nobody() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let bare = policy(&aws, &gcp);
    let full = bare.clone().top("access_log: { to: /dev/full }");
    let proxy = Proxy::start(&full.text()).await;
    let mut client = proxy.client().await;
    assert!(client.get("/read/first").await.is_ok());
    proxy
        .wait_for_metric("leeward_access_log_errors_total", &[], 2.0)
        .await;
    let load = Load::start(proxy.plain(), 8, 0, Duration::ZERO);
    let dropped = [("reason", "unwritable")];
    eventually("lines are dropped", SOON * 6, async || {
        let metrics = proxy.metrics().await;
        let dropped = metrics.sum("leeward_access_log_dropped_total", &dropped);
        dropped.filter(|dropped| *dropped >= 1.0).map(|_| ())
    })
    .await;
    assert_eq!(failed_reads(&load.stop().await), [""; 0]);
    let said = proxy.log().matches("access log cannot be written").count();
    assert_eq!(said, 1, "{}", proxy.log());
    // The disk has room again, in another file: what waited is written there.
    let next = proxy.dir().write("next", &bare.top(TO_FILE).text());
    std::fs::rename(next, proxy.dir().path("policy.yaml")).unwrap();
    line_of(&proxy, "/read/first").await;
    let again = async || proxy.log().contains("written again").then_some(());
    eventually("that it is over is said", SOON, again).await;
}

/// Lines that come to a socket, until it ends or enough have come.
fn read_from(listener: &UnixListener, enough: usize) -> Vec<Value> {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let lines = BufReader::new(stream).lines().take(enough);
    lines
        .map(|line| serde_json::from_str(&line.unwrap()).expect("a whole line"))
        .collect()
}

#[tokio::test]
async fn a_socket_that_is_gone_for_a_while_loses_nothing_that_waits() {
    let dir = TempDir::new();
    let path = socket("gone");
    let listener = UnixListener::bind(&path).unwrap();
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let log = format!("access_log: {{ to: \"unix:{}\" }}", path.display());
    let proxy = Proxy::start_in(dir, &policy(&aws, &gcp).top(&log).text()).await;
    let mut client = proxy.client().await;
    for n in 0..10 {
        assert!(client.get(&format!("/read/before/{n}")).await.is_ok());
    }
    let first = tokio::task::spawn_blocking(move || (read_from(&listener, 10), listener));
    let (first, listener) = first.await.unwrap();
    assert_eq!(first.len(), 10);
    drop(listener);
    std::fs::remove_file(&path).unwrap();
    for n in 0..10 {
        assert!(client.get(&format!("/read/gone/{n}")).await.is_ok());
    }
    proxy
        .wait_for_metric("leeward_access_log_errors_total", &[], 2.0)
        .await;
    let listener = UnixListener::bind(&path).unwrap();
    let second = tokio::task::spawn_blocking(move || read_from(&listener, 10))
        .await
        .unwrap();
    let expected: BTreeSet<String> = (0..10).map(|n| format!("/read/gone/{n}")).collect();
    assert_eq!(targets(&second), expected);
    std::fs::remove_file(&path).ok();
    assert_eq!(
        proxy.log().matches("access log cannot be written").count(),
        1
    );
}

/// Reads all connections that come one after the other, until `enough` whole lines have come. Only
/// the last line of a connection may be cut.
fn read_all(listener: &UnixListener, enough: usize) -> Vec<Value> {
    let mut all = Vec::new();
    while all.len() < enough {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while all.len() < enough && reader.read_line(&mut line).unwrap() > 0 {
            if line.ends_with('\n') {
                all.push(serde_json::from_str(&line).expect("a whole line"));
            }
            line.clear();
        }
    }
    all
}

#[tokio::test]
async fn a_reader_that_takes_nothing_holds_nobody_up_and_gets_all_of_it_later() {
    let path = socket("slow");
    let listener = UnixListener::bind(&path).unwrap();
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let log = format!("access_log: {{ to: \"unix:{}\" }}", path.display());
    let proxy = Proxy::start(&policy(&aws, &gcp).top(&log).text()).await;
    let load = Load::start(proxy.plain(), 8, 0, PACE);
    // Nobody reads: what fits into the socket is full soon, and a write stalls.
    eventually("a write stalls", SOON * 3, async || {
        let metrics = proxy.metrics().await;
        let errors = metrics.sum("leeward_access_log_errors_total", &[]);
        errors.filter(|errors| *errors >= 1.0).map(|_| ())
    })
    .await;
    load.wait_for(200).await;
    let told = load.stop().await;
    assert_eq!(failed_reads(&told), [""; 0]);
    let asked = told.len();
    let read = tokio::task::spawn_blocking(move || read_all(&listener, asked));
    let lines = read.await.unwrap();
    let key = |line: &Value| format!("{}{}", line["peer"], line["time"]);
    let distinct: BTreeSet<String> = lines.iter().map(key).collect();
    assert_eq!(distinct.len(), asked, "each line whole, and once");
    let dropped = proxy
        .metrics()
        .await
        .sum("leeward_access_log_dropped_total", &[]);
    assert_eq!(dropped, Some(0.0));
    std::fs::remove_file(&path).ok();
}

#[tokio::test]
async fn a_reload_moves_the_log_without_a_loss() {
    let (aws, gcp, proxy) = logging().await;
    let mut client = proxy.client().await;
    let mut asked = BTreeSet::new();
    let bare = policy(&aws, &gcp);
    let other = bare.clone().top("access_log: { to: other.jsonl }").text();
    for n in 0..300 {
        if n == 100 {
            let next = proxy.dir().write("next", &other);
            std::fs::rename(next, proxy.dir().path("policy.yaml")).unwrap();
        }
        let target = format!("/read/{n}");
        assert!(client.get(&target).await.is_ok());
        asked.insert(target);
    }
    let (one, two) = (
        proxy.dir().path("access.jsonl"),
        proxy.dir().path("other.jsonl"),
    );
    eventually("the other file is made", SOON, async || {
        two.exists().then_some(())
    })
    .await;
    assert!(client.get("/read/last").await.is_ok());
    asked.insert("/read/last".to_owned());
    eventually("the last line", SOON, async || {
        targets(&lines(&two)).contains("/read/last").then_some(())
    })
    .await;
    let all = [lines(&one), lines(&two)].concat();
    assert_eq!(all.len(), asked.len());
    assert_eq!(targets(&all), asked);
    // Without the key it ends.
    let next = proxy.dir().write("next", &bare.text());
    std::fs::rename(next, proxy.dir().path("policy.yaml")).unwrap();
    let loaded = [("result", "loaded")];
    proxy
        .wait_for_metric("leeward_policy_reloads_total", &loaded, 3.0)
        .await;
    assert!(client.get("/read/unlogged").await.is_ok());
    proxy.signal(Signal::SIGTERM);
    let mut proxy = proxy;
    assert_eq!(proxy.ended().await.code, Some(0));
    assert!(!targets(&lines(&two)).contains("/read/unlogged"));
}

#[tokio::test]
async fn the_end_of_leeward_writes_what_waits() {
    let (_aws, _gcp, mut proxy) = logging().await;
    let mut client = proxy.client().await;
    for n in 0..50 {
        assert!(client.get(&format!("/read/{n}")).await.is_ok());
    }
    proxy.signal(Signal::SIGTERM);
    drop(client);
    assert_eq!(proxy.ended().await.code, Some(0));
    assert_eq!(lines(&proxy.dir().path("access.jsonl")).len(), 50);
}

/// Opening a pipe that nobody reads never ends, like a disk that hangs.
#[tokio::test]
async fn a_log_that_hangs_costs_lines_and_neither_requests_nor_the_end() {
    let dir = TempDir::new();
    let made = Command::new("mkfifo").arg(dir.path("pipe")).status();
    assert!(made.unwrap().success());
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let text = policy(&aws, &gcp).top("access_log: { to: pipe }").text();
    let mut proxy = Proxy::start_in(dir, &text).await;
    let load = Load::start(proxy.plain(), 8, 0, Duration::ZERO);
    let full = [("reason", "full")];
    eventually("lines are dropped", SOON * 6, async || {
        let metrics = proxy.metrics().await;
        let dropped = metrics.sum("leeward_access_log_dropped_total", &full);
        dropped.filter(|dropped| *dropped >= 1.0).map(|_| ())
    })
    .await;
    assert_eq!(failed_reads(&load.stop().await), [""; 0]);
    proxy.signal(Signal::SIGTERM);
    let ended = proxy.ended().await;
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stderr.contains("the access log hangs"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn stdout_takes_the_lines_and_nothing_else() {
    let (aws, gcp) = (Backend::start("aws"), Backend::start("gcp"));
    let dir = TempDir::new();
    let out = dir.path("access.jsonl");
    let script = format!("exec \"$0\" \"$@\" > {}", out.display());
    let text = policy(&aws, &gcp).top("access_log: { to: stdout }").text();
    let proxy = Proxy::launch(dir, &text, &["sh", "-c", &script]).await;
    assert!(proxy.get("/read/x").await.is_ok());
    line_of(&proxy, "/read/x").await;
    assert_eq!(lines(&out).len(), 1);
}
