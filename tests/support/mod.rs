//! What tests share: a database of their own, made from a migrated template; and the binary.
//!
//! The server is the one that `scripts/with-postgresql` started.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside the functions clippy excuses")]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use periodd::billing::Instant;
use periodd::store::Database;
use periodd::tz::TzData;
use sqlx::{Connection, PgConnection, Row};
use tempfile::TempDir;

/// A database of one test; dropped with it.
pub struct TestDatabase {
    pub name: String,
    pub database: Database,
    directory: TempDir,
}

/// The directory of the test server's socket.
pub fn server() -> String {
    std::env::var("PERIODD_TEST_SERVER").unwrap_or_else(|_| {
        panic!("these tests need a server: run them as `scripts/with-postgresql cargo test`")
    })
}

/// The URL of a database on the test server.
pub fn url_of(name: &str) -> String {
    format!("postgresql:///{name}?host={}&user=postgres", server())
}

pub fn at(text: &str) -> Instant {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

async fn maintenance() -> PgConnection {
    PgConnection::connect(&url_of("postgres")).await.expect("the test server answers")
}

/// The migrated template that databases are copied from: made by whoever comes first.
async fn template() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    if let Some(name) = NAME.get() {
        return name;
    }
    let name = "periodd_template";
    let mut server = maintenance().await;
    sqlx::raw_sql("select pg_advisory_lock(7)").execute(&mut server).await.unwrap();
    let there = sqlx::query("select from pg_database where datname = $1 and datistemplate")
        .bind(name)
        .fetch_optional(&mut server)
        .await
        .unwrap();
    if there.is_none() {
        for statement in
            [format!("drop database if exists {name}"), format!("create database {name}")]
        {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut server).await.unwrap();
        }
        let database = Database::connect(&url_of(name), 1).await.unwrap();
        let now = database.now().await.unwrap();
        periodd::jobs::zones::migrate(&database, &TzData::newest(), now).await.unwrap();
        database.close().await;
        let mark = format!("alter database {name} is_template true");
        sqlx::raw_sql(sqlx::AssertSqlSafe(mark)).execute(&mut server).await.unwrap();
    }
    sqlx::raw_sql("select pg_advisory_unlock(7)").execute(&mut server).await.unwrap();
    NAME.get_or_init(|| name.to_owned())
}

impl TestDatabase {
    /// A fresh database with the current schema.
    pub async fn new() -> Self {
        Self::made_from(template().await).await
    }

    /// A fresh database without any schema.
    pub async fn empty() -> Self {
        Self::made_from("template1").await
    }

    /// Another database with everything that is in this one. Whoever is connected to this one is
    /// cut off: PostgreSQL copies a database only while nobody uses it.
    pub async fn copy(&self) -> Self {
        self.database.close().await;
        let mut server = maintenance().await;
        let cut_off = format!(
            "select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity
             where datname = '{}'",
            self.name
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(cut_off)).execute(&mut server).await.unwrap();
        Self::made_from(&self.name).await
    }

    async fn made_from(template: &str) -> Self {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut server = maintenance().await;
        let create = format!("create database {name} template {template}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut server).await.unwrap();
        let database = Database::connect(&url_of(&name), 8).await.unwrap();
        let directory = TempDir::new().expect("a temporary directory");
        let test = Self { name, database, directory };
        std::fs::write(
            test.config(),
            format!("[database]\nurl = \"{}\"\nsandbox = true\n", url_of(&test.name)),
        )
        .expect("the configuration is written");
        test
    }

    /// A configuration file for the binary: this database, as a sandbox.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("periodd.toml")
    }

    /// Adds lines to the configuration file.
    pub fn configure(&self, lines: &str) {
        let mut text = std::fs::read_to_string(self.config()).unwrap();
        text.push_str(lines);
        std::fs::write(self.config(), text).unwrap();
    }

    pub fn url(&self) -> String {
        url_of(&self.name)
    }

