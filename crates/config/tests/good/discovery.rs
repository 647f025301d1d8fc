//! DNS, and the sources of a backend's addresses.

use super::{BACKENDS, HEAD, good, secs, with_pool};
use leeward_config::policy::{Backend, Dns, FileSd, HttpSd, Sources};
use std::time::Duration;

fn backend(keys: &str) -> Backend {
    let policy = good(&format!(
        "{HEAD}pools: {{ web: {{ backends: [{{ url: \"https://api.example\", site: aws/a, {keys} }}] }} }}"
    ));
    policy.backends[0].clone()
}

#[test]
fn dns_has_defaults_and_every_setting_arrives() {
    assert_eq!(with_pool("").dns, Dns::default());
    let text = format!(
        "{HEAD}pools:\n  web:\n{BACKENDS}\
         dns: {{ resolvers: [1.1.1.1, \"[2001:db8::53]:5353\"], timeout: 1s, min_ttl: 5s, \
         max_ttl: 30s, keep: 2h, keep_decentralized: 0s, private: allow }}\n"
    );
    let resolvers = ["1.1.1.1:53", "[2001:db8::53]:5353"];
    let expected = Dns {
        resolvers: resolvers.map(|r| r.parse().expect("an address")).to_vec(),
        timeout: secs(1),
        min_ttl: secs(5),
        max_ttl: secs(30),
        keep: secs(7200),
        keep_decentralized: Duration::ZERO,
        private: true,
    };
    assert_eq!(good(&text).dns, expected);
}

#[test]
fn the_name_of_a_url_is_looked_up_unless_something_else_is() {
    let resolve = |keys: &str| backend(keys).sources.resolve;
    assert!(resolve("addresses: [192.0.2.1]"));
    assert!(resolve("file_sd: api.json"));
    assert!(!resolve("srv: _api._tcp.example"));
    assert!(resolve("srv: _api._tcp.example, resolve: true"));
    assert!(!resolve("file_sd: api.json, resolve: false"));
}

#[test]
fn a_literal_host_is_no_address_where_it_is_not_to_be_connected_to() {
    let text = |keys: &str| {
        format!(
            "{HEAD}pools: {{ web: {{ backends: [{{ url: \"http://192.0.2.1\", site: aws/a, {keys} }}] }} }}"
        )
    };
    let addresses = |keys: &str| good(&text(keys)).engine.backends[0].addresses.len();
    assert_eq!(addresses("weight: 1"), 1);
    assert_eq!(addresses("resolve: false, file_sd: api.json"), 0);
}

#[test]
fn files_and_services_are_read_in_both_spellings() {
    let sources = backend("srv: _API._tcp.example, file_sd: sd/api.yaml").sources;
    let file = |path: &str, refresh| FileSd {
        path: path.into(),
        refresh,
    };
    let expected = Sources {
        resolve: false,
        srv: Some("_api._tcp.example".to_owned()),
        file: Some(file("sd/api.yaml", secs(5))),
        http: None,
    };
    assert_eq!(sources, expected);
    let long = backend("file_sd: { path: api.json, refresh: 1m }").sources;
    assert_eq!(long.file, Some(file("api.json", secs(60))));
}

#[test]
fn urls_of_services_keep_their_path_and_query() {
    let http = |keys: &str| backend(keys).sources.http.expect("a service");
    let plain = http("http_sd: \"http://Registry.example/sd?pool=a%2Fb\"");
    let expected = HttpSd {
        host: "registry.example".to_owned(),
        port: 80,
        target: "/sd?pool=a%2Fb".to_owned(),
        tls: None,
        refresh: secs(30),
        timeout: secs(5),
    };
    assert_eq!(plain, expected);
    let tls = http("http_sd: { url: \"https://[2001:db8::1]:8443\", refresh: 1s, timeout: 2s }");
    assert_eq!(
        (tls.host.as_str(), tls.port, tls.target.as_str()),
        ("2001:db8::1", 8443, "/")
    );
    assert_eq!((tls.refresh, tls.timeout), (secs(1), secs(2)));
    assert_eq!(tls.tls.expect("https").server_name, "2001:db8::1");
}
