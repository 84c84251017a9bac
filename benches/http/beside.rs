//! What the API costs those beside it: applications that use SQL, the rollover, and a machine on
//! which nobody asks anything.

use std::time::{Duration, Instant};

use super::client::Load;
use super::daemon::{Daemon, Setup};
use super::support::uses::Uses;
use super::support::{Server, median};
use super::{DATABASE, Row, Size, asks, orgs, row, serving};

/// Of an application's latency at the 99th percentile, while the API is as busy as can be.
const MOST_TIMES: f64 = 3.0;
/// Of the orgs per second of a rollover, that it must reach then; and when it must have begun.
const ENOUGH_ORGS: f64 = 0.5;
const BEGINS_WITHIN: Duration = Duration::from_secs(2);
/// MiB, and hundredths of a core, that the server may take while nobody asks.
const MOST_MIB: f64 = 3.0;
const MOST_PERCENT: f64 = 0.1;

/// A use through SQL.
const USE: &str = "select allowed from increment_org_usage($1, 'scrapes')";

/// Increments through SQL, with and without an API at full load.
pub(crate) async fn uses(server: &Server, size: Size) -> bool {
    let daemon = serving(server).await;
    let url = server.url(DATABASE);
    let (mut alone, mut beside, mut ratios) = (vec![], vec![], vec![]);
    for _ in 0..size.turns {
        let uses = Uses::start(&url, USE).await;
        tokio::time::sleep(Duration::from_secs(size.seconds)).await;
        let base = uses.stop().await;
        let load = Load::of(&daemon, asks::limits).await;
        let uses = Uses::start(&url, USE).await;
        tokio::time::sleep(Duration::from_secs(size.seconds)).await;
        let ours = uses.stop().await;
        load.stop().await;
        eprintln!("uses by SQL: p99 {ours:.1} ms against {base:.1} ms");
        ratios.push(ours / base);
        alone.push(base);
        beside.push(ours);
    }
    let ratio = median(ratios);
    row(&Row {
        what: "500 increments/s by SQL while `limits` runs at full load",
        ours: format!("p99 {:.1} ms", median(beside)),
        base: format!("without it, {:.1} ms", median(alone)),
        ratio: Some(ratio),
        goal: "≤ 3",
        is_met: ratio <= MOST_TIMES,
    })
}

/// A rollover of all orgs, with and without an API at full load.
pub(crate) async fn rollover(server: &Server, size: Size) -> bool {
    let (mut alone, mut beside, mut ratios, mut begun) = (vec![], vec![], vec![], vec![]);
    for _ in 0..size.turns.min(3) {
        let (base, _) = roll(server, false).await;
        let (ours, begins) = roll(server, true).await;
        eprintln!("rollover: {ours:.0} orgs/s, begun after {begins:?}, against {base:.0}");
        ratios.push(ours / base);
        alone.push(base);
        beside.push(ours);
        begun.push(begins.as_secs_f64());
    }
    let (ratio, begins) = (median(ratios), median(begun));
    row(&Row {
        what: &format!("rollover of {} due orgs while `limits` runs at full load", orgs()),
        ours: format!("{:.0} orgs/s, begun after {begins:.1} s", median(beside)),
        base: format!("without it, {:.0} orgs/s", median(alone)),
        ratio: Some(ratio),
        goal: "≥ 0.5, begun within 2 s",
        is_met: ratio >= ENOUGH_ORGS && begins <= BEGINS_WITHIN.as_secs_f64(),
    })
}

/// Orgs per second, and how long after they fell due the first was closed.
async fn roll(server: &Server, is_busy: bool) -> (f64, Duration) {
    const COPY: &str = "bench_http_rollover";
    server.copy(DATABASE, COPY).await;
    // As shipped, but for the schedule: due orgs are looked for each second.
    let setup = Setup { http: Some(4), lines: "", jobs: &["rollover"] };
    let daemon = Daemon::start(server, COPY, &setup).await;
    let load = if is_busy { Some(Load::of(&daemon, asks::limits).await) } else { None };
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut connection = server.connect(COPY).await;
    // All at once, in a moment that is yet to come when the statement is over. What workloads
    // before this one have counted is of the periods that are moved here.
    let fall_due = "truncate usage_counters, feature_usage, usage_metrics;
                    update organizations
                    set current_period_start = now() - interval '1 month',
                        current_period_end = now() + interval '30 seconds'";
    sqlx::raw_sql("set synchronous_commit = off").execute(&mut connection).await.expect("set");
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
        load.stop().await;
    }
    drop(daemon);
    server.discard(COPY).await;
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let per_second = orgs() as f64 / elapsed.saturating_sub(begun).as_secs_f64();
    (per_second, begun)
}

/// A daemon as it is shipped, with and without the server.
pub(crate) async fn idle(server: &Server, size: Size) -> bool {
    let span = Duration::from_secs(12 * size.seconds);
    let mut taken = Vec::new();
    for http in [None, Some(4)] {
        let setup = Setup { http, lines: "", jobs: &["rollover"] };
        let daemon = Daemon::start(server, DATABASE, &setup).await;
        // The start itself is not idle.
        tokio::time::sleep(Duration::from_secs(20)).await;
        let percent = 100.0 * daemon.share(span).await;
        let memory = daemon.memory_mib();
        eprintln!("idle, HTTP over {http:?}: {percent:.2} % of a core, {memory:.1} MiB");
        taken.push((percent, memory));
    }
    let [(percent, memory), (percent_with, memory_with)] = taken[..] else { return false };
    let (more, more_memory) = (percent_with - percent, memory_with - memory);
    row(&Row {
        what: "idle with `[http]` on, nobody asking",
        ours: format!("{percent_with:.2} % of a core, {memory_with:.1} MiB"),
        base: format!("without it, {percent:.2} %, {memory:.1} MiB"),
        ratio: None,
        goal: "+ 0.1 %, + 3 MiB at most",
        is_met: more <= MOST_PERCENT && more_memory <= MOST_MIB,
    })
}
