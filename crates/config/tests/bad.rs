//! Policies with mistakes: each must give exactly the problems that it is marked with.
//!
//! `tests/bad/*.yaml` carry their marks on top: `# expect: LINE:COLUMN words`, where `warning: `
//! before the words asks for a warning, and below it, where wanted, `# hint: words`.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

use leeward_config::{
    Loaded, Options, Problem, Severity, Variables, load, load_with, parse, parse_with,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

struct Expected {
    line: u32,
    column: u32,
    severity: Severity,
    text: String,
    hint: Option<String>,
}

fn expectations(text: &str) -> Vec<Expected> {
    let mut found: Vec<Expected> = Vec::new();
    for line in text.lines() {
        if let Some(mark) = line.strip_prefix("# expect: ") {
            let (place, words) = mark.split_once(' ').expect("words after the place");
            let (line, column) = place.split_once(':').expect("line and column");
            let (severity, text) = match words.strip_prefix("warning: ") {
                Some(text) => (Severity::Warning, text),
                None => (Severity::Error, words),
            };
            found.push(Expected {
                line: line.parse().expect("a line"),
                column: column.parse().expect("a column"),
                severity,
                text: text.to_owned(),
                hint: None,
            });
        } else if let Some(hint) = line.strip_prefix("# hint: ") {
            found.last_mut().expect("a mark before its hint").hint = Some(hint.to_owned());
        }
    }
    found
}

fn fits(expected: &Expected, problem: &Problem) -> bool {
    (problem.line, problem.column) == (expected.line, expected.column)
        && problem.severity == expected.severity
        && problem.text.contains(&expected.text)
        && expected.hint.as_ref().is_none_or(|hint| {
            problem
                .hint
                .as_ref()
                .is_some_and(|found| found.contains(hint.as_str()))
        })
}

/// What is different from what was marked, for people.
fn difference(path: &Path, expected: &[Expected], problems: &[Problem]) -> String {
    let same = expected.len() == problems.len()
        && expected
            .iter()
            .zip(problems)
            .all(|(expected, problem)| fits(expected, problem));
    if same && !expected.is_empty() {
        return String::new();
    }
    let mut out = format!("--- {}\n", path.display());
    for e in expected {
        let _ = writeln!(
            out,
            "marked: {}:{} {:?} {} {:?}",
            e.line, e.column, e.severity, e.text, e.hint
        );
    }
    for problem in problems {
        let _ = writeln!(out, "{problem}");
    }
    out
}

fn folder() -> PathBuf {
    Path::new("../../tests/bad").to_owned()
}

fn bad_files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("tests/bad is there");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|p| p.is_file())
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_bad_policy_gives_exactly_the_problems_it_is_marked_with() {
    let options = Options {
        variables: Variables::Given(BTreeMap::new()),
        ..Options::default()
    };
    let mut differences = String::new();
    let mut seen = 0;
    for path in bad_files() {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let Loaded { policy, problems } = load_with(&path, &options);
        let errors = problems.iter().any(Problem::is_error);
        assert_eq!(policy.is_none(), errors, "{}", path.display());
        differences.push_str(&difference(&path, &expectations(&text), &problems));
        seen += 1;
    }
    assert!(seen >= 40, "only {seen} bad policies");
    assert!(differences.is_empty(), "\n{differences}");
}

