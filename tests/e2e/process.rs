//! leeward as a process: how it starts, how it says why not, how it drains, what it survives.

use crate::support::backend::{Act, Backend, Step};
use crate::support::certs::Ca;
use crate::support::client::Client;
use crate::support::policy::Policy;
use crate::support::proxy::{Proxy, leeward};
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use crate::support::wire::End;
use nix::sys::signal::Signal;
use std::process::Command;
use std::time::{Duration, Instant};

async fn one(drain: &str) -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]).top(&format!("drain: {{ {drain} }}"));
    (backend, Proxy::start(&policy.text()).await)
}

/// Starts with a policy that must not start and checks the code and the words.
async fn fails(dir: &TempDir, policy: &str, code: i32, words: &[&str]) {
    let ended = Proxy::run_to_end(dir, policy).await;
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "no {word:?} in: {}",
            ended.stderr
        );
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_bad_policy_ends_with_2_and_says_where_and_why() {
    let (dir, backend) = (TempDir::new(), Backend::start("aws"));
    let good = Policy::of(&[("aws/one", &backend)]).text();
    fails(&dir, "version: 1\nlisteners: [", 2, &["bad.yaml"]).await;
    fails(&dir, "", 2, &["bad.yaml"]).await;
    fails(
        &dir,
        &good.replace("workers: 1", "wrokers: 1"),
        2,
        &["bad.yaml:3", "wrokers", "workers"],
    )
    .await;
    fails(
        &dir,
        &good.replace("site: aws/one", "site: aws/two"),
        2,
        &["aws/two"],
    )
    .await;
    fails(
        &dir,
        &good.replace("version: 1", "version: 9"),
        2,
        &["bad.yaml:1", "version"],
    )
    .await;
    let three = good
        .replace("workers: 1", "workers: none")
        .replace("class: cancel", "class: cancle")
        .replace("deadline: 60s", "deadline: 60");
    fails(&dir, &three, 2, &["workers", "cancle", "deadline"]).await;
}

