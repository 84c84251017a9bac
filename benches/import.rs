//! How long `periodd db import --apply` takes with a million metrics, and `db verify` after it:
//! `make bench`.
//!
//! `PERIODD_BENCH_METRICS` makes it smaller. Progress is printed as it comes.

use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

const DATABASE: &str = "bench_import";
/// Metrics of each org.
const OF_EACH: u64 = 200;

/// What an application had: orgs with their columns, and metrics of the last twenty months.
const SEED: &str = "
    create table organizations (
        id uuid primary key, name text, used_minutes numeric, overage_minutes numeric,
        current_period_start timestamptz, current_period_end timestamptz);
    create table usage_metrics (
        id uuid primary key default gen_random_uuid(),
        organization_id uuid not null references organizations (id),
        metric_type text not null, metric_value numeric not null, created_at timestamptz);
    insert into organizations
    select md5(n::text)::uuid, 'Org ' || n, 3, n % 5, date_trunc('month', now(), 'UTC'),
           date_trunc('month', now(), 'UTC') + interval '1 month'
    from generate_series(1, :orgs) as n;
    insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
    select md5(o::text)::uuid, case when m % 2 = 0 then 'sms_sent' else 'Minutes_Transcribed' end,
           1.5, now() - m * interval '3 days'
    from generate_series(1, :orgs) as o, generate_series(1, :of_each) as m;
    vacuum (freeze, analyze)";

async fn run(url: &str, sql: &str) {
    let connection = PgConnection::connect(url).await;
    let mut connection = connection.expect("the server answers");
    for statement in sql.split(';') {
        let statement = AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement).execute(&mut connection).await.expect("a statement of the bench");
    }
}

/// Runs periodd, and how long it took. What it says goes where this program's words go.
fn periodd(url: &str, arguments: &[&str]) -> Duration {
    let began = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_periodd"))
        .args(arguments)
        .env("PERIODD__DATABASE__URL", url)
        .stdout(std::process::Stdio::null())
        .status()
        .expect("the binary runs");
    assert!(status.success(), "{arguments:?}: {status}");
    began.elapsed()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Ok(socket) = std::env::var("PERIODD_TEST_SERVER") else {
        panic!("this bench needs a server: run it as `make bench`");
    };
    let metrics = std::env::var("PERIODD_BENCH_METRICS").ok().and_then(|text| text.parse().ok());
    let metrics: u64 = metrics.unwrap_or(1_000_000);
    let url = |name: &str| format!("postgresql:///{name}?host={socket}&user=postgres");
    let orgs = (metrics / OF_EACH).max(1);
    eprintln!("seeding {} metrics of {orgs} orgs", orgs * OF_EACH);
    run(&url("postgres"), &format!("create database {DATABASE}")).await;
    let seed = SEED.replace(":orgs", &orgs.to_string()).replace(":of_each", &OF_EACH.to_string());
    run(&url(DATABASE), &seed).await;
    let imported = periodd(&url(DATABASE), &["--yes", "db", "import", "--apply"]);
    let verified = periodd(&url(DATABASE), &["db", "verify"]);
    println!(
        "db import --apply of {} metrics: {:.1} s, the counting of all of them included; \
         db verify: {:.1} s",
        orgs * OF_EACH,
        imported.as_secs_f64(),
        verified.as_secs_f64()
    );
    run(&url("postgres"), &format!("drop database {DATABASE}")).await;
}
