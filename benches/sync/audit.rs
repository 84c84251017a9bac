//! An audit of right books, against the bare sum over the metrics of the same period.

use super::USE;
use crate::support::binary::{NOW, Ran, at};
use crate::support::{Bench, Goal, Outcome, Series, Server, beside, rate};

const SEED: &str = "bench_audit";
/// What the bare read of the truth takes, without sending it anywhere.
const BARE: &str = "
    select count(*) from (
        select organization_id, metric_type, sum(metric_value) from usage_metrics
        where created_at >= '2026-05-01Z' and created_at < '2026-06-01Z' group by 1, 2) x";

/// Metrics of each org where their number grows.
const OF_EACH: u64 = 100;

async fn seed(server: &Server, name: &str, orgs: u64, metrics: u64) {
    let numbers = [("orgs", orgs), ("metrics", metrics)];
    server.seed(name, include_str!("audit.sql"), &numbers).await;
}

async fn audit(server: &Server, name: &str) -> Ran {
    at(server, name, NOW, &["sync", "--full"], &[]).await
}

/// A million orgs, thirty million metrics.
pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let (orgs, metrics) = (size.of(1_000_000), 30);
    seed(server, SEED, orgs, metrics).await;
    let mut series = Series::default();
    for _ in 0..size.runs {
        series.add("bare", server.run(SEED, BARE).await.as_secs_f64());
        let ran = audit(server, SEED).await;
        let report = ran.report();
        assert_eq!(report["drift_found"], 0, "{report}");
        assert_eq!(report["audited"]["orgs"], orgs, "{report}");
        assert_eq!(report["audited"]["metrics"], orgs * metrics, "{report}");
        series.add("ours", ran.elapsed.as_secs_f64());
    }
    for _ in 0..size.runs {
        let auditing = async { drop(audit(server, SEED).await) };
        beside::measure(&mut series, *size, &server.url(SEED), USE, auditing).await;
    }
    server.discard(SEED).await;
    let what = format!("audit of {orgs} orgs over {} metrics", orgs * metrics);
    let bare = ("the bare sum of them", "bare");
    Outcome::Measured(vec![
        series.against(bare, &what, "s", "ours", Goal::RatioAtMost(1.4)),
        beside::figure(&series, &format!("an {what}")),
    ])
}

/// One, ten and a hundred million metrics, a hundred of each org.
pub(crate) async fn growth(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let sizes = [1_000_000, 10_000_000, 100_000_000].map(|metrics| size.of(metrics / OF_EACH));
    let mut series = Series::default();
    for (number, orgs) in sizes.iter().enumerate() {
        // One after the other: the largest takes tens of gigabytes.
        seed(server, SEED, *orgs, OF_EACH).await;
        for _ in 0..size.runs {
            let ran = audit(server, SEED).await;
            series.add(&format!("metrics {number}"), 1e6 / rate(orgs * OF_EACH, ran.elapsed));
            series.add(&format!("memory {number}"), ran.peak_mib);
        }
        server.discard(SEED).await;
    }
    let figures = (1..sizes.len()).flat_map(|number| {
        let metrics = sizes[number] * OF_EACH;
        let what = format!("audit of {metrics} metrics");
        let smaller = format!("of {}", sizes[number - 1] * OF_EACH);
        let (small, large) = (format!("metrics {}", number - 1), format!("metrics {number}"));
        let base = (smaller.as_str(), small.as_str());
        let (memory, peak) = (format!("memory of an {what}"), format!("memory {number}"));
        [
            series.against(base, &what, "µs/metric", &large, Goal::RatioAtMost(1.2)),
            series.figure(&memory, "MiB", &peak, Goal::AtMost(64.0)),
        ]
    });
    Outcome::Measured(figures.collect())
}
