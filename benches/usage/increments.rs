//! How fast an increment is that asks before it counts, beside one statement that makes the same
//! writes and asks nothing.

use super::{CLIENTS, INCREMENT, seed};
use crate::support::pgbench::pgbench;
use crate::support::{Bench, Goal, Outcome, Series};

const DATABASE: &str = "bench_increments";
const SHARING: u64 = 1_000;

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let users = size.of(100_000);
    seed(server, DATABASE, users, 0).await;
    let cases = [
        ("spread", users, format!("{users} users")),
        ("shared", SHARING, "all on one org".to_owned()),
    ];
    let mut figures = Vec::new();
    for (whose, callers, what) in cases {
        let mut series = Series::default();
        for _ in 0..size.runs {
            for (name, script) in [("bare", include_str!("bare.sql")), ("calls", INCREMENT)] {
                let script = script.replace(":whose", whose);
                let numbers = [("callers", callers)];
                let calls = pgbench(server, DATABASE, &script, &numbers, CLIENTS, size.seconds);
                series.add(name, calls);
            }
        }
        let what = format!("increments, {CLIENTS} clients, {what}");
        let goal = Goal::RatioAtLeast(0.8);
        figures.push(series.against(("the bare writes", "bare"), &what, "calls/s", "calls", goal));
    }
    server.discard(DATABASE).await;
    Outcome::Measured(figures)
}
