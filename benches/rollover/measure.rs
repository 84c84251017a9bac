//! Measuring: the real binary as a process.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::server::Copy;

/// Business time of every rollover here: all orgs are due.
pub(crate) const NOW: &str = "2026-06-02T12:00:00Z";

/// What an application beside it does.
pub(crate) const USE: &str = "select record_usage($1, 'sms_sent', 1, null, '2026-06-02T12:00:00Z')";

/// One run of the binary.
pub(crate) struct Run {
    pub(crate) elapsed: Duration,
    /// The largest resident size, in MiB.
    pub(crate) peak: f64,
}

/// How a rollover goes about it.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// As it is configured for everybody, for the sake of the applications beside it.
    Default,
    /// In pages of 1,000 orgs over so many connections, for speed.
    Over(u32),
}

/// Runs `periodd rollover` on a copy.
pub(crate) async fn rollover(copy: &Copy<'_>, pace: Pace, orgs: u64) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
    command
        .args(["--format", "json", "--quiet", "--at", NOW, "rollover"])
        .env("PERIODD__DATABASE__URL", copy.url())
        .env("PERIODD__DATABASE__SANDBOX", "true")
        .stdout(Stdio::piped());
    if let Pace::Over(connections) = pace {
        command
            .env("PERIODD__ROLLOVER__CONNECTIONS", connections.to_string())
            .env("PERIODD__ROLLOVER__BATCH_SIZE", "1000");
    }
    let started = Instant::now();
    let mut child = command.spawn().expect("the binary starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0;
    while child.try_wait().expect("the binary runs").is_none() {
        peak =
            std::fs::read_to_string(&status).ok().and_then(|text| resident(&text)).unwrap_or(peak);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let elapsed = started.elapsed();
    let output = child.wait_with_output().expect("the binary ends");
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("a report of the rollover");
    assert_eq!(report["orgs"], orgs, "every org was rolled over: {report}");
    Run { elapsed, peak }
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes / 1024.0)
}
