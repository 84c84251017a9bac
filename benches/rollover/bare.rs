//! The bare writes of a rollover: the rows that periodd wrote, written once more from tables that
//! hold them already, by `update` and `insert … select`, in pages of 1,000 orgs over two
//! connections. Nothing is read, decided or checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use uuid::Uuid;

use crate::support::Server;

const PAGE: usize = 1_000;
const CONNECTIONS: usize = 2;

/// What a rollover writes to: the table, its org's column, and the rows of it that are written.
const TABLES: [(&str, &str, &str); 4] = [
    ("organizations", "id", "true"),
    ("billing_periods", "org_id", "true"),
    ("overage_packs", "org_id", "true"),
    ("overage_entries", "org_id", "kind <> 'granted'"),
];

/// Columns of the rows that move.
const ORGS: [&str; 14] = [
    "current_period_start",
    "current_period_end",
    "current_period_end_date",
    "next_period_ends",
    "ends_time_zone",
    "ends_cycle",
    "ends_anchor_day",
    "ends_anchor_month",
    "ends_tzdb_version",
    "used_minutes",
    "overage_minutes",
    "overage_minutes_written",
    "overage_minutes_granted",
    "revision",
];

/// Rows that are ready to be written.
pub(crate) struct Writes {
    connections: Vec<PgConnection>,
    statements: Arc<Vec<String>>,
    pages: Arc<Vec<(Uuid, Uuid)>>,
}

impl Writes {
    /// What was written in one database, for a copy of what that was before.
    pub(crate) async fn of(server: &Server, rolled: &str, copy: &str) -> Self {
        server.run(copy, "create schema after").await;
        let mut statements = vec![
            moved("organizations", &["id"], &ORGS),
            moved("overage_packs", &["org_id", "id"], &["remaining", "entries"]),
        ];
        for (table, org, rows) in TABLES {
            carry(server, rolled, copy, (table, org, rows)).await;
            if !["organizations", "overage_packs"].contains(&table) {
                statements.push(format!(
                    "insert into {table} select * from after.{table} where {org} between $1 and $2"
                ));
            }
        }
        server.run(copy, "vacuum (freeze, analyze)").await;
        server.run("postgres", "checkpoint").await;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(server.connect(copy).await);
        }
        let ids = sqlx::query_scalar("select id from organizations order by id");
        let ids: Vec<Uuid> = ids.fetch_all(&mut connections[0]).await.expect("orgs");
        let pages = ids.chunks(PAGE).map(|page| (page[0], page[page.len() - 1])).collect();
        Self { connections, statements: Arc::new(statements), pages: Arc::new(pages) }
    }

    /// Writes them, and says how long that took.
    pub(crate) async fn make(self) -> Duration {
        let Self { connections, statements, pages } = self;
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = tokio::task::JoinSet::new();
        let started = Instant::now();
        for mut connection in connections {
            let (statements, pages) = (Arc::clone(&statements), Arc::clone(&pages));
            let next = Arc::clone(&next);
            workers.spawn(async move {
                while let Some(page) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    write(&mut connection, &statements, *page).await.expect("a page");
                }
            });
        }
        workers.join_all().await;
        started.elapsed()
    }
}

async fn write(
    connection: &mut PgConnection,
    statements: &[String],
    (first, last): (Uuid, Uuid),
) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    for statement in statements {
        let query = sqlx::query(AssertSqlSafe(statement.clone())).bind(first).bind(last);
        query.execute(&mut *tx).await?;
    }
    tx.commit().await
}

/// The statement that writes columns of the rows of a table that have changed.
fn moved(table: &str, key: &[&str], columns: &[&str]) -> String {
    let each = |of: &[&str], text: &dyn Fn(&str) -> String, between: &str| {
        of.iter().map(|column| text(column)).collect::<Vec<String>>().join(between)
    };
    let (old, new) = ("t.", "a.");
    let list = |side: &str| each(columns, &|column| format!("{side}{column}"), ", ");
    let set = each(columns, &|column| format!("{column} = a.{column}"), ", ");
    let same = each(key, &|column| format!("t.{column} = a.{column}"), " and ");
    let org = key[0];
    let (old, new) = (list(old), list(new));
    format!(
        "update {table} t set {set} from after.{table} a
         where {same} and t.{org} between $1 and $2 and a.{org} between $1 and $2
           and ({old}) is distinct from ({new})"
    )
}

/// Takes rows of one database to the schema `after` of another one, in the order of orgs.
async fn carry(server: &Server, from: &str, to: &str, (table, org, rows): (&str, &str, &str)) {
    let make = format!("create table after.{table} as table {table} with no data");
    server.run(to, &make).await;
    let (mut source, mut target) = (server.connect(from).await, server.connect(to).await);
    let select = format!("copy (select * from {table} where {rows} order by {org}) to stdout");
    let mut stream = source.copy_out_raw(&select).await.expect("rows");
    let into = format!("copy after.{table} from stdin");
    let mut sink = target.copy_in_raw(&into).await.expect("a table");
    while let Some(bytes) = stream.next().await {
        sink.send(bytes.expect("rows")).await.expect("room");
    }
    sink.finish().await.expect("rows");
    server.run(to, &format!("create index on after.{table} ({org})")).await;
}
