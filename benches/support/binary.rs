//! The binary at work on a database: a process, as everybody runs it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::{Server, process};

/// Business time of most workloads: the middle of an open period.
pub(crate) const NOW: &str = "2026-05-20T12:00:00Z";

/// How often a process's memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// One run of the binary.
pub(crate) struct Ran {
    pub(crate) elapsed: Duration,
    /// Its largest resident size.
    pub(crate) peak_mib: f64,
    pub(crate) said: String,
}

impl Ran {
    /// What it says with `--format json`.
    pub(crate) fn report(&self) -> serde_json::Value {
        serde_json::from_str(&self.said).unwrap_or_else(|error| panic!("{error}: {}", self.said))
    }
}

/// Runs it to its end, which must be one of these exit codes.
pub(crate) async fn run(
    server: &Server,
    database: &str,
    arguments: &[&str],
    settings: &[(&str, &str)],
    codes: &[i32],
) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
    command
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env("PERIODD__DATABASE__URL", server.url(database))
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let began = Instant::now();
    let child = command.spawn().expect("the binary starts");
    let pid = child.id();
    let mut output = std::pin::pin!(child.wait_with_output());
    let (mut looks, mut peak_mib) = (tokio::time::interval(LOOK), 0.0);
    let output = loop {
        tokio::select! {
            output = &mut output => break output.expect("the binary ends"),
            _ = looks.tick() => {
                peak_mib = pid.and_then(process::peak_mib).unwrap_or(peak_mib);
            }
        }
    };
    let elapsed = began.elapsed();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let is_right = output.status.code().is_some_and(|code| codes.contains(&code));
    assert!(is_right, "{arguments:?}: {}: {complaint}", output.status);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ran { elapsed, peak_mib, said }
}

/// A run in a database whose time is not the machine's, with a report as JSON.
pub(crate) async fn at(
    server: &Server,
    database: &str,
    now: &str,
    arguments: &[&str],
    settings: &[(&str, &str)],
) -> Ran {
    let arguments = [&["--format", "json", "--quiet", "--at", now], arguments].concat();
    let settings = [&[("PERIODD__DATABASE__SANDBOX", "true")], settings].concat();
    run(server, database, &arguments, &settings, &[0]).await
}
