//! Whatever the text, compiling it ends soon and without a panic, and says where its problems are.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

use leeward_config::{Files, Loaded, Options, Variables, parse_with};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Far more than any of these small texts should need, even on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Pieces that mean something to YAML or to a policy.
const PIECES: [&str; 44] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    ",",
    "- ",
    "? ",
    "|",
    ">",
    "'",
    "\"",
    "#",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "---\n",
    "...\n",
    "\t",
    "\r",
    "\u{feff}",
    "\u{0}",
    "~",
    "null",
    "${",
    "${A:-",
    "$$",
    "%",
    "-1",
    "1e999",
    "99999999999999999999",
    "0x10",
    "off",
    "true",
    "aws",
    "aws/us-east-1",
    "10h",
    "é漢😀",
    "tiers",
    "pools",
    "routes",
    "\n",
];

fn options() -> Options {
    Options {
        files: Files::MayBeMissing,
        variables: Variables::Given(BTreeMap::new()),
    }
}

fn compile(text: &str) {
    let began = Instant::now();
    let Loaded { policy, problems } = parse_with("x.yaml", text, Path::new(""), &options());
    let shown: String = text.chars().take(2000).collect();
    assert!(began.elapsed() < SOON, "slow: {shown:?}");
    let errors = problems.iter().any(leeward_config::Problem::is_error);
    assert_eq!(policy.is_some(), !errors, "{shown:?}");
    for problem in problems {
        assert!(!problem.to_string().is_empty());
        let placed = problem.line > 0 && problem.column > 0;
        assert!(
            placed || problem.text.ends_with("are not shown"),
            "{problem} in {shown:?}"
        );
    }
    if let Some(policy) = policy {
        assert_eq!(policy.pools.len(), policy.engine.pools.len());
        assert_eq!(policy.backends.len(), policy.engine.backends.len());
        assert!(
            policy
                .engine
                .pools
                .iter()
                .all(|pool| !pool.tiers.is_empty())
        );
        assert!(
            policy
                .engine
                .backends
                .iter()
                .all(|backend| backend.weight > 0)
        );
        assert!(
            policy
                .routes
                .iter()
                .all(|route| route.pool.index() < policy.pools.len())
        );
    }
}

fn examples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    ["smallest.yaml", "quickstart.yaml", "exchange.yaml"]
        .iter()
        .map(|name| std::fs::read_to_string(folder.join(name)).expect("an example"))
        .collect()
}

/// What is done to a good policy: at a place, so many characters go and a piece comes.
#[derive(Clone, Debug)]
struct Edit {
    place: usize,
    gone: usize,
    piece: String,
}

fn edit() -> impl Strategy<Value = Edit> {
    let piece = prop_oneof![
        proptest::sample::select(&PIECES[..]).prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        Just(String::new()),
    ];
    (any::<usize>(), 0..6_usize, piece).prop_map(|(place, gone, piece)| Edit { place, gone, piece })
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        let start = edit.place % (chars.len() + 1);
        let end = (start + edit.gone).min(chars.len());
        chars.splice(start..end, edit.piece.chars());
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(20),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        compile(&text);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        compile(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_pieces_are_survived(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..40)
    ) {
        compile(&pieces.concat());
    }

    #[test]
    fn any_edit_of_a_good_policy_is_survived(
        which in 0..3_usize,
        edits in proptest::collection::vec(edit(), 1..5),
    ) {
        let examples = examples();
        compile(&apply(&examples[which], &edits));
    }

    #[test]
    fn any_policy_that_breaks_off_is_survived(which in 0..3_usize, at in any::<usize>()) {
        let text = &examples()[which];
        let chars: Vec<char> = text.chars().collect();
        compile(&chars[..at % chars.len()].iter().collect::<String>());
    }
}

#[test]
fn deep_nesting_of_every_kind_is_refused() {
    for open in [
        "[", "{a: ", "{", "- ", "? ", "a:\n ", "[{", "&a [", "!!seq [", "- - ", "\"", "|\n",
    ] {
        compile(&open.repeat(20_000));
        compile(&format!("version: 1\npools: {}", open.repeat(20_000)));
    }
    let blocks: String = (0..2_000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    compile(&blocks);
}

#[test]
fn a_large_policy_compiles_soon() {
    let mut text =
        "version: 1\nlisteners: { public: { bind: 127.0.0.1:0 } }\nproviders:\n".to_owned();
    for provider in 0..20 {
        let sites: Vec<String> = (0..50).map(|site| format!("s{site}")).collect();
        text.push_str(&format!(
            "  p{provider}: {{ sites: [{}] }}\n",
            sites.join(", ")
        ));
    }
    text.push_str("pools:\n");
    for pool in 0..10 {
        text.push_str(&format!("  pool{pool}:\n    backends:\n"));
        for n in 0..200 {
            let (provider, site) = (n % 20, n % 50);
            text.push_str(&format!(
                "      - {{ url: http://b{n}.example, site: p{provider}/s{site} }}\n"
            ));
        }
    }
    text.push_str("routes:\n");
    for route in 0..1000 {
        let pool = route % 10;
        text.push_str(&format!(
            "  - {{ match: {{ path: /r{route} }}, pool: pool{pool} }}\n"
        ));
    }
    compile(&text);
    // The same with a mistake in every line that can have one.
    compile(
        &text
            .replace("site: p", "site: q")
            .replace("pool: pool", "pool: tool"),
    );
}
