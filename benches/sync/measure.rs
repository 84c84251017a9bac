//! The binary at work on a database.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::support::Server;

/// Business time of everything here: the middle of an open period.
pub(crate) const NOW: &str = "2026-05-20T12:00:00Z";

/// One run of `periodd sync` as a process: how long it took, and its report.
pub(crate) async fn sync(
    server: &Server,
    database: &str,
    flags: &[&str],
) -> (Duration, serde_json::Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
    command
        .args(["--format", "json", "--quiet", "--at", NOW, "sync"])
        .args(flags)
        .env("PERIODD__DATABASE__URL", server.url(database))
        .env("PERIODD__DATABASE__SANDBOX", "true")
        .stdout(Stdio::piped());
    let started = Instant::now();
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("a process").expect("the binary runs");
    let elapsed = started.elapsed();
    let report = serde_json::from_slice(&output.stdout).expect("a report");
    (elapsed, report)
}
