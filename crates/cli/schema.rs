//! `leeward schema`: the policy's shape as a JSON Schema, for editors. Called by `main`.

use std::io::Write;

/// Prints it; the exit code.
pub(crate) fn run() -> u8 {
    // A reader that has gone away changes nothing.
    let _ = std::io::stdout().write_all(leeward_config::schema().as_bytes());
    0
}