    /// A connection beside the program's, for SQL of the test's own.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("the test database answers")
    }

    /// Runs statements.
    pub async fn sql(&self, statements: &str) {
        let mut connection = self.connect().await;
        let script = sqlx::AssertSqlSafe(statements.to_owned());
        if let Err(error) = sqlx::raw_sql(script).execute(&mut connection).await {
            panic!("{error}\nin {statements}");
        }
    }

    /// The rows of a query, every column as text, with `-` for null: easy to compare.
    pub async fn rows(&self, query: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        sqlx::raw_sql("set timezone = 'UTC'").execute(&mut connection).await.unwrap();
        let query = format!("select to_json(q)::text from ({query}) q");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&mut connection).await;
        let rows = rows.unwrap_or_else(|error| panic!("{error}"));
        let line = |row: &sqlx::postgres::PgRow| -> String {
            let row: serde_json::Value =
                serde_json::from_str(&row.get::<String, _>(0)).expect("JSON");
            let cells = row.as_object().expect("an object").values().map(|value| match value {
                serde_json::Value::Null => "-".to_owned(),
                serde_json::Value::String(text) => text.replace("+00:00", "Z"),
                other => other.to_string(),
            });
            cells.collect::<Vec<_>>().join(" ")
        };
        rows.iter().map(line).collect()
    }

    /// Everything that a rollover writes, as text: one line per row, without the real times at
    /// which it was written; of these only whether a metric has been counted.
    pub async fn contents(&self) -> Vec<String> {
        self.rows(&format!("select * from ({}) t order by name, row::text", Self::all())).await
    }

    /// The same in one line per table, for tables that are large: rows, and a digest of them.
    pub async fn digests(&self) -> Vec<String> {
        let digest = "md5(string_agg(md5(row::text), '' order by md5(row::text)))";
        let query = format!(
            "select name, count(*), {digest} from ({}) t group by 1 order by 1",
            Self::all()
        );
        self.rows(&query).await
    }

    /// A query for every row that a rollover may write.
    fn all() -> String {
        let tables = [
            "billing_adjustments",
            "billing_periods",
            "feature_usage",
            "features",
            "organizations",
            "overage_entries",
            "overage_packs",
            "periodd_facts",
            "periodd_moved_ends",
            "usage_counters",
            "usage_metrics",
            "users",
        ];
        let table = |name| {
            format!(
                // What a counter saw of its limit depends on which period was open by then; what
                // carries a level over has an id and a key of its own.
                "select '{name}' as name,
                        to_jsonb(t) - '{{recorded_at,updated_at,counted_at}}'::text[]
                            - '{{export_position,included_seen}}'::text[]
                            - case when to_jsonb(t) ->> 'idempotency_key' like 'periodd:carried:%'
                                   then '{{id,idempotency_key}}' else '{{}}' end::text[]
                            || jsonb_build_object('counted', to_jsonb(t) ->> 'counted_at' <> '')
                            as row
                 from {name} t"
            )
        };
        tables.map(table).join(" union all ")
    }

    /// Waits until a query has that answer. Fails when it never does: a test that waits for ever
    /// says nothing.
    pub async fn until(&self, query: &str, answer: &str) {
        let began = std::time::Instant::now();
        loop {
            let rows = self.rows(query).await;
            if rows == [answer] {
                return;
            }
            assert!(began.elapsed().as_secs() < 120, "{query}: still {rows:?}, not {answer}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Waits until somebody waits for a lock. One connection asks, again and again.
    pub async fn until_somebody_waits(&self) {
        let mut connection = self.connect().await;
        let waits = "select exists (select from pg_stat_activity
                                    where datname = current_database()
                                      and wait_event_type = 'Lock')";
        let asked = async |connection: &mut PgConnection| -> bool {
            sqlx::query_scalar(waits).fetch_one(connection).await.expect("an answer")
        };
        let began = std::time::Instant::now();
        while !asked(&mut connection).await {
            assert!(began.elapsed().as_secs() < 120, "nobody waits for a lock");
            tokio::task::yield_now().await;
        }
    }

    /// Runs every invariant under `tests/invariants`: each lists what breaks it. An end that looks
    /// like a last moment is none of them: it may be meant, as where a period began just then.
    pub async fn check_invariants(&self) {
        let broken = self.broken_invariant(&[]).await;
        assert!(broken.is_none(), "{}", broken.unwrap_or_default());
    }

    /// The first invariant, but for some, that does not hold, with the rows that violate it.
    pub async fn broken_invariant(&self, but: &[&str]) -> Option<String> {
        let all = invariants().into_iter().chain(invariants_of_periods());
        let left_out = |name: &str| name == "period_ends_are_exclusive" || but.contains(&name);
        for (name, query) in all.filter(|(name, _)| !left_out(name)) {
            let broken = self.rows(query.trim_end().trim_end_matches(';')).await;
            if !broken.is_empty() {
                return Some(format!("{name}: {} rows violate it: {broken:#?}", broken.len()));
            }
        }
        None
    }

    /// The binary on this database.
    pub fn periodd(&self, arguments: &[&str]) -> Answer {
        let mut command = self.command(arguments);
        Answer::from(command.output().expect("the binary runs"))
    }

    /// The binary with a configuration of its own.
    pub fn periodd_configured(&self, config: &str, arguments: &[&str]) -> Answer {
        let file = self.directory.path().join("another.toml");
        std::fs::write(&file, config).expect("the configuration is written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
        command.arg("--config").arg(file).args(arguments);
        command.env_remove("DATABASE_URL").env("NO_COLOR", "1");
        Answer::from(command.output().expect("the binary runs"))
    }

    /// The binary on this database, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
        command.arg("--config").arg(self.config()).args(arguments);
        command.env_remove("DATABASE_URL").env("NO_COLOR", "1");
        // Not the machine's own state, which may be somebody's.
        command.env("STATE_DIRECTORY", self.directory.path().join("state"));
        // Installed, the program is found by its name.
        let bin = PathBuf::from(env!("CARGO_BIN_EXE_periodd"));
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = bin.parent().map(|bin| bin.display().to_string()).unwrap_or_default();
        command.env("PATH", format!("{bin}:{path}"));
        command
    }

    /// What is proposed, without the options that it was called with.
    pub fn plain(&self, proposed: &str) -> String {
        let mut words: Vec<&str> = Vec::new();
        let mut rest = proposed.split(' ');
        let config = self.config().display().to_string();
        while let Some(word) = rest.next() {
            match word {
                "--config" => {
                    let file = rest.next().unwrap_or_default();
                    assert_eq!(file, config, "the configuration is another: {proposed}");
                }
                "--at" => {
                    rest.next();
                }
                word => words.push(word),
            }
        }
        words.join(" ")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // Best effort: the server itself goes away after the tests. Without this, thousands of
        // databases would lie on the disk until then.
        let (name, server) = (self.name.clone(), server());
        let binaries = std::env::var("PERIODD_TEST_BINARIES").unwrap_or_default();
        let psql = PathBuf::from(binaries).join("psql");
        let drop = format!("drop database if exists {name} with (force)");
        let _ = Command::new(psql)
            .args(["-X", "-q", "-h", &server, "-U", "postgres", "-d", "postgres", "-c", &drop])
            .output();
    }
}

/// Statements after which the server lacks something for the rows of a table that a condition on
/// `new` picks, as where one machine of several is dead: a sort that must not use the disk. What it
/// says of itself comes from its own code (class 53), and not from a rule about the row.
pub fn lacking(table: &str, which: &str) -> String {
    format!(
        "create or replace function away() returns trigger language plpgsql
         set temp_file_limit = 0 set work_mem = '64kB' set max_parallel_workers_per_gather = 0 as $$
         begin
             if {which} then
                 perform count(*) from (select g from generate_series(1, 20000) g
                                        order by md5(g::text) offset 0) s;
             end if;
             return new;
         end $$;
         create or replace trigger away before insert or update on {table} for each row
         execute function away()"
    )
}

/// Lets this process have as many files open as the machine permits: tests with many clients.
pub fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("it is permitted");
}

