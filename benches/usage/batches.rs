//! A thousand events at once, beside the same rows by one `insert … select` and one count.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::seed;
use crate::support::{Bench, Goal, Outcome, Series, Server};

const DATABASE: &str = "bench_batches";
const FUNCTION: &str = "record_usage_batch";
/// Events of a batch.
pub(crate) const BATCH: u64 = 1_000;

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let users = size.of(100_000);
    seed(server, DATABASE, users, 0).await;
    let is_there = format!("select exists (select from pg_proc where proname = '{FUNCTION}')");
    if !server.ask::<bool>(DATABASE, &is_there).await {
        server.discard(DATABASE).await;
        return Outcome::LeftOut(format!("There is no function {FUNCTION}."));
    }
    let mut series = Series::default();
    for _ in 0..size.runs {
        series.add("statement", statements(server, DATABASE, users, 1, size.seconds).await);
        series.add("batches", batches(server, size.seconds).await);
    }
    server.discard(DATABASE).await;
    let base = ("the same rows by `insert … select` and one count", "statement");
    let what = format!("batches of {BATCH} by record_usage_batch");
    let goal = Goal::RatioAtLeast(0.6);
    Outcome::Measured(vec![series.against(base, &what, "events/s", "batches", goal)])
}

/// Events per second by the function.
async fn batches(server: &Server, seconds: u64) -> f64 {
    let mut connection = server.connect(DATABASE).await;
    let ids = sqlx::query_scalar("select id from organizations order by id");
    let orgs: Vec<Uuid> = ids.fetch_all(&mut connection).await.expect("orgs");
    let before = metrics(&mut connection).await;
    let (mut events, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_secs(seconds) {
        let batch: Vec<serde_json::Value> = (0..BATCH)
            .map(|_| {
                let org = orgs[fastrand::usize(..orgs.len())];
                serde_json::json!({
                    "org_id": org, "feature": "scrapes", "amount": 1,
                    "idempotency_key": Uuid::new_v4(),
                })
            })
            .collect();
        let record = sqlx::query("select * from record_usage_batch($1::text::jsonb)")
            .bind(serde_json::Value::from(batch).to_string());
        record.execute(&mut connection).await.expect("a batch");
        events += BATCH;
    }
    let elapsed = began.elapsed();
    let written = metrics(&mut connection).await - before;
    assert_eq!(u64::try_from(written), Ok(events), "every event was recorded");
    crate::support::rate(events, elapsed)
}

async fn metrics(connection: &mut PgConnection) -> i64 {
    let count = sqlx::query_scalar("select count(*) from usage_metrics");
    count.fetch_one(connection).await.expect("a count")
}

/// Events per second by one statement that asks nothing, over so many connections.
pub(crate) async fn statements(
    server: &Server,
    database: &str,
    orgs: u64,
    connections: u32,
    seconds: u64,
) -> f64 {
    let statement = include_str!("events.sql")
        .replace(":batch", &BATCH.to_string())
        .replace(":orgs", &orgs.to_string());
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (mut connection, statement) = (server.connect(database).await, statement.clone());
        clients.spawn(async move {
            let mut events = 0;
            while Instant::now() < until {
                let statement = AssertSqlSafe(statement.clone());
                sqlx::raw_sql(statement).execute(&mut connection).await.expect("inserted");
                events += BATCH;
            }
            events
        });
    }
    let events: u64 = clients.join_all().await.into_iter().sum();
    crate::support::rate(events, began.elapsed())
}
