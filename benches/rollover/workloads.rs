//! The workloads, each with its baseline.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Row};

use super::Size;
use super::measure::{Increments, rollover as periodd};
use super::report::{Table, median};
use super::server::{Copy, Server};

/// Orgs that the worker per customer rolls over: at its pace a million would take minutes.
const SAMPLE: u64 = 50_000;

#[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn rate(orgs: u64, elapsed: Duration) -> f64 {
    orgs as f64 / elapsed.as_secs_f64()
}

fn per_second(rate: f64) -> String {
    format!("{:.0} orgs/s", (rate / 100.0).round() * 100.0)
}

/// All orgs due, against one hand-written statement and against a transaction per customer.
pub(crate) async fn rollover(server: &Server, size: Size, table: &mut Table) {
    let (mut one, mut two, mut statement, mut each) = (vec![], vec![], vec![], vec![]);
    let mut peaks = vec![];
    for run in 0..size.runs {
        eprintln!("rollover, run {} of {}", run + 1, size.runs);
        let copy = server.fresh("bench_statement").await;
        statement.push(rate(size.orgs, one_statement(&copy).await));
        copy.discard().await;
        for (connections, rates) in [(1, &mut one), (2, &mut two)] {
            let copy = server.fresh("bench_periodd").await;
            let run = periodd(&copy, connections, size.orgs).await;
            rates.push(rate(size.orgs, run.elapsed));
            peaks.push(run.peak);
            copy.discard().await;
        }
        let copy = server.fresh("bench_each").await;
        let sample = SAMPLE.min(size.orgs);
        each.push(rate(sample, per_customer(&copy, sample).await));
        copy.discard().await;
    }
    let (one, two) = (median(&one), median(&two));
    let (statement, each) = (median(&statement), median(&each));
    let base = format!("one statement, {}", per_second(statement));
    let workers = format!("a transaction per org over 8 connections, {}", per_second(each));
    let what = |connections| format!("rollover of {} due orgs, {connections}", size.orgs);
    table.row(&what("two connections"), per_second(two), base.clone(), two / statement, "≥ 1.25");
    table.row(&what("one connection"), per_second(one), base, one / statement, "≥ 0.8");
    table.row(&what("two connections"), per_second(two), workers, two / each, "≥ 9");
    let peak = peaks.into_iter().fold(0.0, f64::max);
    table.row("memory of that", format!("{peak:.0} MiB"), String::new(), f64::NAN, "≤ 64 MiB");
}

async fn one_statement(copy: &Copy<'_>) -> Duration {
    let mut connection = copy.connect().await;
    let started = Instant::now();
    let done = sqlx::raw_sql(include_str!("one_statement.sql")).execute(&mut connection).await;
    done.expect("the statement");
    started.elapsed()
}

/// What a cron script with a worker per customer does: lock, read, decide, write, commit.
async fn per_customer(copy: &Copy<'_>, orgs: u64) -> Duration {
    let mut connection = copy.connect().await;
    let query = format!("select id from organizations order by id limit {orgs}");
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut connection).await.expect("orgs");
    let mut workers = tokio::task::JoinSet::new();
    let started = Instant::now();
    for share in ids.chunks(ids.len().div_ceil(8)) {
        let mut connection = copy.connect().await;
        let share = share.to_vec();
        workers.spawn(async move {
            for id in share {
                customer(&mut connection, id).await.expect("a rollover of one org");
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done.expect("a worker");
    }
    started.elapsed()
}

async fn customer(connection: &mut sqlx::PgConnection, id: uuid::Uuid) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    sqlx::query("select from organizations where id = $1 for update")
        .bind(id)
        .execute(&mut *tx)
        .await?;
    let usage = sqlx::query(
        "select greatest(0, c.used - t.included) as overage
         from organizations o
         join tier_limits t on t.tier = o.subscription_tier and t.feature = 'minutes_transcribed'
         join usage_counters c on c.org_id = o.id and c.period_start = o.current_period_start
         where o.id = $1",
    )
    .bind(id)
    .fetch_optional(&mut *tx)
    .await?;
    sqlx::query(
        "insert into billing_periods (org_id, period_start, period_end, time_zone, tzdb_version,
                                      tier, closed_at)
         select id, current_period_start, current_period_end, time_zone, '2099z',
                subscription_tier, now() from organizations where id = $1",
    )
    .bind(id)
    .execute(&mut *tx)
    .await?;
    if let Some(usage) = usage {
        let overage: rust_decimal::Decimal = usage.get("overage");
        sqlx::query(
            "insert into billing_period_usage
             select c.org_id, c.feature, c.period_start, c.used, t.included, $2, 0
             from organizations o
             join tier_limits t on t.tier = o.subscription_tier
                  and t.feature = 'minutes_transcribed'
             join usage_counters c on c.org_id = o.id and c.period_start = o.current_period_start
             where o.id = $1",
        )
        .bind(id)
        .bind(overage)
        .execute(&mut *tx)
        .await?;
        if !overage.is_zero() {
            sqlx::query(
                "with p as (
                     update overage_packs set remaining = remaining - $2, entries = entries + 1
                     where org_id = $1 returning *)
                 insert into overage_entries (org_id, pack_id, seq, kind, quantity, at,
                                              period_start, remaining)
                 select p.org_id, p.id, p.entries, 'drawn', $2, o.current_period_end,
                        o.current_period_start, p.remaining
                 from p join organizations o on o.id = p.org_id",
            )
            .bind(id)
            .bind(overage)
            .execute(&mut *tx)
            .await?;
        }
    }
    sqlx::query(
        "update organizations o
         set current_period_start = z.ended, current_period_end = z.next[1],
             current_period_end_date = '2026-07-01', next_period_ends = z.next[2:4],
             used_minutes = 0
         from bench_zones z where o.id = $1 and z.name = o.time_zone",
    )
    .bind(id)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// How much later an application's increments are answered while a rollover runs.
