//! The unit, the container, the compose file and the manifests, judged by the tools for them. What no
//! tool here can do, since there is no container engine: build the image, start a pod.

use super::{content, files, judged, prepared, repository};
use crate::support::proxy::leeward;
use crate::support::temp::TempDir;
use std::path::Path;
use std::process::Command;

/// What `leeward check` may say of a policy on another machine than its own: files are missing.
fn assert_policy(path: &Path) {
    let said = judged(Command::new(leeward()).arg("check").arg(path));
    let warnings = said.lines().filter(|line| line.contains("warning: "));
    for warning in warnings {
        assert!(warning.contains("there is no f"), "{said}");
    }
}

#[test]
fn hadolint_has_nothing_to_say_about_the_containerfile() {
    let file = repository("deploy/Containerfile");
    let said = judged(
        prepared("hadolint")
            .args(["--failure-threshold", "style"])
            .arg(file),
    );
    assert_eq!(said, "");
}

#[test]
fn the_image_has_every_library_that_the_binary_needs() {
    let said = judged(Command::new("ldd").arg(leeward()));
    for line in said.lines() {
        let library = line.split_whitespace().next().unwrap();
        let name = library.rsplit('/').next().unwrap();
        // All of distroless' `cc`; the rest of it is libstdc++, libssl and their like.
        let known = [
            "linux-vdso",
            "libc.so",
            "libm.so",
            "libgcc_s.so",
            "ld-linux",
        ];
        assert!(known.iter().any(|known| name.starts_with(known)), "{line}");
    }
}

#[test]
fn the_image_is_built_from_all_that_cargo_needs() {
    let taken = content("deploy/Containerfile.dockerignore");
    let root = content("Cargo.toml");
    let paths = root
        .lines()
        .filter_map(|line| line.split_once("path = \"")?.1.split('"').next());
    for path in paths.chain(["Cargo.lock"]) {
        let is_taken = taken.lines().filter_map(|line| line.strip_prefix('!'));
        let mut is_taken = is_taken.filter(|taken| Path::new(path).starts_with(taken));
        assert!(
            is_taken.next().is_some(),
            "{path} is not in the build's context"
        );
    }
}

#[test]
fn compose_takes_the_compose_file_and_publishes_on_loopback_alone() {
    let file = repository("deploy/compose/compose.yaml");
    let mut compose = prepared("docker-compose");
    let said = judged(
        compose
            .arg("-f")
            .arg(&file)
            .args(["config", "--format", "json"]),
    );
    let config: serde_json::Value = serde_json::from_str(&said).expect(&said);
    let services = config["services"].as_object().expect("services");
    for name in ["leeward", "aws", "gcp", "metal", "prometheus", "grafana"] {
        assert!(services.contains_key(name), "{name}");
    }
    for (name, service) in services {
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}: {port}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume["source"].as_str().unwrap();
            assert!(
                volume["type"] != "bind" || Path::new(source).exists(),
                "{name}: {volume}"
            );
        }
    }
    assert_policy(&repository("deploy/compose/policy/policy.yaml"));
}

#[test]
fn kubernetes_takes_the_manifests_and_leeward_the_policy_in_them() {
    let manifests = files("deploy/kubernetes", ".yaml");
    assert_eq!(manifests.len(), 5);
    for version in ["1.30", "1.37"] {
        let mut validate = prepared("kubernetes-validate");
        judged(validate.args(["--strict", "-k", version]).args(&manifests));
    }
    let map = content("deploy/kubernetes/configmap.yaml");
    let (_, block) = map.split_once("  policy.yaml: |\n").expect("a policy");
    let dir = TempDir::new();
    let lines = block
        .lines()
        .map(|line| line.strip_prefix("    ").unwrap_or(line));
    assert_policy(&dir.write("policy.yaml", &lines.collect::<Vec<_>>().join("\n")));
}

#[test]
fn systemd_finds_little_that_the_unit_could_do_without() {
    let unit = content("deploy/systemd/leeward.service");
    assert!(unit.contains("\nType=notify-reload\n") && unit.contains("\nWatchdogSec="));
    let dir = TempDir::new();
    let path = dir.write("leeward.service", &unit);
    // Tenths: an unhardened service has 96, and what serves on a network cannot be much below 10.
    let mut analyze = Command::new("systemd-analyze");
    judged(
        analyze
            .args(["security", "--offline=true", "--threshold=20"])
            .arg(path),
    );
}
