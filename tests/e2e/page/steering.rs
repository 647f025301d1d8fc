//! Words said on the page: what will move is shown, then it moves.

use super::Scene;
use crate::support::backend::Backend;
use crate::support::browser::Browser;
use crate::support::load::failed_reads;
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use crate::support::wait::{SOON, eventually};
use serde_json::json;

async fn served_by(proxy: &Proxy, name: &str) {
    let what = format!("reads are answered by {name}");
    let look = async || (proxy.get("/read/x").await.backend() == name).then_some(());
    eventually(&what, SOON * 2, look).await;
}

#[tokio::test]
async fn an_evacuation_and_a_restore_are_clicked_and_no_read_fails() {
    let mut scene = Scene::new().await;
    let load = scene.load();
    load.wait_for(50).await;
    let browser = &mut scene.browser;
    browser.read("#headline", "All 2 sites serve");
    browser.click("[data-word=evacuate][data-target='aws/one']");
    browser.read("#steer-title", "Evacuate aws/one");
    let prospect = browser.read("#steer-prospect", "Orders");
    assert!(prospect.contains("move from aws to gcp"), "{prospect}");
    let rows = browser.read("#steer-prospect tr:has-text('aws/one')", "100 %");
    assert!(rows.contains("0 %"), "{rows}");
    assert_eq!(scene.proxy.verdict("aws/one").await, "healthy");
    assert_eq!(scene.proxy.status().await["sites"][0]["operator"], "active");

    browser.fill("#steer-reason", "packet loss");
    browser.click("#steer-go");
    let said = browser.read("#headline", "aws/one is evacuated by an operator");
    assert!(
        said.contains("packet loss") && said.contains("reads and orders go to gcp/one"),
        "{said}"
    );
    served_by(&scene.proxy, "gcp").await;
    load.wait_for(50).await;
    let call = browser.read(".decision", "this machine.*said: evacuate aws/one");
    assert!(call.contains("steering call"), "{call}");

    browser.click("[data-word=restore][data-target='aws/one']");
    browser.read("#steer-prospect", "Orders");
    browser.click("#steer-go");
    browser.read("#headline", "All 2 sites serve");
    served_by(&scene.proxy, "aws").await;
    load.wait_for(50).await;
    let host = scene.host();
    scene.browser.was_good(&host, &[]);
    let told = load.stop().await;
    assert_eq!(failed_reads(&told), Vec::<String>::new());
}

#[tokio::test]
async fn all_of_it_goes_by_keyboard() {
    let mut scene = Scene::new().await;
    let browser = &mut scene.browser;
    browser.read("#headline", "All 2 sites serve");
    browser.press("Tab");
    assert_eq!(browser.ask("document.activeElement.className"), "skip");
    browser.tab_to("[data-word=drain][data-target='aws/one']");
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(
        browser.ask(outline),
        "solid",
        "what has the focus can be seen"
    );
    browser.press("Enter");
    browser.read("#steer-prospect", "Orders");
    assert_eq!(browser.ask("document.activeElement.id"), "steer-reason");
    browser.press("Escape");
    let back =
        browser.ask("document.activeElement.matches(\"[data-word=drain][data-target='aws/one']\")");
    assert_eq!(back, json!(true), "the focus goes back to where it was");
    assert_eq!(scene.proxy.status().await["sites"][0]["operator"], "active");

    let browser = &mut scene.browser;
    browser.press("Enter");
    browser.read("#steer-prospect", "Orders");
    browser.write("by hand");
    browser.tab_to("#steer-go");
    browser.press("Enter");
    browser.read(
        "#headline",
        "aws/one is drained by an operator \\(“by hand”\\)",
    );
    browser.tab_to("[data-word=restore][data-target='aws/one']");
    browser.press("Enter");
    browser.read("#steer-prospect", "Orders");
    browser.tab_to("#steer-go");
    browser.press("Enter");
    browser.read("#headline", "All 2 sites serve");
}

