//! The table of results.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

/// Medians of measured values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// The results of a run of the benchmark.
pub(crate) struct Table {
    orgs: u64,
    runs: usize,
    rows: Vec<[String; 5]>,
}

impl Table {
    pub(crate) fn new(orgs: u64, runs: usize) -> Self {
        Self { orgs, runs, rows: Vec::new() }
    }

    /// Adds a row: what, ours, the baseline, their ratio, and the goal.
    pub(crate) fn row(&mut self, what: &str, ours: String, base: String, ratio: f64, goal: &str) {
        let ratio = if ratio.is_nan() { String::new() } else { format!("{ratio:.2}") };
        eprintln!("{what}: {ours} against {base}: {ratio} (goal {goal})");
        self.rows.push([what.to_owned(), ours, base, ratio, goal.to_owned()]);
    }

    pub(crate) fn render(&self, took: Duration) -> String {
        let mut text = String::from("# Benchmarks\n\n");
        let Self { orgs, runs, rows } = self;
        let _ = writeln!(
            text,
            "Medians of {runs} runs in turn with their baselines, on fresh copies of one database \
             of {orgs} orgs,\na fifth of them with a pack that is drawn on; fsync and \
             synchronous_commit on. Only the ratios carry\nover to other machines. `make bench` \
             makes this page anew.\n"
        );
        let _ = writeln!(text, "- machine: {}\n- date: {}", machine(), output("date", &["+%F"]));
        let _ = writeln!(text, "- commit: {}", output("git", &["rev-parse", "--short", "HEAD"]));
        let _ = writeln!(text, "- took: {} min\n", took.as_secs() / 60);
        text.push_str("| workload | periodd | baseline | ratio | goal |\n|---|---|---|---|---|\n");
        for [what, ours, base, ratio, goal] in rows {
            let _ = writeln!(text, "| {what} | {ours} | {base} | {ratio} | {goal} |");
        }
        text
    }
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
