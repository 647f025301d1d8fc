//! The trust boundary: whose word counts, and what backends are told.

use super::*;
use ipnet::IpNet;
use leeward_config::policy::{ForwardingFields, Networks};

const X_ONLY: ForwardingFields = ForwardingFields {
    x_forwarded: true,
    forwarded: false,
};
const BOTH: ForwardingFields = ForwardingFields {
    x_forwarded: true,
    forwarded: true,
};

fn clients(fields: TrustedFields, forwarded: ForwardingFields) -> Arc<Clients> {
    let networks: Vec<IpNet> = ["10.0.0.0/8", "2001:db8:1::/48"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    Arc::new(Clients {
        trusted: Trusted {
            from: Networks::new(&networks),
            fields,
        },
        forwarded,
        ..Clients::default()
    })
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("api.example"));
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// What came in from 10.0.0.1 over plain HTTP, and what goes out.
fn through(
    fields: TrustedFields,
    write: ForwardingFields,
    given: &[(&str, &str)],
) -> (Seen, HeaderMap) {
    let peer = "10.0.0.1".parse().unwrap();
    let forwarding = Forwarding::new(peer, false, &clients(fields, write));
    let mut headers = headers(given);
    let seen = forwarding.see(&headers);
    forwarding.apply(&mut headers, &seen, true);
    (seen, headers)
}

/// The client and the `X-Forwarded-For` that goes out, for lines of one that came in.
fn x_forwarded_for(lines: &[&str]) -> (String, String, usize) {
    let given: Vec<(&str, &str)> = lines.iter().map(|l| ("x-forwarded-for", *l)).collect();
    let (seen, headers) = through(TrustedFields::XForwarded, X_ONLY, &given);
    let client = seen.client.map_or("peer".into(), |ip| ip.to_string());
    let out = headers[X_FORWARDED_FOR].to_str().unwrap().to_owned();
    assert_eq!(headers.get_all(X_FORWARDED_FOR).iter().count(), 1);
    (client, out, seen.malformed.len())
}

/// The client and the `Forwarded` that goes out, for lines of one that came in.
fn forwarded(lines: &[&str]) -> (String, String, usize) {
    let given: Vec<(&str, &str)> = lines.iter().map(|l| ("forwarded", *l)).collect();
    let (seen, headers) = through(TrustedFields::Forwarded, BOTH, &given);
    let client = seen.client.map_or("peer".into(), |ip| ip.to_string());
    let out = headers[FORWARDED].to_str().unwrap().to_owned();
    (client, out, seen.malformed.len())
}

const OWN: &str = "for=10.0.0.1;host=api.example;proto=http";

#[test]
fn the_client_is_the_rightmost_address_that_is_not_trusted() {
    for (lines, client, out) in [
        (&["203.0.113.5"][..], "203.0.113.5", "203.0.113.5, 10.0.0.1"),
        (
            &["203.0.113.5, 10.2.3.4"],
            "203.0.113.5",
            "203.0.113.5, 10.2.3.4, 10.0.0.1",
        ),
        (
            &["203.0.113.5", "10.2.3.4,10.9.9.9"],
            "203.0.113.5",
            "203.0.113.5, 10.2.3.4, 10.9.9.9, 10.0.0.1",
        ),
        (&["2001:db8::5"], "2001:db8::5", "2001:db8::5, 10.0.0.1"),
        (
            &["[2001:db8::5]:443, 2001:db8:1::2"],
            "2001:db8::5",
            "[2001:db8::5]:443, 2001:db8:1::2, 10.0.0.1",
        ),
        (
            &["203.0.113.5:1234"],
            "203.0.113.5",
            "203.0.113.5:1234, 10.0.0.1",
        ),
        (
            &["10.7.7.7, 10.8.8.8"],
            "10.7.7.7",
            "10.7.7.7, 10.8.8.8, 10.0.0.1",
        ),
        (
            &[" , 203.0.113.5 ,, "],
            "203.0.113.5",
            "203.0.113.5, 10.0.0.1",
        ),
        (&["", ""], "peer", "10.0.0.1"),
        (&[], "peer", "10.0.0.1"),
    ] {
        let expected = (client.to_owned(), out.to_owned(), 0);
        assert_eq!(x_forwarded_for(lines), expected, "{lines:?}");
    }
}

#[test]
fn what_the_client_itself_claims_goes() {
    for claim in [
        "6.6.6.6",
        "10.6.6.6",
        "nonsense \"",
        "a=b;,,c",
        "for=6.6.6.6",
    ] {
        let line = format!("{claim}, 203.0.113.5");
        let expected = ("203.0.113.5".into(), "203.0.113.5, 10.0.0.1".into(), 0);
        assert_eq!(x_forwarded_for(&[&line]), expected, "{claim}");
        assert_eq!(x_forwarded_for(&[claim, "203.0.113.5"]), expected);
    }
}

#[test]
fn an_entry_that_is_no_address_ends_what_is_believed() {
    for bad in [
        "nonsense",
        "203.0.113.256",
        "203.0.113.5:99999",
        "[203.0.113.5]",
        "fe80::1%eth0",
        "[fe80::1%1]:80",
        "203.0.113.5 10.0.0.2",
        "_hidden",
        "caf\u{e9}",
    ] {
        let line = format!("203.0.113.5, {bad}");
        let expected = ("peer".into(), "10.0.0.1".into(), 1);
        assert_eq!(x_forwarded_for(&[&line]), expected, "{bad}");
        let line = format!("203.0.113.5, {bad}, 10.2.2.2");
        let expected = ("10.2.2.2".into(), "10.2.2.2, 10.0.0.1".into(), 1);
        assert_eq!(x_forwarded_for(&[&line]), expected, "{bad}");
    }
}

#[test]
fn one_who_is_unknown_is_passed_on_and_ends_the_chain() {
    let (client, out, malformed) = x_forwarded_for(&["6.6.6.6, Unknown, 10.2.2.2"]);
    assert_eq!((client.as_str(), malformed), ("10.2.2.2", 0));
    assert_eq!(out, "unknown, 10.2.2.2, 10.0.0.1");
}

#[test]
fn a_chain_of_trusted_peers_has_an_end() {
    let endless = vec!["10.1.1.1"; 1000].join(",");
    let (client, out, malformed) = x_forwarded_for(&[&endless]);
    assert_eq!((client.as_str(), malformed), ("10.1.1.1", 1));
    assert_eq!(out.matches("10.1.1.1").count(), MAX_HOPS);
}

#[test]
fn an_untrusted_peer_is_the_client_whatever_it_says() {
    let all = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "1"),
        ("x-real-ip", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
    ];
    for fields in [TrustedFields::XForwarded, TrustedFields::Forwarded] {
        let peer = "::ffff:198.51.100.1".parse().unwrap();
        let forwarding = Forwarding::new(peer, true, &clients(fields, BOTH));
        let mut headers = headers(&all);
        let seen = forwarding.see(&headers);
        forwarding.apply(&mut headers, &seen, true);
        assert_eq!(seen.client, None);
        assert_eq!(headers[X_FORWARDED_FOR], "198.51.100.1");
        assert_eq!(headers[X_FORWARDED_PROTO], "https");
        assert_eq!(headers[X_FORWARDED_HOST], "api.example");
        let own = "for=198.51.100.1;host=api.example;proto=https";
        assert_eq!(headers[FORWARDED], own);
        assert!(!headers.contains_key("x-forwarded-port") && !headers.contains_key("x-real-ip"));
    }
}

