//! `leeward explain`, `status`, `completions` and `man`: policies in, words out; and the same words of a
//! proxy that runs while one of its providers is dead.

mod live;
mod status;

use crate::support::proxy::leeward;
use crate::support::temp::TempDir;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The stories: commands, `---`, a policy; beside each what is said.
fn stories() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain")
}

/// Words as a shell splits them; quotes are single ones.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(ToOwned::to_owned));
        }
    }
    words
}

/// What is said to the commands of a story.
fn tell(story: &str) -> String {
    let (commands, policy) = story
        .split_once("\n---\n")
        .expect("commands, ---, a policy");
    let dir = TempDir::new();
    let policy = match policy.trim().strip_prefix("as ") {
        Some(path) => {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            std::fs::read_to_string(path).unwrap()
        }
        None => policy.to_owned(),
    };
    dir.write("policy.yaml", &policy);
    let mut told = String::new();
    for line in commands.lines() {
        let said = Command::new(leeward())
            .args(["explain", "policy.yaml"])
            .args(split(line))
            .current_dir(dir.path(""))
            .env_remove("LEEWARD_ADMIN_TOKEN")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let code = said.status.code().expect("an exit code");
        writeln!(told, "$ leeward explain policy.yaml {line}").unwrap();
        write!(told, "{}{}", text(&said.stdout), text(&said.stderr)).unwrap();
        writeln!(told, "exit {code}\n").unwrap();
    }
    told
}

/// `LEEWARD_BLESS=1` renews what is expected; review the difference.
#[test]
fn every_story_of_an_explanation_is_told_as_before() {
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(stories())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "txt"))
        .collect();
    scripts.sort();
    assert!(scripts.len() >= 6, "the stories are gone");
    let mut wrong = Vec::new();
    for script in scripts {
        let told = tell(&std::fs::read_to_string(&script).unwrap());
        let out = script.with_extension("out");
        if std::env::var_os("LEEWARD_BLESS").is_some() {
            std::fs::write(&out, &told).unwrap();
        }
        let expected = std::fs::read_to_string(&out).unwrap_or_default();
        if told != expected {
            wrong.push(format!("{}:\n{told}", script.display()));
        }
        for line in told.lines().filter(|line| !line.starts_with('$')) {
            let breaks = line.trim_start().contains(' ');
            assert!(
                line.chars().count() <= 80 || !breaks || line.starts_with("leeward: "),
                "{line}"
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_shell_gets_completions_that_it_can_read() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = Command::new(leeward())
            .args(["completions", shell])
            .output()
            .unwrap();
        assert!(said.status.success());
        let text = String::from_utf8(said.stdout).unwrap();
        for verb in ["explain", "status", "evacuate"] {
            assert!(text.contains(verb), "{shell} does not know {verb}");
        }
        // `sh -n` of a shell that is not here is no test; bash is wherever the tests run.
        if shell == "bash" {
            let dir = TempDir::new();
            let path = dir.write("leeward.bash", &text);
            let read = Command::new("bash").arg("-n").arg(path).output().unwrap();
            assert!(read.status.success() && read.stderr.is_empty(), "{read:?}");
        }
    }
}

#[test]
fn there_is_a_manual_page_for_each_verb_and_man_finds_nothing_wrong() {
    let dir = TempDir::new();
    let pages = dir.path("man/man1");
    let written = Command::new(leeward())
        .arg("man")
        .arg(&pages)
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    let mut names: Vec<PathBuf> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let has = |name: &str| names.contains(&pages.join(name));
    assert!(
        has("leeward.1") && has("leeward-explain.1") && has("leeward-status.1"),
        "{names:?}"
    );
    for page in &names {
        // A machine without man-db has no other judge.
        let Ok(read) = Command::new("man")
            .args([
                "--warnings",
                "--local-file",
                "--encoding=UTF-8",
                "--troff-device=utf8",
            ])
            .arg(page)
            .env("MANWIDTH", "80")
            .output()
        else {
            return;
        };
        let said = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(
            read.status.success() && said.is_empty(),
            "{}: {said}",
            page.display()
        );
        assert!(!read.stdout.is_empty());
    }
    let nowhere = Command::new(leeward())
        .args(["man", "/dev/null/x"])
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(nowhere.stderr).unwrap().lines().count(),
        1
    );
}
