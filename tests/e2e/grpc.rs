//! gRPC with real clients and servers (`grpcio`): health, calls of every kind, and how they end.
//! `./tests/run` installs it.

mod calls;
mod ends;
mod health;
mod timeout;

use crate::clients::python;
use crate::support::policy::{Policy, quick_failover};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// A plain listener that takes HTTP/2 by prior knowledge.
const H2C: &str = "plain: { bind: \"127.0.0.1:0\", h2c: true }";

const ROUTES: &str = "
  - { name: order, match: { path_prefix: /test.Order }, class: order, pool: main, deadline: 1s }
  - { name: read, match: { path_prefix: /test.Read }, class: public_read, pool: main }
  - { name: stream, match: { path_prefix: /test.Stream }, class: stream, pool: main }
";

/// Asks for the health of the service that the servers here have.
const PROBE: &str =
    "probe: { service: test.Exchange, interval: 100ms, timeout: 1s, rise: 2, fall: 2 }";

/// A gRPC server in a process of its own; it ends with the test.
struct Server {
    child: Child,
    orders: ChildStdin,
    says: BufReader<ChildStdout>,
    address: String,
    scheme: &'static str,
}

impl Server {
    /// A plain one.
    fn start(name: &str) -> Self {
        Self::with("http", &[name])
    }

    /// One with TLS.
    fn start_tls(name: &str, cert: &str, key: &str) -> Self {
        Self::with("https", &[name, cert, key])
    }

    fn with(scheme: &'static str, arguments: &[&str]) -> Self {
        let mut child = python("grpc_server.py")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, says) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut server = Self {
            child,
            orders,
            says: BufReader::new(says),
            address: String::new(),
            scheme,
        };
        server.address = server.answer();
        server
    }

    /// An entry of a policy.
    fn entry(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What the health service says of this service from now on.
    fn set(&mut self, service: &str, status: &str) {
        assert_eq!(self.tell(&format!("{status} {service}")), "set");
    }

    /// How many orders it has executed, by its own record.
    fn executed(&mut self) -> usize {
        self.tell("orders").parse().unwrap()
    }

    fn tell(&mut self, line: &str) -> String {
        writeln!(self.orders, "{line}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A call by a real client that is under way; its process ends with the test.
struct Call {
    child: Child,
    says: BufReader<ChildStdout>,
}

/// How a call ended.
#[derive(Debug)]
struct Ended {
    messages: Vec<String>,
    code: String,
    details: String,
    head: Value,
    trailers: Value,
}

impl Call {
    /// `kind`, method and requests as `grpc_client.py` takes them; `ca` for TLS.
    fn start(address: SocketAddr, words: &[&str], ca: Option<&str>) -> Self {
        let mut command = python("grpc_client.py");
        if let Some(ca) = ca {
            command.env("CA_FILE", ca);
        }
        let command = command.arg(address.to_string()).args(words);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        Self { child, says }
    }

    /// The next message.
    fn message(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// How it ended, with the messages that came since.
    fn end(&mut self) -> Ended {
        let mut messages = Vec::new();
        loop {
            let line = self.message();
            assert!(!line.is_empty(), "the client ended without a word");
            let Ok(end) = serde_json::from_str::<Value>(&line) else {
                messages.push(line);
                continue;
            };
            if !end.is_object() {
                messages.push(line);
                continue;
            }
            let text = |key: &str| end[key].as_str().unwrap_or_default().to_owned();
            return Ended {
                messages,
                code: text("code"),
                details: text("details"),
                head: end["head"].clone(),
                trailers: end["trailers"].clone(),
            };
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A call to its end.
async fn call(address: SocketAddr, words: &[&str]) -> Ended {
    call_over(address, words, None).await
}

/// The same over TLS, where a CA is given.
async fn call_over(address: SocketAddr, words: &[&str], ca: Option<&str>) -> Ended {
    let mut call = Call::start(address, words, ca);
    let ended = tokio::task::spawn_blocking(move || call.end());
    ended.await.unwrap()
}

/// A policy of these backends, which speak gRPC, behind a listener that takes HTTP/2.
fn policy(backends: &[(&str, String)]) -> Policy {
    Policy::of_urls(backends)
        .listeners(H2C)
        .routes(ROUTES)
        .pool("protocol: http2")
        .pool("orders: { protocol: http2 }")
}

/// The same of two, one after the other.
fn primary_and_standby(aws: String, gcp: String) -> Policy {
    policy(&[("aws/one", aws), ("gcp/two", gcp)]).pool(&quick_failover("[[aws], [gcp]]"))
}
