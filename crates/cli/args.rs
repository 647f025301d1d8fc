//! The command line, and nothing derived from it.

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A multi-cloud failover reverse proxy for exchanges.
#[derive(Debug, Parser)]
#[command(
    name = "leeward",
    version,
    about,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Serve a policy.
    Run(Run),
    /// Say what is wrong with policies. Exit 0 when nothing is, 2 otherwise.
    Check {
        /// Policy files, or folders of them.
        #[arg(required = true, value_name = "POLICY")]
        policies: Vec<PathBuf>,
        /// Print the problems as JSON on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Say what becomes of a request, and why: the route and why no earlier one, what its class
    /// allows, where it goes, and where it would go with places down. Exit 0 when it goes to a pool, 1
    /// when leeward would refuse it.
    Explain(Explain),
    /// Show what a proxy that runs holds of providers, sites and pools, and what it decided last.
    Status(Status),
    /// Say what a policy would change, in meaning. Exit 0 for nothing, 1 for something, 2 for trouble.
    Diff(Diff),
    /// Move everything away from places now: requests that may move are placed elsewhere, streams
    /// end.
    Evacuate(Word),
    /// Send nothing new to places; what runs there may end, and streams end over a while.
    Drain(Word),
    /// Take back what was said of places: they return slowly.
    Restore(Restore),
    /// Tell a fresh engine what a recorded run was told, and compare what it decides. Exit 0 when that
    /// is identical, 1 at the first difference.
    Replay {
        /// The record: the file of `journal.record`, or what /api/v1/record gave.
        #[arg(value_name = "FILE")]
        record: PathBuf,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what makes a shell complete leeward's words.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one a verb, into a folder.
    Man {
        /// The folder; it is made where it is not there.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Print the JSON Schema of the policy, for editors.
    Schema,
    /// Watch a provider die: three small providers, the proxy, mixed load, all in this process.
    Demo(Demo),
}

/// Arguments of `run`.
#[derive(Debug, Arguments)]
pub(crate) struct Run {
    /// The policy file, or a folder of them.
    #[arg(value_name = "POLICY")]
    pub(crate) policy: PathBuf,
    /// How log lines on stderr look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// How much is logged: error, warn, info, debug, trace, or a filter such as
    /// `info,leeward_proxy=debug`.
    #[arg(long, default_value = "info")]
    pub(crate) log_level: String,
    /// Write the addresses listened on to this file, as JSON, once they are open.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Seed of the engine's dice (probe jitter); the time of day when absent.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Arguments of `diff`.
#[derive(Debug, Arguments)]
pub(crate) struct Diff {
    /// OLD and NEW; NEW alone is compared with what a leeward serves that runs.
    #[arg(required = true, num_args = 1..=2, value_names = ["OLD", "NEW"])]
    pub(crate) policies: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) admin: Admin,
    /// Print the difference as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `evacuate` and `drain`.
#[derive(Debug, Arguments)]
pub(crate) struct Word {
    #[command(flatten)]
    pub(crate) said: Said,
    /// How long it holds: 30m, 2h. Without it, until `restore`.
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) lasts: Option<String>,
    /// Say it though it takes away what is needed. Needs a reason. The last capacity of a pool goes
    /// on serving all the same.
    #[arg(long, requires = "reason")]
    pub(crate) force: bool,
}

/// Arguments of `restore`.
#[derive(Debug, Arguments)]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) said: Said,
}

/// What all words have.
#[derive(Debug, Arguments)]
pub(crate) struct Said {
    /// A provider (aws), a site (aws/us-east-1), or an endpoint by its address (192.0.2.7:8443, or
    /// POOL/192.0.2.7:8443 where several pools have it).
    #[arg(required = true, value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Why, for the journal.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Say what would follow, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) admin: Admin,
    /// Print the answer as JSON on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `explain`.
#[derive(Debug, Arguments)]
pub(crate) struct Explain {
    /// The policy, a file or a folder of them; everything is taken for well. Beside --admin: what the
    /// proxy is expected to serve.
    #[arg(value_name = "POLICY", required_unless_present = "admin")]
    pub(crate) policy: Option<PathBuf>,
    /// The request: 'POST /api/v3/order'.
    #[arg(long, value_name = "REQUEST")]
    pub(crate) request: String,
    /// Its host.
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// A header field of it: 'X-API-KEY: abc'. May be given again.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// The listener that it comes by; the first one of the policy without it.
    #[arg(long, value_name = "NAME")]
    pub(crate) listener: Option<String>,
    /// A provider (aws), a site (aws/us-east-1) or an endpoint (192.0.2.7:8443) that falls silent.
    /// Several may follow each other.
    #[arg(long, value_name = "PLACE", num_args = 1..)]
    pub(crate) down: Vec<String>,
    /// Ask the proxy whose admin side this is, with what it holds now.
    #[arg(long, value_name = "URL")]
    pub(crate) admin: Option<String>,
    #[command(flatten)]
    pub(crate) token: Token,
    /// Print the explanation as JSON on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Arguments)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) admin: Admin,
    /// Show it again each second, until ctrl-c.
    #[arg(long, conflicts_with = "json")]
    pub(crate) watch: bool,
    /// Print all that is known as JSON on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the admin side is shown, where it asks for it.
#[derive(Clone, Debug, Default, Arguments)]
pub(crate) struct Token {
    /// The file of the token that the admin side asks for. Without it, the environment's
    /// LEEWARD_ADMIN_TOKEN, if any.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Where a leeward that runs is asked.
#[derive(Debug, Default, Arguments)]
pub(crate) struct Admin {
    /// Its admin side. Default: that of --policy, or http://127.0.0.1:9900.
    #[arg(long, value_name = "URL")]
    pub(crate) admin: Option<String>,
    /// The policy that it serves, to find its admin side.
    #[arg(long, value_name = "POLICY", conflicts_with = "admin")]
    pub(crate) policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) token: Token,
}

/// Arguments of `demo`.
#[derive(Debug, Arguments)]
pub(crate) struct Demo {
    /// One short scripted outage, then the verdict: exit 0 only when no read failed and no order
    /// ran twice, by the providers' own records.
    #[arg(long)]
    pub(crate) once: bool,
}