/// A folder of its own for a test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a scratch folder");
        Self(path)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("a scratch file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The problems of a policy that must not compile, as `LINE:COLUMN text` with hints after ` | `.
fn told(path: &Path) -> Vec<String> {
    let loaded = load(path);
    assert!(loaded.policy.is_none());
    loaded
        .problems
        .iter()
        .map(|p| {
            let hint = p
                .hint
                .as_ref()
                .map(|hint| format!(" | {hint}"))
                .unwrap_or_default();
            format!("{}:{} {}{hint}", p.line, p.column, p.text)
        })
        .collect()
}

#[test]
fn files_that_cannot_carry_a_mark_get_one_clear_message_each() {
    let scratch = Scratch::new("unmarked");
    let cases: [(&str, &[u8], &str); 6] = [
        (
            "empty",
            b"",
            "1:1 the file is empty | a policy has at least",
        ),
        (
            "bom",
            b"\xef\xbb\xbf",
            "1:1 the file is empty | a policy has at least",
        ),
        (
            "binary",
            b"version: 1\n\x80\x00",
            "0:0 not UTF-8 text, from byte 11 on",
        ),
        (
            "utf16",
            b"\xff\xfev\x00e\x00",
            "0:0 not UTF-8 text, from byte 0 on | it looks like UTF-16",
        ),
        ("zeros", b"\x00\x00\x00", "1:1 not YAML"),
        (
            "word",
            b"hello\n",
            "1:1 expected keys with their values at the top",
        ),
    ];
    for (name, bytes, expected) in cases {
        let told = told(&scratch.file(name, bytes));
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        assert!(told[0].starts_with(expected), "{name}: {told:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let told = told(Path::new("no/such/policy.yaml"));
    assert!(
        told[0].starts_with("0:0 cannot read the file: "),
        "{told:?}"
    );
}

#[test]
fn a_file_that_is_too_large_is_refused_by_its_size() {
    let scratch = Scratch::new("large");
    let path = scratch.0.join("large.yaml");
    let file = std::fs::File::create(&path).expect("a file");
    file.set_len(100 << 30).expect("a sparse file");
    assert_eq!(told(&path), ["0:0 the policy is larger than 10 MiB"]);
}

#[test]
fn a_text_that_is_too_large_is_refused_before_it_is_parsed() {
    let text = "a".repeat(11 << 20);
    let loaded = parse("large.yaml", &text, Path::new(""));
    assert!(loaded.policy.is_none());
    assert_eq!(loaded.problems[0].text, "the policy is larger than 10 MiB");
}

#[test]
fn a_folder_names_both_places_of_what_is_given_twice() {
    let scratch = Scratch::new("twice");
    let a = scratch.file("a.yaml", "version: 1\npools: { web: 1 }\nworkers: 1\n");
    scratch.file("b.yaml", "version: 1\npools: { web: 2 }\nworkers: 2\n");
    let told = told(&scratch.0);
    let place = |line| format!("first given at {}, line {line}", a.display());
    assert!(
        told.contains(&format!("2:10 `web` is given twice | {}", place(2))),
        "{told:?}"
    );
    assert!(
        told.contains(&format!("3:1 `workers` is given twice | {}", place(3))),
        "{told:?}"
    );
}

#[test]
fn a_folder_without_policies_says_so() {
    let scratch = Scratch::new("none");
    scratch.file("a.txt", "");
    assert_eq!(told(&scratch.0), ["0:0 the folder has no `*.yaml` file"]);
}

#[test]
fn a_folder_tells_of_files_that_it_leaves_out() {
    let scratch = Scratch::new("left-out");
    scratch.file("a.yml", "");
    let loaded = load(&scratch.0);
    let first = &loaded.problems[0];
    assert_eq!(
        (first.severity, first.text.as_str()),
        (Severity::Warning, "this file is not read")
    );
}

#[test]
fn what_is_shared_by_an_anchor_is_told_once_where_it_is_written() {
    let text = "version: 1\n\
        listeners: { public: { bind: 127.0.0.1:0 } }\n\
        providers: { aws: { sites: [a] }, gcp: { sites: [b] } }\n\
        pools:\n\
        \x20 one:\n\
        \x20   backends: &backends\n\
        \x20     - { url: http://127.0.0.1:1, site: aws/a }\n\
        \x20     - { url: http://127.0.0.1:2, site: gcp/x }\n\
        \x20 two: { backends: *backends }\n\
        routes: [{ pool: one }, { match: { path: / }, pool: two }]\n";
    let loaded = parse("shared.yaml", text, Path::new(""));
    let errors: Vec<&Problem> = loaded.problems.iter().filter(|p| p.is_error()).collect();
    assert_eq!(errors.len(), 1, "{:?}", loaded.problems);
    assert_eq!((errors[0].line, errors[0].column), (8, 42));
}

#[test]
fn what_comes_from_a_variable_is_not_repeated() {
    let given = BTreeMap::from([("URL".to_owned(), "http://me:hush@x".to_owned())]);
    let options = Options {
        variables: Variables::Given(given),
        ..Options::default()
    };
    let text = "version: 1\npools: { web: { backends: [{ url: \"${URL}\", site: aws/a }] } }\n";
    let problems = parse_with("x.yaml", text, Path::new(""), &options).problems;
    let url = problems
        .iter()
        .find(|p| p.text.contains("URL"))
        .expect("a problem of the URL");
    assert!(
        url.text.ends_with("found something else in its variable"),
        "{url}"
    );
    assert!(
        problems
            .iter()
            .all(|problem| !problem.to_string().contains("hush"))
    );
}

#[test]
fn problems_beyond_a_thousand_are_counted() {
    let mut text = "version: 1\n".to_owned();
    (0..1500).for_each(|n| {
        let _ = writeln!(text, "key{n}: 1");
    });
    let loaded = parse("many.yaml", &text, Path::new(""));
    assert_eq!(loaded.problems.len(), 1001);
    // 1500 unknown keys, and three that are missing.
    assert_eq!(
        loaded.problems[1000].text,
        "503 further problems are not shown"
    );
}

#[test]
fn a_problem_shows_its_line_with_a_caret_and_a_hint() {
    let loaded = parse("dir/x.yaml", "version: 1\nworkerz: 2\n", Path::new(""));
    let shown: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    let expected = "dir/x.yaml:2:1: error: unknown key `workerz`\n  workerz: 2\n  ^\n\
                    hint: did you mean `workers`?";
    assert!(shown.iter().any(|shown| shown == expected), "{shown:#?}");
}

#[test]
fn a_long_line_is_shown_around_the_place() {
    let problem = Problem {
        file: "x.yaml".to_owned(),
        line: 1,
        column: 301,
        severity: Severity::Error,
        text: "wrong".to_owned(),
        hint: None,
        source: Some(format!("{}X{}", "a".repeat(300), "b".repeat(300))),
    };
    let shown = problem.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[1].find('X'), lines[2].find('^'));
    assert!(lines[1].len() < 130);
}

#[test]
fn control_characters_of_a_file_do_not_reach_the_terminal() {
    let text = "version: 1\n\"\\e[31mred\": 1\n";
    let loaded = parse("x.yaml", text, Path::new(""));
    assert!(loaded.problems.iter().any(|p| p.text.contains("red")));
    assert!(
        loaded
            .problems
            .iter()
            .all(|p| !p.to_string().contains('\u{1b}'))
    );
}

#[test]
fn problems_are_json_with_the_fields_that_tools_rely_on() {
    let loaded = parse("x.yaml", "version: 1\nworkerz: 2\n", Path::new(""));
    let problem = loaded
        .problems
        .iter()
        .find(|p| p.line == 2)
        .expect("the unknown key");
    let json = serde_json::to_value(problem).expect("JSON");
    let expected = serde_json::json!({
        "file": "x.yaml", "line": 2, "column": 1, "severity": "error",
        "text": "unknown key `workerz`", "hint": "did you mean `workers`?", "source": "workerz: 2",
    });
    assert_eq!(json, expected);
}