#[tokio::test]
async fn what_takes_the_last_capacity_away_is_refused_before_it_is_said() {
    let mut scene = Scene::new().await;
    let browser = &mut scene.browser;
    browser.read("#headline", "All 2 sites serve");
    browser.click("[data-word=evacuate][data-target='gcp']");
    browser.read("#steer-prospect", "Orders");
    browser.click("#steer-go");
    browser.read("#headline", "gcp is evacuated");
    browser.click("[data-word=evacuate][data-target='aws']");
    let refused = browser.read(".objections", "would refuse this");
    assert!(refused.contains("nothing would be left"), "{refused}");
    browser.click("#steer-force");
    browser.click("#steer-go");
    browser.read("#steer-prospect .error", "needs a reason");
    assert_eq!(
        scene.proxy.status().await["providers"][0]["operator"],
        "active"
    );
    scene.browser.click("#steer-cancel");
}

#[tokio::test]
async fn a_page_of_another_site_steers_nothing() {
    let mut scene = Scene::new().await;
    let other = Backend::start("other");
    let target = format!("http://{}/api/v1/evacuate", scene.host());
    scene.browser.open(&other.url());
    // What a page may send without being asked first, and what it may not.
    let send = |kind: &str| {
        format!(
            "fetch('{target}', {{ method: 'POST', mode: 'no-cors', headers: {{ 'Content-Type': '{kind}' }},\
             body: JSON.stringify({{ targets: ['aws'] }}) }}).then(() => 'sent', () => 'blocked')"
        )
    };
    let simple = send("text/plain");
    scene.browser.ask(&simple);
    let cors = send("application/json").replace("'no-cors'", "'cors'");
    assert_eq!(scene.browser.ask(&cors), "blocked");
    let read = format!(
        "fetch('http://{}/api/v1/status').then(() => 'read', () => 'blocked')",
        scene.host()
    );
    assert_eq!(scene.browser.ask(&read), "blocked");
    assert_eq!(
        scene.proxy.status().await["providers"][0]["operator"],
        "active"
    );
    let calls = crate::support::proxy::json(&scene.proxy.admin("/api/v1/calls").await);
    let refused = &calls["calls"][0];
    assert_eq!(refused["status"], 403, "it is written down: {calls}");
    assert_eq!(refused["who"], json!(null));
}

#[tokio::test]
async fn a_token_that_is_wrong_is_refused_and_a_good_one_opens_the_page() {
    let backend = Backend::start("aws");
    let dir = TempDir::new();
    dir.write("viewer", "viewer-0123456789abcdef");
    let policy = Policy::of(&[("aws/one", &backend)]).text().replace(
        "admin: { bind: \"127.0.0.1:0\" }",
        "admin: { bind: \"127.0.0.1:0\", tokens: { viewer: { file: viewer, role: read } } }",
    );
    let proxy = Proxy::start_in(dir, &policy).await;
    let host = proxy.admin_address().to_string();
    let mut browser = Browser::start();
    browser.open(&format!("http://{host}/"));
    browser.read("#token-title", "A token is needed");
    browser.fill("#token-field", "viewer-0123456789abcdeX");
    browser.press("Enter");
    browser.read("#token-error", "does not know this token");
    browser.fill("#token-field", "viewer-0123456789abcdef");
    browser.press("Enter");
    browser.read("#headline", "The one site serves");
    browser.read("#live", "live");
    // Who may only read sees what would move, and is told no.
    browser.click("[data-word=drain][data-target='aws/one']");
    browser.read(".objections", "would refuse this");
    browser.fill("#steer-reason", "I want to");
    browser.click("#steer-force");
    browser.click("#steer-go");
    browser.read("#steer-prospect .error", "takes the role `operate`");
    let kept = browser.ask("[document.cookie, localStorage.length, document.documentElement.outerHTML.includes('viewer-0123')]");
    assert_eq!(kept, json!(["", 0, false]));
    browser.was_good(&host, &["401", "403", "409"]);
}
