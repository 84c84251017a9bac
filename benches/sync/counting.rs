//! Counting plain inserts, against one statement that writes the same.

use super::USE;
use crate::support::binary::{NOW, at};
use crate::support::{Bench, Goal, Outcome, Series, beside};

/// Metrics that were counted before, as a multiple of those that are not: a table three times as
/// large.
const BEFORE: [(u64, &str); 2] = [(1, "small"), (5, "large")];

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let (inserts, orgs) = (size.of(1_000_000), size.of(100_000));
    let mut series = Series::default();
    for (times, name) in BEFORE {
        let numbers = [("inserts", inserts), ("before", inserts * times), ("orgs", orgs)];
        let seed = format!("bench_counting_{name}");
        server.seed(&seed, include_str!("counting.sql"), &numbers).await;
    }
    for _ in 0..size.runs {
        for (_, name) in BEFORE {
            let seed = format!("bench_counting_{name}");
            server.copy(&seed, "bench_statement").await;
            let statement = server.run("bench_statement", include_str!("one_statement.sql")).await;
            series.add(&format!("statement, {name}"), statement.as_secs_f64());
            server.discard("bench_statement").await;
            server.copy(&seed, "bench_counted").await;
            let ran = at(server, "bench_counted", NOW, &["sync"], &[]).await;
            let report = ran.report();
            assert_eq!(report["metrics_counted"], inserts, "{report}");
            series.add(name, ran.elapsed.as_secs_f64());
            server.discard("bench_counted").await;
        }
        server.copy("bench_counting_small", "bench_beside").await;
        let counting = async { drop(at(server, "bench_beside", NOW, &["sync"], &[]).await) };
        beside::measure(&mut series, *size, &server.url("bench_beside"), USE, counting).await;
        server.discard("bench_beside").await;
    }
    for (_, name) in BEFORE {
        server.discard(&format!("bench_counting_{name}")).await;
    }
    let what = format!("counting of {inserts} plain inserts");
    let statement = ("one statement", "statement, small");
    let large = format!("{what} in a table three times as large");
    Outcome::Measured(vec![
        series.against(statement, &what, "s", "small", Goal::RatioAtMost(1.2)),
        series.against(("the smaller", "small"), &large, "s", "large", Goal::RatioAtMost(1.1)),
        beside::figure(&series, &format!("the {what}")),
    ])
}
