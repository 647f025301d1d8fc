//! A real browser that looks at the page: headless Chromium, driven by playwright-core.
//!
//! `tests/e2e/page/driver.mjs` holds it and does what it is told; `tests/run` installs what that
//! needs. The tests judge what it saw.

use super::temp::TempDir;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Where `tests/run` puts playwright-core.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/browser");
const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/page/driver.mjs");

/// How long the page may take to show something on a busy machine.
pub(crate) const SHOWN: Duration = Duration::from_secs(30);

/// A browser with one page; it ends when this is dropped.
pub(crate) struct Browser {
    child: Child,
    /// Open until the end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one that has been nowhere.
    pub(crate) fn start() -> Self {
        let profile = TempDir::new();
        let driver = Path::new(MODULES).join("driver.mjs");
        // The modules are found from where the driver stands.
        let part = Path::new(MODULES).join(format!("driver.{}.part", std::process::id()));
        std::fs::copy(DRIVER, &part).expect("target/browser; ./tests/run makes it");
        std::fs::rename(&part, &driver).unwrap();
        let mut child = Command::new("node")
            .arg(&driver)
            .arg(chromium())
            .arg(profile.path("profile"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node; ./tests/run installs it");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut browser = Self {
            child,
            input,
            output,
            _profile: profile,
        };
        assert_eq!(browser.answer(), json!("ready"));
        browser
    }

    /// Goes to a URL.
    pub(crate) fn open(&mut self, url: &str) {
        self.tell(&json!({ "do": "open", "url": url }));
    }

    /// Waits until one of what `selector` finds has a text that fits the regular expression
    /// `pattern`; its text.
    pub(crate) fn read(&mut self, selector: &str, pattern: &str) -> String {
        let within = SHOWN.as_millis() as u64;
        let read =
            json!({ "do": "read", "selector": selector, "pattern": pattern, "within": within });
        self.tell(&read).as_str().expect("a text").to_owned()
    }

    /// Clicks on the first of what `selector` finds.
    pub(crate) fn click(&mut self, selector: &str) {
        self.tell(&json!({ "do": "click", "selector": selector }));
    }

    /// Writes into a field.
    pub(crate) fn fill(&mut self, selector: &str, text: &str) {
        self.tell(&json!({ "do": "fill", "selector": selector, "text": text }));
    }

    /// Presses keys, such as `Shift+Tab`.
    pub(crate) fn press(&mut self, keys: &str) {
        self.tell(&json!({ "do": "press", "keys": keys }));
    }

    /// Types a text with the keyboard.
    pub(crate) fn write(&mut self, text: &str) {
        self.tell(&json!({ "do": "type", "text": text }));
    }

    /// What a JavaScript expression is on the page.
    pub(crate) fn ask(&mut self, script: &str) -> Value {
        self.tell(&json!({ "do": "ask", "script": script }))
    }

    /// Makes the window so large.
    pub(crate) fn size(&mut self, width: u32, height: u32) {
        self.tell(&json!({ "do": "size", "width": width, "height": height }));
    }

    /// `light` or `dark`.
    pub(crate) fn scheme(&mut self, scheme: &str) {
        self.tell(&json!({ "do": "scheme", "scheme": scheme }));
    }

    /// A picture of what the window shows, or of the whole page.
    pub(crate) fn shot(&mut self, path: &Path, whole: bool) {
        self.tell(&json!({ "do": "shot", "path": path, "whole": whole }));
    }

    /// Presses Tab until what has the focus fits `selector`.
    pub(crate) fn tab_to(&mut self, selector: &str) {
        for _ in 0..200 {
            let there = format!("document.activeElement?.matches({selector:?}) ?? false");
            if self.ask(&there) == json!(true) {
                return;
            }
            self.press("Tab");
        }
        panic!("the keyboard never reaches {selector}");
    }

    /// That the page asked nobody but `host`, and that nothing went wrong in it; what stands in
    /// `but` may stand on the console.
    pub(crate) fn was_good(&mut self, host: &str, but: &[&str]) {
        let seen = self.tell(&json!({ "do": "seen" }));
        let own = format!("http://{host}/");
        let texts = |name: &str| {
            let all = seen[name].as_array().expect("a list").clone();
            all.into_iter()
                .map(|text| text.as_str().expect("a text").to_owned())
                .collect::<Vec<_>>()
        };
        let others = texts("requests")
            .into_iter()
            .filter(|url| !url.starts_with(&own));
        assert_eq!(others.collect::<Vec<_>>(), Vec::<String>::new());
        let said = texts("console");
        let said = said
            .iter()
            .filter(|text| !but.iter().any(|but| text.contains(but)));
        assert_eq!(said.collect::<Vec<_>>(), Vec::<&String>::new());
        assert_eq!(texts("errors"), Vec::<String>::new());
    }

    fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.input.as_mut().unwrap(), "{command}").expect("a driver that listens");
        self.answer()
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        let mut answer: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("the driver ended, or said {line:?}"));
        if let Some(error) = answer["error"].as_str() {
            panic!("the browser: {error}");
        }
        answer["ok"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its browser when its input ends; one that hangs is killed.
        let end = std::time::Instant::now() + Duration::from_secs(5);
        self.input = None;
        while std::time::Instant::now() < end && self.child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn chromium() -> String {
    let known = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var("PATH").unwrap_or_default();
    let mut all = std::env::split_paths(&path).flat_map(|dir| known.map(|name| dir.join(name)));
    let found = all.find(|binary| binary.is_file());
    let found = found.expect("chromium; ./tests/run installs it");
    found.display().to_string()
}