/// The invariants of the books: SQL files, each with a sentence, that list what breaks a rule; of
/// all orgs and all of their history. `db verify` and `doctor` ask the same files.
pub fn invariants() -> Vec<(String, String)> {
    invariants_in("tests/invariants")
}

/// Those of periods, whoever wrote them, which `db verify` asks, too.
pub fn invariants_of_periods() -> Vec<(String, String)> {
    invariants_in("tests/invariants/periods")
}

fn invariants_in(directory: &str) -> Vec<(String, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the invariants are there")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let query = std::fs::read_to_string(path).expect("SQL");
        let query = query
            .replace("$1", "'00000000-0000-0000-0000-000000000000'::uuid")
            .replace("$2", "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid")
            .replace("$3", "'-infinity'::timestamptz");
        (name, query)
    };
    files.iter().map(read).collect()
}

/// What a run of the binary left behind.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Answer {
    /// Asserts the exit code; what was printed says why it differs.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// The JSON document on stdout.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// How far apart the places are at which a long flow is broken off: all of them take minutes, and
/// `PERIODD_TEST_EVERY=1` asks for that.
pub(crate) fn every() -> usize {
    let asked = std::env::var("PERIODD_TEST_EVERY").ok();
    let asked = asked.map(|text| text.parse().expect("PERIODD_TEST_EVERY is a number"));
    asked.unwrap_or_else(|| times(7, 1))
}

/// How often something random is repeated: as often as shows that it holds, or, where
/// `PERIODD_TEST_LONG` is set (`make test-long`), as often as meets what is rare.
pub(crate) fn times(short: usize, long: usize) -> usize {
    if std::env::var_os("PERIODD_TEST_LONG").is_some() { long } else { short }
}
