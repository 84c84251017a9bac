//! What benchmarks share that run on the server which `scripts/with-postgresql` has started.
#![allow(dead_code, reason = "each benchmark uses its part")]

pub(crate) mod pgbench;
pub(crate) mod process;
pub(crate) mod uses;

use std::time::{Duration, Instant};

use periodd::store::Database;
use periodd::tz::TzData;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

const NEEDED: &str = "run this as `make bench`";

/// For seeds that fill a large table: its indexes are made after the rows, a minute's work instead
/// of half an hour's.
const BULK: &str = "
    set maintenance_work_mem = '1GB';
    create temporary table indexes (statement text);
    create procedure pg_temp.drop_indexes(of regclass) language plpgsql as $$
    declare r record;
    begin
        for r in select conname, pg_get_constraintdef(oid) as text from pg_constraint
                 where conrelid = of and contype in ('p', 'u') loop
            insert into indexes
            values (format('alter table %s add constraint %I %s', of, r.conname, r.text));
            execute format('alter table %s drop constraint %I', of, r.conname);
        end loop;
        for r in select indexrelid::regclass as name, pg_get_indexdef(indexrelid) as text
                 from pg_index where indrelid = of loop
            insert into indexes values (r.text);
            execute format('drop index %s', r.name);
        end loop;
    end $$;
    create procedure pg_temp.create_indexes() language plpgsql as $$
    declare r record;
    begin
        for r in select statement from indexes loop
            execute r.statement;
        end loop;
    end $$;";

/// A number from the environment, that makes a benchmark smaller.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Is this a benchmark's run? `cargo test --benches` runs every target once, and there is nothing
/// to test in them.
pub(crate) fn is_asked_for() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The middle of measured values.
pub(crate) fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// The server.
pub(crate) struct Server {
    pub(crate) socket: String,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self { socket: std::env::var("PERIODD_TEST_SERVER").expect(NEEDED) }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user=postgres", self.socket)
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

    /// A migrated database, filled by some statements.
    pub(crate) async fn seed(&self, name: &str, seed: &str) {
        self.discard(name).await;
        self.run("postgres", &format!("create database {name}")).await;
        let database = Database::connect(&self.url(name), 1).await.expect("the server answers");
        let now = database.now().await.expect("the server answers");
        let migrated = periodd::jobs::zones::migrate(&database, &TzData::newest(), now).await;
        migrated.expect("the schema is made");
        database.close().await;
        self.run(name, &format!("{BULK}\n{seed}")).await;
        self.run(name, "vacuum (freeze, analyze)").await;
        self.run("postgres", "checkpoint").await;
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