#[test]
fn a_trusted_peer_is_believed_for_the_kind_of_fields_that_it_writes_and_no_other() {
    let given = [
        ("x-forwarded-for", "203.0.113.5"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "front.example"),
        ("forwarded", "for=203.0.113.77;proto=wss;host=other.example"),
    ];
    let (seen, headers) = through(TrustedFields::XForwarded, X_ONLY, &given);
    assert_eq!(seen.client, Some("203.0.113.5".parse().unwrap()));
    assert_eq!(headers[X_FORWARDED_PROTO], "https");
    assert_eq!(headers[X_FORWARDED_HOST], "front.example");
    assert!(!headers.contains_key(FORWARDED));
    assert_eq!(headers[HOST], "api.example");

    let (seen, headers) = through(TrustedFields::Forwarded, X_ONLY, &given);
    assert_eq!(seen.client, Some("203.0.113.77".parse().unwrap()));
    assert_eq!(headers[X_FORWARDED_FOR], "203.0.113.77, 10.0.0.1");
    assert_eq!(headers[X_FORWARDED_PROTO], "wss");
    assert_eq!(headers[X_FORWARDED_HOST], "other.example");
}

#[test]
fn a_malformed_word_of_a_trusted_peer_is_replaced_and_counted() {
    let given = [
        ("x-forwarded-proto", "https, http"),
        ("x-forwarded-host", "a@b"),
    ];
    let (seen, headers) = through(TrustedFields::XForwarded, X_ONLY, &given);
    let malformed = [ForwardingField::XProto, ForwardingField::XHost];
    assert_eq!(seen.malformed, malformed);
    assert_eq!(headers[X_FORWARDED_PROTO], "http");
    assert_eq!(headers[X_FORWARDED_HOST], "api.example");
    for (name, value) in [
        ("x-forwarded-proto", "9http"),
        ("x-forwarded-proto", ""),
        ("x-forwarded-host", "a,b"),
        ("x-forwarded-host", "a b"),
        ("x-forwarded-host", "caf\u{e9}"),
    ] {
        let (seen, _) = through(TrustedFields::XForwarded, X_ONLY, &[(name, value)]);
        assert_eq!(seen.malformed.len(), 1, "{name}: {value}");
    }
    let twice = [("x-forwarded-host", "a.example"); 2];
    let (seen, _) = through(TrustedFields::XForwarded, X_ONLY, &twice);
    assert_eq!(seen.malformed, [ForwardingField::XHost]);
}

