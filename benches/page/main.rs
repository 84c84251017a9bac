//! How long a person waits for `explain` and `status` where there are a million orgs and thirty
//! million metrics: `make bench`.
//!
//! The wall time of the binary as it is called, connecting and printing included; each call
//! explains another org. `PERIODD_BENCH_ORGS`, `PERIODD_BENCH_METRICS` (per org) and
//! `PERIODD_BENCH_RUNS` make it smaller.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[path = "../support/mod.rs"]
mod support;

use support::{Server, setting};

const DATABASE: &str = "bench_page";
/// Business time: the middle of an open period.
const NOW: &str = "2026-05-20T12:00:00Z";
/// Nobody notices that they waited.
const ENOUGH: Duration = Duration::from_millis(100);
/// Apart from every multiple that the seed goes by.
const STRIDE: u64 = 7_919;

/// How long one call takes, from its start to its end, and what it printed.
fn call(server: &Server, arguments: &[&str]) -> (Duration, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
    command
        .args(["--at", NOW])
        .args(arguments)
        .env("PERIODD__DATABASE__URL", server.url(DATABASE))
        .stdin(Stdio::null());
    let started = Instant::now();
    let output = command.output().expect("the binary runs");
    let elapsed = started.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    // 3: `status` has found something, such as a full disk.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{arguments:?}: {said}");
    (elapsed, String::from_utf8_lossy(&output.stdout).into_owned())
}
/// Prints the middle and the slowest call; is the middle fast enough?
fn row(what: &str, mut calls: Vec<Duration>) -> bool {
    calls.sort_unstable();
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let (middle, slowest) = (calls[calls.len() / 2], calls[calls.len() - 1]);
    println!(
        "| `{what}` | {:.0} ms | {:.0} ms | ≤ {} ms |",
        milliseconds(middle),
        milliseconds(slowest),
        ENOUGH.as_millis()
    );
    middle <= ENOUGH
}

#[tokio::main]
async fn main() {
    if !support::is_asked_for() {
        return;
    }
    let orgs = setting("PERIODD_BENCH_ORGS", 1_000_000).max(1);
    let metrics = setting("PERIODD_BENCH_METRICS", 30).max(1);
    let runs = setting("PERIODD_BENCH_RUNS", 11).max(1);
    let server = Server::new();
    eprintln!("seeding {orgs} orgs with {metrics} metrics each");
    let seed = include_str!("seed.sql")
        .replace(":orgs", &orgs.to_string())
        .replace(":metrics", &metrics.to_string());
    server.seed(DATABASE, &seed).await;
    let slug = |run: u64| format!("org-{}", 1 + run * STRIDE % orgs);

    let (mut by_slug, mut by_email, mut as_page, mut status) = (vec![], vec![], vec![], vec![]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("page.html");
    let file = file.to_str().expect("a path of letters");
    for run in 0..runs {
        let org = slug(run * 3);
        let (elapsed, page) = call(&server, &["explain", &org]);
        assert!(page.contains(&org), "{page}");
        by_slug.push(elapsed);
        let email = format!("{}@example.org", slug(run * 3 + 1));
        let (elapsed, page) = call(&server, &["explain", &email]);
        assert!(page.contains(&email), "{page}");
        by_email.push(elapsed);
        as_page.push(call(&server, &["explain", &slug(run * 3 + 2), "--html", file]).0);
        let (elapsed, page) = call(&server, &["status"]);
        assert!(page.contains("Asia/Tokyo"), "{page}");
        status.push(elapsed);
    }
    println!("| {orgs} orgs, {} metrics | median of {runs} | slowest | goal |", orgs * metrics);
    println!("|---|---:|---:|---:|");
    let fast = [
        row("periodd explain ORG", by_slug),
        row("periodd explain EMAIL", by_email),
        row("periodd explain ORG --html FILE", as_page),
        row("periodd status", status),
    ];
    if fast.contains(&false) {
        eprintln!("whoever looks must not wait for more than {ENOUGH:?}");
        std::process::exit(1);
    }
}
