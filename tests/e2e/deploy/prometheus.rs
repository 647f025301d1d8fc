//! A Prometheus of a test's own, on a free port, that scrapes a leeward four times a second.

use super::{content, repository};
use crate::support::client::Client;
use crate::support::proxy::{Proxy, json};
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use serde_json::Value;
use std::fmt::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A running Prometheus; it is killed when this is dropped.
pub(super) struct Prometheus {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Prometheus {
    /// Starts one as `deploy/prometheus` has it, with its rules, and waits until it has scraped.
    pub(super) async fn watch(proxy: &Proxy) -> Self {
        let dir = TempDir::new();
        let shipped = content("deploy/prometheus/prometheus.yml");
        let config = shipped
            .replace("127.0.0.1:9900", &proxy.admin_address().to_string())
            .replace("interval: 5s", "interval: 250ms");
        assert_ne!(config, shipped);
        dir.write("prometheus.yml", &config);
        for file in ["recording.rules.yml", "alerts.rules.yml"] {
            let from = repository("deploy/prometheus").join(file);
            std::fs::copy(from, dir.path(file)).unwrap();
        }
        let log = std::fs::File::create(dir.path("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!(
                "--config.file={}",
                dir.path("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus; ./tests/run installs it");
        let address = eventually("Prometheus listens", SOON * 3, async || {
            let log = std::fs::read_to_string(dir.path("log")).unwrap();
            let (_, after) = log.split_once("msg=\"Listening on\" address=")?;
            after.lines().next()?.trim().parse().ok()
        })
        .await;
        let this = Self {
            child,
            address,
            dir,
        };
        eventually("a scrape", SOON * 3, async || {
            let up = this.ask("up == 1").await.ok()?;
            (!up.is_empty()).then_some(())
        })
        .await;
        this
    }

    /// What a query gives: the numbers of all its series, or what is wrong with it.
    pub(super) async fn ask(&self, query: &str) -> Result<Vec<f64>, String> {
        let path = format!("/api/v1/query?query={}", encoded(query));
        let answer = Client::connect(self.address).await.get(&path).await;
        let said: Value = serde_json::from_slice(&answer.body.bytes)
            .map_err(|error| format!("{}: {error}", answer.text()))?;
        if said["status"] != "success" {
            return Err(said["error"].to_string());
        }
        let result = said["data"]["result"].as_array().ok_or("no list")?;
        let number = |sample: &Value| sample["value"][1].as_str()?.parse().ok();
        Ok(result.iter().filter_map(number).collect())
    }

    /// Every rule that it evaluates.
    pub(super) async fn rules(&self) -> Vec<Value> {
        let mut client = Client::connect(self.address).await;
        let said = json(&client.get("/api/v1/rules").await);
        let groups = said["data"]["groups"].as_array().unwrap().iter();
        groups
            .flat_map(|group| group["rules"].as_array().unwrap().clone())
            .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- Prometheus' log: {}", self.dir.path("log").display());
        }
    }
}

/// As a value in a query string.
fn encoded(text: &str) -> String {
    let mut said = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => said.push(char::from(byte)),
            _ => write!(said, "%{byte:02X}").unwrap(),
        }
    }
    said
}

/// The selectors in a query: names with their braces, of leeward and of what every target has.
pub(super) fn selectors(query: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(is_name) {
        let word = &rest[start..];
        let end = word.find(|c| !is_name(c)).unwrap_or(word.len());
        let name = &word[..end];
        rest = &word[end..];
        let braces = match rest.starts_with('{') {
            true => &rest[..=rest.find('}').expect("a closing brace")],
            false => "",
        };
        rest = &rest[braces.len()..];
        if name == "up"
            || ["leeward_", "leeward:", "process_"]
                .iter()
                .any(|p| name.starts_with(p))
        {
            found.push(format!("{name}{braces}"));
        }
    }
    found
}

#[test]
fn selectors_are_found_with_their_braces() {
    let query =
        r#"sum by (pool) (rate(leeward_a_total{x!="",y=~"a|b"}[5m])) / leeward:b:ratio > up"#;
    assert_eq!(
        selectors(query),
        [
            r#"leeward_a_total{x!="",y=~"a|b"}"#,
            "leeward:b:ratio",
            "up"
        ]
    );
}
