//! All orgs due: against one hand-written statement, against the bare writes, and against a
//! transaction per customer.

use sqlx::AssertSqlSafe;

use super::{OVER_TWO, Seed, bare, customer, over, roll};
use crate::support::{Bench, Goal, Outcome, Series, Server, rate};

const SEED: &str = "bench_rollover";
/// Orgs that the worker per customer rolls over: at its pace a million would take minutes.
const SAMPLE: u64 = 50_000;

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = size.of(1_000_000);
    Seed { orgs, features: 1, months: 0 }.make(server, SEED).await;
    let (mut series, sample) = (Series::default(), SAMPLE.min(orgs));
    for _ in 0..size.runs {
        server.copy(SEED, "bench_statement").await;
        let statement = include_str!("one_statement.sql");
        series.add("statement", rate(orgs, server.run("bench_statement", statement).await));
        let written = fingerprint(server, "bench_statement").await;
        server.discard("bench_statement").await;

        server.copy(SEED, "bench_one").await;
        let ran = roll(server, "bench_one", &over("1"), orgs).await;
        series.add("one", rate(orgs, ran.elapsed));
        same(&fingerprint(server, "bench_one").await, &written);
        server.discard("bench_one").await;

        server.copy(SEED, "bench_two").await;
        let ran = roll(server, "bench_two", &OVER_TWO, orgs).await;
        series.add("two", rate(orgs, ran.elapsed));
        series.add("peak", ran.peak_mib);
        same(&fingerprint(server, "bench_two").await, &written);

        server.copy(SEED, "bench_bare").await;
        let writes = bare::Writes::of(server, "bench_two", "bench_bare").await;
        server.discard("bench_two").await;
        series.add("bare", rate(orgs, writes.make().await));
        same(&fingerprint(server, "bench_bare").await, &written);
        server.discard("bench_bare").await;

        server.copy(SEED, "bench_each").await;
        series.add("each", rate(sample, customer::roll(server, "bench_each", sample).await));
        server.discard("bench_each").await;
    }
    server.discard(SEED).await;
    let each =
        format!("a transaction per org over {} connections, {sample} orgs", customer::CONNECTIONS);
    let two = format!("{orgs} due orgs, two connections");
    let mut figures = Vec::new();
    for (baseline, goal) in [
        (("one statement", "statement"), 1.25),
        (("the bare writes over two connections", "bare"), 0.7),
        ((each.as_str(), "each"), 9.0),
    ] {
        figures.push(series.against(baseline, &two, "orgs/s", "two", Goal::RatioAtLeast(goal)));
    }
    let one = format!("{orgs} due orgs, one connection");
    let statement = ("one statement", "statement");
    figures.push(series.against(statement, &one, "orgs/s", "one", Goal::RatioAtLeast(0.8)));
    let memory = format!("memory with {orgs} due orgs, two connections");
    figures.push(series.figure(&memory, "MiB", "peak", Goal::AtMost(64.0)));
    Outcome::Measured(figures)
}

fn same(written: &[String], by_statement: &[String]) {
    assert_eq!(written, by_statement, "the baselines write what periodd writes");
}

/// What a rollover wrote, in every table and column that it writes, but for the time of day and
/// the tz database's release.
async fn fingerprint(server: &Server, database: &str) -> Vec<String> {
    let mut connection = server.connect(database).await;
    let written = [
        "select id, current_period_start, current_period_end, current_period_end_date,
                next_period_ends, ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month,
                used_minutes, overage_minutes, overage_minutes_written, overage_minutes_granted
         from organizations",
        "select org_id, period_start, period_end, follows, time_zone, tier, closed_at
         from billing_periods",
        "select * from billing_period_usage",
        "select id, remaining, entries from overage_packs",
        "select org_id, pack_id, seq, kind, quantity, at, period_start, remaining
         from overage_entries",
    ];
    let mut fingerprints = Vec::new();
    for rows in written {
        let query = format!(
            "select count(*) || ' ' || coalesce(sum(hashtextextended(w::text, 0)::numeric), 0)
             from ({rows}) as w"
        );
        let hash = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut connection).await;
        fingerprints.push(hash.expect("a fingerprint"));
    }
    fingerprints
}
