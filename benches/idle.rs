//! What the daemon costs while there is nothing to do: a million orgs in sixty zones, whose periods
//! end some day, and the schedules as they are shipped.
//!
//! `cargo bench --bench idle`, beside the server of `scripts/with-postgresql`. The process is the
//! release binary; what it takes is read from `/proc`. `PERIODD_BENCH_ORGS` and
//! `PERIODD_BENCH_SECONDS` make it smaller.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use periodd::store::Database;
use periodd::tz::TzData;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

#[path = "support/process.rs"]
mod process;

const NAME: &str = "bench_idle";
const ZONES: usize = 60;
/// The goals: of one core, and of memory.
const GOAL_PERCENT: f64 = 1.0;
const GOAL_MIB: f64 = 30.0;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs every bench target once; there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let orgs = setting("PERIODD_BENCH_ORGS", 1_000_000);
    let span = Duration::from_secs(setting("PERIODD_BENCH_SECONDS", 180));
    let socket = std::env::var("PERIODD_TEST_SERVER").expect("run this as `make bench`");
    let url = |name: &str| format!("postgresql:///{name}?host={socket}&user=postgres");
    run(&url("postgres"), &format!("drop database if exists {NAME} with (force)")).await;
    run(&url("postgres"), &format!("create database {NAME}")).await;
    seed(&url(NAME), orgs).await;

    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = directory.path().join("periodd.toml");
    let text = format!("[database]\nurl = \"{}\"\n", url(NAME));
    std::fs::write(&config, text).expect("the configuration is written");
    let daemon = Daemon::start(&config);
    // The start itself is not idle: connections, statements, the zones' months.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let before = (daemon.processor_time(), server_time(&url(NAME)).await);
    tokio::time::sleep(span).await;
    let after = (daemon.processor_time(), server_time(&url(NAME)).await);
    let memory = daemon.memory_mib();
    drop(daemon);
    run(&url("postgres"), &format!("drop database {NAME} with (force)")).await;

    let percent = |spent: Duration| 100.0 * spent.as_secs_f64() / span.as_secs_f64();
    let (own, server) =
        (percent(after.0.saturating_sub(before.0)), percent(after.1.saturating_sub(before.1)));
    println!("{orgs} orgs, {ZONES} zones, {} s\n", span.as_secs());
    println!("processor  {own:>6.2} % of a core (goal: at most {GOAL_PERCENT})");
    println!("memory     {memory:>6.1} MiB resident (goal: at most {GOAL_MIB})");
    println!("server     {server:>6.2} % of a core in the daemon's connections");
    let met = own <= GOAL_PERCENT && memory <= GOAL_MIB;
    println!("\n{}", if met { "met" } else { "MISSED" });
}

async fn run(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.expect("the server answers");
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("a statement of the benchmark");
}

/// Orgs whose period ends next month, each zone's at its own midnight.
async fn seed(url: &str, orgs: u64) {
    eprintln!("seeding {orgs} orgs");
    let database = Database::connect(url, 1).await.expect("the server answers");
    let now = database.now().await.expect("the server answers");
    let tz = TzData::newest();
    periodd::jobs::zones::migrate(&database, &tz, now).await.expect("the schema is made");
    database.close().await;
    let release = tz.release();
    run(
        url,
        &format!(
            "create table zones as
             select row_number() over (order by name) - 1 as place, name,
                    timestamptz '2099-01-01Z' - make_interval(mins => 10 * n::int) as ended
             from (select name, row_number() over (order by name) as n from pg_timezone_names
                   where name like '%/%' and name not like 'posix/%' and name not like 'Etc/%'
                   order by md5(name) limit {ZONES}) z;
             insert into organizations
                 (slug, name, time_zone, current_period_start, current_period_end,
                  current_period_end_date, next_period_ends, ends_time_zone, ends_cycle,
                  ends_anchor_day, ends_anchor_month, ends_tzdb_version)
             select 'org-' || i, 'Org ' || i, z.name, z.ended - interval '31 days', z.ended,
                    '2099-01-01', array[z.ended + interval '31 days', z.ended + interval '59 days',
                                        z.ended + interval '90 days'],
                    z.name, 'monthly', 1, 1, '{release}'
             from generate_series(1, {orgs}) i join zones z on z.place = i % {ZONES};
             insert into periodd_facts values ('tzdb_release', '{release}')
                 on conflict do nothing"
        ),
    )
    .await;
    run(url, "vacuum (freeze, analyze)").await;
}

/// The release binary at work.
struct Daemon(Child);

impl Daemon {
    fn start(config: &std::path::Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
        command.arg("--config").arg(config).arg("run").env_remove("DATABASE_URL");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.expect("the binary starts"))
    }

    fn processor_time(&self) -> Duration {
        process::processor_time(self.0.id()).expect("it is alive")
    }

    fn memory_mib(&self) -> f64 {
        process::memory_mib(self.0.id()).expect("it is alive")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// User and system time of the server's processes that serve the daemon.
async fn server_time(url: &str) -> Duration {
    let mut connection = PgConnection::connect(url).await.expect("the server answers");
    let pids = "select pid from pg_stat_activity
                where datname = current_database() and application_name = 'periodd'";
    let pids: Vec<i32> = sqlx::query_scalar(pids).fetch_all(&mut connection).await.expect("pids");
    let times =
        pids.into_iter().filter_map(|pid| process::processor_time(u32::try_from(pid).ok()?));
    times.sum()
}
