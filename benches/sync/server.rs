//! The databases: seeded ones, and fresh copies of them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use periodd::store::Database;
use periodd::tzdata::TzData;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

/// Business time of everything here: the middle of an open period.
pub(crate) const NOW: &str = "2026-05-20T12:00:00Z";

/// The server that `scripts/with-postgresql` started.
pub(crate) struct Server {
    socket: String,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self { socket: std::env::var("PERIODD_TEST_SERVER").expect("run this as `make bench`") }
    }

    /// A migrated database, filled by some statements.
    pub(crate) async fn seeded(&self, name: &str, seed: &str) {
        self.run("postgres", &format!("drop database if exists {name} with (force)")).await;
        self.run("postgres", &format!("create database {name}")).await;
        let database = Database::connect(&self.url(name), 1).await.expect("the server answers");
        let now = database.now().await.expect("the server answers");
        let migrated = periodd::jobs::zones::migrate(&database, &TzData::newest(), now).await;
        migrated.expect("the schema is made");
        database.close().await;
        self.run(name, seed).await;
        self.run(name, "vacuum (freeze, analyze)").await;
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user=postgres", self.socket)
    }

    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.url(database)).await.expect("the server answers")
    }

    pub(crate) async fn run(&self, database: &str, sql: &str) {
        let mut connection = self.connect(database).await;
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("a statement of the benchmark");
    }

    /// How long statements take.
    pub(crate) async fn time(&self, database: &str, sql: &str) -> Duration {
        let mut connection = self.connect(database).await;
        let sql = AssertSqlSafe(sql.to_owned());
        let started = Instant::now();
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("a statement of the benchmark");
        started.elapsed()
    }

    /// A fresh copy of a seeded database, with nothing left to write behind it.
    pub(crate) async fn copy(&self, seed: &str, name: &str) {
        self.run("postgres", &format!("drop database if exists {name} with (force)")).await;
        let create = format!("create database {name} template {seed} strategy file_copy");
        self.run("postgres", &create).await;
        self.run("postgres", "checkpoint").await;
    }

    pub(crate) async fn discard(&self, name: &str) {
        self.run("postgres", &format!("drop database {name} with (force)")).await;
    }

    /// One run of `periodd sync` as a process: how long it took, and its report.
    pub(crate) async fn sync(
        &self,
        database: &str,
        flags: &[&str],
    ) -> (Duration, serde_json::Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
        command
            .args(["--format", "json", "--quiet", "--at", NOW, "sync"])
            .args(flags)
            .env("PERIODD__DATABASE__URL", self.url(database))
            .env("PERIODD__DATABASE__SANDBOX", "true")
            .stdout(Stdio::piped());
        let started = Instant::now();
        let run = tokio::task::spawn_blocking(move || command.output());
        let output = run.await.expect("a process").expect("the binary runs");
        let elapsed = started.elapsed();
        let report = serde_json::from_slice(&output.stdout).expect("a report");
        (elapsed, report)
    }
}
