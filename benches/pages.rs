//! How long a person waits for `explain` and `status` where there are a million orgs and thirty
//! million metrics: the wall time of the binary, connecting and printing included; each call
//! explains another org.

use std::time::Duration;

use crate::support::binary::{self, NOW};
use crate::support::figure::{median, milliseconds};
use crate::support::{Bench, Goal, Outcome, Series, Server};

const DATABASE: &str = "bench_pages";
/// Metrics of each org.
const METRICS: u64 = 30;
/// Apart from every multiple that the seed goes by.
const STRIDE: u64 = 7_919;
/// Calls of one run, of which the middle counts.
const CALLS: u64 = 5;
/// Nobody notices that they waited.
const SOON: Goal = Goal::AtMost(100.0);
const COMMANDS: [&str; 4] = ["explain ORG", "explain EMAIL", "explain ORG --html FILE", "status"];

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = size.of(1_000_000);
    let numbers = [("orgs", orgs), ("metrics", METRICS)];
    server.seed(DATABASE, include_str!("pages.sql"), &numbers).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("page.html");
    let file = file.to_str().expect("a path of letters");
    let mut series = Series::default();
    for run in 0..size.runs {
        let mut calls = [const { Vec::new() }; COMMANDS.len()];
        for call in 0..CALLS {
            let number = u64::try_from(run).unwrap_or_default() * CALLS + call;
            let slug = |next: u64| format!("org-{}", 1 + (number * 3 + next) * STRIDE % orgs);
            let (by_slug, as_page) = (slug(0), slug(2));
            let by_email = format!("{}@example.org", slug(1));
            calls[0].push(ask(server, &["explain", &by_slug], &by_slug).await);
            calls[1].push(ask(server, &["explain", &by_email], &by_email).await);
            calls[2].push(ask(server, &["explain", &as_page, "--html", file], "").await);
            calls[3].push(ask(server, &["status"], "Asia/Tokyo").await);
        }
        for (command, calls) in COMMANDS.iter().zip(calls) {
            let calls: Vec<f64> = calls.into_iter().map(milliseconds).collect();
            series.add(command, median(&calls));
        }
    }
    server.discard(DATABASE).await;
    let metrics = orgs * METRICS;
    let figure = |command: &str| {
        let what = format!("`periodd {command}` beside {orgs} orgs and {metrics} metrics");
        series.figure(&what, "ms", command, SOON)
    };
    Outcome::Measured(COMMANDS.map(figure).into())
}

/// How long one call takes, whose answer names what was asked for.
async fn ask(server: &Server, arguments: &[&str], name: &str) -> Duration {
    let arguments = [&["--at", NOW], arguments].concat();
    // 3: `status` has found something, such as a full disk.
    let ran = binary::run(server, DATABASE, &arguments, &[], &[0, 3]).await;
    assert!(ran.said.contains(name), "{}", ran.said);
    ran.elapsed
}
