//! `access_log`: what is said of each request, and where.
//!
//! Refuses fields that hold credentials: a log is copied to more places than a request.

use super::Context;
use crate::Files;
use crate::fields::{Fields, expected, one_or_list, text};
use crate::policy::{AccessLog, LogTarget};
use crate::report::Report;
use crate::shape::process::{self, MOST_LOG_FIELDS, QUERIES};
use crate::tree::Node;
use http::header::HeaderName;
use std::path::{Path, PathBuf};

/// Bytes of a path that the kernel takes for a socket.
const MAX_SOCKET_PATH: usize = 107;
/// Fields that are never shown.
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
];
/// What the names of fields that hold secrets have in common.
const SECRETS: [&str; 7] = ["key", "secret", "token", "sign", "auth", "pass", "session"];

/// Where and how requests are logged; `None` where they are not.
pub(super) fn access_log(context: &Context<'_>, fields: &mut Fields<'_>) -> Option<AccessLog> {
    let report = context.report;
    let node = fields.get("access_log")?;
    if node.text() == Some("off") {
        return None;
    }
    let mut log = Fields::of(report, node, &process::ACCESS_LOG)?;
    let to = log.require("to", "access.jsonl");
    let sample = log.share("sample", 1.0);
    let query = log.word("query", &QUERIES).unwrap_or_default();
    let shown = log.get("fields").map(|node| names(report, node));
    log.finish();
    Some(AccessLog {
        to: target(context, to?)?,
        sample,
        query,
        fields: shown.unwrap_or_default(),
    })
}

fn target(context: &Context<'_>, node: &Node) -> Option<LogTarget> {
    let what = "a file, `stdout` or `unix:SOCKET`";
    let said = text(context.report, node, what)?;
    if said == "stdout" {
        return Some(LogTarget::Stdout);
    }
    let (path, is_socket) = match said.strip_prefix("unix:") {
        Some(path) => (path, true),
        None => (said, false),
    };
    if path.is_empty() || path.ends_with('/') {
        expected(context.report, node, what, None);
        return None;
    }
    let path = context.base.join(path);
    folder_of(context, node, &path);
    if !is_socket {
        return Some(LogTarget::File(path));
    }
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        let text = format!("the path of a socket has {MAX_SOCKET_PATH} bytes at most");
        context.report.error(node.pos, text);
    }
    Some(LogTarget::Unix(path))
}

/// The folder has to be there, as for `journal`.
fn folder_of(context: &Context<'_>, node: &Node, path: &Path) {
    let folder: PathBuf = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => return,
    };
    if folder.is_dir() {
        return;
    }
    let text = format!("there is no folder `{}`", folder.display());
    let hint = "paths are relative to the folder of the policy; leeward does not make this one";
    match context.report.options.files {
        Files::MustExist => context.report.error_hint(node.pos, text, hint),
        Files::MayBeMissing => context.report.warning(node.pos, text, hint),
    }
}

fn names(report: &Report<'_>, node: &Node) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for node in one_or_list(report, node, "names of header fields", MOST_LOG_FIELDS) {
        let Some(said) = text(report, node, "the name of a header field") else {
            continue;
        };
        let Ok(name) = said.parse::<HeaderName>() else {
            expected(report, node, "the name of a header field", None);
            continue;
        };
        if CREDENTIALS.contains(&name.as_str()) {
            let text = format!("`{name}` holds credentials and is never logged");
            report.error(node.pos, text);
        } else if SECRETS.iter().any(|word| name.as_str().contains(word)) {
            let text = format!("`{name}` may hold a secret, and the access log will show it");
            let hint = "whoever reads the log can then use it; leave the field out";
            report.warning(node.pos, text, hint);
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
