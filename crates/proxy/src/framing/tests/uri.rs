//! A target passes exactly when `http::Uri` gives it back unchanged.

use super::super::target::check;
use http::Uri;

/// What a service would see as path and query.
fn held(target: &[u8]) -> Option<Vec<u8>> {
    let uri = Uri::try_from(target).ok()?;
    uri.path_and_query()
        .map(|held| held.as_str().as_bytes().to_vec())
}

fn agrees(target: &[u8]) {
    let passes = check(b"GET", target).is_ok();
    let unchanged = held(target).is_some_and(|held| held == target);
    assert_eq!(passes, unchanged, "{:?}", String::from_utf8_lossy(target));
}

#[test]
fn every_byte_at_every_place_of_a_target_is_judged_as_by_uri() {
    for byte in (0..=255_u8).filter(|&byte| byte != b' ') {
        for around in [
            ["/", ""],
            ["/a", "b"],
            ["/?", ""],
            ["/a?b", "c"],
            ["/a?b?", "c"],
        ] {
            agrees(&[around[0].as_bytes(), &[byte], around[1].as_bytes()].concat());
        }
    }
}

#[test]
fn every_pair_of_bytes_beyond_ascii_is_judged_as_by_uri() {
    for first in 0x80..=255_u8 {
        for second in 0..=255_u8 {
            agrees(&[b'/', first, second]);
            agrees(&[b'/', b'?', first, second]);
        }
    }
}

#[test]
fn paths_are_not_normalised() {
    for target in [
        "//a/../b",
        "/./",
        "/%2e%2E/%zz/%",
        "//",
        "/a//b?c//d?e=%",
        "/é/日本?🍕",
    ] {
        assert_eq!(
            held(target.as_bytes()).as_deref(),
            Some(target.as_bytes()),
            "{target}"
        );
        agrees(target.as_bytes());
    }
}

#[test]
fn the_path_of_an_absolute_target_passes_unchanged() {
    for (target, path) in [
        ("http://a/b//c?d", "/b//c?d"),
        ("HTTPS://a.example:8443/%zz", "/%zz"),
        ("http://[2001:db8::1]:80/", "/"),
        ("http://a_b~c-d.e.", "/"),
    ] {
        assert!(check(b"GET", target.as_bytes()).is_ok(), "{target}");
        let uri = Uri::try_from(target).expect("a good URI");
        assert_eq!(uri.path_and_query().map(|held| held.as_str()), Some(path));
        let authority = check(b"GET", target.as_bytes())
            .expect("passes")
            .expect("has one");
        assert_eq!(
            uri.authority().map(|held| held.as_str().as_bytes()),
            Some(authority)
        );
    }
}
