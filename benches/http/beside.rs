//! What the API costs those beside it: applications that use SQL, the rollover, and a machine on
//! which nobody asks anything.

use std::time::{Duration, Instant};

use super::client::Load;
use super::{CONNECTIONS, DATABASE, seed, serving};
use crate::support::beside::Uses;
use crate::support::daemon::{Daemon, Jobs, Setup};
use crate::support::fall_due::fall_due;
use crate::support::{Bench, Goal, Outcome, Series, rate};

const COPY: &str = "bench_http_rollover";
/// A use through SQL.
const USE: &str = "select allowed from increment_org_usage($1, 'scrapes')";

/// Increments through SQL, with and without an API at full load.
pub(crate) async fn uses(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = seed(bench).await;
    let daemon = serving(server).await;
    let (url, span) = (server.url(DATABASE), Duration::from_secs(size.seconds));
    let mut series = Series::default();
    for _ in 0..size.runs {
        for (name, is_busy) in [("alone", false), ("beside", true)] {
            let load = is_busy.then(|| Load::of(&daemon, orgs));
            let uses = Uses::start(&url, USE).await;
            tokio::time::sleep(span).await;
            series.add(name, uses.stop().await);
            if let Some(load) = load {
                load.stop();
            }
        }
    }
    drop(daemon);
    server.discard(DATABASE).await;
    let what = "500 increments/s by SQL beside `limits` at full load, 99th percentile";
    let goal = Goal::RatioAtMost(3.0);
    Outcome::Measured(vec![series.against(("without it", "alone"), what, "ms", "beside", goal)])
}

/// A rollover of all orgs, with and without an API at full load.
pub(crate) async fn rollover(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = seed(bench).await;
    let mut series = Series::default();
    for _ in 0..size.runs {
        let (base, _) = roll(bench, orgs, false).await;
        series.add("alone", base);
        let (ours, begun) = roll(bench, orgs, true).await;
        series.add("beside", ours);
        series.add("begun", begun.as_secs_f64());
    }
    server.discard(DATABASE).await;
    let what = format!("rollover of {orgs} due orgs by a daemon, beside `limits` at full load");
    let begun = "first close of that after its boundary";
    let goal = Goal::RatioAtLeast(0.5);
    Outcome::Measured(vec![
        series.against(("without it", "alone"), &what, "orgs/s", "beside", goal),
        series.figure(begun, "s", "begun", Goal::AtMost(2.0)),
    ])
}

/// Orgs per second, and how long after they fell due the first was closed.
async fn roll(bench: &Bench, orgs: u64, is_busy: bool) -> (f64, Duration) {
    let Bench { server, size } = bench;
    server.copy(DATABASE, COPY).await;
    // As shipped, but for the schedule: due orgs are looked for each second.
    let setup = Setup { http: Some(CONNECTIONS), lines: "", jobs: Jobs::Only(&["rollover"]) };
    let daemon = Daemon::start(server, COPY, &setup).await;
    let load = is_busy.then(|| Load::of(&daemon, orgs));
    tokio::time::sleep(Duration::from_secs(size.times(3, 1))).await;
    let mut connection = server.connect(COPY).await;
    // All at once, in a moment that is yet to come when the statement is over. What workloads
    // before this one have counted is of other periods.
    let fall_due = format!(
        "truncate usage_counters, feature_usage, usage_metrics; {}",
        fall_due(size.times(30, 5), "true")
    );
    sqlx::raw_sql("set synchronous_commit = off").execute(&mut connection).await.expect("set");
    let fall_due = sqlx::AssertSqlSafe(fall_due);
    sqlx::raw_sql(fall_due).execute(&mut connection).await.expect("they fall due");
    let last = "select extract(epoch from max(current_period_end) - clock_timestamp())::float8
                from organizations";
    let left: f64 = sqlx::query_scalar(last).fetch_one(&mut connection).await.expect("an end");
    tokio::time::sleep(Duration::from_secs_f64(left.max(0.0))).await;
    let due = Instant::now();
    let mut begun = None;
    loop {
        let is_begun = "select exists (select from billing_periods)";
        let is_left = "select exists (select from organizations where current_period_end <= now())";
        let query = if begun.is_none() { is_begun } else { is_left };
        let answer: bool =
            sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("an answer");
        match (begun, answer) {
            (None, true) => begun = Some(due.elapsed()),
            (Some(_), false) => break,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        assert!(due.elapsed() < Duration::from_mins(5), "it is never over");
    }
    let (elapsed, begun) = (due.elapsed(), begun.unwrap_or_default());
    if let Some(load) = load {
        load.stop();
    }
    drop(daemon);
    server.discard(COPY).await;
    (rate(orgs, elapsed.saturating_sub(begun)), begun)
}

/// What the server adds to a daemon that looks for due orgs each second, while nobody asks.
pub(crate) async fn idle(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    seed(bench).await;
    let span = Duration::from_secs(3 * size.seconds);
    let mut series = Series::default();
    for _ in 0..size.runs {
        let mut taken = Vec::new();
        for http in [None, Some(CONNECTIONS)] {
            let setup = Setup { http, lines: "", jobs: Jobs::Only(&["rollover"]) };
            let daemon = Daemon::start(server, DATABASE, &setup).await;
            // The start itself is not idle.
            tokio::time::sleep(Duration::from_secs(2 * size.seconds)).await;
            taken.push((100.0 * daemon.share(span).await, daemon.memory_mib()));
        }
        let [(percent, memory), (percent_with, memory_with)] = taken[..] else { continue };
        series.add("percent", percent_with - percent);
        series.add("memory", memory_with - memory);
    }
    server.discard(DATABASE).await;
    let what = "what `[http]` adds to an idle daemon";
    let memory = format!("memory: {what}");
    Outcome::Measured(vec![
        series.figure(what, "% of a core", "percent", Goal::AtMost(0.1)),
        series.figure(&memory, "MiB", "memory", Goal::AtMost(3.0)),
    ])
}
