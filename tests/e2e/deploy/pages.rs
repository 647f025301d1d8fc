//! What the pages say exists: metrics, commands, links.

use super::{content, files, judged, repository};
use crate::support::backend::Backend;
use crate::support::policy::Policy;
use crate::support::proxy::{Proxy, leeward};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The pages for operators, with where they are.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = files("docs", ".md");
    paths.extend(files("docs/runbook", ".md"));
    paths.extend(["README.md", "CONTRIBUTING.md"].map(repository));
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// Whether it is the name of a recording rule, and no tag of an image.
fn is_recorded(word: &str) -> bool {
    let after = word.strip_prefix("leeward:");
    after.is_some_and(|after| after.contains(':'))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[test]
fn every_metric_on_a_page_is_in_the_reference() {
    let reference = content("docs/metrics.md");
    let rules = content("deploy/prometheus/recording.rules.yml");
    let known: BTreeSet<&str> = reference.split(|c| !is_word(c)).collect();
    for (path, page) in pages() {
        for word in page
            .split(|c| !is_word(c))
            .filter(|word| word.starts_with("leeward_"))
        {
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| word.strip_suffix(end));
            // The crates are written like that too.
            let is_crate = repository("crates")
                .join(&word["leeward_".len()..])
                .exists();
            let is_known = known.contains(word) || base.is_some_and(|base| known.contains(base));
            assert!(is_known || is_crate, "{}: {word}", path.display());
        }
        let recorded = page.split(|c| !is_word(c) && c != ':');
        for word in recorded.filter(|word| is_recorded(word)) {
            let line = format!("- record: {word}\n");
            assert!(rules.contains(&line), "{}: {word}", path.display());
        }
    }
}

/// The lines of the blocks of commands on a page, and its commands within a line.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (position, part) in page.split("```").enumerate() {
        match (position % 2, part.strip_prefix("sh\n")) {
            (0, _) => found.extend(part.split('`').skip(1).step_by(2).map(str::to_owned)),
            (_, Some(block)) => found.extend(block.lines().map(str::to_owned)),
            (_, None) => {}
        }
    }
    found
}

#[test]
fn every_verb_and_flag_on_a_page_exists() {
    let help = judged(Command::new(leeward()).arg("help"));
    for (path, page) in pages() {
        for command in commands(&page) {
            let Some(rest) = command.trim_start().strip_prefix("leeward ") else {
                continue;
            };
            let mut words = rest.split_whitespace();
            let verb = words.next().unwrap_or_default();
            let at = format!("{}: {command}", path.display());
            if verb.starts_with("--") {
                assert!(help.contains(verb), "{at}");
                continue;
            }
            assert!(help.contains(&format!("\n  {verb} ")), "{at}");
            let of_verb = judged(Command::new(leeward()).args([verb, "--help"]));
            for flag in words
                .take_while(|word| *word != "#")
                .filter(|word| word.starts_with("--"))
            {
                assert!(
                    of_verb.contains(flag.split('=').next().unwrap()),
                    "{at}: {flag}"
                );
            }
        }
    }
}

#[tokio::test]
async fn every_question_to_the_admin_side_on_a_page_gets_an_answer() {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).text()).await;
    let admin = proxy.admin_address().to_string();
    let pages = pages();
    let asked: BTreeSet<String> = pages.iter().flat_map(|(_, page)| commands(page)).collect();
    let asked = asked
        .iter()
        .filter(|line| line.starts_with("curl -s 127.0.0.1:9900"));
    // What steers it, or needs a token, is no mere question.
    let asked: Vec<&String> = asked.filter(|line| !line.contains(" -H ")).collect();
    assert!(asked.len() > 10, "{asked:?}");
    for line in asked {
        let line = line
            .replace("127.0.0.1:9900", &admin)
            .replace("&& leeward", "&& true");
        let line = format!("set -o pipefail; {line}");
        let mut shell = Command::new("bash");
        shell.current_dir(proxy.dir().path("")).args(["-c", &line]);
        let said = tokio::task::spawn_blocking(move || judged(&mut shell))
            .await
            .unwrap();
        let is_quiet = line.contains(" > ") || line.contains("select(");
        assert!(is_quiet || !said.trim().is_empty(), "{line}");
    }
}

/// A heading as an anchor, the way that forges make it.
fn anchor(heading: &str) -> String {
    let lower = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = lower
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    for (path, page) in pages() {
        let folder = path.parent().unwrap();
        for link in page
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            let target: &Path = &if file.is_empty() {
                path.clone()
            } else {
                folder.join(file)
            };
            assert!(target.exists(), "{}: {link}", path.display());
            if !part.is_empty() {
                let text = std::fs::read_to_string(target).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let found = headings.any(|line| anchor(line) == part);
                assert!(found, "{}: {link}", path.display());
            }
        }
    }
}

/// What the guide shows of a policy is what its policies have, but for the indentation.
#[test]
fn the_guide_for_exchanges_quotes_its_policies() {
    let guide = content("docs/exchanges.md");
    let policies = content("examples/venue.yaml") + &content("examples/grpc.yaml");
    let lines: BTreeSet<&str> = policies.lines().map(str::trim).collect();
    let blocks = guide.split("```yaml\n").skip(1);
    let shown = blocks.flat_map(|block| block.split("```").next().unwrap().lines());
    for line in shown {
        assert!(lines.contains(line.trim()), "not in the policies: {line}");
    }
}
