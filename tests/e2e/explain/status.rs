//! `leeward status`: what is failing, what was done about it; and a proxy that cannot be asked.

use super::live::outage;
use crate::operator::say;
use crate::support::nobody::Nobody;
use crate::support::proxy::{Proxy, leeward};
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

#[tokio::test]
async fn the_status_shows_what_is_down_why_and_what_was_decided() {
    let (_aws, _gcp, proxy) = outage().await;
    let (code, _, _) = say(&proxy, &["drain", "aws", "--reason", "it burns"]);
    assert_eq!(code, Some(0));
    let (code, told, more) = say(&proxy, &["status"]);
    assert_eq!((code, more.as_str()), (Some(0), ""), "{told}");
    for words in [
        ": serving, ready, up ",
        "      endpoints_down 1 of 1, hold_down 10m\n",
        "  1 of 1 endpoints\n",
        "down, draining",
        "hold-down ends in 9m",
        "operator: draining, until `leeward restore` (it burns)",
        "pool main: reads mostly at tier 2, orders at gcp",
        "100%  ####################",
        "last decisions",
        "pool main: writer aws -> gcp (writer_lost;",
        "operator active -> draining",
    ] {
        assert!(told.contains(words), "no `{words}` in:\n{told}");
    }
    assert!(
        !told.contains('\x1b'),
        "colours only for a terminal: {told:?}"
    );
    let held = |name: &str| {
        let mut lines = told.lines();
        lines.any(|line| line.trim_start().starts_with(name) && line.contains(" down"))
    };
    assert!(held("aws/one") && !held("gcp/one"), "{told}");
    for line in told.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let (_, told, _) = say(&proxy, &["status", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["engine"]["providers"][0]["verdict"], "down");
    let last = told["decisions"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(last["change"], "operator");
}

#[tokio::test]
async fn a_watch_draws_again_and_lives_through_a_restart() {
    let (_aws, _gcp, mut proxy) = outage().await;
    let address = format!("http://{}", proxy.admin_address());
    let mut watch = Command::new(leeward())
        .args(["status", "--watch", "--admin", &address])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(watch.stdout.take().unwrap());
    let (told, lines) = channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if told.send(line).is_err() {
                break;
            }
        }
    });
    let mut seen = Vec::new();
    let mut wait_for = async |words: &str| {
        eventually(words, SOON, async || {
            seen.extend(lines.try_iter());
            let at = seen.iter().position(|line| line.contains(words))?;
            seen.drain(..=at);
            Some(())
        })
        .await;
    };
    wait_for("serving, ready").await;
    wait_for("serving, ready").await;
    proxy.kill();
    wait_for("no leeward answers there").await;
    wait_for("asking again").await;
    watch.kill().unwrap();
    watch.wait().unwrap();
}

/// Answers every request with `answer`; says what came.
fn answering(answer: &'static str) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.extend(byte);
            }
            stream.write_all(answer.as_bytes()).ok();
            if told.send(String::from_utf8(head).unwrap()).is_err() {
                return;
            }
        }
    });
    (address, heard)
}

/// Runs the command line; its exit code and what it says on stderr.
fn ask(arguments: &[&str], admin: &str, token: Option<&str>) -> (Option<i32>, String) {
    let mut command = Command::new(leeward());
    command.args(arguments).args(["--admin", admin]);
    match token {
        Some(token) => command.env("LEEWARD_ADMIN_TOKEN", token),
        None => command.env_remove("LEEWARD_ADMIN_TOKEN"),
    };
    let said = command.output().unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "");
    (said.status.code(), String::from_utf8(said.stderr).unwrap())
}

const VERBS: [&[&str]; 4] = [
    &["status"],
    &["status", "--watch"],
    &["explain", "--request", "GET /"],
    &["evacuate", "aws"],
];

#[test]
fn a_proxy_that_does_not_answer_is_told_in_one_line() {
    let nobody = Nobody::new();
    let address = nobody.url();
    for verb in VERBS {
        let (code, told) = ask(verb, &address, None);
        assert_eq!((code, told.lines().count()), (Some(1), 1), "{told}");
        assert!(told.contains("no leeward answers there"), "{told}");
    }
    for verb in VERBS {
        let (code, told) = ask(verb, "https://a/b c", None);
        assert_eq!((code, told.lines().count()), (Some(2), 1), "{told}");
        assert!(told.contains("is no URL such as"), "{told}");
    }
}

#[test]
fn what_is_no_admin_side_is_told_in_one_line() {
    let html = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<x>\x1b[";
    let other = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]";
    let noise = "SSH-2.0-OpenSSH_9.2\r\n";
    let forbidden = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for answer in [html, other, noise, forbidden] {
        let (address, _heard) = answering(answer);
        for verb in VERBS {
            let (code, told) = ask(verb, &format!("http://{address}"), None);
            assert_eq!((code, told.lines().count()), (Some(1), 1), "{told}");
            assert!(!told.contains('\x1b'), "{told:?}");
        }
    }
}

#[test]
fn a_token_is_shown_to_the_admin_side_and_to_nobody_else() {
    let refused = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (address, heard) = answering(refused);
    let address = format!("http://{address}");
    for verb in VERBS {
        let (code, told) = ask(verb, &address, None);
        assert_eq!((code, told.lines().count()), (Some(1), 1), "{told}");
        assert!(told.contains("--token-file"), "{told}");
        assert!(
            !heard
                .recv()
                .unwrap()
                .to_lowercase()
                .contains("authorization")
        );

        let (code, told) = ask(verb, &address, Some("sesame-1"));
        assert_eq!((code, told.lines().count()), (Some(1), 1), "{told}");
        assert!(told.contains("the token is refused"), "{told}");
        assert!(!told.contains("sesame"), "{told}");
        let head = heard.recv().unwrap();
        assert!(
            head.contains("authorization: Bearer sesame-1\r\n"),
            "{head}"
        );
    }
    let dir = TempDir::new();
    let file = dir.write("token", "sesame-2\n");
    let verb = ["status", "--token-file", file.to_str().unwrap()];
    ask(&verb, &address, Some("sesame-1"));
    assert!(
        heard.recv().unwrap().contains("Bearer sesame-2\r\n"),
        "a file comes first"
    );
    for (bad, words) in [
        ("", "no token"),
        ("two words", "no token"),
        ("a\u{0}b", "no token"),
    ] {
        let file = dir.write("bad", bad);
        let verb = ["status", "--token-file", file.to_str().unwrap()];
        let (code, told) = ask(&verb, &address, None);
        assert_eq!((code, told.lines().count()), (Some(2), 1), "{told}");
        assert!(
            told.contains(words) && !told.contains("two words"),
            "{told}"
        );
    }
    let nowhere = ["status", "--token-file", "/nonexistent/token"];
    assert_eq!(ask(&nowhere, &address, None).0, Some(2));
}

/// What a terminal gets; `script` is one.
fn on_a_terminal(proxy: &Proxy, variables: &[(&str, &str)]) -> String {
    let address = proxy.admin_address();
    let command = format!("{} status --admin http://{address}", leeward());
    let said = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(said.status.success());
    String::from_utf8(said.stdout).unwrap()
}

#[tokio::test]
async fn a_terminal_gets_colours_unless_it_wants_none() {
    let (_aws, _gcp, proxy) = outage().await;
    let told = on_a_terminal(&proxy, &[]);
    assert!(told.contains("\x1b[31mdown"), "{told:?}");
    for none in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let told = on_a_terminal(&proxy, &[none]);
        assert!(told.contains("down") && !told.contains('\x1b'), "{told:?}");
    }
}
