//! Lists of targets in Prometheus' `file_sd` and `http_sd` formats.
//!
//! `[{ "targets": ["192.0.2.7:8443"], "labels": { … } }]`, in JSON or YAML. Pure. Labels are left
//! alone; targets are addresses, with or without a port, and no names. Called by `fetch`.

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::net::{IpAddr, SocketAddr};

/// Bytes of a list that are read at most.
pub(crate) const MOST_BYTES: usize = 1024 * 1024;

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
}

/// What a list has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    pub(crate) addresses: Vec<SocketAddr>,
    /// Those that are no addresses.
    pub(crate) refused: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    targets: Vec<String>,
    #[serde(default, rename = "labels")]
    _labels: Option<IgnoredAny>,
}

/// Reads a list; `port` is that of targets without one.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn parse(text: &[u8], format: Format, port: u16) -> Result<Targets, String> {
    if text.len() > MOST_BYTES {
        return Err(format!("larger than {MOST_BYTES} bytes"));
    }
    let text = std::str::from_utf8(text).map_err(|error| format!("not UTF-8: {error}"))?;
    let groups: Vec<Group> = match format {
        Format::Json => serde_json::from_str(text).map_err(|error| error.to_string())?,
        Format::Yaml => serde_saphyr::from_str(text).map_err(|error| first_line(&error))?,
    };
    let mut targets = Targets::default();
    for target in groups.into_iter().flat_map(|group| group.targets) {
        match address(&target, port) {
            Some(address) => targets.addresses.push(address),
            None => targets.refused.push(target.chars().take(100).collect()),
        }
    }
    Ok(targets)
}

fn address(target: &str, port: u16) -> Option<SocketAddr> {
    let bare = target
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let ip = bare.unwrap_or(target).parse::<IpAddr>();
    let address = ip.map(|ip| SocketAddr::new(ip, port)).ok();
    address
        .or_else(|| target.parse().ok())
        .filter(|address| address.port() > 0)
}

fn first_line(error: &serde_saphyr::Error) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter()
            .map(|address| address.parse().unwrap())
            .collect()
    }

    #[test]
    fn both_formats_of_prometheus_are_read() {
        let json = br#"[{"targets": ["192.0.2.1:80", "[2001:db8::1]:81"], "labels": {"a": "b"}},
                        {"targets": ["192.0.2.2"]}]"#;
        let yaml = b"- targets: ['192.0.2.1:80', '[2001:db8::1]:81']\n  labels: { a: b }\n\
                     - targets:\n  - 192.0.2.2\n";
        let expected = addresses(&["192.0.2.1:80", "[2001:db8::1]:81", "192.0.2.2:8443"]);
        assert_eq!(parse(json, Format::Json, 8443).unwrap().addresses, expected);
        assert_eq!(parse(yaml, Format::Yaml, 8443).unwrap().addresses, expected);
    }

    #[test]
    fn targets_that_are_no_addresses_are_refused_one_by_one() {
        let json = br#"[{"targets": ["api.example:80", "192.0.2.1:0", "192.0.2.1:99999", "192.0.2.2:1"]}]"#;
        let targets = parse(json, Format::Json, 80).unwrap();
        assert_eq!(targets.addresses, addresses(&["192.0.2.2:1"]));
        assert_eq!(targets.refused.len(), 3);
    }

    #[test]
    fn a_list_that_is_none_is_refused_whole() {
        let bad: [&[u8]; 7] = [
            b"",
            b"[",
            b"{}",
            b"[{}]",
            b"[{\"targets\": \"192.0.2.1:80\"}]",
            b"[{\"targets\": [1]}]",
            b"\xff\xfe",
        ];
        for text in bad {
            let shown = String::from_utf8_lossy(text);
            assert!(parse(text, Format::Json, 80).is_err(), "{shown}");
        }
        let large = vec![b' '; MOST_BYTES + 1];
        assert!(
            parse(&large, Format::Json, 80)
                .unwrap_err()
                .starts_with("larger")
        );
        let half = br#"[{"targets": ["192.0.2.1:80", "192."#;
        assert!(parse(half, Format::Json, 80).is_err());
    }

    #[test]
    fn anchors_that_explode_are_refused() {
        let mut text = "a0: &a0 [x, x]\n".to_owned();
        for n in 1..40 {
            text.push_str(&format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1));
        }
        assert!(parse(text.as_bytes(), Format::Yaml, 80).is_err());
    }
}
