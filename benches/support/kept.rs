//! What was measured, kept from one call to the next: a full run takes longer than some machines
//! stay quiet, so that workloads may be measured one at a time.

use std::path::PathBuf;
use std::process::Command;

use super::{Figure, Outcome, Size};

/// What one workload came to.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Kept {
    /// Of which commit; what was measured of another is no match for this one.
    commit: String,
    size: Size,
    pub(crate) figures: Vec<Figure>,
    /// Why there are none.
    pub(crate) left_out: Option<String>,
}

impl Kept {
    pub(crate) fn new(size: Size, outcome: Outcome) -> Self {
        let (figures, left_out) = match outcome {
            Outcome::Measured(figures) => (figures, None),
            Outcome::LeftOut(reason) => (Vec::new(), Some(reason)),
        };
        Self { commit: commit(), size, figures, left_out }
    }

    /// What an earlier call measured of this commit at this size.
    pub(crate) fn of(workload: &str, size: Size) -> Option<Self> {
        let text = std::fs::read_to_string(file(workload)).ok()?;
        let kept: Self = serde_json::from_str(&text).ok()?;
        (kept.commit == commit() && kept.size == size).then_some(kept)
    }

    pub(crate) fn keep(&self, workload: &str) {
        let text = serde_json::to_string(self).expect("numbers");
        std::fs::write(file(workload), text).expect("a file below the target directory");
    }
}

fn file(workload: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{workload}.json"))
}

/// The commit that is checked out.
pub(crate) fn commit() -> String {
    output("git", &["rev-parse", "--short", "HEAD"])
}

/// What a program prints.
pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
