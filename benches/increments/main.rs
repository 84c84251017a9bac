//! How fast an increment is that asks before it counts, beside one statement that makes the same
//! writes and asks nothing: `make bench`.
//!
//! pgbench, 16 clients, both in turn on the same database, on a server that waits for the disk.
//! `PERIODD_BENCH_USERS` and `PERIODD_BENCH_SECONDS` make it smaller.

use std::path::PathBuf;
use std::process::Command;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use periodd::store::Database;
use periodd::tzdata::TzData;

const DATABASE: &str = "bench_increments";
const CLIENTS: &str = "16";
/// Turns of each; the median of their ratios counts.
const TURNS: usize = 5;
/// What the ratio must not fall below.
const ENOUGH: f64 = 0.7;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The server that `scripts/with-postgresql` started.
struct Server {
    socket: String,
    binaries: PathBuf,
    seconds: u64,
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

    async fn seed(&self, users: u64) {
        eprintln!("seeding {users} users");
        self.run("postgres", &format!("create database {DATABASE}")).await;
        let database = Database::connect(&self.url(DATABASE), 1).await.expect("an answer");
        let now = database.now().await.expect("an answer");
        let tz = TzData::newest();
        periodd::jobs::zones::migrate(&database, &tz, now).await.expect("the schema is made");
        database.close().await;
        let seed = include_str!("seed.sql").replace(":users", &users.to_string());
        self.run(DATABASE, &seed).await;
        self.run(DATABASE, "vacuum (freeze, analyze)").await;
        self.run(DATABASE, "checkpoint").await;
    }

    /// Calls per second of a script.
    fn measure(&self, script: &str, column: &str, callers: u64) -> f64 {
        // pgbench's own variables are values; a column's name is none.
        let text = script.replace(":column", column).replace(":callers", &callers.to_string());
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("the script is written");
        let mut pgbench = self.binaries.join("pgbench");
        if !pgbench.exists() {
            pgbench = "pgbench".into();
        }
        let run = Command::new(pgbench)
            .args(["-n", "-M", "prepared", "-c", CLIENTS, "-j", "2", "-h", &self.socket])
            .args(["-U", "postgres", "-T", &self.seconds.to_string()])
            .arg("-f")
            .arg(file.path())
            .arg(DATABASE)
            .output()
            .expect("pgbench runs: it comes with PostgreSQL's server programs");
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let line = said.lines().find_map(|line| line.strip_prefix("tps = "));
        let figure = line.and_then(|line| line.split(' ').next()?.parse().ok());
        figure.unwrap_or_else(|| panic!("pgbench says no calls per second: {said}"))
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs every bench target once; there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let needed = "run this as `make bench`";
    let users = setting("PERIODD_BENCH_USERS", 100_000);
    let server = Server {
        socket: std::env::var("PERIODD_TEST_SERVER").expect(needed),
        binaries: std::env::var("PERIODD_TEST_BINARIES").expect(needed).into(),
        seconds: setting("PERIODD_BENCH_SECONDS", 10),
    };
    server.seed(users).await;
    let mut slow = false;
    println!("| increments, {CLIENTS} clients | bare writes/s | calls/s | ratio |");
    println!("|---|---:|---:|---:|");
    for (what, column, callers) in
        [(format!("{users} users"), "spread", users), ("all on one org".into(), "shared", 1000)]
    {
        let mut turns = Vec::with_capacity(TURNS);
        for _ in 0..TURNS {
            let bare = server.measure(include_str!("bare.sql"), column, callers);
            turns.push((bare, server.measure(include_str!("function.sql"), column, callers)));
        }
        let ratio = median(turns.iter().map(|(bare, function)| function / bare).collect());
        let bare = median(turns.iter().map(|turn| turn.0).collect());
        let function = median(turns.iter().map(|turn| turn.1).collect());
        println!("| {what} | {bare:.0} | {function:.0} | {ratio:.2} |");
        slow |= ratio < ENOUGH;
    }
    if slow {
        eprintln!("an increment must make {ENOUGH} of the bare writes' calls per second");
        std::process::exit(1);
    }
}
