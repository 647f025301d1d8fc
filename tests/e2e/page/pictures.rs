//! The pictures of the docs: calm, outage and failback, as they really happen.
//!
//! `LEEWARD_SCREENSHOTS=1 tests/run page::pictures` renews docs/img; otherwise this does nothing.

use crate::support::browser::Browser;
use crate::support::load::Load;
use crate::support::policy::QUICK_PROBE;
use crate::support::process::BackendProcess;
use crate::support::proxy::Proxy;
use std::path::{Path, PathBuf};
use std::time::Duration;

const THINK: Duration = Duration::from_millis(6);

const ROUTES: &str = "
routes:
  - { match: { path_prefix: /read }, class: public_read, pool: trading }
  - { match: { path_prefix: /private }, class: private_read, pool: trading }
  - { match: { path_prefix: /order }, class: order, pool: trading }
  - { match: { path_prefix: /cancel }, class: cancel, pool: trading }
";

fn policy(backends: &[(&str, &str, &BackendProcess)]) -> String {
    let mut entries = String::new();
    for (site, capacity, backend) in backends {
        let url = backend.url();
        entries.push_str(&format!(
            "\n      - {{ url: {url}, site: {site}, capacity: {capacity}/s }}"
        ));
    }
    let failover = "failover: { tiers: [[aws/us-east-1], [gcp/us-east4, metal/ld4]], hold_down: { first: 12s, max: 40s }, ramp: 30s, keep_warm: 2% }";
    format!(
        "version: 1\nadmin: {{ bind: \"127.0.0.1:0\" }}\nworkers: 1\nlisteners: {{ plain: {{ bind: \"127.0.0.1:0\" }} }}\n\
         providers: {{ aws: {{ sites: [us-east-1] }}, gcp: {{ sites: [us-east4] }}, metal: {{ kind: self_hosted, sites: [ld4] }} }}\n\
         pools:\n  trading:\n    backends:{entries}\n    {QUICK_PROBE}\n    {failover}\n{ROUTES}"
    )
}

fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/img")
        .join(format!("{name}.png"))
}

/// Waits for so many times 200 answers: time passes by what happens.
async fn answers(load: &Load, times: usize) {
    for _ in 0..times {
        load.wait_for(200).await;
    }
}

/// In both colour schemes, the part above the fold and the whole page.
fn shoot(browser: &mut Browser, name: &str) {
    for scheme in ["light", "dark"] {
        browser.scheme(scheme);
        browser.shot(&picture(&format!("page-{name}-{scheme}")), true);
    }
    browser.scheme("light");
}

#[tokio::test]
async fn the_pictures_of_the_docs() {
    if std::env::var_os("LEEWARD_SCREENSHOTS").is_none() {
        return;
    }
    std::fs::create_dir_all(picture("any").parent().unwrap()).unwrap();
    let mut aws = BackendProcess::start("aws", THINK).await;
    let gcp = BackendProcess::start("gcp", THINK).await;
    let metal = BackendProcess::start("metal", THINK).await;
    let backends = [
        ("aws/us-east-1", "2000", &aws),
        ("gcp/us-east4", "2000", &gcp),
        ("metal/ld4", "800", &metal),
    ];
    let proxy = Proxy::start(&policy(&backends)).await;
    let load = Load::start_apart(proxy.plain(), 4, 2, Duration::from_millis(40));
    let mut browser = Browser::start();
    browser.size(1280, 900);
    browser.open(&format!("http://{}/", proxy.admin_address()));
    browser.read("#headline", "All 3 sites serve");
    answers(&load, 9).await;
    browser.read("#headline", "nothing is shed");
    shoot(&mut browser, "calm");

    aws.kill();
    browser.read("#headline", "is down since");
    answers(&load, 6).await;
    browser.read("#headline", "is down since.*nothing is shed");
    shoot(&mut browser, "outage");
    browser.click("[data-word=drain][data-target='metal/ld4']");
    browser.read("#steer-prospect", "Orders");
    browser.shot(&picture("page-drain-light"), false);
    browser.click("#steer-cancel");
    browser.size(360, 780);
    browser.read("#headline", "is down since");
    browser.shot(&picture("page-phone-light"), false);
    browser.size(1280, 900);

    aws.restart().await;
    browser.read("#headline", "comes home since");
    answers(&load, 6).await;
    browser.read("#headline", "comes home since");
    shoot(&mut browser, "failback");
    load.stop().await;
}
