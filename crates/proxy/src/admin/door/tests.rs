use super::*;
use leeward_config::policy::{AdminAccess, AdminToken};
use std::net::IpAddr;

fn open() -> Access {
    Access::new(&AdminAccess::default()).expect("no files, no errors")
}

/// One token a role.
fn guarded(name: &str) -> Access {
    let dir = std::env::temp_dir().join(format!("leeward-door-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let token = |name: &str, text: &str, role| {
        let file = dir.join(name);
        std::fs::write(&file, format!("{text}\n")).expect("a file");
        AdminToken {
            name: name.to_owned(),
            file,
            role,
        }
    };
    let tokens = vec![
        token("grafana", "read-0123456789abcdef", Role::Read),
        token("oncall", "operate-0123456789abcdef", Role::Operate),
    ];
    let access = Access::new(&AdminAccess { tokens, tls: None }).expect("good tokens");
    std::fs::remove_dir_all(dir).expect("a folder");
    access
}

fn peer(address: [u8; 4]) -> Peer {
    Peer {
        address: IpAddr::from(address),
        secure: false,
        certificate: None,
        cut: std::sync::Arc::default(),
    }
}

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().expect("a field"));
    }
    headers
}

fn asked(all: &[(&'static str, &str)]) -> Result<Who, Refused> {
    admit(&open(), Some(&peer([127, 0, 0, 1])), &fields(all))
}

#[test]
fn this_machine_may_do_everything_where_nobody_is_named() {
    for host in [
        "127.0.0.1:9900",
        "localhost:9900",
        "localhost",
        "[::1]:9900",
        "[::1]",
    ] {
        let who = asked(&[("host", host)]).expect(host);
        assert_eq!(
            (who.name.as_str(), who.role),
            ("this machine", Role::Operate)
        );
    }
    let own = [
        ("host", "localhost:9900"),
        ("origin", "http://localhost:9900"),
        ("sec-fetch-site", "same-origin"),
    ];
    assert!(asked(&own).is_ok());
}

#[test]
fn names_that_were_rebound_and_other_sites_may_not() {
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "192.0.2.7:9900",
        "",
        "localhost.x",
    ] {
        assert!(asked(&[("host", host)]).is_err(), "{host}");
    }
    for origin in [
        "null",
        "http://evil.example",
        "https://localhost:9900",
        "http://localhost:1",
    ] {
        let all = [("host", "localhost:9900"), ("origin", origin)];
        assert!(asked(&all).is_err(), "{origin}");
    }
    for site in ["cross-site", "same-site"] {
        let all = [("host", "localhost:9900"), ("sec-fetch-site", site)];
        assert!(asked(&all).is_err(), "{site}");
    }
    assert!(asked(&[]).is_err());
    assert!(asked(&[("host", "localhost"), ("host", "localhost")]).is_err());
}

#[test]
fn other_machines_may_not_where_nobody_is_named() {
    let local = fields(&[("host", "localhost")]);
    let there = peer([192, 0, 2, 7]);
    let refused = admit(&open(), Some(&there), &local);
    assert_eq!(refused.expect_err("no").status, StatusCode::FORBIDDEN);
    assert!(admit(&open(), None, &local).is_err());
}

#[test]
fn where_tokens_are_named_everybody_shows_one() {
    let access = guarded("shows");
    let from =
        |address, all: &[(&'static str, &str)]| admit(&access, Some(&peer(address)), &fields(all));
    let host = ("host", "leeward.ops.example");
    for (value, name, role) in [
        (
            "Bearer operate-0123456789abcdef",
            "token oncall",
            Role::Operate,
        ),
        (
            "bearer  read-0123456789abcdef ",
            "token grafana",
            Role::Read,
        ),
    ] {
        let who = from([192, 0, 2, 7], &[host, ("authorization", value)]);
        let who = who.expect(value);
        assert_eq!((who.name.as_str(), who.role), (name, role));
    }
    for all in [
        vec![host],
        vec![("host", "localhost")],
        vec![host, ("authorization", "Bearer operate-0123456789abcdeF")],
        vec![host, ("authorization", "Bearer operate-0123456789abcde")],
        vec![host, ("authorization", "Bearer ")],
        vec![host, ("authorization", "Basic operate-0123456789abcdef")],
        vec![
            host,
            ("authorization", "Bearer operate-0123456789abcdef"),
            ("authorization", "Bearer operate-0123456789abcdef"),
        ],
    ] {
        let refused = from([127, 0, 0, 1], &all).expect_err("no token of anybody");
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{all:?}");
    }
    let other = [
        host,
        ("authorization", "Bearer operate-0123456789abcdef"),
        ("origin", "http://evil.example"),
    ];
    let refused = from([127, 0, 0, 1], &other).expect_err("a page of another site");
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[test]
fn a_token_that_is_short_spaced_twice_or_not_there_is_refused() {
    let dir = std::env::temp_dir().join(format!("leeward-tokens-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let file = dir.join("token");
    let token = |name: &str| AdminToken {
        name: name.to_owned(),
        file: file.clone(),
        role: Role::Read,
    };
    let told = |tokens: Vec<AdminToken>| {
        let made = Access::new(&AdminAccess { tokens, tls: None });
        made.err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert!(told(vec![token("a")]).contains("cannot be read"));
    for (text, why) in [
        ("short", "16 to 512 characters"),
        ("two words of some length", "without spaces"),
        ("", "16 to 512 characters"),
    ] {
        std::fs::write(&file, text).expect("a file");
        let said = told(vec![token("a")]);
        assert!(said.contains(why), "{said}");
        assert!(
            text.is_empty() || !said.contains(text),
            "a token is told: {said}"
        );
    }
    std::fs::write(&file, "0123456789abcdef").expect("a file");
    assert!(told(vec![token("a"), token("b")]).contains("tokens a and b are the same"));
    std::fs::remove_dir_all(dir).expect("a folder");
}
