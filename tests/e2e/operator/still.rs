//! What `restore` leaves standing, and says so.

use super::{said, say};
use crate::support::backend::Backend;
use crate::support::policy::{Policy, QUICK_PROBE};
use crate::support::proxy::Proxy;
use serde_json::Value;

async fn words(proxy: &Proxy) -> (Value, Value) {
    let status = proxy.status().await;
    let operator = |list: &str| status[list][0]["operator"].clone();
    (operator("providers"), operator("sites"))
}

#[tokio::test]
async fn restore_says_which_words_still_stand_and_how_to_take_them_back() {
    let (one, two, gcp) = (
        Backend::start("one"),
        Backend::start("two"),
        Backend::start("gcp"),
    );
    let policy = Policy::of(&[("aws/one", &one), ("aws/two", &two), ("gcp/one", &gcp)]);
    let proxy = Proxy::start(&policy.pool(QUICK_PROBE).text()).await;
    for site in ["aws/one", "aws/two", "gcp/one"] {
        proxy.wait_for_verdict(site, "healthy").await;
    }
    let address = format!("main/{}", one.url().trim_start_matches("http://"));
    said(&proxy, &["drain", &address]);
    let racks = [
        "evacuate",
        "aws/one",
        "--for",
        "30m",
        "--reason",
        "new racks",
    ];
    said(&proxy, &racks);
    said(&proxy, &["evacuate", "aws", "--reason", "outage"]);

    let told = said(&proxy, &["restore", "aws/two"]);
    let of_provider = "  still evacuated: aws (outage); take it back: leeward restore aws\n";
    assert!(told.contains(of_provider), "{told}");
    assert!(
        !told.contains("aws/one;"),
        "its neighbours are not its affair: {told}"
    );

    for dry in [&["restore", "aws", "--dry-run"][..], &["restore", "aws"]] {
        let told = said(&proxy, dry);
        let (site, rest) = told
            .split_once("still evacuated: aws/one, for ")
            .unwrap_or_else(|| panic!("{told}"));
        assert!(site.contains("restored: aws\n"), "{told}");
        let back = " more (new racks); take it back: leeward restore aws/one\n";
        assert!(rest.contains(back), "{told}");
        let endpoint =
            format!("still draining: {address}; take it back: leeward restore {address}\n");
        assert!(told.contains(&endpoint), "{told}");
    }
    assert_eq!(words(&proxy).await, ("active".into(), "evacuated".into()));

    // What it says to do is what there is to do.
    let told = said(&proxy, &["restore", "aws/one", &address]);
    assert!(!told.contains("still"), "{told}");
    assert_eq!(words(&proxy).await, ("active".into(), "active".into()));
    let (_, stdout, _) = say(&proxy, &["restore", "aws", "--json"]);
    let answer: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(answer["still"], serde_json::json!([]));
}