#[test]
fn forwarded_is_read_with_its_quotes_and_from_the_right() {
    for (lines, client, chain) in [
        (
            &["for=203.0.113.5;proto=https;by=10.0.0.1"][..],
            "203.0.113.5",
            "for=203.0.113.5;proto=https;by=10.0.0.1, ",
        ),
        (
            &["For=\"[2001:db8::5]:4711\", for=10.2.2.2"],
            "2001:db8::5",
            "For=\"[2001:db8::5]:4711\", for=10.2.2.2, ",
        ),
        (
            &["for=6.6.6.6", "for=203.0.113.5", "for=\"10.2.2.2:_p1\""],
            "203.0.113.5",
            "for=203.0.113.5, for=\"10.2.2.2:_p1\", ",
        ),
        (
            &["for=203.0.113.5;ext=\"a,b\\\";c\", for=10.2.2.2"],
            "203.0.113.5",
            "for=203.0.113.5;ext=\"a,b\\\";c\", for=10.2.2.2, ",
        ),
        (
            &["for=_hidden, for=10.2.2.2"],
            "10.2.2.2",
            "for=_hidden, for=10.2.2.2, ",
        ),
        (&["for=unknown"], "peer", "for=unknown, "),
        (&["proto=https"], "peer", "proto=https, "),
    ] {
        let expected = (client.to_owned(), format!("{chain}{OWN}"), 0);
        assert_eq!(forwarded(lines), expected, "{lines:?}");
    }
    let host = forwarded(&["for=203.0.113.5;host=\"front.example:8443\";proto=https"]);
    assert_eq!(host.2, 0);
}

#[test]
fn a_client_cannot_swallow_what_trusted_peers_wrote_behind_it() {
    for claim in [
        "for=\"6.6.6.6",
        "for=\"6.6.6.6\\",
        "for=6.6.6.6;ext=\"",
        "\"",
        "for=\"[::1]",
        "\\\"",
    ] {
        for behind in ["for=203.0.113.5", "for=\"[2001:db8::5]\""] {
            let (client, out, malformed) = forwarded(&[&format!("{claim}, {behind}")]);
            assert!(
                ["203.0.113.5", "2001:db8::5"].contains(&client.as_str()),
                "{claim}"
            );
            assert_eq!((out, malformed), (format!("{behind}, {OWN}"), 0), "{claim}");
        }
    }
}

