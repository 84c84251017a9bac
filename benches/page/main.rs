//! How long a person waits for `explain` and `status` where there are a million orgs and thirty
//! million metrics: `make bench`.
//!
//! The wall time of the binary as it is called, connecting and printing included; each call
//! explains another org. `PERIODD_BENCH_ORGS`, `PERIODD_BENCH_METRICS` (per org) and
//! `PERIODD_BENCH_RUNS` make it smaller.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use periodd::store::Database;
use periodd::tzdata::TzData;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

const DATABASE: &str = "bench_page";
/// Business time: the middle of an open period.
const NOW: &str = "2026-05-20T12:00:00Z";
/// Nobody notices that they waited.
const ENOUGH: Duration = Duration::from_millis(100);
/// Apart from every multiple that the seed goes by.
const STRIDE: u64 = 7_919;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The server that `scripts/with-postgresql` started.
struct Server {
    socket: String,
}

impl Server {
    fn url(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user=postgres", self.socket)
    }

    async fn run(&self, database: &str, sql: &str) {
        let connection = PgConnection::connect(&self.url(database)).await;
        let sql = AssertSqlSafe(sql.to_owned());
        let mut connection = connection.expect("the server answers");
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("a statement of the benchmark");
    }

    async fn seed(&self, orgs: u64, metrics: u64) {
        eprintln!("seeding {orgs} orgs with {metrics} metrics each");
        self.run("postgres", &format!("drop database if exists {DATABASE} with (force)")).await;
        self.run("postgres", &format!("create database {DATABASE}")).await;
        let database = Database::connect(&self.url(DATABASE), 1).await.expect("an answer");
        let now = database.now().await.expect("an answer");
        let tz = TzData::newest();
        periodd::jobs::zones::migrate(&database, &tz, now).await.expect("the schema is made");
        database.close().await;
        let seed = include_str!("seed.sql")
            .replace(":orgs", &orgs.to_string())
            .replace(":metrics", &metrics.to_string());
        self.run(DATABASE, &seed).await;
        self.run(DATABASE, "vacuum (freeze, analyze)").await;
        self.run("postgres", "checkpoint").await;
    }

    /// How long one call takes, from its start to its end, and what it printed.
    fn call(&self, arguments: &[&str]) -> (Duration, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
        command
            .args(["--at", NOW])
            .args(arguments)
            .env("PERIODD__DATABASE__URL", self.url(DATABASE))
            .stdin(Stdio::null());
        let started = Instant::now();
        let output = command.output().expect("the binary runs");
        let elapsed = started.elapsed();
        let said = String::from_utf8_lossy(&output.stderr);
        // 3: `status` has found something, such as a full disk.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{arguments:?}: {said}");
        (elapsed, String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Prints the middle and the slowest call; is the middle fast enough?
fn row(what: &str, mut calls: Vec<Duration>) -> bool {
    calls.sort_unstable();
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let (middle, slowest) = (calls[calls.len() / 2], calls[calls.len() - 1]);
    println!(
        "| `{what}` | {:.0} ms | {:.0} ms | ≤ {} ms |",
        milliseconds(middle),
        milliseconds(slowest),
        ENOUGH.as_millis()
    );
    middle <= ENOUGH
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs every bench target once; there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let orgs = setting("PERIODD_BENCH_ORGS", 1_000_000).max(1);
    let metrics = setting("PERIODD_BENCH_METRICS", 30).max(1);
    let runs = setting("PERIODD_BENCH_RUNS", 11).max(1);
    let socket = std::env::var("PERIODD_TEST_SERVER").expect("run this as `make bench`");
    let server = Server { socket };
    server.seed(orgs, metrics).await;
    let slug = |run: u64| format!("org-{}", 1 + run * STRIDE % orgs);

    let (mut by_slug, mut by_email, mut as_page, mut status) = (vec![], vec![], vec![], vec![]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("page.html");
    let file = file.to_str().expect("a path of letters");
    for run in 0..runs {
        let org = slug(run * 3);
        let (elapsed, page) = server.call(&["explain", &org]);
        assert!(page.contains(&org), "{page}");
        by_slug.push(elapsed);
        let email = format!("{}@example.org", slug(run * 3 + 1));
        let (elapsed, page) = server.call(&["explain", &email]);
        assert!(page.contains(&email), "{page}");
        by_email.push(elapsed);
        as_page.push(server.call(&["explain", &slug(run * 3 + 2), "--html", file]).0);
        let (elapsed, page) = server.call(&["status"]);
        assert!(page.contains("Asia/Tokyo"), "{page}");
        status.push(elapsed);
    }
    println!("| {orgs} orgs, {} metrics | median of {runs} | slowest | goal |", orgs * metrics);
    println!("|---|---:|---:|---:|");
    let fast = [
        row("periodd explain ORG", by_slug),
        row("periodd explain EMAIL", by_email),
        row("periodd explain ORG --html FILE", as_page),
        row("periodd status", status),
    ];
    if fast.contains(&false) {
        eprintln!("whoever looks must not wait for more than {ENOUGH:?}");
        std::process::exit(1);
    }
}
