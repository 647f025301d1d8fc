//! From the tree of a policy file to the compiled [`Policy`], with every problem reported.
//!
//! Owns the meaning of every key, one file a section. Reads no files but to ask whether a
//! certificate is there. Called by [`crate::load`] and [`crate::parse`].

mod access_log;
mod admin;
mod backends;
mod capacity;
mod clients;
mod discovery;
mod expect;
mod failback;
mod failover;
mod guards;
mod http;
mod listeners;
mod matching;
mod places;
mod pools;
mod probe;
mod routes;
mod server;
mod shadow;
mod tiers;

use crate::fields::{Fields, expected};
use crate::policy::Policy;
use crate::report::Report;
use crate::shape;
use crate::tree::Node;
use std::path::Path;

/// The version of the policy file that this program reads.
const VERSION: u64 = 1;

/// What every section needs while it is compiled.
pub(crate) struct Context<'a> {
    report: &'a Report<'a>,
    /// Paths of files are relative to this folder.
    base: &'a Path,
}

/// Compiles a whole policy. Whether it can be used is for the report to say: it is `Some` as well
/// where errors were found beside it.
pub(crate) fn compile(
    report: &Report<'_>,
    root: &Node,
    base: &Path,
    hash: String,
) -> Option<Policy> {
    let context = Context { report, base };
    let mut fields = Fields::of(report, root, &shape::process::TOP)?;
    if !version(report, &mut fields) {
        return None;
    }
    let admin = admin::admin(&context, &mut fields);
    let workers = server::workers(&mut fields);
    let drain = server::drain(&mut fields);
    let limits = server::limits(&mut fields);
    let state_dir = server::state_dir(&context, &mut fields);
    let record = server::journal(&context, &mut fields);
    let access_log = access_log::access_log(&context, &mut fields);
    let dns = discovery::dns(&mut fields);
    let rails = guards::compile(&mut fields);
    let listeners = listeners::compile(&context, &mut fields, &admin);
    let places = places::compile(report, &mut fields);
    let mut pools = pools::compile(&context, &mut fields, &places);
    let routes = routes::compile(report, &mut fields, &pools, &listeners);
    fields.finish();
    pools.judge(report, &routes);
    let engine = leeward_failover::Policy {
        providers: places.providers,
        sites: places.sites,
        pools: std::mem::take(&mut pools.engine),
        backends: std::mem::take(&mut pools.backends),
        guards: rails.guards.clone(),
    };
    rails.judge(report, &engine, &pools, &routes);
    Some(Policy {
        hash,
        base: base.to_owned(),
        engine,
        listeners,
        routes,
        pools: pools.io,
        backends: pools.backends_io,
        admin: admin.bind,
        admin_read_only: admin.read_only,
        admin_access: admin.access,
        workers,
        drain,
        limits,
        state_dir,
        record,
        access_log,
        dns,
    })
}

/// Whether the policy is of a version that this program reads. One that is newer gets this one
/// problem: its keys may mean something else.
fn version(report: &Report<'_>, fields: &mut Fields<'_>) -> bool {
    let Some(node) = fields.require("version", "1") else {
        return true;
    };
    match node.text().map(str::parse::<u64>) {
        Some(Ok(VERSION)) => true,
        Some(Ok(newer)) if newer > VERSION => {
            let text = format!("version {newer} of the policy file is newer than this program");
            report.error_hint(
                node.pos,
                text,
                format!("this program reads version {VERSION}"),
            );
            false
        }
        _ => {
            expected(report, node, "the version of the policy file, 1", None);
            true
        }
    }
}
