//! An audit of right books, against the bare sum over the metrics of the same period.

use super::measure::sync;
use super::support::Server;
use super::{Size, median, row};

const SEED: &str = "bench_audit";

/// What the bare read of the truth takes, without sending it anywhere.
const BARE: &str = "
    select count(*) from (
        select organization_id, metric_type, sum(metric_value) from usage_metrics
        where created_at >= '2026-05-01Z' and created_at < '2026-06-01Z' group by 1, 2) x";

pub(crate) async fn run(server: &Server, size: Size) {
    eprintln!("seeding {} orgs with {} metrics each", size.orgs, size.metrics);
    let seed = include_str!("audit.sql")
        .replace(":orgs", &size.orgs.to_string())
        .replace(":metrics", &size.metrics.to_string());
    server.seed(SEED, &seed).await;
    let (mut ours, mut bare) = (vec![], vec![]);
    for _ in 0..size.runs {
        bare.push(server.run(SEED, BARE).await.as_secs_f64());
        let (elapsed, report) = sync(server, SEED, &["--full"]).await;
        assert_eq!(report["drift_found"], 0, "{report}");
        assert_eq!(report["audited"]["orgs"], size.orgs, "{report}");
        assert_eq!(report["audited"]["metrics"], size.orgs * size.metrics, "{report}");
        ours.push(elapsed.as_secs_f64());
        eprintln!("audit: {:?} against {:?}", ours.last(), bare.last());
    }
    let (ours, bare) = (median(&ours), median(&bare));
    let what = format!("audit of {} orgs over {} metrics", size.orgs, size.orgs * size.metrics);
    let base = format!("the bare sum of them, {bare:.1} s");
    row(&what, &format!("{ours:.1} s"), &base, ours / bare, "≤ 1.5");
    server.discard(SEED).await;
}