pub(crate) async fn beside_increments(server: &Server, size: Size, table: &mut Table) {
    let (mut idle, mut busy) = (vec![], vec![]);
    for _ in 0..size.runs {
        let copy = server.fresh("bench_increments").await;
        let increments = Increments::start(&copy).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        idle.push(increments.stop().await);
        let increments = Increments::start(&copy).await;
        let run = periodd(&copy, 2, size.orgs).await;
        busy.push(increments.stop().await);
        eprintln!("beside increments: {:?}", run.elapsed);
        copy.discard().await;
    }
    let (idle, busy) = (median(&idle), median(&busy));
    let (ours, base) = (format!("p99 {busy:.1} ms"), format!("without a rollover, {idle:.1} ms"));
    table.row("500 increments/s beside it", ours, base, busy / idle, "≤ 3");
}

/// The same while one transaction stays open elsewhere, so that no dead row can be removed.
pub(crate) async fn beside_an_open_transaction(server: &Server, size: Size, table: &mut Table) {
    let (mut with, mut without) = (vec![], vec![]);
    for _ in 0..size.runs {
        for (open, rates) in [(true, &mut with), (false, &mut without)] {
            let copy = server.fresh("bench_open").await;
            let mut elsewhere = copy.connect().await;
            if open {
                let begin = "begin isolation level repeatable read; select count(*) from features";
                sqlx::raw_sql(begin).execute(&mut elsewhere).await.expect("a transaction");
            }
            let run = periodd(&copy, 2, size.orgs).await;
            rates.push(rate(size.orgs, run.elapsed));
            drop(elsewhere);
            copy.discard().await;
        }
    }
    let (with, without) = (median(&with), median(&without));
    let base = format!("without it, {}", per_second(without));
    table.row("a transaction open elsewhere", per_second(with), base, with / without, "≥ 0.9");
}

/// What it costs to ask when nothing is due, against psql's `select 1`.
pub(crate) async fn nothing_due(server: &Server, table: &mut Table) {
    let copy = server.fresh("bench_nothing").await;
    let (mut ours, mut base) = (vec![], vec![]);
    for _ in 0..21 {
        let mut periodd = Command::new(env!("CARGO_BIN_EXE_periodd"));
        periodd
            .args(["--quiet", "--at", "2026-05-15T00:00:00Z", "rollover"])
            .env("PERIODD__DATABASE__URL", copy.url());
        ours.push(time(&mut periodd));
        let mut psql = Command::new(server.binary("psql"));
        psql.args(["-X", "-q", "-h", server.socket(), "-U", "postgres", "-d", &copy.name]);
        psql.args(["-c", "select 1"]);
        base.push(time(&mut psql));
    }
    copy.discard().await;
    let (ours, base) = (median(&ours), median(&base));
    let (shown, psql) = (format!("{ours:.1} ms"), format!("psql -c 'select 1', {base:.1} ms"));
    table.row("rollover with nothing due", shown, psql, ours / base, "≤ 2");
}

/// Milliseconds from start to end of a process.
fn time(command: &mut Command) -> f64 {
    let started = Instant::now();
    let status = command.stdout(Stdio::null()).status().expect("the command starts");
    assert!(status.success(), "{command:?}");
    started.elapsed().as_secs_f64() * 1e3
}
