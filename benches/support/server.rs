//! The server: periodd's own private cluster, sized and configured as it is for everybody, so that
//! every commit waits for the disk; and the databases in it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use periodd::cluster::{Cluster, Settings};
use periodd::store::Database;
use periodd::tz::TzData;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;

/// What seeds may call.
const PRELUDE: &str = concat!(include_str!("bulk.sql"), include_str!("history.sql"));

/// The database that all seeds begin with.
const MIGRATED: &str = "bench_migrated";

pub(crate) struct Server {
    cluster: Cluster,
    socket: String,
    binaries: PathBuf,
    directory: TempDir,
}

impl Server {
    pub(crate) fn started() -> Self {
        let binaries = std::env::var("PERIODD_TEST_BINARIES").expect("run this as `make bench`");
        let binaries = PathBuf::from(binaries);
        let directory = tempfile::tempdir().expect("a directory");
        // The server runs under another user than root.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).expect("a directory of ours");
        let mut settings = Settings::new(directory.path().join("state"));
        settings.bin_dir = Some(binaries.clone());
        let cluster = Cluster::open(&settings).expect("a private cluster");
        let socket = cluster.socket_dir().display().to_string();
        Self { cluster, socket, binaries, directory }
    }

    pub(crate) fn stop(self) {
        let Self { cluster, directory, .. } = self;
        cluster.close().expect("the server stops");
        directory.close().expect("the directory can be removed");
    }

    pub(crate) fn socket(&self) -> &str {
        &self.socket
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user=postgres", self.socket)
    }

    /// A program that comes with the server, from its directory or from the path.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let beside = self.binaries.join(name);
        if beside.exists() { beside } else { name.into() }
    }

    /// What the server has written to its log.
    pub(crate) fn log(&self) -> String {
        let file = self.directory.path().join("state/postgresql/server.log");
        let bytes = std::fs::read(file).expect("the server's log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.url(database)).await.expect("the server answers")
    }

    /// Runs statements, and says how long they took.
    pub(crate) async fn run(&self, database: &str, sql: &str) -> Duration {
        let mut connection = self.connect(database).await;
        let sql = AssertSqlSafe(sql.to_owned());
        let started = Instant::now();
        let done = sqlx::raw_sql(sql).fetch_all(&mut connection).await;
        done.expect("a statement of the benchmark");
        started.elapsed()
    }

    /// The one value that a statement returns.
    pub(crate) async fn ask<T>(&self, database: &str, sql: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let mut connection = self.connect(database).await;
        let query = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
        query.fetch_one(&mut connection).await.expect("a question of the benchmark")
    }

    /// A migrated database, filled by some statements; `:names` in them stand for numbers.
    pub(crate) async fn seed(&self, name: &str, seed: &str, numbers: &[(&str, u64)]) {
        eprintln!("  seeding {name}: {numbers:?}");
        self.migrated().await;
        self.discard(name).await;
        self.run("postgres", &format!("create database {name} template {MIGRATED}")).await;
        let mut text = format!("{PRELUDE}\n{seed}");
        for (name, number) in numbers {
            text = text.replace(&format!(":{name}"), &number.to_string());
        }
        self.run(name, &text).await;
        self.run(name, "vacuum (freeze, analyze)").await;
        self.run("postgres", "checkpoint").await;
    }

    /// The schema, made once.
    async fn migrated(&self) {
        let known = format!("select exists (select from pg_database where datname = '{MIGRATED}')");
        if self.ask("postgres", &known).await {
            return;
        }
        self.empty(MIGRATED).await;
        let url = self.url(MIGRATED);
        let database = Database::connect(&url, 1).await.expect("the server answers");
        let now = database.now().await.expect("the server answers");
        let migrated = periodd::jobs::zones::migrate(&database, &TzData::newest(), now).await;
        migrated.expect("the schema is made");
        database.close().await;
    }

    /// A database without anything in it.
    pub(crate) async fn empty(&self, name: &str) {
        self.discard(name).await;
        self.run("postgres", &format!("create database {name}")).await;
    }

    /// A fresh copy of a seeded database, with nothing left to write behind it.
    pub(crate) async fn copy(&self, seed: &str, name: &str) {
        self.discard(name).await;
        let create = format!("create database {name} template {seed} strategy file_copy");
        self.run("postgres", &create).await;
        self.run("postgres", "checkpoint").await;
    }

    pub(crate) async fn discard(&self, name: &str) {
        self.run("postgres", &format!("drop database if exists {name} with (force)")).await;
    }
}
