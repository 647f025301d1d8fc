//! Real clients of HTTP/2: curl, nghttp, h2load, Python's `h2`. `./tests/run` installs them.

use super::{SECURE, h2c};
use crate::clients::{curl, python, run};
use crate::support::backend::Backend;
use crate::support::certs::Ca;
use crate::support::h2::site::Site;
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use std::process::Command;

#[tokio::test]
async fn curl_is_served_by_prior_knowledge_and_by_agreement() {
    let (ca, dir, backend) = (Ca::new(), TempDir::new(), Backend::start("aws"));
    let leaf = ca.leaf(&["first.example"]);
    dir.write("first.pem", &leaf.cert);
    dir.write("first.key", &leaf.key);
    let ca_file = dir.write("ca.pem", &ca.pem()).display().to_string();
    let listeners = SECURE.replace("plain: { ", "plain: { h2c: true, ");
    let policy = Policy::of(&[("aws/one", &backend)]).listeners(&listeners);
    let proxy = Proxy::start_in(dir, &policy.text()).await;
    let told = ["--write-out", "%{http_version}"];
    let url = format!("http://{}//a/../b%2F?x=%7e", proxy.plain());
    let said = run(curl(
        &[&told[..], &["--http2-prior-knowledge", &url]].concat(),
    ))
    .await;
    assert_eq!(said, "aws\n2");
    let said = run(curl(&[&told[..], &[&url]].concat())).await;
    assert_eq!(said, "aws\n1.1");
    let port = proxy.listener("secure").port();
    let resolve = format!("first.example:{port}:127.0.0.1");
    let url = format!("https://first.example:{port}/read/x");
    let secure = ["--cacert", &ca_file, "--resolve", &resolve, &url];
    for (version, spoken) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let said = run(curl(&[&told[..], &[version], &secure[..]].concat())).await;
        assert_eq!(said, format!("aws\n{spoken}"));
    }
    let targets: Vec<_> = backend
        .requests()
        .iter()
        .map(|seen| seen.head.target().to_vec())
        .collect();
    assert_eq!(targets[0], b"//a/../b%2F?x=%7e");
}

#[tokio::test]
async fn curl_uploads_over_http_2() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&h2c(backend.url()).text()).await;
    let dir = TempDir::new();
    let file = dir.write("upload", &"0123456789".repeat(200_000));
    let url = format!("http://{}/echo", proxy.plain());
    let arguments = [
        "--http2-prior-knowledge",
        "--upload-file",
        file.to_str().unwrap(),
        &url,
    ];
    let said = run(curl(&arguments)).await;
    assert_eq!(said.len(), 2_000_000);
}

#[tokio::test]
async fn nghttp_is_served() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&h2c(backend.url()).text()).await;
    let mut command = Command::new("nghttp");
    command.args(["--multiply=20", "--stat", "--null-out"]);
    command.arg(format!("http://{}/read/bytes/100000", proxy.plain()));
    let said = run(command).await;
    assert_eq!(said.matches(" 200 ").count(), 20, "{said}");
}

/// Over HTTP/2 on both sides, and over HTTP/1.1 to the backend.
#[tokio::test]
async fn h2load_sees_no_error() {
    let (backend, site) = (Backend::start("aws"), Site::start());
    for entry in [backend.url(), site.entry("protocol: http2")] {
        let proxy = Proxy::start(&h2c(entry).workers(2).text()).await;
        let mut command = Command::new("h2load");
        command.args([
            "--requests=1000",
            "--clients=4",
            "--max-concurrent-streams=10",
        ]);
        command.arg(format!("http://{}/read/bytes/1000", proxy.plain()));
        let said = run(command).await;
        assert!(
            said.contains("1000 succeeded, 0 failed, 0 errored"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn python_clients_misbehave_while_a_good_one_is_served() {
    let backend = Backend::start("aws");
    // Time enough for a backend that shares its core with all of them.
    let routes = "\n  - { name: read, match: { path_prefix: /read }, class: public_read, pool: main, deadline: 30s }
  - { name: rest, match: {}, pool: main, deadline: 30s }";
    let policy = h2c(backend.url())
        .routes(routes)
        .top("limits: { write_stall: 2s, body_idle: 1s }");
    let proxy = Proxy::start(&policy.text()).await;
    let mut command = python("http2_client.py");
    command.arg(proxy.plain().to_string());
    let said = run(command).await;
    assert!(said.trim_end().ends_with("all well"), "{said}");
    assert!(
        backend.connections() < 600,
        "{} connections",
        backend.connections()
    );
}