#[tokio::test]
async fn a_policy_that_is_not_there_or_no_text_ends_with_2() {
    let dir = TempDir::new();
    for name in ["not-there.yaml", "."] {
        let output = Command::new(leeward())
            .arg("run")
            .arg(dir.path(name))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
    std::fs::write(dir.path("bytes.yaml"), b"version: \xff\xfe\0\n").unwrap();
    let output = Command::new(leeward())
        .arg("run")
        .arg(dir.path("bytes.yaml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn bad_usage_ends_with_2() {
    for arguments in [
        &["run"] as &[&str],
        &["no-such-verb"],
        &["run", "--no-such-flag"],
        &[],
    ] {
        let output = Command::new(leeward()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    for arguments in [["--version"], ["--help"]] {
        let output = Command::new(leeward()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn certificates_that_are_missing_or_do_not_match_end_with_2_and_name_the_file() {
    let (dir, backend, ca) = (TempDir::new(), Backend::start("aws"), Ca::new());
    let (one, other) = (ca.leaf(&["a.example"]), ca.leaf(&["b.example"]));
    dir.write("one.pem", &one.cert);
    dir.write("one.key", &one.key);
    dir.write("other.key", &other.key);
    dir.write("empty.pem", "");
    let with = |cert: &str, key: &str| {
        let tls = format!(
            "s: {{ bind: \"127.0.0.1:0\", tls: {{ certificates: [{{ cert: {cert}, key: {key} }}] }} }}"
        );
        Policy::of(&[("aws/one", &backend)]).listeners(&tls).text()
    };
    fails(&dir, &with("gone.pem", "one.key"), 2, &["gone.pem"]).await;
    fails(&dir, &with("one.pem", "gone.key"), 2, &["gone.key"]).await;
    fails(
        &dir,
        &with("one.pem", "other.key"),
        2,
        &["one.pem", "other.key"],
    )
    .await;
    fails(&dir, &with("empty.pem", "one.key"), 2, &["empty.pem"]).await;
    fails(&dir, &with("one.key", "one.key"), 2, &["one.key"]).await;
    let url = backend.url().replace("http://", "https://");
    let ca_gone = Policy::of_urls(&[("aws/one", format!("{url}, ca: gone-ca.pem"))]).text();
    fails(&dir, &ca_gone, 2, &["gone-ca.pem"]).await;
}

#[tokio::test]
async fn a_port_in_use_ends_with_1_also_when_another_leeward_has_it() {
    let (backend, first) = one("linger: 1s").await;
    let foreign = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (dir, policy) = (TempDir::new(), Policy::of(&[("aws/one", &backend)]).text());
    for taken in [
        first.plain(),
        first.admin_address(),
        foreign.local_addr().unwrap(),
    ] {
        let address = taken.to_string();
        let listener = format!("plain: {{ bind: \"{address}\" }}");
        let policy = Policy::of(&[("aws/one", &backend)])
            .listeners(&listener)
            .text();
        fails(&dir, &policy, 1, &[&address]).await;
    }
    let admin = first.admin_address().to_string();
    let policy = policy.replacen(
        "admin: { bind: \"127.0.0.1:0\" }",
        &format!("admin: {{ bind: \"{admin}\" }}"),
        1,
    );
    fails(&dir, &policy, 1, &[&admin]).await;
    assert!(
        first.get("/read/x").await.is_ok(),
        "the first one is not disturbed"
    );
}

#[tokio::test]
async fn sigterm_drains_in_flight_requests_end_well_and_the_exit_is_0() {
    let (backend, mut proxy) = one("linger: 1s, timeout: 10s").await;
    let held = [
        Step::Hold,
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"),
    ];
    backend.act_once(Act::Script(held.to_vec()));
    let mut in_flight = proxy.client().await;
    in_flight
        .send("GET /read/slow HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    eventually("the request arrives", SOON, async || {
        backend.requests().pop()
    })
    .await;
    let mut idle = proxy.client().await;
    assert!(idle.get("/read/x").await.is_ok());

    proxy.signal(Signal::SIGTERM);
    let unready = async || (proxy.admin("/readyz").await.status() == 503).then_some(());
    eventually("not ready", SOON, unready).await;
    assert_eq!(proxy.admin("/livez").await.status(), 200);
    let late = proxy.get("/read/late").await;
    assert!(late.is_ok(), "it still accepts while it lingers");
    assert_eq!(late.head.get("connection"), Some("close"));
    backend.release();
    let answer = in_flight.answer("GET").await;
    assert!(answer.is_ok());
    assert!(in_flight.is_closed().await);
    assert!(idle.is_closed().await);
    let ended = proxy.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn a_drain_ends_at_its_timeout() {
    let (backend, mut proxy) = one("linger: 100ms, timeout: 500ms").await;
    backend.act(Act::Script(vec![
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf"),
        Step::Hold,
    ]));
    let mut client = proxy.client().await;
    client.send("GET /read/x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.head().await.expect("a head");
    let asked = Instant::now();
    proxy.signal(Signal::SIGTERM);
    let ended = proxy.ended().await;
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let body = client
        .into_wire()
        .body(crate::support::wire::Framing::Length(100_000))
        .await;
    assert_ne!(body.end, End::Whole);
}

/// A tunnel has no end of its own: the drain ends it when its time is over.
#[tokio::test]
async fn a_drain_closes_tunnels_at_its_timeout() {
    let (backend, mut proxy) = one("linger: 100ms, timeout: 500ms").await;
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    backend.act(Act::Script(vec![Step::send(switch), Step::Echo]));
    let mut client = proxy.client().await;
    let ask = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.send(ask).await;
    assert_eq!(client.head().await.expect("a 101").status(), 101);
    proxy.signal(Signal::SIGTERM);
    assert!(client.is_closed().await);
    assert_eq!(proxy.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_second_sigterm_ends_it_now() {
    let (backend, mut proxy) = one("linger: 20s, timeout: 60s").await;
    backend.act(Act::Hang);
    let mut client = proxy.client().await;
    client.send("GET /read/x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    proxy.signal(Signal::SIGTERM);
    let unready = async || (proxy.admin("/readyz").await.status() == 503).then_some(());
    eventually("not ready", SOON, unready).await;
    assert!(proxy.runs());
    let asked = Instant::now();
    proxy.signal(Signal::SIGTERM);
    let ended = proxy.ended().await;
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
    assert!(
        ended.code.is_some(),
        "it ends by itself, not by the signal: {}",
        ended.stderr
    );
}

#[tokio::test]
async fn sigint_drains_too() {
    let (_backend, mut proxy) = one("linger: 100ms").await;
    proxy.signal(Signal::SIGINT);
    assert_eq!(proxy.ended().await.code, Some(0));
}

#[tokio::test]
async fn the_limit_of_open_files_is_raised_to_the_hard_one() {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]).text();
    let proxy = Proxy::launch(TempDir::new(), &policy, &["prlimit", "--nofile=256:3000"]).await;
    let limits = proxy.proc("limits");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("3000"), "{line}");
}

#[tokio::test]
async fn running_out_of_files_is_survived() {
    let backend = Backend::start("aws");
    let policy = Policy::of(&[("aws/one", &backend)]).text();
    let proxy = Proxy::launch(TempDir::new(), &policy, &["prlimit", "--nofile=80:80"]).await;
    let mut early = proxy.client().await;
    assert!(early.get("/read/x").await.is_ok());
    let mut crowd = Vec::new();
    for _ in 0..120 {
        crowd.push(Client::connect(proxy.plain()).await);
    }
    assert!(early.get("/read/x").await.is_ok(), "who is in is served");
    drop(crowd);
    let served = async || {
        let mut client = Client::connect(proxy.plain()).await;
        client
            .try_send("GET /read/x HTTP/1.1\r\nHost: h\r\n\r\n")
            .await;
        client
            .try_answer("GET")
            .await
            .filter(|answer| answer.is_ok())
    };
    eventually("new clients are served again", SOON, served).await;
    let busy = [("reason", "file_descriptors")];
    proxy
        .wait_for_metric("leeward_downstream_connections_refused_total", &busy, 1.0)
        .await;
}

#[tokio::test]
async fn the_log_is_json_when_asked_for() {
    let (dir, backend) = (TempDir::new(), Backend::start("aws"));
    let path = dir.write("policy.yaml", &Policy::of(&[("aws/one", &backend)]).text());
    let ready = dir.path("ready.json");
    let mut child = Command::new(leeward())
        .args([
            "run",
            "--log-format",
            "json",
            "--log-level",
            "info",
            "--ready-file",
        ])
        .args([&ready, &path])
        .stderr(std::fs::File::create(dir.path("stderr")).unwrap())
        .spawn()
        .unwrap();
    eventually("leeward listens", SOON * 2, async || {
        ready.exists().then_some(())
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    let log = std::fs::read_to_string(dir.path("stderr")).unwrap();
    assert!(!log.trim().is_empty());
    for line in log.lines() {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert!(value.is_object(), "{line}");
    }
}
