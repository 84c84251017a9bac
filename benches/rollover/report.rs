//! The table of results.

use std::fmt::Write;
use std::process::Command;

/// The results of the benchmark.
pub(crate) struct Table {
    orgs: u64,
    rows: Vec<[String; 6]>,
}

impl Table {
    pub(crate) fn new(orgs: u64) -> Self {
        Self { orgs, rows: Vec::new() }
    }

    /// Adds a row: what, ours, the baseline, their ratio, the goal, and of how many runs.
    pub(crate) fn row(
        &mut self,
        what: &str,
        ours: String,
        base: String,
        ratio: f64,
        goal: &str,
        runs: usize,
    ) {
        if runs == 0 {
            return;
        }
        let ratio = if ratio.is_nan() { String::new() } else { format!("{ratio:.2}") };
        self.rows.push([what.to_owned(), ours, base, ratio, goal.to_owned(), runs.to_string()]);
    }

    pub(crate) fn render(&self) -> String {
        let mut text = String::from("# Benchmarks\n\n");
        let Self { orgs, rows } = self;
        let _ = writeln!(
            text,
            "Medians of runs in turn with their baselines, on fresh copies of one database of \
             {orgs} orgs,\na fifth of them with a pack that is drawn on, in periodd's private \
             cluster as it is configured for\neverybody: fsync and synchronous_commit on. Only \
             the ratios carry over to other machines. `make bench`\nprints this table, \
             `make bench-page` regenerates this page; the baselines are written out in\n\
             `benches/rollover`.\n"
        );
        let _ = writeln!(text, "- machine: {}\n- date: {}", machine(), output("date", &["+%F"]));
        let _ = writeln!(text, "- commit: {}\n", commit());
        text.push_str("| workload | periodd | baseline | ratio | goal | runs |\n");
        text.push_str("|---|---|---|---|---|---|\n");
        for row in rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        boundaries(&mut text);
        text
    }
}

/// What `cargo bench --bench boundaries` measured last, if that was of this commit.
fn boundaries(text: &mut String) {
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench-boundaries.json");
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap_or_default();
    if kept["commit"] != commit() {
        return;
    }
    for row in kept["rows"].as_array().into_iter().flatten() {
        let nanoseconds = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
        let jiff = nanoseconds("jiff");
        for (name, what) in [("first", "first instant of a date"), ("following", "next boundary")] {
            let (ours, cycle) = (nanoseconds(name), row["name"].as_str().unwrap_or_default());
            let _ = writeln!(
                text,
                "| {what}, {cycle} | {ours:.1} ns | jiff's own conversion, {jiff:.1} ns | {:.2} | \
                 ≤ 2 | {} |",
                ours / jiff,
                row["runs"]
            );
        }
    }
}

/// The commit that is checked out.
pub(crate) fn commit() -> String {
    output("git", &["rev-parse", "--short", "HEAD"])
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown").to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{cores} cores, {}", field("model name"))
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
