//! `leeward completions` and `leeward man`: what shells and `man` want to know, from the command line
//! as it is declared.
//!
//! Owns nothing but where it is written. Called by `main`.

use crate::args::Args;
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::Write;
use std::path::Path;

/// Prints the completions of a shell; the exit code.
pub(crate) fn completions(shell: Shell) -> u8 {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "leeward", &mut text);
    // A reader that has gone away wants no more of it.
    let _ = std::io::stdout().write_all(&text);
    0
}

/// Writes `leeward.1` and a page for each verb into `dir`; the exit code.
pub(crate) fn pages(dir: &Path) -> u8 {
    let command = Args::command().disable_help_subcommand(true);
    let written =
        std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
    match written {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("leeward: {}: {error}", dir.display());
            1
        }
    }
}
