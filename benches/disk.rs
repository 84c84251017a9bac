//! What rows take on disk, indexes included, and the formula that follows.

use crate::rollover::Seed;
use crate::support::kept::Kept;
use crate::support::{Bench, Goal, Outcome, Series, Server};

const FEW: &str = "bench_disk_few";
const MANY: &str = "bench_disk_many";
const MONTHS: u64 = 12;
/// Features of the two databases: what they differ by is the features' share.
const FEATURES: [u64; 2] = [1, 5];
const METRICS: u64 = 20;

/// What one row takes, and its place in the formula.
const ROWS: [(&str, &str); 6] = [
    ("an org", "orgs"),
    ("a user", "users"),
    ("a closed period", "closed periods"),
    ("a feature of a closed period", "closed periods × features"),
    ("a counter", "counters"),
    ("a metric", "metrics"),
];

/// A user of each org, and metrics.
const MORE: &str = "
    insert into users (organization_id, email) select id, slug || '@example.org' from organizations;
    insert into usage_metrics (organization_id, metric_type, metric_value, created_at, counted_at)
    select o.id, 'minutes_transcribed', 1, '2026-05-02Z'::timestamptz + n * interval '1 day',
           '2026-05-30Z'
    from generate_series(1, :metrics) n, organizations o";

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = size.of(20_000);
    let [few, many] = FEATURES;
    for (name, features) in [(FEW, few), (MANY, many)] {
        Seed { orgs, features, months: MONTHS }.make(server, name).await;
    }
    server.run(FEW, &MORE.replace(":metrics", &METRICS.to_string())).await;
    let mut series = Series::default();
    series.add("an org", bytes(server, FEW, "organizations").await);
    series.add("a user", bytes(server, FEW, "users").await);
    let with_few = bytes(server, FEW, "billing_periods").await;
    let with_many = bytes(server, MANY, "billing_periods").await;
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let (few, more) = (few as f64, (many - few) as f64);
    let feature = (with_many - with_few) / more;
    series.add("a closed period", with_few - few * feature);
    series.add("a feature of a closed period", feature);
    series.add("a counter", bytes(server, MANY, "usage_counters").await);
    series.add("a metric", bytes(server, FEW, "usage_metrics").await);
    server.discard(FEW).await;
    server.discard(MANY).await;
    let figure = |(row, _): (&str, &str)| series.figure(&workload(row), "bytes", row, Goal::Known);
    Outcome::Measured(ROWS.map(figure).into())
}

fn workload(row: &str) -> String {
    format!("disk: {row}")
}

/// What a table takes for each of its rows.
async fn bytes(server: &Server, database: &str, table: &str) -> f64 {
    let size = format!(
        "select pg_total_relation_size('{table}')::float8 / (select count(*) from {table})"
    );
    server.ask(database, &size).await
}

/// The sum of all rows, as the page says it.
pub(crate) fn formula(all: &[(&str, Option<Kept>)]) -> String {
    let kept = all.iter().find_map(|(name, kept)| kept.as_ref().filter(|_| *name == "disk"));
    let Some(kept) = kept else { return "Not measured.\n".to_owned() };
    let terms = ROWS.iter().filter_map(|(row, count)| {
        let figure = kept.figures.iter().find(|figure| figure.workload() == workload(row))?;
        Some(format!("{:.0} × {count}", figure.value()))
    });
    format!("bytes = {}\n", terms.collect::<Vec<String>>().join("\n      + "))
}
