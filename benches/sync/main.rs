//! The speed of counting and of audits, as ratios within one run: `make bench`.
//!
//! Counting is set against one hand-written statement that writes the same, an audit against the
//! bare sum over the same metrics. `PERIODD_BENCH_ORGS`, `PERIODD_BENCH_METRICS` (per org),
//! `PERIODD_BENCH_INSERTS` and `PERIODD_BENCH_RUNS` make it smaller.

mod audit;
mod counting;
mod measure;
#[path = "../support/mod.rs"]
mod support;

use support::{Server, setting};

/// The size of things.
#[derive(Clone, Copy)]
struct Size {
    /// Orgs that are audited.
    orgs: u64,
    /// Metrics of each of them.
    metrics: u64,
    /// Plain inserts that are counted.
    inserts: u64,
    runs: u64,
}

/// The middle of measured seconds.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// Says a result: what, ours, the baseline, their ratio, and the goal.
fn row(what: &str, ours: &str, base: &str, ratio: f64, goal: &str) {
    println!("| {what} | {ours} | {base} | {ratio:.2} | {goal} |");
}

#[tokio::main]
async fn main() {
    if !support::is_asked_for() {
        return;
    }
    let size = Size {
        orgs: setting("PERIODD_BENCH_ORGS", 1_000_000),
        metrics: setting("PERIODD_BENCH_METRICS", 30),
        inserts: setting("PERIODD_BENCH_INSERTS", 1_000_000),
        runs: setting("PERIODD_BENCH_RUNS", 3),
    };
    let only = std::env::var("PERIODD_BENCH_ONLY").unwrap_or_default();
    let server = Server::new();
    println!("| workload | periodd | baseline | ratio | goal |\n|---|---|---|---|---|");
    if only != "audit" {
        counting::run(&server, size).await;
    }
    if only != "counting" {
        audit::run(&server, size).await;
    }
}
