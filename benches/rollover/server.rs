//! The databases: one that is seeded, and fresh copies of it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use periodd::cluster::{Cluster, Settings};
use periodd::store::Database;
use periodd::tz::TzData;
use tempfile::TempDir;

const SEED: &str = "bench_seed";

/// A private cluster of its own.
pub(crate) struct Server {
    cluster: Cluster,
    socket: String,
    binaries: PathBuf,
    directory: TempDir,
}

impl Server {
    pub(crate) fn started() -> Self {
        let needed = "run this as `make bench`";
        let binaries: PathBuf = std::env::var("PERIODD_TEST_BINARIES").expect(needed).into();
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

    /// Makes the database that all others are copied from.
    pub(crate) async fn seed(&self, orgs: u64) {
        eprintln!("seeding {orgs} orgs");
        self.run("postgres", &format!("create database {SEED}")).await;
        let database = Database::connect(&self.url(SEED), 1).await.expect("the server answers");
        let now = database.now().await.expect("the server answers");
        let tz = TzData::newest();
        periodd::jobs::zones::migrate(&database, &tz, now).await.expect("the schema is made");
        database.close().await;
        let seed = include_str!("seed.sql").replace(":orgs", &orgs.to_string());
        self.run(SEED, &seed).await;
        self.run(SEED, "vacuum (freeze, analyze)").await;
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user=postgres", self.socket)
    }

    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    pub(crate) fn socket(&self) -> &str {
        &self.socket
    }

    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.url(database)).await.expect("the server answers")
    }

    pub(crate) async fn run(&self, database: &str, sql: &str) {
        let mut connection = self.connect(database).await;
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("a statement of the benchmark");
    }

    /// A fresh copy of the seeded database, with nothing left to write behind it.
    pub(crate) async fn fresh(&self, name: &str) -> Copy<'_> {
        self.run("postgres", &format!("drop database if exists {name} with (force)")).await;
        let create = format!("create database {name} template {SEED} strategy file_copy");
        self.run("postgres", &create).await;
        self.run("postgres", "checkpoint").await;
        Copy { server: self, name: name.to_owned() }
    }
}

/// A copy of the seeded database.
pub(crate) struct Copy<'a> {
    pub(crate) server: &'a Server,
    pub(crate) name: String,
}

impl Copy<'_> {
    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name)
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        self.server.connect(&self.name).await
    }

    pub(crate) async fn discard(self) {
        let drop = format!("drop database {} with (force)", self.name);
        self.server.run("postgres", &drop).await;
    }
}
