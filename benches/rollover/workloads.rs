//! The workloads, each with its baseline.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Row};

use super::Size;
use super::measure::{Pace, USE, rollover as periodd};
use super::report::Table;
use super::results::{Results, median};
use super::server::{Copy, Server};
use super::uses::Uses;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// All orgs due, against one hand-written statement and against a transaction per customer.
    Rollover,
    /// How much later an application's increments are answered while a rollover runs.
    Increments,
    /// A rollover while one transaction stays open elsewhere, so that no dead row can be removed.
    OpenTransaction,
    /// What it costs to ask when nothing is due, against psql's `select 1`.
    NothingDue,
}

impl Workload {
    pub(crate) const ALL: [Self; 4] =
        [Self::Rollover, Self::Increments, Self::OpenTransaction, Self::NothingDue];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rollover => "rollover",
            Self::Increments => "increments",
            Self::OpenTransaction => "open-transaction",
            Self::NothingDue => "nothing-due",
        }
    }

    /// Measures once, ours and the baselines in turn.
    pub(crate) async fn run(self, server: &Server, size: Size, results: &mut Results) {
        match self {
            Self::Rollover => rollover(server, size, results).await,
            Self::Increments => beside_increments(server, size, results).await,
            Self::OpenTransaction => beside_an_open_transaction(server, size, results).await,
            Self::NothingDue => nothing_due(server, results).await,
        }
    }

    /// Adds what was measured to the table.
    pub(crate) fn report(self, results: &Results, table: &mut Table) {
        let ratio = |ours: &str, base: &str| results.ratio(ours, base);
        let rate = |name: &str| per_second(results.median(name));
        let milliseconds = |name: &str| format!("{:.1} ms", results.median(name));
        match self {
            Self::Rollover => {
                let runs = results.of("statement").len();
                let statement = format!("one statement, {}", rate("statement"));
                let each = format!(
                    "a transaction per org over 8 connections, for {SAMPLE} of them, {}",
                    rate("each")
                );
                for (name, base, baseline, goal) in [
                    ("two", "statement", statement.clone(), "≥ 1.25"),
                    ("one", "statement", statement, "≥ 0.8"),
                    ("two", "each", each, "≥ 9"),
                ] {
                    let s = if name == "one" { "" } else { "s" };
                    let what = format!("{} due orgs, {name} connection{s}", results.orgs());
                    table.row(&what, rate(name), baseline, ratio(name, base), goal, runs);
                }
                let peak = format!("{:.0} MiB", results.largest("peak"));
                table.row("memory of that", peak, String::new(), f64::NAN, "≤ 64 MiB", runs);
            }
            Self::Increments => {
                let ours = format!("p99 {}", milliseconds("beside"));
                let base = format!("without a rollover, {}", milliseconds("alone"));
                let runs = results.of("beside").len();
                let what = "500 increments/s beside the defaults: one connection, pages of 500";
                table.row(what, ours, base, ratio("beside", "alone"), "≤ 3", runs);
            }
            Self::OpenTransaction => {
                let base = format!("without it, {}", rate("without"));
                let runs = results.of("with").len();
                let what = "a transaction open elsewhere";
                table.row(what, rate("with"), base, ratio("with", "without"), "≥ 0.9", runs);
            }
            Self::NothingDue => {
                let base = format!("psql -c 'select 1', {}", milliseconds("psql"));
                let runs = results.of("psql").len();
                let what = "nothing due";
                table.row(what, milliseconds("ours"), base, ratio("ours", "psql"), "≤ 2", runs);
            }
        }
    }
}

/// Orgs that the worker per customer rolls over: at its pace a million would take minutes.
const SAMPLE: u64 = 50_000;

#[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn rate(orgs: u64, elapsed: Duration) -> f64 {
    orgs as f64 / elapsed.as_secs_f64()
}

fn per_second(rate: f64) -> String {
    format!("{:.0} orgs/s", (rate / 100.0).round() * 100.0)
}

async fn rollover(server: &Server, size: Size, results: &mut Results) {
    let copy = server.fresh("bench_statement").await;
    results.add("statement", rate(size.orgs, one_statement(&copy).await));
    let written = fingerprint(&copy).await;
    copy.discard().await;
    for (connections, name) in [(1, "one"), (2, "two")] {
        let copy = server.fresh("bench_periodd").await;
        let run = periodd(&copy, Pace::Over(connections), size.orgs).await;
        results.add(name, rate(size.orgs, run.elapsed));
        results.add("peak", run.peak);
        assert_eq!(fingerprint(&copy).await, written, "the baseline writes what periodd writes");
        copy.discard().await;
    }
    let copy = server.fresh("bench_each").await;
    let sample = SAMPLE.min(size.orgs);
    results.add("each", rate(sample, per_customer(&copy, sample).await));
    copy.discard().await;
}

/// What a rollover wrote, in every table and column that it writes, but for the time of day and
/// the tz database's release.
async fn fingerprint(copy: &Copy<'_>) -> Vec<String> {
    let mut connection = copy.connect().await;
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

async fn beside_increments(server: &Server, size: Size, results: &mut Results) {
    let copy = server.fresh("bench_increments").await;
    let increments = Uses::start(&copy.url(), USE).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    results.add("alone", increments.stop().await);
    let increments = Uses::start(&copy.url(), USE).await;
    // As it is configured for everybody: what two cost an application is why it is one.
    let run = periodd(&copy, Pace::Default, size.orgs).await;
    results.add("beside", increments.stop().await);
    eprintln!("  the rollover beside them took {:?}", run.elapsed);
    copy.discard().await;
}

async fn beside_an_open_transaction(server: &Server, size: Size, results: &mut Results) {
    for (open, name) in [(true, "with"), (false, "without")] {
        let copy = server.fresh("bench_open").await;
        let mut elsewhere = copy.connect().await;
        if open {
            let begin = "begin isolation level repeatable read; select count(*) from features";
            sqlx::raw_sql(begin).execute(&mut elsewhere).await.expect("a transaction");
        }
        let run = periodd(&copy, Pace::Over(2), size.orgs).await;
        results.add(name, rate(size.orgs, run.elapsed));
        drop(elsewhere);
        copy.discard().await;
    }
}

async fn nothing_due(server: &Server, results: &mut Results) {
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
    results.add("ours", median(&ours));
    results.add("psql", median(&base));
    copy.discard().await;
}

/// Milliseconds from start to end of a process.
fn time(command: &mut Command) -> f64 {
    let started = Instant::now();
    let status = command.stdout(Stdio::null()).status().expect("the command starts");
    assert!(status.success(), "{command:?}");
    started.elapsed().as_secs_f64() * 1e3
}