#[test]
fn a_malformed_element_ends_what_is_believed() {
    for bad in [
        "for=2001:db8::5",
        "for=\"2001:db8::5\"",
        "for=203.0.113.5:80",
        "for=203.0.113.256",
        "for=",
        "for",
        "for=203.0.113.5;for=203.0.113.6",
        "for=203.0.113.5;proto=9",
        "for=203.0.113.5;host=\"a@b\"",
        "for=203.0.113.5 for=1",
        "f or=203.0.113.5",
        "for=\"203.0.113.5\"x",
        "for=\"203.0.113.5:123456\"",
        "for=_",
        "for=203.0.113.5;ext=\"\u{e9}\"",
    ] {
        let line = format!("for=203.0.113.9, {bad}");
        let expected = ("peer".to_owned(), OWN.to_owned(), 1);
        assert_eq!(forwarded(&[&line]), expected, "{bad}");
    }
}

#[test]
fn x_forwarded_fields_become_one_forwarded_field_with_the_right_quotes() {
    let given = [
        ("x-forwarded-for", "2001:db8::5, 10.2.2.2:80, 10.3.3.3"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "front.example:8443"),
    ];
    let (_, headers) = through(TrustedFields::XForwarded, BOTH, &given);
    assert_eq!(
        headers[FORWARDED],
        format!(
            "for=\"[2001:db8::5]\";host=\"front.example:8443\";proto=https, \
             for=\"10.2.2.2:80\", for=10.3.3.3, {OWN}"
        )
    );
    let only = ForwardingFields {
        x_forwarded: false,
        forwarded: true,
    };
    let (_, headers) = through(TrustedFields::XForwarded, only, &given);
    assert!(headers.contains_key(FORWARDED));
    for name in [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST] {
        assert!(!headers.contains_key(name));
    }
}

#[test]
fn forwarded_becomes_x_forwarded_fields() {
    let line = "for=_hidden;proto=https, for=\"[2001:db8:1::5]:_x\", for=\"10.2.2.2:80\"";
    let (seen, headers) = through(TrustedFields::Forwarded, X_ONLY, &[("forwarded", line)]);
    assert_eq!(seen.client, Some("2001:db8:1::5".parse().unwrap()));
    assert_eq!(
        headers[X_FORWARDED_FOR],
        "unknown, 2001:db8:1::5, 10.2.2.2:80, 10.0.0.1"
    );
    assert_eq!(headers[X_FORWARDED_PROTO], "https");
}

#[test]
fn a_trusted_peer_that_names_no_client_may_still_say_how_it_came() {
    let given = [("x-forwarded-proto", "https")];
    let (seen, headers) = through(TrustedFields::XForwarded, BOTH, &given);
    assert_eq!(seen.client, None);
    assert_eq!(headers[X_FORWARDED_PROTO], "https");
    assert_eq!(
        headers[FORWARDED],
        "for=10.0.0.1;host=api.example;proto=https"
    );
}

#[test]
fn other_rules_hold_on_connections_that_are_open() {
    let rules = clients(TrustedFields::XForwarded, X_ONLY);
    let forwarding = Forwarding::new("10.0.0.1".parse().unwrap(), false, &rules);
    assert!(forwarding.under(&rules).is_none());
    let given = headers(&[("x-forwarded-for", "203.0.113.5")]);
    assert!(forwarding.see(&given).client.is_some());
    let nobody_is_trusted = forwarding.under(&Arc::default()).unwrap();
    assert_eq!(nobody_is_trusted.see(&given).client, None);
}

#[test]
fn any_bytes_are_survived() {
    let pieces = [
        "\"", "\\", ",", ";", "=", "for", "for=", "[", "]", ":", "_", "10.1.1.1", "::1", " ", "\t",
        "host=", "\u{e9}", "x",
    ];
    let mut dice = 7u64;
    for _ in 0..20_000 {
        let mut line = String::new();
        for _ in 0..8 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            line.push_str(pieces[usize::try_from(dice >> 33).unwrap() % pieces.len()]);
        }
        forwarded(&[&line]);
        x_forwarded_for(&[&line]);
    }
}
