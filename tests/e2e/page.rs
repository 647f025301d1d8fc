//! The page in a real browser, while real backends die behind it.

mod pictures;
mod steering;

use crate::support::browser::Browser;
use crate::support::load::{Load, assert_truth, failed_reads};
use crate::support::policy::{Policy, QUICK_PROBE, quick_failover};
use crate::support::process::BackendProcess;
use crate::support::proxy::Proxy;
use serde_json::{Value, json};
use std::time::Duration;

/// aws before gcp, both real processes, and a browser on the page.
struct Scene {
    aws: BackendProcess,
    gcp: BackendProcess,
    proxy: Proxy,
    browser: Browser,
}

impl Scene {
    async fn new() -> Self {
        let aws = BackendProcess::start("aws", Duration::from_millis(3)).await;
        let gcp = BackendProcess::start("gcp", Duration::from_millis(3)).await;
        let with_capacity =
            |backend: &BackendProcess| format!("{}, capacity: 1000/s", backend.url());
        let policy = Policy::of_urls(&[
            ("aws/one", with_capacity(&aws)),
            ("gcp/one", with_capacity(&gcp)),
        ])
        .pool(QUICK_PROBE)
        .pool(&quick_failover("[[aws/one], [gcp/one]]"))
        .pool("orders: { failback: automatic }");
        let proxy = Proxy::start(&policy.text()).await;
        proxy.wait_for_verdict("aws/one", "healthy").await;
        proxy.wait_for_verdict("gcp/one", "healthy").await;
        let mut browser = Browser::start();
        browser.open(&format!("http://{}/", proxy.admin_address()));
        Self {
            aws,
            gcp,
            proxy,
            browser,
        }
    }

    fn host(&self) -> String {
        self.proxy.admin_address().to_string()
    }

    fn load(&self) -> Load {
        Load::start_apart(self.proxy.plain(), 3, 1, Duration::from_millis(25))
    }
}

const SITE: &str = "#places [data-key='aws/one']";

#[tokio::test]
async fn the_page_says_calm_then_outage_then_the_way_home() {
    let mut scene = Scene::new().await;
    let load = scene.load();
    load.wait_for(100).await;
    let host = scene.host();
    let browser = &mut scene.browser;
    let calm = "All 2 sites serve; orders go to aws/one; nothing is shed";
    browser.read("#headline", calm);
    assert_eq!(browser.ask("document.body.dataset.level"), "calm");
    browser.read("#live", "live");
    browser.read(SITE, "healthy.*orders.*100 %");
    browser.read("#figures [data-key='Requests']", "[1-9][0-9.]*\\s*/s");
    browser.read("#policy-body", "[0-9a-f]{16}.*no problems");

    scene.aws.kill();
    let down = browser.read("#headline", "(^|; )aws(/one)? is down since");
    assert!(down.contains("reads and orders go to gcp/one"), "{down}");
    assert!(down.contains("50 % of the capacity is left"), "{down}");
    assert!(down.contains(" UTC ("), "{down}");
    browser.read(".answer-level", "Outage");
    browser.read(SITE, "down");
    browser.read("#flow-list", "order of pool main: 100 % to gcp/one");
    browser.read(".decision", "aws/one.*healthy → down");
    // The evidence of that decision is one key away.
    browser.click(".decision:has(b:text-is('aws/one')):has-text('→ down') summary");
    browser.read(".decision details[open] dl", ".");
    browser.read("#figures [data-key='Orders go to']", "gcp");
    assert!(
        browser
            .ask("document.title")
            .as_str()
            .unwrap()
            .contains("outage")
    );

    scene.aws.restart().await;
    browser.read(".decision", "aws/one.*down → recovering");
    browser.read("#headline", calm);
    browser.was_good(&host, &[]);
    let told = load.stop().await;
    assert_eq!(failed_reads(&told), Vec::<String>::new());
    let mut executed = scene.aws.executed();
    executed.extend(scene.gcp.executed());
    assert_truth(&told, &executed);
}

#[tokio::test]
async fn a_leeward_that_is_gone_is_said_and_so_is_its_return() {
    let mut scene = Scene::new().await;
    scene.browser.read("#live", "live");
    scene.proxy.kill();
    let gone = scene.browser.read("#headline", "does not answer");
    assert!(gone.contains("what stands here is from"), "{gone}");
    assert_eq!(scene.browser.ask("document.body.dataset.level"), "lost");
    scene.browser.read("#live", "no answer");
}

#[tokio::test]
async fn text_of_others_stays_text() {
    let mut scene = Scene::new().await;
    scene.browser.read("#live", "live");
    let nasty = "<img src=x onerror=alert(1)><b>bold</b>";
    let body = json!({ "targets": ["gcp"], "reason": nasty }).to_string();
    let answer = super::access::ask(&scene.proxy, "POST /api/v1/drain", &[], &body).await;
    assert!(answer.is_ok(), "{}", answer.text());
    let headline = scene.browser.read("#headline", "drained by an operator");
    assert!(headline.contains(nasty), "{headline}");
    let markup = "document.querySelectorAll('#headline b, main img').length";
    assert_eq!(scene.browser.ask(markup), json!(0));
    let host = scene.host();
    scene.browser.was_good(&host, &[]);
}

#[tokio::test]
async fn on_a_phone_nothing_is_cut_off() {
    let mut scene = Scene::new().await;
    scene.browser.size(360, 780);
    scene.browser.read("#headline", "All 2 sites serve");
    scene.aws.kill();
    scene.browser.read("#headline", "is down since");
    let wide = scene.browser.ask("document.documentElement.scrollWidth");
    assert!(wide.as_u64().unwrap() <= 360, "it scrolls sideways: {wide}");
    let beyond = scene.browser.ask(
        "[...document.querySelectorAll('main *, dialog[open] *')].filter((e) => !e.closest('.hidden')\
         && e.getBoundingClientRect().right > innerWidth + 1).map((e) => `${e.tagName}.${e.className}`)",
    );
    assert_eq!(beyond, json!([]));
    let cut = scene.browser.ask(
        "[...document.querySelectorAll('svg.flow text')].filter((e) => e.getBoundingClientRect().left\
         < e.ownerSVGElement.getBoundingClientRect().left - 1).map((e) => e.textContent)",
    );
    assert_eq!(cut, json!([]));
    scene
        .browser
        .click("[data-word=drain][data-target='gcp/one']");
    scene.browser.read("#steer-prospect", "gcp/one");
    let beyond = scene
        .browser
        .ask("document.querySelector('#steer').getBoundingClientRect().right <= innerWidth");
    assert_eq!(beyond, json!(true));
}

#[tokio::test]
async fn everything_has_a_name_for_those_who_do_not_see_it() {
    let mut scene = Scene::new().await;
    scene.browser.read("#headline", "All 2 sites serve");
    let unnamed = scene.browser.ask(
        "[...document.querySelectorAll('button, input, select, [role=img], section')].filter((e) =>\
         !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.innerText || e.labels?.length))\
         .map((e) => e.outerHTML.slice(0, 120))",
    );
    assert_eq!(unnamed, json!([]));
    // No button says the same as another.
    let labels: Value = scene.browser.ask(
        "[...document.querySelectorAll('#places button')].map((e) => e.getAttribute('aria-label'))",
    );
    let mut labels: Vec<String> = labels
        .as_array()
        .unwrap()
        .iter()
        .map(|label| label.as_str().unwrap().to_owned())
        .collect();
    let all = labels.len();
    labels.sort();
    labels.dedup();
    assert_eq!((labels.len(), all), (8, 8));
}
