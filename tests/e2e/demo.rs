//! The demo: a scripted outage that judges itself by the backends' own record.

use crate::support::proxy::leeward;
use crate::support::wire::text;
use std::process::{Command, Stdio};

#[tokio::test]
async fn the_scripted_outage_ends_well() {
    let mut command = Command::new("timeout");
    command
        .args(["60", &leeward(), "demo", "--once"])
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{:?}\n{said}", output.status);
    assert!(!text(&output.stdout).is_empty());
}
