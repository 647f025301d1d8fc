//! Real clients: curl, Python and wrk. `./tests/run` installs them.

use crate::support::backend::Backend;
use crate::support::certs::Ca;
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wire::text;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

async fn one() -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).text()).await;
    (backend, proxy)
}

/// Runs a command to its end and returns what it said on stdout; it must end well.
pub(crate) async fn run(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output
        .await
        .unwrap()
        .expect("a client; ./tests/run installs what is missing");
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    said
}

pub(crate) fn curl(arguments: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--path-as-is",
        ])
        .args(arguments);
    command
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/clients")
}

/// The Python that `./tests/run` has prepared.
pub(crate) fn python(script: &str) -> Command {
    let prepared = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    assert!(
        prepared.exists(),
        "{} is missing; ./tests/run makes it",
        prepared.display()
    );
    let mut command = Command::new(prepared);
    command.arg(folder().join(script));
    command
}

#[tokio::test]
async fn curl_is_served_with_its_path_as_it_is() {
    let (backend, proxy) = one().await;
    let url = format!("http://{}//a/../b%2F?x=%7e&&y", proxy.plain());
    assert_eq!(run(curl(&[&url])).await, "aws\n");
    assert_eq!(text(backend.last().head.target()), "//a/../b%2F?x=%7e&&y");
    let url = format!("http://{}/read/status/204", proxy.plain());
    assert_eq!(
        run(curl(&["--write-out", "%{http_code}", &url])).await,
        "204"
    );
    let url = format!("http://{}/read/bytes/1000", proxy.plain());
    assert!(
        run(curl(&["--head", &url]))
            .await
            .contains("Content-Length: 1000")
    );
}

#[tokio::test]
async fn curl_uploads_with_expect_continue_and_in_chunks() {
    let (backend, proxy) = one().await;
    let dir = TempDir::new();
    let file = dir.write("upload", &"0123456789".repeat(200_000));
    let url = format!("http://{}/echo", proxy.plain());
    for extra in [
        ["--header", "Expect: 100-continue"],
        ["--header", "Transfer-Encoding: chunked"],
    ] {
        let upload = ["--upload-file", file.to_str().unwrap(), &url];
        let said = run(curl(&[&extra[..], &upload[..]].concat())).await;
        assert_eq!(said.len(), 2_000_000);
        assert_eq!(backend.last().body.bytes.len(), 2_000_000);
    }
}

#[tokio::test]
async fn curl_is_served_over_tls() {
    let (ca, dir, backend) = (Ca::new(), TempDir::new(), Backend::start("aws"));
    let leaf = ca.leaf(&["api.example"]);
    dir.write("leaf.pem", &leaf.cert);
    dir.write("leaf.key", &leaf.key);
    let ca_file = dir.write("ca.pem", &ca.pem()).display().to_string();
    let listener = "plain: { bind: \"127.0.0.1:0\", tls: { certificates: [{ cert: leaf.pem, key: leaf.key }] } }";
    let policy = Policy::of(&[("aws/one", &backend)])
        .listeners(listener)
        .text();
    let proxy = Proxy::start_in(dir, &policy).await;
    let port = proxy.plain().port();
    let resolve = format!("api.example:{port}:127.0.0.1");
    let url = format!("https://api.example:{port}/read/x");
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let said = run(curl(&[
            "--cacert",
            &ca_file,
            "--resolve",
            &resolve,
            version,
            "--tls-max",
            &version[6..],
            &url,
        ]))
        .await;
        assert_eq!(said, "aws\n", "{version}");
    }
}

#[tokio::test]
async fn python_clients_are_served_and_their_signatures_verify() {
    let (_backend, proxy) = one().await;
    let mut command = python("http_client.py");
    command.arg(proxy.plain().to_string());
    let said = run(command).await;
    assert!(said.trim_end().ends_with("all well"), "{said}");
}

/// A server that speaks WebSocket through a library of its own; it ends with the test.
struct WebSocketServer {
    child: Child,
    address: String,
}

impl WebSocketServer {
    fn start() -> Self {
        let mut child = python("websocket_server.py")
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let stdout = child.stdout.take().unwrap();
        std::io::BufReader::new(stdout)
            .read_line(&mut address)
            .unwrap();
        Self {
            child,
            address: address.trim().to_owned(),
        }
    }
}

impl Drop for WebSocketServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn python_websockets_pass() {
    let server = WebSocketServer::start();
    let url = format!("http://{}", server.address);
    let proxy = Proxy::start(&Policy::of_urls(&[("aws/one", url)]).text()).await;
    let mut command = python("websocket_client.py");
    command.arg(proxy.plain().to_string());
    let said = run(command).await;
    assert!(said.trim_end().ends_with("all well"), "{said}");
}

#[tokio::test]
async fn wrk_sees_no_error() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).workers(2).text()).await;
    let mut command = Command::new("wrk");
    command.args([
        "--threads",
        "1",
        "--connections",
        "8",
        "--duration",
        "2s",
        "--timeout",
        "5s",
    ]);
    command.arg(format!("http://{}/read/x", proxy.plain()));
    let said = run(command).await;
    assert!(said.contains("requests in"), "{said}");
    assert!(
        !said.contains("Non-2xx") && !said.contains("Socket errors"),
        "{said}"
    );
}
