//! Retention of metrics that have been kept long enough, and what it leaves of their table.

use std::time::Instant;

use periodd::config::Config;
use periodd::jobs::retention::{self, Request};
use periodd::store::Database;

use super::USE;
use crate::support::binary::NOW;
use crate::support::{Bench, Goal, Outcome, Series, Server, beside};

const SEED: &str = "bench_retention";
const COPY: &str = "bench_forgotten";
/// Old metrics of each org, and as many new ones.
const OF_EACH: u64 = 500;

/// As many metrics as went, as time brings them.
const AGAIN: &str = "
    insert into usage_metrics (organization_id, metric_type, metric_value, created_at, counted_at)
    select o.id, 'sms_sent', 1, '2026-05-10Z'::timestamptz + n * interval '1 minute', '2026-05-20Z'
    from generate_series(1, :metrics) n, organizations o";
const SIZE: &str = "select pg_total_relation_size('usage_metrics') / 1048576.0::float8";

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = size.of(20_000);
    let metrics = orgs * OF_EACH;
    let numbers = [("orgs", orgs), ("metrics", OF_EACH)];
    server.seed(SEED, include_str!("retention.sql"), &numbers).await;
    let mut series = Series::default();
    for _ in 0..size.runs {
        server.copy(SEED, COPY).await;
        series.add("before", server.ask(COPY, SIZE).await);
        let began = Instant::now();
        assert_eq!(forget(server).await, metrics, "what is old goes, and no more");
        series.add("seconds", began.elapsed().as_secs_f64());
        server.run(COPY, "vacuum").await;
        server.run(COPY, &AGAIN.replace(":metrics", &OF_EACH.to_string())).await;
        series.add("after", server.ask(COPY, SIZE).await);

        server.copy(SEED, COPY).await;
        let forgetting = Box::pin(async {
            forget(server).await;
        });
        beside::measure(&mut series, *size, &server.url(COPY), USE, forgetting).await;
        server.discard(COPY).await;
    }
    server.discard(SEED).await;
    let what = format!("retention of {metrics} metrics of {}", 2 * metrics);
    let bloat = format!("usage_metrics after the {what} and as many new ones");
    let before = ("before", "before");
    Outcome::Measured(vec![
        series.figure(&what, "s", "seconds", Goal::AtMost(1.0)),
        series.against(before, &bloat, "MiB", "after", Goal::RatioAtMost(1.3)),
        beside::figure(&series, &format!("the {what}")),
    ])
}

/// As it is configured for everybody; how many metrics went.
async fn forget(server: &Server) -> u64 {
    let config = Config::load(None, std::iter::empty()).expect("the defaults");
    let mut request = Request::standing(&config.retention, &config.sync);
    request.at = Some(NOW.parse().expect("an instant"));
    let database = Database::connect(&server.url(COPY), 2).await.expect("the server answers");
    let report = retention::run(&database, &request).await.expect("a retention");
    database.close().await;
    report.metrics
}
