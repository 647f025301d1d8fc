//! `workers`, `drain`, `limits`, `state_dir` and `journal`: the process itself.

use super::Context;
use crate::Files;
use crate::fields::{Fields, text};
use crate::policy::{DEFAULT_RECORD_SIZE, Drain, Limits, Record};
use crate::shape;
use std::path::PathBuf;

/// Data workers; one a core where the policy does not say.
pub(super) fn workers(fields: &mut Fields<'_>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = fields.number("workers");
    workers
        .and_then(|workers| usize::try_from(workers).ok())
        .unwrap_or(cores)
}

/// How a SIGTERM ends.
pub(super) fn drain(fields: &mut Fields<'_>) -> Drain {
    let default = Drain::default();
    let Some(node) = fields.get("drain") else {
        return default;
    };
    let Some(mut drain) = Fields::of(fields.report, node, &shape::process::DRAIN) else {
        return default;
    };
    let found = Drain {
        linger: drain.duration("linger", default.linger),
        timeout: drain.duration("timeout", default.timeout),
    };
    drain.finish();
    found
}

/// The folder of what outlives the process. It has to be there: an error where the policy is about
/// to be used, a warning where it is only checked. Whether it can be written shows at the start.
pub(super) fn state_dir(context: &Context<'_>, fields: &mut Fields<'_>) -> Option<PathBuf> {
    let node = fields.get("state_dir")?;
    let path = context
        .base
        .join(text(context.report, node, "the path of a folder")?);
    if !path.is_dir() {
        let text = format!("there is no folder `{}`", path.display());
        let hint = "paths are relative to the folder of the policy; leeward does not make this one";
        match context.report.options.files {
            Files::MustExist => context.report.error_hint(node.pos, text, hint),
            Files::MayBeMissing => context.report.warning(node.pos, text, hint),
        }
    }
    Some(path)
}

/// Where what the engine is told is recorded. The folder of the file has to be there, as for
/// [`state_dir`].
pub(super) fn journal(context: &Context<'_>, fields: &mut Fields<'_>) -> Option<Record> {
    let report = context.report;
    let node = fields.get("journal")?;
    let mut journal = Fields::of(report, node, &shape::process::JOURNAL)?;
    let node = journal.require("record", "run.jsonl");
    let size = journal.size("record_size", DEFAULT_RECORD_SIZE);
    journal.finish();
    let node = node?;
    let path = context.base.join(text(report, node, "the path of a file")?);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let text = format!("there is no folder `{}`", folder.display());
        let hint = "paths are relative to the folder of the policy; leeward does not make this one";
        match report.options.files {
            Files::MustExist => report.error_hint(node.pos, text, hint),
            Files::MayBeMissing => report.warning(node.pos, text, hint),
        }
    }
    Some(Record { path, size })
}

/// Bounds on everything that faces a client.
pub(super) fn limits(fields: &mut Fields<'_>) -> Limits {
    let default = Limits::default();
    let Some(node) = fields.get("limits") else {
        return default;
    };
    let Some(mut f) = Fields::of(fields.report, node, &shape::process::LIMITS) else {
        return default;
    };
    let found = Limits {
        tls_handshake: f.duration("tls_handshake", default.tls_handshake),
        header_timeout: f.duration("header_timeout", default.header_timeout),
        header_bytes: size(&mut f, "header_bytes", default.header_bytes),
        header_count: count(&mut f, "header_count", default.header_count),
        idle_timeout: f.duration("idle_timeout", default.idle_timeout),
        body_idle: f.duration("body_idle", default.body_idle),
        body_min_rate: f.size("body_min_rate", default.body_min_rate),
        write_stall: f.duration("write_stall", default.write_stall),
        keep_body: size(&mut f, "keep_body", default.keep_body),
        hold_answer: size(&mut f, "hold_answer", default.hold_answer),
        max_body: f.size("max_body", default.max_body),
        max_streams: f.count("max_streams", default.max_streams),
    };
    f.finish();
    found
}

fn size(fields: &mut Fields<'_>, key: &'static str, default: usize) -> usize {
    usize::try_from(fields.size(key, default as u64)).unwrap_or(default)
}

/// A whole number within bounds as `usize`.
pub(super) fn count(fields: &mut Fields<'_>, key: &'static str, default: usize) -> usize {
    fields
        .number(key)
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(default)
}
