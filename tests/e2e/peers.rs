//! The bench of peers sees what it looks for: samples that are no good, answers that are wrong.

use std::path::Path;
use std::process::Command;

#[test]
fn the_bench_of_peers_sees_errors_noise_and_wrong_answers() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/selftest.py");
    let ran = Command::new("python3").arg(script).output();
    let ran = ran.expect("python3 can be started");
    assert!(
        ran.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}
